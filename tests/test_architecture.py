"""What README, docs and pyproject say of the project is so."""

import ast
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from adapters.host.metrics import PrometheusMetrics
from config.durations import parse_duration
from config.model import SellerAccount, Settings
from config.model import Timings as ConfiguredTimings
from config.shop import Shop
from daemon.app.policies import verdict_policy
from daemon.cli.main import main
from daemon.domain.lifecycle import TRANSITIONS
from daemon.domain.returns import MISSING, State
from daemon.domain.schedule import Timings

ROOT = Path(__file__).parents[1]
README = "\n".join(path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))))
"""All that is told: the README, and the pages of docs/ that it leads to."""
LONGEST = 40
DECLARATIONS = {"metrics.py:__init__"}
"""Functions that list things, one after the other, and decide nothing."""
NONE = "\N{EN DASH}"


def table(first_column: str) -> list[list[str]]:
    """The rows of the README's table whose header begins with that column."""
    lines = README.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def ways() -> dict[tuple[str, str], set[str]]:
    """Which events lead from one state to another."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for state, events in TRANSITIONS.items():
        for event, targets in events.items():
            for target in targets:
                found[state.value, target.value].add(event.__name__)
    return found


def test_the_state_diagram_is_the_table_of_ways():
    """Every way between two states is drawn, or its event is in the table of what can happen anywhere."""
    anywhere = {row[0] for row in table("event")}
    drawn = {
        (match[1], match[2]): set(match[3].split(", "))
        for match in re.finditer(r"^    (\w+) --> (\w+): (.+)$", README, re.MULTILINE)
    }
    expected = {pair: events - anywhere for pair, events in ways().items() if pair[0] != pair[1]}
    assert drawn == {pair: events for pair, events in expected.items() if events}


def test_the_events_of_many_states_are_told_with_their_states():
    """The table of what can happen in many states names just the states it can happen in and lead to."""
    for event, _, before, after in table("event"):
        assert set(before.split(", ")) == {s for (s, _), events in ways().items() if event in events}
        assert set(after.split(", ")) == {t for (_, t), events in ways().items() if event in events}


def test_every_state_is_drawn():
    """No state is left out of the picture."""
    picture = README.split("stateDiagram-v2")[1].split("```")[0] + " ".join(row[3] for row in table("event"))
    assert {state.value for state in State} <= set(re.findall(r"\w+", picture))


def test_the_clocks_have_the_defaults_that_the_readme_gives():
    """The README's table of clocks names every clock of the rules, with its default."""
    told = {row[0]: parse_duration(row[1]) for row in table("key")}
    configured = ConfiguredTimings()
    assert told == {name: getattr(configured, name) for name in Timings.__dataclass_fields__}


def test_the_outcomes_are_the_defaults_of_a_shop():
    """The README's table of findings is the verdict and the grades of a shop that changes nothing."""
    policy = verdict_policy(Shop())
    for finding, counts_as, grade, disposition in table("finding"):
        treatment = {
            "missing": policy.missing,
            "not_returnable": policy.not_returnable,
            "condition absent": policy.absent,
        }
        assert treatment.get(finding, policy.conditions.get(finding)) == counts_as
        entry = policy.grades.get(finding)
        assert (
            (entry.grade, entry.disposition) == (grade, disposition) if entry else (grade, disposition) == (NONE, NONE)
        )
    assert {row[0] for row in table("finding")} >= {*policy.conditions, MISSING}


def test_every_verb_is_told():
    """The README's table of verbs is the command's."""
    assert {row[0].split()[1] for row in table("verb")} == set(main.commands)


def test_every_metric_is_told_and_exists():
    """The README's table of metrics is what a scrape shows."""
    metrics = PrometheusMetrics("1")
    metrics.watch("mcfd_bucket_tokens", "help", ("account", "operation"), lambda: {("main", "x"): 1.0})
    metrics.watch("mcfd_clock_ahead_seconds", "help", ("vendor",), lambda: {("x",): 1.0})
    metrics.watch("mcfd_returns_to_adopt", "help", ("account", "shop"), lambda: {("x", "y"): 1.0})
    metrics.watch("mcfd_shop_paused", "help", ("account", "shop"), lambda: {("main", "x"): 1.0})
    metrics.share(["main"], lambda _account: True)
    names = {
        family.name + ("_total" if family.type == "counter" else "_info" if family.type == "info" else "")
        for family in metrics.registry.collect()
    }
    assert {row[0] for row in table("metric")} == names


def test_the_tree_is_the_repository():
    """Every package is in the tree of rooms, with the first sentence of its docstring, and nothing else is."""
    block = README.split("## The rooms\n")[1].split("```")[1]
    told, folders = {}, []
    for line in filter(None, block.splitlines()):
        depth, (name, sentence) = (len(line) - len(line.lstrip())) // 2, line.split(maxsplit=1)
        folders[depth:] = [name]
        told["".join(folders)] = sentence
    packages = [path for room in ("daemon", "adapters", "config") for path in (ROOT / room).rglob("__init__.py")]
    assert told == {
        f"{path.parent.relative_to(ROOT)}/": (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        for path in packages
    }


@pytest.mark.parametrize("room", ["daemon", "adapters", "config"])
def test_no_function_is_too_long(room):
    """A function of more than 40 lines does more than one thing."""
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": lines
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and f"{path.name}:{node.name}" not in DECLARATIONS
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST
    }
    assert long == {}


def test_the_dependencies_are_told():
    """Each direct dependency is in the README's table, and each row is a dependency."""
    declared = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    names = set(re.findall(r'"([a-z0-9-]+)', declared[1]))
    assert {name.lower() for row in table("package") for name in row[0].split(", ")} == names


def test_every_promise_has_its_test():
    """The test that a promise names is there."""
    for promise, held_by in table("promise"):
        path, _, name = held_by.partition("::")
        assert f"def {name}" in (ROOT / path).read_text(), promise


def test_every_guess_has_its_module_and_its_switch():
    """The module that holds a guess is there, and so is what changes it: a key, a secret file or a name in it."""
    for unknown, _, module, switches, settle in table("unknown"):
        source = (ROOT / module).read_text()
        for switch in [name.strip("` ") for name in switches.split(",") if name.strip() != NONE]:
            constant = re.search(rf"^{switch} = ", source, re.MULTILINE) is not None
            assert constant or is_key(switch) or switch in {row[0] for row in table("file")}, unknown
        assert settle, unknown


def is_key(path: str) -> bool:
    """Whether the configuration has a key, in the form for one account; `shops` stands for any shop."""
    section: object = SellerAccount if path.partition(".")[0] in SellerAccount.model_fields else Settings
    for name in path.split("."):
        fields = getattr(section, "model_fields", {})
        if name not in fields:
            return False
        section = Shop if name == "shops" else fields[name].annotation
    return True


def test_every_test_says_what_it_shows():
    """Each test has a docstring that states the behaviour."""
    silent = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
            if is_test and not ast.get_docstring(node):
                silent.append(f"{path.relative_to(ROOT)}::{node.name}")
    assert silent == []


def test_the_dashboard_is_laid_out_as_the_readme_shows_it():
    """Whoever looks at the picture finds each panel in its place."""
    panels = json.loads((ROOT / "config" / "grafana-dashboard.json").read_text())["panels"]
    placed = sorted((panel["gridPos"]["y"], panel["gridPos"]["x"], panel["title"]) for panel in panels)
    assert [title for row in table("left") for title in row if title] == [title for _, _, title in placed]


def test_the_changelog_begins_with_the_version():
    """What is being worked on has a version of its own, and its chapter."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    chapters = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert chapters[0] == version
