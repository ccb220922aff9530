"""The verbs that list returns."""

from typing import Annotated, Any, Literal

from pydantic import Field

from daemon.operations.verb import STORE, Answer, Arguments, Day, Page, Paged, Table, Text, Verb

Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]

States = Literal[
    "received",
    "held",
    "awaiting_label",
    "label_ready",
    "awaiting_inspection",
    "inspected",
    "settling",
    "processing",
    "in_review",
    "expired",
    "refused",
    "cancelled",
    "stuck",
    "closed",
]


class Known(Arguments):
    """A text by which a return is known."""

    text: Text = Field(
        description="An order, RMA, tracking number, SKU, label request, or Loop's return id; all of it."
    )


class Which(Paged):
    """Which returns to list."""

    state: States | None = Field(default=None, description="One state only.")
    shop: Text | None = Field(default=None, description="One shop only.")
    unchanged: Day | None = Field(default=None, description="Only those that have not changed since this day.")


class ReturnRow(Answer):
    """One return in a list."""

    return_: str
    state: str
    order: str
    skus: str
    rma: str
    tracking: str
    since: Instant | None
    heard: Instant | None
    problem: str
    code: str = Field(default="", description="The stable code of the problem.")


class Found(Answer):
    """The returns known by a text."""

    text: str
    returns: list[ReturnRow]


class ReturnsPage(Page):
    """A page of returns, newest first."""

    rows: list[ReturnRow]


FIND = Verb(
    name="find",
    help="Find returns by what you know: order, RMA, tracking number, SKU, label request, or Loop's return id.",
    examples=("mcfd find '#1001'", "mcfd find 1Z999AA10123456784"),
    need=STORE,
    arguments=Known,
    answer=Found,
    run=lambda at, given: at.search.find(given.text),
    shown=(
        Table(
            "Returns",
            "returns",
            ("return", "state", "order", "skus", "rma", "tracking", "since"),
            none="No return is known by that.",
        ),
    ),
    failed=lambda answer: not answer["returns"],
)

LIST = Verb(
    name="list",
    help="List returns, newest first; `since` is when the state or anything else of them changed last.",
    examples=("mcfd list --state stuck", "mcfd list --shop acme --unchanged 2026-10-01 --csv"),
    need=STORE,
    arguments=Which,
    answer=ReturnsPage,
    run=lambda at, given: at.search.page(
        state=given.state, shop=given.shop, unchanged_since=given.unchanged, after=given.after
    ),
    shown=(
        Table(
            "Returns",
            "rows",
            ("return", "state", "order", "skus", "since", "problem"),
            none="No return is like that.",
        ),
    ),
)

VERBS: tuple[Verb[Any, Any, Any], ...] = (FIND, LIST)
