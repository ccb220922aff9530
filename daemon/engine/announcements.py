"""Sends people messages about what needs them, by the means that the operator chose.

The store remembers what each receiver was sent. It is written after the message was sent: a crash in between may repeat
a case, but never loses one.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from daemon.domain.durations import DAY
from daemon.domain.notices import Case, CaseKind, Message, message_about, news, remember, wanted
from daemon.errors import McfdError
from daemon.ports.host import Clock, Metrics
from daemon.ports.store import CaseRow, MaintainedStore

log = structlog.get_logger(__name__)

EVERY = 60.0
LOOK_BACK = 2 * DAY
"""Seconds for which an event is still worth a message, after a time in which nothing could be sent."""
AT_MOST = 500
"""The most cases of one kind that are read, oldest first."""


class Messenger(Protocol):
    """Sends one message. Raises McfdError when it did not arrive; bounded in time."""

    async def send(self, message: Message) -> None:
        """Send it to everybody behind this receiver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A receiver of messages: which cases it gets, and how."""

    name: str
    messenger: Messenger
    kinds: Sequence[CaseKind]
    shops: Sequence[str] = field(default_factory=tuple)


class Announcements:
    """Once a minute, sends each receiver the new cases in one message. A receiver that fails is tried again."""

    def __init__(
        self,
        receivers: Sequence[Receiver],
        store: MaintainedStore,
        clock: Clock,
        metrics: Metrics,
        parked: Callable[[], Awaitable[Mapping[str, str]]],
    ) -> None:
        self._receivers = receivers
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._parked = parked

    @property
    def has_receivers(self) -> bool:
        """Whether there is anybody to send messages to."""
        return bool(self._receivers)

    async def test(self) -> dict[str, str]:
        """Send everybody a test message at once; the answer per receiver is `sent`, or the error."""
        return {receiver.name: await _tried(receiver) for receiver in self._receivers}

    async def round(self) -> None:
        """Send what is new. Receivers are served concurrently, so none waits for another."""
        cases = await self._cases()
        async with asyncio.TaskGroup() as group:
            for receiver in self._receivers:
                group.create_task(self._serve(receiver, wanted(cases, receiver.kinds, receiver.shops)))

    async def _cases(self) -> list[Case]:
        since = self._clock.now() - LOOK_BACK
        rows = await self._store.survey(lambda keep: keep.cases(since, AT_MOST))
        parked = [
            Case(kind=CaseKind.PARKED, shop=_shop_of(connection), subject=connection, problem=problem)
            for connection, problem in (await self._parked()).items()
        ]
        return [*(_case(row) for row in rows), *parked]

    async def _serve(self, receiver: Receiver, cases: list[Case]) -> None:
        mark = f"announced/{receiver.name}"
        saved = await self._store.read(lambda uow: uow.mark(mark))
        told: dict[str, float] = json.loads(saved) if saved else {}
        fresh = news(cases, told, self._clock.now())
        if fresh:
            try:
                await receiver.messenger.send(message_about(fresh))
            except McfdError as error:
                log.warning("announcement.failed", receiver=receiver.name, reason=str(error))
                self._metrics.trouble("announcement_failed")
                return
        memory = remember(cases, told, fresh, self._clock.now())
        if memory != told:
            await self._store.transact(lambda uow: uow.set_mark(mark, json.dumps(memory)))


async def _tried(receiver: Receiver) -> str:
    try:
        await receiver.messenger.send(
            Message(subject="mcfd: a test", text="This is what a message from mcfd looks like.")
        )
    except McfdError as error:
        return str(error)
    return "sent"


def _case(row: CaseRow) -> Case:
    subject = f"{row.shop}/{row.return_id}"
    return Case(kind=CaseKind(row.kind), shop=row.shop, subject=subject, problem=row.problem, since=row.since)


def _shop_of(connection: str) -> str:
    """The shop of a connection: acme for `loop/acme`; Amazon's connections concern every shop."""
    vendor, _, shop = connection.partition("/")
    return shop if vendor == "loop" else ""
