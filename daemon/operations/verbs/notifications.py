"""The verbs about Amazon's notifications, and the client secrets that it sends."""

from typing import Any

from pydantic import Field

from daemon.operations.verb import VENDORS, Answer, Bare, Facts, MaybeAccount, OfAccount, Signed, Table, Verb


class SignedForAccount(Signed, MaybeAccount):
    """Who asks, and for which account."""


class SubscriptionShown(Answer):
    """One subscription of the seller to news of fulfillment orders."""

    subscription: str
    queue: str
    filtered: bool = Field(description="Whether only returns are told.")
    ours: bool = Field(description="Whether it leads to the queue of the configuration.")


class NotificationsListed(Answer):
    """Whether Amazon's notifications reach our queue, and where else they go."""

    queue: str
    destination: bool = Field(description="Whether Amazon knows the queue.")
    subscribed: bool
    subscriptions: list[SubscriptionShown]


class NotificationsSynced(Answer):
    """What was done so that notifications reach our queue."""

    queue: str
    filtered: bool
    done: list[str]


class RotationAsked(Answer):
    """When another client secret was asked for."""

    asked: str
    text: str


class SecretsShown(Answer):
    """The content that the secret file amazon_client_secret should have: one per line, newest first."""

    secrets: str
    warning: str


NOTIFICATIONS_LIST = Verb(
    name="notifications list",
    help="Show whether Amazon knows our queue, and every subscription of the seller to news of fulfillment orders.",
    examples=("mcfd notifications list",),
    need=VENDORS,
    arguments=MaybeAccount,
    answer=NotificationsListed,
    run=lambda at, given: at.notifications(given.account).listing(),
    concerns=lambda given: OfAccount(given.account),
    shown=(
        Facts(("queue", "destination", "subscribed")),
        Table("Subscriptions", "subscriptions", ("subscription", "queue", "filtered", "ours"), none="There are none."),
    ),
    busy="asking Amazon …",
)

NOTIFICATIONS_SYNC = Verb(
    name="notifications sync",
    help="""Name our queue to Amazon and subscribe it to returns, where that is missing; never makes a second one.

    It lists first, so it can be repeated at any time. Subscriptions that lead elsewhere are left alone.
    """,
    examples=("mcfd notifications sync",),
    need=VENDORS,
    arguments=MaybeAccount,
    answer=NotificationsSynced,
    run=lambda at, given: at.notifications(given.account).sync(),
    concerns=lambda given: OfAccount(given.account),
    sends=True,
    busy="asking Amazon …",
)

ROTATE = Verb(
    name="rotate-client-secret",
    help="""Ask Amazon for another client secret. It arrives in the queue, is kept sealed, and tried first.

    The one before goes on for a week; whoever else uses this client id needs the new one by then. `mcfd client-secret`
    prints it for the secret file.
    """,
    examples=("mcfd rotate-client-secret",),
    need=VENDORS,
    arguments=SignedForAccount,
    answer=RotationAsked,
    run=lambda at, given: at.rotation(given.account).ask(given.by),
    concerns=lambda given: OfAccount(given.account),
    sends=True,
    patience=120.0,
    busy="asking Amazon, which allows one a minute …",
)

CLIENT_SECRET = Verb(
    name="client-secret",
    help="""Print what the secret file amazon_client_secret ought to hold: what Amazon sent, and what it holds now.

    While a secret is in the store alone, a lost disk takes the only copy.
    """,
    examples=("mcfd client-secret",),
    need=VENDORS,
    arguments=MaybeAccount,
    answer=SecretsShown,
    run=lambda at, given: at.rotation(given.account).show(),
    shown=(Bare("secrets", warning="warning"),),
)

VERBS: tuple[Verb[Any, Any, Any], ...] = (NOTIFICATIONS_LIST, NOTIFICATIONS_SYNC, ROTATE, CLIENT_SECRET)
