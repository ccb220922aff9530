"""Part of the composition root: the names that the store knows, beside it, for `mcfd check`, which opens no store."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from config.model import Settings
from daemon.operations.renaming import overlooked


def write_names(settings: Settings, known: Iterable[tuple[str, str]]) -> None:
    """Note (account, shop) of all that is configured or has open returns; nothing for a database on a server."""
    if settings.store.url is None:
        configured = {(account, shop) for shop, account in settings.account_of.items()}
        with suppress(OSError):  # it only helps `mcfd check`
            _file(settings).write_text(json.dumps(sorted(configured.union(known))))


def rename_warnings(settings: Settings) -> list[str]:
    """Sentences about names that were changed in the configuration since the last start."""
    try:
        rows = json.loads(_file(settings).read_text())
        known = {(str(account), str(shop)) for account, shop in rows}
    except (OSError, ValueError, TypeError):  # never started, not ours to read, or cut short by a full disk
        return []
    return overlooked(known, settings.account_of)


def _file(settings: Settings) -> Path:
    return settings.store.path.with_suffix(".names")
