"""Priorities for systemd's journal. Importing this module does not load the logging libraries."""

import os
import sys
from typing import TextIO

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Syslog priorities, see sd-daemon(3)."""


def running_under_systemd() -> bool:
    """Whether systemd started this process."""
    return bool(os.environ.get("JOURNAL_STREAM") or os.environ.get("INVOCATION_ID"))


def graded(text: str, level: str, stream: TextIO | None = None) -> str:
    """Put the priority in front of each line if the stream goes to the journal, which removes it again."""
    if not _is_journal(stream or sys.stderr):
        return text
    return "\n".join(f"<{_PRIORITIES.get(level, 6)}>{line}" for line in text.splitlines())


def _is_journal(stream: TextIO) -> bool:
    """Whether this is the stream that systemd opened and named in the environment (systemd.exec(5))."""
    named = os.environ.get("JOURNAL_STREAM")
    if not named:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # a closed stream, or one without a file
        return False
    return named == f"{status.st_dev}:{status.st_ino}"
