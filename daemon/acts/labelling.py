"""Authorized units become a label in the shopper's hands, or an error with a reason."""

from daemon.acts.desk import Desk, Outcome
from daemon.domain import events as ev
from daemon.domain.duties import Duty
from daemon.domain.portal import RequestStatus
from daemon.domain.returns import Label, Return, Standing
from daemon.ports import Lane

ERROR_LIMIT = 255


async def issue_label(ret: Return, duty: Duty, desk: Desk, _: bool) -> Outcome:
    """Make the label of one label request from its authorizations."""
    units = [u for u in ret.units_of(duty.subject) if u.standing is Standing.AUTHORIZED]
    wanted = {u.authorization_id for u in units}
    authorizations = [a for a in ret.authorizations if a.authorization_id in wanted]
    return ev.LabelIssued(at=desk.clock.now(), request_id=duty.subject, label=desk.policy.page_label(authorizations[0]))


async def deliver_label(ret: Return, duty: Duty, desk: Desk, resumed: bool) -> Outcome:
    """Post the label, unless the portal has it already or wants it no more."""
    request_id = duty.subject
    label = _label(ret, request_id)
    current = await desk.portal.label_request(request_id)
    now = desk.clock.now()
    if current.status is RequestStatus.CANCELLED:
        return ev.LabelRequestCancelled(at=now, request_id=request_id)
    if resumed or current.status is RequestStatus.FULFILLED:
        details = await desk.portal.details(ret.return_id, Lane.SHOPPER)
        if label.url in details.label_urls:
            desk.metrics.trouble("label_id_lost")
            return ev.LabelDelivered(at=now, request_id=request_id, label_id=None)
        if current.status is RequestStatus.FULFILLED:
            return ev.NotOurs(at=now, request_id=request_id, why="somebody else delivered a label")
    label_id = await desk.portal.deliver_label(request_id, label)
    desk.metrics.label_delivered(max(0.0, desk.clock.now() - ret.created_at))
    return ev.LabelDelivered(at=desk.clock.now(), request_id=request_id, label_id=label_id)


def _label(ret: Return, request_id: str) -> Label:
    request = ret.request(request_id)
    assert request is not None  # noqa: S101 - the duty was read off this request
    assert request.label is not None  # noqa: S101 - no delivery is owed without a label
    return request.label


async def report_refusal(ret: Return, duty: Duty, desk: Desk, _: bool) -> Outcome:
    """Post a label request error, once: the errors posted so far are read first."""
    request_id = duty.subject
    current = await desk.portal.label_request(request_id)
    now = desk.clock.now()
    if current.status is RequestStatus.CANCELLED:
        return ev.LabelRequestCancelled(at=now, request_id=request_id)
    if current.status is RequestStatus.FULFILLED:
        return ev.NotOurs(at=now, request_id=request_id, why="somebody else delivered a label")
    message = refusal_words(ret, request_id)
    if message not in current.errors:
        await desk.portal.report_refusal(request_id, message)
    return ev.RefusalReported(at=now, request_id=request_id)


def refusal_words(ret: Return, request_id: str) -> str:
    """Why there is no label, in words for the merchant."""
    problems = dict.fromkeys(u.problem for u in ret.units_of(request_id) if u.problem)
    why = "; ".join(problems) or ret.problem or "Amazon does not take these items back"
    words = f"mcfd could not make a label: {why}"
    return words if len(words) <= ERROR_LIMIT else words[: ERROR_LIMIT - 1] + "…"
