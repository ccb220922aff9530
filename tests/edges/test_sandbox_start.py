"""What only some need is not loaded by all: the daemon starts without the stand-ins and without the printer."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

ROOT = Path(__file__).parents[2]
LATE = ("adapters.sandbox", "adapters.labels.document", "reportlab", "pypdf", "PIL")


async def test_the_daemon_loads_neither_stand_ins_nor_printer():
    """Whoever runs the daemon pays for them neither time nor memory until they are used."""
    program = (
        f"import json, sys, daemon.app.app, daemon.cli; print(json.dumps([n for n in {LATE} if n in sys.modules]))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE, cwd=ROOT)
    out, _ = await process.communicate()
    assert json.loads(out) == []
