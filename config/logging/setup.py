"""The log: structlog and the standard library's loggers through one pipeline, on one stream."""

import logging
import sys
from collections.abc import Sequence
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from config.logging.journal import graded
from config.logging.redaction import Redactor

Format = Literal["auto", "json", "console"]
Level = Literal["debug", "info", "warning", "error"]

# The class behind every get_logger(). `configure` sets its methods by level, so existing loggers follow.
_Logger: Any = type("_Logger", (structlog.make_filtering_bound_logger(logging.NOTSET),), {})


class _Output:
    """Writes lines to the current stream. A log that cannot be written must not stop a return."""

    stream: TextIO = sys.stderr

    def write(self, line: str) -> None:
        try:
            self.stream.write(f"{line}\n")
            self.stream.flush()
        except (OSError, ValueError):
            pass


_output = _Output()
_redactor = Redactor()  # survives a second `configure`, because secrets stay secret
_processors: list[Processor] = []  # always the same list, because loggers keep the one they were created with


class _NamedOutput:
    """A logger in structlog's sense: it writes a finished line. `name` is the module that logs."""

    def __init__(self, *names: str) -> None:
        self.name = names[0] if names else ""

    def msg(self, line: str) -> None:
        _output.write(line)

    log = debug = info = warn = warning = error = critical = fatal = exception = failure = err = msg


class _ForeignHandler(logging.Handler):
    """Receives what libraries log through the standard library."""

    def __init__(self, formatter: structlog.stdlib.ProcessorFormatter) -> None:
        super().__init__()
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _output.write(self.format(record))
        except Exception:  # noqa: BLE001 -- a library's broken log call is not ours to die of
            _output.write('{"level": "error", "event": "library.log_failed"}')


def configure(
    format: Format,  # noqa: A002 -- the configuration's own word
    level: Level,
    stream: TextIO | None = None,
    *,
    under_systemd: bool = False,
    redactor: Redactor | None = None,
) -> Redactor:
    """Set up all logging of the process; may be called again. Return the redactor in use.

    `auto` writes JSON under systemd or when the stream is no terminal. The stream defaults to standard error.
    """
    redactor = redactor or _redactor
    _output.stream = stream or sys.stderr
    terminal = _output.stream.isatty()
    as_json = format == "json" or (format == "auto" and (under_systemd or not terminal))
    ending = _ending(redactor, as_json=as_json, colors=terminal)
    _processors[:] = [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, _add_module, *ending]
    _follow_level(_number(level))
    structlog.configure(
        processors=_processors, wrapper_class=_Logger, logger_factory=_NamedOutput, cache_logger_on_first_use=True
    )
    _route_libraries(ending, _number(level))
    return redactor


def conceal(secrets: Sequence[str]) -> None:
    """Also keep these out of the log from now on."""
    _redactor.register(secrets)


def _number(level: Level) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _follow_level(level: int) -> None:
    filtering = structlog.make_filtering_bound_logger(level)
    for name in dir(filtering):
        if not name.startswith("_"):
            setattr(_Logger, name, getattr(filtering, name))


def _ending(redactor: Redactor, *, as_json: bool, colors: bool) -> list[Processor]:
    """Return the processors that turn an event into a line. Exceptions become text before redaction."""
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    )
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redactor,
        _in_order,
        _grading(renderer),
    ]


def _grading(renderer: Processor) -> Processor:
    def render(logger: WrappedLogger, method: str, event_dict: EventDict) -> str:
        level = str(event_dict.get("level"))
        return graded(str(renderer(logger, method, event_dict)), level, _output.stream)

    return render


def _add_module(logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    if logger.name:
        event_dict.setdefault("logger", logger.name)
    return event_dict


def _in_order(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    first = {key: event_dict[key] for key in ("timestamp", "level", "event") if key in event_dict}
    return {**first, **event_dict}


def _as_event(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Turn a library's log sentence into an event with a name."""
    event_dict["message"], event_dict["event"] = event_dict["event"], "library.logged"
    return event_dict


def _route_libraries(ending: Sequence[Processor], level: int) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, _as_event],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _ForeignHandler)]:
        root.removeHandler(handler)
    root.addHandler(_ForeignHandler(formatter))
    root.setLevel(level)
    logging.getLogger("aiohttp.access").disabled = True
    logging.getLogger("aiosqlite").setLevel(logging.WARNING)  # at debug it logs every statement twice
    for name in ("botocore", "aiobotocore"):  # at debug they log whole messages, which may hold a secret
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
