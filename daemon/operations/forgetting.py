"""Forgets a return: erases it wherever it is kept, and leaves a tombstone without its ids."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from daemon.domain.returns import Return, State, Void
from daemon.errors import McfdError, OperatorError
from daemon.operations.verbs.keeping import Forgotten
from daemon.ports.host import Clock, SecretBox
from daemon.ports.names import bought_labels, hosted_label, link_mark, proof_mark, tombstone
from daemon.ports.sealed import LABEL_LINK, dead_letter, is_sealed, unseal_text
from daemon.ports.store import AT_REST, MaintainedStore, Maintenance

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Traces:
    """What is kept of a return outside its own rows: dead letters about it, and hosted documents."""

    letters: Collection[int]
    documents: Collection[str]


class Forgetting:
    """Erases returns on an operator's request; `gone` gets shop and state of each."""

    def __init__(
        self, store: MaintainedStore, clock: Clock, box: SecretBox, gone: Callable[[str, State], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._box = box
        self._gone = gone

    async def forget(self, ret: Return, by: str, *, preview: bool = False) -> Forgotten:
        """Erase a return, or only preview that. Raises OperatorError while a call for it is under way."""
        if unclear := _unclear(ret):
            raise OperatorError(f"{ret.ref}: {unclear}; forget it once `mcfd show` says that it is done")
        if preview:
            return Forgotten(return_=ret.ref, note=_what_it_does(ret))
        traces = _Traces(await self._letters_about(ret), await self._documents_of(ret))
        if not await self._store.upkeep(lambda keep: self._erase(keep, ret, traces)):
            raise OperatorError(f"{ret.ref} has just changed; try again")
        await self._store.shrink()  # what was deleted is overwritten in the file, and the log emptied
        self._gone(ret.shop, ret.state)
        log.info("return.forgotten", shop=ret.shop, by=by)
        return Forgotten(return_=ret.ref, note=f"it is erased; {_REMAINS}")

    def _erase(self, keep: Maintenance, ret: Return, traces: _Traces) -> bool:
        if not keep.forget_return(ret):
            return False
        keep.drop_documents_named(bought_labels(ret.shop, ret.return_id))
        for name in traces.documents:
            keep.withdraw_document(name)
        for letter_id in traces.letters:
            keep.drop_letter(letter_id)
        for mark in (link_mark, proof_mark):
            keep.drop_mark(mark(ret.shop, ret.return_id))
        requests = [tombstone(ret.own_shop, ret.return_id, request.request_id) for request in ret.requests]
        keep.bury([tombstone(ret.own_shop, ret.return_id), *requests], self._clock.now())
        return True

    async def _documents_of(self, ret: Return) -> Collection[str]:
        """The names of the documents behind its links; a link that no key opens any more opens no document either."""
        proof = await self._store.read(lambda uow: uow.mark(proof_mark(ret.shop, ret.return_id)))
        links = [request.label.url for request in ret.requests if request.label] + ([proof] if proof else [])
        return [name for link in links if is_sealed(link) and (name := self._document(link))]

    def _document(self, link: str) -> str:
        try:
            url = unseal_text(self._box, link, LABEL_LINK).decode()
        except McfdError:
            return ""
        return hosted_label(url.rpartition("/")[2].removesuffix(".pdf"))

    async def _letters_about(self, ret: Return) -> Collection[int]:
        """Dead letters of the shop that name the return or one of its label requests."""
        ids = (ret.return_id, *(request.request_id for request in ret.requests))
        named = re.compile(rb"(?<![\w-])(?:" + b"|".join(re.escape(name.encode()) for name in ids) + rb")(?![\w-])")
        letters = await self._store.survey(lambda keep: keep.letters())
        return [
            letter.letter_id
            for letter in letters
            if letter.shop == ret.shop and await self._is_about(letter.letter_id, ret.shop, named)
        ]

    async def _is_about(self, letter_id: int, shop: str, named: re.Pattern[bytes]) -> bool:
        found = await self._store.survey(lambda keep: keep.letter(letter_id))
        if found is None:
            return False
        try:
            return named.search(self._box.unseal(found[1], dead_letter(shop))) is not None
        except McfdError:
            return False


_REMAINS = (
    "backups made before still hold it, and Loop and the vendors keep what is theirs. "
    "Its label requests are not served again; a new one of Loop's would be"
)


def _unclear(ret: Return) -> str:
    """Why its end must be awaited first; empty if it need not be."""
    if ret.pending_calls and ret.state not in AT_REST | {State.STUCK}:
        return "a call to a vendor has not been answered yet"
    return "a label is being given back" if any(postage.void is Void.WANTED for postage in ret.postage) else ""


def _what_it_does(ret: Return) -> str:
    """What forgetting means for this return."""
    what = f"erases {ret.ref} for good: its units, labels, history, notes, calls and deliveries"
    if ret.state not in AT_REST:
        what += f"; it is {ret.state}, and is followed no more: nothing is settled in Loop, no label is given back"
    return f"{what}; {_REMAINS}"
