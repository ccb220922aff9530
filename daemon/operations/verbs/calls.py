"""The verb about the calls that were made for a return."""

from typing import Any

from pydantic import Field

from daemon.operations.verb import STORE, Answer, Facts, Table, Verb
from daemon.operations.verbs.returns import Instant, OneReturn


class CallShown(Answer):
    """A call to a vendor, or several in a row with the same answer."""

    at: Instant | None
    first: Instant | None = Field(description="When the first of these calls was made.")
    times: int
    vendor: str
    operation: str
    outcome: str = Field(description="ok, refused, rate_limited, unavailable, broken or abandoned.")
    status: int | None = Field(description="HTTP status; null if there was no answer.")
    seconds: float = Field(description="How long the last of them took.")
    request_id: str | None = Field(description="The vendor's id of the last of them, for its support.")
    why: str = Field(description="Why there is no answer.")
    asked: dict[str, str | int | float | bool]
    answered: dict[str, str | int | float | bool]
    summary: str = Field(description="What was asked and answered, in one line.")


class CallsShown(Answer):
    """The calls for a return, the oldest first."""

    return_: str
    calls: list[CallShown]


CALLS = Verb(
    name="calls",
    help="Show the last calls to vendors for one return: what was asked, and what was answered.",
    examples=("mcfd calls 58120031", "mcfd calls acme/58120031 --json"),
    need=STORE,
    arguments=OneReturn,
    answer=CallsShown,
    run=lambda at, given: at.returns.calls(given.return_),
    shown=(
        Facts(("return",)),
        Table(
            "Calls, in UTC",
            "calls",
            ("at", "vendor", "operation", "times", "outcome", "status", "seconds", "request_id", "summary"),
            none="No call is kept: none was made, or it was longer ago than retention.calls.",
        ),
    ),
)

VERBS: tuple[Verb[Any, Any, Any], ...] = (CALLS,)
