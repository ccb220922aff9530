"""Where verbs run when several nodes share the accounts."""

import pytest

from daemon.errors import OperatorError
from daemon.operations.sharing import Owners, added_up
from daemon.operations.verb import OfAccount, OfReturns, OfShop
from daemon.operations.verbs import VERBS
from daemon.operations.verbs.adoption import ADOPT, Adopt

ACCOUNT_OF = {"acme": "one", "acme-eu": "one", "zeta": "two"}


class Store:
    """Knows return 7 of acme, and return 8 of two shops."""

    async def read(self, work):
        return work(self)

    def find(self, return_id):
        return {"7": [("acme", "7")], "8": [("acme", "8"), ("zeta", "8")]}.get(return_id, [])


@pytest.mark.parametrize(
    ("concerns", "accounts"),
    [
        (OfShop(), ["one", "two"]),
        (OfShop("acme-eu"), ["one"]),
        (OfShop("nope"), []),
        (OfAccount("two"), ["two"]),
        (OfAccount("nope"), []),
        (OfReturns(("7",)), ["one"]),
        (OfReturns(("8",)), []),
        (OfReturns(("zeta/8",)), ["two"]),
        (OfReturns(("zeta/9",)), ["two"]),
        (OfReturns(("9",)), []),
        (OfReturns(("7", "zeta/8", "acme-eu/1")), ["one", "two"]),
    ],
)
async def test_the_accounts_that_a_verb_concerns(concerns, accounts):
    """They are those of its shop, its returns or its account; none where the verb has to say what is wrong."""
    owners = Owners(store=Store(), accounts=["one", "two"], account_of=ACCOUNT_OF)
    assert await owners.of(concerns) == accounts


async def test_one_account_need_not_be_named():
    """With one shop and one account all is theirs; with several, the operator is told which there are."""
    alone = Owners(store=Store(), accounts=["one"], account_of={"acme": "one"})
    assert await alone.of(OfAccount(None)) == ["one"]
    assert await alone.of(OfReturns(("unknown",))) == ["one"]
    several = Owners(store=Store(), accounts=["one", "two"], account_of=ACCOUNT_OF)
    with pytest.raises(OperatorError, match="name one with --account: one, two"):
        await several.of(OfAccount(None))


def test_answers_are_added_up():
    """Lists go on, and the whole is well if every part is."""
    parts = [{"ok": True, "lines": [1]}, {"ok": False, "lines": [2]}, {"ok": True, "lines": []}]
    assert added_up(parts) == {"ok": False, "lines": [1, 2]}


def test_every_verb_that_calls_vendors_says_whose():
    """Those and no others; a verb that names nobody works with the store alone, on every node."""
    named = {verb.name for verb in VERBS if verb.concerns(_some(verb)) is not None}
    assert named == {
        *("doctor", "connections", "webhooks list", "webhooks sync", "reasons"),
        *("notifications list", "notifications sync", "rotate-client-secret"),
        *("match", "link", "retry", "adopt"),
    }
    assert {verb.name for verb in VERBS if verb.sends} == {
        *("webhooks sync", "notifications sync", "rotate-client-secret")
    }
    assert all(verb.concerns(_some(verb)) is not None for verb in VERBS if verb.without)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.without], ids=lambda verb: verb.name)
def test_an_account_that_cannot_be_asked_has_its_place_in_the_answer(verb):
    """What stands for it is an answer of the verb that means failure, and names the account and why."""
    answer = verb.without("acme", "nobody works it")
    assert verb.answer.model_validate(answer).model_dump(mode="json", exclude_unset=True) == answer
    assert verb.failed(answer)
    assert "acme" in str(answer)
    assert "nobody works it" in str(answer)


def test_adopt_names_returns_with_their_shop():
    """A return is of the shop that --shop says, unless it says its own."""
    given = Adopt(by="ann", returns=["1", "zeta/2"], shop="acme")
    assert ADOPT.concerns(given) == OfReturns(("acme/1", "zeta/2"))
    assert ADOPT.concerns(Adopt(by="ann", open_=True, shop="acme")) == OfShop("acme")


def _some(verb):
    """Arguments with something in each place, which need not be true."""
    given = dict.fromkeys(verb.arguments.model_fields, "x") | {"yaml": False, "returns": ["x"]}
    return verb.arguments.model_construct(**given)
