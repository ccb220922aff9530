"""`mcfd`, in a process whose syncs fail from the moment that a byte comes through the pipe named first.

The kernel itself answers EIO to fsync and fdatasync then (seccomp), so everything above it is as it is in production.
"""

import ctypes
import errno
import platform
import runpy
import struct
import sys
import threading
from pathlib import Path

PR_SET_NO_NEW_PRIVS, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 38, 1, 1
NUMBERS = {"x86_64": (317, 74, 75), "aarch64": (277, 82, 83)}
"""Of the calls seccomp, fsync and fdatasync."""
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000 | errno.EIO


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def possible() -> bool:
    """The machine is one whose system calls are known here."""
    return sys.platform == "linux" and platform.machine() in NUMBERS


def fail_from_now_on() -> None:
    """Let every later sync of every thread fail."""
    seccomp, fsync, fdatasync = NUMBERS[platform.machine()]
    steps = (
        (LOAD, 0, 0, 0),
        (EQUAL, 2, 0, fsync),
        (EQUAL, 1, 0, fdatasync),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, FAIL),
    )
    program = _Program(len(steps), b"".join(struct.pack("HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "seccomp")


def _wait_for_it(pipe: Path) -> None:
    with pipe.open("rb", buffering=0) as signals:
        if signals.read(1):
            fail_from_now_on()


def main() -> None:
    """Run `mcfd` with the arguments after the first; `-` instead of a pipe lets syncs fail at once."""
    pipe = sys.argv.pop(1)
    if pipe == "-":
        fail_from_now_on()
    else:
        threading.Thread(target=_wait_for_it, args=(Path(pipe),), daemon=True).start()
    runpy.run_module("daemon", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
