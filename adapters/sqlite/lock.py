"""One daemon per state directory: a lock that the kernel lets go when its holder dies."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from daemon.errors import AlreadyRunning, ConfigError

LOCK_FILE = "mcfd.lock"


class StateLock:
    """Holds a directory for as long as it lives. The file stays behind: removing it would let two holders in."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_FILE
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock, or raise at once: AlreadyRunning, or ConfigError when the directory cannot be used."""
        fd = _open(self._path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _pid(fd)
            os.close(fd)
            raise AlreadyRunning(f"another mcfd{holder} holds {self._path}") from None
        except OSError as error:
            os.close(fd)
            raise ConfigError([f"{self._path}: cannot be locked ({error.strerror}): use a local disk"]) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Let go; harmless when the lock is not held."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        with suppress(OSError):  # closing lets go in any case
            os.ftruncate(fd, 0)
        os.close(fd)

    def __enter__(self) -> "StateLock":
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.release()


def _open(path: Path) -> int:
    directory = path.parent
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        problem = f"{directory}: no such directory: create it, owned by the user that runs mcfd, mode 0700"
    except NotADirectoryError:
        problem = f"{directory}: is not a directory: store.path must name a file inside a directory"
    except OSError as error:
        problem = f"{directory}: cannot be written ({error.strerror}): mcfd needs a directory of its own"
    raise ConfigError([problem])


def _pid(fd: int) -> str:
    """The holder as far as it has written itself down."""
    written = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    return f" (pid {written})" if written.isdigit() else ""
