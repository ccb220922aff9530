"""How the vendors write times and numbers. Times are Unix seconds."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def amazon_time(at: float) -> str:
    """Write a time as Amazon does, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def loop_list_time(at: float) -> str:
    """Write a time as Loop's list does, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def loop_webhook_time(at: float) -> str:
    """Write a time as Loop's webhooks do."""
    return amazon_time(at)


def loop_detail_time(at: float) -> str:
    """Write a time as Loop's details do: without a zone."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def parse_time(text: str) -> float:
    """Read an ISO 8601 time, or Loop's without a zone; ValueError for anything else."""
    moment = datetime.fromisoformat(text.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def whole(text: str) -> int | None:
    """Read a whole number written in digits only; None for anything else or more than any id."""
    return int(text) if text.isdecimal() and len(text) <= 18 else None
