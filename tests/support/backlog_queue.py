"""A real SQS API in a process of its own: `python -m tests.support.backlog_queue MESSAGES`, filled when its input says so.

moto's server takes the longer for each message the more of them it holds. So it never holds more than 100 of the backlog
at once, and is filled up as it is read; whoever reads it sees ten at a time either way. Nor does it look at the age of each.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from moto.sqs.models import SQSBackend

from tests.support.fake_queue import a_return_message
from tests.support.sqs_server import TestQueue, make_queue, sqs_server

ROOT = Path(__file__).resolve().parents[2]
HELD = 100
OURS = 20
"""The orders of ours that messages are about, `#our-0` and on; one message of a hundred is."""


def message(number: int) -> str:
    """One of the backlog: mostly about orders that mcfd does not know, a tenth about something else than a return."""
    if number % 100 == 0:
        return a_return_message(f"#our-{number // 100 % OURS}").decode()
    event = "Shipment" if number % 10 == 1 else "Return"
    return a_return_message(f"of-nobody-{number}", event=event).decode()


def serve(messages: int) -> None:
    """Print where the queue is, wait for a line, fill the queue, and say so; end when the input ends."""
    SQSBackend.is_message_valid_based_on_retention_period = lambda *_: True  # it describes the whole queue each time
    with sqs_server() as endpoint:
        queue = make_queue(endpoint)
        say(json.dumps({"endpoint": endpoint, "url": queue.url, "arn": queue.arn}))
        if not sys.stdin.readline():
            return
        fill(queue, messages)
        say("filled")
        sys.stdin.read()


def say(line: str) -> None:
    """Tell whoever has started the process."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def fill(queue: TestQueue, messages: int) -> None:
    """Send all, ten at a time, as there is room."""
    room, pause = 0, threading.Event()
    for start in range(0, messages, 10):
        while room <= 0:
            room = HELD - sum(queue.left())
            pause.wait(0.0 if room > 0 else 0.1)
        queue.send_many([message(number) for number in range(start, min(start + 10, messages))])
        room -= 10


class QueueProcess:
    """The process. `filled` is set when all messages have been sent."""

    def __init__(self, messages: int) -> None:
        self._messages = messages
        self.filled = threading.Event()
        self._hearing = threading.Thread(target=self._hear)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.backlog_queue", str(self._messages)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.place: dict[str, str] = json.loads(self._process.stdout.readline())
        self.queue = TestQueue(self.place["endpoint"], self.place["url"])
        return self

    def fill(self) -> None:
        """Begin to fill it."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"fill\n")
        self._process.stdin.flush()
        self._hearing.start()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline():
            self.filled.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()
            if self._hearing.is_alive():
                self._hearing.join()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
