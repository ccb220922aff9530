"""Turns findings into a verdict: which units are discrepant, how lines are graded, what to ask of the portal."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from daemon.domain.allocation import not_returnable
from daemon.domain.copies import replace
from daemon.domain.events.returns import VerdictReached
from daemon.domain.matching import fold
from daemon.domain.orders import SELLABLE
from daemon.domain.portal import Grade, PortalReturn, PortalState
from daemon.domain.returns import MISSING, Return, ReturnUnit, Settlement, UnitState, merge_units
from daemon.domain.wording import condition_words, verdict_words

NOT_RETURNABLE = "not_returnable"
"""The name, in the operator's rules, for the condition of a unit that never came back."""


class Treatment(StrEnum):
    """How a finding is judged."""

    PROCESS = "process"
    FLAG = "flag"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An exception to the table of conditions; patterns have * and ?, `max_value_cents` bounds the line's price."""

    then: Treatment
    sku: str = "*"
    reason: str = "*"
    condition: str = "*"
    max_value_cents: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeEntry:
    """How one condition is reported to the portal."""

    grade: str
    title: str
    disposition: str


UNKNOWN_GRADE = GradeEntry(grade="grade_d", title="Grade D", disposition="resale_hold")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictPolicy:
    """The operator's rules for judging findings."""

    conditions: Mapping[str, Treatment]
    missing: Treatment
    not_returnable: Treatment
    absent: Treatment
    rules: Sequence[Rule]
    grades: Mapping[str, GradeEntry]
    auto_process: bool


def treat(unit: ReturnUnit, policy: VerdictPolicy) -> Treatment:
    """The judgement of one unit; an unlisted condition never counts as clean."""
    if unit.standing is UnitState.REMOVED:
        return Treatment.IGNORE
    back = unit.standing is UnitState.AUTHORIZED and unit.finding is not None
    condition = unit.finding.condition if back and unit.finding else NOT_RETURNABLE
    for rule in policy.rules:
        if _applies(rule, unit, condition):
            return rule.then
    special = {MISSING: policy.missing, NOT_RETURNABLE: policy.not_returnable, "": policy.absent}
    return special.get(condition) or policy.conditions.get(condition, Treatment.FLAG)


def _fits(text: str, pattern: str) -> bool:
    """Whether the whole text matches the pattern; only * and ? are special, because SKUs may contain brackets."""
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    special = {"*": ".*", "?": "."}
    return re.compile("".join(special.get(sign) or re.escape(sign) for sign in pattern), re.DOTALL)


def _applies(rule: Rule, unit: ReturnUnit, condition: str) -> bool:
    price, most = unit.line_price_cents, rule.max_value_cents
    cheap = most is None or (price is not None and price <= most)  # an unknown price does not count as low
    return (
        cheap
        and any(_fits(sku, rule.sku) for sku in (unit.sku, unit.portal_sku))
        and any(_fits(fold(text), fold(rule.reason)) for text in (unit.reason, unit.parent_reason))
        and _fits(condition, rule.condition)
    )


def grades(ret: Return, line_ids: Iterable[str], policy: VerdictPolicy) -> tuple[Grade, ...]:
    """The grade of each line, taken from its worst unit. A unit without a condition from Amazon is not graded."""
    written = []
    for line_id in line_ids:
        found = [u for u in ret.units if u.line_id == line_id and u.finding is not None and u.finding.condition]
        if not found:
            continue
        worst = max(found, key=lambda u: (treat(u, policy) is Treatment.FLAG, _entry(u, policy).grade))
        written.append(_grade(worst, _entry(worst, policy)))
    return tuple(written)


def _entry(unit: ReturnUnit, policy: VerdictPolicy) -> GradeEntry:
    condition = unit.finding.condition if unit.finding else ""
    return policy.grades.get(condition, UNKNOWN_GRADE)


def _grade(unit: ReturnUnit, entry: GradeEntry) -> Grade:
    assert unit.finding is not None  # noqa: S101 - chosen among units that have one
    return Grade(
        line_id=unit.line_id,
        grade=entry.grade,
        title=entry.title,
        disposition=entry.disposition,
        description=f"Amazon: {unit.finding.condition if unit.finding.condition != MISSING else 'not received'}",
        inspected_at=unit.finding.found_at,
    )


def conclude(ret: Return, details: PortalReturn, policy: VerdictPolicy, at: float) -> VerdictReached:
    """The verdict on a return with all findings, and what to do in the portal."""
    units = merge_units(ret.units, _edited(ret, details))
    discrepant = [u for u in units if treat(u, policy) is Treatment.FLAG]
    left = not ret.switches.outcomes
    settlement = Settlement.NOTHING if left else _settlement(replace(ret, units=units), details, discrepant, policy)
    return VerdictReached(
        at=at,
        units=units,
        settlement=settlement,
        switches=ret.switches,
        summary=verdict_words(
            settlement,
            discrepant,
            portal_says="" if left and not details.settled else details.state.value,
            waived=[u for u in units if _waived(u, policy)],
            came=any(u.finding is not None for u in units),
        ),
    )


def _waived(unit: ReturnUnit, policy: VerdictPolicy) -> bool:
    """Whether a rule of the shop accepts the unit although it is not as good as new."""
    sellable = unit.finding is not None and unit.finding.condition == SELLABLE
    return unit.standing is not UnitState.REMOVED and not sellable and treat(unit, policy) is not Treatment.FLAG


def _edited(ret: Return, details: PortalReturn) -> tuple[ReturnUnit, ...]:
    """Lines that left the return are left out of the verdict; lines that joined it were never authorized.

    The portal may show no lines for a finished return; that says nothing about what came back.
    """
    if not details.lines:
        return ()
    now = {line.line_id for line in details.lines}
    known = {u.line_id for u in ret.units}
    removed = tuple(replace(u, standing=UnitState.REMOVED) for u in ret.units if u.line_id not in now)
    added = (
        ReturnUnit(
            line_id=line.line_id,
            portal_sku=line.sku,
            sku=line.sku,
            price_cents=line.price_cents or 0,
            line_price_cents=line.price_cents,
        )
        for line in details.lines
        if line.line_id not in known
    )
    gone = (u for u in ret.units if u.standing is UnitState.REMOVED and u.line_id in now)
    return (
        *removed,
        *not_returnable(added, "added to the return without a label request"),
        *not_returnable(gone, "was given up before, and is part of the return again"),
    )


def _settlement(
    ret: Return, details: PortalReturn, discrepant: Sequence[ReturnUnit], policy: VerdictPolicy
) -> Settlement:
    if details.settled or details.state is PortalState.REVIEW:
        return Settlement.NOTHING
    if ret.processing_failed or details.state is PortalState.EXPIRED:
        return Settlement.FLAG
    if not discrepant:
        return Settlement.PROCESS
    bad_lines = {u.line_id for u in discrepant}
    some_clean = any(u.line_id not in bad_lines for u in ret.units if u.standing is not UnitState.REMOVED)
    removable = policy.auto_process and details.has_exchange and some_clean
    return Settlement.REMOVE if removable else Settlement.FLAG


def processing_record(ret: Return) -> dict[str, str]:
    """The record kept in the portal with a processed return: Amazon's ids and conditions, nothing about the shopper."""
    found = [f"{u.sku}: {condition_words(u.finding)}" for u in ret.units if u.finding is not None]
    return {
        "processed_by": "mcfd",
        "amazon_order": ", ".join(ret.order_ids()),
        "amazon_rma": ", ".join(a.rma_id for a in ret.authorizations),
        "amazon_condition": "; ".join(found),
    }
