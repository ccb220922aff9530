"""Part of the composition root: opens the store that the configuration names."""

from contextlib import AsyncExitStack
from pathlib import Path

from adapters.sqlite.lock import StateLock
from adapters.sqlite.store import open_store as open_file
from config.model import Settings
from daemon.app.live_config import Current
from daemon.errors import NoDatabase, OperatorError
from daemon.ports.store import Store


async def open_configured(stack: AsyncExitStack, current: Current, *, daemon: bool = True) -> Store:
    """Open the store, with the lock that keeps others out; who calls closes it, and then the stack.

    A daemon shares PostgreSQL with others of its kind. Nobody else makes anything. Raises ConfigError, AlreadyRunning,
    NoDatabase or StoreUnavailable.
    """
    wanted = current.settings.store
    if wanted.url is not None:
        from adapters.postgresql.store import open_store as open_database  # noqa: PLC0415 - most need no such driver

        lease = current.settings.cluster.lease if daemon else None
        return await open_database(wanted.place, wanted.url, current.store_password, create=daemon, lease=lease)
    if not daemon:
        look_for(wanted.path)
    stack.enter_context(StateLock(wanted.path.parent))
    return await open_file(wanted.path)


def look_for(path: Path) -> None:
    """Raise NoDatabase where mcfd has never run."""
    try:
        path.stat()
    except FileNotFoundError:
        if path.parent.is_dir():
            raise NoDatabase([f"{path}: there is no database yet; the first start of mcfd makes it"]) from None
    except OSError:
        pass  # the lock's own error explains it


def file_of(settings: Settings, instead: str) -> Path:
    """Return the SQLite file, for what works on files alone. Raises OperatorError, which says what to do instead."""
    if settings.store.url is not None:
        raise OperatorError(f"{settings.store.place} is a PostgreSQL database: {instead}")
    return settings.store.path
