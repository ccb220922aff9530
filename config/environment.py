"""What the surroundings tell the process; only `config.logs`, which asks who reads the log, looks there besides."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Systemd:
    """Where systemd listens, and how often it wants to hear of us (seconds); None when it does not ask."""

    notify_socket: str | None
    watchdog: float | None


def systemd() -> Systemd:
    """Read what systemd passed to a service of Type=notify (sd_notify(3), sd_watchdog_enabled(3))."""
    for_us = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    usec = os.environ.get("WATCHDOG_USEC", "") if for_us else ""
    return Systemd(os.environ.get("NOTIFY_SOCKET") or None, int(usec) / 1e6 if usec.isdigit() else None)


def user() -> str:
    """Who gives an order, for a return's history."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"


def credentials_directory() -> Path | None:
    """Where systemd put the secret files (systemd.exec(5), LoadCredential)."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None
