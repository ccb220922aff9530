"""The safety net under the webhooks: what they did not bring is found by asking."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from daemon.domain.portal import PortalState, RequestIssued, ReturnChanged
from daemon.engine.clock_check import PORTAL, ClockCheck
from daemon.engine.intake import Intake
from daemon.errors import ListCut, McfdError
from daemon.ports.store import ReturnStore
from daemon.ports.vendors import ReturnsPortal

log = structlog.get_logger(__name__)

POLLED_STATES = (PortalState.CLOSED, PortalState.CANCELLED, PortalState.REVIEW, PortalState.OPEN)
"""Those that are news to some return (`intake.TELLING`)."""
OVERLAP = 120.0
DAY = 86400.0
LONGEST_WINDOW = 30 * DAY
BATCH = 100

Poll = Callable[[str, ReturnsPortal], Awaitable[None]]


class PortalPolls:
    """Asks each shop for open label requests and for returns that changed. One shop's failure is not another's."""

    def __init__(
        self, portals: Mapping[str, ReturnsPortal], intake: Intake, store: ReturnStore, clock_check: ClockCheck
    ) -> None:
        self._portals = portals
        self._intake = intake
        self._store = store
        self._clock_check = clock_check

    async def label_requests(self) -> None:
        """Open a return for every issued label request that no webhook told us of."""
        await self._each_shop(self._label_requests)

    async def returns(self) -> None:
        """Hint at every return that changed since the last poll, asked for once per state."""
        await self._each_shop(self._returns)

    async def _each_shop(self, poll: Poll) -> None:
        failed: list[McfdError] = []
        for shop, portal in self._portals.items():
            try:
                await poll(shop, portal)
            except McfdError as error:
                log.warning("poll.failed", shop=shop, error=str(error))
                failed.append(error)
        if failed:
            raise failed[0]

    async def _label_requests(self, shop: str, portal: ReturnsPortal) -> None:
        rows = await portal.issued_requests()
        for start in range(0, len(rows), BATCH):
            await self._intake.hear(
                shop,
                [RequestIssued(return_id=r.return_id, request_id=r.request_id) for r in rows[start : start + BATCH]],
            )

    async def _returns(self, shop: str, portal: ReturnsPortal) -> None:
        for state in POLLED_STATES:
            until = self._clock_check.vendor_now(PORTAL)
            mark = f"returns-poll/{shop}/{state}"
            last = await self._store.read(lambda uow, mark=mark: uow.mark(mark))  # type: ignore[misc]
            since = _since(float(last) if last else None, until)
            try:
                await self._changed(shop, state, await portal.updated_returns(state, since, until))
            except ListCut as cut:  # what came is heard of, and the same window is asked for again
                await self._changed(shop, state, cut.found)
                raise
            await self._store.transact(lambda uow, mark=mark, until=until: uow.set_mark(mark, repr(until)))  # type: ignore[misc]

    async def _changed(self, shop: str, state: PortalState, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            await self._intake.hear(shop, [ReturnChanged(return_id=i, state=state) for i in batch])


def _since(last: float | None, until: float) -> float:
    """From where to ask: a little before the last time. That it lies in the future was a clock's mistake."""
    if last is None or last > until + OVERLAP:
        return until - DAY
    return max(last - OVERLAP, until - LONGEST_WINDOW)
