"""Part of the composition root: what the files say of the settings that the store may keep."""

from collections.abc import Mapping, Sequence

from config.logging.setup import conceal
from config.secret_files import check_kept, filed_value, kept_names
from daemon.app.live_config import Current
from daemon.operations.settings import ReasonMap


class StoredConfiguration:
    """Implements Configuration for the kept settings."""

    def __init__(self, current: Current) -> None:
        self._current = current

    def names(self) -> Sequence[str]:
        """Every credential that may be kept."""
        accounts = self._current.settings.accounts
        return kept_names({name: tuple(account.shops) for name, account in accounts.items()})

    def shops(self) -> Sequence[str]:
        """The shops of all accounts."""
        return tuple(self._current.settings.shops)

    def check(self, name: str, text: str) -> str:
        """The credential in its kept form."""
        return check_kept(name, text)

    def is_filed(self, name: str) -> bool:
        """Whether a file has it."""
        return bool(filed_value(self._current.filed, name))

    def needs_restart(self, name: str) -> bool:
        """Whether it is used from the next start only."""
        return not self._current.is_live(name)

    def conceal(self, texts: list[str]) -> None:
        """Keep these out of the log."""
        conceal(texts)

    def use(self, kept: Mapping[str, str], reasons: Mapping[str, ReasonMap]) -> None:
        """Use what is kept."""
        self._current.keep(kept, reasons)
