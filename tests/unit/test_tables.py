"""What people see of an answer."""

from rich.console import Console

from daemon.cli import output
from daemon.operations.verbs.keeping import PURGE
from daemon.operations.verbs.returns import LINK, SHOW
from daemon.operations.verbs.search import FIND


def shown(capsys, verb, answer) -> str:
    """What it prints."""
    output.show(verb, answer)
    return capsys.readouterr().out


def test_values_are_written_as_people_write_them(capsys):
    """Lists have commas, yes and no are words, and what is empty is left out."""
    said = shown(capsys, LINK, {"orders": ["#1", "#2"], "problem": "", "due": None, "written": True, "rows": 0})
    assert [line.split() for line in said.splitlines()] == [["orders", "#1,", "#2"], ["written", "yes"], ["rows", "0"]]


def test_the_history_is_lines(capsys):
    """Each event is a line in which nothing is cut: when, what, from where to where, and what is known of it."""
    history = [
        {"at": "2026-11-28T12:11:38+00:00", "event": "LabelIssued", "before": "a", "after": "b", "detail": {}},
        {
            "at": "2026-11-28T12:11:39+00:00",
            "event": "NotesWritten",
            "before": "b",
            "after": "b",
            "detail": {"keys": ["a", "b"], "at_once": True, "why": ""},
        },
    ]
    head = dict.fromkeys(("state", "problem", "owes", "due", "deadline", "order"), "")
    notes = [{"written": True, "text": "Label [delivered]"}]
    parts = {"requests": [], "units": [], "authorizations": [], "notes": notes, "history": history}
    said = shown(capsys, SHOW, {"return": "acme/1", **head, **parts})
    assert said.splitlines()[-2:] == [
        "2026-11-28 12:11:38  label issued  (a → b)",
        "2026-11-28 12:11:39  notes written  (b)  keys a, b, at_once yes",
    ]
    assert "yes      Label [delivered]" in said


def test_a_table_that_does_not_fit_is_told_row_by_row(capsys, monkeypatch):
    """On a terminal of 80 columns no word is broken: each row becomes names and values."""
    row = {"return": "acme/58120031", "state": "awaiting_inspection", "order": "#1001", "skus": "SOCK-2P-M, MUG-BLUE"}
    row |= {"rma": "DxS00002RRMA", "tracking": "1Z999AA10123456784", "since": "2026-11-28T12:11:38+00:00"}
    monkeypatch.setattr(output, "_console", lambda: Console(highlight=False, width=80))
    lines = shown(capsys, FIND, {"text": "x", "returns": [row, row]}).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines.count("   state  awaiting_inspection") == 2
    assert sum("1Z999AA10123456784" in line for line in lines) == 2
    monkeypatch.setattr(output, "_console", lambda: Console(highlight=False, width=160))
    assert len(shown(capsys, FIND, {"text": "x", "returns": [row, row]}).splitlines()) == 4


def test_what_a_purge_gave_back_is_said(capsys):
    """Bytes are those that the disk has again."""
    assert "bytes freed  0" in shown(capsys, PURGE, {"returns": 2, "bytes": 0})
