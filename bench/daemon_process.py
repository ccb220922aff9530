"""`mcfd run` as an operator runs it, started and observed from outside. Nothing here is asynchronous."""

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

import daemon

ROOT = Path(daemon.__file__).parents[1]
SHOP = "acme"
WEBHOOK_SECRET = "bench-webhook-secret"
PATIENCE = 60.0
TICK = os.sysconf("SC_CLK_TCK")
SHARED = ("vault_keys", "ops_token")
"""The secret files that all nodes on a database have in common, beside the vendors' secrets."""
NOBODY = "http://127.0.0.1:9"
"""Nothing listens there, so every call fails at once."""


def settings(
    folder: Path,
    *,
    amazon_url: str = NOBODY,
    loop_url: str = f"{NOBODY}/api",
    limits: Mapping[str, Any] | None = None,
    timings: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the content of a configuration file."""
    return {
        "public_url": "http://127.0.0.1:8080",
        "listen": {"public": "127.0.0.1:0", "ops": "127.0.0.1:0"},
        "store": {"path": str(folder / "state" / "mcfd.db")},
        "amazon": {
            "client_id": "amzn1.application-oa2-client.sandbox",
            "endpoint": amazon_url,
            "lwa_endpoint": f"{amazon_url}/auth/o2/token",
            "label_source": "rma_page",
            "limits": dict(limits or {}),
        },
        "shops": {SHOP: {"api_url": loop_url, "order_id_templates": ["{order_name}"]}},
        "timings": dict(timings or {}),
        "log": {"format": "json", "level": "info"},
    }


def secret_files() -> dict[str, str]:
    """Return every secret file; the vendors' secrets are the sandbox's."""
    return {
        "amazon_client_secret": "amzn1.oa2-cs.v1.sandbox",
        "amazon_refresh_token": "Atzr|sandbox-refresh",
        f"loop_api_key.{SHOP}": "sandbox-loop-key",
        f"loop_webhook_secrets.{SHOP}": WEBHOOK_SECRET,
        "vault_keys": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "ops_token": secrets.token_hex(16),
    }


def seller(number: int) -> str:
    """Return the name of one of many sellers, and of its shop."""
    return f"seller-{number}"


def secrets_of(number: int) -> tuple[str, str, str]:
    """Return a seller's refresh token, API key and webhook secret."""
    return f"Atzr|refresh-{number}", f"loop-key-{number}", f"webhook-{number}"


class Daemon:
    """The process and its folder. `variant` names a variant in bench.variants; "" is the unchanged daemon."""

    def __init__(self, variant: str = "", **config: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mcfd-bench-"))
        self.variant = variant
        self.config = settings(self.folder, **config)
        self.secrets = secret_files()
        self.public_port = self.ops_port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notes.bind(str(self.folder / "notify"))
        self._notes.settimeout(PATIENCE)
        self._write_files()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._process is not None and self._process.poll() is None:
                self.kill()
        self._notes.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def database(self) -> Path:
        return self.folder / "state" / "mcfd.db"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _write_files(self) -> None:
        (self.folder / "state").mkdir(mode=0o700)
        self._write_config()
        (self.folder / "secrets").mkdir(mode=0o700)
        for name, value in self.secrets.items():
            path = self.folder / "secrets" / name
            path.touch(mode=0o600)
            path.write_text(value + "\n")

    def _write_config(self) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config))

    def join(self, url: str, *, name: str = "one", lease: str = "15s", other: "Daemon | None" = None) -> None:
        """Be a node on a PostgreSQL database from the next start on, with the keys of another node there."""
        self.config |= {"store": {"url": url}, "cluster": {"lease": lease, "node": name}}
        self._write_config()
        for secret in SHARED if other else ():
            self.secrets[secret] = other.secrets[secret]
            (self.folder / "secrets" / secret).write_text(other.secrets[secret] + "\n")

    def buy_labels(self, service_id: str) -> None:
        """Buy labels with this Return Service ID from the next start on."""
        self.config["amazon"]["label_source"] = "amazon_shipping"
        self._write_config()
        (self.folder / "secrets" / "amazon_return_service_id").write_text(service_id + "\n")
        (self.folder / "secrets" / "amazon_return_service_id").chmod(0o600)

    def read_queue(self, **section: str) -> None:
        """Read this queue from the next start on, with a key that a stand-in of AWS takes."""
        self.config["amazon"]["notifications"] = section
        self._write_config()
        for name in ("aws_access_key_id", "aws_secret_access_key"):
            (self.folder / "secrets" / name).write_text("stand-in\n")
            (self.folder / "secrets" / name).chmod(0o600)

    def start(self) -> float:
        """Start it; return the seconds until it sent READY=1."""
        program = ("-m", "bench.variants", self.variant) if self.variant else ("-m", "daemon")
        log = self.folder / "log"
        began = time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *("env", f"NOTIFY_SOCKET={self.folder / 'notify'}", sys.executable, *program, "run"),
                    *("--config", str(self.folder / "config.yaml"), "--secrets", str(self.folder / "secrets")),
                ],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._hear("READY=1")
        ready = time.monotonic() - began
        self._learn_ports(log)
        return ready

    def _hear(self, word: str) -> None:
        end = time.monotonic() + PATIENCE
        self._notes.settimeout(0.2)
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                if word in self._notes.recv(65536).decode().splitlines():
                    return
            assert self._process is not None
            if self._process.poll() is not None:
                break
        raise RuntimeError("the daemon did not start:\n" + (self.folder / "log").read_text()[-2000:])

    def _learn_ports(self, log: Path) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for line in log.read_text().splitlines():
                if '"daemon.ready"' in line:
                    told = json.loads(line)
                    self.public_port, self.ops_port = told["public_port"], told["ops_port"]
                    return
            time.sleep(0.01)
        raise RuntimeError("the daemon did not name its ports")

    def terminate(self) -> float:
        """Send SIGTERM; return the seconds until it ended, which must be without an error."""
        began = time.monotonic()
        self.send(signal.SIGTERM)
        status = self.wait()
        if status != 0:
            raise RuntimeError(f"exit {status}:\n" + (self.folder / "log").read_text()[-2000:])
        return time.monotonic() - began

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send(signal.SIGKILL)
        self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; whether it ends, `terminate` and `kill` wait for."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; return its exit status."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    # ---- observing it

    def rss(self) -> float:
        """Resident memory in MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")

    def cpu(self) -> float:
        """Seconds of user and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def running(self) -> float:
        """Exact seconds on a core so far of the threads that exist now."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def on_the_loop(self) -> float:
        """Seconds on a core so far of the thread of the event loop."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def descriptors(self) -> int:
        """Open file descriptors."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def told_at(self, event: str) -> list[float]:
        """When the log of this start has an event, in Unix seconds."""
        lines = (json.loads(line) for line in (self.folder / "log").read_text().splitlines() if f'"{event}"' in line)
        return [datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines if line["event"] == event]

    def get(self, path: str) -> str:
        """Ask the ops listener."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}{path}", timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def metrics(self) -> dict[str, float]:
        """The samples of a scrape, by name with labels."""
        samples = (line.rpartition(" ") for line in self.get("/metrics").splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}
