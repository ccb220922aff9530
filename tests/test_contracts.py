"""The contracts of pyproject.toml hold, and notice what they are there for: each is broken in a copy of the tree."""

import ast
import asyncio
import re
import shutil
import sys
import tomllib
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("daemon", "adapters", "config")

PLANTED = {
    "daemon/operations/planted.py": "config.model",
    "daemon/engine/planted.py": "daemon.engine.walker",
    "daemon/engine/handlers/planted.py": "daemon.engine.workflow",
    "daemon/ports/planted.py": "daemon.engine.supervisor",
    "daemon/domain/planted.py": "time",
    "daemon/planted/__init__.py": "adapters.host.clock",
    "daemon/app/planted.py": "aiohttp",
    "daemon/engine/counting.py": "prometheus_client",
    "adapters/host/planted.py": "daemon.operations.returns",
    "adapters/http/planted.py": "adapters.sqlite.store",
    "adapters/sql/planted.py": "sqlite3",
    "adapters/sql/connecting.py": "psycopg",
    "adapters/labels/planted.py": "sqlite3",
    "adapters/labels/drawing.py": "jinja2",
    "adapters/messages/planted.py": "botocore",
    "adapters/planted/__init__.py": "adapters.host.clock",
    "adapters/planted/wire/__init__.py": "aiohttp",
    "adapters/planted/wire/values.py": "adapters.vendor_calls.transport",
    "adapters/sandbox/planted.py": "daemon.domain.returns",
    "adapters/sandbox/reading.py": "adapters.loop_returns.wire.values",
    "config/planted.py": "adapters.host.clock",
    "config/choosing.py": "daemon.app.policies",
    "daemon/cli/planted.py": "tests",
    "config/measuring.py": "bench",
}
"""By new module, what it must not import."""

CIRCLE = {"daemon/domain/transitions/planted.py": "daemon.domain.lifecycle"}
"""A rule that asks the table which asks it."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of what the contracts are about."""
    copied = tmp_path_factory.mktemp("tree")
    for room in ROOMS:
        shutil.copytree(ROOT / room, copied / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copied)
    return copied


@pytest.fixture(scope="module")
def said(tree) -> str:
    """What lint-imports says of the copy with everything planted at once."""
    for path, forbidden in (PLANTED | CIRCLE).items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(f"import {forbidden}\n")
    return asyncio.run(_lint(tree))


async def _lint(tree: Path) -> str:
    lint = Path(sys.executable).with_name("lint-imports")
    process = await asyncio.create_subprocess_exec(lint, "--no-cache", cwd=tree, stdout=PIPE, stderr=STDOUT)
    output, _ = await process.communicate()
    assert process.returncode == 1
    return output.decode()


@pytest.mark.parametrize(("path", "forbidden"), PLANTED.items(), ids=PLANTED)
def test_a_violation_is_seen(said, path, forbidden):
    """A new module that imports what it must not breaks a contract, which names it."""
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert re.search(rf"^-? *{re.escape(module)} -> {re.escape(forbidden)}\b", said, re.MULTILINE), said[-3000:]


def test_a_circle_is_seen(said):
    """Two parts of a room that need each other are named with their room."""
    assert "No cycles are allowed in daemon.domain." in said


def test_every_contract_is_broken_by_something(said):
    """No contract is there that nothing planted breaks."""
    kept = re.findall(r"^(.+) KEPT", said, re.MULTILINE)
    assert kept == []


PURE = {
    *("abc", "base64", "binascii", "bisect", "collections", "contextlib", "dataclasses", "datetime", "decimal", "enum"),
    *(
        "fnmatch",
        "fractions",
        "functools",
        "hashlib",
        "heapq",
        "hmac",
        "html",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
    ),
    *("string", "textwrap", "types", "typing", "unicodedata", "urllib"),
}
"""Modules of Python that neither wait nor look around."""


@pytest.mark.parametrize("room", ["daemon/domain", "adapters/*/wire"])
def test_pure_rooms_import_what_is_pure(room):
    """Rules and wires import of Python only what computes."""
    strange = {
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ROOT.glob(room)
        for path in folder.rglob("*.py")
        for name in _imported(path)
        if name.partition(".")[0] not in {*PURE, *ROOMS} or name == "urllib.request"
    }
    assert strange == set()


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_every_package_is_under_contract():
    """Whatever is installed is a root of the contracts."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    installed = tools["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(installed) == set(tools["importlinter"]["root_packages"]) == set(ROOMS)
