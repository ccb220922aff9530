"""A real Debian with systemd as its first process, on this machine and without a network."""

import os
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".system"
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
"""By release of Debian: 12 and 13."""
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,openssl,ca-certificates,procps,curl,sqlite3"
TOOLS = ("debootstrap", "systemd-nspawn", "nsenter", "setpriv")
NUMBERS = count()
BOOT_SECONDS, PATIENCE = 180.0, 180
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Unavailable(Exception):
    """This machine cannot boot another one; the text says why."""


class KernelRefuses(Unavailable):
    """The tools are there, and what they ask of the kernel is not granted, as inside most containers."""


def check_tools() -> None:
    """Raise Unavailable unless what is needed is here."""
    if os.geteuid() != 0:
        raise Unavailable("only root can boot a machine")
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise Unavailable(f"not installed: {', '.join(missing)} (apt-get install debootstrap systemd-container)")


def debian(release: str) -> Path:
    """The files of a fresh Debian; made once, and never written to afterwards."""
    root = CACHE / f"{release}-{_fingerprint()}"
    if not root.is_dir():
        draft = root.with_name(f"{root.name}.{os.getpid()}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, str(draft), *_mirror()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            raise Unavailable(f"debootstrap {release} failed: {(done.stdout + done.stderr)[-600:]}")
        draft.rename(root)
    return root


def _fingerprint() -> str:
    return f"{sum(PACKAGES.encode()):x}"


def _mirror() -> list[str]:
    """Where this machine has its Debian from; nothing, debootstrap's own choice, where it is another system."""
    form = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    lines = subprocess.run(
        ["apt-get", "indextargets", "--format", form], capture_output=True, text=True, check=False, timeout=60
    ).stdout.splitlines()
    return [line.split("|")[2] for line in lines if line.startswith("Debian|Debian|")][:1]


def wheels(release: str) -> Path:
    """Every package of requirements.txt for that Debian's Python, as pip fetches it where there is a network."""
    folder = CACHE / "wheels"
    pip = [ROOT / ".venv" / "bin" / "pip", "download", "--quiet", "--require-hashes", "--only-binary=:all:"]
    which = ["--python-version", PYTHONS[release], "--requirement", ROOT / "requirements.txt", "--dest", folder]
    done = subprocess.run([*pip, *which], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


class Machine:
    """A booted Debian. `run` is a root shell in it."""

    def __init__(self, release: str, leader: int) -> None:
        self.release = release
        self._leader = leader

    def run(self, script: str, *, timeout: float = 120.0, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a script as root; it may fail."""
        into = ["nsenter", f"--target={self._leader}", *("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")]
        variables = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"} | environment
        clean = ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]
        return subprocess.run(
            [
                *into,
                f"--root=/proc/{self._leader}/root",
                f"--wd=/proc/{self._leader}/root/root",
                *clean,
                "bash",
                "-c",
                script,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    def do(self, script: str, *, timeout: float = 120.0, **environment: str) -> str:
        """Run a script that has to succeed; what it printed."""
        done = self.run(f"set -e\n{script}", timeout=timeout, **environment)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def until(self, condition: str, seconds: int = PATIENCE) -> None:
        """Wait in the machine until a shell condition holds."""
        quoted = shlex.quote(f"until {condition}; do sleep 0.2; done")
        waited = self.run(f"timeout {seconds} bash -c {quoted} 2>/dev/null", timeout=seconds + 30)
        assert waited.returncode == 0, f"{condition}: not within {seconds} s\n{self.journal()[-3000:]}"

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Put a file there."""
        self.do(f"install -D -m {mode} /dev/stdin {path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE")

    def journal(self, *options: str) -> str:
        """What systemd and mcfd wrote about the unit."""
        return self.run(shlex.join(["journalctl", "--unit=mcfd", "--no-pager", *options])).stdout


@contextmanager
def booted(release: str) -> Iterator[Machine]:
    """Boot a fresh Debian; whatever is changed in it goes when it ends. Raises Unavailable."""
    check_tools()
    root = debian(release)
    address = f"mcfd-{release}-{os.getpid()}-{next(NUMBERS)}"
    with (
        _cgroup(address) as cgroup,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told,
        TemporaryFile("w+") as console,
    ):
        told.bind(f"\0{address}")
        process = _nspawn(release, root, address, cgroup, console)
        try:
            leader = _ready(told, process, console)
            threading.Thread(target=_drain, args=(told,), daemon=True).start()
            yield Machine(release, leader)
        finally:
            _end(process)


@contextmanager
def _cgroup(name: str) -> Iterator[Path]:
    """A control group for one machine: two of them in the same would take each other's processes for their own."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    tops = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
    if not tops:
        raise KernelRefuses("there is no cgroup2")
    ours = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    group = Path(tops[0]) / ours.lstrip("/") / name
    try:
        group.mkdir()
    except OSError as error:
        raise KernelRefuses(f"no control group can be made: {error}") from error
    try:
        yield group
    finally:
        for folder in sorted(group.rglob("**/"), key=lambda path: -len(path.parts)):
            with suppress(OSError):  # an empty one that is left does no harm
                folder.rmdir()


def _nspawn(release: str, root: Path, address: str, cgroup: Path, console: IO[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            *("sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(cgroup)),
            *("env", f"NOTIFY_SOCKET=@{address}", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"),
            *("setpriv", "--pdeathsig", "TERM", "systemd-nspawn", "--quiet", "--boot", "--private-network"),
            *(
                "--register=no",
                "--keep-unit",
                "--volatile=overlay",
                "--notify-ready=yes",
                "--console=pipe",
                "--kill-signal=SIGKILL",
            ),
            *(f"--machine={address}", f"--directory={root}"),
            *(f"--bind-ro={ROOT}:/usr/src/mcfd", f"--bind-ro={wheels(release)}:/usr/src/wheels"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=console,  # a pipe that nobody reads would stop systemd once it is full
        stderr=subprocess.STDOUT,
    )


def _ready(told: socket.socket, process: "subprocess.Popen[bytes]", console: IO[str]) -> int:
    """The first process of the machine, once that says that it has booted."""
    leader, deadline = 0, time.monotonic() + BOOT_SECONDS
    told.settimeout(0.5)
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(TimeoutError):
            for line in told.recv(4096).decode().splitlines():
                key, _, value = line.partition("=")
                leader = int(value) if key == "X_NSPAWN_LEADER_PID" else leader
                if (key, value) == ("READY", "1") and leader:
                    return leader
    _end(process)
    console.seek(0)
    raise KernelRefuses(f"systemd-nspawn did not boot: {console.read()[-600:]}")


def _drain(told: socket.socket) -> None:
    """Go on listening: systemd waits for whoever does not take its messages."""
    with suppress(OSError):  # closed at the end
        told.settimeout(None)
        while told.recv(4096):
            pass


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Nothing of the machine is kept, so nothing in it has to be stopped in order."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
