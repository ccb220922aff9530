"""When to look again, and when to give up. All arithmetic, no clock.

The label schedule: Amazon's answer to the create call usually contains the authorization. Otherwise each return reads
Amazon at short intervals at first, then at intervals of a thirtieth of its wait so far, and never more than half a
minute apart in the first hour. Once twenty late labels were found, what they taught decides, and how scarce turns are
(`label_times`). The number of waiting returns does not matter here: all readings share one queue before one token
bucket, so a full queue spaces them by itself, and the most urgent goes first. Spacing them by the number of waiting
returns as well made them wait twice: at 0.8 returns a second, labels were found 50 % later (bench/labels.py).
"""

from dataclasses import dataclass
from math import inf

from daemon.domain.acts import Act
from daemon.domain.copies import replace
from daemon.domain.durations import DAY, HOUR
from daemon.domain.duties import create_unclear, duty
from daemon.domain.label_times import LabelTimes
from daemon.domain.returns import RequestState, Return, ReturnUnit, State, Transit, UnitState

RETRY_FIRST = 1.0
RETRY_MOST = 300.0
WAITING_RETRIES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
ATTEMPT_FIRST = 2.0
ATTEMPT_GROWTH = 8.0
LATENESS_FORGIVEN = 60.0
POLL_GROWTH = 1 / 30
FORGIVEN_UNNOTICED = 2.0
"""Seconds by which a wait may differ from the clock and still teach how long labels take."""
PROCESSING_PATIENCE = 3 * DAY
REREADS = (5 * 60.0, 30 * 60.0, 2 * HOUR, 6 * HOUR)
"""Seconds after an announcement at which the order is read again while the news does not show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """The operator's intervals and deadlines, in seconds."""

    label_poll_first: float
    label_poll_max: float
    label_poll_late: float
    label_deadline: float
    unmatched_deadline: float
    inspection_idle: float
    inspection_moving: float
    inspection_arrived: float
    missing_sibling: float
    missing_delivered: float
    missing_in_transit: float
    missing_lost: float
    missing_silent: float
    condition_grace: float
    late_look: float
    late_watch: float
    review_watch: float
    outcome_watch: float


def undecided(timings: Timings) -> Timings:
    """Timings without deadlines: while the machine's clock is in doubt, findings count but silence does not."""
    return replace(
        timings,
        missing_sibling=inf,
        missing_delivered=inf,
        missing_in_transit=inf,
        missing_lost=inf,
        missing_silent=inf,
        condition_grace=inf,
    )


def plan(old: Return | None, new: Return, now: float, timings: Timings) -> Return:
    """The return with its times set: the deadline when it enters a state, and when to look at it next."""
    patience = _patience(new.state, timings)
    taken_over = new.deadline_at is None and patience is not None
    if old is None or old.state is not new.state or len(new.requests) > len(old.requests) or taken_over:
        new = _enter(new, now, timings)
    if new.deadline_at is not None and patience is not None and new.deadline_at > now + patience:
        new = replace(new, deadline_at=now + patience)  # never later than if it began now
    watch = _watch(new.state, timings)
    if new.portal_due_at is None and watch is not None:
        new = replace(new, portal_due_at=now + watch)
    if new.amazon_due_at is None and new.state in _LOOKED_AFTER and owes_look(new, now, timings):
        new = replace(new, amazon_due_at=_next_look(new, now, timings))
    return replace(new, due_at=_due(old, new, now, timings))


def _enter(ret: Return, now: float, timings: Timings) -> Return:
    """Start the deadline and intervals of a state when it is entered."""
    patience = _patience(ret.state, timings)
    news = ret.announced_at is not None and now < ret.announced_at + REREADS[-1]
    fresh = ret.state is State.AWAITING_INSPECTION and ret.looked_at is None and not news
    return replace(
        ret,
        deadline_at=None if patience is None else now + patience,
        portal_due_at=None,
        amazon_due_at=None,
        announced_at=ret.announced_at if news else None,
        looked_at=now if fresh else ret.looked_at,  # nothing was on its way before the label was out
    )


def _patience(state: State, timings: Timings) -> float | None:
    """How long a state may last before something is given up."""
    return {
        State.RECEIVED: timings.unmatched_deadline,
        State.AWAITING_LABEL: timings.label_deadline,
        State.LABEL_READY: timings.label_deadline,
        State.REFUSED: timings.label_deadline,
        State.PROCESSING: PROCESSING_PATIENCE,
        **dict.fromkeys(_WATCHED_LATE, timings.late_watch),
    }.get(state)


def begun_anew(ret: Return, now: float, timings: Timings) -> Return:
    """The return with the deadline of its state counted from now: nothing is given up while its shop is paused."""
    patience = None if ret.state in _WATCHED_LATE else _patience(ret.state, timings)
    return ret if patience is None or ret.deadline_at is None else replace(ret, deadline_at=now + patience)


def longest_wait(timings: Timings) -> float:
    """The longest time until any return is looked at again."""
    looks = max(timings.inspection_idle, timings.inspection_moving, timings.inspection_arrived)
    held = 24 * timings.unmatched_deadline
    return DAY + max(8 * looks, held, timings.late_look, timings.review_watch, timings.label_poll_late)


def _watch(state: State, timings: Timings) -> float | None:
    """How often the portal is read while the portal or a person there must act next."""
    return {State.PROCESSING: timings.outcome_watch, State.IN_REVIEW: timings.review_watch}.get(state)


_WATCHED_LATE = frozenset({State.IN_REVIEW, State.EXPIRED, State.CANCELLED, State.STUCK, State.CLOSED})
_LOOKED_AFTER = _WATCHED_LATE | {State.AWAITING_INSPECTION}


def _due(old: Return | None, ret: Return, now: float, timings: Timings) -> float | None:
    """Now while a duty is owed, otherwise the next planned reading. A new authorization is left alone for a moment."""
    owed = duty(ret, now)
    if owed is not None:
        fresh = owed.act is Act.LOOK_FOR_AUTHORIZATION and (old is None or old.state is not ret.state)
        return now + timings.label_poll_first if fresh else now
    return wake_at(ret, now)


def wake_at(ret: Return, now: float) -> float | None:
    """Now while a duty is owed, otherwise the next planned reading or the end of a pass-over."""
    if ret.unproven:
        return None
    if duty(ret, now) is not None:
        return now
    passed = ret.passed_over_until
    again = passed if passed is not None and passed > now and duty(ret, passed) is not None else None
    clocks = [at for at in (ret.amazon_due_at, ret.portal_due_at, again) if at is not None]
    return min(clocks) if clocks else None


def owes_look(ret: Return, now: float, timings: Timings) -> bool:
    """Amazon is read until every unit has been processed for a while, or the late watch is over."""
    if ret.state is State.AWAITING_INSPECTION:
        return True
    if past_deadline(ret, now):
        return False
    watched = [u for u in ret.units if _may_come(ret, u)]
    return any(u.processed_at is None or now - u.processed_at < timings.late_look for u in watched)


def _may_come(ret: Return, unit: ReturnUnit) -> bool:
    """Whether the unit may still come: even if its line was removed in the portal, or Amazon's answer was lost."""
    return unit.standing is UnitState.AUTHORIZED or unit.authorization_id != "" or create_unclear(ret, unit)


def look_delay(ret: Return, timings: Timings) -> float:
    """How long until Amazon is read again; the nearer an inspection, the sooner."""
    if ret.state is not State.AWAITING_INSPECTION:
        return timings.late_look
    if all(u.finding is not None for u in ret.awaited()):
        return 0.0
    processed = [u.processed_at for u in ret.authorized() if u.processed_at is not None]
    transit = max((r.transit.rank for r in ret.requests if r.asked is RequestState.DELIVERED), default=0)
    if processed or transit == Transit.DELIVERED.rank:
        return timings.inspection_arrived
    return timings.inspection_moving if transit >= Transit.IN_TRANSIT.rank else timings.inspection_idle


def _next_look(ret: Return, now: float, timings: Timings) -> float:
    """The usual interval, but sooner after an announcement: Amazon's reads may lag behind its messages."""
    usual = now + look_delay(ret, timings)
    if ret.announced_at is None or ret.announced_at > now:  # the latter by another clock than today's
        return usual
    if ret.looked_at is None or ret.looked_at < ret.announced_at:
        return now
    return min([usual, *(at for wait in REREADS if (at := ret.announced_at + wait) > now)])


def poll_delay(waited: float, timings: Timings) -> float:
    """How long until a return that waits for Amazon reads it again; `waited` is in seconds."""
    if waited >= HOUR:
        return timings.label_poll_late
    return min(timings.label_poll_max, max(timings.label_poll_first, waited * POLL_GROWTH))


def label_pause(looked_at: float, times: LabelTimes, timings: Timings) -> float:
    """The same in the first hour, once enough is known about how long this account's labels take."""
    if looked_at >= HOUR or not times.known:
        return poll_delay(looked_at, timings)
    return times.pause(looked_at, timings.label_poll_max)


def supposed_look(age: float, timings: Timings) -> float:
    """At which age a return was looked at last, when nobody remembers a look.

    Never, which is 0, as long as that may be so; just now if it has waited for longer than any first look does.
    """
    return 0.0 if age <= timings.label_poll_max + LATENESS_FORGIVEN else age


def truly_waited(age: float, created_at: float | None, now: float) -> bool:
    """Whether a wait that counts from the create call was that long by the clock as well, and nothing was forgiven."""
    return created_at is not None and abs(now - created_at - age) <= FORGIVEN_UNNOTICED


def held_delay(ret: Return, now: float, timings: Timings) -> float:
    """How long until a held request is tried again: less and less often, finally once a day."""
    return max(timings.unmatched_deadline, min(DAY, (now - ret.created_at) / 8))


def foreign_label_delay(ret: Return, now: float, timings: Timings) -> float:
    """How long until somebody else's label is looked for again: soon at first, less and less often, then hourly."""
    return max(timings.label_poll_max, min(HOUR, (now - ret.created_at) / 8))


def waited(ret: Return, now: float, timings: Timings) -> float:
    """How long the return has waited for a label; outage time does not count."""
    return timings.label_deadline - ((ret.deadline_at or now) - now)


def waiting_delay(transient_failures: int, jitter: float) -> float:
    """The pause while a shopper waits: none, then short, and never more than half a minute. Half of it is jitter."""
    return WAITING_RETRIES[min(transient_failures, len(WAITING_RETRIES) - 1)] * (1.0 + jitter) / 2


def retry_delay(transient_failures: int, jitter: float) -> float:
    """The pause while nobody waits: exponential back-off with full jitter (`jitter` in 0..1), capped at minutes."""
    ceiling = min(RETRY_MOST, RETRY_FIRST * 2.0 ** min(transient_failures, 10))
    return max(RETRY_FIRST / 2, ceiling * jitter)


def attempt_delay(attempts: int, most: float, jitter: float) -> float:
    """The pause after a failed attempt. It grows fast, so that the last attempt comes hours after the first.

    Half of it is jitter (0..1); `most` is in seconds.
    """
    return min(most, ATTEMPT_FIRST * ATTEMPT_GROWTH ** min(attempts, 10)) * (1.0 + jitter) / 2


def forgive_failure(ret: Return, retry_at: float) -> Return:
    """Outage time is added to the deadline."""
    if ret.deadline_at is None or ret.due_at is None:
        return ret
    return replace(ret, deadline_at=ret.deadline_at + max(0.0, retry_at - ret.due_at))


def forgive_lateness(ret: Return, now: float) -> Return:
    """Time during which mcfd was down or busy is added to the deadline, too."""
    if ret.deadline_at is None or ret.due_at is None or now - ret.due_at <= LATENESS_FORGIVEN:
        return ret
    return replace(ret, deadline_at=ret.deadline_at + (now - ret.due_at), due_at=now)


def past_deadline(ret: Return, now: float) -> bool:
    """Whether the deadline of the state has passed."""
    return ret.deadline_at is not None and now >= ret.deadline_at
