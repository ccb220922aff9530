"""The verbs about stored data: dead letters, reports, deletion."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from daemon.operations.verb import (
    DAEMON,
    LONG,
    STORE,
    VENDORS,
    Answer,
    Day,
    Facts,
    Keyed,
    Page,
    Paged,
    Previewed,
    Signed,
    Table,
    Text,
    Verb,
)
from daemon.operations.verbs.returns import RETURN, Instant, Nothing

# ---- arguments


class Deliveries(Signed):
    """Dead letters, and who replays them."""

    deliveries: list[Text] = Field(min_length=1, title="DELIVERY", description="Their numbers, or `all`.")


class Report(Paged):
    """Which report, and its start."""

    report: Literal["units", "unsellable", "never-received", "claims", "reasons", "spend"] = Field(
        default="units",
        description="Every unit; units that Amazon keeps as unsellable stock; units that never came; units that Amazon "
        "may reimburse; what shoppers stated against what Amazon found; what labels cost.",
    )
    since: Day | None = Field(
        default=None,
        description="Returns that anything was heard of since that day (UTC); sums begin there, or 90 days ago.",
    )


class Clearing(Keyed):
    """How thoroughly to delete."""

    rekey: bool = Field(default=False, description="Also seal everything anew under the newest key of vault_keys.")


# ---- answers


class DeadLetterShown(Answer):
    """A delivery that could not be read."""

    delivery: int
    shop: str
    received: Instant | None
    reason: str


class DeadLettersShown(Answer):
    """Every delivery that could not be read, oldest first."""

    dead_letters: list[DeadLetterShown]


class Replayed(Answer):
    """The result for a dead letter: taken, already known, kept or unknown."""

    delivery: int
    outcome: str
    reason: str


class AllReplayed(Answer):
    """The result for each dead letter."""

    replayed: list[Replayed]


class UnitRow(Answer):
    """A unit, with its return, parcel and inspection, for finance."""

    shop: str
    return_: str
    order: str
    state: str
    opened: Instant | None
    labelled: Instant | None
    closed: Instant | None
    settlement: str
    line: str
    part: int
    portal_sku: str
    sku: str
    price: str
    parent_reason: str
    reason: str
    reason_code: str
    standing: str
    problem: str
    fulfillment_order: str
    return_item: str
    authorization: str
    rma: str
    carrier: str
    tracking: str
    label_cost: str | None
    condition: str | None
    inspected: Instant | None
    center: str | None


class ReasonRow(Answer):
    """How many units of a stated reason were found in a condition."""

    shop: str
    reason: str
    condition: str
    units: int
    value: str


class SpendRow(Answer):
    """What the labels of a source and carrier cost together."""

    shop: str
    source: str
    carrier: str
    labels: int
    cost: str


class UnitRows(Page):
    """Units of some returns, or sums."""

    rows: Sequence[UnitRow | ReasonRow | SpendRow]
    columns: list[str] = Field(default=[], description="Their names, where the rows are no units.")


class Purged(Answer):
    """The number of deleted items per kind, and the bytes returned to the disk."""

    labels: int
    dead_letters: int
    deliveries: int
    returns: int
    known_orders: int
    calls: int
    bytes: int
    resealed: int = Field(default=0, description="With `rekey`: values that were sealed anew.")
    unreadable: int = Field(default=0, description="With `rekey`: values that no key opens.")


class Forget(Previewed):
    """The name of a return, and who has it erased."""

    return_: Text = Field(description=RETURN)


class Forgotten(Answer):
    """A return that was erased."""

    return_: str
    note: str


# ---- the verbs

FORGET = Verb(
    name="forget",
    help="""Erase a return wherever it is kept, for good. Says what that means, and asks.

    RETURN is Loop's return id, or shop/id. Neither Loop nor Amazon hears of it.
    """,
    examples=("mcfd forget 58120031", "mcfd forget acme/58120031 --yes"),
    need=DAEMON,
    arguments=Forget,
    answer=Forgotten,
    run=lambda at, given: at.forget(given.return_, given.by, preview=given.preview),
    each="return_",
)

DEAD_LETTERS = Verb(
    name="dead-letters",
    help="List deliveries that Loop signed and mcfd could not read.",
    examples=("mcfd dead-letters",),
    need=VENDORS,
    arguments=Nothing,
    answer=DeadLettersShown,
    run=lambda at, _: at.letters.listing(),
    shown=(
        Table(
            "Dead letters",
            "dead_letters",
            ("delivery", "shop", "received", "reason"),
            none="There are no dead letters.",
        ),
    ),
)

REPLAY = Verb(
    name="replay",
    help="""Offer dead letters to the running daemon again, after a fix.

    DELIVERY is a number that `mcfd dead-letters` shows, or `all`. Exits 1 when one still cannot be read; it is kept.
    """,
    examples=("mcfd replay 3 4", "mcfd replay all"),
    need=DAEMON,
    arguments=Deliveries,
    answer=AllReplayed,
    run=lambda at, given: at.letters.replay(given.deliveries, given.by),
    shown=(Table("Replayed", "replayed", ("delivery", "outcome", "reason"), none="There are no dead letters."),),
    patience=LONG,
    busy="replaying …",
    failed=lambda answer: any(row["outcome"] in {"kept", "unknown"} for row in answer["replayed"]),
)

EXPORT = Verb(
    name="export",
    help="Print returns unit by unit: conditions, dates, settlement, what labels cost.",
    examples=("mcfd export --csv --since 2026-10-01 > units.csv", "mcfd export --report claims --csv"),
    need=STORE,
    arguments=Report,
    answer=UnitRows,
    run=lambda at, given: at.exports.page(given.report, given.since, given.after),
    shown=(
        Table(
            "Units",
            "rows",
            (
                *("shop", "return", "order", "state", "sku", "price", "reason", "condition", "inspected", "settlement"),
                *("units", "value", "source", "carrier", "labels", "cost"),
            ),
            total="{} rows; --csv and --json show all columns.",
        ),
    ),
    busy="reading …",
)

PURGE = Verb(
    name="purge",
    help="""Forget now what has had its time, as every night, and give the room back to the disk.

    With --rekey older vault keys can be removed afterwards; where a new one was written, restart before. Exits 1 when a
    value fits none of the keys.
    """,
    examples=("mcfd purge", "mcfd purge --rekey"),
    need=VENDORS,
    arguments=Clearing,
    answer=Purged,
    run=lambda at, given: at.purge(rekey=given.rekey, newest_key=given.newest_key),
    shown=(Facts(renamed={"bytes": "bytes freed", "known_orders": "known orders"}),),
    patience=LONG,
    busy="clearing …",
    failed=lambda answer: bool(answer.get("unreadable")),
)

VERBS: tuple[Verb[Any, Any, Any], ...] = (DEAD_LETTERS, REPLAY, EXPORT, PURGE, FORGET)
