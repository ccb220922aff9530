"""Takes verbs to the nodes that work their accounts: asks for them there, and runs what others ask for here."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from typing import Any

import structlog

from daemon.engine.supervisor import TaskPool, run_every
from daemon.errors import LeaseLost, McfdError, OperatorError, StoreUnavailable
from daemon.operations.verb import Verb
from daemon.ports.errands import Errand, ErrandBook
from daemon.ports.host import Clock, SecretBox
from daemon.ports.leases import Holdings

log = structlog.get_logger(__name__)

AnyVerb = Verb[Any, Any, Any]
Run = Callable[[AnyVerb, str, Mapping[str, object]], Awaitable[dict[str, Any]]]

LOOK_EVERY = 0.2
"""Seconds between two looks for the answer, and for something to do, however much other nodes tell."""

KEPT = 6.0
"""Seconds for which an errand is kept unless its asker says that it still waits."""

KEEP_EVERY = 2.0
BEGUN_WITHIN = 30.0
"""Seconds after which an errand is taken back because no node works the account: longer than a takeover lasts."""

LESS_PATIENT = 5.0
"""Seconds before the end of a verb's patience at which its asker gives up, so that who asked is still told."""

AT_ONCE = 64
"""Errands that one node runs at the same time."""


class Errands:
    """The errands of one node. `run` performs a verb, by its path, for an account that this node works."""

    def __init__(
        self,
        book: ErrandBook,
        box: SecretBox,
        clock: Clock,
        holdings: Holdings,
        *,
        node: str,
        new_name: Callable[[], str],
        verbs: Mapping[str, AnyVerb],
        run: Run,
    ) -> None:
        self.sooner = asyncio.Event()
        self._book = book
        self._box = box
        self._clock = clock
        self._holdings = holdings
        self._node = node
        self._new_name = new_name
        self._verbs = verbs
        self._run = run

    # ---- for who asks

    async def ask(self, verb: AnyVerb, account: str, given: Mapping[str, object]) -> dict[str, Any]:
        """Have the verb run at the node that works the account. Raises OperatorError, StoreUnavailable.

        It is run once at most: never after this has ended, and never again.
        """
        name = self._new_name()
        asked = self._box.seal(json.dumps(dict(given)).encode(), _purpose(name, account, verb.path))
        errand = Errand(name=name, account=account, verb=verb.path, asked=asked)
        try:
            await self._book.ask(errand, KEPT)
            return self._opened(errand, await self._answer(verb, errand))
        finally:
            with suppress(StoreUnavailable):
                await self._book.withdraw(name)

    async def _answer(self, verb: AnyVerb, errand: Errand) -> bytes:
        begun = kept = self._clock.monotonic()
        never = asyncio.Event()
        while True:
            await self._clock.wait(never, LOOK_EVERY)
            progress = await self._book.look(errand.name)
            if progress is None:
                raise OperatorError(f"{verb.name}: what was asked of another node is gone; look, and ask again")
            if progress.answer is not None:
                return progress.answer
            if progress.gone:
                what = f"{verb.name}: the node {progress.node} ended while it did this"
                raise OperatorError(f"{what}; it is done, half done or not begun: look, and ask again")
            now = self._clock.monotonic()
            if progress.node is None and now > begun + BEGUN_WITHIN and await self._book.withdraw(errand.name):
                which = f"{errand.account} is worked by no node just now" if errand.account else "no node is there"
                raise OperatorError(f"{verb.name}: {which}, so nothing was done; ask again in a minute")
            if now > begun + verb.patience - LESS_PATIENT:
                raise OperatorError(f"{verb.name}: the node {progress.node} still works on it; look there")
            if now > kept + KEEP_EVERY:
                await self._book.keep(errand.name, KEPT)
                kept = now

    def _opened(self, errand: Errand, sealed: bytes) -> dict[str, Any]:
        answer = json.loads(self._box.unseal(sealed, _purpose(errand.name, errand.account, "answer")))
        if "problem" in answer:
            raise OperatorError(answer["problem"])
        told: dict[str, Any] = answer["told"]
        return told

    # ---- for who works the account

    async def serve(self, stop: asyncio.Event, *, grace: float) -> None:
        """Run what other nodes ask for until `stop` is set, and end what is under way."""
        async with TaskPool("errands", AT_ONCE, clock=self._clock, on_failure=_crashed) as pool:

            async def begin() -> None:
                for errand in await self._book.waiting():
                    if self._holdings.of(errand.account) is not None:
                        pool.start(errand.name, lambda errand=errand: self._perform(errand))  # type: ignore[misc]
                await self._clock.wait(stop, LOOK_EVERY)

            await run_every(1.0, begin, name="errands", clock=self._clock, stop=stop, sooner=self.sooner)
            await pool.drain(grace)

    async def _perform(self, errand: Errand) -> None:
        lease = self._holdings.of(errand.account)
        if lease is None:
            return
        with suppress(LeaseLost), lease.reading():
            if not await self._book.begin(errand.name, self._node):
                return
            answer = json.dumps(await self._told(errand)).encode()
            sealed = self._box.seal(answer, _purpose(errand.name, errand.account, "answer"))
            await self._book.answer(errand.name, sealed)

    async def _told(self, errand: Errand) -> dict[str, Any]:
        """The verb's answer, or what was wrong."""
        try:
            verb = self._verbs.get(errand.verb)
            if verb is None:
                return {"problem": f"the node {self._node} runs another version, which does not know {errand.verb}"}
            given = json.loads(self._box.unseal(errand.asked, _purpose(errand.name, errand.account, errand.verb)))
            return {"told": await self._run(verb, errand.account, given)}
        except McfdError as error:
            return {"problem": str(error)}
        except Exception:
            log.exception("errand.failed", verb=errand.verb)
            return {"problem": f"the node {self._node} failed; its log says why"}


def _purpose(name: str, account: str, what: str) -> str:
    """What is sealed can be opened in its own place alone."""
    return f"errand {name} {account} {what}"


def _crashed(name: Hashable, error: BaseException) -> None:
    log.error("errand.lost", errand=str(name), error=type(error).__name__)
