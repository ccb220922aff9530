"""Lists of returns, for operators who do not know the return id."""

from datetime import datetime

from daemon.operations.verb import instant
from daemon.operations.verbs.search import Found, ReturnRow, ReturnsPage
from daemon.ports.host import Clock
from daemon.ports.store import Listed, ListFilter, ReadableStore

PAGE = 100
MOST_FOUND = 50


class Search:
    """Reads lists of returns; changes nothing."""

    def __init__(self, store: ReadableStore, clock: Clock) -> None:
        self._store = store
        self.clock = clock

    async def find(self, text: str) -> Found:
        """The newest returns known by this text."""
        rows = await self._store.survey(lambda keep: keep.find_by(text.strip(), MOST_FOUND))
        return Found(text=text, returns=[_row(row) for row in rows])

    async def page(
        self, *, state: str | None, shop: str | None, unchanged_since: datetime | None, after: int
    ) -> ReturnsPage:
        """A page of returns, newest first. `held` is shown separately from `received`."""
        wanted = ListFilter(
            state="received" if state == "held" else state,
            held=True if state == "held" else None,
            shop=shop,
            unchanged_since=unchanged_since.timestamp() if unchanged_since else None,
            before=after or None,
        )
        rows = await self._store.survey(lambda keep: keep.page_of(wanted, PAGE))
        return ReturnsPage(rows=[_row(row) for row in rows], next=rows[-1].number if len(rows) == PAGE else None)


def _row(row: Listed) -> ReturnRow:
    return ReturnRow(
        return_=f"{row.shop}/{row.return_id}",
        state="held" if row.held and row.state == "received" else row.state,
        order=row.order_name,
        skus=row.skus.replace(",", ", "),
        rma=row.rmas.replace(",", ", "),
        tracking=row.tracking.replace(",", ", "),
        since=instant(row.changed_at),
        heard=instant(row.created_at),
        problem=row.problem,
        code=row.code,
    )
