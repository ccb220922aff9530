"""What systemd hears from us, and whether the unit file is one that it accepts."""

import asyncio
import re
import socket
import subprocess
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from adapters.host.clock import SystemClock
from adapters.host.systemd import Notifier, Watchdog
from daemon.errors import StoreUnavailable
from tests.support.programs import program

ROOT = Path(__file__).parents[2]


class FrozenClock(SystemClock):
    """A monotonic clock that stands still."""

    def monotonic(self) -> float:
        return 12.345678


class Systemd:
    """The other end of the notification socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """All messages since the last call."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path):
    """Listen on a path and in the abstract namespace."""
    path = tmp_path / "notify"
    one = Systemd(str(path) if request.param == "path" else f"@mcfd{str(path)[-80:]}")
    yield one
    one.socket.close()


async def round_trip() -> None:
    """Answer as a store that lives."""


def watchdog(systemd: Systemd, *, store_alive=round_trip, late=list, interval: float | None = 0.15) -> Watchdog:
    """Make a watchdog that pings every third of `interval`."""
    notifier = Notifier(systemd.address, SystemClock())
    return Watchdog(notifier, SystemClock(), interval=interval, store_alive=store_alive, late=late)


async def run_for(one: Watchdog, seconds: float) -> None:
    """Run the watchdog as a service and stop it."""
    stop = asyncio.Event()
    running = asyncio.create_task(one.run(stop))
    await SystemClock().wait(asyncio.Event(), seconds)
    assert not running.done()
    stop.set()
    async with asyncio.timeout(1):
        await running


def test_each_message_is_one_datagram_of_the_protocol(systemd: Systemd):
    """Every word of sd_notify that we use has the form of its manual page."""
    notifier = Notifier(systemd.address, FrozenClock())
    notifier.ready()
    notifier.status("12 open returns")
    notifier.reloading()
    notifier.watchdog()
    notifier.stopping()
    assert systemd.heard() == [
        "READY=1",
        "STATUS=12 open returns",
        "RELOADING=1\nMONOTONIC_USEC=12345678",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_a_status_cannot_smuggle_another_message(systemd: Systemd):
    """Line breaks in a status become blanks."""
    Notifier(systemd.address, FrozenClock()).status("waiting\nWATCHDOG=1\r\n")
    assert systemd.heard() == ["STATUS=waiting WATCHDOG=1"]


@pytest.mark.parametrize("address", [None, ""])
def test_without_systemd_nothing_is_said(address: str | None):
    """Outside systemd every call is silent, also in the log."""
    with capture_logs() as lines:
        notifier = Notifier(address, FrozenClock())
        notifier.ready()
        notifier.reloading()
    assert lines == []


def test_a_socket_that_is_gone_does_not_end_the_daemon(tmp_path: Path):
    """A notification that reaches nobody is a log line."""
    with capture_logs() as lines:
        Notifier(str(tmp_path / "gone"), FrozenClock()).ready()
    assert [(line["event"], line["reason"]) for line in lines] == [("systemd.unreachable", "FileNotFoundError")]


async def test_the_watchdog_pings_three_times_per_interval(systemd: Systemd):
    """While everything lives, pings come at a third of WatchdogSec."""
    await run_for(watchdog(systemd, interval=0.15), 0.28)
    assert 3 <= len(pings := systemd.heard()) <= 7
    assert set(pings) == {"WATCHDOG=1"}


async def test_no_ping_while_the_store_is_silent(systemd: Systemd):
    """A store that does not answer costs the ping, and the log says what is missing."""

    async def silent() -> None:
        await asyncio.Event().wait()

    with capture_logs() as lines:
        await run_for(watchdog(systemd, store_alive=silent), 0.2)
    assert systemd.heard() == []
    assert {(line["event"], line["missing"]) for line in lines} == {("watchdog.withheld", "store")}


async def test_a_store_that_refuses_is_alive(systemd: Systemd):
    """A full disk is not cured by a restart: an answer, even a refusal, earns the ping."""

    async def full() -> None:
        raise StoreUnavailable("disk full")

    await run_for(watchdog(systemd, store_alive=full), 0.1)
    assert "WATCHDOG=1" in systemd.heard()


async def test_no_ping_while_a_service_is_late(systemd: Systemd):
    """A service that missed its promised beat costs the ping until it is heard again."""
    late = ["reconciler"]
    one = watchdog(systemd, late=lambda: late)
    with capture_logs() as lines:
        await run_for(one, 0.1)
    assert systemd.heard() == []
    assert {line["missing"] for line in lines} == {"reconciler"}
    late.clear()
    await run_for(one, 0.1)
    assert "WATCHDOG=1" in systemd.heard()


async def test_the_status_is_told_when_it_changes(systemd: Systemd):
    """`systemctl status` shows how it is now, and is not told the same again."""
    sentences = ["2 open returns", "2 open returns", "2 open returns; amazon: credentials: refused"]
    notifier = Notifier(systemd.address, SystemClock())
    one = Watchdog(
        notifier,
        SystemClock(),
        interval=0.06,
        store_alive=round_trip,
        late=list,
        status=lambda: sentences.pop(0) if len(sentences) > 1 else sentences[0],
    )
    await run_for(one, 0.3)
    told = [message for message in systemd.heard() if message.startswith("STATUS=")]
    assert told == ["STATUS=2 open returns", "STATUS=2 open returns; amazon: credentials: refused"]


async def test_without_an_interval_the_watchdog_only_waits(systemd: Systemd):
    """Where systemd does not watch, the service runs on without a ping and without asking the store."""

    async def never() -> None:
        raise AssertionError("asked")

    await run_for(watchdog(systemd, store_alive=never, interval=None), 0.05)
    assert systemd.heard() == []


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Copy the unit file, with a program that exists on every machine."""
    program("systemd-analyze")
    copy = tmp_path / "mcfd.service"
    copy.write_text((ROOT / "mcfd.service").read_text().replace("/opt/mcfd/bin/mcfd", "/bin/true"))
    return copy


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run systemd-analyze."""
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=30)


def test_systemd_accepts_the_unit(unit: Path):
    """`systemd-analyze verify` has nothing to say, and does complain of a word it does not know."""
    told = analyze("verify", "--man=no", str(unit))
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    unit.write_text(unit.read_text().replace("ProtectClock=", "ProtectClocks="))
    assert "ProtectClocks" in analyze("verify", "--man=no", str(unit)).stderr


def test_the_unit_is_as_closed_as_it_can_be(unit: Path):
    """`systemd-analyze security` rates its exposure 1.1 at most."""
    told = analyze("security", "--offline=true", "--no-pager", str(unit))
    if "unrecognized option" in told.stderr:
        pytest.skip("this systemd-analyze rates only loaded units")
    rating = re.search(r"exposure level for mcfd.service: ([\d.]+)", told.stdout)
    assert rating, told.stderr
    assert float(rating[1]) <= 1.1


def test_the_template_is_the_unit_for_one_of_several():
    """mcfd@.service differs from mcfd.service in directories, ports and its name alone; systemd takes it."""
    told = _told("mcfd.service"), _told("mcfd@.service")
    changed = {line.partition("=")[0] for line in set(told[0]) ^ set(told[1])}
    directories = {"StateDirectory", "RuntimeDirectory", "ConfigurationDirectory", "LoadCredential"}
    assert changed == {"Description", "ExecStart", "ExecReload", "SocketBindAllow", *directories}
    for line in told[1]:
        if line.partition("=")[0] in {"ExecStart", *directories}:
            assert "%i" in line


def test_systemd_accepts_the_template(tmp_path: Path):
    """`systemd-analyze verify` has nothing to say of an instance."""
    program("systemd-analyze")
    copy = tmp_path / "mcfd@acme.service"
    copy.write_text((ROOT / "mcfd@.service").read_text().replace("/opt/mcfd/bin/mcfd", "/bin/true"))
    told = analyze("verify", "--man=no", str(copy))
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def _told(name: str) -> list[str]:
    """What a unit file says, without its comments."""
    return [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]


def unit_values(key: str) -> list[str]:
    """Read the values of a key, in their order."""
    lines = (ROOT / "mcfd.service").read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def test_the_unit_runs_and_reloads_the_daemon_as_documented():
    """A reload checks first, as root; only a wrong configuration is not started again, everything else for ever."""
    assert unit_values("Type") == ["notify"]
    assert unit_values("ExecStart") == ["/opt/mcfd/bin/mcfd run --config /etc/mcfd/config.yaml"]
    check = "+/opt/mcfd/bin/mcfd check --config /etc/mcfd/config.yaml --secrets /etc/mcfd/secrets"
    assert unit_values("ExecReload") == [check, "/bin/kill -HUP $MAINPID"]
    assert (unit_values("Restart"), unit_values("RestartPreventExitStatus")) == (["always"], ["78"])
    assert (unit_values("StartLimitIntervalSec"), unit_values("RestartSec")) == (["0"], ["5"])
    assert unit_values("LoadCredential") == ["mcfd:/etc/mcfd/secrets"]
    assert unit_values("WatchdogSec") == ["30"]
    assert int(unit_values("TimeoutStopSec")[0]) > 20
