"""Whole lives of returns, in batches: submitted, labelled, inspected, processed, closed."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count

from bench.daemon_process import SHOP, Daemon
from bench.sandbox_process import SandboxProcess
from tests.e2e.world import OPERATIONS, RAISED

QUICK = {
    "label_request_poll": "1h",
    "return_poll": "1h",
    "inspection_idle": "2s",
    "inspection_moving": "2s",
    "inspection_arrived": "2s",
    "outcome_watch": "2s",
    "http_timeout": "10s",
}
PATIENCE = 600.0


class Lives:
    """A daemon between both vendors, and the returns it handles."""

    def __init__(self, daemon: Daemon, sandbox: SandboxProcess) -> None:
        self.daemon = daemon
        self.sandbox = sandbox
        self.closed = 0
        self._numbers = count(1)

    def live(self, batch: int) -> None:
        """Run a batch of returns from submission to the end."""
        returns = [self._submit(next(self._numbers)) for _ in range(batch)]
        self._until("awaiting_inspection", batch)
        for return_id in returns:
            self.sandbox.call("receive", return_id=return_id, sku="SOCK-2P-M", condition="Sellable")
        self.closed += batch
        self._until("closed", self.closed)

    def _submit(self, number: int) -> int:
        order = f"#{number}"
        self.sandbox.call("create_order", order_id=order, lines={"SOCK-2P-M": 1})
        return int(self.sandbox.call("submit_return", order_name=order, lines=[{"sku": "SOCK-2P-M"}]))

    def _until(self, state: str, wanted: int) -> None:
        end = time.monotonic() + PATIENCE
        while (held := self._held(state)) < wanted:
            if time.monotonic() > end:
                raise RuntimeError(f"{held} of {wanted} returns are {state}")
            time.sleep(0.5)

    def _held(self, state: str) -> int:
        """Count in the database, since each reading of the daemon's metrics would cost it as much as a few calls."""
        with closing(sqlite3.connect(f"file:{self.daemon.database}?mode=ro", uri=True)) as connection:
            count: int = connection.execute("SELECT count(*) FROM returns WHERE state = ?", (state,)).fetchone()[0]
        return count


@contextmanager
def living(variant: str = "many-calls", *, buys_labels: bool = False) -> Iterator[Lives]:
    """Start both processes."""
    with SandboxProcess() as sandbox:
        limits = {operation: dict(RAISED) for operation in OPERATIONS}
        daemon = Daemon(
            variant, amazon_url=sandbox.places["amazon"], loop_url=sandbox.places["loop"], limits=limits, timings=QUICK
        )
        with daemon:
            if buys_labels:
                daemon.buy_labels(sandbox.places["service"])
            daemon.start()
            sandbox.call("set_webhook_url", url=f"http://127.0.0.1:{daemon.public_port}/webhooks/loop/{SHOP}")
            yield Lives(daemon, sandbox)
