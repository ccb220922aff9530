"""The machine of a measurement, and how busy it was with other work."""

import os
import platform
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("aiohttp", "uvloop", "aiosqlite", "pydantic", "cryptography", "prometheus-client", "asyncio-throttle")


def describe() -> list[str]:
    """Describe the machine in a few lines."""
    memory = _field(Path("/proc/meminfo"), "MemTotal")
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return [
        f"machine: {_field(Path('/proc/cpuinfo'), 'model name')}, {os.cpu_count()} cores, "
        f"{int(memory.split()[0]) // 1024**2} GiB, Linux {platform.release()}",
        f"software: Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {libraries}",
    ]


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "?"


@contextmanager
def noise() -> Iterator[list[str]]:
    """Report afterwards the load, and what share of the machine other processes used during the measurement."""
    told: list[str] = []
    load, busy, steal = os.getloadavg()[0], *_ticks()
    mine = _own_ticks()
    yield told
    passed, stolen = _ticks()
    own = _own_ticks() - mine
    others = max(0.0, passed - busy - own) / os.sysconf("SC_CLK_TCK")
    told.append(
        f"noise: load {load:.2f} before, {os.getloadavg()[0]:.2f} after; other processes used {others:.1f} CPU seconds, "
        f"the host took {(stolen - steal) / os.sysconf('SC_CLK_TCK'):.1f}"
    )


def _ticks() -> tuple[int, int]:
    """Clock ticks in which the cores were busy, and those that the host withheld."""
    user, nice, system, _idle, _io, irq, soft, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return user + nice + system + irq + soft, steal


def _own_ticks() -> int:
    """Clock ticks of this process and of the children it has waited for."""
    times = os.times()
    return int((times.user + times.system + times.children_user + times.children_system) * os.sysconf("SC_CLK_TCK"))


def progress(text: str) -> None:
    """Show progress, which is not part of the result."""
    print(f"  … {text}", file=sys.stderr, flush=True)
