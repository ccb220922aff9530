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

NOBODY = 65534
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


def test_a_full_disk_does_not_keep_the_lock_from_being_taken(tmp_path):
    """Where not even a process id can be written, the lock holds, and says of its holder what it can: nothing."""
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    command = [sys.executable, "-c", full + HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning, match="another mcfd holds"):
            StateLock(tmp_path).acquire()


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_belongs_to_the_directorys_user(tmp_path):
    """A lock that root was the first to take can be taken by the daemon's user afterwards."""
    os.chown(tmp_path, NOBODY, NOBODY)
    with StateLock(tmp_path):
        (file,) = tmp_path.iterdir()
        assert (file.stat().st_uid, file.stat().st_gid) == (NOBODY, NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_lock_of_somebody_else_is_told_with_its_remedy():
    """A lock in our directory that we may not open is told apart from a directory that takes no files."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        StateLock(directory).acquire()
        os.chown(directory, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(ConfigError) as caught:
                StateLock(directory).acquire()
        finally:
            os.seteuid(0)
    lock = directory / "mcfd.lock"
    assert str(caught.value) == f"{lock}: belongs to another user; run chown --reference={directory} {lock}"


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    """Whoever may write the directory cannot have root write into another file."""
    precious = tmp_path / "precious"
    precious.write_text("words")
    state = tmp_path / "state"
    state.mkdir()
    (state / "mcfd.lock").symlink_to(precious)
    with pytest.raises(ConfigError, match="is a link"):
        StateLock(state).acquire()
    assert precious.read_text() == "words"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_read_only_file_system_is_told_as_one(tmp_path):
    """Nobody looks for a wrong owner where the whole disk takes no writes."""
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "none", tmp_path], check=False, capture_output=True
    ).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(ConfigError, match="is on a read-only file system; remount it"):
            StateLock(tmp_path).acquire()
    finally:
        subprocess.run(["umount", tmp_path], check=True)
