"""The life of a return: one table of transitions, and `apply`, which follows it.

A state says what the return waits for. The duty is computed from the return (`duties`), so a restart simply resumes:
there is no "running" state.
"""

from collections.abc import Callable, Mapping
from typing import Any

from daemon.domain.acts import Act, Duty
from daemon.domain.copies import replace
from daemon.domain.duties import create_unclear, delivery_unclear, purchase_unclear
from daemon.domain.events import postage as pe
from daemon.domain.events import returns as ev
from daemon.domain.events.operator import OperatorActed
from daemon.domain.returns import Return, State
from daemon.domain.transitions import adoption, labels, outcome, postage
from daemon.errors import IllegalTransition

S = State

ADOPTED_AS: frozenset[State] = frozenset(
    {
        S.RECEIVED,
        S.AWAITING_INSPECTION,
        S.SETTLING,
        S.IN_REVIEW,
        S.EXPIRED,
        S.CANCELLED,
        S.CLOSED,
    }
)
"""The states in which a return can be found at the vendors; `Adopted` leads there from every state."""

TRANSITIONS: Mapping[State, Mapping[type[ev.Event], frozenset[State]]] = {
    S.RECEIVED: {
        ev.Adopted: ADOPTED_AS,
        ev.RequestRead: frozenset({S.RECEIVED, S.AWAITING_LABEL}),
        ev.NotOurs: frozenset(
            {
                S.RECEIVED,
                S.AWAITING_LABEL,
                S.LABEL_READY,
                S.AWAITING_INSPECTION,
                S.REFUSED,
                S.CANCELLED,
                S.CLOSED,
            }
        ),
        ev.OrderMatched: frozenset({S.RECEIVED, S.AWAITING_LABEL, S.LABEL_READY, S.REFUSED}),
        ev.Unmatched: frozenset({S.RECEIVED, S.AWAITING_LABEL, S.LABEL_READY, S.REFUSED}),
        ev.UnitsAuthorized: frozenset({S.RECEIVED, S.AWAITING_LABEL}),
        ev.UnitsRefused: frozenset({S.RECEIVED, S.AWAITING_LABEL, S.LABEL_READY, S.REFUSED}),
        ev.LabelDelivered: frozenset({S.RECEIVED}),
        ev.Retried: frozenset({S.RECEIVED}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset(
            {
                S.RECEIVED,
                S.AWAITING_LABEL,
                S.LABEL_READY,
                S.AWAITING_INSPECTION,
                S.REFUSED,
                S.CANCELLED,
                S.CLOSED,
            }
        ),
        ev.ClosedInPortal: frozenset({S.CLOSED}),
        ev.GaveUp: frozenset({S.STUCK}),
    },
    S.AWAITING_LABEL: {
        ev.Adopted: ADOPTED_AS,
        ev.UnitsAuthorized: frozenset({S.AWAITING_LABEL}),
        ev.LabelIssued: frozenset({S.AWAITING_LABEL, S.LABEL_READY}),
        ev.RefusalReported: frozenset({S.AWAITING_LABEL}),
        ev.NotOurs: frozenset(
            {S.AWAITING_LABEL, S.LABEL_READY, S.AWAITING_INSPECTION, S.REFUSED, S.CANCELLED, S.CLOSED}
        ),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset(
            {S.AWAITING_LABEL, S.LABEL_READY, S.AWAITING_INSPECTION, S.REFUSED, S.CANCELLED, S.CLOSED}
        ),
        ev.ClosedInPortal: frozenset({S.CLOSED}),
        ev.GaveUp: frozenset({S.STUCK}),
    },
    S.LABEL_READY: {
        ev.Adopted: ADOPTED_AS,
        ev.LabelDelivered: frozenset({S.LABEL_READY, S.AWAITING_INSPECTION}),
        ev.RefusalReported: frozenset(
            {S.LABEL_READY, S.AWAITING_INSPECTION, S.CLOSED}
        ),  # retried while it was reported
        ev.NotOurs: frozenset({S.LABEL_READY, S.AWAITING_INSPECTION, S.REFUSED, S.CANCELLED, S.CLOSED}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset({S.LABEL_READY, S.AWAITING_INSPECTION, S.REFUSED, S.CANCELLED, S.CLOSED}),
        ev.ClosedInPortal: frozenset({S.CLOSED}),
        ev.GaveUp: frozenset({S.STUCK}),
    },
    S.AWAITING_INSPECTION: {
        ev.Adopted: ADOPTED_AS,
        ev.UnitInspected: frozenset({S.AWAITING_INSPECTION}),
        ev.UnitsInspected: frozenset({S.INSPECTED}),
        ev.UnitsMissing: frozenset({S.INSPECTED}),
        ev.NothingCame: frozenset({S.EXPIRED}),
        ev.LinesEdited: frozenset({S.AWAITING_INSPECTION}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset({S.AWAITING_INSPECTION}),
        ev.GaveUp: frozenset({S.STUCK}),
    },
    S.INSPECTED: {
        ev.Adopted: ADOPTED_AS,
        ev.VerdictReached: frozenset({S.SETTLING, S.CLOSED}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset({S.INSPECTED}),
        ev.GaveUp: frozenset({S.STUCK}),
    },
    S.SETTLING: {
        ev.Adopted: ADOPTED_AS,
        ev.ProcessingRequested: frozenset({S.PROCESSING, S.SETTLING}),
        ev.ReturnFlagged: frozenset({S.IN_REVIEW}),
        ev.ReviewFound: frozenset({S.IN_REVIEW}),
        ev.SettledElsewhere: frozenset({S.CLOSED}),
        ev.LeftUnsettled: frozenset({S.CLOSED}),
        ev.RemovalRefused: frozenset({S.SETTLING}),
        ev.ProcessingFailed: frozenset({S.SETTLING}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset({S.SETTLING}),
        ev.GaveUp: frozenset({S.STUCK}),
    },
    S.PROCESSING: {
        ev.Adopted: ADOPTED_AS,
        ev.ReturnProcessed: frozenset({S.CLOSED}),
        ev.ProcessingFailed: frozenset({S.SETTLING}),
        ev.ReviewFound: frozenset({S.IN_REVIEW}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset({S.PROCESSING}),
        ev.GaveUp: frozenset({S.STUCK}),
    },
    S.IN_REVIEW: {
        ev.Adopted: ADOPTED_AS,
        ev.LateFinding: frozenset({S.IN_REVIEW}),
        ev.FlagLifted: frozenset({S.IN_REVIEW}),
        ev.ReviewSettled: frozenset({S.CLOSED}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset({S.IN_REVIEW}),
        ev.GaveUp: frozenset({S.STUCK}),
        ev.Retried: frozenset({S.INSPECTED}),
    },
    S.EXPIRED: {
        ev.Adopted: ADOPTED_AS,
        ev.UnitInspected: frozenset({S.AWAITING_INSPECTION}),
        ev.UnitsInspected: frozenset({S.INSPECTED}),
        ev.UnitsMissing: frozenset({S.INSPECTED}),
        ev.ClosedInPortal: frozenset({S.CLOSED}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset({S.EXPIRED, S.CANCELLED}),
        ev.GaveUp: frozenset({S.STUCK}),
    },
    S.REFUSED: {
        ev.Adopted: ADOPTED_AS,
        ev.RefusalReported: frozenset({S.REFUSED, S.CLOSED}),
        ev.NotOurs: frozenset({S.REFUSED, S.CANCELLED, S.CLOSED}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset({S.REFUSED, S.CANCELLED, S.CLOSED}),
        ev.ClosedInPortal: frozenset({S.CLOSED}),
        ev.GaveUp: frozenset({S.STUCK}),
    },
    S.CANCELLED: {
        ev.Adopted: ADOPTED_AS,
        ev.LateFinding: frozenset({S.CANCELLED}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset({S.CANCELLED}),
        ev.ClosedInPortal: frozenset({S.CLOSED}),
    },
    S.STUCK: {
        ev.Adopted: ADOPTED_AS,
        ev.Retried: frozenset(
            {
                S.RECEIVED,
                S.LABEL_READY,
                S.AWAITING_INSPECTION,
                S.INSPECTED,
                S.SETTLING,
                S.PROCESSING,
                S.IN_REVIEW,
                S.EXPIRED,
                S.CANCELLED,
                S.CLOSED,
            }
        ),
        ev.Resolved: frozenset({S.CLOSED}),
        ev.ClosedInPortal: frozenset({S.CLOSED}),
        ev.LateFinding: frozenset({S.STUCK}),
        ev.RefusalReported: frozenset({S.STUCK}),
        ev.LabelDelivered: frozenset({S.STUCK}),
        ev.NotOurs: frozenset({S.STUCK}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset({S.STUCK, S.CANCELLED, S.CLOSED}),
    },
    S.CLOSED: {
        ev.Adopted: ADOPTED_AS,
        ev.Retried: frozenset({S.RECEIVED, S.INSPECTED, S.CLOSED}),
        ev.LateFinding: frozenset({S.CLOSED}),
        ev.LabelRequestedAgain: frozenset({S.RECEIVED}),
        ev.LabelRequestCancelled: frozenset({S.CLOSED}),
    },
}

STATELESS: frozenset[type[ev.Event]] = frozenset(
    {
        ev.CallBegun,
        ev.CallHadNoEffect,
        ev.ClockPutRight,
        ev.RequestStands,
        ev.NotesWritten,
        ev.LinesGraded,
        ev.TransitReported,
        ev.ReturnRead,
        ev.RestockRequested,
        ev.Doubted,
        ev.Proven,
    }
    | {ev.UnitsTransferred, OperatorActed}
    | pe.POSTAGE_EVENTS
)
"""Events that are accepted in every state and never change it."""

AMAZON_ANSWERS: frozenset[type[ev.Event]] = frozenset({ev.UnitsAuthorized, ev.UnitsRefused})
"""Amazon's answer is accepted in every state; it changes the state only while the return waits for it."""

UNSOLICITED: frozenset[type[ev.Event]] = frozenset(
    {
        ev.Adopted,
        ev.CallBegun,
        ev.ClockPutRight,
        ev.LabelRequestedAgain,
        ev.LabelRequestCancelled,
        ev.ProcessingFailed,
        ev.RequestStands,
        ev.NotesWritten,
        ev.ReturnRead,
        ev.RestockRequested,
        ev.Doubted,
        ev.Proven,
        pe.LabelUnused,
        OperatorActed,
    }
)
"""Events that do not answer a request of ours."""

SETTLE_OUTCOMES: frozenset[type[ev.Event]] = frozenset(
    {
        ev.ProcessingRequested,
        ev.ReturnFlagged,
        ev.ReviewFound,
        ev.SettledElsewhere,
        ev.LeftUnsettled,
        ev.RemovalRefused,
    }
)
"""Possible results of asking the portal for the outcome."""


EFFECTS: Mapping[type[ev.Event], Callable[[Any, Return], Return]] = {
    ev.Adopted: adoption.adopted,
    ev.Doubted: adoption.doubted,
    ev.Proven: adoption.proven,
    ev.LabelRequestedAgain: labels.label_requested_again,
    ev.LabelRequestCancelled: labels.label_request_cancelled,
    ev.RequestRead: labels.request_read,
    ev.RequestStands: labels.request_stands,
    ev.NotOurs: labels.not_ours,
    ev.OrderMatched: labels.order_matched,
    ev.Unmatched: labels.unmatched,
    ev.UnitsAuthorized: labels.units_authorized,
    ev.UnitsRefused: labels.units_refused,
    ev.LabelIssued: labels.label_issued,
    ev.LabelDelivered: labels.label_delivered,
    ev.RefusalReported: labels.refusal_reported,
    ev.UnitInspected: outcome.unit_inspected,
    ev.UnitsInspected: outcome.units_inspected,
    ev.UnitsMissing: outcome.units_missing,
    ev.LinesEdited: outcome.lines_edited,
    ev.LateFinding: outcome.late_finding,
    ev.NothingCame: outcome.nothing_came,
    ev.VerdictReached: outcome.verdict_reached,
    ev.ProcessingRequested: outcome.processing_requested,
    ev.ReturnFlagged: outcome.return_flagged,
    ev.ReviewFound: outcome.review_found,
    ev.ProcessingFailed: outcome.processing_failed,
    ev.RemovalRefused: outcome.removal_refused,
    ev.LeftUnsettled: outcome.left_unsettled,
    ev.FlagLifted: outcome.flag_lifted,
    ev.ReturnProcessed: outcome.ended,
    ev.ReviewSettled: outcome.ended,
    ev.SettledElsewhere: outcome.ended,
    ev.Resolved: outcome.closed_in_portal,
    ev.ClosedInPortal: outcome.closed_in_portal,
    ev.GaveUp: outcome.gave_up,
    ev.Retried: outcome.retried,
    ev.CallBegun: outcome.call_begun,
    ev.CallHadNoEffect: outcome.call_had_no_effect,
    OperatorActed: outcome.operator_acted,
    ev.ClockPutRight: outcome.clock_put_right,
    ev.NotesWritten: outcome.notes_written,
    ev.LinesGraded: outcome.lines_graded,
    ev.TransitReported: outcome.transit_reported,
    ev.ReturnRead: outcome.return_read,
    ev.RestockRequested: outcome.restock_requested,
    ev.UnitsTransferred: outcome.units_transferred,
    pe.PostageOffered: postage.postage_changed,
    pe.OfferLapsed: postage.postage_changed,
    pe.NothingBought: postage.nothing_bought,
    pe.LabelUnused: postage.label_unused,
    pe.PostageBought: postage.postage_changed,
    pe.LabelFetched: postage.postage_changed,
    pe.PostageSpent: postage.postage_changed,
    pe.PostageVoided: postage.postage_voided,
    pe.PostageKept: postage.postage_kept,
    pe.ParcelsTracked: postage.parcels_tracked,
    pe.LabelSourceChanged: postage.label_source_changed,
}
"""What each event changes in a return. `apply` checks the move against TRANSITIONS."""


def allows(state: State, event: type[ev.Event]) -> bool:
    """Whether the event is accepted in that state."""
    return event in STATELESS or event in AMAZON_ANSWERS or event in TRANSITIONS[state]


def apply(ret: Return, event: ev.Event) -> Return:
    """The return after the event. Raises IllegalTransition if its state does not accept the event."""
    kind = type(event)
    if not allows(ret.state, kind):
        raise IllegalTransition(f"{ret.ref}: {kind.__name__} cannot happen to a return that is {ret.state}")
    changed = EFFECTS[kind](event, ret)
    if changed.state not in TRANSITIONS[ret.state].get(kind, {ret.state}):
        raise IllegalTransition(f"{ret.ref}: {kind.__name__} must not lead from {ret.state} to {changed.state}")
    differs: dict[str, Any] = {"changed_at": event.at}
    if kind not in UNSOLICITED:
        pending_calls = tuple(call for call in changed.pending_calls if _still_unclear(call, changed, event))
        attempts = changed.attempts if kind is ev.CallHadNoEffect else 0  # nobody has answered yet
        differs |= {"pending_calls": pending_calls, "attempts": attempts, "transient_failures": 0}
    if changed.state is not ret.state:
        differs |= _entered(changed, event.at)
    return replace(changed, **differs)


def _still_unclear(call: Duty, ret: Return, event: ev.Event) -> bool:
    """A pending call stays unclear until its own result is known, whatever else happens."""
    known = event.call if isinstance(event, ev.CallHadNoEffect) else getattr(event, "no_effect", None)
    if known == call:
        return False
    match call.act:
        case Act.AUTHORIZE_UNITS:
            return any(u.order_id == call.subject and create_unclear(ret, u) for u in ret.units)
        case Act.BUY_POSTAGE:
            return any(p.authorization_id == call.subject and purchase_unclear(ret, p) for p in ret.postage)
        case Act.DELIVER_LABEL:
            return any(r.request_id == call.subject and delivery_unclear(ret, r) for r in ret.requests)
        case Act.SETTLE:
            return type(event) not in SETTLE_OUTCOMES
        case _:  # NotesWritten, which answers no request, takes its own call away
            return call.act is Act.WRITE_NOTES or type(event) is not ev.LinesGraded


def _entered(ret: Return, at: float) -> dict[str, Any]:
    """Reset the fields that belong to the state just left."""
    resume_state = ret.resume_state if ret.state is State.STUCK else None
    closed_at = at if ret.state is State.CLOSED else None
    return {"verifications": 0, "deadline_at": None, "resume_state": resume_state, "closed_at": closed_at}
