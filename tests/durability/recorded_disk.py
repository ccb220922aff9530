"""A disk that remembers every write, truncation and sync of SQLite's, and shows what a power cut would leave of them.

The rules: what was synced is there. Of what was not, each 512-byte sector is there or not, whatever came before or
after it. A file's creation or removal is there once its directory was synced, which SQLite does with the first sync of
a log or journal that it has just made. A sync that fails leaves what it leaves, and no later sync makes up for it.
"""

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import apsw

SECTOR = 512
Kind = Literal["create", "remove", "write", "truncate", "sync", "sync failed", "sync directory"]

_OWN_DIRECTORY_SYNC = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Op:
    """One thing that was asked of the disk. `inode` tells files apart that bore the same name one after the other."""

    kind: Kind
    inode: int = 0
    name: str = ""
    at: int = 0
    data: bytes = field(default=b"", repr=False)


Fault = Callable[[Op], "type[apsw.Error] | None"]
"""Says which error an operation shall fail with, if any."""


class RecordedDisk(apsw.VFS):
    """A file system for apsw connections: `apsw.Connection(path, vfs=disk.name)`. `ops` is the record.

    Nothing is really synced: the files are for the running connection, the record is for the images.
    """

    def __init__(self) -> None:
        self.name = f"recorded-{next(_numbers)}"
        self.ops: list[Op] = []
        self.fault: Fault = lambda _op: None
        self._inodes: dict[str, int] = {}
        self._next_inode = itertools.count(1)
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - apsw's
        """Open a file; those without a name are SQLite's scratch, which no power cut concerns."""
        if name is None:
            return apsw.VFSFile("", None, flags)
        plain = Path(name.filename() if isinstance(name, apsw.URIFilename) else name).name
        if plain not in self._inodes:
            self._inodes[plain] = next(self._next_inode)
            self.ops.append(Op("create", self._inodes[plain], plain))
        return _RecordedFile(self, name, flags, self._inodes[plain])

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - apsw's
        """Remove a file."""
        super().xDelete(filename, syncdir)
        name = Path(filename).name
        if name in self._inodes:
            self.ops.append(Op("remove", self._inodes.pop(name), name))
        if syncdir:
            self.ops.append(Op("sync directory"))

    def written_and_synced(self, name: str, content: bytes) -> None:
        """Record what somebody else did to a file."""
        inode = self._inodes[name]
        self.ops += [Op("write", inode, data=content), Op("sync", inode)]

    def admit(self, op: Op) -> "type[apsw.Error] | None":
        """Record the operation, unless it shall fail; then with what."""
        error = self.fault(op)
        if error is None:
            self.ops.append(op)
        elif op.kind == "sync":
            self.ops.append(Op("sync failed", op.inode))
        return error


class _RecordedFile(apsw.VFSFile):
    def __init__(self, disk: RecordedDisk, name: "str | apsw.URIFilename", flags: list[int], inode: int) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._inode = inode
        self._directory_owed = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _OWN_DIRECTORY_SYNC)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's
        error = self._disk.admit(Op("write", self._inode, at=offset, data=bytes(data)))
        if error is not None:
            half = bytes(data[: len(data) // 2])  # a write that fails may have begun
            self._disk.ops.append(Op("write", self._inode, at=offset, data=half))
            super().xWrite(half, offset)
            raise _failure(error, apsw.SQLITE_IOERR_WRITE)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - apsw's
        error = self._disk.admit(Op("truncate", self._inode, at=newsize))
        if error is not None:
            raise _failure(error, apsw.SQLITE_IOERR_TRUNCATE)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - apsw's
        error = self._disk.admit(Op("sync", self._inode))
        if error is not None:
            raise _failure(error, apsw.SQLITE_IOERR_FSYNC)
        if self._directory_owed:
            self._disk.ops.append(Op("sync directory"))
            self._directory_owed = False


def _failure(kind: type[apsw.Error], code: int) -> apsw.Error:
    full = kind is apsw.FullError
    error = kind("database or disk is full" if full else "disk I/O error")
    error.extendedresult = apsw.SQLITE_FULL if full else code
    return error


Image = dict[str, bytes]
"""The files of a directory, by name."""


class _Platter:
    """What is on the disk for certain, and what may be."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._contents: dict[int, bytearray] = {}
        self._unsynced: dict[int, list[Op]] = {}
        self._names: dict[str, int] = {}
        self._unsynced_names: list[Op] = []

    def take(self, op: Op) -> None:
        match op.kind:
            case "create" | "remove":
                self._unsynced_names.append(op)
            case "write" | "truncate":
                self._unsynced.setdefault(op.inode, []).append(op)
            case "sync":
                self._contents[op.inode] = _torn(self._content(op.inode), self._unsynced.pop(op.inode, ()), None)
            case "sync failed":
                unsynced = self._unsynced.pop(op.inode, ())
                self._contents[op.inode] = _torn(self._content(op.inode), unsynced, self._keep())
            case "sync directory":
                self._names = _renamed(self._names, self._unsynced_names)
                self._unsynced_names = []

    def cut(self) -> Image:
        """Lose some of what was not synced."""
        names = _renamed(self._names, self._unsynced_names[: self._dice.randint(0, len(self._unsynced_names))])
        keep = self._keep()
        return {
            name: bytes(_torn(bytearray(self._content(inode)), self._unsynced.get(inode, ()), keep))
            for name, inode in names.items()
        }

    def _content(self, inode: int) -> bytearray:
        return self._contents.get(inode, bytearray())

    def _keep(self) -> Callable[[], bool]:
        share = self._dice.choice((0.0, 0.5, 0.5, 0.5, 0.95, 1.0, self._dice.random()))
        return lambda: self._dice.random() < share


def _renamed(names: dict[str, int], ops: Iterable[Op]) -> dict[str, int]:
    names = dict(names)
    for op in ops:
        if op.kind == "create":
            names[op.name] = op.inode
        else:
            names.pop(op.name, None)
    return names


def _torn(content: bytearray, ops: Iterable[Op], keep: Callable[[], bool] | None) -> bytearray:
    """Apply the operations to the content, all of them, or sector by sector what is kept."""
    for op in ops:
        if op.kind == "truncate":
            if keep is None or keep():
                del content[op.at :]
                content.extend(bytes(op.at - len(content)))
        elif keep is None:
            _put(content, op.at, op.data)
        else:
            for at, piece in _sectors(op):
                if keep():
                    _put(content, at, piece)
    return content


def _sectors(op: Op) -> Iterator[tuple[int, bytes]]:
    start, end = op.at, op.at + len(op.data)
    for at in (start, *range(start - start % SECTOR + SECTOR, end, SECTOR)):
        yield at, op.data[at - start : min(at - at % SECTOR + SECTOR, end) - start]


def _put(content: bytearray, at: int, data: bytes) -> None:
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


def images(ops: Sequence[Op], cuts: Iterable[int], dice: random.Random) -> Iterator[tuple[int, Image]]:
    """What a cut after so many operations leaves, for each of the cuts, in their order on the time line."""
    platter, done = _Platter(dice), 0
    for cut in sorted(cuts):
        for op in ops[done:cut]:
            platter.take(op)
        done = cut
        yield cut, platter.cut()
