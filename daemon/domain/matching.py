"""Which lines and units a label request means, and whether fulfillment orders cover them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum

from daemon.domain.copies import replace
from daemon.domain.duties import create_unclear
from daemon.domain.orders import FulfillmentOrder
from daemon.domain.portal import PortalLine, PortalReturn
from daemon.domain.returns import MISSING, RequestState, Return, ReturnUnit, UnitState

SkuMap = Mapping[str, str | Mapping[str, int]]


def explode(line: PortalLine, sku_map: SkuMap) -> tuple[str, ...]:
    """Amazon's SKUs for one line: its own SKU, another name for it, or the contents of a bundle."""
    mapped = sku_map.get(line.sku, line.sku)
    if isinstance(mapped, str):
        return (mapped,)
    return tuple(sku for sku, quantity in mapped.items() for _ in range(quantity))


def requested_lines(details: PortalReturn, ret: Return, request_id: str, skus: Sequence[str]) -> tuple[str, ...]:
    """The lines that a label request covers: as many as it names of each SKU, preferring those with the weakest claim.

    A line that never had a label comes before one that did, so a label for a second line of a SKU is not mistaken for a
    new label of the first line. A request without SKUs covers every line that no other open request covers.
    """
    claims = {line.line_id: Claim.NOBODYS for line in details.lines}
    for unit in ret.units:
        claims[unit.line_id] = max(claims.get(unit.line_id, Claim.NOBODYS), _claim(ret, unit, request_id))
    free = sorted(details.lines, key=lambda line: claims[line.line_id])
    wanted = Counter(sku for sku in skus if sku)
    if not wanted:
        return tuple(line.line_id for line in free if claims[line.line_id] is not Claim.ASKED_FOR)
    covered = []
    for line in free:
        if wanted[line.sku] > 0:
            wanted[line.sku] -= 1
            covered.append(line.line_id)
    return tuple(line.line_id for line in details.lines if line.line_id in covered)


class Claim(IntEnum):
    """The claim on a line by earlier requests; a new label request means the line with the lowest claim."""

    NOBODYS = 0
    LABELLED = 1
    CAME_BACK = 2
    ASKED_FOR = 3  # claimed by another request that waits for its label


def _claim(ret: Return, unit: ReturnUnit, request_id: str) -> Claim:
    request = ret.request(unit.request_id) if unit.request_id != request_id else None
    if request is not None and request.asked in {RequestState.UNREAD, RequestState.OPEN}:
        return Claim.ASKED_FOR
    if unit.processed_at is not None:
        return Claim.CAME_BACK
    return Claim.LABELLED if request is not None and request.asked is RequestState.DELIVERED else Claim.NOBODYS


def list_units(
    ret: Return, details: PortalReturn, request_id: str, lines: Iterable[str], sku_map: SkuMap
) -> tuple[ReturnUnit, ...]:
    """The units of a label request. Units that Amazon may have accepted keep their state and join this request."""
    known = {u.key: u for u in ret.units}
    wanted = set(lines)
    units = []
    for line in details.lines:
        if line.line_id not in wanted:
            continue
        skus = explode(line, sku_map)
        for part, sku in enumerate(skus, start=1):
            old = known.get((line.line_id, part))
            if old is not None and (old.standing is UnitState.AUTHORIZED or create_unclear(ret, old)):
                units.append(_asked_anew(old, request_id))
            else:
                share = _share(line.price_cents or 0, part, len(skus))
                units.append(_new_unit(line, part, sku, request_id, share))
    return tuple(units)


def _asked_anew(unit: ReturnUnit, request_id: str) -> ReturnUnit:
    """The unit for a new request: one that was given up as missing is awaited again."""
    lost = unit.finding is not None and unit.finding.condition == MISSING
    return replace(unit, request_id=request_id, finding=None if lost else unit.finding, graded=unit.graded and not lost)


def _share(cents: int, part: int, parts: int) -> int:
    """The price of one part of a bundle; the parts add up to the bundle's price to the cent."""
    return cents * part // parts - cents * (part - 1) // parts


def _new_unit(line: PortalLine, part: int, sku: str, request_id: str, price_cents: int) -> ReturnUnit:
    return ReturnUnit(
        line_id=line.line_id,
        part=part,
        portal_sku=line.sku,
        sku=sku,
        price_cents=price_cents,
        line_price_cents=line.price_cents,
        reason=line.reason,
        parent_reason=line.parent_reason,
        request_id=request_id,
    )


def covers(orders: Iterable[FulfillmentOrder], units: Iterable[ReturnUnit]) -> bool:
    """Whether the orders together contain every SKU of the units."""
    known = {item.sku for order in orders for item in order.items}
    return all(unit.sku in known for unit in units)


def reason_code(unit: ReturnUnit, mapping: Mapping[tuple[str, str], str], default: str, allowed: Sequence[str]) -> str:
    """Amazon's code for the shopper's reason, if the SKU allows it. If the allowed codes are unknown, the default."""
    wanted = wanted_code(unit.parent_reason, unit.reason, mapping, default)
    if wanted in allowed:
        return wanted
    return default if default in allowed or not allowed else allowed[0]


def wanted_code(parent: str, reason: str, mapping: Mapping[tuple[str, str], str], default: str) -> str:
    """The merchant's code for the shopper's reason, or the default."""
    return mapped_code(parent, reason, mapping) or default


def mapped_code(parent: str, reason: str, mapping: Mapping[tuple[str, str], str]) -> str | None:
    """The code that a mapping names for the shopper's reason; looked up by (parent, reason), reason, then parent.

    `mapping` is keyed by folded (parent, reason); an empty half matches any.
    """
    parent, reason = fold(parent), fold(reason)
    keys = [(parent, reason), ("", reason), (parent, "")]
    return next((mapping[key] for key in keys if key != ("", "") and key in mapping), None)


def fold(text: str) -> str:
    """Normalise a reason for comparison: ignore case, and outer or repeated blanks."""
    return " ".join(text.split()).casefold()
