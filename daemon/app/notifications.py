"""Part of the composition root: opens the queues that carry Amazon's notifications."""

import asyncio
import hashlib
import importlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from adapters.amazon_mcf.wire.notifications import decode_notification
from config.notifications import Notifications as Section
from daemon.app.accounts import Vendors
from daemon.app.live_config import Current
from daemon.app.resources import Resources
from daemon.domain.returns import MAIN_ACCOUNT
from daemon.engine.notifications import Notifications, Origins, QueueReader, heard_mark
from daemon.engine.push import Push
from daemon.engine.supervisor import Heartbeats, Service, run_every
from daemon.errors import McfdError
from daemon.operations.client_secrets import Rotation
from daemon.operations.credential_ages import SECRET_LIVES
from daemon.operations.notifications import AMAZON_LETTERS, NotificationSetup
from daemon.ports.sealed import dead_letter
from daemon.ports.store import DeadLetter

if TYPE_CHECKING:
    from adapters.sqs.queue import AwsKey, SqsQueue

log = structlog.get_logger(__name__)

BEATS_WITHIN = 180.0
LEARN_EVERY = 6 * 3600.0
ROTATION_EVERY = 3600.0
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Everything about Amazon's notifications; `push` is None while no queue is configured."""

    push: Push | None
    origins: Origins
    heard: Notifications


async def listen_for_news(resources: Resources, wake: Callable[[], None]) -> News:
    """Load what an earlier process knew."""
    amazon = resources.current.settings.amazon
    push = None
    if amazon.notifications.queue_url is not None:
        push = Push(MAIN_ACCOUNT, resources.store, resources.clock, slower=amazon.notifications.slower_looks)
        await push.load()
    origins = Origins(MAIN_ACCOUNT)
    await origins.load(resources.store)
    heard_at = await resources.store.read(lambda uow: uow.mark(heard_mark(MAIN_ACCOUNT)))
    resources.metrics.notified(float(heard_at or 0))
    heard = Notifications(
        resources.store,
        resources.clock,
        resources.metrics,
        decode=decode_notification,
        bury=partial(_letter, resources),
        origins=origins,
        client_id=amazon.client_id,
        credentials=resources.client_secrets,
        wake=wake,
    )
    return News(push=push, origins=origins, heard=heard)


def _letter(resources: Resources, body: bytes, reason: str) -> DeadLetter:
    return DeadLetter(
        shop=AMAZON_LETTERS,
        digest=hashlib.sha256(body).hexdigest(),
        reason=reason,
        sealed=resources.vault.seal(body, dead_letter(AMAZON_LETTERS)),
        received_at=resources.clock.now(),
    )


async def open_queue(current: Current, url: str) -> "SqsQueue":
    """The connection to a queue; no request is made yet."""
    # imported late: it costs 20 MiB and half a second, for users of a queue only
    module = await asyncio.to_thread(importlib.import_module, "adapters.sqs.queue")
    section = current.settings.amazon.notifications
    queue: SqsQueue = module.SqsQueue(
        url,
        region=section.aws_region(url) or "",
        endpoint=section.endpoint,
        key=_key(current, module.AwsKey),
        long_poll=module.LONG_POLL,
    )
    return queue


def _key(current: Current, make: "Callable[..., AwsKey]") -> "AwsKey | None":
    """The access key of the secret files; without one, the machine's role is used."""
    key_id, secret = current.secrets.aws_access_key_id, current.secrets.aws_secret_access_key
    return make(key_id=key_id.get_secret_value(), secret=secret.get_secret_value()) if key_id and secret else None


async def services(stack: AsyncExitStack, resources: Resources, news: News, beats: Heartbeats) -> dict[str, Service]:
    """The services: a reader for each queue, one that learns our subscriptions, one that rotates the client secret."""
    amazon = resources.current.settings.amazon
    found: dict[str, Service] = {}
    for name, url in _urls(amazon.notifications).items():
        queue = await open_queue(resources.current, url)
        stack.push_async_callback(queue.close)
        resources.metrics.queue_read(name, resources.clock.now())
        beats.promise(name, BEATS_WITHIN)
        found[name] = QueueReader(
            name,
            queue,
            news.heard.hear,
            clock=resources.clock,
            push=news.push if name == "notifications" else None,
            read=partial(_read, resources, name),
            failed=partial(_failed, resources),
            beat=partial(beats.beat, name),
        ).run
    if found:
        found["subscriptions"] = _every(
            resources, "subscriptions", LEARN_EVERY, partial(learn, resources, news.origins)
        )
    if amazon.rotate_client_secret:
        found["rotation"] = _every(resources, "rotation", ROTATION_EVERY, rotation(resources).in_time)
    return found


def rotation(resources: Resources) -> Rotation:
    """The rotation of the client secret."""
    ages = resources.ages
    return Rotation(
        store=resources.store,
        clock=resources.clock,
        secrets=resources.client_secrets,
        rotate=resources.vendors.notifications.rotate_client_secret,
        days_left=lambda: SECRET_LIVES - ages.secret_days(),
        has_queue=resources.current.settings.amazon.notifications.queue_url is not None,
    )


def notification_setup(
    current: Current, vendors: Vendors, learnt: Callable[[Sequence[str]], Awaitable[None]]
) -> NotificationSetup:
    """The setup that checks and creates destination and subscription."""
    section = current.settings.amazon.notifications
    return NotificationSetup(
        service=vendors.notifications,
        arn=section.arn,
        has_queue=section.queue_url is not None,
        filtered=section.filter,
        learnt=learnt,
    )


async def nothing() -> None:
    """The doctor only looks, so it keeps nothing of what it learnt."""


def _urls(section: Section) -> dict[str, str]:
    """The queues by name; a queue that serves both purposes is read once."""
    if section.queue_url is None:
        return {}
    secrets = section.secrets_queue_url
    both = {"notifications": section.queue_url}
    return both | ({"secrets": secrets} if secrets and secrets != section.queue_url else {})


def _read(resources: Resources, name: str) -> None:
    resources.metrics.queue_read(name, resources.clock.now())


def _failed(resources: Resources, _: str, error: Exception) -> None:
    resources.metrics.trouble("queue_unreadable" if isinstance(error, McfdError) else "bug")


async def learn(resources: Resources, known: Origins) -> None:
    """Ask Amazon for the seller's subscriptions, to recognise their notifications as ours."""
    found = await resources.vendors.notifications.subscriptions()
    await remember(resources, known, [one.subscription_id for one in found])


async def remember(resources: Resources, known: Origins, ids: Sequence[str]) -> None:
    """Remember these subscriptions, to recognise their notifications as ours."""
    await resources.store.transact(lambda uow: known.learn_subscriptions(uow, ids))


def _every(resources: Resources, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> Service:
    async def run(stop: asyncio.Event) -> None:
        await run_every(seconds, work, name=name, clock=resources.clock, stop=stop)

    return run
