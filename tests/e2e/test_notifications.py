"""From Amazon's inspection to the refund in seconds: the daemon, the sandbox and a real SQS API, over HTTP."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from adapters.sandbox import Fault
from tests.e2e.world import CLOCK, MUG, PATIENCE, SOCK, World, everyone, until, vendors, world
from tests.support.backlog_queue import OURS, QueueProcess
from tests.support.sqs_server import REGION, make_queue, sqs_server
from tests.support.stalling_queue import StallingQueue, stalling

SLOW = {"inspection_idle": "12h", "inspection_moving": "12h", "inspection_arrived": "12h"}
AWS = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "aws-canary-7c1d"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with sqs_server() as url:
        yield url


@pytest.fixture
def queue(endpoint, request) -> Iterator:
    made = make_queue(endpoint, f"q{abs(hash(request.node.name))}")
    yield made
    made.remove()


@asynccontextmanager
async def pushed(
    folder, queue, *, subscribed: bool = True, through: bool = False, far: StallingQueue | None = None, **options
) -> AsyncIterator[World]:
    """A world in which Amazon is asked every twelve hours, and says at once what has happened.

    The queue may be read `through` the sandbox and its faults, or through one that stalls.
    """
    async with vendors(folder, **{"timings": SLOW, "queue_url": queue.url} | options) as w:
        section = {"queue_url": queue.url, "queue_arn": queue.arn, "region": REGION, "endpoint": queue.endpoint}
        if through:
            section["endpoint"] = w.sandbox.queue_endpoint
        if far:
            section |= {"endpoint": far.endpoint, "slower_looks": 24.0}
            w.daemon.program = "tests.e2e.impatient"
        w.daemon.config["amazon"]["notifications"] = section
        w.daemon.config["amazon"]["limits"] |= {
            name: {"rate": 50, "burst": 50}
            for name in (
                "createDestination",
                "getDestinations",
                "createSubscription",
                "getSubscriptions",
                "getSubscription",
            )
        } | {"rotateApplicationClientSecret": {"rate": 5, "burst": 5}}
        w.daemon.secrets |= AWS
        await w.restart()
        if subscribed:
            assert (await w.daemon.cli("notifications", "sync")).status == 0
        yield w
        if w.daemon.running:
            assert await w.daemon.sigterm() == 0


async def after_a_death(queue, what: str, seen, seconds: float = PATIENCE) -> None:
    """Wait for it; what a dead process's long poll has taken since is shown again, as after the visibility time-out."""

    async def shown() -> object:
        queue.show_again()
        return seen()

    await until(what, shown, seconds)


async def test_an_inspection_becomes_a_refund_in_seconds(tmp_path, queue):
    """Amazon's message brings the reading, and Loop is told: nobody waits for the next look, twelve hours away."""
    async with pushed(tmp_path, queue) as w:
        good, bad = w.submit("#5001", SOCK), w.submit("#5002", MUG)
        await w.receive(good, SOCK)
        await w.receive(bad, MUG, "CustomerDamaged")
        await w.portal_state(good, "closed")
        await w.portal_state(bad, "review")
        await until("the queue is empty", lambda: queue.left() == (0, 0))
        metrics = await w.daemon.metrics()
        assert metrics['mcfd_notifications_total{account="main",outcome="announced"}'] == 2
        assert metrics['mcfd_inspection_seen_seconds_count{account="main"}'] == 2
        assert metrics['mcfd_notification_last_timestamp_seconds{account="main"}'] > w.daemon.started_at
        assert "aws-canary-7c1d" not in "\n".join(w.daemon.lines)


async def test_the_setup_is_looked_at_and_made_once(tmp_path, queue):
    """`list` shows what is missing, `sync` makes it, a second `sync` makes nothing, the doctor is content."""
    async with pushed(tmp_path, queue, subscribed=False) as w:
        before = (await w.daemon.cli("notifications", "list", "--json")).json
        assert (before["destination"], before["subscribed"], before["subscriptions"]) == (False, False, [])
        lines = {line["what"]: line for line in (await w.daemon.cli("doctor", "--json")).json["lines"]}
        assert lines["notification subscription"]["verdict"] == "fail"
        assert lines["notification queue"]["verdict"] == "ok"

        first = (await w.daemon.cli("notifications", "sync", "--json")).json
        assert first == {"queue": queue.arn, "filtered": True, "done": ["destination created", "subscription created"]}
        again = (await w.daemon.cli("notifications", "sync", "--json")).json
        assert again["done"] == ["nothing to do"]
        (row,) = (await w.daemon.cli("notifications", "list", "--json")).json["subscriptions"]
        assert (row["ours"], row["filtered"]) == (True, True)
        lines = {line["what"]: line for line in (await w.daemon.cli("doctor", "--json")).json["lines"]}
        assert lines["notification subscription"]["verdict"] == "ok"
        assert lines["last notification"]["verdict"] == "warn"
        assert len(w.sandbox.notifications.subscriptions) == 1


@pytest.mark.parametrize(("takes", "filtered"), [("backtick", True), ("none", False)])
async def test_a_filter_that_amazon_does_not_take(tmp_path, queue, takes, filtered):
    """Either spelling of the filter is tried; where Amazon takes none, everything is subscribed to, with a warning."""
    async with pushed(tmp_path, queue, subscribed=False, filter_quotes=takes) as w:
        made = (await w.daemon.cli("notifications", "sync", "--json")).json
        assert made["filtered"] is filtered
        assert w.daemon.heard("notifications.filter_refused")
        if not filtered:
            assert "without the filter" in made["done"][-1]
        return_id = w.submit("#5010", SOCK)
        w.sandbox.announce("#5010", "Shipment")
        await w.receive(return_id, SOCK)
        await w.portal_state(return_id, "closed")


async def test_an_amazon_from_before_there_were_several(tmp_path, queue):
    """Where getSubscriptions is not there, the one subscription is asked for."""
    async with pushed(tmp_path, queue, subscriptions="one") as w:
        assert (await w.daemon.cli("notifications", "list", "--json")).json["subscribed"] is True


@pytest.mark.parametrize("kind", ["duplicate", "delay", "reorder", "foreign"])
async def test_messages_that_come_oddly(tmp_path, queue, kind):
    """Doubled, late, out of order, or after another seller's: each return ends as it should, once."""
    async with pushed(tmp_path, queue) as w:
        w.sandbox.set_faults([Fault(vendor="notification", kind=kind, seconds=0.3)])
        returns = [w.submit(f"#52{n:02}", SOCK) for n in range(3)]
        for return_id in returns:
            await w.receive(return_id, SOCK)
        for return_id in returns:
            await w.portal_state(return_id, "closed")
        await until("the queue is empty", lambda: queue.left() == (0, 0))
        if kind == "foreign":
            metrics = await w.daemon.metrics()
            assert metrics['mcfd_notifications_total{account="",outcome="foreign"}'] == 3


async def test_a_lost_message_costs_time_and_nothing_else(tmp_path, queue):
    """What no message told is found by the usual look, as ever."""
    async with pushed(tmp_path, queue) as w:
        w.sandbox.set_faults([Fault(vendor="notification", kind="lose")])
        return_id = w.submit("#5301", SOCK)
        await w.receive(return_id, SOCK)
        assert (await w.daemon.cli("look", "#5301")).status == 0
        await w.portal_state(return_id, "closed")


async def test_a_message_that_cannot_be_read(tmp_path, queue):
    """It is kept as a dead letter, the queue is free of it, and the next one is heard."""
    async with pushed(tmp_path, queue) as w:
        w.sandbox.set_faults([Fault(vendor="notification", kind="malformed", count=1)])
        return_id = w.submit("#5401", SOCK)
        w.sandbox.announce("#5401")
        await until("the letter", lambda: w.daemon.heard("notification.unreadable"))
        (letter,) = (await w.daemon.cli("dead-letters", "--json")).json["dead_letters"]
        assert letter["shop"] == "amazon/notifications"
        await w.receive(return_id, SOCK)
        await w.portal_state(return_id, "closed")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(vendor="queue", kind="error", status=403, count=2),
        Fault(vendor="queue", kind="error", status=503, count=2),
        Fault(vendor="queue", kind="drop", count=2),
        Fault(vendor="queue", kind="status", status=200, count=1),
    ],
    ids=["403", "503", "drop", "html"],
)
async def test_a_queue_that_fails_is_read_again(tmp_path, queue, fault):
    """A no of AWS, an outage, a dropped connection, a page of HTML: it is told, and read on by itself."""
    async with pushed(tmp_path, queue, through=True) as w:
        return_id = w.submit("#5501", SOCK)
        await w.labelled(return_id)
        w.sandbox.set_faults([fault])
        await w.restart()  # the read under way would last for twenty seconds before the next one fails
        await until("a failure", lambda: w.daemon.heard("round.failed", service="notifications"), 30.0)
        w.sandbox.receive(return_id, sku=SOCK)
        await after_a_death(queue, "closed", lambda: w.portal(return_id)["state"] == "closed", 40.0)
        assert (await w.daemon.metrics())['mcfd_troubles_total{kind="queue_unreadable"}'] >= 1


READ = 'mcfd_notification_queue_read_timestamp_seconds{queue="notifications"}'
"""The metric of the alert McfdQueueUnreadable."""


@pytest.mark.parametrize("how", ["silent", "half"])
async def test_a_queue_that_hangs_holds_up_nobody(tmp_path, queue, how):
    """Labels go out, looks find what nobody announced, it is told, and the queue is read on when it answers."""
    looks = dict.fromkeys(SLOW, "2s")
    async with stalling(queue.url) as far, pushed(tmp_path, queue, far=far, timings=looks) as w:
        far.hang(how)
        await until("it hangs", lambda: far.stalled)
        return_id = w.submit("#5811", SOCK)
        await w.labelled(return_id)
        w.sandbox.receive(return_id, sku=SOCK)
        await w.portal_state(return_id, "closed")
        await until("it is told", lambda: w.daemon.heard("round.failed", service="notifications", error="Unavailable"))
        metrics = await w.daemon.metrics()
        assert metrics['mcfd_troubles_total{kind="queue_unreadable"}'] >= 1

        await until("it is tried again", lambda: far.stalled > 1)
        assert (await w.daemon.metrics())[READ] == metrics[READ]
        far.recover()
        await until("it is read again", lambda: w.daemon.heard("round.recovered", service="notifications"), 40.0)
        await after_a_death(queue, "the queue is empty", lambda: queue.left() == (0, 0))
        assert (await w.daemon.metrics())[READ] > metrics[READ]


@pytest.mark.parametrize("operation", ["ReceiveMessage", "DeleteMessageBatch"])
async def test_stopping_while_the_queue_hangs(tmp_path, queue, operation):
    """Whatever the queue does not answer, the daemon stops within the grace, and the message is heard again."""
    async with stalling(queue.url) as far, pushed(tmp_path, queue, far=far) as w:
        return_id = w.submit("#5901", SOCK)
        await w.labelled(return_id)
        far.hang("silent", only=operation)
        w.sandbox.receive(return_id, sku=SOCK)
        await until("it hangs", lambda: far.stalled)
        began = CLOCK.monotonic()
        assert await w.daemon.sigterm() == 0
        assert CLOCK.monotonic() - began < 4.0
        assert not w.daemon.heard("service.overran")
        assert not w.daemon.complaints
        far.recover()
        await w.restart()
        await after_a_death(queue, "closed", lambda: w.portal(return_id)["state"] == "closed")
        await after_a_death(queue, "the queue is empty", lambda: queue.left() == (0, 0))


BACKLOG = 500


async def test_a_backlog_keeps_nobody_waiting(tmp_path):
    """While hundreds of messages are read, shoppers get their labels as ever; each message is counted once, and deleted."""
    with QueueProcess(BACKLOG) as far:
        async with pushed(tmp_path, far.queue, subscribed=False) as w:
            known = [w.submit(f"#our-{number}", SOCK) for number in range(OURS)]
            await everyone(*(w.labelled(return_id) for return_id in known))
            far.fill()
            await until("it is being read", lambda: _heard(w), 60.0)
            for number in range(5):
                began = CLOCK.monotonic()
                await w.labelled(w.submit(f"#57{number}", SOCK))
                assert CLOCK.monotonic() - began < PATIENCE / 2
            assert await _heard(w) < BACKLOG
            await until("all is read", lambda: _all_heard(w), 100.0)
            assert await _counted(w, "announced") + await _counted(w, "not_awaited") == BACKLOG / 100
            await until("the queue is empty", lambda: far.queue.left() == (0, 0))


async def _all_heard(w: World) -> bool:
    return await _heard(w) == BACKLOG


async def _heard(w: World) -> float:
    return sum(n for name, n in (await w.daemon.metrics()).items() if name.startswith("mcfd_notifications_total{"))


async def test_a_kill_between_receive_and_delete(tmp_path, queue):
    """Whenever the process dies, the message comes again, and the return ends as it should."""
    async with pushed(tmp_path, queue) as w:
        for number in range(3):
            return_id = w.submit(f"#56{number:02}", SOCK)
            await w.labelled(return_id)
            w.sandbox.receive(return_id, sku=SOCK)
            await w.daemon.sigkill()
            await w.restart()
            await after_a_death(queue, "closed", lambda number=return_id: w.portal(number)["state"] == "closed")
        await after_a_death(queue, "the queue is empty", lambda: queue.left() == (0, 0))


# ---- the client secret


async def test_the_client_secret_is_replaced_without_a_person(tmp_path, queue):
    """Asked for, received, kept sealed, tried first, kept over a restart; the file's goes on meanwhile; no log has it."""
    async with pushed(tmp_path, queue) as w:
        asked = await w.daemon.cli("rotate-client-secret")
        assert asked.status == 0, asked.stderr
        await until("the secret", lambda: w.daemon.heard("amazon.client_secret_received"))
        new = next(m for m in w.sandbox.notifications.sent if "payload" in m)
        secret = new["payload"]["applicationOAuthClientNewSecret"]["newClientSecret"]
        assert (await w.daemon.metrics())['mcfd_client_secret_unfiled{account="main"}'] == 1

        w.sandbox.rotate_client_secret(secret)  # the old one ends now
        w.sandbox.expire_access_tokens()
        await w.restart()
        return_id = w.submit("#5701", SOCK)
        await w.receive(return_id, SOCK)
        await after_a_death(queue, "closed", lambda: w.portal(return_id)["state"] == "closed")

        printed = await w.daemon.cli("client-secret")
        assert printed.stdout.split() == [secret, w.daemon.secrets["amazon_client_secret"]]
        w.daemon.secrets["amazon_client_secret"] = printed.stdout.strip()
        await w.restart()
        assert (await w.daemon.metrics())['mcfd_client_secret_unfiled{account="main"}'] == 0
        assert (await w.daemon.cli("doctor", "--json")).json["lines"]
        assert secret not in "\n".join(w.daemon.lines)
        assert secret not in (w.daemon.state / "mcfd.db").read_bytes().decode("latin-1")


async def test_a_secret_that_ends_soon_is_replaced_by_itself(tmp_path, queue):
    """With `rotate_client_secret` a warning of Amazon's is enough; one request a day at most, whatever is restarted."""
    async with pushed(tmp_path, queue) as w:
        w.daemon.config["amazon"]["rotate_client_secret"] = True
        w.sandbox.warn_of_secret(20.0)
        await until("the warning is heard", lambda: _counted(w, "secret_expires"))
        assert 19 < (await w.daemon.metrics())['mcfd_client_secret_days_left{account="main"}'] < 21
        await w.restart()
        await after_a_death(queue, "the secret", lambda: w.daemon.heard("amazon.client_secret_received"))
        await w.restart()
        assert 179 < (await w.daemon.metrics())['mcfd_client_secret_days_left{account="main"}'] <= 180
        assert w.calls("rotateApplicationClientSecret") == 1


async def _counted(w: World, outcome: str) -> float:
    metrics = await w.daemon.metrics()
    names = (f'mcfd_notifications_total{{account="{account}",outcome="{outcome}"}}' for account in ("main", ""))
    return sum(metrics.get(name, 0.0) for name in names)


async def test_another_applications_secret_is_left_alone(tmp_path, queue):
    """A queue may serve several applications: only the secret of our client id is taken."""
    async with pushed(tmp_path, queue) as w:
        told = {"clientId": "amzn1.application-oa2-client.other", "newClientSecret": "amzn1.oa2-cs.v1.other"}
        queue.send(
            json.dumps(
                {
                    "notificationType": "APPLICATION_OAUTH_CLIENT_NEW_SECRET",
                    "payload": {"applicationOAuthClientNewSecret": told},
                }
            )
        )
        await until("it is heard", lambda: _counted(w, "foreign"))
        assert (await w.daemon.metrics())['mcfd_client_secret_unfiled{account="main"}'] == 0


async def test_without_a_queue_no_secret_is_asked_for(tmp_path):
    """Nobody would ever see it: the verb says so, and nothing is asked."""
    async with world(tmp_path, webhooks=False) as w:
        said = await w.daemon.cli("rotate-client-secret")
        assert said.status == 1
        assert "queue_url is not set" in said.stderr
        assert w.calls("rotateApplicationClientSecret") == 0
        assert "queue_url is not set" in (await w.daemon.cli("notifications", "sync")).stderr
