"""`mcfd` with two seconds of patience for a queue that does not answer: `python -m tests.e2e.impatient run`."""

from adapters.sqs import queue
from daemon.cli.main import main

if __name__ == "__main__":
    queue.LONG_POLL = queue.PATIENCE = 1  # type: ignore[assignment]
    queue.CONNECT_TIMEOUT = 1.0
    main()
