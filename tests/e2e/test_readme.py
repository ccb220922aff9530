"""The chapters on operating mcfd can be followed line by line."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.certificates import Authority
from tests.e2e.daemon_process import ROOT, DaemonProcess
from tests.e2e.gate import gated, webhook_url
from tests.e2e.test_doctor import lines
from tests.e2e.world import SHOP, SOCK, World, until, world

pytestmark = pytest.mark.timeout(120)

README = (ROOT / "docs/operating.md").read_text()


def chapter(title: str) -> str:
    """From a heading to the next one."""
    return re.split(r"\n#{2,3} ", README.split(f"# {title}\n", 1)[1])[0]


def block(text: str, language: str) -> str:
    """The first block of that language, without its indentation."""
    indented = re.search(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    assert indented
    return re.sub(rf"(?m)^{indented[1]}", "", indented[2])


def rows(text: str, header: str) -> list[list[str]]:
    """The rows of the table that begins so."""
    table = text.split(f"| {header} |", 1)[1].splitlines()[2:]
    end = next((n for n, line in enumerate(table) if not line.startswith("|")), len(table))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[:end]]


def shell(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script of the README below a folder; what needs root or a package index does nothing."""
    for path in (
        "/opt/mcfd",
        "/usr/local/bin",
        "/etc/mcfd",
        "/etc/systemd/system",
        "/var/lib/mcfd",
        "/var/backups",
        "/root/mcfd-shadow",
    ):
        script = re.sub(rf"(?<![\w/]){path}(?![\w-])", str(folder) + path, script)
    away = "apt-get() { :; }; systemctl() { :; }; python3() { :; }\n"
    path = f"{folder}/usr/local/bin:/usr/bin:/bin"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", away + script],
        cwd=ROOT,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The folders of a machine, with a pip that installs this very mcfd."""
    for name in ("opt/mcfd/bin", "usr/local/bin", "etc/systemd/system", "var/lib", "var/backups", "root"):
        (tmp_path / name).mkdir(parents=True)
    pip, mcfd = tmp_path / "opt/mcfd/bin/pip", tmp_path / "opt/mcfd/bin/mcfd"
    pip.write_text(
        f"#!/bin/sh\nprintf '#!/bin/sh\\ncd {ROOT}; exec {sys.executable} -m daemon \"$@\"\\n' > {mcfd}\nchmod +x {mcfd}\n"
    )
    pip.chmod(0o755)
    return tmp_path


def test_the_installation(machine: Path):
    """Fewer than ten commands leave everything in its place, private where it must be; `check` names what is missing.

    Repeated, as after an upgrade, they leave configuration and secrets alone.
    """
    script = block(chapter("Install"), "sh")
    assert len(script.splitlines()) < 10
    ran = shell(script, machine)
    assert ran.returncode == 0, ran.stderr
    secrets, config = machine / "etc/mcfd/secrets", machine / "etc/mcfd/config.yaml"
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in secrets.iterdir()} == dict.fromkeys(
        ("vault_keys", "ops_token"), 0o600
    )
    assert (machine / "etc/systemd/system/mcfd.service").read_bytes() == (ROOT / "mcfd.service").read_bytes()

    config.write_text(config.read_text() + "\n# mine\n")
    before = {file: file.read_bytes() for file in (config, *secrets.iterdir())}
    again = shell(script, machine)
    assert again.returncode == 0, again.stderr
    assert {file: file.read_bytes() for file in before} == before

    check = f"mcfd check --config {config}"
    first = shell(check, machine)
    assert first.returncode == 0, "the vendors' secrets may be given later"
    for name in ("amazon_client_secret", f"loop_api_key.{SHOP}"):
        assert f"secret {name}: is not in" in first.stdout + first.stderr
    for name in ("amazon_client_secret", f"loop_api_key.{SHOP}"):
        written = shell(f"echo of-{name} | install -m 600 /dev/stdin {secrets / name}", machine)
        assert written.returncode == 0, written.stderr
        assert (secrets / name).stat().st_mode & 0o777 == 0o600
    assert shell(check, machine).returncode == 0


def test_an_instance_for_each_seller(machine: Path):
    """The lines put the template in its place, and make a directory of its own that only root can look into."""
    script = block(chapter("Install").split("**Several instances.**")[1], "sh")
    ran = shell(script, machine)
    assert ran.returncode == 0, ran.stderr
    assert (machine / "etc/systemd/system/mcfd@.service").read_bytes() == (ROOT / "mcfd@.service").read_bytes()
    assert (machine / "etc/mcfd/acme/secrets").stat().st_mode & 0o777 == 0o700


def test_a_vault_key_is_added(machine: Path):
    """The command of the chapter puts a new key above the ones that are there, and lets nobody read them."""
    assert shell(block(chapter("Install"), "sh"), machine).returncode == 0
    keys = machine / "etc/mcfd/secrets/vault_keys"
    (old,) = keys.read_text().split()
    ran = shell(block(chapter("Look after it").split("**Vault keys.**")[1], "sh"), machine)
    assert ran.returncode == 0, ran.stderr
    new, kept = keys.read_text().split()
    assert (kept, keys.stat().st_mode & 0o777) == (old, 0o600)
    assert new != old


def test_a_shadow_is_made_ready(machine: Path):
    """The shadow's configuration differs from the daemon's by its place alone."""
    assert shell(block(chapter("Install"), "sh"), machine).returncode == 0
    example = machine / "etc/mcfd/config.yaml"
    example.write_text(example.read_text().replace("/var/lib/mcfd/", f"{machine}/var/lib/mcfd/"))
    script = block(chapter("Taking over from a hosted integration"), "sh")
    ready, run = script.rsplit("mcfd run", 1)
    ran = shell(ready, machine)
    assert ran.returncode == 0, ran.stderr
    made = yaml.safe_load((machine / "root/mcfd-shadow/config.yaml").read_text())
    installed = yaml.safe_load((machine / "etc/mcfd/config.yaml").read_text())
    assert made == installed | {"store": installed["store"] | {"path": made["store"]["path"]}}
    assert made["store"]["path"].endswith("/root/mcfd-shadow/mcfd.db")
    assert "--shadow --config /root/mcfd-shadow/config.yaml --secrets /etc/mcfd/secrets" in run


async def test_a_backup_is_restored(tmp_path: Path):
    """After the restore's commands, on what a crash left behind, mcfd goes on with what the backup knows."""
    script = block(chapter("Look after it").split("**Restore.**")[1], "sh")
    async with world(tmp_path) as w:
        kept = w.submit("#7101", SOCK)
        await w.labelled(kept)
        (tmp_path / "var/backups/mcfd").mkdir(parents=True)
        assert (await w.daemon.cli("backup", "--keep", "14", str(tmp_path / "var/backups/mcfd"))).status == 0
        later = w.submit("#7102", SOCK)
        await w.labelled(later)
        await w.daemon.sigkill()
        assert (w.daemon.state / "mcfd.db-wal").exists()
        (tmp_path / "var/lib").mkdir()
        (tmp_path / "var/lib/mcfd").symlink_to(w.daemon.state)
        stopped, last = script.split("systemctl start mcfd\n")
        ran = shell(ours(w) + stopped, tmp_path)
        assert ran.returncode == 0, ran.stderr
        assert not (w.daemon.state / "mcfd.db-wal").exists()
        assert (w.daemon.state / "mcfd.db").stat().st_mode & 0o777 == 0o600
        await w.restart()
        adopted = await asyncio.to_thread(shell, ours(w) + last, tmp_path)
        assert adopted.returncode == 0, adopted.stderr
        await _ends(w, kept)
        await _ends(w, later)
        assert [w.portal(ret)["counts"] for ret in (kept, later)] == [{"process": 1}] * 2


async def test_a_hosted_integration_is_taken_over(tmp_path: Path):
    """Followed step by step: beside the hosted integration nothing is done twice, and after it nothing is left."""
    told = chapter("Taking over from a hosted integration")
    off = yaml.safe_load(block(told, "yaml"))
    async with world(tmp_path, shop=off) as w:
        under_way, new = w.submit("#7201", SOCK), w.submit("#7202", SOCK)
        for return_id in (under_way, new):
            w.sandbox.answer_as_hosted(return_id)
        adopted = await asyncio.to_thread(shell, ours(w) + block(told.split("4. Take over")[1], "sh"), tmp_path)
        assert adopted.returncode == 0, adopted.stdout + adopted.stderr
        await w.receive(under_way, SOCK)
        await w.state(under_way, "closed")
        assert w.portal(under_way)["counts"] == {}
        await until("the note", lambda: any("somebody else decides" in note for note in w.notes(under_way)))

        w.daemon.config["shops"][SHOP]["features"] = dict.fromkeys(off["features"], True)
        await w.restart()
        await _ends(w, new)
        await _ends(w, w.submit("#7203", SOCK))
        assert w.portal(new)["counts"] == {"process": 1}
        assert w.portal(under_way)["counts"] == {}


def ours(w: World) -> str:
    """The command, with the configuration of a test."""
    return f'mcfd() {{ {sys.executable} -m daemon "$@" --config {w.daemon.known_config()} --secrets {w.daemon.secret_folder}; }}\n'


async def _ends(w: World, return_id: int) -> None:
    await w.receive(return_id, SOCK)
    await w.state(return_id, "closed")


async def test_each_step_of_the_onboarding_has_its_line(tmp_path: Path):
    """Every line of the doctor that the table of steps names is really there."""
    authority = Authority(tmp_path)
    told = " ".join(row[-1] for row in rows(chapter("Onboarding"), "step"))
    named = {name.replace("SHOP", SHOP) for name in re.findall(r"`([^`]+: [^`]+)`", told)}
    assert len(named) > 10
    async with gated(tmp_path, tls=authority.server(days=60), shop={"destinations": [6021]}) as (w, gate):
        w.daemon.environment = {"SSL_CERT_FILE": str(authority.file)}
        await w.daemon.start()
        w.sandbox.set_webhook_url(webhook_url(gate))
        found = {": ".join(pair) for pair in lines(await w.daemon.cli("doctor", "--json"))}
    found.add(f"{SHOP}: scope …")
    assert named - found == set()


def test_every_message_is_one_that_mcfd_says():
    """The texts in the table of messages are in the code, whatever stands for … in them."""
    sources = [path.read_text() for room in ("daemon", "adapters", "config") for path in (ROOT / room).rglob("*.py")]
    for messages, advice in rows(chapter("Look after it"), "message"):
        assert advice
        for message in re.findall(r"`([^`]+)`", messages) or [messages]:
            parts = [part.strip() for part in message.split("…") if part.strip(" ()")]
            assert any(all(part in text for part in parts) for text in sources), message


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_scrape_configuration(tmp_path: Path):
    """Prometheus takes the example as it is, with the alerts beside it."""
    (tmp_path / "prometheus.yml").write_text(block(chapter("Look after it"), "yaml"))
    shutil.copy(ROOT / "config/prometheus-alerts.yaml", tmp_path / "mcfd-alerts.yaml")
    checked = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def test_a_node_is_added(tmp_path: Path, postgres):
    """Two daemons with the lines of the chapter share a database; one works the account, and `mcfd status` says which."""
    text = chapter("Several nodes")
    told = yaml.safe_load(block(text, "yaml"))
    listen = dict.fromkeys(told["listen"], "127.0.0.1:0")
    config = told | {"store": {"url": postgres.new_database()}, "listen": listen | {"ops": "127.0.0.1:0"}}
    async with world(tmp_path, config=config) as w:
        (tmp_path / "second").mkdir()
        added = DaemonProcess(tmp_path / "second", w.daemon.config, w.daemon.secrets)
        await added.start()
        assert [(await node.ops("/readyz"))[0] for node in (w.daemon, added)] == [200, 200]
        assert "`mcfd status` shows who works what" in text

        async def shown() -> list[str]:
            nodes = (await added.cli("status", "--json")).json["nodes"]
            return [node["node"] for node in nodes if node["accounts"] == ["main"]]

        assert len(await until("who works the account", shown)) == 1
        assert await added.sigterm() == 0
