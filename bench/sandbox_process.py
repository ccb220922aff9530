"""Both vendors in a process of their own, with raised limits: `python -m bench.sandbox_process`, ended by closing stdin."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

from adapters.host.clock import SystemClock
from adapters.sandbox import SandboxOptions
from bench.daemon_process import ROOT, WEBHOOK_SECRET
from tests.e2e.world import RaisedSandbox


async def serve() -> None:
    """Print the URLs, then wait for the end of the input."""
    options = SandboxOptions(webhook_secret=WEBHOOK_SECRET, process_after=0.05, enforce_limits=False)
    async with RaisedSandbox(options, SystemClock()) as sandbox:
        places = {"amazon": sandbox.amazon_url, "loop": sandbox.loop_url, "control": sandbox.control_url}
        print(json.dumps(places | {"service": options.return_service_id}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


class SandboxProcess:
    """The process, and its control API."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.sandbox_process"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.places: dict[str, str] = json.loads(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, operation: str, **arguments: object) -> Any:
        """Call one operation of the control API."""
        request = urllib.request.Request(
            f"{self.places['control']}/{operation}",
            data=json.dumps(arguments).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())["result"]

    def look(self, what: str) -> Any:
        """Return its `snapshot`, or its `calls`."""
        with urllib.request.urlopen(f"{self.places['control']}/{what}", timeout=300) as answer:
            return json.loads(answer.read())


if __name__ == "__main__":
    asyncio.run(serve())
