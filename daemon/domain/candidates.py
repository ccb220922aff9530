"""Which orders at Amazon may be the shopper's, and the evidence for and against each.

A wrong match would return a stranger's goods, and the stranger's own return would be refused later.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from daemon.domain.durations import DAY
from daemon.domain.orders import FulfillmentOrder
from daemon.domain.returns import ReturnUnit

PART = re.compile(r"(?:[-_. ](?:\d{1,2}|[A-Za-z])|[A-Za-z])$")
"""How connectors mark the parts of an order that they split: 1001-1, 1001_2, 1001.2, 1001B. 10012 is another order."""

_NUMBERED = re.compile(r"#\s*(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """All names of the order in the portal, and when the shopper submitted the return."""

    provider_order_id: str
    order_name: str
    order_number: str
    prefix: str = ""
    submitted_at: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names that a shopper or an operator may use for the order."""
        names = (self.order_name, self.order_name.lstrip("#"), self.provider_order_id)
        return tuple(dict.fromkeys(name for name in names if name))


class Origin(StrEnum):
    """How an order became a candidate."""

    KNOWN = "known"  # an operator linked it, or it was found for this return before
    NAMED = "named"  # a template of this shop alone makes its id
    SHARED = "shared"  # an order of another shop of the account may bear the same id
    INDEXED = "indexed"  # Amazon's list has it under a name of the shopper's order


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An id to try."""

    order_id: str
    origin: Origin


def named_candidates(
    templates: Sequence[str], facts: OrderFacts, shared: Collection[str] = ()
) -> tuple[Candidate, ...]:
    """The ids to try, in order, without repeats; templates with an unknown value are left out.

    `shared` are the templates that may also make ids of another shop's orders.
    """
    values = {
        "provider_order_id": facts.provider_order_id,
        "order_name": facts.order_name,
        "order_name_bare": facts.order_name.lstrip("#"),
        "order_number": facts.order_number,
        "prefix": facts.prefix,
    }
    found: dict[str, Candidate] = {}
    for template in templates:
        named = [name for name in values if "{" + name + "}" in template and name != "prefix"]
        order_id = template.format_map(values) if all(values[name] for name in named) else ""
        if order_id and order_id not in found:
            origin = Origin.SHARED if template in shared else Origin.NAMED
            found[order_id] = Candidate(order_id=order_id, origin=origin)
    return tuple(found.values())


def bears(name: str, names: Collection[str]) -> bool:
    """Whether an id is one of the names, or the name of a part of that order."""
    return name in names or PART.sub("", name) in names


def unfit(order: FulfillmentOrder, origin: Origin, facts: OrderFacts, units: Iterable[ReturnUnit]) -> str:
    """Why an order cannot be the shopper's; empty if it can. An operator's link is not doubted."""
    wanted = {unit.sku for unit in units}
    if wanted and wanted.isdisjoint(item.sku for item in order.items):
        return "lacks " + ", ".join(sorted(wanted))
    if not order.returnable:
        return "nothing of it has shipped, or will"
    if origin is Origin.KNOWN:
        return ""
    asked, received = facts.submitted_at, order.received_at
    if asked is not None and received is not None and received > asked + DAY:
        return "Amazon received it after the shopper had asked to return it"
    if _names_another(order.displayable_order_id, facts):
        return f"shoppers know it as {order.displayable_order_id}"
    return ""


def _names_another(shown: str, facts: OrderFacts) -> bool:
    """Whether the name shown to shoppers clearly belongs to another order: same form, different number."""
    theirs, ours = _number(shown), _number(facts.order_name)
    if not theirs or not ours or theirs in {ours, facts.provider_order_id, facts.order_number}:
        return False
    both_marked = all(_NUMBERED.search(name) for name in (shown, facts.order_name))
    return both_marked or (_form(shown) == _form(facts.order_name) and abs(len(theirs) - len(ours)) <= 1)


def _number(name: str) -> str:
    found = _NUMBERED.search(name) or re.search(r"(\d+)", name)
    return found[1] if found else ""


def _form(name: str) -> str:
    return re.sub(r"\d+", "0", name.lstrip("#").casefold())


def confirmed(order: FulfillmentOrder, facts: OrderFacts, postal_code: str, *, prefixes: Collection[str] = ()) -> bool:
    """Whether there is better evidence than a name, which other orders may share, that an order is the shopper's.

    Such evidence is the shop's own prefix, the shop system's id in one of its ids, or the postal code it was sent to.
    """
    ids = (order.order_id, order.displayable_order_id)
    if any(name.startswith(prefix) for name in ids for prefix in prefixes if prefix):
        return True
    if facts.provider_order_id and any(facts.provider_order_id in re.split(r"[^0-9A-Za-z]+", name) for name in ids):
        return True
    return _code(postal_code) != "" and _code(postal_code) == _code(order.postal_code)


def _code(postal_code: str) -> str:
    """A postal code in the form used for comparison: only the first five digits of American ones."""
    plain = "".join(postal_code.split()).casefold()
    return plain[:5] if re.match(r"\d{5}(-?\d{4})?$", plain) else plain


def one_order(orders: Sequence[FulfillmentOrder]) -> bool:
    """Whether orders of the same name are parts of one order, that is, were all sent to one place."""
    return len({_code(order.postal_code) for order in orders}) <= 1


def doubt_words(order_ids: Iterable[str]) -> str:
    """The text for the operator when orders with a matching name may belong to another shopper."""
    return f"may be another shopper's of the same name: {', '.join(order_ids)} (mcfd link says which it is)"
