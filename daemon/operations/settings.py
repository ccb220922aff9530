"""Settings kept sealed in the store: credentials that no file has, and mappings of reasons. A file goes before them."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol

import structlog

from daemon.domain.matching import fold
from daemon.errors import McfdError, OperatorError
from daemon.operations.verbs.connections import ReasonsShown
from daemon.operations.verbs.settings import KeptSetting, Mapped, ReasonKept, SettingRow, SettingsShown
from daemon.ports.host import SecretBox
from daemon.ports.names import kept_reasons_mark, kept_secret_mark
from daemon.ports.sealed import seal_text, unseal_text
from daemon.ports.store import MaintainedStore, UnitOfWork

log = structlog.get_logger(__name__)

ReasonMap = Mapping[tuple[str, str], str]

LONGEST_REASON = 200
LONGEST_CODE = 100


class Configuration(Protocol):
    """What the files say, and who uses what the store keeps."""

    def names(self) -> Sequence[str]:
        """Every credential that may be kept, as its file is named."""

    def shops(self) -> Sequence[str]:
        """The shops' names."""

    def check(self, name: str, text: str) -> str:
        """The credential in its kept form; raises ValueError, which never shows it."""

    def is_filed(self, name: str) -> bool:
        """Whether a file has it, so that what is kept is not used."""

    def needs_restart(self, name: str) -> bool:
        """Whether it is used from the next start only."""

    def conceal(self, texts: list[str]) -> None:
        """Keep these out of the log."""

    def use(self, kept: Mapping[str, str], reasons: Mapping[str, ReasonMap]) -> None:
        """Use what is kept, from now on."""


class KeptSettings:
    """Reads and writes them. `changed` is called after each change, in the running daemon."""

    def __init__(self, store: MaintainedStore, box: SecretBox, configuration: Configuration) -> None:
        self._store = store
        self._box = box
        self._configuration = configuration
        self.changed: Callable[[], Awaitable[None]] | None = None

    async def load(self, *, use: Callable[[Mapping[str, str], Mapping[str, ReasonMap]], None] | None = None) -> None:
        """Use what is kept; what no key opens any more is logged, and missing."""
        kept, reasons = await self._store.read(lambda uow: (self._secrets(uow), self._all_reasons(uow)))
        self._configuration.conceal([line for text in kept.values() for line in text.split("\n")])
        (use or self._configuration.use)(kept, reasons)

    async def listing(self) -> SettingsShown:
        """Every credential that may be kept, by where it is; never a value. And every kept mapping."""
        kept, reasons = await self._store.read(lambda uow: (self._secrets(uow), self._all_reasons(uow)))
        rows = [self._row(name, kept) for name in self._configuration.names()]
        return SettingsShown(
            settings=rows,
            reasons=[
                ReasonKept(shop=shop, parent=parent, reason=reason, code=code)
                for shop, mapping in reasons.items()
                for (parent, reason), code in sorted(mapping.items())
            ],
        )

    async def as_yaml(self) -> ReasonsShown:
        """The kept mappings as the configuration file has them."""
        reasons = await self._store.read(self._all_reasons)
        lines = ["shops:"] if reasons else ["# no mapping is kept in the store"]
        for shop, mapping in reasons.items():
            lines += [f"  {shop}:", "    reasons:", "      map:"]
            for (parent, reason), code in sorted(mapping.items()):
                pair = {"parent": parent, "reason": reason, "code": code}
                said = ", ".join(f"{name}: {json.dumps(text)}" for name, text in pair.items() if text)
                lines.append(f"        - {{{said}}}")
        return ReasonsShown(yaml="\n".join(lines))

    def _row(self, name: str, kept: Mapping[str, str]) -> SettingRow:
        filed = self._configuration.is_filed(name)
        where: Literal["file", "store", "missing"] = "file" if filed else "store" if name in kept else "missing"
        note = "the store has one, too; the file is used" if filed and name in kept else ""
        return SettingRow(name=name, where=where, note=note)

    async def put(self, name: str, text: str, by: str) -> KeptSetting:
        """Keep a credential."""
        self._known(name)
        try:
            checked = self._configuration.check(name, text)
        except ValueError as error:
            raise OperatorError(f"{name} {error}") from None
        self._configuration.conceal(checked.split("\n"))
        sealed = seal_text(self._box, checked.encode(), kept_secret_mark(name))
        await self._store.transact(lambda uow: uow.set_mark(kept_secret_mark(name), sealed))
        return await self._told(name, by, "kept")

    async def drop(self, name: str, by: str) -> KeptSetting:
        """Forget a kept credential, and overwrite where it was."""
        self._known(name)
        if await self._store.read(lambda uow: uow.mark(kept_secret_mark(name))) is None:
            raise OperatorError(f"{name} is not kept in the store; `mcfd settings list` shows what is")
        await self._store.upkeep(lambda keep: keep.drop_mark(kept_secret_mark(name)))
        return await self._told(name, by, "forgotten")

    async def _told(self, name: str, by: str, what: str) -> KeptSetting:
        log.info("settings.changed", setting=name, change=what, by=by)
        await self._apply()
        if self._configuration.is_filed(name):
            return KeptSetting(name=name, note=f"it is {what}, but the secret file of that name is used")
        if self.changed is not None and self._configuration.needs_restart(name):
            return KeptSetting(name=name, note=f"it is {what}; `systemctl restart mcfd` has it used")
        return KeptSetting(name=name, note=f"it is {what}")

    async def map_reason(self, shop: str, parent: str, reason: str, code: str | None, by: str) -> Mapped:
        """Map a stated reason to Amazon's code, or forget the mapping if `code` is None."""
        if shop not in self._configuration.shops():
            raise OperatorError(f"no shop {shop} is configured; there are {', '.join(self._configuration.shops())}")
        key = fold(parent), fold(reason)
        if key == ("", ""):
            raise OperatorError("name a parent reason, a reason, or both")
        if max(map(len, key)) > LONGEST_REASON or (code and (len(code) > LONGEST_CODE or len(code.split()) != 1)):
            raise OperatorError("a reason has at most 200 characters, and a code is one word, like CR-DEFECTIVE")

        def work(uow: UnitOfWork) -> bool:
            mapping = dict(self._reasons(uow, shop))
            had = mapping.pop(key, None) is not None
            if code is not None:
                mapping[key] = code
            rows = [[*pair, to] for pair, to in sorted(mapping.items())]
            uow.set_mark(
                kept_reasons_mark(shop), seal_text(self._box, json.dumps(rows).encode(), kept_reasons_mark(shop))
            )
            return had

        had = await self._store.transact(work)
        if code is None and not had:
            raise OperatorError("no such mapping is kept; `mcfd settings list` shows them, the file has its own")
        log.info("settings.changed", setting=f"reasons.{shop}", change="kept" if code else "forgotten", by=by)
        await self._apply()
        return Mapped(shop=shop, parent=parent, reason=reason, code=code)

    async def _apply(self) -> None:
        await self.load()
        if self.changed is not None:
            await self.changed()

    def _known(self, name: str) -> None:
        if name not in self._configuration.names():
            raise OperatorError(f"{name} is no setting; there are: {', '.join(self._configuration.names())}")

    def _secrets(self, uow: UnitOfWork) -> dict[str, str]:
        found = {name: self._open(uow, kept_secret_mark(name)) for name in self._configuration.names()}
        return {name: text for name, text in found.items() if text is not None}

    def _all_reasons(self, uow: UnitOfWork) -> dict[str, ReasonMap]:
        found = {shop: self._reasons(uow, shop) for shop in self._configuration.shops()}
        return {shop: mapping for shop, mapping in found.items() if mapping}

    def _reasons(self, uow: UnitOfWork, shop: str) -> ReasonMap:
        rows = json.loads(self._open(uow, kept_reasons_mark(shop)) or "[]")
        return {(parent, reason): code for parent, reason, code in rows}

    def _open(self, uow: UnitOfWork, mark: str) -> str | None:
        sealed = uow.mark(mark)
        if not sealed:
            return None
        try:
            return unseal_text(self._box, sealed, mark).decode()
        except McfdError as error:  # a lost key must not keep the daemon from starting
            log.error("settings.lost", setting=mark, reason=str(error))  # noqa: TRY400 - the text says all
            return None
