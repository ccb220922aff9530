"""The daemon as an operator has it: a configuration file, a directory of secrets, a process."""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from adapters.host.clock import SystemClock
from tests.e2e.prefork import ForkedProcess, spawn

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 40.0
LONGEST_LINE = 2**20


class DaemonDied(Exception):
    """The daemon ended before it was ready; the text is what it said."""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class DaemonProcess:
    """`mcfd run` with files of its own. What any of its processes printed is kept in `lines`, events in `events`."""

    def __init__(self, folder: Path, config: dict[str, Any], secrets: Mapping[str, str]) -> None:
        self.config = config
        self.secrets = dict(secrets)
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.public_port = self.ops_port = 0
        self.started_at = 0.0
        self.folder = folder
        self.program = "daemon"
        self.run_options: tuple[str, ...] = ()
        self.environment: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | ForkedProcess | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._ready = asyncio.Event()

    # ---- files

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.folder / "state"

    @property
    def config_file(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def secret_folder(self) -> Path:
        return self.folder / "secrets"

    def write_files(self) -> None:
        """Lay out what an operator lays out."""
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.secret_folder.mkdir(mode=0o700, exist_ok=True)
        _write(self.config_file, yaml.safe_dump(self.config))
        for name, value in self.secrets.items():
            self.write_secret(name, value)

    def write_secret(self, name: str, value: str) -> None:
        path = self.secret_folder / name
        path.touch(mode=0o600)
        _write(path, f"{value}\n")

    # ---- the process

    async def start(self) -> None:
        """Start the daemon, and return when it says that it is ready."""
        self.write_files()
        self.started_at = SystemClock().now()
        self._ready.clear()
        self._process = process = await self._spawn(
            "run", *self.run_options, "--config", self.config_file, "--secrets", self.secret_folder
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [asyncio.create_task(self._read(pipe)) for pipe in (process.stdout, process.stderr)]
        waits = [asyncio.create_task(self._ready.wait()), *self._readers]
        over, _ = await asyncio.wait(waits, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        waits[0].cancel()
        if not over:
            self.signal(signal.SIGABRT)  # one that hangs tells where
        if not self._ready.is_set():
            status = await self.ended()
            raise DaemonDied(f"exit {status}:\n" + "\n".join(self.lines[-20:]))

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def ended(self) -> int:
        """Wait for the end of the process and of its output; its exit status."""
        assert self._process is not None
        async with asyncio.timeout(PATIENCE):
            status = await self._process.wait()
            await asyncio.gather(*self._readers)
        return status

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def sigterm(self) -> int:
        """Ask it to stop; its exit status."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def sigkill(self) -> None:
        """End it as a power cut does."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def restart(self) -> None:
        """Stop it if it runs, and start it again."""
        if self.running:
            assert await self.sigterm() == 0
        await self.start()

    # ---- what it says

    def heard(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The log's events of that name with these fields."""
        return [e for e in self.events if e["event"] == event and fields.items() <= e.items()]

    @property
    def complaints(self) -> list[str]:
        """Lines that no healthy run has: tracebacks, errors, warnings of Python."""
        bad = ("Traceback", '"level": "error"', '"level": "critical"', "py.warnings", "never awaited")
        said = [line for line in self.lines if any(word in line for word in bad)]
        return [line for line in said if '"event": "webhook.unreadable"' not in line]  # which a test may bring about

    async def _read(self, pipe: asyncio.StreamReader) -> None:
        async for raw in pipe:
            line = raw.decode(errors="replace").rstrip("\n")
            self.lines.append(line)
            with suppress(ValueError):
                self._take(json.loads(line))

    def _take(self, event: Any) -> None:
        if not isinstance(event, dict) or "event" not in event:
            return
        self.events.append(event)
        if event["event"] == "daemon.ready":
            self.public_port, self.ops_port = event["public_port"], event["ops_port"]
            self._ready.set()

    # ---- asking it

    async def get(self, path: str) -> tuple[int, str]:
        """Ask the ops listener."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.ops_port}{path}") as reply,
        ):
            return reply.status, await reply.text()

    async def ops(self, path: str) -> tuple[int, Any]:
        """Ask the ops listener for JSON."""
        status, text = await self.get(path)
        return status, json.loads(text)

    async def metrics(self) -> dict[str, float]:
        """The samples that Prometheus would scrape, by name with labels."""
        status, text = await self.get("/metrics")
        assert status == 200
        samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    async def verb(self, verb: str, token: str | None = None, **arguments: object) -> tuple[int, Any]:
        """Call a verb of the operator API."""
        headers = {"Authorization": f"Bearer {self.secrets['ops_token'] if token is None else token}"}
        url = f"http://127.0.0.1:{self.ops_port}/api/{verb}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json=arguments, headers=headers) as reply,
        ):
            return reply.status, await reply.json()

    async def show(self, return_id: int | str) -> dict[str, Any]:
        """What the daemon knows of a return; {"state": ""} when it knows none."""
        status, answer = await self.verb("show", **{"return": str(return_id)})
        return answer if status == 200 else {"state": "", "history": []}

    async def deliver(self, path: str, body: bytes, signature: str | None, *, header: str = "X-Loop-Signature") -> int:
        """Post to the public listener as Loop does, or whoever signs in that header; the status."""
        headers = {"Content-Type": "application/json"} | ({header: signature} if signature else {})
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{self.public_port}{path}", data=body, headers=headers) as reply,
        ):
            return reply.status

    async def cli(self, *arguments: str) -> Said:
        """Run `mcfd` beside the daemon, with the configuration that names the port it really has."""
        return await self.command(*arguments, "--config", self.known_config(), "--secrets", self.secret_folder)

    def known_config(self) -> Path:
        """Write the configuration that names the port the daemon really has."""
        self.write_files()
        listen = self.config["listen"] | {"ops": f"127.0.0.1:{self.ops_port or 9}"}
        known = self.folder / "cli.yaml"
        _write(known, yaml.safe_dump(self.config | {"listen": listen}))
        return known

    async def command(self, *arguments: str | Path) -> Said:
        """Run `mcfd` with these arguments and nothing else."""
        process = await self._spawn(*arguments)
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Said(process.returncode, out.decode(), err.decode())

    async def _spawn(self, *arguments: str | Path) -> "asyncio.subprocess.Process | ForkedProcess":
        if not any(name.startswith(("PYTHON", "SSL_")) for name in self.environment):
            words = [str(argument) for argument in arguments]
            return await spawn(self.program, words, cwd=ROOT, environment=self.environment, limit=LONGEST_LINE)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-X", "faulthandler", "-W", "default", "-m", self.program, *arguments),
            cwd=ROOT,
            env=self.environment or None,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
        )


def _write(path: Path, text: str) -> None:
    """Write a file, unless it says that already: another process may be reading it."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
