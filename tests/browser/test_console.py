"""The console in a real browser: every page and every action, on a desk and on a phone, light and dark, by keyboard."""

import re
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe

from adapters.sandbox import ReturnLine
from tests.browser.test_sandbox_page import LOOKS, SIZES
from tests.e2e.world import MUG, SOCK, World, world

LONG = "A-SKU-OF-A-REMARKABLE-LENGTH-THAT-NEVER-ENDS"
PERSON = "Ada Lovelace"
pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]  # the browser's


@asynccontextmanager
async def a_shop(folder, **options):
    """A shop with returns of every kind: on its way, in review, closed, large, and stuck for lack of a label."""
    async with world(folder, buys_labels=True, **options) as w:
        ids = {
            "travels": w.submit("#1001", SOCK),
            "review": w.submit("#1002", MUG),
            "clean": w.submit("#1003", ReturnLine(sku=SOCK, reason="Too small")),
            "large": w.submit("#1004", *[ReturnLine(sku=f"{SOCK}-{n}", reason="Too many " * 6) for n in range(50)]),
        }
        await w.receive(ids["review"], MUG, "CustomerDamaged")
        await w.receive(ids["clean"], SOCK)
        await w.labelled(ids["travels"])
        await w.labelled(ids["large"])
        await w.state(ids["review"], "in_review")
        await w.state(ids["clean"], "closed")
        offered = w.sandbox.shipping.offers
        w.sandbox.offer_services([])
        for name, order in (("stuck", "#1005"), ("hopeless", "#1006")):
            ids[name] = w.submit(order, LONG)
            await w.state(ids[name], "stuck")
        w.sandbox.offer_services(offered)
        yield w, ids


@pytest_asyncio.fixture(loop_scope="session")
async def shop(tmp_path):
    """The shop, and the ids of its returns."""
    async with a_shop(tmp_path) as made:
        yield made


@asynccontextmanager
async def browser(chromium, w: World, size="desk", scheme="light", *, script=True):
    """A person's browser, logged in; whatever the pages' policy forbids, or a script does wrong, fails the test."""
    context = await chromium.new_context(viewport=SIZES[size], color_scheme=scheme, java_script_enabled=script)
    page = await context.new_page()
    broken = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda said: broken.append(said.text) if _is_bad(said) else None)
    root = f"http://localhost:{w.daemon.ops_port}/console/"
    page.on("request", lambda request: broken.append(request.url) if not request.url.startswith(root) else None)
    await page.goto(root)
    await page.fill("#name", PERSON)
    await page.fill("#token", w.daemon.secrets["ops_token"])
    await page.keyboard.press("Enter")
    await page.wait_for_selector("h1:has-text('Overview')")
    page.root = root
    yield page
    await context.close()
    assert broken == []


def _is_bad(said) -> bool:
    """Whether the browser complains; not when it tells the status of a page that says what is wrong."""
    return said.type in {"error", "warning"} and not said.text.startswith(
        "Failed to load resource: the server responded"
    )


async def looks_well(page, where: str) -> None:
    """Nothing is wider than the screen, and axe finds nothing."""
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, where
    found = (await Axe().run(page)).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == [], where


async def cancelled_by(w: World, return_id: int) -> list[str]:
    """Who cancelled it, as the history has it."""
    shown = await w.daemon.show(return_id)
    return [row["detail"].get("by") for row in shown["history"] if row["event"] == "LabelRequestCancelled"]


@pytest.mark.long
@pytest.mark.parametrize(("size", "scheme"), LOOKS)
async def test_every_page(chromium, shop, size, scheme):
    """Each page, with long ids and fifty units, fits a desk and a phone, and axe finds nothing, light and dark."""
    w, ids = shop
    async with browser(chromium, w, size, scheme) as page:
        one = {name: f"returns/acme/{number}" for name, number in ids.items()}
        paths = [
            "",
            "returns",
            "returns?state=closed",
            "returns?q=nothing-like-that",
            "waiting",
            "reasons",
            "insights",
            "setup",
            "help",
        ]
        paths += [*one.values(), f"{one['travels']}?all", f"{one['stuck']}/link", f"{one['travels']}/cancel"]
        for path in paths:
            answer = await page.goto(page.root + path)
            assert answer.status == 200, path
            for folded in await page.locator("details").all():
                await folded.evaluate("it => it.open = true")
            await looks_well(page, path)
            assert w.sandbox.snapshot()["loop"]["returns"][str(ids["travels"])]["delivered_labels"][0][
                "label_url"
            ] not in (await page.content()), path
        await page.goto(page.root + "returns/acme/1")
        await looks_well(page, "an unknown return")


async def test_the_four_questions(chromium, shop):
    """Where is it, why does it wait, what did Amazon find, what must I do: answered on one page, from any id."""
    w, ids = shop
    async with browser(chromium, w) as page:
        tracking = w.portal(ids["travels"])["delivered_labels"][0]["tracking_number"]
        for known_by in (str(ids["travels"]), "#1001", tracking):
            await page.goto(page.root + "returns")
            await page.fill("#q", known_by)
            await page.keyboard.press("Enter")
            await page.wait_for_selector(f"h1:has-text('acme/{ids['travels']}')")
            assert "timings.missing_silent" in await page.inner_text(".ahead")
        await page.goto(f"{page.root}returns/acme/{ids['review']}")
        text = await page.inner_text("main")
        assert "damaged by the customer" in text
        assert "process or decline it in Loop" in text
        await page.goto(f"{page.root}waiting")
        waiting = [f"acme/{ids[name]}" for name in ("review", "stuck", "hopeless")]
        assert sorted(await page.locator(".case-head a").all_inner_texts()) == sorted(waiting)
        since = [await one.get_attribute("datetime") for one in await page.locator(".case-head time").all()]
        assert since == sorted(since)
        assert "Return Service ID" in await page.inner_text(f".case:has-text('{ids['stuck']}')")


async def test_actions_say_what_they_do_and_are_signed(chromium, shop):
    """Link, retry, resolve, ask Amazon and cancel: each first says what it will do; the history has the person's name."""
    w, ids = shop
    async with browser(chromium, w) as page:
        stuck = f"{page.root}returns/acme/{ids['stuck']}"
        await page.goto(stuck)
        await page.click("text=Link an order")
        await page.fill("#given", "#2000")
        await page.click("text=Go on")
        assert "Amazon knows no order #2000" in await page.inner_text(".case")
        await page.click("main button:has-text('Link an order')")
        await page.wait_for_selector(".notice")
        await page.click("main a:has-text('Retry')")
        assert "again, with all attempts" in await page.inner_text(".case")
        await page.click("main button:has-text('Retry')")
        await page.wait_for_selector(".notice")
        shown = await w.state(ids["stuck"], "awaiting_inspection")
        assert ("linked it to #2000", PERSON) in [
            (row["detail"].get("how"), row["detail"].get("by")) for row in shown["history"]
        ]

        assert PERSON in [row["detail"].get("by") for row in shown["history"] if row["event"] == "Retried"]

        await page.goto(f"{page.root}returns/acme/{ids['hopeless']}")
        await page.click("text=Resolve")
        assert "Nothing is told to Loop" in await page.inner_text(".case")
        await page.click("main button:has-text('Resolve')")
        await page.wait_for_selector(".notice")
        await w.state(ids["hopeless"], "closed")
        assert f"{PERSON} closed it by hand" in await page.inner_text(".story")

        travels = f"{page.root}returns/acme/{ids['travels']}"
        await page.goto(travels)
        await page.click("text=Ask Amazon now")
        await page.click("main button:has-text('Ask Amazon now')")
        await page.wait_for_selector(".notice")
        assert f"{PERSON} had order #1001 read at Amazon" in await page.inner_text(".story")

        await page.goto(f"{page.root}returns/acme/{ids['review']}")
        await page.click("text=Retry")
        assert "Loop is asked whether its flag was lifted" in await page.inner_text(".case")
        await page.click("main button:has-text('Retry')")
        assert "lift its flag there" in await page.inner_text(".notice.failed")

        await page.goto(travels)
        await page.click("text=Cancel")
        assert "given back" in await page.inner_text(".case")
        assert (await w.daemon.show(ids["travels"]))["state"] == "awaiting_inspection"
        await page.click("text=Cancel this return")
        await page.wait_for_selector(".notice")
        assert PERSON in await cancelled_by(w, ids["travels"])
        assert f"{PERSON} cancelled it in mcfd" in await page.inner_text(".story")


async def test_a_return_that_mcfd_does_not_know(chromium, shop):
    """Searching for it says so; what taking it over would do is read from Loop first; a forgotten one is gone."""
    w, ids = shop
    async with browser(chromium, w) as page:
        await page.goto(f"{page.root}returns?q=58999999")
        await page.click("text=See whether mcfd can take over acme/58999999")
        await looks_well(page, "an unknown return")
        await page.click("text=See what would come of it")
        await page.wait_for_selector(".case")
        await looks_well(page, "taking over")
        assert await page.locator("button:has-text('Take it over')").count() == 0

        await page.goto(f"{page.root}returns/acme/{ids['clean']}")
        await page.click("text=Forget")
        assert "for good" in await page.inner_text(".case")
        await page.click("text=Erase this return")
        await page.wait_for_selector(".notice")
        await page.goto(f"{page.root}returns/acme/{ids['clean']}")
        assert "does not know" in await page.inner_text("h1")


async def test_the_setup_checks_and_sends(chromium, shop):
    """The doctor runs from the page, Loop's webhooks are created, and the link to Amazon is made."""
    w, _ = shop
    async with browser(chromium, w) as page:
        await page.goto(page.root + "setup")
        await page.click("text=Check now")
        await page.wait_for_selector(".checks li")
        assert await page.locator(".checks li").count() > 8
        await looks_well(page, "checks")
        await page.click("text=Create what is missing")
        await page.wait_for_selector(".case")
        assert "label.request" in await page.inner_text(".case") or "nothing to do" in await page.inner_text(".case")
        await page.click("text=Send a test")
        assert "notify:" in await page.inner_text(".case.bad")


async def test_what_is_typed_in_is_kept_and_never_shown(chromium, shop):
    """A credential is kept sealed, a reason is mapped at once; neither page shows the credential again."""
    w, _ = shop
    async with browser(chromium, w) as page:
        await page.goto(page.root + "setup")
        row = page.locator("li:has-text('easypost_api_key')").first
        await row.locator("input[type=password]").fill("EZAKabcdef123456")
        await row.locator("button:has-text('Keep')").click()
        await page.wait_for_selector(".notice:has-text('easypost_api_key: it is kept')")
        assert "EZAKabcdef" not in await page.content()
        await page.goto(page.root + "reasons")
        await page.locator("td summary").first.click()
        await page.locator("td input[name=code]").first.fill("CR-DEFECTIVE")
        await page.locator("td button").first.click()
        await page.wait_for_selector(".notice")
        assert "CR-DEFECTIVE" in await page.inner_text("table.rows")
        await looks_well(page, "reasons")


async def test_by_keyboard_alone(chromium, shop):
    """From the first page by Tab and Enter alone: to a return, to its cancel, and back without having done it."""
    w, ids = shop
    async with browser(chromium, w) as page:

        async def reach(words: str) -> None:
            for _ in range(60):
                await page.keyboard.press("Tab")
                if await page.evaluate("document.activeElement.innerText || ''") == words:
                    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                    assert outline != "none", words
                    async with page.expect_navigation():
                        await page.keyboard.press("Enter")
                    return
            pytest.fail(f"no Tab leads to {words}")

        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.innerText") == "Skip to the content"
        await reach("Returns")
        await reach(f"acme/{ids['travels']}")
        await reach("Cancel")
        await reach("Leave it as it is")
        assert (await w.daemon.show(ids["travels"]))["state"] == "awaiting_inspection"
        await reach("Log out")
        await page.wait_for_selector("#token")


async def test_without_a_script(chromium, shop):
    """Where no script runs everything is there, and an action is done."""
    w, ids = shop
    async with browser(chromium, w, script=False) as page:
        await page.goto(f"{page.root}returns/acme/{ids['travels']}")
        await page.click("text=Cancel")
        await page.click("text=Cancel this return")
        await page.wait_for_selector(".notice")
        assert PERSON in await cancelled_by(w, ids["travels"])


async def test_a_page_renews_itself(chromium, shop):
    """What happens meanwhile shows without a reload, and a person's scroll and the notice stay."""
    w, ids = shop
    async with browser(chromium, w) as page:
        await page.goto(page.root + "waiting")
        await page.evaluate("document.getElementById('live').setAttribute('hx-trigger', 'every 200ms')")
        await page.evaluate("htmx.process(document.getElementById('live'))")
        assert await page.locator(".case").count() == 3
        w.sandbox.settle_review(ids["review"], "close")
        await w.state(ids["review"], "closed")
        await page.evaluate(
            "htmx.ajax('GET', location.pathname, {target: '#live', select: '#live', swap: 'outerHTML'})"
        )
        await page.wait_for_function("document.querySelectorAll('.case').length === 2")


async def test_nothing_about_the_shopper_is_on_any_page(chromium, shop):
    """No page of a return has the shopper's mail, name or address, nor a link to a label."""
    w, ids = shop
    details = w.sandbox.snapshot()["loop"]["returns"][str(ids["travels"])]
    async with browser(chromium, w) as page:
        for path in ("", "returns", "waiting", *(f"returns/acme/{number}?all" for number in ids.values())):
            await page.goto(page.root + path)
            content = await page.content()
            for private in (
                "rowan@example.org",
                "Rowan",
                "83702",
                "/labels/",
                details["delivered_labels"][0]["label_url"],
            ):
                assert private not in content, (path, private)
            assert not re.search(r'href="https?://', content), path
