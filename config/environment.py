"""What the environment tells the process. `config.logging.journal` reads the environment, too."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Systemd:
    """The socket for notifications, and the watchdog's interval in seconds; None where systemd sets none."""

    notify_socket: str | None
    watchdog: float | None


def systemd() -> Systemd:
    """Read what systemd passed to a service of Type=notify (sd_notify(3), sd_watchdog_enabled(3))."""
    for_us = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    usec = os.environ.get("WATCHDOG_USEC", "") if for_us else ""
    return Systemd(os.environ.get("NOTIFY_SOCKET") or None, int(usec) / 1e6 if usec.isdigit() else None)


def user() -> str:
    """Name the user of a command, for a return's history."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"


def credentials_directory() -> Path | None:
    """Return the directory where systemd put the secret files (systemd.exec(5), LoadCredential)."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None
