"""The table of verbs: what each takes, and what is said of wrong arguments."""

import click
import pytest

from daemon.cli.commands import commands
from daemon.cli.main import main
from daemon.errors import OperatorError
from daemon.operations.verb import STORE, Bare, Facts, Findings, Page, Table, Timeline, Verb
from daemon.operations.verbs import VERBS
from daemon.operations.verbs.connections import DOCTOR
from daemon.operations.verbs.keeping import EXPORT, PURGE, REPLAY, Report
from daemon.operations.verbs.returns import LINK, RETRY, SHOW, STATUS

NAMES = [verb.name for verb in VERBS]


@pytest.mark.parametrize(
    ("verb", "given", "sentence"),
    [
        (SHOW, {}, "RETURN is missing; give it a value"),
        (SHOW, {"return": ""}, "RETURN is empty; give it a value"),
        (SHOW, {"return": 58120031}, "RETURN is not text; put it in quotes"),
        (SHOW, {"return": None}, "RETURN is not text; put it in quotes"),
        (SHOW, {"return": "7", "shop": "acme"}, "shop is no argument; there are: return"),
        (DOCTOR, {"shop": "acme"}, "shop is no argument; there are: none"),
        (RETRY, {"return": "7"}, "BY is missing; give it a value"),
        (LINK, {"return": "7", "orders": [], "by": "ann"}, "ORDERS is empty; name at least one"),
        (LINK, {"return": "7", "orders": ["#1", ""], "by": "ann"}, "ORDERS is empty; give it a value"),
        (LINK, {"return": "7", "orders": "#1", "by": "ann"}, 'ORDERS is not a list; write ["…"]'),
        (REPLAY, {"by": "ann"}, "DELIVERIES is missing; give it a value"),
        (PURGE, {"rekey": "perhaps"}, "REKEY is not true or false; write one of them"),
        (
            EXPORT,
            {"report": "all"},
            "REPORT must be 'units', 'unsellable', 'never-received', 'claims', 'reasons' or 'spend'",
        ),
        (EXPORT, {"after": -1}, "AFTER is too small; write 0 or more"),
        (EXPORT, {"after": "x"}, "AFTER is not a whole number; write one like 8"),
        (EXPORT, {"since": "yesterday"}, "SINCE is not a day; write one like 2026-10-01"),
        (EXPORT, {"since": True}, "SINCE is not a day; write one like 2026-10-01"),
        (EXPORT, {"since": 1e300}, "SINCE is not a day; write one like 2026-10-01"),
    ],
)
async def test_wrong_arguments_are_told_in_one_sentence(verb, given, sentence):
    """Whatever is wrong with the arguments is named before anything is done, and the value is not repeated."""
    with pytest.raises(OperatorError) as told:
        await verb.call(None, given)  # whatever it would work with is never reached
    assert str(told.value) == sentence


@pytest.mark.parametrize(
    "since", [1759276800, 1759276800.0, "2025-10-01", "2025-10-01T00:00:00Z", "2025-10-01T02:00:00+02:00"]
)
def test_a_day_is_a_day_in_utc(since):
    """Seconds, a day and an instant of any zone mean the same."""
    assert Report.model_validate({"since": since}).since.timestamp() == 1759276800.0


def test_names_and_paths_are_different():
    """No two verbs share their name or their place in the API."""
    assert len({verb.path for verb in VERBS}) == len(VERBS)
    assert all(verb.path.isidentifier() for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_what_is_shown_is_in_the_answer(verb: Verb):
    """Every value, list and column that people see exists in the answer."""
    for part in verb.shown:
        match part:
            case Facts():
                assert {*part.names, *part.renamed} <= outside(verb.answer)
            case Table():
                row = _row(verb.answer.model_fields[part.part].annotation)
                assert not hasattr(row, "model_fields") or set(part.columns) <= outside(row)
                assert set(part.words) <= set(part.columns)
            case Timeline() | Findings():
                assert part.part in outside(verb.answer)
            case Bare():
                assert {part.name, part.warning} - {""} <= outside(verb.answer)


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
def test_each_command_takes_the_arguments_of_its_verb(verb: Verb):
    """The command line asks for every argument but those that it knows by itself."""
    command: click.Command = main
    for word in verb.name.split():
        assert isinstance(command, click.Group)
        command = command.commands[word]
    taken = {parameter.name for parameter in command.params} - {"config", "secrets", "as_json", "as_csv", "yes"}
    assert taken == verb.arguments.model_fields.keys() - {"by", "after", "preview", "newest_key", "value"}
    assert any(one.name == "yes" for one in command.params) == verb.asks
    assert any(one.name == "as_csv" for one in command.params) == issubclass(verb.answer, Page)
    assert not verb.each or verb.each in taken


def test_a_new_verb_is_one_row():
    """Whatever stands in the table is a command, with its own help and examples."""
    assert {command.name for command in commands()} == {name.split()[0] for name in NAMES}
    assert all(verb.examples and verb.help.endswith((".", ".\n    ")) for verb in VERBS)
    assert STATUS.need is STORE


def outside(model) -> set[str]:
    """The fields of a model as JSON has them."""
    return {name.removesuffix("_") for name in model.model_fields}


def _row(annotation):
    """The type of a list's items."""
    return annotation.__args__[-1]
