"""Whom to tell: what an operator may write, and what is wrong with the rest."""

import pytest

from tests.unit.test_config_load import LEAST, load_text, problems


def notify(*lines: str) -> str:
    """The least configuration with one receiver of these lines."""
    return LEAST + "notify:\n  - " + "\n    ".join(lines) + "\n"


@pytest.mark.parametrize(
    "lines",
    [
        ("kind: webhook", "url: https://hooks.acme.test/mcfd?team=1"),
        ("kind: ntfy", "url: https://ntfy.sh/acme-returns", "when: [claims]", "shops: [acme]"),
        ("kind: smtp", "url: smtp://mcfd@mail.acme.test:587", "to: [team@acme.test]"),
        ("kind: smtp", "url: smtps://mail.acme.test", "to: [team@acme.test]", "sender: mcfd@acme.test"),
    ],
)
def test_every_kind_can_be_written(tmp_path, lines):
    """Each kind with what it needs is taken without a warning."""
    loaded = load_text(tmp_path, notify(*lines))
    assert len(loaded.settings.notify) == 1
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("kind: pigeon", "url: https://x.test"), "kind"),
        (("kind: webhook",), "is missing; write where the messages go"),
        (("kind: webhook", "url: http://hooks.acme.test"), "is not encrypted"),
        (("kind: webhook", "url: smtp://mail.acme.test"), "is a mail server's"),
        (("kind: smtp", "url: https://mail.acme.test", "to: [a@b.test]"), "smtp needs url: smtp://"),
        (("kind: smtp", "url: smtp://mail.acme.test"), "and to: [addresses]"),
        (("kind: smtp", "url: smtp://u:pw@mail.acme.test", "to: [a@b.test]"), "the password belongs into"),
        (("kind: smtp", "url: smtp://mail.acme.test", "to: [nobody]"), "is not a mail address"),
        (("kind: slack",), "write the address into the secret file notify_team"),
        (("kind: webhook", "url: https://x.test", "shops: [bella]"), "bella is no shop of this configuration"),
        (("kind: webhook", "url: https://x.test", "when: []"), "when"),
        (("kind: webhook", "url: https://x.test", "name: The Team"), "is not a name"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, lines, words):
    """One problem, at its place, that says what to do."""
    (problem,) = problems(tmp_path, notify(*lines))
    assert words in problem
    assert "notify" in problem


def test_slacks_address_is_a_secret_file(tmp_path):
    """The file stands in for url; an address in the configuration is warned of."""
    loaded = load_text(tmp_path, notify("kind: slack"), notify_team="https://hooks.slack.test/services/T/B/x")
    assert loaded.secrets.notify["team"].get_secret_value().endswith("/x")
    assert "https://hooks.slack.test/services/T/B/x" in loaded.secrets.values()
    assert loaded.warnings == ()


def test_an_address_that_others_may_read_is_warned_of(tmp_path):
    """config.yaml is readable by all."""
    (warning,) = load_text(tmp_path, notify("kind: slack", "url: https://hooks.slack.test/services/T/B/x")).warnings
    assert "move it into the secret file notify_team" in warning


def test_two_receivers_need_two_names(tmp_path):
    """The name is the memory's and the secret's."""
    text = notify("kind: webhook", "url: https://x.test") + "  - {kind: webhook, url: https://y.test}\n"
    (problem,) = problems(tmp_path, text)
    assert "team is taken by another receiver" in problem


def test_a_secret_without_a_receiver_is_told(tmp_path):
    """A slip in the name would leave the receiver without its token."""
    (warning,) = load_text(tmp_path, LEAST, notify_tema="x" * 20).warnings
    assert "notify_tema belongs to no receiver" in warning
