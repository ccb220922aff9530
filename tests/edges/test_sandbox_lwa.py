"""The stand-in for Login with Amazon trades, refuses, ends and takes back tokens as the pages say."""

import pytest
from yarl import URL

from tests.edges.test_sandbox_swagger import FBA, outside


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"refresh_token": "Atzr|other"}, 400, "invalid_grant"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "wrong"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"refresh_token": ""}, 400, "invalid_request"),
        ({"grant_type": "client_credentials", "scope": "x"}, 400, "invalid_scope"),
    ],
)
async def test_lwa_refuses_as_documented(changes, status, error):
    """Each wrong member of a token request gets its own status and error."""
    async with outside() as out:
        answer = await out.log_in(**changes)
        assert (answer.status, answer.body["error"]) == (status, error)
        assert answer.body["error_description"]


async def test_a_token_request_must_be_a_form():
    """LWA reads forms, not JSON."""
    async with outside() as out:
        answer = await out.send("POST", out.sandbox.lwa_url, json={"grant_type": "refresh_token"})
        assert (answer.status, answer.body["error"]) == (400, "invalid_request")


async def test_an_access_token_ends_after_its_hour():
    """A token works for an hour, then the API answers 403 and a new one works."""
    async with outside() as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        out.clock.shift = 3590
        assert (await out.order("A-1")).status == 200
        out.clock.shift = 3610
        late = await out.order("A-1")
        assert late.status == 403
        assert late.body["errors"][0]["code"] == "Unauthorized"
        assert "expired" in late.body["errors"][0]["details"]
        await out.log_in()
        assert (await out.order("A-1")).status == 200


async def test_a_missing_token_is_a_401():
    """Without an access token the API says that one is missing."""
    async with outside() as out:
        url = f"{out.sandbox.amazon_url}{FBA}/fulfillmentOrders/A-1"
        answer = await out.send("GET", url)
        assert (answer.status, answer.body["errors"][0]["code"]) == (401, "MissingAuthenticationToken")


async def test_consent_taken_back_and_given_again():
    """After a revocation both tokens are refused, until the seller agrees again."""
    async with outside() as out:
        out.sandbox.revoke_access()
        assert (await out.order("A-1")).status == 403
        assert (await out.log_in()).body["error"] == "invalid_grant"
        out.sandbox.restore_access()
        assert (await out.log_in()).status == 200


async def test_a_rotated_secret_replaces_the_old_one():
    """A new client secret works; the old one only while it is kept."""
    async with outside() as out:
        out.sandbox.rotate_client_secret("second", keep_old=True)
        assert (await out.log_in()).status == 200
        out.sandbox.rotate_client_secret("third")
        assert (await out.log_in()).body["error"] == "invalid_client"
        assert (await out.log_in(client_secret="third")).status == 200


async def test_a_consent_code_buys_a_refresh_token_once_and_in_time():
    """The consent page sends the browser back with a code that works once, within five minutes."""
    async with outside() as out:
        options = out.sandbox.options
        page = URL(out.sandbox.consent_url).with_query(
            application_id=options.application_id, state="s/1", redirect_uri="https://shop.example/cb?x=1"
        )
        answer = await out.send("GET", str(page))
        back = URL(answer.headers["Location"])
        assert (answer.status, back.host, back.query["x"], back.query["state"]) == (302, "shop.example", "1", "s/1")
        code = {"grant_type": "authorization_code", "redirect_uri": "https://shop.example/cb?x=1"}
        first = await out.log_in(**code, code=back.query["spapi_oauth_code"])
        assert (await out.log_in(refresh_token=first.body["refresh_token"])).status == 200
        again = await out.log_in(**code, code=back.query["spapi_oauth_code"])
        assert again.body["error"] == "invalid_grant"
        late = URL((await out.send("GET", str(page))).headers["Location"]).query["spapi_oauth_code"]
        out.clock.shift = 301
        assert (await out.log_in(**code, code=late)).body["error"] == "invalid_grant"


async def test_consent_for_a_stranger_is_refused():
    """Another application id, or an unregistered redirect URI, gets Amazon's error page."""
    async with outside(redirect_uri="https://mine.example/cb") as out:
        page = URL(out.sandbox.consent_url)
        assert "MD1000" in (await out.send("GET", str(page.with_query(application_id="x")))).text
        mine = {"application_id": out.sandbox.options.application_id, "redirect_uri": "https://evil.example/"}
        assert "MD5101" in (await out.send("GET", str(page.with_query(mine)))).text
