"""The sandbox's page can be followed line by line."""

import asyncio
import re
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from adapters.sandbox import SandboxOptions
from adapters.sandbox.control.scenario import read, shipped

ROOT = Path(__file__).parents[2]
README = (ROOT / "docs/sandbox.md").read_text()
PORTS = ("9500", "9501", "9502", "9503")
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
PATIENCE = 30


def blocks(language: str) -> list[str]:
    """Take the code of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def session() -> list[tuple[str, str]]:
    """List each command with the answer that is printed under it."""
    told = []
    for block in blocks("console"):
        for part in block.removeprefix("$ ").split("\n$ "):
            lines = part.rstrip("\n").split("\n")
            told.append(("\n".join(lines[:-1]), lines[-1]))
    return told


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[str]]]:
    """Run the command as a user does, on ports of its own; give its process and what it said first."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "daemon", "sandbox", "--port", "0", *arguments, stdout=PIPE, cwd=ROOT
    )
    try:
        async with asyncio.timeout(PATIENCE):
            lines = [(await process.stdout.readline()).decode() for _ in range(8)]
        yield process, lines
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def places(lines: list[str]) -> dict[str, str]:
    """Say which port of the README is which of the ports that were taken."""
    found = [
        re.search(r"http://127\.0\.0\.1:(\d+)", "".join(line for line in lines if line.startswith(name)))[1]
        for name in ("page", "amazon.endpoint", "shops", "easypost")
    ]
    return dict(zip(PORTS, found, strict=True))


async def run(command: str) -> str:
    """Run a command in a shell."""
    process = await asyncio.create_subprocess_exec("bash", "-c", command, stdout=PIPE)
    out, _ = await process.communicate()
    return out.decode()


async def test_every_line_does_what_it_says():
    """Each command, pasted in order, answers what is printed under it; `…` stands for anything."""
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("it is written for bash and curl")
    assert len(session()) >= 12
    async with started() as (process, lines):
        ports = places(lines)
        for told, printed in session():
            command = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: ports[port[0]], told)
            answer = await run(command)
            wanted = ".*".join(re.escape(piece) for piece in printed.split(ELLIPSIS))
            assert re.fullmatch(wanted, answer, re.DOTALL), f"{command}\n{answer}"
        process.terminate()
        assert await process.wait() == 0


def test_the_configuration_for_mcfd_is_right(tmp_path):
    """The files that are shown for mcfd itself pass its check, and name the sandbox's places and credentials."""
    mcfd = tmp_path / "bin/mcfd"
    mcfd.parent.mkdir()
    mcfd.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m daemon "$@"\n')
    mcfd.chmod(0o755)
    (script,) = blocks("sh")
    script = script.replace("mcfd run --config config.yaml", f"mcfd check --config {tmp_path}/config.yaml")
    checked = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env={"PATH": f"{mcfd.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert "the configuration is good" in checked.stdout, checked.stderr
    options = SandboxOptions()
    secrets = {file.name: file.read_text().strip() for file in (tmp_path / "secrets").iterdir()}
    assert secrets["amazon_client_secret"] == options.client_secret
    assert secrets["amazon_return_service_id"] == options.return_service_id
    assert secrets["loop_webhook_secrets.acme"] == options.webhook_secret
    assert all(f":{port}" in script for port in PORTS[1:3])


async def test_the_commands_options_reach_the_sandbox():
    """The time factor shortens what the vendors document, and the places that are told are those that answer."""
    async with started("--time-factor", "0.5", "--seed", "3", "--webhook-url", "http://127.0.0.1:9/h") as (_, lines):
        ports, options = places(lines), SandboxOptions()
        form = {"grant_type": "refresh_token", "refresh_token": options.refresh_token}
        form |= {"client_id": options.client_id, "client_secret": options.client_secret}
        async with aiohttp.ClientSession() as session:
            async with session.post(f"http://127.0.0.1:{ports['9501']}/auth/o2/token", data=form) as answer:
                assert (await answer.json())["expires_in"] == 1800
            async with session.get(f"http://127.0.0.1:{ports['9500']}/control/snapshot") as answer:
                webhooks = (await answer.json())["loop"]["webhooks"]
                assert {webhook["url"] for webhook in webhooks} == {"http://127.0.0.1:9/h"}


async def test_a_scenario_is_played_by_the_command(tmp_path):
    """The command plays a file, tells each step, and ends with 1 and a sentence when one cannot be done."""
    path = tmp_path / "mine.yaml"
    path.write_text(blocks("yaml")[0].replace("within: 60", "within: 0"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "daemon",
        "sandbox",
        "--port",
        "0",
        "--scenario",
        str(path),
        "--pace",
        "0",
        stdout=PIPE,
        stderr=PIPE,
        cwd=ROOT,
    )
    out, err = await process.communicate()
    assert process.returncode == 1
    assert "submit_return = 58120001" in out.decode()
    assert "step 3, receive: no unit of 'SOCK' is on its way" in err.decode()


async def test_a_scenario_with_mistakes_is_refused_by_the_command(tmp_path):
    """What is wrong with the file is told before anything listens, with exit code 78."""
    path = tmp_path / "wrong.yaml"
    path.write_text("steps: [{levitate: {}}]")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "daemon", "sandbox", "--scenario", str(path), stdout=PIPE, stderr=PIPE, cwd=ROOT
    )
    out, err = await process.communicate()
    assert (process.returncode, out) == (78, b"")
    assert f"{path}: step 1: one operation of the control API is needed" in err.decode()


def test_the_scenario_that_is_shown_can_be_read():
    """The example is without mistakes."""
    (text,) = blocks("yaml")
    assert len(read(text).steps) == 3


def test_the_shipped_scenarios_are_named():
    """Every scenario that is shipped is named."""
    assert all(f"`{name}`" in README for name in shipped())


def test_the_credentials_are_the_sandboxes():
    """The table of credentials is what the sandbox takes."""
    table = README.split("| credential |")[1].split("\n\n")[0]
    told = {value.replace("\\|", "|") for value in re.findall(r"\| `(.*?)` \|", table)}
    options = SandboxOptions()
    assert told == {
        options.client_id,
        options.client_secret,
        options.refresh_token,
        options.return_service_id,
        options.loop_api_key,
        options.webhook_secret,
        options.easypost_api_key,
        options.easypost_test_key,
        options.easypost_webhook_secret,
    }
