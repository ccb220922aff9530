"""Processes of `mcfd` that are forked off one that has loaded it already.

Each is what `python -m daemon` is, or another program that begins with it, but for the second that the imports take, which hundreds of tests need not pay. Whoever
sets a variable that the interpreter or OpenSSL reads at the start starts the interpreter anew.
"""

import asyncio
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

LONGEST_REQUEST = 2**20


class ForkedProcess:
    """As much of `asyncio.subprocess.Process` as tests use."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    async def watch(self, told: asyncio.StreamReader, line: asyncio.StreamWriter) -> None:
        """Learn how it ends."""
        try:
            self.returncode = int(await told.readline())
            self._ended.set()
        finally:
            line.close()

    async def wait(self) -> int:
        """Wait for its end."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """Wait for its end, and for all that it prints."""
        out, err, _ = await asyncio.gather(self.stdout.read(), self.stderr.read(), self.wait())
        return out, err

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)


_WATCHING: set[asyncio.Task[None]] = set()


async def spawn(
    program: str, arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str], limit: int
) -> ForkedProcess:
    """Start a program with these arguments, its output in pipes; an empty environment stands for this process's own."""
    ours, theirs = socket.socketpair()
    (out, its_out), (err, its_err) = os.pipe(), os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    known = dict(environment or os.environ)  # noqa: TID251 - passed on
    request = json.dumps({"program": program, "arguments": arguments, "cwd": str(cwd), "environment": known})
    given = [nothing, its_out, its_err, theirs.fileno()]
    socket.send_fds(_parent()[0], [request.encode()], given)
    for descriptor in (nothing, its_out, its_err):
        os.close(descriptor)
    theirs.close()
    told, line = await asyncio.open_connection(sock=ours)
    process = ForkedProcess(int(await told.readline()), await _reader(out, limit), await _reader(err, limit))
    watching = asyncio.create_task(process.watch(told, line))
    _WATCHING.add(watching)
    watching.add_done_callback(_WATCHING.discard)
    return process


async def _reader(descriptor: int, limit: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=limit)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


@cache
def _parent() -> "tuple[socket.socket, subprocess.Popen[bytes]]":
    """The process that forks, and the connection to it: it ends with the connection."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-W", "default", "-m", "tests.e2e.prefork", str(theirs.fileno())],
        cwd=Path(__file__).resolve().parents[2],
        pass_fds=(theirs.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,  # as its children have: what a stream can do is learnt at the start
        stderr=subprocess.PIPE,
    )
    theirs.close()
    return ours, process


# ---- the process that forks


def serve(requests: socket.socket) -> str:
    """Load mcfd, then fork for each request; returns in the forked process, with the program to run."""
    import daemon.app.app
    import daemon.cli.serving  # noqa: F401

    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 4)
        if not request:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            wanted = json.loads(request)
            _keep(wanted, *descriptors)
            return str(wanted["program"])
        for descriptor in descriptors:
            os.close(descriptor)


def _keep(request: Mapping[str, object], stdin: int, stdout: int, stderr: int, told: int) -> None:
    """Fork once more, and tell the number of that process and how it ends; returns in that process alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        os.write(told, f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    os.close(told)
    for number, descriptor in enumerate((stdin, stdout, stderr)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(str(request["cwd"]))
    os.environ.clear()  # noqa: TID251 - it is the child's
    os.environ.update(request["environment"])  # type: ignore[call-overload]  # noqa: TID251
    sys.argv[1:] = request["arguments"]  # type: ignore[assignment]


if __name__ == "__main__":
    runpy.run_module(serve(socket.socket(fileno=int(sys.argv[1]))), run_name="__main__", alter_sys=True)
