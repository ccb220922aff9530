"""Checks whether Amazon's notifications reach us."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from daemon.domain.returns import MAIN_ACCOUNT
from daemon.errors import McfdError
from daemon.operations.doctor.amazon import Line, fail, ok, option, since, trouble, warn
from daemon.operations.notifications import NotificationSetup

SILENT = 30 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationProbe:
    """What is examined. `waiting` counts the messages in the queue; `last` is when one last came, if ever."""

    account: str = MAIN_ACCOUNT
    waiting: Callable[[], Awaitable[int]]
    setup: NotificationSetup
    last: float | None
    now: float
    secret_unfiled: bool


async def examine_notifications(probe: NotificationProbe) -> Sequence[Line]:
    """Check the queue, the subscription, the last message, and where the only copy of a client secret is."""
    lines = [await _queue(probe), await _subscription(probe), _last(probe)]
    if probe.secret_unfiled:
        text = "Amazon sent another one, which only the store has: a lost disk would take it"
        todo = f"write what `mcfd client-secret{option(probe.account)}` prints into the secret file"
        lines.append(warn("amazon", "client secret", text, todo))
    return lines


async def _queue(probe: NotificationProbe) -> Line:
    what = "notification queue"
    try:
        waiting = await probe.waiting()
    except McfdError as error:
        todo = "check amazon.notifications, the AWS key or role, and the policies of the operating page"
        return trouble("amazon", what, error, todo)
    return ok("amazon", what, f"can be read; about {waiting} messages wait in it")


async def _subscription(probe: NotificationProbe) -> Line:
    what = "notification subscription"
    try:
        found = await probe.setup.listing()
    except McfdError as error:
        return trouble(
            "amazon", what, error, "check amazon.notifications, and that the application may use notifications"
        )
    if found.subscribed:
        return ok("amazon", what, "fulfillment order news go to our queue")
    text = "Amazon sends nothing to our queue" if found.destination else "Amazon does not know our queue"
    return fail("amazon", what, text, f"run `mcfd notifications sync{option(probe.account)}`")


def _last(probe: NotificationProbe) -> Line:
    what = "last notification"
    if probe.last is None:
        return warn("amazon", what, "none was heard of one of our orders yet", "wait for an inspection, and ask again")
    if probe.now - probe.last > SILENT:
        todo = "if returns were inspected since: `mcfd notifications list`, and the dead-letter queue at AWS"
        return warn("amazon", what, since(probe.last), todo)
    return ok("amazon", what, since(probe.last))
