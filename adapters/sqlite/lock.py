"""One daemon per state directory: a lock that the kernel releases when its holder dies."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from daemon.errors import AlreadyRunning, ConfigError

LOCK_FILE = "mcfd.lock"


class StateLock:
    """Locks a directory. The file is never removed, because removing it could let two holders in."""

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
            text = f"another mcfd{holder} holds {self._path}: stop it first, or give this one another store.path"
            raise AlreadyRunning(text, holder) from None
        except OSError as error:
            os.close(fd)
            raise ConfigError([f"{self._path}: cannot be locked ({error.strerror}): use a local disk"]) from error
        with suppress(OSError):  # on a full disk the lock still holds, only without the pid
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Release the lock; harmless when it is not held."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        with suppress(OSError):  # closing releases it in any case
            os.ftruncate(fd, 0)
        os.close(fd)

    def __enter__(self) -> "StateLock":
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.release()


def _open(path: Path) -> int:
    try:
        return _make(path)
    except FileExistsError:
        return _take(path)
    except FileNotFoundError:
        problem = f"{path.parent}: no such directory: create it, owned by the user that runs mcfd, mode 0700"
    except NotADirectoryError:
        problem = f"{path.parent}: is not a directory: store.path must name a file inside a directory"
    except OSError as error:
        problem = _unwritable(path.parent, error)
    raise ConfigError([problem])


def _make(path: Path) -> int:
    """Create the file. If root creates it, the directory's owner gets it, since the daemon must open it later."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        with suppress(OSError):  # some file systems have no owners
            os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def _take(path: Path) -> int:
    """Open the existing file, but no link, which could lead root to any file of the machine."""
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:
        problem = f"{path}: belongs to another user; run chown --reference={path.parent} {path}"
    except OSError as error:
        linked = error.errno == errno.ELOOP
        problem = f"{path}: is a link; remove it" if linked else _unwritable(path.parent, error)
    raise ConfigError([problem])


def _unwritable(directory: Path, error: OSError) -> str:
    if error.errno == errno.EROFS:
        return f"{directory}: is on a read-only file system; remount it, or change store.path"
    return f"{directory}: cannot be written ({error.strerror}): mcfd needs a directory of its own"


def _pid(fd: int) -> str:
    """Say who holds the lock, if the holder has written its pid."""
    written = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    return f" (pid {written})" if written.isdigit() else ""
