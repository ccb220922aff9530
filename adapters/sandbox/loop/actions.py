"""The return actions of Loop: flag, process (a queue), remove, close, cancel, notes."""

import asyncio

from adapters.sandbox.background import Background
from adapters.sandbox.loop.returns import LoopReturn
from adapters.sandbox.loop.shop import LoopShop
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import Json, VendorError, loop_invalid, loop_refused
from adapters.sandbox.stamps import amazon_time
from daemon.ports.host import Clock

NOTE_LIMIT = 255


class ReturnActions:
    """The actions of an API key on a return; refusals come with HTTP 200 unless noted."""

    def __init__(
        self, shop: LoopShop, options: SandboxOptions, clock: Clock, background: Background, stopping: asyncio.Event
    ) -> None:
        self.process_after = options.process_after
        self._shop = shop
        self._options = options
        self._clock = clock
        self._background = background
        self._stopping = stopping

    def flag(self, return_id: int) -> None:
        """Put a return into Needs Review; only a person takes it out again."""
        ret = self._find(return_id)
        ret.count("flag")
        if ret.state != "open":
            raise loop_refused(f"Return is {_spoken(ret)} and therefore cannot be flagged.")
        ret.flagged = True
        self._shop.set_state(ret, "review")

    def process(self, return_id: int, details: Json) -> None:
        """Queue a return; the details are written on its timeline."""
        ret = self._find(return_id)
        ret.count("process")
        if ret.flagged and not self._options.allow_flagged:
            message = "Return is flagged and therefore cannot be processed."
            raise loop_refused(message, "UNPROCESSABLE_FLAGGED_RETURN")
        if ret.state != "open" and not ret.flagged:
            raise loop_refused(f"Return is {_spoken(ret)} and therefore cannot be processed.")
        ret.timeline.extend(f"{name}: {value}" for name, value in details.items())
        self.queue(ret)

    def queue(self, ret: LoopReturn) -> None:
        """Process a return when its turn comes."""
        self._shop.note_down(ret, "Loop: processing queued")
        self._background.start(self._process_later(ret))

    def remove(self, return_id: int, line_item_ids: list[int]) -> None:
        """Remove refund and credit lines and process the rest at once; removing all lines cancels the return."""
        ret = self._shop.returns.get(return_id)
        if ret is None:
            raise VendorError(403, {"errors": [{"message": "Return not found."}]})
        ret.count("remove")
        if ret.state != "open":
            raise loop_refused(f"Return is {_spoken(ret)} and cannot be modified.", status=422)
        lines = [ret.line(line_item_id) for line_item_id in line_item_ids]
        if any(line is None or line.resolution == "exchange" for line in lines):
            raise loop_refused("Not all line items qualify for removal.", status=422)
        if len(set(line_item_ids)) == len(ret.lines):
            self._shop.cancel(ret)
            return
        self._shop.remove_lines(ret, line_item_ids)
        self._shop.close(ret, processed=True)

    def close(self, return_id: int) -> None:
        """Close a return without outcomes."""
        ret = self._find(return_id)
        ret.count("close")
        if ret.state in {"closed", "cancelled"}:
            raise loop_refused(f"Return is {_spoken(ret)} and therefore cannot be closed.")
        self._shop.close(ret, processed=False)

    def cancel(self, return_id: int) -> None:
        """Cancel a return."""
        ret = self._find(return_id)
        ret.count("cancel")
        if ret.flagged or ret.state in {"closed", "expired", "cancelled"}:
            raise loop_refused(f"Return is {_spoken(ret)} and therefore cannot be cancelled.")
        self._shop.cancel(ret)

    def add_note(self, return_id: int, content: object) -> None:
        """Write a note of fewer than 255 characters."""
        ret = self._find(return_id)
        if not isinstance(content, str) or not content.strip():
            raise loop_invalid("content", "The content field is required.")
        if len(content) >= NOTE_LIMIT:
            raise loop_invalid("content", f"The content must be less than {NOTE_LIMIT} characters.")
        note = {"id": self._shop.next_id(700), "content": content, "created_at": amazon_time(self._clock.now())}
        ret.notes.append(note)
        self._shop.note_down(ret, f"note: {content}")

    def notes(self, return_id: int) -> list[Json]:
        """List the notes; without any, answer an error whose body is a bare `false`."""
        ret = self._find(return_id)
        if not ret.notes:
            raise VendorError(422, body=False)
        return ret.notes

    def finish(self, ret: LoopReturn) -> None:
        """End the processing of a return as its plan says; a plan applies once."""
        plan, ret.plan = ret.plan, "close"
        if ret.state in {"closed", "cancelled"} or plan == "lose":
            return
        if plan == "fail" or ret.state == "expired":
            self._shop.announce_failure(ret, ret.plan_message or "The return could not be processed.")
        elif plan == "bounce" or any(not exchange.in_stock for exchange in ret.exchanges):
            ret.timeline.append(ret.plan_message or "An exchange is out of stock.")
            self._shop.set_state(ret, "review")
        elif ret.flagged and not self._options.allow_flagged:
            self._shop.announce_failure(ret, "The return was flagged before its turn came.")
        else:
            self._shop.close(ret, processed=True)

    def _find(self, return_id: int) -> LoopReturn:
        if return_id not in self._shop.returns:
            raise loop_refused("Return not found.", "NOT_FOUND")
        return self._shop.returns[return_id]

    async def _process_later(self, ret: LoopReturn) -> None:
        if not await self._clock.wait(self._stopping, self.process_after):
            self.finish(ret)


def _spoken(ret: LoopReturn) -> str:
    return "in review" if ret.state == "review" else ret.state
