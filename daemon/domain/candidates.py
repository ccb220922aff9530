"""Which orders at Amazon may be the shopper's, and what speaks against one, or for it.

A wrong match gives a stranger's goods away, and the stranger's own return is refused later.
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
    """What the portal calls the order, in all its names, and when the shopper submitted the return."""

    provider_order_id: str
    order_name: str
    order_number: str
    prefix: str = ""
    submitted_at: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What a shopper or a person may know the order by."""
        names = (self.order_name, self.order_name.lstrip("#"), self.provider_order_id)
        return tuple(dict.fromkeys(name for name in names if name))


class Origin(StrEnum):
    """How an order became a candidate."""

    KNOWN = "known"  # a person linked it, or it was found for this return before
    NAMED = "named"  # a template of the shop makes its id, and no other shop's does
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
    """The ids to try, in order, each once; a template whose value is unknown is left out.

    `shared` are the templates that may make the id of another shop's order.
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
    """Whether an id is one of the names, or that of a part of the order that they name."""
    return name in names or PART.sub("", name) in names


def unfit(order: FulfillmentOrder, origin: Origin, facts: OrderFacts, units: Iterable[ReturnUnit]) -> str:
    """Why an order cannot be the shopper's; empty when nothing speaks against it. A person's word is not doubted."""
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
    """Whether what shoppers see is plainly another order's name: of the same form, with another number in it."""
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
    """Whether more than a name that others may bear says that an order is the shopper's.

    That is the shop's own prefix, the shop system's id in one of its ids, or the postal code it was sent to.
    """
    ids = (order.order_id, order.displayable_order_id)
    if any(name.startswith(prefix) for name in ids for prefix in prefixes if prefix):
        return True
    if facts.provider_order_id and any(facts.provider_order_id in re.split(r"[^0-9A-Za-z]+", name) for name in ids):
        return True
    return _code(postal_code) != "" and _code(postal_code) == _code(order.postal_code)


def _code(postal_code: str) -> str:
    """A postal code as codes are compared: of the American ones, the five digits."""
    plain = "".join(postal_code.split()).casefold()
    return plain[:5] if re.match(r"\d{5}(-?\d{4})?$", plain) else plain


def one_order(orders: Sequence[FulfillmentOrder]) -> bool:
    """Whether orders of one name are the parts of one order: all were sent to one place."""
    return len({_code(order.postal_code) for order in orders}) <= 1


def doubt_words(order_ids: Iterable[str]) -> str:
    """What a person is told when orders of a fitting name may be another shopper's."""
    return f"may be another shopper's of the same name: {', '.join(order_ids)} (mcfd link says which it is)"
