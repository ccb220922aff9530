"""Both vendors in a process of their own, with raised limits; many times for many sellers. Ended by closing stdin."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from adapters.host.clock import SystemClock
from adapters.sandbox import Sandbox, SandboxOptions
from bench.daemon_process import ROOT, WEBHOOK_SECRET, secrets_of
from tests.e2e.world import RaisedSandbox


def _of_seller(number: int) -> SandboxOptions:
    refresh_token, api_key, webhook_secret = secrets_of(number)
    return SandboxOptions(
        refresh_token=refresh_token,
        loop_api_key=api_key,
        webhook_secret=webhook_secret,
        process_after=0.05,
        enforce_limits=False,
    )


async def serve(sellers: Sequence[SandboxOptions]) -> None:
    """Print the URLs of each seller's vendors, then wait for the end of the input."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(RaisedSandbox(options, SystemClock())) for options in sellers]
        print(json.dumps([_places(sandbox) for sandbox in found]), flush=True)
        await asyncio.to_thread(sys.stdin.read)


def _places(sandbox: Sandbox) -> dict[str, str]:
    return {
        "amazon": sandbox.amazon_url,
        "lwa": sandbox.lwa_url,
        "loop": sandbox.loop_url,
        "control": sandbox.control_url,
        "service": sandbox.options.return_service_id,
    }


class SandboxProcess:
    """The process, and its control API: one seller's vendors, or those of so many `sellers`."""

    def __init__(self, sellers: int | None = None) -> None:
        self._arguments = [] if sellers is None else [str(sellers)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.sandbox_process", *self._arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.sellers: list[dict[str, str]] = json.loads(self._process.stdout.readline())
        return self

    @property
    def places(self) -> dict[str, str]:
        """The only seller's URLs."""
        return self.sellers[0]

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

    def call(self, operation: str, *, seller: int = 0, **arguments: object) -> Any:
        """Call one operation of a seller's control API."""
        request = urllib.request.Request(
            f"{self.sellers[seller]['control']}/{operation}",
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
    many = [_of_seller(number) for number in range(int(sys.argv[1]))] if len(sys.argv) > 1 else []
    one = SandboxOptions(webhook_secret=WEBHOOK_SECRET, process_after=0.05, enforce_limits=False)
    asyncio.run(serve(many or [one]))
