"""`mcfd authorize amazon`: from a daemon without a token to one that works, through both browsers' pages."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from tests.e2e.gate import Gate, gated
from tests.e2e.world import SOCK, World, until

pytestmark = pytest.mark.timeout(120)

STATE = "11112222333344445555666677778888"


@asynccontextmanager
async def strangers(folder) -> AsyncIterator[tuple[World, Gate]]:
    """A daemon that Amazon does not know yet, with an application that it does."""
    async with gated(folder) as (w, gate):
        options = w.sandbox.options
        w.daemon.config["amazon"] |= {
            "application_id": options.application_id,
            "consent_url": f"{w.sandbox.consent_url}?version=beta",
        }
        w.daemon.secrets.pop("amazon_refresh_token")
        (folder / "secrets" / "amazon_refresh_token").unlink(missing_ok=True)
        await w.daemon.start()
        w.subscribe()
        yield w, gate


def browser() -> aiohttp.ClientSession:
    """One that keeps cookies, also of IP addresses."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def link(w: World) -> str:
    """What the command prints."""
    said = await w.daemon.cli("authorize", "amazon")
    assert said.status == 0, said.stderr
    return said.stdout.strip()


async def test_from_a_stranger_to_a_guest(tmp_path):
    """The link leads through Amazon's page to a kept authorization; what waited goes on at once."""
    async with strangers(tmp_path) as (w, gate):
        return_id = w.submit("#6101", SOCK)
        await until("it was tried", lambda: w.daemon.heard("step.postponed"))
        assert (await w.daemon.metrics())['mcfd_connection_parked{account="main",connection="amazon"}'] == 1

        url = await link(w)
        assert re.fullmatch(rf"{gate.url}/oauth/amazon/start\?t=[A-Za-z0-9_-]{{43}}", url)
        async with browser() as session, session.get(url) as page:
            assert page.status == 200
            assert "connected" in await page.text()
            to_amazon, back = (hop.headers["Location"] for hop in page.history)
            first = page.history[0]
            asked = {name: value[0] for name, value in parse_qs(urlsplit(to_amazon).query).items()}
            assert asked["version"] == "beta"
            assert asked["application_id"] == w.sandbox.options.application_id
            assert back.startswith(f"{gate.url}/oauth/amazon/callback?")
            cookie = first.cookies["mcfd_authorization"]
            assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "Lax", "")
            for answer in (first, page):
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert answer.headers["Cache-Control"] == "no-store"
        await w.labelled(return_id)
        metrics = await w.daemon.metrics()
        assert metrics['mcfd_connection_parked{account="main",connection="amazon"}'] == 0
        assert 364 < metrics['mcfd_authorization_days_left{account="main"}'] <= 365
        assert 179 < metrics['mcfd_client_secret_days_left{account="main"}'] <= 180
        assert (await w.daemon.ops("/readyz"))[0] == 200

        await w.restart()
        await w.labelled(w.submit("#6102", SOCK))
        doctor = await w.daemon.cli("doctor", "--json")
        token = next(row for row in doctor.json["lines"] if row["what"] == "token")
        assert (token["verdict"], "mcfd authorize amazon" in token["text"]) == ("ok", True)

        assert await w.daemon.sigterm() == 0
        said = "\n".join(w.daemon.lines)
        for file in w.daemon.state.iterdir():
            assert b"Atzr|" not in file.read_bytes()
        for hidden in ("Atzr|", url.partition("t=")[2], asked["state"], cookie.value, "sandbox-code"):
            assert hidden not in said


async def test_what_is_wrong_leads_nowhere(tmp_path):
    """Guesses, reused links and states, and another browser get a plain page with 400; nothing is kept."""
    async with strangers(tmp_path) as (w, gate):
        url = await link(w)
        callback = f"{gate.url}/oauth/amazon/callback"

        async def get(session: aiohttp.ClientSession, address: str) -> tuple[int, str]:
            async with session.get(address, allow_redirects=False) as page:
                assert page.headers["Referrer-Policy"] == "no-referrer"
                assert page.headers["Content-Type"].startswith("text/plain")
                return page.status, page.headers.get("Location", "")

        async with browser() as session, browser() as other:
            assert await get(session, f"{gate.url}/oauth/amazon/start?t={STATE}") == (400, "")
            assert await get(session, f"{gate.url}/oauth/amazon/start") == (400, "")
            status, to_amazon = await get(session, url)
            assert status == 302
            assert (await get(other, url))[0] == 302  # a chat shows a preview: that does not use the link up
            assert await get(session, callback) == (400, "")
            wrong = f"{callback}?state={STATE}&spapi_oauth_code=x&selling_partner_id=S"
            assert await get(session, wrong) == (400, "")
            async with session.get(to_amazon, allow_redirects=False) as consent:
                back = consent.headers["Location"]
            assert await get(other, back) == (400, "")  # another browser, and the state is used up by it
            assert await get(session, back) == (400, "")
            async with session.post(callback) as page:
                assert page.status == 405
        assert w.calls("token") == 0
        assert await w.daemon.ops("/readyz") == (503, {"ok": False, "problems": {"amazon": "credentials: no_token"}})

        again = await link(w)
        async with browser() as session, session.get(again) as page:
            assert page.status == 200
        async with browser() as session:
            assert await get(session, again) == (400, "")  # the consent has
        assert w.calls("token") >= 1


async def test_a_code_that_amazon_does_not_take(tmp_path):
    """A made-up code is traded, refused and told plainly; the daemon stays without a token."""
    async with strangers(tmp_path) as (w, gate):
        async with browser() as session:
            async with session.get(await link(w), allow_redirects=False) as page:
                state = parse_qs(urlsplit(page.headers["Location"]).query)["state"][0]
            made_up = f"{gate.url}/oauth/amazon/callback?state={state}&spapi_oauth_code=made-up&selling_partner_id=S"
            async with session.get(made_up) as page:
                assert (page.status, "did not accept" in await page.text()) == (400, True)
        assert w.calls("token") == 1
        assert (await w.daemon.ops("/readyz"))[0] == 503


async def test_what_an_operator_must_have(tmp_path):
    """Without a running daemon, or without amazon.application_id, the command says what is missing and exits 1."""
    async with gated(tmp_path) as (w, _):
        w.daemon.write_files()
        down = await w.daemon.cli("authorize", "amazon")
        assert (down.status, "no daemon answers" in down.stderr) == (1, True)
        await w.daemon.start()
        unnamed = await w.daemon.cli("authorize", "amazon")
        assert (unnamed.status, "application_id" in unnamed.stderr) == (1, True)
        assert unnamed.stdout == ""
