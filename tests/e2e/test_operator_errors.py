"""What an operator can get wrong: one clear line, the right exit code, never a traceback."""

import asyncio
import base64
import os
import shlex
import signal
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from adapters.sqlite.lock import StateLock
from adapters.sqlite.store import open_store
from daemon.cli.main import main
from tests.e2e.daemon_process import ROOT, DaemonProcess, Said
from tests.e2e.world import SHOP, SOCK, until, vendors

pytestmark = pytest.mark.timeout(120)

NOBODY = 65534
NOWHERE = "http://127.0.0.1:9"
Prepare = Callable[[DaemonProcess], Any]


@pytest.fixture
def daemon(tmp_path: Path) -> DaemonProcess:
    """A good configuration whose vendors are not there; nothing runs."""
    config = {
        "public_url": "https://returns.example.org",
        "listen": {"public": "127.0.0.1:0", "ops": "127.0.0.1:9"},
        "store": {"path": str(tmp_path / "state" / "mcfd.db")},
        "amazon": {"client_id": "amzn1.application-oa2-client.x", "endpoint": NOWHERE, "lwa_endpoint": NOWHERE},
        "shops": {SHOP: {"api_url": NOWHERE}},
    }
    secrets = {
        "amazon_client_secret": "amzn1.oa2-cs.v1.abcdefgh",
        f"loop_api_key.{SHOP}": "key-abcdefghijklmnop",
        "vault_keys": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "ops_token": "token-abcdefghijklmnop",
    }
    made = DaemonProcess(tmp_path, config, secrets)
    made.write_files()
    return made


@pytest.fixture
async def stopped(daemon: DaemonProcess) -> DaemonProcess:
    """The same, and mcfd was started here before."""
    async with await open_store(daemon.state / "mcfd.db"):
        return daemon


async def told(daemon: DaemonProcess, *arguments: str) -> Said:
    """What the command says; its secrets are in no text, and nobody sees a traceback."""
    said = await daemon.command(*arguments)
    assert "Traceback" not in said.stdout + said.stderr
    for secret in daemon.secrets.values():
        assert secret not in said.stdout + said.stderr
    return said


def where(daemon: DaemonProcess) -> tuple[str, str]:
    """The configuration alone: its secrets lie beside it."""
    return "--config", str(daemon.config_file)


# ---- arguments


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run", "--bogus"], "No such option '--bogus'"),
        (["show"], "Missing argument 'RETURN'"),
        (["retry"], "Missing argument 'RETURN...'"),
        (["link", "7"], "Missing argument 'ORDER...'"),
        (["backup", "/"], "is a directory"),
        (["sandbox", "--port", "70000"], "is not in the range"),
        (["export", "--since", "yesterday"], "does not match the format"),
        (["export", "--report", "everything"], "is not one of"),
        (["export", "--csv", "--json"], "exclude each other"),
    ],
)
async def test_wrong_arguments(daemon, arguments, text):
    """Wrong usage exits 2 and names what is wrong."""
    said = await told(daemon, *arguments)
    assert (said.status, said.stdout) == (2, "")
    assert text in said.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--scenario", "nope"], "nope: neither a file nor a shipped scenario (bad_day, clean, damaged, hosted, shop)"),
        (["--webhook-url", "nonsense"], "webhook_url is no URL; write one like http://"),
    ],
)
async def test_a_sandbox_that_cannot_be_set_up(daemon, arguments, text):
    """What the sandbox cannot take is told in one line, and exits as any wrong configuration does."""
    said = await told(daemon, "sandbox", "--port", "0", *arguments)
    assert (said.status, said.stdout) == (78, "")
    assert text in said.stderr
    assert len(said.stderr.splitlines()) == 1


# ---- the configuration file


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty; start from config.example.yaml"),
        (b"public_url: x\n\tlisten: y\n", "a tab cannot indent; use blanks (line 2"),
        (b"shops: [acme\n", "close each that is open"),
        (b"- a\n- b\n", "config file: "),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"\x00\x01", "config file: "),
        (b"just words", "config file: "),
    ],
)
async def test_a_broken_file(daemon, content, text):
    """A file that is no configuration exits 78, in one line that says what to do."""
    daemon.config_file.write_bytes(content)
    said = await told(daemon, "status", *where(daemon))
    assert (said.status, said.stdout) == (78, "")
    assert text in said.stderr
    assert len(said.stderr.splitlines()) == 1


async def test_a_byte_order_mark_is_no_mistake(daemon):
    """An editor that writes one is forgiven."""
    daemon.config_file.write_bytes(b"\xef\xbb\xbf" + daemon.config_file.read_bytes())
    said = await told(daemon, "check", *where(daemon))
    assert said.status == 0, said.stderr


def _no_file(daemon: DaemonProcess) -> None:
    daemon.config_file.unlink()


def _a_folder(daemon: DaemonProcess) -> None:
    daemon.config_file.unlink()
    daemon.config_file.mkdir()


def _no_secrets(daemon: DaemonProcess) -> None:
    daemon.secret_folder.rename(daemon.folder / "elsewhere")


def _no_token(daemon: DaemonProcess) -> None:
    (daemon.secret_folder / "ops_token").unlink()


def _token_folder(daemon: DaemonProcess) -> None:
    _no_token(daemon)
    (daemon.secret_folder / "ops_token").mkdir()


def _no_state(daemon: DaemonProcess) -> None:
    daemon.state.rmdir()


def _state_is_a_file(daemon: DaemonProcess) -> None:
    daemon.state.rmdir()
    daemon.state.write_text("")


def _garbage(daemon: DaemonProcess) -> None:
    (daemon.state / "mcfd.db").write_text("garbage")


def _store(path: str) -> Prepare:
    def prepare(daemon: DaemonProcess) -> None:
        daemon.config_file.write_text(yaml.safe_dump(daemon.config | {"store": {"path": path}}))

    return prepare


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        (_no_file, "does not exist; name the file with --config"),
        (_a_folder, "is a directory; name the file in it"),
        (_no_secrets, "secrets does not exist; make it, or name another with --secrets DIR"),
        (_no_token, "secret ops_token: is not in"),
        (_token_folder, "secret ops_token: is not a file"),
        (_no_state, "no such directory: create it"),
        (_state_is_a_file, "is not a directory: store.path must name a file inside a directory"),
        (_garbage, "is not a database: check store.path"),
        (_store("mcfd.db"), "store.path"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "status"])
async def test_what_is_not_there_or_something_else(daemon, prepare, text, verb):
    """Files and directories that cannot be used exit 78, for the daemon and for the command alike."""
    prepare(daemon)
    said = await told(daemon, verb, *where(daemon))
    assert (said.status, said.stdout) == (78, "")
    assert text in said.stderr


async def test_a_directory_that_takes_no_files(daemon):
    """A place in which the database cannot be made exits 78 at the start."""
    _store("/sys/mcfd.db")(daemon)
    said = await told(daemon, "run", *where(daemon))
    assert said.status == 78
    assert "cannot be written" in said.stderr


@pytest.mark.parametrize(
    "verb", [["status"], ["show", "7"], ["webhooks", "sync"], ["export"], ["purge"], ["backup", "/tmp/mcfd.db"]]
)
async def test_before_the_first_start(daemon, verb):
    """Without a database a verb says that there is none yet, and makes nothing that the daemon could not open."""
    said = await told(daemon, *verb, *where(daemon))
    assert (said.status, said.stdout) == (78, "")
    assert "mcfd.db: there is no database yet; the first start of mcfd makes it" in said.stderr
    assert list(daemon.state.iterdir()) == []


@pytest.mark.parametrize("prepare", [_no_state, _state_is_a_file, _store("/sys/mcfd.db")])
async def test_a_shadow_without_a_place(daemon, prepare):
    """A shadow that cannot have its copy beside the store exits 78, too."""
    prepare(daemon)
    said = await told(daemon, "run", "--shadow", *where(daemon))
    assert (said.status, said.stdout) == (78, "")
    assert "cannot be created" in said.stderr
    assert "see store.path" in said.stderr


async def test_a_backup_onto_something_else(stopped, tmp_path):
    """Whatever is no plain file, or no database of mcfd, stays what it is."""
    pipe, text, foreign = tmp_path / "pipe", tmp_path / "text", tmp_path / "books.db"
    os.mkfifo(pipe)
    text.write_text("precious")
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE books (title)")
    before = foreign.read_bytes()
    for target in (pipe, text, foreign):
        said = await told(stopped, "backup", str(target), *where(stopped))
        assert said.status == 1
        assert "is there already and is not a backup of mcfd" in said.stderr
    assert pipe.is_fifo()
    assert text.read_text() == "precious"
    assert foreign.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
@pytest.mark.parametrize("what", ["config", "secrets", "secret", "state", "database"])
async def test_permissions(stopped, what):
    """What mcfd's user may not read or write exits 78 and is named."""
    daemon = stopped
    await told(daemon, "status", *where(daemon))
    path = {
        "config": daemon.config_file,
        "secrets": daemon.secret_folder,
        "secret": daemon.secret_folder / "ops_token",
        "state": daemon.state,
        "database": daemon.state / "mcfd.db",
    }[what]
    path.chmod(0o500 if what == "state" else 0)
    try:
        said = await told(daemon, "status", *where(daemon))
    finally:
        path.chmod(0o700)
    assert said.status == 78
    assert path.name in said.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a while")
@pytest.mark.parametrize("option", ["--config", "--secrets"])
def test_what_another_user_may_not_read(tmp_path, option):
    """A configuration or a directory of secrets that is closed to us is wrong configuration, so that systemd leaves it at that."""
    config, secrets = tmp_path / "config.yaml", tmp_path / "secrets"
    config.write_text("public_url: x")
    secrets.mkdir()
    closed = config if option == "--config" else secrets
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        closed = closed.rename(Path(open_to_all) / closed.name)
        closed.chmod(0)
        where = {"--config": str(config), "--secrets": str(secrets)} | {option: str(closed)}
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            said = CliRunner().invoke(main, ["check", *(word for pair in where.items() for word in pair)])
        finally:
            os.setresuid(0, 0, 0)
    assert said.exit_code == 78, said.output
    assert f"{closed} cannot be" in said.output


# ---- what runs, and what does not


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["show", "99"], "no return 99 is known; give Loop's return id, or shop/id"),
        (["show", "nobody/99"], "no return nobody/99 is known"),
        (["show", ""], "RETURN is empty; give it a value"),
        (["match", "99"], "no daemon answers at"),
        (["link", "99", "#1"], "no daemon answers at"),
        (["retry", "99"], "no daemon answers at"),
        (["replay", "all"], "no daemon answers at"),
        (["authorize", "amazon"], "no daemon answers at"),
        (["webhooks", "sync", "--shop", "nobody"], "there is no shop nobody; there are acme"),
        (["backup", "/nonexistent/mcfd.db"], "No such file or directory"),
    ],
)
async def test_without_a_daemon(stopped, arguments, text):
    """What needs a daemon, a vendor or a return that is not there exits 1, in one line."""
    said = await told(stopped, *arguments, *where(stopped))
    assert (said.status, said.stdout) == (1, "")
    assert text in said.stderr
    assert len(said.stderr.splitlines()) == 1


async def test_a_shop_that_cannot_be_asked(stopped):
    """It is named among the answers, so that others are still listed, and the exit code tells."""
    said = await told(stopped, "webhooks", "list", *where(stopped))
    assert (said.status, "cannot connect" in said.stdout) == (1, True)


async def test_the_state_directory_is_held(stopped):
    """While another process holds the state directory every verb that needs it exits 75 and says who."""
    with StateLock(stopped.state):
        for verb in (["run"], ["status"], ["export"], ["purge"]):
            said = await told(stopped, *verb, *where(stopped))
            assert said.status == 75
            assert f"another mcfd (pid {os.getpid()}) holds" in said.stderr


@pytest.mark.parametrize("listener", ["public", "ops"])
async def test_a_port_in_use(daemon, listener):
    """A port that is taken, or an address that is not this machine's, exits 1 and names the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for wrong, text in ((address, "the port is taken"), ("203.0.113.7:8080", "is no address of this machine")):
            listen = {"public": "127.0.0.1:0", "ops": "127.0.0.1:0"} | {listener: wrong}
            daemon.config_file.write_text(yaml.safe_dump(daemon.config | {"listen": listen}))
            said = await told(daemon, "run", *where(daemon))
            assert said.status == 1
            assert said.stderr.splitlines()[-1].startswith(f"mcfd: listen.{listener} {wrong}: {text}")


async def test_a_sandbox_without_its_ports(daemon):
    """A port that the sandbox cannot have, or a host that is nowhere, is named with the option that changes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(min(taken.getsockname()[1], 65533))
        said = await told(daemon, "sandbox", "--port", port)
        assert said.status == 1
        assert f"mcfd: the sandbox at 127.0.0.1:{port}" in said.stderr
        assert "give --host or --port" in said.stderr
    said = await told(daemon, "sandbox", "--host", "256.1.1.1")
    assert "256.1.1.1:9500 and up: the host is not known here; give --host or --port" in said.stderr


async def test_a_wrong_token_and_a_dead_daemon(tmp_path):
    """Another ops token is refused in words; a daemon that hangs is told as one that does not answer."""
    async with vendors(tmp_path) as w:
        await w.daemon.start()
        right = w.daemon.secrets["ops_token"]
        w.daemon.secrets["ops_token"] = "another-token-of-the-same-length"
        refused = await w.daemon.cli("status")
        assert (refused.status, refused.stdout) == (1, "")
        assert "the ops token is missing or wrong" in refused.stderr
        w.daemon.secrets["ops_token"] = right
        await w.daemon.sigkill()
        assert (await w.daemon.cli("status")).status == 0
        assert (await w.daemon.cli("retry", "7")).status == 1


async def test_a_terminal_that_knows_few_letters(tmp_path):
    """What a terminal cannot show is a question mark; what a program reads is UTF-8 all the same."""
    async with vendors(tmp_path) as w:
        await w.daemon.start()
        name = "#1001-\u9580"
        return_id = w.submit(name, SOCK)
        await until("it is known", lambda: w.daemon.heard("return.heard"))
        w.daemon.environment["PYTHONIOENCODING"] = "latin-1"
        shown = await w.daemon.cli("show", str(return_id))
        assert (shown.status, "Traceback" in shown.stderr) == (0, False)
        exported = await w.daemon.cli("export", "--csv")
        assert (exported.status, "Traceback" in exported.stderr) == (0, False)
        assert name in exported.stdout


async def test_something_else_at_the_ops_port(daemon):
    """A server that is not mcfd is not taken for the daemon."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        listen = {"public": "127.0.0.1:0", "ops": f"127.0.0.1:{other.getsockname()[1]}"}
        daemon.config_file.write_text(yaml.safe_dump(daemon.config | {"listen": listen}))
        other.settimeout(10.0)
        process = await daemon._spawn("status", *where(daemon))
        peer, _ = other.accept()
        peer.recv(100)
        peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        peer.close()
        again, _ = other.accept()
        again.close()
        _, said = await process.communicate()
        assert process.returncode == 1
        assert b"does not answer as mcfd does" in said
        assert b"Traceback" not in said


async def test_interrupted(tmp_path):
    """Ctrl-C ends the daemon as SIGTERM does."""
    async with vendors(tmp_path) as w:
        await w.daemon.start()
        w.daemon.signal(signal.SIGINT)
        assert await w.daemon.ended() == 0
        assert not w.daemon.complaints


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
async def test_closed_streams(stopped, closed):
    """Whoever closes the command's streams loses what it says, and nothing else."""
    words = [sys.executable, "-m", "daemon", "status", *where(stopped)]
    process = await asyncio.create_subprocess_shell(f"{shlex.join(words)} {closed}", cwd=ROOT)
    assert await process.wait() == 0


async def test_the_shell_completes():
    """The completion script is there for each shell, and verbs are completed."""
    for shell in ("zsh", "fish"):
        assert "_MCFD_COMPLETE" in await _mcfd(_MCFD_COMPLETE=f"{shell}_source")
    completed = await _mcfd(_MCFD_COMPLETE="bash_complete", COMP_WORDS="mcfd re", COMP_CWORD="1")
    verbs = ("ready", "reasons", "rename", "replay", "resolve", "restore", "resume", "retry")
    assert completed.split() == [f"plain,{verb}" for verb in verbs]


async def _mcfd(**environment: str) -> str:
    """What the installed command prints."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("mcfd"),
        env={"PATH": os.defpath, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    printed, _ = await process.communicate()
    return printed.decode()
