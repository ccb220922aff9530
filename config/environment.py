"""What the surroundings tell the process; nothing else in mcfd reads the environment."""

import os
from dataclasses import dataclass


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
