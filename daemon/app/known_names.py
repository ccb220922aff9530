"""Part of the composition root: the names that the store knows, beside it, for `mcfd check`, which opens no store."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from config.model import Settings


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


def overlooked(known: Iterable[tuple[str, str]], account_of: Mapping[str, str]) -> list[str]:
    """Sentences about names that are gone while others are new: a rename that the store was not told of.

    `known` are (account, shop) that have returns, `account_of` is the account of each configured shop.
    """
    pairs = list(known)
    kept = {"account": {account for account, _ in pairs}, "shop": {shop for _, shop in pairs}}
    configured = {"account": set(account_of.values()), "shop": set(account_of)}
    found = []
    for kind in ("account", "shop"):
        gone, fresh = sorted(kept[kind] - configured[kind]), sorted(configured[kind] - kept[kind])
        for name in gone if fresh else ():
            new = fresh[0] if len(fresh) == 1 else "NEW"
            text = f"{name} is configured no more, and open returns of it are parked"
            also = f"if it is called {new} now" if len(fresh) == 1 else f"if it is one of {', '.join(fresh)} now"
            found.append(f"{kind} {text}; {also}, stop mcfd and run `mcfd rename {kind} {name} {new}`")
    return found


def _file(settings: Settings) -> Path:
    return settings.store.path.with_suffix(".names")
