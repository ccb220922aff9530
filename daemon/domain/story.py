"""The history of a return, told in plain words."""

from collections.abc import Callable, Mapping
from typing import Any

from daemon.domain.wording import CONDITION_WORDS

Detail = Mapping[str, Any]

_WORDS: Mapping[str, str] = {
    "LabelRequestedAgain": "Loop asked for a label once more",
    "RequestRead": "Loop was asked what is to come back",
    "RequestStands": "Loop still asks for the label",
    "OrderMatched": "The order was found at Amazon",
    "UnitsAuthorized": "Amazon accepted the return",
    "LabelIssued": "The label was made",
    "LabelDelivered": "The label is in Loop: the shopper can print it",
    "RefusalReported": "Loop was told that there is no label",
    "UnitInspected": "Amazon inspected a part of it",
    "UnitsInspected": "Amazon has inspected everything",
    "UnitsMissing": "What had not come is called missing",
    "NothingCame": "Nothing came in time",
    "LinesEdited": "The return was edited in Loop",
    "LateFinding": "Amazon found something after the verdict",
    "ProcessingRequested": "Loop was asked to process the return",
    "ReturnFlagged": "The return was sent to Needs Review",
    "ReturnProcessed": "Loop has processed the return: it is closed",
    "ReviewFound": "The return is in Needs Review in Loop",
    "FlagLifted": "A person lifted the flag in Loop",
    "ClosedInPortal": "The return was closed in Loop",
    "CallHadNoEffect": "That call had no effect; it may be made again",
    "ClockPutRight": "The machine's clock had been ahead; times were put right",
    "NotesWritten": "Notes were written to the timeline in Loop",
    "LinesGraded": "Loop was told the condition of the units",
    "Adopted": "The return was taken over as the vendors show it",
    "Doubted": "mcfd may have done more for it than it knows: it waits for a comparison with the vendors",
    "Proven": "It was compared with the vendors, and goes on",
    "RestockRequested": "Loop was asked to restock",
    "ReturnRead": "The return was read in Loop",
    "UnitsTransferred": "Another return took over units",
    "PostageOffered": "A label was offered",
    "OfferLapsed": "The offered label was too old to be bought",
    "NothingBought": "The purchase had not taken place; it is made again",
    "PostageBought": "The label was bought",
    "LabelFetched": "The label's document was fetched",
    "PostageSpent": "The label could not be printed again; a new one is made",
    "PostageVoided": "The unused label was given back",
    "LabelUnused": "Nobody used the label: it is to be given back",
}

_TRANSIT = {"new": "not scanned yet", "pre_transit": "not scanned yet", "in_transit": "on its way"}

_BOOKKEEPING = frozenset(
    {
        "CallBegun",
        "CallHadNoEffect",
        "NotesWritten",
        "ReturnRead",
        "RequestStands",
        "ClockPutRight",
        "LinesGraded",
        "TransitReported",
        "PostageOffered",
        "LabelFetched",
    }
)
_EXPECTED = frozenset({"planned", "authorized"})
"""Words of units that say no more than the sentence does."""


def is_bookkeeping(event: str) -> bool:
    """Whether an event changes nothing that a merchant cares about."""
    return event in _BOOKKEEPING


def told(event: str, detail: Detail, skus: Mapping[str, str]) -> str:
    """One event as a sentence; `skus` names the units, which the detail knows as line/part."""
    teller = _TELLERS.get(event)
    words = teller(detail) if teller else _WORDS.get(event, event)
    return words + _units(detail, skus)


def _units(detail: Detail, skus: Mapping[str, str]) -> str:
    """`: SOCK sellable, CAP missing`, for the first few units."""
    units = detail.get("units")
    if not isinstance(units, Mapping) or not units:
        return ""
    named = [_unit(skus.get(key, key), str(word)) for key, word in units.items()]
    counted = list(dict.fromkeys(named))
    shown = [f"{named.count(one)} x {one}" if named.count(one) > 1 else one for one in counted[:4]]
    more = f" and {len(counted) - 4} more" if len(counted) > 4 else ""
    return f": {', '.join(shown)}{more}"


def _unit(sku: str, word: str) -> str:
    return sku if word in _EXPECTED else f"{sku} {CONDITION_WORDS.get(word, word.replace('_', ' '))}"


def _tracked(detail: Detail) -> str:
    """`#1 SHIPMENT in_transit void:no` of each parcel, as the history has it."""
    words = [str(parcel).split() for parcel in dict(detail.get("postage", {})).values()]
    seen = dict.fromkeys(_TRANSIT.get(parts[-2], parts[-2].replace("_", " ")) for parts in words if len(parts) > 2)
    return f"The carrier says: {', '.join(seen)}" if seen else "The carrier was asked where the parcel is"


def _cancelled(detail: Detail) -> str:
    if detail.get("by"):
        return f"{detail['by']} cancelled it in mcfd"
    return "Loop withdrew a label request" if detail.get("request_id") else "The return was cancelled in Loop"


def _verdict(detail: Detail) -> str:
    done = {
        "process": "Loop processes the return",
        "flag": "a person looks at it in Loop",
        "remove": "what did not come as it should is removed, the rest processed",
        "nothing": "nothing is to be done in Loop",
    }
    return f"The verdict: {done.get(str(detail.get('settlement', 'nothing')), '')}"


def _unmatched(detail: Detail) -> str:
    then = "it is looked for again" if detail.get("hold") else "the label is refused"
    return f"No order was found at Amazon, and {then}{_why(detail, 'why')}"


def _why(detail: Detail, name: str) -> str:
    return f": {detail[name]}" if detail.get(name) else ""


def _acted(detail: Detail) -> str:
    return f"{detail.get('by', 'Somebody')} {detail.get('how', 'acted')}"


_TELLERS: Mapping[str, Callable[[Detail], str]] = {
    "LabelRequestCancelled": _cancelled,
    "NotOurs": lambda detail: f"The label request is somebody else's{_why(detail, 'why')}",
    "Unmatched": _unmatched,
    "UnitsRefused": lambda _: "Amazon does not take back",
    "VerdictReached": _verdict,
    "SettledElsewhere": lambda detail: f"It had been settled in Loop already{_why(detail, 'how')}",
    "LeftUnsettled": lambda detail: f"It cannot be settled in Loop any more{_why(detail, 'how')}",
    "ReviewSettled": lambda detail: f"A person settled the review in Loop{_why(detail, 'how')}",
    "ProcessingFailed": lambda detail: f"Loop could not process the return{_why(detail, 'message')}",
    "RemovalRefused": lambda detail: f"Loop refused to remove the lines{_why(detail, 'message')}",
    "ParcelsTracked": _tracked,
    "GaveUp": lambda detail: f"mcfd cannot go on alone{_why(detail, 'problem')}",
    "Adopted": lambda detail: f"{detail.get('by') or 'mcfd'} took it over, as Loop and Amazon show it",
    "Retried": lambda detail: f"{detail.get('by', 'Somebody')} sent it back to work",
    "Resolved": lambda detail: f"{detail.get('by', 'Somebody')} closed it by hand",
    "OperatorActed": _acted,
    "CallBegun": lambda detail: f"About to call: {str(detail.get('key', '')).partition(':')[0].replace('_', ' ')}",
    "TransitReported": lambda detail: f"Loop was told: {str(detail.get('transit', '')).replace('_', ' ')}",
    "PostageKept": lambda detail: f"The label was not given back{_why(detail, 'why')}",
    "LabelSourceChanged": lambda detail: f"The label comes from {str(detail.get('source', '')).replace('_', ' ')} now",
}
