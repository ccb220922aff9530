"""The Loop stand-in acts as Loop's pages say: process, flag, review, remove, close, cancel, notes."""

import pytest

from adapters.sandbox import ControlError, ReturnLine
from tests.edges.test_sandbox_swagger import outside

SOCK = {"sku": "SOCK", "price": "18.00", "reason": "Seam came apart", "parent_reason": "Defective"}
UNKNOWN = 999


def details_of(out, ret: int) -> dict:
    """Show what the sandbox holds of a return."""
    return out.sandbox.snapshot()["loop"]["returns"][str(ret)]


def line_ids(out, ret: int) -> list[int]:
    """Name the lines of a return."""
    return [line["line_item_id"] for line in details_of(out, ret)["line_items"]]


def state_of(out, ret: int) -> str:
    """Name the state of a return."""
    return details_of(out, ret)["state"]


async def act(out, ret: int, action: str, body=None):
    """Ask for a return action."""
    return await out.loop("POST", f"/warehouse/return/{ret}/{action}", body)


async def request_of(out, ret: int) -> dict:
    """Read the first label request of a return."""
    answer = await out.loop("GET", f"/label-requests/{details_of(out, ret)['label_requests'][0]}")
    return answer.body


async def test_process_is_a_queue():
    """Process answers `true` at once; the return closes later, with its outcomes and the details on its timeline."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        answer = await act(out, ret, "process", {"amazon_rma": "R1"})
        assert (answer.status, answer.body) == (200, True)
        assert await out.sandbox.idle()
        shown = details_of(out, ret)
        assert (shown["state"], shown["was_processed"], shown["timeline"]) == ("closed", True, ["amazon_rma: R1"])
        assert shown["refunds"][0]["amount"] == "18.00"
        assert shown["outcomes_processed_at"]["refund_processed"]["timezone"] == "UTC"
        assert shown["outcomes_processed_at"]["gift_card_processed"] is None


@pytest.mark.parametrize(
    ("ending", "state"), [("fail", "open"), ("bounce", "review"), ("lose", "open"), ("close", "closed")]
)
async def test_processing_ends_as_planned_once(ending, state):
    """Processing may fail, bounce to review or never end; the plan holds for one time."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        out.sandbox.plan_processing(ret, ending, "as planned")
        assert (await act(out, ret, "process")).body is True
        assert await out.sandbox.idle()
        assert state_of(out, ret) == state
        if state == "open":
            await act(out, ret, "process")
            assert await out.sandbox.idle()
            assert state_of(out, ret) == "closed"


async def test_an_exchange_out_of_stock_bounces():
    """A return whose exchange is out of stock lands in review instead of being processed."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [ReturnLine(sku="SOCK", exchange_sku="CAP", exchange_in_stock=False)])
        body = (await out.loop("GET", f"/warehouse/return/details?return_id={ret}")).body
        assert (body["outcome"], body["exchanges"][0]["out_of_stock"]) == ("exchange", True)
        assert body["line_items"][0]["exchange_variant"] == "CAP"
        await act(out, ret, "process")
        assert await out.sandbox.idle()
        assert (state_of(out, ret), details_of(out, ret)["flagged"]) == ("review", False)


@pytest.mark.parametrize("state", ["closed", "cancelled", "review", "expired"])
async def test_actions_refuse_in_the_body_of_a_200(state):
    """What a state does not allow is refused with HTTP 200 and UNPROCESSABLE_RETURN."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        refused = {"process", "flag"}
        if state == "closed":
            out.sandbox.close_return(ret)
            refused |= {"close", "cancel"}
        elif state == "cancelled":
            out.sandbox.cancel_return(ret)
            refused |= {"close", "cancel"}
        elif state == "expired":
            out.sandbox.expire(ret)
            refused |= {"cancel"}
        else:
            out.sandbox.plan_processing(ret, "bounce")
            await act(out, ret, "process")
            assert await out.sandbox.idle()
        for action in sorted(refused):
            answer = await act(out, ret, action)
            assert (answer.status, answer.body["errors"]["code"]) == (200, "UNPROCESSABLE_RETURN"), action
        assert state_of(out, ret) == state


async def test_a_flag_is_taken_off_by_a_person_only():
    """A flag puts a return into review, where neither process nor cancel nor a second flag works."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        assert (await act(out, ret, "flag")).body is True
        assert state_of(out, ret) == "review"
        assert (await act(out, ret, "process")).body["errors"]["code"] == "UNPROCESSABLE_FLAGGED_RETURN"
        for action in ("flag", "cancel"):
            assert (await act(out, ret, action)).body["errors"]["code"] == "UNPROCESSABLE_RETURN"
        out.sandbox.settle_review(ret, "unflag")
        assert state_of(out, ret) == "open"
        assert (await act(out, ret, "process")).body is True
        assert await out.sandbox.idle()
        assert (state_of(out, ret), details_of(out, ret)["counts"]["flag"]) == ("closed", 2)


async def test_a_shop_may_allow_flagged_returns_to_process():
    """With the shop's setting on, a flagged return is processed all the same."""
    async with outside(allow_flagged=True) as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        await act(out, ret, "flag")
        assert (await act(out, ret, "process")).body is True
        assert await out.sandbox.idle()
        assert (state_of(out, ret), details_of(out, ret)["was_processed"]) == ("closed", True)


async def test_a_flag_in_the_queue_stops_processing():
    """A return that is flagged before its turn comes is not processed."""
    async with outside(process_after=0.05) as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        await act(out, ret, "process")
        await act(out, ret, "flag")
        assert await out.sandbox.idle()
        assert (state_of(out, ret), details_of(out, ret)["was_processed"]) == ("review", False)


@pytest.mark.parametrize(
    ("how", "state", "processed"),
    [
        ("close", "closed", False),
        ("process", "closed", True),
        ("cancel", "cancelled", False),
        ("unflag", "open", False),
    ],
)
async def test_a_person_settles_a_review(how, state, processed):
    """A person may close, process, cancel or unflag what is in review, and nothing else."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        with pytest.raises(ControlError, match="not in review"):
            out.sandbox.settle_review(ret, how)
        out.sandbox.flag_return(ret)
        out.sandbox.settle_review(ret, how)
        assert (state_of(out, ret), details_of(out, ret)["was_processed"]) == (state, processed)


async def test_remove_pays_out_the_rest():
    """Removing a refund line closes the return with the rest paid; an exchange line does not qualify."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK, SOCK, ReturnLine(sku="SHOE", exchange_sku="CAP")])
        bad, _, exchanged = line_ids(out, ret)
        assert details_of(out, ret)["outcome"] == "exchange+refund"
        refused = await act(out, ret, f"remove?line_item_id={bad},{exchanged}")
        assert (refused.status, refused.body["errors"]["code"]) == (422, "UNPROCESSABLE_RETURN")
        assert state_of(out, ret) == "open"
        assert (await act(out, ret, f"remove?line_item_id={bad}")).body is True
        shown = details_of(out, ret)
        assert (shown["state"], shown["was_processed"], bad in line_ids(out, ret)) == ("closed", True, False)
        assert (await act(out, ret, f"remove?line_item_id={exchanged}")).status == 422


async def test_remove_everything_cancels():
    """Removing every line cancels the return; unknown returns are a 403, no ids a 422."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK | {"quantity": 2}])
        assert (await act(out, ret, "remove")).status == 422
        assert (await act(out, UNKNOWN, "remove?line_item_id=1")).status == 403
        ids = ",".join(map(str, line_ids(out, ret)))
        assert (await act(out, ret, f"remove?line_item_id={ids}")).body is True
        assert (state_of(out, ret), details_of(out, ret)["was_processed"]) == ("cancelled", False)


@pytest.mark.parametrize(("action", "state"), [("close", "closed"), ("cancel", "cancelled")])
async def test_close_and_cancel_give_no_outcome(action, state):
    """Both end a return without paying; a cancelled one withdraws its label request."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        assert (await act(out, ret, action)).body is True
        assert (state_of(out, ret), details_of(out, ret)["was_processed"]) == (state, False)
        assert (await request_of(out, ret))["status"] == ("cancelled" if action == "cancel" else "issued")


async def test_notes_have_fewer_than_255_characters():
    """A note of 254 characters is taken, of 255 or none a 422; no notes at all is a 422 with a bare false."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        path = f"/warehouse/return/{ret}/note"
        none = await out.loop("GET", f"{path}s")
        assert (none.status, none.text) == (422, "false")
        assert (await out.loop("POST", path, {"content": "n" * 254})).body is True
        for wrong in ({"content": "n" * 255}, {"content": " "}, {}):
            answer = await out.loop("POST", path, wrong)
            assert (answer.status, list(answer.body["errors"])) == (422, ["content"])
        notes = (await out.loop("GET", f"{path}s")).body["notes"]
        assert [note["content"] for note in notes] == ["n" * 254]
        assert {"id", "created_at"} <= notes[0].keys()
        assert (await act(out, UNKNOWN, "note", {"content": "x"})).body["errors"]["code"] == "NOT_FOUND"


async def test_notes_may_be_a_bare_array():
    """The other documented reading of the notes list can be had."""
    async with outside(notes_shape="array") as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        await act(out, ret, "note", {"content": "x"})
        assert [n["content"] for n in (await out.loop("GET", f"/warehouse/return/{ret}/notes")).body] == ["x"]
