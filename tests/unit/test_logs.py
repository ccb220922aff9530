import asyncio
import io
import json
import logging
import os
import timeit
import warnings
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from config.logging import setup as logs
from config.logging.journal import running_under_systemd
from config.logging.redaction import MASK, Redactor, is_private

CANARY = "canary-5f1c9d"
log = structlog.get_logger("tests.logs")


class Odd:
    """An object that tells a secret when it is asked who it is."""

    def __str__(self) -> str:
        return CANARY

    __repr__ = __str__


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> io.StringIO:
    """Where this test logs to."""
    return io.StringIO()


def configure(stream: io.StringIO, how: str = "json", level: str = "info", **more: Any) -> Redactor:
    """Log to the stream with secrets of this test alone."""
    return logs.configure(how, level, stream, redactor=Redactor([CANARY]), **more)  # type: ignore[arg-type]


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The events written, as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(error: Exception) -> None:
    """Raise it."""
    raise error


def fail_with_locals() -> None:
    """Raise while a local variable holds what nobody may see."""
    held = "local-variable-" + "value"
    raise ValueError("it broke " + str(len(held)))


def test_json_line(stream: io.StringIO) -> None:
    """An event is one JSON object: time in UTC first, then level and event, then what belongs to it."""
    configure(stream)
    log.info("label.delivered", shop="acme", attempt=2, ratio=0.5, ready=True, problem=None)
    (event,) = lines(stream)
    assert list(event)[:3] == ["timestamp", "level", "event"]
    assert datetime.fromisoformat(event["timestamp"]).utcoffset().total_seconds() == 0  # type: ignore[union-attr]
    del event["timestamp"]
    assert event == {
        "level": "info",
        "event": "label.delivered",
        "logger": "tests.logs",
        "shop": "acme",
        "attempt": 2,
        "ratio": 0.5,
        "ready": True,
        "problem": None,
    }


@pytest.mark.parametrize(
    ("how", "terminal", "under_systemd", "as_json"),
    [
        ("auto", False, False, True),
        ("auto", True, False, False),
        ("auto", True, True, True),
        ("auto", False, True, True),
        ("json", True, False, True),
        ("console", False, True, False),
    ],
)
def test_format(how: str, *, terminal: bool, under_systemd: bool, as_json: bool) -> None:
    """`auto` is for people on a terminal and for machines anywhere else; a format that is named counts."""
    stream = Terminal() if terminal else io.StringIO()
    configure(stream, how, under_systemd=under_systemd)
    log.info("store.opened")
    assert stream.getvalue().startswith('{"timestamp"') == as_json
    assert "store.opened" in stream.getvalue()


@pytest.mark.parametrize(
    ("variables", "answer"),
    [({}, False), ({"JOURNAL_STREAM": "8:1"}, True), ({"INVOCATION_ID": "x"}, True), ({"INVOCATION_ID": ""}, False)],
)
def test_knows_systemd(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, answer: bool) -> None:
    """Either of systemd's marks in the environment says that it started the process."""
    for name in ("JOURNAL_STREAM", "INVOCATION_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert running_under_systemd() is answer


def test_the_journal_is_told_how_grave_each_line_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of the journal's own stream begins with its priority, of mcfd, of libraries, and of a traceback."""
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        configure(stream, "json", level="debug")
        for importance in ("debug", "info", "warning", "error", "critical"):
            getattr(log, importance)("step.taken")
            getattr(logging.getLogger("some.library"), importance)("something")
        stream.seek(0)
        assert [line[:4] for line in stream] == [f"<{n}>{{" for n in (7, 7, 6, 6, 4, 4, 3, 3, 2, 2)]
        configure(stream, "console")
        log.error("step.crashed", exc_info=ValueError("of\nseveral lines"))
        assert {line[:3] for line in (tmp_path / "journal").read_text().splitlines()[10:]} == {"<3>"}


def test_another_stream_than_the_journals_gets_no_priorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the unit sends standard error to a file, the lines are as ever."""
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    with (tmp_path / "log").open("w+") as stream:
        configure(stream, "json")
        log.warning("step.taken")
        stream.seek(0)
        assert stream.read().startswith("{")


@pytest.mark.parametrize(("level", "written"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_level(stream: io.StringIO, level: str, written: int) -> None:
    """What is less important than the level is not written, from mcfd and from libraries alike."""
    configure(stream, level=level)
    library = logging.getLogger("some.library")
    for importance in ("debug", "info", "warning", "error"):
        getattr(log, importance)("step.taken")
        getattr(library, importance)("something")
    assert len(lines(stream)) == 2 * written


def test_loggers_follow_a_new_configuration(stream: io.StringIO) -> None:
    """After a reload even loggers that are in use, and bound ones, have the new level, format and stream."""
    configure(stream, level="info")
    bound = log.bind(shop="acme")
    log.debug("not.seen")
    bound.debug("not.seen")
    assert not stream.getvalue()
    second = io.StringIO()
    configure(second, "console", "debug")
    log.debug("now.seen")
    bound.debug("bound.seen")
    assert not stream.getvalue()
    assert "now.seen" in second.getvalue()
    assert "bound.seen" in second.getvalue()
    configure(stream, level="error")
    log.warning("not.seen")
    assert not stream.getvalue()


def test_secrets_outlive_a_new_configuration(stream: io.StringIO) -> None:
    """A reload that does not name the redactor keeps the one that knows the secrets."""
    logs.configure("json", "info", stream).register(["kept-secret-0042"])
    logs.configure("json", "info", stream)
    log.info("token.seen", detail="kept-secret-0042")
    assert "kept-secret-0042" not in stream.getvalue()


def test_calls_below_the_level_cost_little(stream: io.StringIO) -> None:
    """A call below the level neither looks at its values nor comes near the price of a line."""
    configure(stream)

    class Costly:
        def __str__(self) -> str:
            raise AssertionError

    log.debug("step.taken", value=Costly())
    below = min(timeit.repeat(lambda: log.debug("step.taken", shop="acme"), number=500, repeat=5))
    above = min(timeit.repeat(lambda: log.info("step.taken", shop="acme"), number=500, repeat=5))
    assert below * 3 < above


def test_capture_logs_works_after_configuration(stream: io.StringIO) -> None:
    """Tests of other parts can still look at the events of loggers in use."""
    configure(stream)
    log.info("first.seen")
    with structlog.testing.capture_logs() as captured:
        log.info("second.seen", shop="acme")
    assert [event["event"] for event in captured] == ["second.seen"]
    assert "second.seen" not in stream.getvalue()


def test_context_is_added(stream: io.StringIO) -> None:
    """What is bound to the context is on each line, redacted like everything else."""
    configure(stream)
    structlog.contextvars.bind_contextvars(ref="acme/58120031", detail=f"x{CANARY}x")
    log.info("step.taken")
    (event,) = lines(stream)
    assert (event["ref"], event["detail"]) == ("acme/58120031", f"x{MASK}x")


def test_libraries_go_the_same_way(stream: io.StringIO) -> None:
    """What a library logs is an event with its message, its logger, and no secret in it."""
    configure(stream)
    logging.getLogger("asyncio").error("task failed: %s", CANARY)
    (event,) = lines(stream)
    del event["timestamp"]
    assert event == {
        "level": "error",
        "event": "library.logged",
        "logger": "asyncio",
        "message": f"task failed: {MASK}",
    }


def test_library_exceptions_are_redacted(stream: io.StringIO) -> None:
    """The traceback that a library logs is text without secrets and without local variables."""
    configure(stream)
    try:
        fail(OSError(f"cannot reach {CANARY}"))
    except OSError:
        logging.getLogger("aiohttp.server").exception("unhandled")
    (event,) = lines(stream)
    assert event["exception"].endswith(f"OSError: cannot reach {MASK}")


def test_library_that_logs_badly(stream: io.StringIO) -> None:
    """A library's broken log call harms nobody."""
    logging.getLogger().handlers.clear()  # pytest's own would raise
    configure(stream)
    logging.getLogger("some.library").error("%d things", "no number")
    assert [event["event"] for event in lines(stream)] == ["library.log_failed"]


def test_access_log_is_off(stream: io.StringIO) -> None:
    """aiohttp's access log, which would show label links, is never written."""
    configure(stream, level="debug")
    logging.getLogger("aiohttp.access").error("GET /labels/x")
    assert not stream.getvalue()


def test_configured_twice_logs_once(stream: io.StringIO) -> None:
    """A reload does not double the lines of libraries."""
    configure(stream)
    configure(stream)
    logging.getLogger("asyncio").error("once")
    assert len(lines(stream)) == 1


def test_warnings_are_logged(stream: io.StringIO) -> None:
    """A warning of Python's is a line of the log, not loose text between the lines."""
    configure(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"old {CANARY}", DeprecationWarning, stacklevel=1)
    (event,) = lines(stream)
    assert event["logger"] == "py.warnings"
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize("how", ["json", "console"])
@pytest.mark.parametrize("terminal", [True, False])
def test_tracebacks_show_no_local_variables(how: str, *, terminal: bool) -> None:
    """A traceback names files, lines and the error; the values of variables are in neither format."""
    stream = Terminal() if terminal else io.StringIO()
    configure(stream, how)
    try:
        fail_with_locals()
    except ValueError:
        log.exception("step.failed")
    assert "fail_with_locals" in stream.getvalue()
    assert "it broke" in stream.getvalue()
    assert "local-variable-value" not in stream.getvalue()


@pytest.mark.parametrize("how", ["json", "console"])
def test_chained_exceptions_are_redacted(how: str) -> None:
    """Causes, groups and notes of an exception go through the redactor as well."""
    stream = io.StringIO()
    configure(stream, how)
    cause = KeyError(CANARY)
    cause.add_note(f"note {CANARY}")
    group = ExceptionGroup("group", [RuntimeError(f"/labels/{CANARY}.pdf"), OSError(CANARY)])
    group.__cause__ = cause
    try:
        fail(group)
    except ExceptionGroup:
        log.exception("step.failed")
    assert stream.getvalue().count(MASK) >= 4
    assert CANARY not in stream.getvalue()


def test_what_pydantic_refused_is_not_shown(stream: io.StringIO) -> None:
    """The value that a model refused, which may be a person's, stays out of the traceback."""

    class Address(BaseModel):
        line: int

    payload = {"line": "18 Larch Row"}
    configure(stream)
    try:
        Address.model_validate(payload)
    except ValueError:
        log.exception("payload.unreadable")
    (event,) = lines(stream)
    assert "Larch" not in stream.getvalue()
    assert f"input_value={MASK}, input_type=str" in event["exception"]


@pytest.mark.parametrize("broken", [OSError("disk full"), BrokenPipeError()])
def test_log_that_cannot_be_written(broken: OSError) -> None:
    """A full disk or a closed pipe costs the line, not the return."""

    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise broken

    configure(Broken())
    log.error("step.failed")
    logging.getLogger("asyncio").error("failed")
    closed = io.StringIO()
    configure(closed)
    closed.close()
    log.error("step.failed")


async def test_forgotten_task_is_a_line(stream: io.StringIO) -> None:
    """What asyncio says of an exception that nobody took is a redacted line, too."""
    configure(stream)
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "nobody took it", "exception": RuntimeError(CANARY)})
    (event,) = lines(stream)
    assert (event["logger"], event["level"]) == ("asyncio", "error")
    assert MASK in event["exception"]
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "access_token",
        "refreshToken",
        "X-Amz-Access-Token",
        "tokens",
        "client_secret",
        "webhook_secrets",
        "Authorization",
        "X-Authorization",
        "X-Loop-Signature",
        "api_key",
        "apikey",
        "loop_api_key",
        "vault_key",
        "vault_keys",
        "password",
        "set-cookie",
        "credentials",
        "address",
        "origin_address",
        "addresses",
        "addressLine1",
        "address1",
        "postal_code",
        "zip",
        "city",
        "street",
        "name",
        "first_name",
        "customer_name",
        "shopper",
        "recipient",
        "email",
        "notificationEmails",
        "phone",
        "phoneNumber",
        "label_url",
        "label_urls",
        "qrcode_url",
        "return_service_id",
        "body",
        "payload",
    ],
)
def test_private_keys(stream: io.StringIO, key: str) -> None:
    """A key that says secret or person has its value masked, on top and inside, whatever it is."""
    configure(stream)
    log.info("step.taken", **{key: "harmless looking"}, inner={key: ["a", "b"]}, deep=[{"x": {key: 12345}}])
    (event,) = lines(stream)
    assert event[key] == MASK
    assert event["inner"] == {key: MASK}
    assert event["deep"] == [{"x": {key: MASK}}]


@pytest.mark.parametrize(
    "key",
    [
        *("shop", "ref", "return_id", "order_name", "service", "operation", "status", "request_id", "listen", "state"),
        *("seconds", "event", "carrier", "condition", "sku", "path", "delivery", "key", "lane", "version", "problem"),
    ],
)
def test_harmless_keys(key: str) -> None:
    """What an operator needs to follow a return is readable."""
    assert not is_private(key)


def test_private_keys_may_say_whether_there_is_one(stream: io.StringIO) -> None:
    """That a secret is there, or is not, is no secret."""
    configure(stream)
    log.info("secrets.loaded", refresh_token=True, api_key=None)
    (event,) = lines(stream)
    assert (event["refresh_token"], event["api_key"]) == (True, None)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://a.test/labels/Zm9vYmFy.pdf", f"https://a.test/labels/{MASK}"),
        ("GET /labels/Zm9vYmFy.pdf HTTP/1.1", f"GET /labels/{MASK} HTTP/1.1"),
        ("see (https://a.test/labels/9Zm9.pdf).", f"see (https://a.test/labels/{MASK})."),
        ("PUT /api/2026-10/labels/550771", "PUT /api/2026-10/labels/550771"),
        ("PUT /labels/550771 failed", "PUT /labels/550771 failed"),
        ("got Atza|IwEBIx-y_z and", f"got {MASK} and"),
        ("Atzr|IwEBI", MASK),
        ("secret amzn1.oa2-cs.v1.0123abc!", f"secret {MASK}"),
        ("client amzn1.application-oa2-client.0123", "client amzn1.application-oa2-client.0123"),
        ("Authorization: Bearer abc.def-1", f"Authorization: Bearer {MASK}"),
        ("BEARER abc", f"BEARER {MASK}"),
        ("Basic dXNlcjpwYXNz", f"Basic {MASK}"),
        ("https://a.test/oauth/amazon/start?t=abc", f"https://a.test/oauth/amazon/start?t={MASK}"),
        ("/callback?state=abc&spapi_oauth_code=def&x=1", f"/callback?state={MASK}&spapi_oauth_code={MASK}&x=1"),
        ("a=b&refresh_token=c&d=e&client_secret=f", f"a=b&refresh_token={MASK}&d=e&client_secret={MASK}"),
        ("write to rowan.pike+x@mail.example.com now", f"write to {MASK} now"),
        ("4 retries @ 2/s", "4 retries @ 2/s"),
        ("order #1001 state=open", "order #1001 state=open"),
        ("a plain sentence", "a plain sentence"),
        ("", ""),
    ],
)
def test_texts_that_give_secrets_away(text: str, left: str) -> None:
    """Label links, tokens, OAuth codes and e-mail addresses are masked wherever they stand; ids stay."""
    assert Redactor().text(text) == left


@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        f"before{CANARY}after",
        {"a": CANARY},
        {CANARY: 1},
        [CANARY, (CANARY,)],
        {CANARY},
        ValueError(CANARY),
        Path("/x") / CANARY,
        SecretStr(CANARY),
        CANARY.encode(),
        Odd(),
        Enum("Odd", {"A": CANARY}).A,  # type: ignore[attr-defined]
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": CANARY}}}}}}}},
    ],
)
def test_registered_secret_in_any_value(stream: io.StringIO, value: object) -> None:
    """A secret that was registered is masked in values of every kind, however deep."""
    configure(stream)
    log.info("step.taken", value=value)
    assert "step.taken" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_registered_secret_in_the_event_itself(stream: io.StringIO) -> None:
    """Even a secret that was put into the event's name is masked."""
    configure(stream)
    event = f"step.{CANARY}"
    log.info(event)
    assert CANARY not in stream.getvalue()


def test_secrets_are_masked_as_they_look_in_urls() -> None:
    """A secret is known in its percent-encoded form as well."""
    redactor = Redactor(["Refresh|token/with+signs="])
    assert redactor.text("x=Refresh%7Ctoken%2Fwith%2Bsigns%3D&y") == f"x={MASK}&y"


def test_short_secrets_are_masked_as_whole_values_only() -> None:
    """A secret of a few characters would be found everywhere, so only a value that equals it is masked."""
    redactor = Redactor(["RS1", "", "longer-secret"])
    assert [redactor.text(text) for text in ("RS1", "RS17 parcels", "xlonger-secretx", "")] == [
        MASK,
        "RS17 parcels",
        f"x{MASK}x",
        "",
    ]


def test_secrets_within_secrets() -> None:
    """Of two secrets, one inside the other, the longer is masked as a whole."""
    assert Redactor(["abcdefgh", "abcdefgh-ijkl"]).text("abcdefgh-ijkl") == MASK


def test_registering_more() -> None:
    """A secret that arrives later is masked from then on, and the earlier ones still are."""
    redactor = Redactor(["first-secret"])
    redactor.register(["second-secret"])
    assert redactor.text("first-secret second-secret") == f"{MASK} {MASK}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("1.50"), "1.50"),
        (b"12345", "<5 bytes>"),
        (ValueError("no"), "ValueError: no"),
        (Path("/var/lib"), "/var/lib"),
        ({1: (2, 3)}, {"1": [2, 3]}),
        (1.5, 1.5),
    ],
)
def test_values_become_plain(value: object, shown: object) -> None:
    """What JSON does not know becomes text; bytes, which may be a body, only their number."""
    assert Redactor()(None, "info", {"value": value}) == {"value": shown}


def test_object_that_cannot_say_what_it_is(stream: io.StringIO) -> None:
    """A broken __str__ costs its value, not the line."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    configure(stream)
    log.info("step.taken", value=Broken())
    assert lines(stream)[0]["value"] == "<Broken>"


def test_line_breaks_do_not_forge_lines(stream: io.StringIO) -> None:
    """A value with line breaks stays within its one line of JSON."""
    configure(stream)
    log.info("step.taken", value='x\n{"event": "forged"}')
    assert len(stream.getvalue().splitlines()) == 1


@settings(deadline=None)
@given(st.text(max_size=200), st.text(alphabet="ab/@=|.-&? ", max_size=200))
def test_no_text_keeps_a_registered_secret(before: str, after: str) -> None:
    """Whatever stands around it, a registered secret is not in what is left."""
    assert CANARY not in Redactor([CANARY]).text(before + CANARY + after)


@pytest.mark.parametrize(
    "unit", ["a", "a.", "@", "a@", "=", "/labels/", "Bearer ", "input_value=", "Atza|", "?t=", "_token"]
)
def test_long_texts_cost_little(unit: str) -> None:
    """No text of a stranger's makes the redactor work for more than its length asks."""
    redactor = Redactor([CANARY])

    text = "=" + unit * (20_000 // len(unit)) + "="
    assert min(timeit.repeat(lambda: redactor.text(text), number=1, repeat=3)) < 0.25
