"""The sandbox's page in a real browser: a person can play a return to its end, on a desk and on a phone."""

import aiohttp
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe

from adapters.host.clock import SystemClock
from adapters.sandbox import Sandbox, SandboxOptions

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

SIZES = {"phone": {"width": 360, "height": 740}, "desk": {"width": 1280, "height": 900}}
LOOKS = [("desk", "light"), ("phone", "dark")]
"""Both widths and both schemes: the pages' styles ask for one or the other, never for both at once."""


@pytest_asyncio.fixture(loop_scope="session")
async def sandbox():
    """A sandbox on ports of its own, with one return in the works and one that has ended."""
    async with Sandbox(SandboxOptions(enforce_limits=False), SystemClock()) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session", params=LOOKS, ids="-".join)
async def page(request, chromium, sandbox):
    """The page, as large and as bright as this person has it; an error of its script fails the test."""
    size, scheme = request.param
    context = await chromium.new_context(viewport=SIZES[size], color_scheme=scheme)
    page = await context.new_page()
    broken = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    await page.goto(sandbox.control_url.removesuffix("control"))
    yield page
    await context.close()
    assert broken == []


async def submit(page, order: str, sku: str) -> None:
    """A shopper returns something, by the page's own form."""
    await page.fill("#submit [name=order]", order)
    await page.fill("#submit [name=sku]", sku)
    await page.click("#submit button")
    await page.wait_for_selector(f".card:has-text('#{order}')")


async def test_a_person_finds_a_return_and_what_it_needs(page, sandbox):
    """What is open is unfolded, what has ended is folded; search and the tick choose; nothing overflows; axe finds nothing."""
    await submit(page, "1001", "SOCK")
    await submit(page, "1002", "MUG")
    ended = page.locator(".card", has_text="#1002")
    await ended.get_by_role("button", name="Cancel").click()
    await page.wait_for_selector(".card.cancelled")
    await page.reload()
    await page.wait_for_selector(".card.cancelled")
    assert await page.locator(".card[open]").count() == 1
    assert await page.locator(".card.cancelled[open]").count() == 0
    assert await page.locator("#count").inner_text() == "2 of 2"

    await page.fill("#find [name=text]", "mug")
    assert await page.locator(".card").count() == 1
    await page.uncheck("#find [name=ended]")
    assert await page.locator("#returns").inner_text() == "None is like that."
    await page.fill("#find [name=text]", "")

    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    found = (await Axe().run(page)).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []


async def test_a_delivered_label_is_a_link(page, sandbox):
    """What a provider delivered by the API opens from the card; a link that is no web address is none."""
    await submit(page, "1003", "CAP")
    (request_id,) = sandbox.snapshot()["loop"]["label_requests"]
    await post_label(sandbox, request_id, "https://returns.test/labels/x.pdf")
    link = page.locator(".card .labels a")
    await link.wait_for()
    assert await link.get_attribute("href") == "https://returns.test/labels/x.pdf"
    assert "1Z77" in await page.inner_text(".card .labels")
    await page.fill("#find [name=text]", "1z77")
    assert await page.locator(".card").count() == 1


async def post_label(sandbox, request_id: str, url: str) -> None:
    """Deliver a label as a provider does."""
    body = {
        "label_request_id": int(request_id) if request_id.isdigit() else request_id,
        "carrier": "UPS",
        "tracking_number": "1Z77",
        "label_url": url,
        "rate": {"amount": 799, "currency_code": "USD"},
    }
    async with aiohttp.ClientSession() as session:
        headers = {"X-Authorization": sandbox.options.loop_api_key}
        async with session.post(f"{sandbox.loop_url}/2026-10/labels", json=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
