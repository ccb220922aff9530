"""Scenarios that the sandbox plays by itself: control operations with times, read from YAML."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, ValidationError, create_model
from pydantic import Field as Described

from adapters.sandbox.complaints import words
from adapters.sandbox.control.operations import OPERATIONS, Operation, WrongArguments
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import ControlError
from adapters.sandbox.sandbox import Sandbox
from daemon.ports.host import Clock

RETRY_SECONDS = 0.2
OF_THE_HOST = frozenset({"host", "amazon_port", "loop_port", "easypost_port", "control_port"})
SHIPPED = resources.files("adapters.sandbox.control") / "scenarios"


class ScenarioError(Exception):
    """A scenario is unreadable or a step is impossible; each problem is a sentence with its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_by_name=False)


class _Document(_Strict):
    about: str = ""
    options: dict[str, Any] = {}
    steps: list[dict[str, Any]] = []


class _Timing(_Strict):
    after: NonNegativeFloat = 0.0
    within: NonNegativeFloat = 0.0
    name: str | None = Described(None, alias="as", pattern=r"^[a-z][a-z0-9_]*$")


@dataclass(frozen=True)
class Step:
    """One operation. `after` counts from the end of the previous step; it is retried for `within`."""

    operation: Operation
    arguments: Mapping[str, Any]
    after: float
    within: float
    name: str | None


@dataclass(frozen=True)
class Scenario:
    """All steps; `options` are the sandbox's."""

    about: str
    options: Mapping[str, Any]
    steps: tuple[Step, ...]


def find(name: str) -> str:
    """Read a file or, by its bare name, one of the shipped scenarios. Raises ScenarioError."""
    own = SHIPPED / f"{name}.yaml"
    try:
        return own.read_text("utf-8") if own.is_file() else Path(name).read_text("utf-8", "replace")
    except FileNotFoundError:
        raise ScenarioError([f"neither a file nor a shipped scenario ({', '.join(shipped())})"]) from None
    except OSError as error:
        raise ScenarioError([f"cannot be read ({error.strerror})"]) from error


def shipped() -> list[str]:
    """List the names of the shipped scenarios."""
    return sorted(path.name.removesuffix(".yaml") for path in SHIPPED.iterdir() if path.name.endswith(".yaml"))


def read(text: str) -> Scenario:
    """Read a scenario. Raises ScenarioError with all problems."""
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScenarioError([" ".join(str(error).split())]) from error
    if not isinstance(given, dict):
        raise ScenarioError(["a scenario is a YAML mapping of about, options and steps"])
    try:
        document = _Document.model_validate(given)
    except ValidationError as error:
        raise ScenarioError(_sentences("the scenario", error, _Document)) from error
    problems: list[str] = []
    options = _options(document.options, problems)
    names: set[str] = set()
    steps = [_step(f"step {n}", given, names, problems) for n, given in enumerate(document.steps, 1)]
    if problems:
        raise ScenarioError(problems)
    return Scenario(document.about, options, tuple(step for step in steps if step))


async def play(
    scenario: Scenario,
    sandbox: Sandbox,
    clock: Clock,
    stop: asyncio.Event,
    *,
    tell: Callable[[str], None],
    pace: float = 1.0,
) -> None:
    """Play the steps until the end or until `stop`; each `after` is multiplied by `pace`. Raises ScenarioError."""
    results: dict[str, object] = {}
    start = clock.monotonic()
    for n, step in enumerate(scenario.steps, 1):
        if await clock.wait(stop, step.after * pace):
            return
        arguments = _filled(step.arguments, results)
        end = clock.monotonic() + step.within
        while (problem := _try(step, sandbox, arguments, results)) is not None:
            if clock.monotonic() >= end:
                raise ScenarioError([f"step {n}, {step.operation.name}: {problem}"])
            if await clock.wait(stop, RETRY_SECONDS):
                return
        said = f" = {results[step.name]}" if step.name else ""
        tell(f"{clock.monotonic() - start:8.1f} s  {step.operation.name}{said}")


def _try(step: Step, sandbox: Sandbox, arguments: Mapping[str, Any], results: dict[str, object]) -> str | None:
    """Run a step and store its result; return why it is impossible now."""
    try:
        result = step.operation.perform(sandbox, arguments)
    except (ControlError, WrongArguments) as error:
        return str(error)
    if step.name:
        results[step.name] = result
    return None


def _step(where: str, given: Mapping[str, Any], names: set[str], problems: list[str]) -> Step | None:
    chosen = [name for name in given if name in OPERATIONS]
    if len(chosen) != 1:
        others = ", ".join(str(name) for name in given if name not in {"after", "within", "as"}) or "none"
        problems.append(f"{where}: one operation of the control API is needed, there is: {others}")
        return None
    operation, arguments = OPERATIONS[chosen[0]], given[chosen[0]] or {}
    if not isinstance(arguments, dict):
        problems.append(f"{where}, {operation.name}: the arguments are names with values")
        return None
    unknown = sorted({str(name) for name in _references(arguments)} - names)
    problems += [f"{where}, {operation.name}: no step before it says `as: {name}`" for name in unknown]
    problems += [f"{where}, {problem}" for problem in _wrong(operation, arguments)]
    try:
        timing = _Timing.model_validate({name: value for name, value in given.items() if name != operation.name})
    except ValidationError as error:
        problems += _sentences(where, error, _Timing)
        return None
    names |= {timing.name} if timing.name else set()
    return Step(operation, arguments, timing.after, timing.within, timing.name)


def _wrong(operation: Operation, arguments: Mapping[str, Any]) -> list[str]:
    """List the wrong arguments; references are not resolved yet."""
    try:
        operation.check(arguments)
    except WrongArguments as error:
        return [problem for value, problem in error.problems if not _is_reference(value)]
    return []


def _options(given: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    try:
        made = _OPTIONS.model_validate(given)
        options = {name: getattr(made, name) for name in made.model_fields_set}
        SandboxOptions(**options)
    except ValidationError as error:
        problems += _sentences("options", error, _OPTIONS)
    except ValueError as error:
        problems.append(f"options: {error}")
    else:
        return options
    return {}


def _default(field: "Field[Any]") -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and value.startswith("$")


def _references(value: object) -> list[str]:
    """List the results that arguments refer to as `$name`."""
    if isinstance(value, dict | list):
        return [name for inner in (value.values() if isinstance(value, dict) else value) for name in _references(inner)]
    return [str(value)[1:]] if _is_reference(value) else []


def _filled(value: Any, results: Mapping[str, object]) -> Any:  # noqa: ANN401 - JSON
    """Replace references by the results."""
    if isinstance(value, dict):
        return {name: _filled(inner, results) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, results) for inner in value]
    return results[value[1:]] if _is_reference(value) else value


def _sentences(where: str, error: ValidationError, model: type[BaseModel]) -> list[str]:
    known = [field.alias or name for name, field in model.model_fields.items()]
    found = error.errors(include_url=False)
    return [f"{where}: {'.'.join(map(str, one['loc'])) or 'the document'} {words(one, known)}" for one in found]


_DEFINITIONS: dict[str, Any] = {
    field.name: (field.type, _default(field)) for field in fields(SandboxOptions) if field.name not in OF_THE_HOST
}
_OPTIONS = create_model("Options", __base__=_Strict, **_DEFINITIONS)
