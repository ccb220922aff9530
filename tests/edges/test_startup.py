"""What each kind of command loads: a shell that completes a word and a person who asks wait for nothing they do not use."""

import asyncio
import base64
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest
import yaml

from adapters.sqlite.store import open_store

ROOT = Path(__file__).parents[2]
WORK = {"aiohttp", "cryptography", "prometheus_client", "reportlab", "pypdf", "PIL", "asyncio_throttle", "aiobotocore"}
LOOP = {"asyncio", "uvloop", "structlog", "aiosqlite", "sqlite3"}
RULES = {
    "daemon.engine.workflow",
    "daemon.app.app",
    "daemon.app.accounts",
    "daemon.operations.returns",
}
READING = {"config.load", "yaml", "rich"}

PROGRAM = """
import json, sys
from daemon.cli.main import main
sys.stdout = sys.stderr
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)), file=sys.__stdout__)
"""


@pytest.fixture
async def config(tmp_path) -> Path:
    """A configuration whose daemon is down, and has run before."""
    (tmp_path / "secrets").mkdir(mode=0o700)
    (tmp_path / "state").mkdir(mode=0o700)
    secrets = {
        "amazon_client_secret": "amzn1.oa2-cs.v1.abcdefgh",
        "loop_api_key.acme": "key-abcdefghijklmnop",
        "vault_keys": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "ops_token": "token-abcdefghijklmnop",
    }
    for name, value in secrets.items():
        (tmp_path / "secrets" / name).touch(mode=0o600)
        (tmp_path / "secrets" / name).write_text(value)
    file = tmp_path / "config.yaml"
    document = {
        "public_url": "https://returns.example.org",
        "listen": {"public": "127.0.0.1:0", "ops": "127.0.0.1:9"},
        "store": {"path": str(tmp_path / "state" / "mcfd.db")},
        "amazon": {"client_id": "amzn1.application-oa2-client.x"},
        "shops": {"acme": {}},
    }
    file.write_text(yaml.safe_dump(document))
    async with await open_store(tmp_path / "state" / "mcfd.db"):
        return file


async def loaded(*arguments: object, **environment: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, *map(str, arguments)),
        cwd=ROOT,
        stdout=PIPE,
        stderr=DEVNULL,
        env={**environment, "PATH": os.defpath},
    )
    out, _ = await process.communicate()
    return set(json.loads(out))


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["retry", "--help"], ["keygen"]])
async def test_help_reads_no_configuration(words):
    """Who asks what there is waits neither for the configuration nor for anything that works."""
    assert not await loaded(*words) & (WORK | LOOP | RULES | READING)


async def test_a_completed_word_waits_for_the_table_alone():
    """Completion needs the table of verbs, and nothing that carries them out."""
    asked = {"_MCFD_COMPLETE": "bash_complete", "COMP_WORDS": "mcfd re", "COMP_CWORD": "1"}
    modules = await loaded(**asked)
    assert "daemon.operations.verbs" in modules
    assert not modules & (WORK | LOOP | RULES | READING)


async def test_a_check_reads_the_configuration_alone(config):
    """systemd checks before every start and reload."""
    modules = await loaded("check", "--config", config)
    assert "config.load" in modules
    assert not modules & (WORK | LOOP | RULES | {"rich"})


@pytest.mark.parametrize("words", [["retry", "7"], ["link", "7", "#1"]])
async def test_who_asks_the_daemon_needs_no_event_loop(config, words):
    """A question to the running daemon is one request, without a loop, a store and rules."""
    modules = await loaded(*words, "--config", config)
    assert "adapters.http.ops_client" in modules
    assert not modules & (WORK | RULES | {"asyncio", "uvloop", "aiosqlite", "sqlite3"})


@pytest.mark.parametrize("words", [["status"], ["show", "7"], ["export"], ["backup", "/nowhere/copy.db"]])
async def test_who_reads_a_store_needs_no_vendor(config, words):
    """While no daemon runs, reading the store waits neither for clients of vendors nor for what changes returns."""
    modules = await loaded(*words, "--config", config)
    assert "adapters.sqlite.store" in modules
    assert not modules & (WORK | RULES)
