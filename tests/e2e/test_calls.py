"""The journal of calls, as an operator reads it from a running daemon."""

from adapters.sandbox import Fault
from tests.e2e.world import MUG, SOCK, World, until, world


async def journal(w: World, return_id: int) -> list[dict]:
    """The calls that the daemon keeps of a return."""
    status, answer = await w.daemon.verb("calls", **{"return": str(return_id)})
    assert status == 200
    return answer["calls"]


async def test_what_a_vendor_said_is_there_to_read(tmp_path):
    """A return's calls name the operation, when, the status and ids; also one that nobody answered, and after a restart."""
    async with world(tmp_path) as w:
        w.sandbox.set_faults([Fault(vendor="amazon", operation="createFulfillmentReturn", kind="drop", count=1)])
        return_id = w.submit("#3001", SOCK, MUG)
        portal = await w.labelled(return_id)

        calls = await until("the calls", lambda: journal(w, return_id))
        created = [call for call in calls if call["operation"] == "createFulfillmentReturn"]
        delivered = next(call for call in calls if call["operation"] == "deliver_label")

        assert [call["status"] for call in created] == [None, 200]
        assert created[0]["outcome"] == "unavailable"
        assert created[0]["why"]
        assert created[1]["asked"]["order"]
        assert "New" in created[1]["answered"].values()
        assert created[1]["request_id"]
        assert delivered["asked"]["tracking_number"] == portal["delivered_labels"][0]["tracking_number"]
        assert "label_url" not in str(calls)
        assert [call["at"] for call in calls] == sorted(call["at"] for call in calls)

        await w.restart()
        assert len(await journal(w, return_id)) >= len(calls)
