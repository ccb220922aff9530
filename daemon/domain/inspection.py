"""Turns a reading of the fulfillment orders into findings, and into missing units once their deadline has passed."""

from collections.abc import Iterable, Sequence

from daemon.domain.copies import replace
from daemon.domain.events.returns import (
    Event,
    GaveUp,
    LateFinding,
    LinesEdited,
    NothingCame,
    UnitInspected,
    UnitsAuthorized,
    UnitsInspected,
    UnitsMissing,
)
from daemon.domain.orders import FulfillmentOrder, ReturnItem
from daemon.domain.portal import PortalReturn
from daemon.domain.postage import postage_of
from daemon.domain.problems import ProblemCode
from daemon.domain.returns import MISSING, Finding, Postage, Return, ReturnUnit, State, UnitState, merge_units
from daemon.domain.schedule import Timings, look_delay


def authorization_found(ret: Return, orders: Sequence[FulfillmentOrder], at: float) -> UnitsAuthorized | None:
    """The new authorizations; None while any unit of an open label request still waits for one."""
    asking = {r.request_id for r in ret.open_requests()}
    units = _read_units(ret, orders)
    authorizations = tuple(a for order in orders for a in order.authorizations)
    known = {a.authorization_id for a in (*authorizations, *ret.authorizations)}
    accepted = [u for u in units if u.standing is UnitState.AUTHORIZED and u.request_id in asking]
    if any(u.authorization_id not in known for u in accepted):
        return None
    ours = {u.authorization_id for u in units}
    return UnitsAuthorized(
        at=at, units=_changed(ret, units), authorizations=tuple(a for a in authorizations if a.authorization_id in ours)
    )


def inspect(ret: Return, orders: Sequence[FulfillmentOrder], now: float, timings: Timings) -> Event | None:
    """The event that the reading causes; None if it has no news. `now` is when the orders were read.

    A unit that the reading does not list is not judged.
    """
    items = {item.return_item_id: item for order in orders for item in order.return_items}
    read = tuple(_found(u, items.get(u.return_item_id), ret, now, timings) for u in _read_units(ret, orders))
    if ret.state not in {State.AWAITING_INSPECTION, State.EXPIRED}:
        changed = _changed(ret, read)
        return LateFinding(at=now, units=changed) if changed else None
    reading = replace(ret, units=read)
    awaited_keys = {u.key for u in reading.awaited()}
    judgeable = {u.key for u in reading.awaited() if u.return_item_id in items}
    judged = tuple(_missing(u, read, ret, now, timings) if u.key in judgeable else u for u in read)
    awaited = [u for u in judged if u.key in awaited_keys]
    changed = _changed(ret, judged)
    whole = awaited_keys == judgeable
    if ret.state is State.AWAITING_INSPECTION and whole and _silent(ret, reading.authorized(), now, timings):
        return NothingCame(at=now)
    if ret.state is State.EXPIRED and not any(u.processed_at for u in judged):
        return None
    if all(u.finding is not None for u in awaited):
        missing = any(u.finding and u.finding.condition == MISSING for u in awaited)
        return UnitsMissing(at=now, units=changed) if missing else UnitsInspected(at=now, units=changed)
    if changed:
        return UnitInspected(at=now, units=changed)
    return _given_up(now) if not whole and _forgotten(ret, now, timings) else None


def _given_up(now: float) -> GaveUp:
    words = "Amazon does not list what it accepted any more"
    return GaveUp(at=now, problem=words, code=ProblemCode.AUTHORIZATION_GONE)


def calls_missing(ret: Return, event: Event | None) -> bool:
    """Whether a unit is called missing by a deadline: then the portal must be read again first."""
    known = {u.key: u.finding for u in ret.units}
    units = getattr(event, "units", ())
    return any(u.finding != known[u.key] and u.finding and u.finding.condition == MISSING for u in units)


def edits(ret: Return, details: PortalReturn, at: float) -> LinesEdited | None:
    """The change of expected units whose line has left the return in the portal, or is part of it again."""
    there = {line.line_id for line in details.lines}
    gone = [replace(u, standing=UnitState.REMOVED) for u in ret.authorized() if u.line_id not in there]
    back = [
        replace(u, standing=UnitState.AUTHORIZED)
        for u in ret.units
        if u.standing is UnitState.REMOVED and u.line_id in there and u.authorization_id
    ]
    return LinesEdited(at=at, units=(*gone, *back)) if there and (gone or back) else None


def newly_processed(ret: Return, event: Event) -> tuple[ReturnUnit, ...]:
    """The units that this reading reports as processed for the first time."""
    before = {u.key for u in ret.units if u.processed_at is not None}
    return tuple(u for u in getattr(event, "units", ()) if u.processed_at is not None and u.key not in before)


def told_all(ret: Return, event: Event) -> bool:
    """The reading contains the announced news, and no further news is expected."""
    after = replace(ret, units=merge_units(ret.units, getattr(event, "units", ())))
    return _tells(ret, event) and all(u.finding is not None for u in after.awaited())


def _tells(ret: Return, event: Event) -> bool:
    """The event contains something that Amazon said, not only a passed deadline."""
    old = {u.key: u for u in ret.units}
    units: Iterable[ReturnUnit] = getattr(event, "units", ())
    return any(u.finding != old[u.key].finding and u.processed_at is not None for u in units)


def may_be_spared(ret: Return, now: float, timings: Timings, spacing: float) -> bool:
    """Amazon announces news, so this reading may be skipped; only each `spacing`-th is made.

    It is not skipped when a deadline has passed (deadlines are judged by readings), before the first reading, or while
    announced news or a condition is still to come.
    """
    if spacing <= 1 or ret.state is not State.AWAITING_INSPECTION or ret.announced_at is not None:
        return False
    if ret.looked_at is None or ret.looked_at > now:  # the latter by another clock than today's
        return False
    if any(u.processed_at is not None and u.finding is None for u in ret.authorized()):
        return False
    usual = look_delay(ret, timings)
    return now + usual / 2 < ret.looked_at + spacing * usual and not _time_is_up(ret, now, timings)


def _time_is_up(ret: Return, now: float, timings: Timings) -> bool:
    """A deadline would be judged if Amazon were read now."""
    missing = any(_missing(u, ret.units, ret, now, timings) != u for u in ret.awaited())
    return missing or _silent(ret, ret.authorized(), now, timings)


def _read_units(ret: Return, orders: Iterable[FulfillmentOrder]) -> tuple[ReturnUnit, ...]:
    """The units as Amazon lists them; our ids show whether an unclear create call had its effect."""
    items = {item.return_item_id: item for order in orders for item in order.return_items}
    return tuple(_listed(u, items.get(u.return_item_id)) for u in ret.units)


def _listed(unit: ReturnUnit, item: ReturnItem | None) -> ReturnUnit:
    if item is None or not unit.return_item_id or unit.standing is UnitState.REMOVED:
        return unit
    return replace(unit, standing=UnitState.AUTHORIZED, authorization_id=item.authorization_id or unit.authorization_id)


def _found(unit: ReturnUnit, item: ReturnItem | None, ret: Return, now: float, timings: Timings) -> ReturnUnit:
    if item is None or not item.processed:
        return unit
    processed_at = item.changed_at or unit.processed_at or now
    seen = replace(unit, processed_at=processed_at)
    if not item.condition and unit.finding is not None and unit.finding.condition not in {"", MISSING}:
        return seen  # a later reading without the fact does not undo it
    if not item.condition and now - processed_at < timings.condition_grace:
        return _not_missing(seen)
    finding = Finding(
        condition=item.condition or "", found_at=processed_at, center=item.center or "", reason=item.reason or ""
    )
    if unit.finding is not None and unit.finding.condition == finding.condition:
        return seen
    return replace(seen, finding=finding, graded=unit.graded and not _before_verdict(ret))


def _not_missing(unit: ReturnUnit) -> ReturnUnit:
    """The unit has come, whatever its condition."""
    lost = unit.finding is not None and unit.finding.condition == MISSING
    return replace(unit, finding=None) if lost else unit


def _before_verdict(ret: Return) -> bool:
    return (ret.resume_state or ret.state) in {State.AWAITING_INSPECTION, State.EXPIRED, State.INSPECTED}


def _missing(unit: ReturnUnit, units: Sequence[ReturnUnit], ret: Return, now: float, timings: Timings) -> ReturnUnit:
    if unit.standing is not UnitState.AUTHORIZED or unit.finding is not None or unit.processed_at is not None:
        return unit
    siblings = [
        u.processed_at for u in units if u.authorization_id == unit.authorization_id and u.processed_at is not None
    ]
    if siblings:  # a newer label gives time to send the remaining units
        late = now - max(min(siblings), ret.labelled_at or 0.0) >= timings.missing_sibling
    else:
        late = _parcel_lost(unit, units, ret, now, timings)
    return replace(unit, finding=Finding(condition=MISSING, found_at=now)) if late else unit


def _parcel_lost(unit: ReturnUnit, units: Sequence[ReturnUnit], ret: Return, now: float, timings: Timings) -> bool:
    """Whether an unprocessed parcel has been silent for too long. It waits for the return's other parcels."""
    postage = postage_of(ret, unit.authorization_id)
    heard = postage or Postage(authorization_id=unit.authorization_id)
    now = _heard_until(ret, now)
    clocks = (
        (heard.lost_at, timings.missing_lost),
        (heard.delivered_at, timings.missing_delivered),
        (heard.scanned_at, timings.missing_in_transit),
    )
    for since, patience in clocks:
        if since is not None:
            return now - since >= patience
    return _came(ret, units) and _overdue(ret, now, timings)


def _heard_until(ret: Return, now: float) -> float:
    """A carrier deadline is judged at the time of the last tracking read, not of Amazon's.

    If the carrier could never be asked, it counts as silent since the label was made.
    """
    never = ret.labelled_at if ret.labelled_at is not None else now
    return min([now, *(never if p.tracked_at is None else p.tracked_at for p in ret.postage if p.travelling)])


def _came(ret: Return, units: Sequence[ReturnUnit]) -> bool:
    """Whether anything of the return was ever scanned or received."""
    scanned = any(p.scanned_at or p.delivered_at or p.lost_at for p in ret.postage)
    return scanned or any(u.processed_at is not None for u in units)


def _overdue(ret: Return, now: float, timings: Timings) -> bool:
    return ret.labelled_at is not None and now - ret.labelled_at >= timings.missing_silent


def _silent(ret: Return, expected: Sequence[ReturnUnit], now: float, timings: Timings) -> bool:
    return bool(expected) and _overdue(ret, _heard_until(ret, now), timings) and not _came(ret, expected)


def _forgotten(ret: Return, now: float, timings: Timings) -> bool:
    """Amazon has not mentioned the unit for so long that waiting ends."""
    patience = timings.missing_silent + timings.late_watch
    return ret.state is State.AWAITING_INSPECTION and ret.labelled_at is not None and now - ret.labelled_at >= patience


def _changed(ret: Return, units: Iterable[ReturnUnit]) -> tuple[ReturnUnit, ...]:
    old = {u.key: u for u in ret.units}
    return tuple(u for u in units if old[u.key] != u)
