"""Reading returns: the details, and the list with its windows, states and cursor."""

import base64
from collections.abc import Mapping
from urllib.parse import urlencode

from adapters.sandbox.loop.returns import LoopReturn
from adapters.sandbox.loop.shop import LoopShop
from adapters.sandbox.loop.views import detail_view, list_view
from adapters.sandbox.refusals import Json, VendorError, loop_invalid
from adapters.sandbox.stamps import parse_time, whole
from daemon.ports.host import Clock

STATES = ("open", "closed", "cancelled", "expired", "review")
SHOWN_BY_DEFAULT = frozenset({"open", "closed", "expired"})
DAY = 86400
LONGEST_WINDOW = 120 * DAY


class ReturnReader:
    """Answers both read calls. `base_url` ends in /api. Unless the list `ends`, it starts again after its last page."""

    def __init__(self, shop: LoopShop, clock: Clock, *, ends: bool) -> None:
        self.base_url = ""
        self._ends = ends
        self._shop = shop
        self._clock = clock

    def details(self, query: Mapping[str, str], version: str) -> Json:
        """Find one return by its id, the commerce platform's order id, or the order name; not found is a 200."""
        if not {"return_id", "order_id", "order_name"} & query.keys():
            raise loop_invalid("return_id", "One of return_id, order_id, order_name is required.")
        for ret in self._shop.returns.values():
            mine = {
                "return_id": str(ret.return_id),
                "order_id": ret.provider_order_id,
                "order_name": ret.order_name,
            }
            if all(query.get(name, value) == value for name, value in mine.items()):
                return detail_view(ret, version)
        raise VendorError(200, {"error": {"message": "No return found with this ID."}})

    def list_returns(self, query: Mapping[str, str], version: str) -> Json | list[Json]:
        """List a window: a bare array, or pages when asked for."""
        found = self._found(query)
        if query.get("paginate") not in {"true", "1"}:
            return [list_view(ret, version) for ret in found]
        size = whole(query.get("pageSize", "100"))
        if size is None or not 1 <= size <= 750:
            raise loop_invalid("pageSize", "The page size must be between 1 and 750.")
        start = self._start(query.get("cursor"))
        page = [ret for ret in found if ret.return_id > start][:size]
        more = bool(page) and page[-1].return_id != found[-1].return_id
        return {
            "returns": [list_view(ret, version) for ret in page],
            "nextPageUrl": self._next(query, version, page, more=more),
            "previousPageUrl": self._page_url(query, version, 0) if start else None,
        }

    def _next(self, query: Mapping[str, str], version: str, page: list[LoopReturn], *, more: bool) -> str | None:
        if more:
            return self._page_url(query, version, page[-1].return_id)
        return None if self._ends else self._page_url(query, version, 0)

    def _found(self, query: Mapping[str, str]) -> list[LoopReturn]:
        state, by = query.get("state"), query.get("filter", "created_at")
        if state is not None and state not in STATES:
            raise loop_invalid("state", "The selected state is invalid.")
        if by not in {"created_at", "updated_at"}:
            raise loop_invalid("filter", "The selected filter is invalid.")
        states = {state} if state else SHOWN_BY_DEFAULT
        start, end = self._window(query)
        return [
            ret
            for ret in self._shop.returns.values()
            if ret.state in states and start <= (ret.created_at if by == "created_at" else ret.updated_at) <= end
        ]

    def _window(self, query: Mapping[str, str]) -> tuple[float, float]:
        """Read the window. Without both ends: the last day; `from` alone: the day after it; `to` alone is ignored."""
        now = self._clock.now()
        try:
            start = parse_time(query["from"]) if "from" in query else None
            end = parse_time(query["to"]) if "to" in query else None
        except ValueError as error:
            raise loop_invalid("from", "The from and to must be valid dates.") from error
        if start is None:
            return now - DAY, now
        if end is None:
            return start, start + DAY
        if end < start or end - start > LONGEST_WINDOW:
            raise loop_invalid("to", "The range must not be longer than 120 days.")
        return start, end

    def _start(self, cursor: str | None) -> int:
        try:
            return int(base64.urlsafe_b64decode(cursor)) if cursor else 0
        except ValueError as error:
            raise loop_invalid("cursor", "The cursor is invalid.") from error

    def _page_url(self, query: Mapping[str, str], version: str, after: int) -> str:
        """Build a page link, which like Loop's lacks `from`, `state` and `paginate`."""
        kept = {name: query[name] for name in ("to", "filter", "pageSize") if name in query}
        cursor = base64.urlsafe_b64encode(str(after).encode()).decode()
        return f"{self.base_url}/{version}/warehouse/return/list?{urlencode({**kept, 'cursor': cursor})}"
