"""Events of bought labels change the return's postage and notes, never its state."""

from daemon.domain.acts import Act, Duty
from daemon.domain.copies import replace
from daemon.domain.duties import had_no_effect
from daemon.domain.events import postage as pe
from daemon.domain.postage import as_decided, give_back, postage_of, put_postage, told_parcel
from daemon.domain.returns import Return, Void, change_request
from daemon.domain.transitions.labels import with_note
from daemon.domain.wording import kept_words, parcel_words, voided_words


def postage_changed(event: pe.PostageEvent, ret: Return) -> Return:
    return put_postage(ret, as_decided(ret, event.postage))


def nothing_bought(event: pe.NothingBought, ret: Return) -> Return:
    """The next purchase is a new call, with its own verification."""
    settled = had_no_effect(ret, Duty(Act.BUY_POSTAGE, event.postage.authorization_id))
    return put_postage(replace(settled, verifications=0), as_decided(ret, event.postage))


def label_unused(event: pe.LabelUnused, ret: Return) -> Return:
    """Mark the label for voiding, unless it has changed meanwhile."""
    stored = postage_of(ret, event.postage.authorization_id)
    if stored is None or stored.shipment_id != event.postage.shipment_id or stored.void is not Void.NO:
        return ret
    return put_postage(ret, replace(stored, void=Void.WANTED))


def postage_voided(event: pe.PostageVoided, ret: Return) -> Return:
    changed = replace(put_postage(ret, event.postage), verifications=0)
    return with_note(changed, f"voided:{event.postage.tracking_id}", voided_words(event.postage, pending=event.pending))


def postage_kept(event: pe.PostageKept, ret: Return) -> Return:
    changed = replace(put_postage(ret, event.postage), verifications=0)
    return with_note(changed, f"kept:{event.postage.tracking_id}", kept_words(event.postage, event.why))


def parcels_tracked(event: pe.ParcelsTracked, ret: Return) -> Return:
    """The portal is told about the parcel that it knows: the first of each label request."""
    changed = ret
    for postage in event.postage:
        if postage_of(ret, postage.authorization_id) is None:  # taken over by another return during the call
            continue
        changed = put_postage(changed, as_decided(ret, postage))
        if postage.delivered_at is not None:
            changed = with_note(changed, f"parcel:{postage.tracking_id}", parcel_words(postage))
    for request in ret.requests:
        first = told_parcel(changed, request)
        if first is not None and first.transit.rank > request.transit.rank:
            changed = change_request(changed, request.request_id, transit=first.transit)
    return changed


def label_source_changed(event: pe.LabelSourceChanged, ret: Return) -> Return:
    """A label already bought for the request is not used; it is voided once the new label is out."""
    return change_request(give_back(ret, frozenset({event.request_id})), event.request_id, source=event.source)
