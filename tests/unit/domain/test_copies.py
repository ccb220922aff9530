"""Copies of values with some fields changed."""

import dataclasses

import pytest

from daemon.domain.copies import replace
from daemon.domain.returns import Note, Return, State

RETURN = Return(shop="acme", return_id="1", created_at=5.0, notes=(Note(key="a", text="b"),))


@pytest.mark.parametrize(
    ("value", "changes"),
    [(RETURN, {"state": State.CLOSED, "due_at": 7.0}), (RETURN, {}), (RETURN.notes[0], {"written": True})],
    ids=["fields", "nothing", "a value with slots"],
)
def test_a_copy_is_what_dataclasses_make_of_it(value, changes):
    """The fields are changed in the copy alone, which is as frozen as the value."""
    before = dataclasses.astuple(value)
    copy = replace(value, **changes)
    assert copy == dataclasses.replace(value, **changes)
    assert copy is not value
    assert dataclasses.astuple(value) == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(copy, dataclasses.fields(value)[0].name, "other")


def test_a_field_that_there_is_not():
    """A wrong name is an error, and nothing is copied."""
    with pytest.raises(TypeError, match="a Return has no colour"):
        replace(RETURN, colour="red")
