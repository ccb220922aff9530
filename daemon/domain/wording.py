"""The words that merchants read: notes on the portal's timeline and reasons of refusals."""

from collections import Counter
from collections.abc import Iterable, Sequence

from daemon.domain.orders import ReturnAuthorization
from daemon.domain.returns import MISSING, Finding, Label, Postage, ReturnUnit, Settlement, State, UnitState

CONDITION_WORDS = {
    "Sellable": "sellable",
    "": "condition not given",
    MISSING: "never arrived",
    "Defective": "defective",
    "CustomerDamaged": "damaged by the customer",
    "CarrierDamaged": "damaged by the carrier",
    "FulfillerDamaged": "damaged at Amazon",
}


COULD_NOT_LABEL = "mcfd could not make a label: "
"""How every label request error of ours begins."""

FAILURE_NOTE = "processing-failed"
"""The key of the note that the portal could not process the return."""

FURTHER_PARCELS = " Further parcels: "
"""What precedes the tracking numbers of all parcels but the first."""

_DONE = {
    Settlement.PROCESS: "Processing the return.",
    Settlement.FLAG: "Sent to Needs Review.",
    Settlement.REMOVE: "These items are removed, the rest is processed.",
}


def failure_words(why: str) -> str:
    """The note that the portal could not process the return."""
    reason = why.rstrip(". ") or "Loop's history of the return says why"
    return f"The return could not be processed: {reason}. Sent to Needs Review."


def condition_words(finding: Finding) -> str:
    """A condition in plain words; an unknown one is passed on in Amazon's words."""
    return CONDITION_WORDS.get(finding.condition, finding.condition)


def count_skus(units: Iterable[ReturnUnit]) -> str:
    """`2 x SOCK, 1 x CAP`, in the order of the units."""
    counted = Counter(unit.sku for unit in units)
    return ", ".join(f"{count} x {sku}" for sku, count in counted.items())


def authorized_words(units: Sequence[ReturnUnit], authorizations: Sequence[ReturnAuthorization]) -> str:
    """The note about a return created in Amazon."""
    rmas = ", ".join(a.rma_id for a in authorizations) or "to follow"
    refused = [u for u in units if u.standing is UnitState.NOT_RETURNABLE]
    accepted = [u for u in units if u.standing is UnitState.AUTHORIZED]
    words = f"Return created in Amazon: {count_skus(accepted)}. RMA {rmas}."
    return f"{words} Not returnable: {count_skus(refused)}." if refused else words


def delivered_words(label: Label, others: Sequence[str] = ()) -> str:
    """The note about a label that the shopper can print, with the tracking numbers of further parcels."""
    more = f"{FURTHER_PARCELS}{', '.join(others)}." if others else ""
    return f"Label delivered: {label.carrier}, tracking {label.tracking_number}.{more}"


def inspected_words(unit: ReturnUnit) -> str:
    """The note about one inspected (or missing) unit."""
    if unit.finding is None or unit.finding.condition == MISSING:
        return f"Missing: {unit.sku} has not arrived at Amazon in time."
    where = f" at {unit.finding.center}" if unit.finding.center else ""
    why = f" Amazon's reason: {unit.finding.reason}." if unit.finding.reason else ""
    claim = " A case for reimbursement." if unit.finding.condition == "FulfillerDamaged" else ""
    return f"Amazon inspected {unit.sku}{where}: {condition_words(unit.finding)}.{why}{claim}"


def discrepancy_words(unit: ReturnUnit) -> str:
    """One discrepant unit in the verdict."""
    if unit.standing is UnitState.NOT_RETURNABLE:
        return f"{unit.portal_sku} not returnable"
    return f"{unit.sku} {condition_words(unit.finding)}" if unit.finding else f"{unit.sku} not inspected"


def verdict_words(
    settlement: Settlement,
    discrepant: Sequence[ReturnUnit],
    *,
    portal_says: str,
    waived: Sequence[ReturnUnit] = (),
    came: bool = True,
) -> str:
    """The note about the verdict and its consequence; `waived` are units that the shop's rules accept.

    `portal_says` is empty if mcfd leaves the outcome to somebody else.
    """
    if settlement is Settlement.NOTHING and not came:
        found = "Nothing came back"
    elif discrepant:
        found = f"Discrepancy: {_listed(discrepant)}"
    elif waived:
        found = f"Accepted by the shop's rules: {_listed(waived)}"
    else:
        found = "No discrepancy: all units arrived as they should"
    portal_says = {"review": "in Needs Review"}.get(portal_says, portal_says)
    done = _DONE.get(settlement, f"Nothing was done: the return is {portal_says} in Loop.")
    if not portal_says:
        done = "mcfd settles no returns of this shop (features.outcomes): somebody else decides."
    if len(found) > 170:  # the note's limit minus its marker and its last sentence
        found = found[:169] + "…"
    return f"{found}. {done}"


def settlement_told(words: str) -> Settlement:
    """What a verdict's note says was done."""
    return next((settlement for settlement, end in _DONE.items() if words.endswith(end)), Settlement.NOTHING)


def _listed(units: Iterable[ReturnUnit]) -> str:
    return "; ".join(dict.fromkeys(discrepancy_words(unit) for unit in units))


_COULD_NOT = {
    State.AWAITING_INSPECTION: "The inspection could not be followed",
    State.EXPIRED: "The inspection could not be followed",
    State.INSPECTED: "The inspection could not be judged",
    State.SETTLING: "The outcome could not be brought into Loop",
    State.PROCESSING: "The outcome could not be followed",
    State.IN_REVIEW: "The review could not be followed",
}


def stuck_words(problem: str, during: State) -> str:
    """The note about a stuck return; before the inspection it lacks its label."""
    return f"{_COULD_NOT.get(during, 'No label could be made')}: {problem}. Somebody has to look at it."


def cancelled_words(by: str) -> str:
    """The note about a cancel and its origin: Loop, or an operator with mcfd's verb."""
    who = "Cancelled in mcfd by a person, not in Loop" if by else "Cancelled in Loop"
    return f"{who}. Amazon knows no cancel: a parcel that arrives all the same is noted here."


def held_words(why: str) -> str:
    """The note about a label request that waits for its order."""
    return f"No label yet: {why}. It is looked for again by itself; whoever runs mcfd can name the order (mcfd link)."


def voided_words(postage: Postage, *, pending: bool = False) -> str:
    """The note about a voided label."""
    end = "The carrier refunds it within weeks." if pending else "It was never scanned."
    return f"Label voided: {postage.carrier}, tracking {postage.tracking_id}. {end}"


def kept_words(postage: Postage, why: str) -> str:
    """The note about a label that could not be voided."""
    return f"Label not voided: {postage.carrier}, tracking {postage.tracking_id or 'unknown'}: {why}."


def parcel_words(postage: Postage) -> str:
    """The note about a parcel that has reached the fulfillment center."""
    return f"Parcel delivered to Amazon: {postage.carrier}, tracking {postage.tracking_id}. Inspection follows."
