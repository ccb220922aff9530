"""What must be true in the end, whatever went wrong on the way: nothing twice, nothing lost.

Everything is read off the vendors' own books. Each check yields sentences about what is wrong; none is good.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from adapters.sandbox import Sandbox
from adapters.sandbox.amazon.orders import ReturnItem
from adapters.sandbox.amazon.shipping import BoughtShipment
from adapters.sandbox.easypost.shipments import EasyPostShipment
from adapters.sandbox.loop.returns import LoopReturn
from adapters.sandbox.stamps import parse_time
from daemon.domain.duties import duty
from daemon.domain.returns import Return, State

TRANSITS = ("pre_transit", "in_transit", "out_for_delivery", "delivered")
NOT_PROCESSED, NOT_REMOVED, MISSING = "could not be processed", "did not remove", "issing"
ANOTHERS = "another's "
"""How the ids begin that another tool has given to its return items."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one return must have ended, as far as its story decides that; None leaves it open.

    `items` are the units that Amazon was asked to take back, `labels` and `errors` count over all label requests,
    `settled` is how often Loop was asked to process, to flag, and to remove lines. `words` must be on the timeline.
    """

    return_id: int
    kind: str
    portal: frozenset[str] = frozenset({"closed"})
    items: int | None = None
    labels: int | None = None
    errors: int | None = None
    settled: tuple[int, int, int] | None = None
    words: tuple[str, ...] = ()
    given_back: bool = False


def judge(
    sandbox: Sandbox, *, neighbour: Sandbox | None = None, storms: bool = False, deaths: bool = False
) -> list[str]:
    """Everything that is wrong with the vendors' books; the neighbour is another Loop shop of the same seller.

    In a storm Amazon may refuse calls of its own accord. After a storm or a death a label's progress, which is a plain
    PUT, may have been told once more.
    """
    shops = [sandbox] if neighbour is None else [sandbox, neighbour]
    wrong = [*_units(shops), *_purchases(sandbox), *(what for shop in shops for what in _requests(shop))]
    for ret in [ret for shop in shops for ret in shop.shop.returns.values()]:
        said = (*_labels(ret, again=storms or deaths), *_timeline(ret), *_outcome(ret))
        wrong += [f"return {ret.return_id}: {what}" for what in said]
    if not storms:
        wrong += _limits(sandbox)
    return wrong + [f"a vendor complains: {sentence}" for sentence in sandbox.snapshot()["amazon"]["warnings"]]


def judge_ending(sandbox: Sandbox, ending: Ending) -> list[str]:
    """Whether one return has ended as its story demands."""
    ret = sandbox.shop.returns[ending.return_id]
    facts: dict[str, tuple[object, object]] = {
        "return items": (ending.items, len(items_of(sandbox, ret.return_id))),
        "labels": (ending.labels, len(ret.labels)),
        "errors": (ending.errors, sum(len(r.errors) for r in sandbox.shop.requests_of(ret))),
        "settled (process, flag, remove)": (ending.settled, _settled(ret)),
    }
    wrong = [f"{what} {got}, not {wanted}" for what, (wanted, got) in facts.items() if wanted not in {None, got}]
    if ret.state not in ending.portal:
        wrong.append(f"ended {ret.state}, not {'/'.join(sorted(ending.portal))}")
    wrong += [f"no note says {words!r}" for words in ending.words if not _says(ret, words)]
    kept = [s for s in shipments_of(sandbox, ret.return_id) if not s.cancelled]
    others = {one.tracking_number for r in sandbox.shop.returns.values() if r is not ret for one in r.labels}
    kept_parcels = [s for s in parcels_of(sandbox, ret.return_id) if not s.given_back and _code(s) not in others]
    if ending.given_back and (kept or kept_parcels):
        wrong.append("a label that nobody needs was not given back")
    return [f"{ending.kind} {ret.return_id}: {what}" for what in wrong]


def judge_store(returns: list[Return], now: float) -> list[str]:
    """No return may be forgotten: what still has a duty has a due time, and nothing is stuck without a reason."""
    wrong = []
    for ret in returns:
        owed = duty(ret, now)
        if ret.due_at is None and (owed is not None or ret.state not in {State.CLOSED, State.CANCELLED, State.STUCK}):
            wrong.append(f"{ret.ref} is {ret.state} and waits for nothing, but owes {owed}")
        if ret.due_at is not None and owed is not None and ret.due_at < now - 60:
            wrong.append(f"{ret.ref} is {ret.state} and overdue with {owed}")
        if ret.state is State.STUCK:
            wrong.append(f"{ret.ref} is stuck: {ret.problem}")
    return wrong


def judge_deliveries(sandbox: Sandbox, known: set[str]) -> list[str]:
    """Whatever was acknowledged is there."""
    heard = {a.about for a in sandbox._courier.attempts if a.trigger == "label.request.issued" and a.status == 200}
    return [f"the label request of return {lost} was acknowledged and lost" for lost in sorted(heard - known)]


def judge_messages(waiting: int, read: Iterable[bytes], letters: int) -> list[str]:
    """Every message was heard and deleted, and each that could not be read is kept as a dead letter."""
    wrong = [f"{waiting} messages are left in the queue"] if waiting else []
    unreadable = len({body for body in read if not body.endswith(b"}")})
    return wrong + ([f"{unreadable} messages could not be read, {letters} are kept"] if unreadable != letters else [])


def judge_words(shops: Iterable[Sandbox], kept: Iterable[str], person: Sequence[str]) -> list[str]:
    """Nothing of the shopper's, which vendors repeat in their errors, is told to Loop, kept in the store, or logged."""
    told = [
        *(f"note {note['content']}" for s in shops for ret in s.shop.returns.values() for note in ret.notes),
        *(
            f"error {error['message']}"
            for s in shops
            for request in s.shop.requests.values()
            for error in request.errors
        ),
        *kept,
    ]
    return [f"tells of the shopper: {line[:300]}" for line in told if any(words in line for words in person)]


def items_of(sandbox: Sandbox, return_id: int) -> list[ReturnItem]:
    """What Amazon was asked to take back for a return; the ids that mcfd derives name it."""
    everything = (item for order in sandbox.network.orders.values() for item in order.items.values())
    return [item for item in everything if f"-{return_id}-" in item.seller_id]


def shipments_of(sandbox: Sandbox, return_id: int) -> list[BoughtShipment]:
    """The labels that were bought for a return."""
    bought = sandbox.shipping.shipments.values()
    return [s for s in bought if any(parcel.reference.startswith(f"{return_id}-") for parcel in s.parcels)]


def _settled(ret: LoopReturn) -> tuple[int, ...]:
    """How often Loop did it, or tried to.

    A call that Loop refuses has no effect: a removal whose refusal got lost is refused again, and so is a flag that comes
    after its time-out, when the next one has been raised already.
    """
    process, flag, remove = (ret.counts.get(what, 0) for what in ("process", "flag", "remove"))
    return process, min(flag, _told(ret, "Loop: review")), 1 if _says(ret, NOT_REMOVED) else remove


def _told(ret: LoopReturn, what: str) -> int:
    return sum(line["what"].startswith(what) for line in ret.history)


def _says(ret: LoopReturn, words: str) -> bool:
    return any(words in note["content"] for note in ret.notes)


def _units(shops: Sequence[Sandbox]) -> Iterator[str]:
    """One return item per unit, and none for a unit that no return has."""
    lines = {(r.return_id, str(line)) for s in shops for r in s.shop.returns.values() for line in _lines_ever(s, r)}
    seen: Counter[str] = Counter()
    for order in shops[0].network.orders.values():
        for item in order.items.values():
            if item.seller_id.startswith(ANOTHERS):
                continue
            seen[item.seller_id] += 1
            _, _, return_id, line, _ = item.seller_id.split("-")
            if (int(return_id), line) not in lines:
                yield f"return item {item.seller_id} stands for no unit"
    yield from (f"unit {unit} has {n} return items" for unit, n in seen.items() if n > 1)


def _lines_ever(sandbox: Sandbox, ret: LoopReturn) -> set[int]:
    asked = {line for request in sandbox.shop.requests_of(ret) for line in request.line_item_ids}
    return asked | {line.line_item_id for line in ret.lines}


def _purchases(sandbox: Sandbox) -> Iterator[str]:
    """A second label for a parcel only after the first was given back, or used; each purchase number once."""
    bought: dict[str, list[BoughtShipment]] = defaultdict(list)
    for shipment in sandbox.shipping.shipments.values():
        for parcel in shipment.parcels:
            bought[parcel.reference].append(shipment)
    returned = {
        call["path"].split("/")[-2]: call["at"] for call in reversed(sandbox.calls()) if _gave_back(call["operation"])
    }
    yield from _sales(sandbox)
    for reference, shipments in bought.items():
        keys = Counter(shipment.key for shipment in shipments)
        yield from (f"parcel {reference}: one purchase was made {n} times" for n in keys.values() if n > 1)
        for earlier, later in pairwise(shipments):
            if _used(earlier, later.bought_at):
                continue
            if not earlier.cancelled or returned[earlier.shipment_id] > later.bought_at:
                yield f"parcel {reference}: bought again before {earlier.shipment_id} was given back"


def _used(shipment: BoughtShipment, at: float) -> bool:
    """Its parcel had arrived by then."""
    scans = [event for parcel in shipment.parcels for event in parcel.events if parcel.status == "Delivered"]
    return any(parse_time(event["eventTime"]) <= at for event in scans[-1:])


def _sales(sandbox: Sandbox) -> Iterator[str]:
    """At EasyPost a parcel is known by the RMA on its label: a second one is sold only after the first was given back."""
    sold: dict[str, list[EasyPostShipment]] = defaultdict(list)
    for shipment in sandbox.easypost_labels():
        sold[rma_of(shipment)].append(shipment)
    for rma, shipments in sold.items():
        live = [one for one in shipments if not one.given_back and one.sale and one.sale.tracker.status != "delivered"]
        if len(live) > 1:
            yield f"{rma}: {len(live)} labels were paid for and kept"
        references = Counter(shipment.reference for shipment in shipments if not shipment.given_back)
        yield from (f"{rma}: purchase {name} was made {n} times" for name, n in references.items() if n > 1)


def rma_of(shipment: EasyPostShipment) -> str:
    """What EasyPost prints on the label for us."""
    return str(shipment.request.get("options", {}).get("print_custom_1", ""))


def _code(shipment: EasyPostShipment) -> str:
    return shipment.sale.tracker.code if shipment.sale else ""


def parcels_of(sandbox: Sandbox, return_id: int) -> list[EasyPostShipment]:
    """The labels that EasyPost sold for a return."""
    printed = {f"RMA {item.authorization.rma}" for item in items_of(sandbox, return_id)}
    return [shipment for shipment in sandbox.easypost_labels() if rma_of(shipment) in printed]


def _gave_back(operation: str) -> bool:
    return operation == "cancelShipment"


def _requests(sandbox: Sandbox) -> Iterator[str]:
    """One label per label request, and each error once."""
    labels = Counter(label.request_id for ret in sandbox.shop.returns.values() for label in ret.labels)
    yield from (f"label request {request} has {n} labels" for request, n in labels.items() if n > 1)
    for request in sandbox.shop.requests.values():
        errors = Counter(error["message"] for error in request.errors)
        yield from (
            f"label request {request.request_id}: an error was posted {n} times" for n in errors.values() if n > 1
        )


def _labels(ret: LoopReturn, *, again: bool) -> Iterator[str]:
    """Transit goes forward, and no step of it is told twice, unless `again`."""
    told: dict[str, list[int]] = defaultdict(list)
    for line in ret.timeline:
        if line.startswith("label "):
            label, _, status = line.removeprefix("label ").partition(": ")
            told[label].append(TRANSITS.index(status))
    for label, ranks in told.items():
        if ranks != sorted(ranks if again else set(ranks)):
            yield f"label {label} was told {[TRANSITS[rank] for rank in ranks]}"


def _timeline(ret: LoopReturn) -> Iterator[str]:
    """Each note once, by its marker; each line graded once, and once more when the inspector has something new."""
    markers = Counter(marker for note in ret.notes for marker in re.findall(r"\[mcfd \w+\]", note["content"]))
    yield from (f"note {marker} was written {n} times" for marker, n in markers.items() if n > 1)
    for line in ret.lines:
        looks = sum(
            f"-{line.line_item_id}-" in told["what"] for told in ret.history if told["what"].startswith("Amazon:")
        )
        if max(line.grades, line.assessments) > max(1, looks + _says(ret, MISSING)):
            yield f"line {line.line_item_id} was graded {line.grades} and assessed {line.assessments} times"


def _outcome(ret: LoopReturn) -> Iterator[str]:
    """One process, one flag or one removal; something else beside it only when Loop said that it did not work.

    What Loop tried in vain may be tried again when nobody heard of it.
    """
    process, flag, remove = _settled(ret)
    process -= min(_told(ret, "Loop: processing failed"), max(0, process - 1))
    if max(process, flag, remove) > 1:
        yield f"asked to process {process}, to flag {flag}, to remove {remove} times"
    if process + flag + remove > 1 and not _says(ret, NOT_PROCESSED) and not _says(ret, NOT_REMOVED):
        yield "was settled in two ways"


def _limits(sandbox: Sandbox) -> Iterator[str]:
    """Nobody spends more than the limit: the vendors would have said so."""
    over = Counter(c["operation"] for c in sandbox.calls() if c["status"] == 429 and c["fault"] is None)
    yield from (f"the limit of {operation} was exceeded {n} times" for operation, n in over.items())
