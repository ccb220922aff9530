"""The website workflow by the clock: what is good once, for whom, and for how long."""

import asyncio
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.host.vault import Vault
from daemon.errors import OperatorError, Refused, Unavailable
from daemon.operations.authorization import (
    CONSENTS_MARK,
    LIFE,
    MOST_BROWSERS,
    MOST_INVITATIONS,
    Authorization,
    Begun,
    Ending,
    RefreshTokens,
    Seller,
)
from daemon.operations.credential_ages import Ages
from tests.support.virtual_time import FakeClock


class Trader:
    """Trades every code, or fails as told."""

    def __init__(self) -> None:
        self.traded: list[tuple[str, str]] = []
        self.failure: Exception | None = None

    async def trade_code(self, code: str, redirect_uri: str) -> str:
        self.traded.append((code, redirect_uri))
        if self.failure:
            raise self.failure
        return f"Atzr|{code}"


class Setup:
    """An authorization with all that it works with."""

    def __init__(self, store, *, application_id: str | None = "amzn1.sp.solution.x", from_file: str | None = None):
        self.clock = FakeClock()
        self.trader = Trader()
        self.concealed: list[str] = []
        self.done = 0
        self.file = from_file
        self.vault = Vault([b"k" * 32])
        self.tokens = RefreshTokens(store, self.vault, lambda: self.file, self.concealed.extend)
        self.ages = Ages(store, self.clock, self.tokens)
        numbers = iter(range(1000))
        seller = Seller(
            tokens=self.tokens,
            trader=self.trader,
            consent_page="https://sellercentral.amazon.com/apps/authorize/consent?version=beta",
            application_id=application_id,
            authorized=self._done,
        )
        self.elsewhere = partial(
            Authorization,
            {"main": seller},
            store,
            self.clock,
            public_url="https://returns.example.com",
            new_token=lambda: f"token-{next(numbers)}",
        )
        self.authorization = self.elsewhere()

    async def _done(self) -> None:
        self.done += 1

    async def invited(self) -> str:
        """The one-time token of a new invitation."""
        return parse_qs(urlsplit(str((await self.authorization.invite()).url)).query)["t"][0]

    async def pending_calls(self) -> tuple[Begun, str]:
        """An opened invitation and its state."""
        pending_calls = await self.authorization.begin(await self.invited())
        assert pending_calls is not None
        return pending_calls, parse_qs(urlsplit(pending_calls.consent_url).query)["state"][0]

    async def finish(self, pending_calls: Begun, state: str, code: str = "code") -> Ending:
        return await self.authorization.finish(cookie=pending_calls.cookie, state=state, code=code, seller="SELLER")


@pytest.fixture
async def store(new_store):
    """An empty store."""
    async with await new_store() as opened:
        yield opened


@pytest.fixture
def context(store):
    """Nobody is authorized yet."""
    return Setup(store)


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)  # it looks into the file
async def test_the_whole_way(context, store):
    """The browser is sent to the consent page with what it needs; the traded token is in use, sealed and concealed."""
    pending_calls, state = await context.pending_calls()
    page = urlsplit(pending_calls.consent_url)
    assert page.netloc == "sellercentral.amazon.com"
    assert {k: v[0] for k, v in parse_qs(page.query).items()} == {
        "version": "beta",
        "application_id": "amzn1.sp.solution.x",
        "state": state,
        "redirect_uri": "https://returns.example.com/oauth/amazon/callback",
    }
    assert context.tokens.current() is None
    assert await context.finish(pending_calls, state) is Ending.DONE
    assert context.trader.traded == [("code", "https://returns.example.com/oauth/amazon/callback")]
    assert context.tokens.current() == "Atzr|code"
    assert context.concealed == ["Atzr|code"]
    assert context.done == 1

    again = Setup(store)
    await again.tokens.load()
    assert again.tokens.current() == "Atzr|code"
    assert b"Atzr|code" not in store.path.read_bytes() + store.path.with_name("mcfd.db-wal").read_bytes()
    assert b"SELLER" not in store.path.read_bytes() + store.path.with_name("mcfd.db-wal").read_bytes()


async def test_a_preview_of_the_link_does_not_use_it_up(context):
    """A chat opens the link before its reader does; whose consent comes first counts, and then the link is used up."""
    token = await context.invited()
    begun = [await context.authorization.begin(token) for _ in range(3)]
    states = [parse_qs(urlsplit(one.consent_url).query)["state"][0] for one in begun]
    assert await context.finish(begun[1], states[1]) is Ending.DONE
    assert await context.finish(begun[2], states[2]) is Ending.STALE
    assert await context.authorization.begin(token) is None
    assert len(context.trader.traded) == 1


async def test_a_browser_may_come_back_to_another_node(context, store):
    """What one daemon began another ends, or the same after a restart; the store holds no secret of it."""
    token = await context.invited()
    begun = await context.elsewhere().begin(token)
    state = parse_qs(urlsplit(begun.consent_url).query)["state"][0]
    kept = await store.read(lambda uow: uow.mark(CONSENTS_MARK))
    assert not any(secret in kept for secret in (token, state, begun.cookie))
    back = {"cookie": begun.cookie, "state": state, "code": "code", "seller": "SELLER"}
    ends = await asyncio.gather(*(context.elsewhere().finish(**back) for _ in range(3)))
    assert sorted(ends) == [Ending.DONE, Ending.STALE, Ending.STALE]
    assert len(context.trader.traded) == 1


async def test_browsers_do_not_pile_up(context):
    """Whoever opens a link many times only loses the oldest of the browsers."""
    token = await context.invited()
    begun = [await context.authorization.begin(token) for _ in range(MOST_BROWSERS + 1)]
    first, second = (parse_qs(urlsplit(one.consent_url).query)["state"][0] for one in begun[:2])
    assert await context.finish(begun[0], first) is Ending.STALE
    assert await context.finish(begun[1], second) is Ending.DONE


async def test_a_link_of_an_account_that_is_gone_leads_nowhere(context):
    """A renamed account's link is stale, and nothing fails."""
    token = await context.invited()
    begun, state = await context.pending_calls()
    nobody = context.elsewhere()
    nobody._sellers = {}
    assert await nobody.begin(token) is None
    assert await nobody.finish(cookie=begun.cookie, state=state, code="code", seller="S") is Ending.STALE


async def test_an_invitation_is_good_for_a_while(context):
    """A guess and a latecomer get nothing."""
    token = await context.invited()
    assert await context.authorization.begin("a guess") is None
    assert await context.authorization.begin(token) is not None
    late = await context.invited()
    context.clock.advance(LIFE)
    assert await context.authorization.begin(late) is None


async def test_a_state_is_good_once_for_its_browser_and_for_a_while(context):
    """Wrong, reused or late states, and the right one in another browser, trade nothing and keep nothing."""
    pending_calls, state = await context.pending_calls()
    assert await context.finish(pending_calls, "another state") is Ending.STALE
    assert await context.authorization.finish(cookie="", state=state, code="c", seller="S") is Ending.STALE
    assert await context.finish(pending_calls, state) is Ending.STALE  # used up by the wrong browser
    pending_calls, state = await context.pending_calls()
    assert await context.finish(pending_calls, state, code="") is Ending.STALE
    pending_calls, state = await context.pending_calls()
    context.clock.advance(LIFE)
    assert await context.finish(pending_calls, state) is Ending.STALE
    assert context.trader.traded == []
    assert context.tokens.current() is None
    pending_calls, state = await context.pending_calls()
    assert await context.finish(pending_calls, state) is Ending.DONE
    assert await context.finish(pending_calls, state) is Ending.STALE
    assert len(context.trader.traded) == 1


@pytest.mark.parametrize(
    ("failure", "ending"),
    [(Refused("invalid_grant", "no"), Ending.REFUSED), (Unavailable("away"), Ending.UNAVAILABLE)],
)
async def test_a_code_that_is_not_traded_changes_nothing(context, failure, ending):
    """When Login with Amazon declines or is away, the token before stays in use."""
    pending_calls, state = await context.pending_calls()
    await context.finish(pending_calls, state, "first")
    context.trader.failure = failure
    pending_calls, state = await context.pending_calls()
    assert await context.finish(pending_calls, state, "second") is ending
    assert context.tokens.current() == "Atzr|first"
    assert context.done == 1


async def test_invitations_do_not_pile_up(context):
    """Of many invitations only the newest are good."""
    tokens = [await context.invited() for _ in range(MOST_INVITATIONS + 5)]
    assert await context.authorization.begin(tokens[0]) is None
    assert await context.authorization.begin(tokens[-1]) is not None


async def test_without_an_application_id_there_is_no_link(store):
    """An operator is told which key is missing."""
    with pytest.raises(OperatorError, match="application_id"):
        await Setup(store, application_id=None).authorization.invite()


async def test_the_secret_file_wins(store):
    """While the secret file is there it is in use, and the invitation warns of it."""
    context = Setup(store, from_file="Atzr|file")
    assert "secret file" in str((await context.authorization.invite()).warning)
    pending_calls, state = await context.pending_calls()
    await context.finish(pending_calls, state)
    assert context.tokens.current() == "Atzr|file"
    context.file = None
    assert context.tokens.current() == "Atzr|code"


async def test_ages_are_counted_from_the_first_sight(context, store):
    """A client secret is as old as its first appearance, and an authorization as its consent; none is NaN."""
    await context.ages.look(["old secret"])
    assert context.ages.authorization_days() != context.ages.authorization_days()
    context.clock.advance(100 * 86400.0)
    pending_calls, state = await context.pending_calls()
    await context.finish(pending_calls, state)
    context.clock.advance(50 * 86400.0)
    await context.ages.look(["old secret"])
    assert (round(context.ages.secret_days()), round(context.ages.authorization_days())) == (150, 50)
    await context.ages.look(["new secret", "old secret"])
    assert round(context.ages.secret_days()) == 0
    context.file = "Atzr|file"
    await context.ages.look(["new secret"])
    context.clock.advance(86400.0)
    assert round(context.ages.authorization_days()) == 1


async def test_whoever_only_looks_leaves_no_mark(context, store):
    """Without noting, a secret that was not seen before counts from now, and is not remembered."""
    await context.ages.look(["secret"], noting=False)
    assert round(context.ages.secret_days()) == 0
    assert await store.read(lambda uow: uow.mark("first-seen/amazon_client_secret")) is None


async def test_a_consent_is_for_the_account_that_its_link_was_made_for(store):
    """The token of whoever signs in through a link of one account never becomes another account's."""
    clock, vault, numbers = FakeClock(), Vault([b"k" * 32]), iter(range(100))
    traders = {name: Trader() for name in ("acme", "zeta")}
    tokens = {name: RefreshTokens(store, vault, lambda: None, lambda _: None, account=name) for name in traders}

    async def authorized() -> None:
        pass

    sellers = {
        name: Seller(
            tokens=tokens[name],
            trader=trader,
            consent_page=f"https://{name}.test/consent",
            application_id=f"amzn1.sp.solution.{name}",
            authorized=authorized,
        )
        for name, trader in traders.items()
    }
    authorization = Authorization(
        sellers, store, clock, public_url="https://r.test", new_token=lambda: f"token-{next(numbers)}"
    )
    invited = parse_qs(urlsplit(str((await authorization.invite("zeta")).url)).query)["t"][0]
    begun = await authorization.begin(invited)
    assert begun is not None
    assert urlsplit(begun.consent_url).hostname == "zeta.test"
    state = parse_qs(urlsplit(begun.consent_url).query)["state"][0]
    assert await authorization.finish(cookie=begun.cookie, state=state, code="c", seller="S") is Ending.DONE
    assert (tokens["zeta"].current(), tokens["acme"].current()) == ("Atzr|c", None)
    assert traders["acme"].traded == []
    again = {name: RefreshTokens(store, vault, lambda: None, lambda _: None, account=name) for name in traders}
    for one in again.values():
        await one.load()
    assert (again["zeta"].current(), again["acme"].current()) == ("Atzr|c", None)
