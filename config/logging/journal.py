"""What systemd's journal is told of a line, and whether there is one; loaded without all that makes a log."""

import os
import sys
from typing import TextIO

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""In the words of syslog: sd-daemon(3)."""


def running_under_systemd() -> bool:
    """Whether systemd started this process."""
    return bool(os.environ.get("JOURNAL_STREAM") or os.environ.get("INVOCATION_ID"))


def graded(text: str, level: str, stream: TextIO | None = None) -> str:
    """The text with its priority in front of each line, where the stream is the journal, which takes it off again."""
    if not _is_journal(stream or sys.stderr):
        return text
    return "\n".join(f"<{_PRIORITIES.get(level, 6)}>{line}" for line in text.splitlines())


def _is_journal(stream: TextIO) -> bool:
    """systemd names the stream that it made; whoever sent the output elsewhere has another (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # a stream that is closed, or of no file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
