"""Part of the composition root: opens the queues that carry Amazon's notifications."""

import asyncio
import hashlib
import importlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from adapters.amazon_mcf.wire.notifications import decode_notification
from daemon.app.live_config import CurrentAccount
from daemon.app.resources import Resources
from daemon.app.vendors import AccountVendors
from daemon.engine.leases import under_lease, when_won
from daemon.engine.notifications import Addressee, Notifications, Origins, QueueReader, heard_mark
from daemon.engine.push import Push
from daemon.engine.supervisor import Heartbeats, Service, run_every
from daemon.errors import McfdError
from daemon.operations.client_secrets import Rotation
from daemon.operations.credential_ages import SECRET_LIVES
from daemon.operations.notifications import AMAZON_LETTERS, NotificationSetup
from daemon.ports.leases import Holdings
from daemon.ports.names import at_account
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
    """Everything about Amazon's notifications, by account; there is no push for an account without a queue."""

    pushes: Mapping[str, Push]
    origins: Mapping[str, Origins]
    heard: Notifications


async def listen_for_news(resources: Resources, wake: Callable[[], None]) -> News:
    """Load what an earlier process knew."""
    pushes, origins = {}, {}
    for name, one in resources.accounts.items():
        section = one.account.settings.amazon.notifications
        if section.queue_url is not None:
            pushes[name] = Push(name, resources.store, resources.clock, slower=section.slower_looks)
        origins[name] = Origins(name)
    await asyncio.gather(
        *(push.load() for push in pushes.values()), *(origin.load(resources.store) for origin in origins.values())
    )
    marks = await resources.store.read(lambda uow: {name: uow.mark(heard_mark(name)) for name in origins})
    for name, heard_at in marks.items():
        resources.metrics.notified(float(heard_at or 0), name)
    heard = Notifications(
        resources.store,
        resources.clock,
        resources.metrics,
        decode=decode_notification,
        bury=partial(_letter, resources),
        addressees=[
            Addressee(
                origins=origins[name],
                client_id=one.account.settings.amazon.client_id,
                credentials=one.client_secrets,
            )
            for name, one in resources.accounts.items()
        ],
        wake=wake,
    )
    return News(pushes=pushes, origins=origins, heard=heard)


def _letter(resources: Resources, body: bytes, reason: str) -> DeadLetter:
    return DeadLetter(
        shop=AMAZON_LETTERS,
        digest=hashlib.sha256(body).hexdigest(),
        reason=reason,
        sealed=resources.vault.seal(body, dead_letter(AMAZON_LETTERS)),
        received_at=resources.clock.now(),
    )


async def open_queue(account: CurrentAccount, url: str) -> "SqsQueue":
    """The connection to a queue; no request is made yet."""
    # imported late: it costs 20 MiB and half a second, for users of a queue only
    module = await asyncio.to_thread(importlib.import_module, "adapters.sqs.queue")
    section = account.settings.amazon.notifications
    queue: SqsQueue = module.SqsQueue(
        url,
        region=section.aws_region(url) or "",
        endpoint=section.endpoint,
        key=_key(account, module.AwsKey),
        long_poll=module.LONG_POLL,
    )
    return queue


def _key(account: CurrentAccount, make: "Callable[..., AwsKey]") -> "AwsKey | None":
    """The access key of the secret files; without one, the machine's role is used."""
    key_id, secret = account.secrets.aws_access_key_id, account.secrets.aws_secret_access_key
    return make(key_id=key_id.get_secret_value(), secret=secret.get_secret_value()) if key_id and secret else None


async def services(
    stack: AsyncExitStack, resources: Resources, news: News, beats: Heartbeats, holdings: Holdings
) -> dict[str, Service]:
    """The services: a reader for each queue, and by account those that learn subscriptions and rotate secrets."""
    found: dict[str, Service] = {}
    for queue in queues(resources.current.accounts.values()):
        opened = await open_queue(queue.account, queue.url)
        stack.push_async_callback(opened.close)
        resources.metrics.queue_read(queue.name, resources.clock.now())
        beats.promise(queue.name, BEATS_WITHIN)
        found[queue.name] = QueueReader(
            queue.name,
            opened,
            news.heard.hear,
            clock=resources.clock,
            pushes=[news.pushes[name] for name in queue.announces],
            read=partial(_read, resources, queue.name),
            failed=partial(_failed, resources),
            beat=partial(beats.beat, queue.name),
        ).run
    for name, push in news.pushes.items():
        service = at_account("subscriptions", push.account)
        learning = partial(learn, resources, news.origins[name])
        found[service] = _every(resources, holdings, push.account, service, LEARN_EVERY, learning)
    for name, one in resources.accounts.items():
        if one.account.settings.amazon.rotate_client_secret and _asks_for(resources, name) == name:
            service = at_account("rotation", name)
            found[service] = _every(
                resources, holdings, name, service, ROTATION_EVERY, rotation(resources, name).in_time
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue, the account whose section says how to read it, and the accounts whose returns it announces."""

    name: str
    url: str
    account: CurrentAccount
    announces: list[str]


def queues(accounts: Iterable[CurrentAccount]) -> list[Queue]:
    """Each queue once, whoever's accounts it serves."""
    found: dict[tuple[str, str | None], Queue] = {}
    for account in accounts:
        section = account.settings.amazon.notifications
        for kind, url in (("notifications", section.queue_url), ("secrets", section.secrets_queue_url)):
            if section.queue_url is None or url is None:
                continue
            queue = Queue(name=at_account(kind, account.name), url=url, account=account, announces=[])
            queue = found.setdefault((url, section.endpoint), queue)
            if kind == "notifications":
                queue.announces.append(account.name)
    return list(found.values())


def _asks_for(resources: Resources, account: str) -> str:
    """The account that asks for a new client secret: one for all that share the client id."""
    client_id = resources.accounts[account].account.settings.amazon.client_id
    sharing = [name for name, one in resources.accounts.items() if one.account.settings.amazon.client_id == client_id]
    rotating = [name for name in sharing if resources.accounts[name].account.settings.amazon.rotate_client_secret]
    return next(iter([*rotating, *sharing]))


def rotation(resources: Resources, account: str) -> Rotation:
    """The rotation of the client secret of an account, and of all others with the same client id."""
    one = resources.accounts[_asks_for(resources, account)]
    return Rotation(
        store=resources.store,
        clock=resources.clock,
        secrets=one.client_secrets,
        rotate=one.vendors.notifications.rotate_client_secret,
        days_left=lambda: SECRET_LIVES - one.ages.secret_days(),
        has_queue=one.account.settings.amazon.notifications.queue_url is not None,
    )


def notification_setup(
    account: CurrentAccount, vendors: AccountVendors, learnt: Callable[[Sequence[str]], Awaitable[None]]
) -> NotificationSetup:
    """The setup that checks and creates destination and subscription."""
    section = account.settings.amazon.notifications
    return NotificationSetup(
        service=vendors.notifications,
        arn=section.arn,
        has_queue=section.queue_url is not None,
        filtered=section.filter,
        learnt=learnt,
    )


async def nothing() -> None:
    """The doctor only looks, so it keeps nothing of what it learnt."""


def _read(resources: Resources, name: str) -> None:
    resources.metrics.queue_read(name, resources.clock.now())


def _failed(resources: Resources, _: str, error: Exception) -> None:
    resources.metrics.trouble("queue_unreadable" if isinstance(error, McfdError) else "bug")


async def learn(resources: Resources, known: Origins) -> None:
    """Ask Amazon for the seller's subscriptions, to recognise their notifications as ours."""
    found = await resources.accounts[known.account].vendors.notifications.subscriptions()
    await remember(resources, known, [one.subscription_id for one in found])


async def remember(resources: Resources, known: Origins, ids: Sequence[str]) -> None:
    """Remember these subscriptions, to recognise their notifications as ours."""
    await resources.store.transact(lambda uow: known.learn_subscriptions(uow, ids))


def _every(  # noqa: PLR0917 - it only passes on what its caller has
    resources: Resources,
    holdings: Holdings,
    account: str,
    name: str,
    seconds: float,
    work: Callable[[], Awaitable[None]],
) -> Service:
    """A periodic service on the node that works the account; it begins as soon as this one does."""
    won, round_ = when_won(holdings, account), under_lease(holdings, account, work, sends=True)

    async def run(stop: asyncio.Event) -> None:
        await run_every(seconds, round_, name=name, clock=resources.clock, stop=stop, sooner=won)

    return run
