"""`mcfd demo`: it ends as it should, and when it is stopped, it leaves nothing behind."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.daemon_process import ROOT
from tests.e2e.world import until

pytestmark = pytest.mark.timeout(120)


async def demo(folder: Path, *options: str) -> asyncio.subprocess.Process:
    """Start it, with a place of its own for what it keeps."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "daemon", "demo", *options),
        cwd=ROOT,
        env={"PATH": os.defpath, "TMPDIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.long
async def test_every_story_ends_as_it_should(tmp_path):
    """The demo tells all its returns to their end, and leaves nothing behind."""
    process = await demo(tmp_path)
    said, complaints = await process.communicate()
    assert process.returncode == 0, said.decode() + complaints.decode()
    assert b"All 8 stories ended as they should." in said
    assert b"waits in Needs Review" in said
    assert list(tmp_path.iterdir()) == []


async def test_a_demo_that_is_stopped(tmp_path):
    """SIGTERM ends it at once, and its secrets go with it."""
    process = await demo(tmp_path)
    await until("it has begun", lambda: list(tmp_path.glob("mcfd-demo-*/mcfd.db")))
    process.send_signal(signal.SIGTERM)
    _, complaints = await process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert b"Traceback" not in complaints
    assert list(tmp_path.iterdir()) == []


@pytest.mark.volume
@pytest.mark.timeout(480)
async def test_a_shop_to_click_through(tmp_path):
    """The console's demo fills a shop, says where its pages are, and leaves nothing behind when it is stopped."""
    process = await demo(tmp_path, "--console")
    said = b""
    while b"Ctrl-C" not in said:
        line = await process.stdout.readline()
        assert line, said
        said += line
    address = re.search(rb"Console +(\S+)", said)[1].decode()
    async with aiohttp.ClientSession() as session, session.get(address) as page:
        assert "Log in" in await page.text()
    process.send_signal(signal.SIGTERM)
    _, complaints = await process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert b"Traceback" not in complaints
    assert list(tmp_path.iterdir()) == []
