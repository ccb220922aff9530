"""Renames a shop or an account in the store, after it was renamed in the configuration."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from daemon.domain.returns import Return, State
from daemon.errors import OperatorError
from daemon.operations.verbs.renaming import Renamed
from daemon.ports.host import SecretBox
from daemon.ports.names import LABEL_PROOFS, RENAMED_MARK, mark_of_renamed
from daemon.ports.sealed import as_bytes, as_text, dead_letter
from daemon.ports.store import MaintainedStore, Maintenance, SealedKind, UnitOfWork

log = structlog.get_logger(__name__)

Former = Mapping[str, Mapping[str, str]]
"""The names that shops and accounts have now, by their kind and each former name."""


def former_names(uow: UnitOfWork) -> Former:
    """What `mcfd rename` was told so far."""
    kept: dict[str, dict[str, str]] = json.loads(uow.mark(RENAMED_MARK) or "{}")
    return {kind: kept.get(kind, {}) for kind in ("shop", "account")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Renaming:
    """Moves what the store keeps from one name to another, in one transaction, while no daemon runs.

    `account_of` is the account of each configured shop.
    """

    store: MaintainedStore
    box: SecretBox
    account_of: Mapping[str, str]

    async def shop(self, name: str, new: str) -> Renamed:
        """Rename a shop. Raises OperatorError if the configuration says otherwise."""
        self._check("shop", name, new, self.account_of)
        await self._make_way(name, new)
        return await self._renamed("shop", name, new)

    async def account(self, name: str, new: str) -> Renamed:
        """Rename an account. Raises OperatorError if the configuration says otherwise."""
        self._check("account", name, new, self.account_of.values())
        return await self._renamed("account", name, new)

    def _check(self, kind: str, name: str, new: str, configured: Iterable[str]) -> None:
        known = sorted(set(configured))
        if name in known:
            raise OperatorError(f"{name} is still configured; rename the {kind} in the configuration first")
        if new not in known:
            raise OperatorError(f"{new} is no {kind} of the configuration; there are: {', '.join(known)}")

    async def _make_way(self, name: str, new: str) -> None:
        """Drop returns that were opened a second time under the new name, if nothing was done for them yet."""
        twice = await self.store.survey(lambda keep: keep.in_both(name, new))
        read = await self.store.read(lambda uow: [uow.get(new, return_id) for return_id in twice])
        begun = [ret.return_id for ret in read if ret is not None and _is_begun(ret)]
        if begun:
            names = ", ".join(begun)
            raise OperatorError(
                f"{new} has begun returns that {name} has, too: {names}; settle them (`mcfd resolve`), then again"
            )
        for return_id in twice:
            await self.store.upkeep(lambda keep, gone=return_id: keep.drop_return(new, gone))  # type: ignore[misc]

    async def _renamed(self, kind: str, name: str, new: str) -> Renamed:
        # remembered first: after a crash between the two, the verb is simply called again
        await self.store.transact(lambda uow: _remember(uow, kind, name, new))
        moved = await self.store.upkeep(lambda keep: self._move(keep, kind, name, new))
        log.info("store.renamed", kind=kind, was=name, name=new, returns=moved)
        return Renamed(kind=kind, was=name, name=new, returns=moved, note=_NOTES[kind])

    def _move(self, keep: Maintenance, kind: str, name: str, new: str) -> int:
        moved = keep.rename_shop(name, new) if kind == "shop" else keep.rename_account(name, new)
        for mark in keep.mark_names():
            target = mark_of_renamed(mark, kind, name, new)
            if target != mark:
                keep.move_mark(mark, target)
                self._seal_again(keep, mark, target)
        if kind == "shop":
            self._move_letters(keep, keep.letters_of(name), name, new)
        return moved

    def _seal_again(self, keep: Maintenance, mark: str, target: str) -> None:
        """Seal a mark's value for its new name; labels' links are sealed alike for all."""
        value = keep.sealed(SealedKind.MARKS, (target,))
        if value is not None and isinstance(value.sealed, str) and not mark.startswith(LABEL_PROOFS):
            plain = self.box.unseal(as_bytes(value.sealed), mark)
            keep.reseal(value, as_text(self.box.seal(plain, target)))

    def _move_letters(self, keep: Maintenance, letters: Sequence[int], name: str, new: str) -> None:
        for letter_id in letters:
            found = keep.letter(letter_id)
            if found is not None:
                plain = self.box.unseal(found[1], dead_letter(name))
                keep.move_letter(letter_id, new, self.box.seal(plain, dead_letter(new)))


_NOTES = {
    "shop": "its webhooks are heard under both names; `mcfd webhooks sync` subscribes the new one",
    "account": "EasyPost's webhook is heard under both names; the secret files end with the new one",
}


def _is_begun(ret: Return) -> bool:
    """Whether anything was done for a return, or is under way."""
    return ret.state is not State.RECEIVED or bool(ret.units or ret.authorizations or ret.pending_calls)


def _remember(uow: UnitOfWork, kind: str, name: str, new: str) -> None:
    """Remember the former name; names that led to it lead to the new one."""
    known = {key: dict(names) for key, names in former_names(uow).items()}
    known[kind] = {former: new if now == name else now for former, now in known[kind].items() if former != new}
    known[kind][name] = new
    uow.set_mark(RENAMED_MARK, json.dumps(known))
