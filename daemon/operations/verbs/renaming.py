"""The verbs that follow a new name in the configuration."""

from typing import Any

from pydantic import Field

from daemon.operations.verb import VENDORS, Answer, Arguments, Text, Verb


class Names(Arguments):
    """The name before, and the name in the configuration now."""

    old: Text = Field(description="The name before.")
    new: Text = Field(description="The name in the configuration now.")


class Renamed(Answer):
    """What has another name now, and how many returns went with it."""

    kind: str
    was: str
    name: str
    returns: int
    note: str


RENAME_SHOP = Verb(
    name="rename shop",
    help="""Give what is kept of a shop to the name that the configuration has for it now. Stop mcfd first.

    Ids and notes of returns that were opened under the old name stay as they are, and its webhooks are still heard.
    """,
    examples=("mcfd rename shop acme acme-us",),
    need=VENDORS,
    arguments=Names,
    answer=Renamed,
    run=lambda at, given: at.renaming().shop(given.old, given.new),
)

RENAME_ACCOUNT = Verb(
    name="rename account",
    help="""Give what is kept of an account to the name that the configuration has for it now. Stop mcfd first.

    The account of a configuration without `accounts` is called main.
    """,
    examples=("mcfd rename account main acme",),
    need=VENDORS,
    arguments=Names,
    answer=Renamed,
    run=lambda at, given: at.renaming().account(given.old, given.new),
)

VERBS: tuple[Verb[Any, Any, Any], ...] = (RENAME_SHOP, RENAME_ACCOUNT)
