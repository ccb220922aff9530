"""The verb that takes over returns whose past the store does not know."""

from typing import Annotated

from pydantic import Field

from daemon.operations.verb import DAEMON, Answer, OfReturns, OfShop, Page, Paged, Signed, Table, Text, Verb

Days = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}d$")]


class Adopt(Signed, Paged):
    """Which returns to take over."""

    returns: list[Text] = Field(default=[], title="RETURN", description="Loop's return ids, or shop/id.")
    open_: bool = Field(
        default=False, description="All returns that still await something; all shops, unless --shop says one."
    )
    since: Days = Field(default="60d", description="With --open: only those that changed in these days.")
    shop: Text | None = Field(default=None, description="One shop only.")
    dry_run: bool = Field(default=False, description="Only say what would be taken over, and why not the others.")

    @property
    def named(self) -> tuple[str, ...]:
        """The returns with their shop, as far as it was said."""
        return tuple(name if "/" in name or not self.shop else f"{self.shop}/{name}" for name in self.returns)


class AdoptedRow(Answer):
    """One return: what came of it, its state now, and why it was not taken over."""

    return_: str
    result: str
    state: str
    why: str


class Adoptions(Page):
    """A part of what came of the returns; `summary` counts all of them, by result."""

    rows: list[AdoptedRow]
    summary: dict[str, int]
    progress: str


ADOPT = Verb(
    name="adopt",
    help="""Take over returns whose past mcfd does not know: after a lost disk, or from another integration.

    RETURN is Loop's return id, or shop/id. --open takes all that Loop has open, in review, expired or cancelled. Reads
    Loop and Amazon within their limits; nothing is told, bought or asked for twice. It goes on in the daemon when this
    command is interrupted, and can be repeated at any time.
    """,
    examples=("mcfd adopt --open --since 60d --dry-run", "mcfd adopt --open", "mcfd adopt 58120031 acme/58120032"),
    need=DAEMON,
    arguments=Adopt,
    answer=Adoptions,
    run=lambda at, given: at.adoptions.page(given),
    concerns=lambda given: OfReturns(given.named) if given.returns else OfShop(given.shop),
    shown=(
        Table("Returns", "rows", ("return", "result", "state", "why"), none="There was nothing to take over."),
        Table("Summary", "summary", ("result", "returns")),
    ),
    busy="Reading Loop and Amazon …",
    failed=lambda answer: any(answer["summary"].get(result) for result in ("ambiguous", "failed")),
)

VERBS = (ADOPT,)
