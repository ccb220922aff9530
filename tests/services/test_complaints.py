"""What a vendor says may repeat the shopper; what mcfd keeps and tells of it does not."""

from dataclasses import replace

import pytest

from daemon.domain.portal import ProcessingTrouble
from daemon.domain.returns import State
from daemon.errors import Refused, Unavailable

SAID = "No pickup for SAM SHOPPER at 5 Elm Street, Dayton OH 45402: the address is unknown"
KEPT = "No pickup for […] at […]: the address is unknown"
PRIVATE = ("sam", "elm", "dayton", "45402")


async def everything_kept(stage) -> str:
    """All that the store and the portal have of the return."""
    ret = await stage.ret()
    history = await stage.store.read(lambda uow: uow.history(ret.shop, ret.return_id))
    posted = [str(request.errors) for request in stage.portal.requests.values()]
    return " ".join([repr(ret), repr(history), *posted, *stage.portal.returns[ret.return_id].notes])


async def test_the_code_and_the_other_words_are_told(stage):
    """The label request error, the note and the store have what helps, and nothing of the shopper."""
    stage.ship(SOCK=1)
    stage.network.fail("create_return", Refused("InvalidInput", said=SAID))
    await stage.submit()
    await stage.reach(State.CLOSED)
    assert (await stage.unit()).problem == f"InvalidInput: {KEPT}"
    kept = (await everything_kept(stage)).casefold()
    assert KEPT.casefold() in kept
    assert [word for word in PRIVATE if word in kept] == []


async def test_words_for_a_single_unit_are_no_better(stage):
    """Amazon refuses one unit of the call, and repeats the shopper in its description."""
    stage.ship(SOCK=1)
    stage.network.refuse["SOCK"] = ("InvalidValues", SAID)
    await stage.submit()
    await stage.reach(State.CLOSED)
    assert (await stage.unit()).problem == f"InvalidValues: {KEPT}"
    kept = (await everything_kept(stage)).casefold()
    assert [word for word in PRIVATE if word in kept] == []


@pytest.mark.parametrize("restarted", [False, True])
async def test_why_a_return_could_not_be_processed(stage, restarted):
    """Loop's message is on the timeline and in the store without the shopper; a restart loses no more than the words."""
    await stage.sent(plan="lose")
    await stage.inspect()
    await stage.reach(State.PROCESSING)
    await stage.tell(ProcessingTrouble(return_id="77", said=SAID))
    if restarted:
        await stage.restart()
    await stage.reach(State.IN_REVIEW)
    await stage.work()

    kept = (await everything_kept(stage)).casefold()
    assert [word for word in PRIVATE if word in kept] == []
    assert kept.count(KEPT.casefold()) == (0 if restarted else 2)
    assert len([note for note in stage.portal.returns["77"].notes if "could not be processed" in note]) == 1


@pytest.mark.parametrize("trouble", ["no address", "away"])
async def test_where_the_shopper_is_not_known_only_the_code_is_told(stage, trouble):
    """Without the label request nobody can tell which words are the shopper's."""
    stage.ship(SOCK=1)

    async def refuse() -> None:
        if trouble == "away":
            stage.portal.fail("label_request", Unavailable("down"), times=2)
        else:
            request = stage.portal.requests["q77"]
            stage.portal.requests["q77"] = replace(request, private=(), origin=None)
        raise Refused("InvalidInput", said=SAID)

    stage.network.meanwhile("create_return", refuse)
    await stage.submit()
    await stage.reach(State.CLOSED)
    assert (await stage.unit()).problem == "InvalidInput"


async def test_one_lost_answer_costs_no_words(stage):
    """The refusal is told only once: the label request is read a second time for it."""
    stage.ship(SOCK=1)

    async def refuse() -> None:
        stage.portal.fail("label_request", Unavailable("timed out"))
        raise Refused("InvalidInput", said=SAID)

    stage.network.meanwhile("create_return", refuse)
    await stage.submit()
    await stage.reach(State.CLOSED)
    assert (await stage.unit()).problem == f"InvalidInput: {KEPT}"


async def test_the_portals_words_are_struck_as_well(stage):
    """Loop refuses to process in words that name the shopper; the note passes on the rest."""
    await stage.sent()
    await stage.inspect()
    stage.portal.fail("process", Refused("UNPROCESSABLE_RETURN", said=SAID))
    await stage.reach(State.IN_REVIEW)
    kept = (await everything_kept(stage)).casefold()
    assert f"unprocessable_return: {KEPT}".casefold() in kept
    assert [word for word in PRIVATE if word in kept] == []


async def test_a_return_that_gives_up_tells_no_more(stage):
    """The label cannot be delivered: what makes the return stuck is shown, noted and logged without the shopper."""
    stage.ship(SOCK=1)
    stage.portal.fail("deliver_label", Refused("HTTP_422", said=SAID))
    await stage.submit()
    ret = await stage.reach(State.STUCK)
    assert ret.problem == f"HTTP_422: {KEPT}"
