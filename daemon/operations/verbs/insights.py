"""The verb about many returns at once."""

from typing import Any

from pydantic import Field

from daemon.operations.verb import STORE, Answer, Arguments, Day, Facts, Table, Text, Verb
from daemon.operations.verbs.keeping import ReasonRow, SpendRow
from daemon.operations.verbs.returns import Instant


class Span(Arguments):
    """Which days, and which shop."""

    since: Day | None = Field(default=None, description="The first day (UTC); without it 90 days ago.")
    shop: Text | None = Field(default=None, description="One shop only; without it all.")


class SkuRow(Answer):
    """What was found of a SKU. `share` is that of the unsellable among the units that came, from 0 to 1."""

    shop: str
    sku: str
    units: int
    unsellable: int
    missing: int
    share: float
    percent: str


class WaitRow(Answer):
    """How many units were inspected so many days after the label, or up to the next row's."""

    days: int
    units: int


class ClaimRow(Answer):
    """Units of a SKU that Amazon may reimburse; `mcfd export --report claims` has each with its ids."""

    shop: str
    sku: str
    condition: str
    units: int
    value: str


class Insight(Answer):
    """What many returns show together."""

    since: Instant | None
    until: Instant | None
    units: int = Field(description="Units that were inspected, or are missing.")
    unsellable: int
    never_received: int = Field(description="Units that are missing.")
    never_received_value: str
    labels: int
    spent: str
    claimable: int
    claimable_value: str
    skus: list[SkuRow] = Field(description="The SKUs with the most unsellable units first, at most 200.")
    reasons: list[ReasonRow] = Field(
        description="Stated reason against condition, the most frequent first, at most 500."
    )
    waits: list[WaitRow]
    spend: list[SpendRow]
    claims: list[ClaimRow]


INSIGHTS = Verb(
    name="insights",
    help="Show what many returns tell together: unsellable SKUs, reasons, waits, what labels cost, claims.",
    examples=("mcfd insights", "mcfd insights --since 2026-10-01 --shop acme --json"),
    need=STORE,
    arguments=Span,
    answer=Insight,
    run=lambda at, given: at.insights.show(given.since, given.shop),
    shown=(
        Facts(
            (
                "since",
                "until",
                "units",
                "unsellable",
                "never_received",
                "labels",
                "spent",
                "claimable",
                "claimable_value",
            ),
            renamed={"never_received": "never received", "claimable_value": "worth"},
        ),
        Table(
            "SKUs", "skus", ("shop", "sku", "units", "unsellable", "missing", "percent"), none="Nothing was inspected."
        ),
        Table("Stated reason, and condition", "reasons", ("shop", "reason", "condition", "units")),
        Table("Days from label to inspection", "waits", ("days", "units")),
        Table("Labels", "spend", ("shop", "source", "carrier", "labels", "cost")),
        Table("Claims", "claims", ("shop", "sku", "condition", "units", "value")),
    ),
    busy="adding up …",
)

VERBS: tuple[Verb[Any, Any, Any], ...] = (INSIGHTS,)
