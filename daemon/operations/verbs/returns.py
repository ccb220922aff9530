"""The verbs about returns."""

from typing import Annotated, Any

from pydantic import Field

from daemon.operations.verb import (
    DAEMON,
    STORE,
    Answer,
    Arguments,
    Facts,
    Foreseen,
    MaybeAccount,
    OfReturns,
    Previewed,
    Signed,
    Table,
    Text,
    Timeline,
    Verb,
)

Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
RETURN = "Loop's return id, or shop/id."
CODE = "The stable code of the problem; docs/operating.md has an anchor of this name."
ADVICE = "What a person can do about it."

# ---- arguments


class Nothing(Arguments):
    """No arguments."""


class OneReturn(Arguments):
    """The name of a return."""

    return_: Text = Field(description=RETURN)


class ChangeOne(Foreseen):
    """The name of a return, and who changes it."""

    return_: Text = Field(description=RETURN)


class ConfirmShop(Signed):
    """A shop, and who has checked its return policy."""

    shop: Text = Field(description="Its name in the configuration.")


class PauseShop(Signed):
    """A shop or all, and who pauses or resumes."""

    shop: Text | None = Field(default=None, title="SHOP", description="One shop only; without it all.")


class Cancel(Previewed):
    """The name of a return, and who cancels it."""

    return_: Text = Field(description=RETURN)


class Link(ChangeOne):
    """A return and its fulfillment orders."""

    orders: list[Text] = Field(min_length=1, title="ORDER", description="Their ids at Amazon.")


class Orders(MaybeAccount):
    """Fulfillment orders, of one account or of all."""

    orders: list[Text] = Field(min_length=1, title="ORDER", description="Their ids at Amazon.")
    by: Text | None = Field(default=None, description="Who asks, for the history of the returns; without it nobody.")


# ---- answers


class ShopCount(Answer):
    """The number of a shop's open returns, and whether the shop is configured."""

    shop: str
    open: int
    configured: bool


class Waiting(Answer):
    """A return that needs a person."""

    return_: str
    problem: str
    since: Instant | None
    code: str = Field(default="", description=CODE)
    advice: str = Field(default="", description=ADVICE)


class OneShop(Arguments):
    """One shop, or all."""

    shop: Text | None = Field(default=None, description="One shop only; without it all.")


class QuietShop(Answer):
    """A shop to which no transit is reported, because Loop paid for one of its returns before the inspection."""

    shop: str
    since: Instant | None


class PausedShop(Answer):
    """Whether nothing is sent for a shop, and since when."""

    shop: str
    paused: bool
    since: Instant | None


class AdoptNeeded(Answer):
    """The returns of a shop that wait for a comparison with the vendors; some are named."""

    shop: str
    unknown: int = Field(description="Open in Loop with a label or a note of ours, and not known here.")
    unproven: int = Field(description="Known here, perhaps not as far as they have come.")
    returns: list[str]
    run: str


class Paused(Answer):
    """The shops that were asked for."""

    shops: list[PausedShop]


class Confirmed(Answer):
    """A shop whose return policy somebody has checked."""

    shop: str
    note: str


class NodeShown(Answer):
    """A node, and what it works; `chores` are nightly work and messages to people."""

    node: str
    accounts: list[str]
    chores: bool


class Status(Answer):
    """The number of returns per state, and which of them need a person."""

    returns: dict[str, int]
    shops: list[ShopCount]
    oldest_due: Instant | None
    stuck: list[Waiting]
    held: list[Waiting]
    quiet: list[QuietShop]
    to_adopt: list[AdoptNeeded] = Field(default=[], description="What this database may not know all of.")
    paused: list[PausedShop] = Field(default=[], description="Shops for which nothing is sent until mcfd resume.")
    in_review: list[Waiting] = Field(default=[], description="In Needs Review at Loop, the oldest first.")
    nodes: list[NodeShown] = Field(default=[], description="The nodes that live; only with PostgreSQL.")


class RequestShown(Answer):
    """A label request of a return."""

    request: str
    asked: str
    label_id: str | None
    carrier: str | None
    tracking: str | None
    transit: str


class UnitShown(Answer):
    """A unit of a return. `stated` is what the shopper said, `found` what Amazon found, in words."""

    line: str
    sku: str
    portal_sku: str
    price: str
    stated: str
    found: str
    amazon_reason: str
    center: str
    told: bool = Field(description="Whether Loop was told the finding.")
    standing: str
    problem: str
    order: str
    return_item: str
    reason: str
    authorization: str
    condition: str | None
    inspected: Instant | None


class AuthorizationShown(Answer):
    """Amazon's authorization of a return."""

    authorization: str
    rma: str
    center: str


class ParcelShown(Answer):
    """A parcel with a label that was bought for it, and when it was scanned."""

    authorization: str
    source: str
    carrier: str
    service: str
    tracking: str
    transit: str
    paid: str
    void: str
    bought: Instant | None
    scanned: Instant | None
    delivered: Instant | None
    lost: Instant | None
    asked: Instant | None = Field(description="When the carrier was last asked.")


class NoteShown(Answer):
    """A note at the return in Loop, written or owed."""

    about: str
    text: str
    written: bool


class HistoryRow(Answer):
    """One event of a return, and the change of its state."""

    at: Instant | None
    event: str
    before: str
    after: str
    detail: Any
    told: str = Field(description="The same in plain words.")
    minor: bool = Field(description="Whether it is bookkeeping.")


class ReturnShown(Answer):
    """Everything known about a return."""

    return_: str
    state: str
    problem: str
    code: str = Field(default="", description=CODE)
    advice: str = Field(default="", description=ADVICE)
    label: str | None = Field(default=None, description="Link to a label of which a person has to see where it leads.")
    owes: str
    next: str = Field(description="What is done when it is due, in plain words.")
    due: Instant | None
    deadline: Instant | None
    ends: Instant | None = Field(description="When the wait ends, whatever happens.")
    clock: str = Field(description="The key of `timings` that ends it.")
    then: str = Field(description="What happens at that time.")
    opened: Instant | None
    changed: Instant | None
    closed: Instant | None
    can: list[str] = Field(description="The verbs that apply to it now.")
    order: str
    requests: list[RequestShown]
    units: list[UnitShown]
    parcels: list[ParcelShown]
    authorizations: list[AuthorizationShown]
    linked: list[str] = Field(default=[], description="Fulfillment orders that a person linked it to.")
    notes: list[NoteShown]
    history: list[HistoryRow]


class Tried(Answer):
    """A fulfillment order id that was tried, and Amazon's answer."""

    order: str
    answer: str
    skus: list[str] = Field(default=[], description="What the order holds, if it is one.")


class Matched(Answer):
    """Every fulfillment order id that was tried for a return."""

    return_: str
    tried: list[Tried]
    note: str = Field(default="", description="How new what is known of Amazon's list of orders is.")


class Changed(Answer):
    """A return and its state now."""

    return_: str
    state: str
    note: str = Field(default="", description="What it means.")


class Linked(Answer):
    """A return with its fulfillment orders, and when the link takes effect."""

    return_: str
    orders: list[str]
    note: str


class Advised(Answer):
    """A code, and what a person can do about the problem."""

    code: str
    advice: str


class AllAdvice(Answer):
    """Every code of a problem."""

    problems: list[Advised]


class OrderRead(Answer):
    """An order, and the number of returns that wait for it."""

    order: str
    returns: int


class OrdersRead(Answer):
    """The orders being read now."""

    orders: list[OrderRead]


# ---- the verbs

STATUS = Verb(
    name="status",
    help="Show how many returns are in which state, and which ones need a person.",
    examples=("mcfd status", "mcfd status --shop acme"),
    need=STORE,
    arguments=OneShop,
    answer=Status,
    run=lambda at, given: at.returns.status(given.shop),
    shown=(
        Table("Returns", "returns", ("state", "returns"), but=("returns", 0), none="No return is known yet."),
        Table(
            "Shops",
            "shops",
            ("shop", "open", "configured"),
            words={"configured": {False: "no: nobody follows them"}},
            when=lambda rows: len(rows) > 1 or not all(row["configured"] for row in rows),
        ),
        Table("Stuck", "stuck", ("return", "since", "code", "problem"), none="No return is stuck."),
        Table("Held, for lack of an order", "held", ("return", "since", "code", "problem")),
        Table("Paid before the inspection: told no transit until mcfd confirm SHOP", "quiet", ("shop", "since")),
        Table("In review at Loop", "in_review", ("return", "since")),
        Table(
            "Not to be done without the past: unknown or unproven returns",
            "to_adopt",
            ("shop", "unknown", "unproven", "run"),
        ),
        Table("Paused: nothing is sent until mcfd resume", "paused", ("shop", "since")),
        Table("Nodes", "nodes", ("node", "accounts", "chores"), words={"chores": {True: "yes", False: ""}}),
    ),
)

SHOW = Verb(
    name="show",
    help="Show one return with its history. RETURN is Loop's return id, or shop/id.",
    examples=("mcfd show 58120031", "mcfd show acme/58120031 --json"),
    need=STORE,
    arguments=OneReturn,
    answer=ReturnShown,
    run=lambda at, given: at.returns.show(given.return_),
    shown=(
        Facts(
            ("return", "state", "problem", "code", "advice", "owes", "due", "deadline", "order", "linked"),
            renamed={"advice": "what to do", "owes": "does next", "due": "next at", "deadline": "gives up at"},
        ),
        Table("Requests", "requests", ("request", "asked", "label_id", "carrier", "tracking", "transit")),
        Table("Units", "units", ("line", "sku", "standing", "condition", "order", "return_item", "reason", "problem")),
        Table("Authorizations", "authorizations", ("authorization", "rma", "center")),
        Table("Notes", "notes", ("written", "text")),
        Timeline("History, in UTC", "history"),
    ),
)

ADVISE = Verb(
    name="advice",
    help="Show what a person can do about each problem of a return, by its code.",
    examples=("mcfd advice",),
    need=STORE,
    arguments=Nothing,
    answer=AllAdvice,
    run=lambda at, _: at.returns.advice(),
    shown=(Table("Problems", "problems", ("code", "advice")),),
)

MATCH = Verb(
    name="match",
    help="Try every fulfillment order id for a return and tell what Amazon says of each.",
    examples=("mcfd match 58120031",),
    need=DAEMON,
    arguments=OneReturn,
    answer=Matched,
    run=lambda at, given: at.returns.match(given.return_),
    concerns=lambda given: OfReturns((given.return_,)),
    shown=(Table("Tried for {return}", "tried", ("order", "answer", "skus")),),
)

LINK = Verb(
    name="link",
    help="Say which fulfillment orders a return belongs to.",
    examples=("mcfd link 58120031 '#1001' '#1001-B'",),
    need=DAEMON,
    arguments=Link,
    answer=Linked,
    run=lambda at, given: at.returns.link(given.return_, given.orders, given.by, preview=given.preview),
    concerns=lambda given: OfReturns((given.return_,)),
)

UNLINK = Verb(
    name="unlink",
    help="Forget which fulfillment orders a person said a return belongs to.",
    examples=("mcfd unlink 58120031",),
    need=DAEMON,
    arguments=ChangeOne,
    answer=Linked,
    run=lambda at, given: at.returns.unlink(given.return_, given.by, preview=given.preview),
)

LOOK = Verb(
    name="look",
    help="""Read fulfillment orders at Amazon now, because something there has changed.

    Says how many returns wait for each. Whatever hears Amazon's notifications can say so with it, or by a POST to
    /api/look of the ops listener.
    """,
    examples=("mcfd look '#1001'",),
    need=DAEMON,
    arguments=Orders,
    answer=OrdersRead,
    run=lambda at, given: at.look(given.orders, given.by, given.account),
    shown=(Table("Read now", "orders", ("order", "returns")),),
)

RETRY = Verb(
    name="retry",
    help="Send stuck returns back to work. RETURN is Loop's return id, or shop/id.",
    examples=("mcfd retry 58120031 acme/58120032",),
    need=DAEMON,
    arguments=ChangeOne,
    answer=Changed,
    run=lambda at, given: at.returns.retry(given.return_, given.by, preview=given.preview),
    concerns=lambda given: OfReturns((given.return_,)),
    each="return_",
)

RESOLVE = Verb(
    name="resolve",
    help="Close stuck returns that a person has dealt with. RETURN is Loop's return id, or shop/id.",
    examples=("mcfd resolve 58120031 acme/58120032",),
    need=DAEMON,
    arguments=ChangeOne,
    answer=Changed,
    run=lambda at, given: at.returns.resolve(given.return_, given.by, preview=given.preview),
    each="return_",
)

CANCEL = Verb(
    name="cancel",
    help="""Give up returns for good: what was bought and is unused is given back. Says what it will do, and asks.

    RETURN is Loop's return id, or shop/id. Loop itself stays as it is, and there is no way back in mcfd.
    """,
    examples=("mcfd cancel 58120031 acme/58120032", "mcfd cancel 58120031 --yes"),
    need=DAEMON,
    arguments=Cancel,
    answer=Changed,
    run=lambda at, given: at.returns.cancel(given.return_, given.by, preview=given.preview),
    each="return_",
)

CONFIRM = Verb(
    name="confirm",
    help="""Say that a shop's return policy waits for the inspection, after Loop has paid before one.

    Until then Loop is told no progress of the shop's labels, whatever report_transit says: a policy may pay by it.
    """,
    examples=("mcfd confirm acme",),
    need=DAEMON,
    arguments=ConfirmShop,
    answer=Confirmed,
    run=lambda at, given: at.returns.confirm(given.shop, given.by),
)

PAUSE = Verb(
    name="pause",
    help="""Send nothing to any vendor, for one shop or for all, until `mcfd resume`; also over restarts.

    Webhooks and polls are heard and kept, and vendors are still read. Deadlines that a shopper's label has wait, too.
    """,
    examples=("mcfd pause", "mcfd pause acme"),
    need=DAEMON,
    arguments=PauseShop,
    answer=Paused,
    run=lambda at, given: at.returns.pause(given.shop, given.by),
    shown=(Table("Shops", "shops", ("shop", "paused", "since")),),
)

RESUME = Verb(
    name="resume",
    help="Let a paused shop, or all, go on: what waited is done now.",
    examples=("mcfd resume", "mcfd resume acme"),
    need=DAEMON,
    arguments=PauseShop,
    answer=Paused,
    run=lambda at, given: at.returns.resume(given.shop, given.by),
    shown=(Table("Shops", "shops", ("shop", "paused", "since")),),
)

VERBS = (STATUS, SHOW, ADVISE, MATCH, LINK, UNLINK, LOOK, RETRY, RESOLVE, CANCEL, CONFIRM, PAUSE, RESUME)
