"""The website workflow by the clock: what is good once, for whom, and for how long."""

from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.host.vault import Vault
from adapters.sqlite.store import open_store
from daemon.errors import Refused, Unavailable
from daemon.operations.authorization import LIFE, MOST_INVITATIONS, Authorization, Begun, Ending, RefreshTokens
from daemon.operations.credential_ages import Ages
from daemon.operations.parameters import OperatorError
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


class Desk:
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
        self.authorization = Authorization(
            self.tokens,
            self.trader,
            self.clock,
            public_url="https://returns.example.com",
            consent_page="https://sellercentral.amazon.com/apps/authorize/consent?version=beta",
            application_id=application_id,
            new_token=lambda: f"token-{next(numbers)}",
            authorized=self._done,
        )

    async def _done(self) -> None:
        self.done += 1

    def invited(self) -> str:
        """The one-time token of a new invitation."""
        return parse_qs(urlsplit(str(self.authorization.invite()["url"])).query)["t"][0]

    def begun(self) -> tuple[Begun, str]:
        """An opened invitation and its state."""
        begun = self.authorization.begin(self.invited())
        assert begun is not None
        return begun, parse_qs(urlsplit(begun.consent_url).query)["state"][0]

    async def finish(self, begun: Begun, state: str, code: str = "code") -> Ending:
        return await self.authorization.finish(cookie=begun.cookie, state=state, code=code, seller="SELLER")


@pytest.fixture
async def store(tmp_path):
    """An empty store."""
    async with await open_store(tmp_path / "mcfd.db") as opened:
        yield opened


@pytest.fixture
def desk(store):
    """Nobody is authorized yet."""
    return Desk(store)


async def test_the_whole_way(desk, store):
    """The browser is sent to the consent page with what it needs; the traded token is in use, sealed and concealed."""
    begun, state = desk.begun()
    page = urlsplit(begun.consent_url)
    assert page.netloc == "sellercentral.amazon.com"
    assert {k: v[0] for k, v in parse_qs(page.query).items()} == {
        "version": "beta",
        "application_id": "amzn1.sp.solution.x",
        "state": state,
        "redirect_uri": "https://returns.example.com/oauth/amazon/callback",
    }
    assert desk.tokens.current() is None
    assert await desk.finish(begun, state) is Ending.DONE
    assert desk.trader.traded == [("code", "https://returns.example.com/oauth/amazon/callback")]
    assert desk.tokens.current() == "Atzr|code"
    assert desk.concealed == ["Atzr|code"]
    assert desk.done == 1

    again = Desk(store)
    await again.tokens.load()
    assert again.tokens.current() == "Atzr|code"
    assert b"Atzr|code" not in store.path.read_bytes() + store.path.with_name("mcfd.db-wal").read_bytes()
    assert b"SELLER" not in store.path.read_bytes() + store.path.with_name("mcfd.db-wal").read_bytes()


async def test_an_invitation_is_good_once_and_for_a_while(desk):
    """A second browser, a guess and a latecomer get nothing."""
    token = desk.invited()
    assert desk.authorization.begin("a guess") is None
    assert desk.authorization.begin(token) is not None
    assert desk.authorization.begin(token) is None
    late = desk.invited()
    desk.clock.advance(LIFE)
    assert desk.authorization.begin(late) is None


async def test_a_state_is_good_once_for_its_browser_and_for_a_while(desk):
    """Wrong, reused or late states, and the right one in another browser, trade nothing and keep nothing."""
    begun, state = desk.begun()
    assert await desk.finish(begun, "another state") is Ending.STALE
    assert await desk.authorization.finish(cookie="", state=state, code="c", seller="S") is Ending.STALE
    assert await desk.finish(begun, state) is Ending.STALE  # used up by the wrong browser
    begun, state = desk.begun()
    assert await desk.finish(begun, state, code="") is Ending.STALE
    begun, state = desk.begun()
    desk.clock.advance(LIFE)
    assert await desk.finish(begun, state) is Ending.STALE
    assert desk.trader.traded == []
    assert desk.tokens.current() is None
    begun, state = desk.begun()
    assert await desk.finish(begun, state) is Ending.DONE
    assert await desk.finish(begun, state) is Ending.STALE
    assert len(desk.trader.traded) == 1


@pytest.mark.parametrize(
    ("failure", "ending"),
    [(Refused("invalid_grant", "no"), Ending.REFUSED), (Unavailable("away"), Ending.UNAVAILABLE)],
)
async def test_a_code_that_is_not_traded_changes_nothing(desk, failure, ending):
    """When Login with Amazon declines or is away, the token before stays in use."""
    begun, state = desk.begun()
    await desk.finish(begun, state, "first")
    desk.trader.failure = failure
    begun, state = desk.begun()
    assert await desk.finish(begun, state, "second") is ending
    assert desk.tokens.current() == "Atzr|first"
    assert desk.done == 1


async def test_invitations_do_not_pile_up(desk):
    """Of many invitations only the newest are good."""
    tokens = [desk.invited() for _ in range(MOST_INVITATIONS + 5)]
    assert desk.authorization.begin(tokens[0]) is None
    assert desk.authorization.begin(tokens[-1]) is not None


async def test_without_an_application_id_there_is_no_link(store):
    """An operator is told which key is missing."""
    with pytest.raises(OperatorError, match="application_id"):
        Desk(store, application_id=None).authorization.invite()


async def test_the_secret_file_wins(store):
    """While the secret file is there it is in use, and the invitation warns of it."""
    desk = Desk(store, from_file="Atzr|file")
    assert "secret file" in str(desk.authorization.invite()["warning"])
    begun, state = desk.begun()
    await desk.finish(begun, state)
    assert desk.tokens.current() == "Atzr|file"
    desk.file = None
    assert desk.tokens.current() == "Atzr|code"


async def test_ages_are_counted_from_the_first_sight(desk, store):
    """A client secret is as old as its first appearance, and an authorization as its consent; none is NaN."""
    await desk.ages.look(["old secret"])
    assert desk.ages.authorization_days() != desk.ages.authorization_days()
    desk.clock.advance(100 * 86400.0)
    begun, state = desk.begun()
    await desk.finish(begun, state)
    desk.clock.advance(50 * 86400.0)
    await desk.ages.look(["old secret"])
    assert (round(desk.ages.secret_days()), round(desk.ages.authorization_days())) == (150, 50)
    await desk.ages.look(["new secret", "old secret"])
    assert round(desk.ages.secret_days()) == 0
    desk.file = "Atzr|file"
    await desk.ages.look(["new secret"])
    desk.clock.advance(86400.0)
    assert round(desk.ages.authorization_days()) == 1


async def test_whoever_only_looks_leaves_no_mark(desk, store):
    """Without noting, a secret that was not seen before counts from now, and is not remembered."""
    await desk.ages.look(["secret"], noting=False)
    assert round(desk.ages.secret_days()) == 0
    assert await store.read(lambda uow: uow.mark("first-seen/amazon_client_secret")) is None
