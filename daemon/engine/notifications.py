"""Amazon's notifications: read from the queue, stored with their effects in one unit of work, then deleted.

A message only says that an order has news; reading the order shows which. So a message that comes twice, late or out of
order costs one reading, and a lost one costs time. A message is deleted only after its effects are committed.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from daemon.domain.copies import replace
from daemon.engine.push import Push
from daemon.engine.supervisor import run_every
from daemon.errors import ContractBroken, McfdError, Transient
from daemon.ports.host import Clock, Metrics
from daemon.ports.notifications import (
    MessageQueue,
    NewClientSecret,
    Notification,
    Origin,
    QueueMessage,
    ReturnNews,
    SecretExpires,
)
from daemon.ports.store import DeadLetter, ReturnStore, UnitOfWork

log = structlog.get_logger(__name__)

T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
LAST_DELETION = 2.0
"""Seconds that a deletion gets when the daemon stops. What is not deleted by then comes again, and costs a reading."""


def heard_mark(account: str) -> str:
    """The mark for the time of the last message about one of our orders."""
    return f"notified/{account}"


class Credentials(Protocol):
    """Keeps the client secrets that Amazon sends."""

    def write(self, uow: UnitOfWork, secret: str) -> None:
        """Keep a new client secret, sealed."""

    def note_end(self, uow: UnitOfWork, at: float) -> None:
        """Remember when the secret in use ends."""

    async def changed(self) -> None:
        """Start to use what was written; called after the commit."""


class Origins:
    """Tells whose a notification is: by the account's subscriptions, or else by its seller, if known."""

    def __init__(self, account: str) -> None:
        self.account = account
        self._mark = f"notifications/{account}"
        self.subscriptions: frozenset[str] = frozenset()
        self.seller = ""

    async def load(self, store: ReturnStore) -> None:
        """Load what an earlier process learnt."""
        await store.read(self._look)

    def surely_ours(self, origin: Origin) -> bool:
        """Whether the notification is known to be for this account."""
        if origin.subscription_id and origin.subscription_id in self.subscriptions:
            return True
        return bool(self.seller) and origin.seller_id == self.seller

    def ours(self, origin: Origin) -> bool:
        """Whether the notification is for this account; True if nothing is known either way."""
        if self.surely_ours(origin):
            return True
        if self.seller and origin.seller_id:
            return False
        return not (self.subscriptions and origin.subscription_id)

    def learn_seller(self, uow: UnitOfWork, origin: Origin) -> None:
        """Learn our seller from a notification of our own subscription."""
        if origin.seller_id and origin.seller_id != self.seller and origin.subscription_id in self.subscriptions:
            self.seller = origin.seller_id
            self._keep(uow)

    def learn_subscriptions(self, uow: UnitOfWork, ids: Sequence[str]) -> None:
        """Learn the account's subscriptions, which are all that it has."""
        self._look(uow)
        if frozenset(ids) != self.subscriptions:
            self.subscriptions = frozenset(ids)
            self._keep(uow)

    def _look(self, uow: UnitOfWork) -> None:
        known = json.loads(uow.mark(self._mark) or "{}")
        self.subscriptions = frozenset(known.get("subscriptions", ()))
        self.seller = known.get("seller", "")

    def _keep(self, uow: UnitOfWork) -> None:
        uow.set_mark(self._mark, json.dumps({"subscriptions": sorted(self.subscriptions), "seller": self.seller}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """One account that messages may be for; `credentials` take those about its client id."""

    origins: Origins
    client_id: str
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a message, and for which account; "" where that is not known."""

    outcome: str
    account: str = ""


class Notifications:
    """Takes messages in, for whichever accounts they are. `wake` is called after a commit that made something due."""

    def __init__(
        self,
        store: ReturnStore,
        clock: Clock,
        metrics: Metrics,
        *,
        decode: Callable[[bytes], Notification],
        bury: Callable[[bytes, str], DeadLetter],
        addressees: Sequence[Addressee],
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._decode = decode
        self._bury = bury
        self._addressees = addressees
        self._wake = wake

    async def hear(self, bodies: Sequence[bytes]) -> None:
        """Store the effects of messages; returns after the commit. Raises StoreUnavailable."""
        messages, letters = self._sorted(bodies)
        await self._take(messages, letters)

    async def hear_again(self, body: bytes) -> None:
        """Take a message that could not be read before. Raises ContractBroken if it still cannot be read."""
        await self._take([self._decode(body)], [])

    def _sorted(self, bodies: Sequence[bytes]) -> tuple[list[Notification], list[DeadLetter]]:
        messages, letters = [], []
        for body in bodies:
            try:
                messages.append(self._decode(body))
            except ContractBroken as error:
                log.warning("notification.unreadable", reason=str(error))
                letters.append(self._bury(body, str(error)))
        return messages, letters

    async def _take(self, messages: Sequence[Notification], letters: Sequence[DeadLetter]) -> None:
        def work(uow: UnitOfWork) -> list[Heard]:
            for letter in letters:
                uow.keep_dead_letter(letter)
            return [one for message in messages for one in self._effects(uow, message)]

        if not letters and await self._store.read(lambda uow: not any(self._matters(uow, one) for one in messages)):
            # a backlog of such messages costs no commit
            heard = [self._without_effect(message) for message in messages]
        else:
            heard = await self._store.transact(work) + [Heard("unreadable")] * len(letters)
        for one in heard:
            self._metrics.notification(one.outcome, self._clock.now(), one.account)
        about_secrets = {one.account for one in heard if one.outcome in {"new_secret", "secret_expires"}}
        for addressee in self._addressees:
            if addressee.origins.account in about_secrets:
                await addressee.credentials.changed()
        if any(one.outcome == "announced" for one in heard):
            self._wake()

    def _concerned(self, message: Notification) -> list[Addressee]:
        """The accounts that a message is for: those that surely are its origin, else all that may be."""
        match message:
            case ReturnNews():
                sure = [one for one in self._addressees if one.origins.surely_ours(message.origin)]
                return sure or [one for one in self._addressees if one.origins.ours(message.origin)]
            case NewClientSecret() | SecretExpires():
                return [one for one in self._addressees if one.client_id == message.client_id]
        return []

    def _matters(self, uow: UnitOfWork, message: Notification) -> bool:
        """Whether the message causes anything to be written."""
        concerned = self._concerned(message)
        if isinstance(message, ReturnNews):
            return any(uow.on_order(one.origins.account, message.order_id) for one in concerned)
        return bool(concerned)

    def _without_effect(self, message: Notification) -> Heard:
        match message:
            case ReturnNews() if concerned := self._concerned(message):
                return Heard("unknown_order", concerned[0].origins.account if len(concerned) == 1 else "")
            case ReturnNews() | NewClientSecret() | SecretExpires():
                return Heard("foreign")
        return Heard("other")

    def _effects(self, uow: UnitOfWork, message: Notification) -> list[Heard]:
        if not self._matters(uow, message):
            return [self._without_effect(message)]
        found = [self._effect(uow, message, one) for one in self._concerned(message)]
        return [one for one in found if one is not None]

    def _effect(self, uow: UnitOfWork, message: Notification, one: Addressee) -> Heard | None:
        account = one.origins.account
        match message:
            case ReturnNews() if refs := uow.on_order(account, message.order_id):
                one.origins.learn_seller(uow, message.origin)
                uow.set_mark(heard_mark(account), repr(self._clock.now()))
                return Heard("announced" if self._announce(uow, refs) else "not_awaited", account)
            case NewClientSecret():
                one.credentials.write(uow, message.secret)
                return Heard("new_secret", account)
            case SecretExpires():
                one.credentials.note_end(uow, message.at)
                return Heard("secret_expires", account)
        return None

    def _announce(self, uow: UnitOfWork, refs: Sequence[tuple[str, str]]) -> int:
        """Bring forward each of these returns that still has something due; returns their number.

        A return between two states, for which Amazon is not read just now, is read next.
        """
        now = self._clock.now()
        found = [uow.get(*ref) for ref in refs]
        concerned = [ret for ret in found if ret is not None and ret.due_at is not None]
        for ret in concerned:
            if ret.amazon_due_at is None:
                uow.defer(replace(ret, announced_at=now))
            elif ret.announced_at != now:
                uow.defer(replace(ret, announced_at=now, amazon_due_at=now, due_at=min(ret.due_at or now, now)))
        return len(concerned)


class QueueReader:
    """A service that reads one queue to its end, then waits for more. `read` is called after each successful read."""

    def __init__(
        self,
        name: str,
        queue: MessageQueue,
        hear: Callable[[Sequence[bytes]], Awaitable[None]],
        *,
        clock: Clock,
        pushes: Sequence[Push],
        read: Callable[[], None],
        failed: Callable[[str, Exception], None],
        beat: Callable[[], None],
    ) -> None:
        self.name = name
        self._queue = queue
        self._hear = hear
        self._clock = clock
        self._pushes = pushes
        self._read = read
        self._failed = failed
        self._beat = beat
        self._pause = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop` is set. Messages received but not deleted by then come again."""
        await run_every(
            0.0,
            lambda: self._round(stop),
            name=self.name,
            clock=self._clock,
            stop=stop,
            beat=self._beat,
            on_failure=self._failed,
        )

    async def _round(self, stop: asyncio.Event) -> None:
        try:
            messages = await self._unless_stopped(self._queue.receive(), stop, grace=0.0)
            if messages is None:
                return
            self._works()
            if done := await self._heard(messages) if messages else ():
                deleting = self._queue.delete([message.receipt for message in done])
                await self._unless_stopped(deleting, stop, grace=LAST_DELETION)
        except McfdError as error:
            for push in self._pushes:
                push.queue_failed()
            self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pause))
            named = error.retry_after if isinstance(error, Transient) else None
            await self._clock.wait(stop, max(self._pause, min(named or 0.0, LONGEST_PAUSE)))
            raise
        self._pause = 0.0

    def _works(self) -> None:
        self._read()
        for push in self._pushes:
            push.queue_read()

    async def _heard(self, messages: Sequence[QueueMessage]) -> Sequence[QueueMessage]:
        """Store all in one unit of work; after a bug, one by one, so that one message does not hold up the others."""
        try:
            await self._hear([message.body for message in messages])
        except McfdError:
            raise
        except Exception as error:
            if len(messages) == 1:
                log.exception("notification.broke", queue=self.name)
                self._failed(self.name, error)
                return ()
            return [done for message in messages for done in await self._heard([message])]
        return messages

    async def _unless_stopped(self, work: Awaitable[T], stop: asyncio.Event, *, grace: float) -> T | None:
        """The result of `work`; None if `stop` is set meanwhile, which cancels it `grace` seconds later."""
        over = asyncio.Event()
        working = asyncio.ensure_future(work)
        working.add_done_callback(lambda _: over.set())
        stopping = asyncio.ensure_future(self._clock.wait(stop, None))
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await self._clock.wait(over, grace)
        finally:
            stopping.cancel()
            if not working.done():
                working.cancel()
            await asyncio.gather(stopping, working, return_exceptions=True)
        return None if working.cancelled() else working.result()
