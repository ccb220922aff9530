"""Lists deliveries that were signed but could not be read, and offers them to the intake again after a fix."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from daemon.domain.events.operator import OperatorActed
from daemon.domain.lifecycle import apply
from daemon.errors import McfdError, OperatorError, StoreUnavailable
from daemon.operations.verb import instant
from daemon.operations.verbs.keeping import AllReplayed, DeadLetterShown, DeadLettersShown, Replayed
from daemon.ports.host import Clock, SecretBox
from daemon.ports.sealed import dead_letter
from daemon.ports.store import DeadLetterRow, MaintainedStore, UnitOfWork

log = structlog.get_logger(__name__)

ALL = "all"
_NUMBER = re.compile(r"[0-9]{1,18}")  # SQLite's largest integer


@dataclass(frozen=True, slots=True)
class Taken:
    """The result for a letter; `fresh` is False if the same delivery was taken before."""

    return_id: str
    fresh: bool


Offer = Callable[[str, bytes, float], Awaitable[Taken]]
"""Passes (shop, body, Unix seconds of its arrival) to the intake.

Raises ContractBroken if the body still cannot be read.
"""


class DeadLetters:
    """Opens sealed letters. A letter is deleted only after the intake has committed its content."""

    def __init__(self, store: MaintainedStore, clock: Clock, box: SecretBox, offer: Offer | None = None) -> None:
        self._store = store
        self._clock = clock
        self._box = box
        self._offer = offer

    async def listing(self) -> DeadLettersShown:
        """Every dead letter, oldest first; never its content."""
        letters = await self._store.survey(lambda keep: keep.letters())
        return DeadLettersShown(dead_letters=[_row(letter) for letter in letters])

    async def replay(self, names: list[str], by: str) -> AllReplayed:
        """Offer these letters, or `all`, to the intake again; returns the result of each."""
        return AllReplayed(replayed=[await self._replay(letter_id, by) for letter_id in await self._ids(names)])

    async def _ids(self, names: list[str]) -> list[int]:
        if ALL in names:
            return [letter.letter_id for letter in await self._store.survey(lambda keep: keep.letters())]
        if strange := [name for name in names if not _NUMBER.fullmatch(name)]:
            raise OperatorError(f"{strange[0]} is no number of a dead letter; `mcfd dead-letters` lists them")
        return [int(name) for name in names]

    async def _replay(self, letter_id: int, by: str) -> Replayed:
        found = await self._store.survey(lambda keep: keep.letter(letter_id))
        if found is None:
            return Replayed(delivery=letter_id, outcome="unknown", reason="there is no such dead letter")
        if self._offer is None:
            raise OperatorError("a delivery is offered to the running daemon; start it first")
        letter, sealed = found
        try:
            taken = await self._offer(
                letter.shop, self._box.unseal(sealed, dead_letter(letter.shop)), letter.received_at
            )
        except StoreUnavailable:
            raise
        except McfdError as error:  # still unreadable, its shop is gone, or no key fits: continue with the others
            return Replayed(delivery=letter_id, outcome="kept", reason=str(error))
        await self._store.upkeep(lambda keep: keep.drop_letter(letter_id))
        await self._store.transact(partial(self._write_down, letter, taken.return_id, by))
        log.info("dead_letter.replayed", shop=letter.shop, delivery=letter_id, fresh=taken.fresh, by=by)
        return Replayed(delivery=letter_id, outcome="taken" if taken.fresh else "known already", reason="")

    def _write_down(self, letter: DeadLetterRow, return_id: str, by: str, uow: UnitOfWork) -> None:
        """Record the replay in the return's history, if the return is known."""
        ret = uow.get(letter.shop, return_id)
        if ret is not None:
            acted = OperatorActed(at=self._clock.now(), by=by, how=f"replayed dead letter {letter.letter_id}")
            uow.save(apply(ret, acted), acted, ret.state)


def _row(letter: DeadLetterRow) -> DeadLetterShown:
    return DeadLetterShown(
        delivery=letter.letter_id, shop=letter.shop, received=instant(letter.received_at), reason=letter.reason
    )
