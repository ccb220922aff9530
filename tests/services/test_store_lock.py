"""One daemon per state directory."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from adapters.sqlite.lock import StateLock
from daemon.errors import AlreadyRunning, ConfigError

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from adapters.sqlite.lock import StateLock
with StateLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_holder_is_told_who_holds_it(tmp_path):
    """The second holder gets AlreadyRunning at once, with the path and the first one's process id."""
    with StateLock(tmp_path), pytest.raises(AlreadyRunning) as caught, StateLock(tmp_path):
        pass

    assert str(tmp_path) in str(caught.value)
    assert str(os.getpid()) in str(caught.value)


def test_a_released_lock_can_be_taken(tmp_path):
    """After the release, which may be repeated, the next one gets in; the file is private and stays."""
    lock = StateLock(tmp_path)
    lock.acquire()
    lock.release()
    lock.release()

    with StateLock(tmp_path):
        (file,) = tmp_path.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text() == f"{os.getpid()}\n"
    assert file.read_text() == ""


def test_a_killed_holder_lets_go(tmp_path):
    """The lock of another process holds while it lives, and is free the moment it is killed."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning, match=str(holder.pid)):
            StateLock(tmp_path).acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait()

    with StateLock(tmp_path):
        pass


def test_an_unusable_directory_is_the_operators(tmp_path):
    """A missing directory and a file in its place are configuration errors that name the path."""
    (tmp_path / "file").touch()
    for directory, words in ((tmp_path / "missing", "no such directory"), (tmp_path / "file", "not a directory")):
        with pytest.raises(ConfigError, match=words) as caught:
            StateLock(directory).acquire()
        assert str(directory) in str(caught.value)


def test_a_read_only_directory_is_the_operators():
    """A directory that the daemon's user may not write is a configuration error."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        try:
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(ConfigError, match="cannot be written"):
                StateLock(Path(name)).acquire()
        finally:
            os.seteuid(user)
            Path(name).chmod(0o700)
