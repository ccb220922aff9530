"""The safety net for webhooks: polls find what they did not bring."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import structlog

from daemon.domain.durations import DAY
from daemon.domain.portal import PortalState, RequestCancelled, RequestIssued, ReturnChanged
from daemon.engine.clock_check import PORTAL, ClockCheck
from daemon.engine.intake import Intake
from daemon.errors import LeaseLost, ListCut, McfdError
from daemon.ports.store import ReturnStore
from daemon.ports.vendors import IssuedRequest, ReturnsPortal

log = structlog.get_logger(__name__)

POLLED_STATES = (PortalState.CLOSED, PortalState.CANCELLED, PortalState.REVIEW, PortalState.OPEN)
"""The portal's states that are news for some return (`intake.TELLING`)."""
OVERLAP = 120.0
LONGEST_WINDOW = 30 * DAY
"""The longest window of one poll; after a longer downtime several windows are asked for."""
CANCELLED_WITHIN = 45 * DAY
"""The age up to which cancels of label requests are looked for: as long as a label waits for its parcel."""
BATCH = 100
LONGEST_DOWNTIME = 400 * DAY
HEARD_FOR = 1800.0
"""Seconds for which a listed request is not taken in again. Refused requests stay in the list for ever."""

Poll = Callable[[str, ReturnsPortal], Awaitable[None]]


class PortalPolls:
    """Polls shops concurrently for open label requests and changed returns.

    One shop's failure or slowness does not affect another.
    """

    def __init__(
        self, portals: Mapping[str, ReturnsPortal], intake: Intake, store: ReturnStore, clock_check: ClockCheck
    ) -> None:
        self._portals = portals
        self._intake = intake
        self._store = store
        self._clock_check = clock_check
        self._heard: dict[str, tuple[float, set[str]]] = {}

    async def label_requests(self) -> None:
        """Open a return for every issued label request that no webhook told us of."""
        await self._each_shop(self._label_requests)

    async def cancelled_requests(self) -> None:
        """Withdraw every label request whose cancel no webhook told us of."""
        await self._each_shop(self._cancelled_requests)

    async def returns(self) -> None:
        """Store a hint for every return that changed since the last poll; one question per state."""
        await self._each_shop(self._returns)

    async def _each_shop(self, poll: Poll) -> None:
        async with asyncio.TaskGroup() as group:
            polls = [group.create_task(_outcome(poll, shop, portal)) for shop, portal in self._portals.items()]
        failed = [error for error in (poll.result() for poll in polls) if error is not None]
        if failed:
            raise failed[0]

    async def _label_requests(self, shop: str, portal: ReturnsPortal) -> None:
        rows = self._news(shop, await portal.issued_requests())
        for start in range(0, len(rows), BATCH):
            await self._intake.hear(
                shop,
                [RequestIssued(return_id=r.return_id, request_id=r.request_id) for r in rows[start : start + BATCH]],
            )
        self._heard[shop][1].update(row.request_id for row in rows)  # only what is stored needs no second look

    async def _cancelled_requests(self, shop: str, portal: ReturnsPortal) -> None:
        rows = await portal.cancelled_requests(self._clock_check.vendor_now(PORTAL) - CANCELLED_WITHIN)
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            await self._intake.hear(
                shop, [RequestCancelled(return_id=r.return_id, request_id=r.request_id) for r in batch]
            )

    def _news(self, shop: str, rows: Sequence[IssuedRequest]) -> Sequence[IssuedRequest]:
        """The rows that this process has not taken in recently: the list contains years of refused requests."""
        now = self._clock_check.vendor_now(PORTAL)
        since, known = self._heard.get(shop, (now, set()))
        if not since <= now < since + HEARD_FOR:
            since, known = now, set()
        self._heard[shop] = since, known
        return [row for row in rows if row.request_id not in known]

    async def _returns(self, shop: str, portal: ReturnsPortal) -> None:
        for state in POLLED_STATES:
            mark = f"returns-poll/{shop}/{state}"
            last = await self._store.read(lambda uow, mark=mark: uow.mark(mark))  # type: ignore[misc]
            for since, until in _windows(float(last) if last else None, self._clock_check.vendor_now(PORTAL)):
                try:
                    await self._changed(shop, state, await portal.updated_returns(state, since, until))
                except ListCut as cut:  # keep what came, and ask for the same window again
                    await self._changed(shop, state, cut.found)
                    raise
                await self._store.transact(lambda uow, mark=mark, until=until: uow.set_mark(mark, repr(until)))  # type: ignore[misc]

    async def _changed(self, shop: str, state: PortalState, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            await self._intake.hear(shop, [ReturnChanged(return_id=i, state=state) for i in batch])


def _windows(last: float | None, now: float) -> Iterator[tuple[float, float]]:
    """The windows to ask for, from a little before the last poll. A last poll in the future was a clock error."""
    since = now - DAY if last is None or last > now + OVERLAP else max(last - OVERLAP, now - LONGEST_DOWNTIME)
    while now - since > LONGEST_WINDOW:
        yield since, since + LONGEST_WINDOW
        since += LONGEST_WINDOW - OVERLAP
    yield since, now


async def _outcome(poll: Poll, shop: str, portal: ReturnsPortal) -> McfdError | None:
    try:
        await poll(shop, portal)
    except LeaseLost as lost:  # another node polls from now on
        return lost
    except McfdError as error:
        log.warning("poll.failed", shop=shop, error=str(error))
        return error
    return None
