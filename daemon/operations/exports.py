"""Reports for finance, with one row per unit.

`units` everything `unsellable` units that Amazon has inspected and keeps as unsellable stock, until somebody has them
removed `never-received` units that are missing, and those of returns that never came `claims` units that Amazon
damaged, or lost after their parcel had arrived: it may reimburse them

Two more are sums: `reasons`, what shoppers stated against what Amazon found, and `spend`, what labels cost.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from daemon.domain.returns import MISSING, Postage, Return, ReturnUnit, State, UnitState
from daemon.operations.insights import SUMS, Insights
from daemon.operations.verb import instant, money
from daemon.operations.verbs.keeping import UnitRow, UnitRows
from daemon.ports.store import ReadableStore

SELLABLE = "Sellable"
DAMAGED_BY_AMAZON = "FulfillerDamaged"
RETURNS_AT_ONCE = 100

Row = dict[str, object]


def _unsellable(_: Return, unit: ReturnUnit) -> bool:
    """A unit without a condition is not counted as unsellable."""
    return unit.finding is not None and unit.finding.condition not in {"", SELLABLE, MISSING}


def _never_received(ret: Return, unit: ReturnUnit) -> bool:
    if unit.finding is not None:
        return unit.finding.condition == MISSING
    return ret.state is State.EXPIRED and unit.standing is UnitState.AUTHORIZED


def _claim(ret: Return, unit: ReturnUnit) -> bool:
    if unit.finding is None:
        return False
    arrived = any(p.delivered_at is not None for p in ret.postage if p.authorization_id == unit.authorization_id)
    return unit.finding.condition == DAMAGED_BY_AMAZON or (unit.finding.condition == MISSING and arrived)


REPORTS: Mapping[str, Callable[[Return, ReturnUnit], bool]] = {
    "units": lambda _ret, _unit: True,
    "unsellable": _unsellable,
    "never-received": _never_received,
    "claims": _claim,
}


class Exports:
    """Reads the store a hundred returns at a time, so that a large export does not block other work."""

    def __init__(self, store: ReadableStore, insights: Insights) -> None:
        self._store = store
        self._insights = insights

    async def page(self, report: str, since: datetime | None, after: int) -> UnitRows:
        """Rows of returns changed since, after the place `after`; `next` is None at the end."""
        if report in SUMS:
            return await self._insights.report(report, since)
        wanted, begin = REPORTS[report], since.timestamp() if since else 0.0
        refs = await self._store.survey(lambda keep: keep.changed_since(begin, after, RETURNS_AT_ONCE))
        returns = await self._store.read(lambda uow: [uow.get(shop, return_id) for _, shop, return_id in refs])
        rows = [row for ret in returns if ret is not None for row in rows_of(ret, wanted)]
        return UnitRows(rows=rows, next=refs[-1][0] if len(refs) == RETURNS_AT_ONCE else None)


def rows_of(ret: Return, wanted: Callable[[Return, ReturnUnit], bool]) -> list[UnitRow]:
    """The wanted rows of one return; a label's cost is only on the first unit of its parcel."""
    paid: set[str] = set()
    return [
        UnitRow.model_validate(_of_return(ret) | _of_unit(unit) | _of_parcel(ret, unit, paid) | _found(unit))
        for unit in ret.units
        if wanted(ret, unit)
    ]


def _of_return(ret: Return) -> Row:
    return {
        "shop": ret.shop,
        "return": ret.return_id,
        "order": ret.order_name,
        "state": ret.state.value,
        "opened": instant(ret.created_at),
        "labelled": instant(ret.labelled_at),
        "closed": instant(ret.closed_at),
        "settlement": ret.settlement.value,
    }


def _of_unit(unit: ReturnUnit) -> Row:
    return {
        "line": unit.line_id,
        "part": unit.part,
        "portal_sku": unit.portal_sku,
        "sku": unit.sku,
        "price": money(unit.price_cents),
        "parent_reason": unit.parent_reason,
        "reason": unit.reason,
        "reason_code": unit.reason_code,
        "standing": unit.standing.value,
        "problem": unit.problem,
        "fulfillment_order": unit.order_id,
        "return_item": unit.return_item_id,
        "authorization": unit.authorization_id,
    }


def _of_parcel(ret: Return, unit: ReturnUnit, paid: set[str]) -> Row:
    authorization = next((a for a in ret.authorizations if a.authorization_id == unit.authorization_id), None)
    postage = next((p for p in ret.postage if p.authorization_id == unit.authorization_id and p.bought), None)
    label = next((r.label for r in ret.requests if r.request_id == unit.request_id and r.label), None)
    first = postage is not None and postage.authorization_id not in paid
    paid |= {postage.authorization_id} if postage else set()
    carrier = postage.carrier if postage else label.carrier if label else ""
    return {
        "rma": authorization.rma_id if authorization else "",
        "carrier": carrier,
        "tracking": _tracking(postage) or (label.tracking_number if label else ""),
        "label_cost": money(postage.charge_cents) if postage and first else None,
    }


def _tracking(postage: Postage | None) -> str:
    return postage.tracking_id if postage else ""


def _found(unit: ReturnUnit) -> Row:
    finding = unit.finding
    return {
        "condition": (finding.condition or "absent") if finding else None,
        "inspected": instant(unit.processed_at),
        "center": finding.center if finding else None,
    }
