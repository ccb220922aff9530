"""What the tests of this folder share."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Leave the process's loggers as they were found."""
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, logging.getLogger("aiohttp.access").disabled
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("aiohttp.access").disabled = disabled
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
