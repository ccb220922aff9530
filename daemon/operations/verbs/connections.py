"""The verbs about the connections to the vendors."""

from typing import Any

from pydantic import Field

from daemon.operations.verb import (
    DAEMON,
    EXAMINATION,
    LONG,
    VENDORS,
    Answer,
    Arguments,
    Bare,
    Findings,
    MaybeAccount,
    OfAccount,
    OfShop,
    Table,
    Text,
    Verb,
)
from daemon.operations.verbs.returns import Nothing

HINT = (
    "Loop shows the secret of its webhooks in its admin only, under Developer tools. Write it into the secret file "
    "loop_webhook_secrets.SHOP, then `systemctl restart mcfd`."
)

# ---- arguments


class MaybeShop(Arguments):
    """One shop, or all."""

    shop: Text | None = Field(default=None, description="One shop only; without it all.")


class MaybeSku(MaybeAccount):
    """A SKU to ask Amazon about, or none."""

    yaml: bool = Field(
        default=False, description="Instead print what the store maps, as `reasons:` of the file has it."
    )

    sku: Text | None = Field(default=None, description="Ask Amazon which codes it allows for this SKU.")


# ---- answers


class ConnectionShown(Answer):
    """One connection or credential of the running daemon; `problem` says why it does not work, or is empty."""

    name: str
    problem: str


class CredentialShown(Answer):
    """A credential that ends by itself: how many days it has been in use, and how many it lives."""

    name: str
    days: int
    lives: int


class ConnectionsShown(Answer):
    """What the running daemon is connected to."""

    accounts: list[str]
    connections: list[ConnectionShown]
    credentials: list[CredentialShown]


class Found(Answer):
    """One check and its result: ok, warn or fail."""

    area: str
    what: str
    verdict: str
    text: str
    todo: str = Field(default="", description="What to do about it.")


class Examined(Answer):
    """The results of all checks; `ok` if none failed."""

    ok: bool
    lines: list[Found]


class Subscribed(Answer):
    """Whether one trigger of a shop reaches us."""

    shop: str
    trigger: str
    state: str
    url: str
    done: str = Field(default="", description="What was done about it.")


class OtherSubscription(Answer):
    """A subscription with another address."""

    shop: str
    trigger: str
    url: str
    active: bool


class ShopFailed(Answer):
    """A shop that could not be asked, and why."""

    shop: str
    problem: str


class WebhooksListed(Answer):
    """The subscriptions to what mcfd listens to, and all others."""

    webhooks: list[Subscribed]
    others: list[OtherSubscription]
    failed: list[ShopFailed]


class WebhooksSynced(Answer):
    """What was done for each subscription."""

    webhooks: list[Subscribed]
    failed: list[ShopFailed]


class ReceiverTried(Answer):
    """A receiver, and `sent` or the error."""

    name: str
    result: str


class Tested(Answer):
    """The result of a test message for each receiver."""

    receivers: list[ReceiverTried]


class ReasonShown(Answer):
    """A reason that shoppers gave, for how many units, and its code at Amazon."""

    shop: str
    parent: str
    reason: str
    units: int
    code: str | None
    mapped: bool = Field(default=False, description="Whether a mapping names the code; else it is the shop's default.")
    allowed: bool = Field(default=False, description="Whether Amazon allows the code for the SKU, when one was named.")


class ReasonsShown(Answer):
    """Every reason that shoppers gave, and what Amazon allows for a SKU, when one was named."""

    reasons: list[ReasonShown] = Field(default=[])
    yaml: str = Field(default="", description="The mappings that the store keeps, for the file.")
    sku: str = ""
    allowed: list[str] = Field(default=[])


class Invitation(Answer):
    """A link that one browser may open within so many seconds."""

    url: str
    expires_in: int
    warning: str


def _unseen(account: str, problem: str) -> dict[str, str]:
    """The doctor's line for an account that could not be examined."""
    return {"area": account, "what": "node", "verdict": "fail", "text": problem, "todo": "look at `mcfd status`"}


# ---- the verbs

DOCTOR = Verb(
    name="doctor",
    help="""Look at everything that mcfd depends on, change nothing, and say what works.

    Asks both vendors, with and without the daemon running. Exits 0 only when nothing fails; warnings do not count.
    """,
    examples=("mcfd doctor", "mcfd doctor --json"),
    need=EXAMINATION,
    arguments=Nothing,
    answer=Examined,
    run=lambda at, _: at.examine(),
    concerns=lambda _: OfShop(),
    without=lambda account, problem: {"ok": False, "lines": [_unseen(account, problem)]},
    shown=(Findings("lines"),),
    patience=LONG,
    busy="asking both vendors …",
    failed=lambda answer: not answer["ok"],
)

CONNECTIONS = Verb(
    name="connections",
    help="Show which vendors the running daemon can work with, and how old the credentials are; asks nobody.",
    examples=("mcfd connections",),
    need=DAEMON,
    arguments=Nothing,
    answer=ConnectionsShown,
    run=lambda at, _: at.connections(),
    concerns=lambda _: OfShop(),
    without=lambda account, problem: {
        "accounts": [account],
        "connections": [{"name": account, "problem": problem}],
        "credentials": [],
    },
    shown=(
        Table("Connections", "connections", ("name", "problem"), words={"problem": {"": "works"}}),
        Table("Credentials", "credentials", ("name", "days", "lives")),
    ),
    failed=lambda answer: any(row["problem"] for row in answer["connections"]),
)

_SUBSCRIBED = Table("Webhooks", "webhooks", ("shop", "trigger", "state", "done", "url"))

_FAILED = Table("Shops that could not be asked", "failed", ("shop", "problem"))

WEBHOOKS_LIST = Verb(
    name="webhooks list",
    help="Show which of the triggers that mcfd listens to are subscribed, and what else is.",
    examples=("mcfd webhooks list --shop acme",),
    need=VENDORS,
    arguments=MaybeShop,
    answer=WebhooksListed,
    run=lambda at, given: at.webhooks.listing(given.shop),
    concerns=lambda given: OfShop(given.shop),
    without=lambda account, problem: {"webhooks": [], "others": [], "failed": [{"shop": account, "problem": problem}]},
    shown=(
        _SUBSCRIBED,
        Table("Other subscriptions, left alone", "others", ("shop", "trigger", "active", "url")),
        _FAILED,
    ),
    busy="asking Loop …",
    failed=lambda answer: bool(answer["failed"]),
)

WEBHOOKS_SYNC = Verb(
    name="webhooks sync",
    help="""Create missing subscriptions and activate inactive ones; never makes a second one.

    It lists first, so it can be repeated at any time. Subscriptions to other URLs are left alone.
    """,
    examples=("mcfd webhooks sync",),
    need=VENDORS,
    arguments=MaybeShop,
    answer=WebhooksSynced,
    run=lambda at, given: at.webhooks.sync(given.shop),
    concerns=lambda given: OfShop(given.shop),
    sends=True,
    without=lambda account, problem: {"webhooks": [], "failed": [{"shop": account, "problem": problem}]},
    shown=(_SUBSCRIBED, _FAILED),
    busy="asking Loop …",
    failed=lambda answer: bool(answer["failed"]),
    hint=HINT,
)

REASONS = Verb(
    name="reasons",
    help="Show the reasons that shoppers gave, and the code that each maps to.",
    examples=("mcfd reasons", "mcfd reasons --sku SOCK-2P-M", "mcfd reasons --yaml"),
    need=VENDORS,
    arguments=MaybeSku,
    answer=ReasonsShown,
    run=lambda at, given: at.settings.as_yaml() if given.yaml else at.reasons.seen(given.sku, given.account),
    concerns=lambda given: OfAccount(given.account) if given.sku and not given.yaml else None,
    shown=(
        Table(
            "Reasons",
            "reasons",
            ("shop", "parent", "reason", "units", "code", "mapped", "allowed"),
            none="No unit is stored yet.",
            words={"code": {None: "the shop is not configured"}},
        ),
        Table("Amazon allows for {sku}", "allowed", ("code",)),
        Bare("yaml"),
    ),
)

NOTIFY = Verb(
    name="notify test",
    help="Send a test message to everybody that `notify:` in the configuration names.",
    examples=("mcfd notify test",),
    need=DAEMON,
    arguments=Nothing,
    answer=Tested,
    run=lambda at, _: at.send_test(),
    shown=(Table("Receivers", "receivers", ("name", "result")),),
    busy="sending …",
    failed=lambda answer: any(row["result"] != "sent" for row in answer["receivers"]),
)

AUTHORIZE = Verb(
    name="authorize amazon",
    help="""Print a link that leads to Amazon's consent page; it is good once, for ten minutes.

    Open it in a browser where you are signed in to Seller Central. The running daemon keeps the authorization,
    encrypted. A private application does not need this: write its refresh token into the secret file.
    """,
    examples=("mcfd authorize amazon",),
    need=DAEMON,
    arguments=MaybeAccount,
    answer=Invitation,
    run=lambda at, given: at.invite(given.account),
    shown=(Bare("url", warning="warning"),),
)

VERBS: tuple[Verb[Any, Any, Any], ...] = (DOCTOR, CONNECTIONS, WEBHOOKS_LIST, WEBHOOKS_SYNC, REASONS, NOTIFY, AUTHORIZE)
