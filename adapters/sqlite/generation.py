"""The file beside the database that has the database's name, so that a copy put in its place is noticed."""

import os
from collections.abc import Sequence
from pathlib import Path

from adapters.sqlite.backup import sync_directory
from daemon.errors import StoreUnavailable

NAMES = 4096  # bytes, more than such a file ever has
FOREIGN = "restored"
"""What stands there after a restore: no database ever has this name."""


def file_beside(path: Path) -> Path:
    """Where the name of that database is kept."""
    return path.with_name(path.name + ".generation")


class GenerationFile:
    """Reads and replaces the file. Raises StoreUnavailable."""

    def __init__(self, path: Path) -> None:
        self._file = file_beside(path)

    def read(self) -> Sequence[str] | None:
        """The names that the database may have; None if there is no file."""
        try:
            with self._file.open(encoding="ascii", errors="replace") as file:
                return file.read(NAMES).split()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreUnavailable(f"{self._file}: {error.strerror}") from error

    def write(self, *names: str) -> None:
        """Replace the file's content, durably."""
        draft = self._file.with_name(f".{self._file.name}.new")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write("\n".join(names) + "\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._file)
            sync_directory(self._file.parent)
        except OSError as error:
            raise StoreUnavailable(f"{self._file}: cannot be written: {error.strerror}") from error
