"""A verb as data: its arguments, its answer, what it needs, and how its answer is shown."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from daemon.errors import OperatorError

if TYPE_CHECKING:  # executing verbs imports far more than their table does
    from daemon.operations.access import DaemonAccess, Examination, StoreAccess, VendorAccess

SHORT, LONG = 60.0, 3600.0
"""Seconds that the command line waits for the daemon."""

Text = Annotated[str, Field(min_length=1)]


def _in_utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


Day = Annotated[datetime, AfterValidator(_in_utc)]
"""A day, an instant, or Unix seconds; in UTC if no zone is given."""


class _Model(BaseModel):
    """Base model. A field named like a Python keyword (`return`) has a trailing underscore here, and none outside."""

    model_config = ConfigDict(
        alias_generator=lambda name: name.removesuffix("_"),
        validate_by_name=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        defer_build=True,
    )


class Arguments(_Model):
    """The arguments of a verb. A description tells people what to write, a title is the name on the command line."""


class Signed(Arguments):
    """Arguments of a verb that records who asked."""

    by: Text = Field(description="Who asks, for the history of the return.")


class MaybeAccount(Arguments):
    """One account, or the only one."""

    account: Text | None = Field(default=None, description="Which account, where there are several.")


class Foreseen(Signed):
    """Arguments of a verb that can also preview its effect."""

    preview: bool = Field(default=False, description="Change nothing; `note` says what would be done.")


class Previewed(Foreseen):
    """The same for a verb that cannot be undone: the command line previews it, and asks."""


class Typed(Signed):
    """Arguments with a value that is a secret: the command line reads it from standard input, never from arguments."""

    value: SecretStr = Field(min_length=1, description="The secret.")


class Keyed(Arguments):
    """Arguments of a verb that seals values."""

    newest_key: Text | None = Field(
        default=None, description="The mark of the newest vault key that the asker knows; refused if it is not ours."
    )


class Paged(Arguments):
    """Arguments of a verb that answers in pages."""

    after: int = Field(default=0, ge=0, description="Where the page begins: what the page before gave as `next`.")


class Answer(_Model):
    """The answer of a verb. Fields with a default that were not set are left out."""


class Page(Answer):
    """A part of a long answer; subclasses add `rows`. `next` is None at the end."""

    next: int | None


Row = Mapping[str, Any]


def _always(_rows: Sequence[Row]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Facts:
    """Show names and values: the given ones, or all; some under another name."""

    names: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """Show one list, or one mapping, of the answer; nothing if the answer lacks it.

    `{…}` in the title is a value of the answer. `none` is printed if there are no rows, `total` with their number.
    `words` replace values of a column; rows with the value `but` in its column are left out.
    """

    title: str
    part: str
    columns: tuple[str, ...]
    none: str = ""
    total: str = ""
    words: Mapping[str, Mapping[object, str]] = field(default_factory=dict)
    when: Callable[[Sequence[Row]], bool] = _always
    but: tuple[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """Show what happened when: one line each, never cut."""

    title: str
    part: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Show the results of checks, with advice for those that are not ok."""

    part: str


@dataclass(frozen=True, slots=True)
class Bare:
    """Show one value alone, so that it can be piped; a warning goes to standard error."""

    name: str
    warning: str = ""


Shown = Facts | Table | Timeline | Findings | Bare

H = TypeVar("H")
A = TypeVar("A", bound=Arguments)
R = TypeVar("R", bound=Answer)


@dataclass(frozen=True, slots=True, eq=False)
class Need(Generic[H]):
    """What a verb needs. If no daemon runs, the command line opens it, if possible."""

    offline: bool = True
    unhindered: bool = False  # also works if something is missing


EXAMINATION: "Need[Examination]" = Need(unhindered=True)
STORE: "Need[StoreAccess]" = Need()
VENDORS: "Need[VendorAccess]" = Need()
DAEMON: "Need[DaemonAccess]" = Need(offline=False)


@dataclass(frozen=True, slots=True)
class OfReturns:
    """A verb works with the connections of these returns' shops; returns are named as operators do."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OfShop:
    """A verb works with the connections of one shop and its account; without a name, of all."""

    name: str | None = None


@dataclass(frozen=True, slots=True)
class OfAccount:
    """A verb works with one account's connections; the name may be left out where there is only one account."""

    name: str | None


Concerns = OfReturns | OfShop | OfAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb(Generic[H, A, R]):
    """One operation for operators. `name` is its name on the command line; `path` is its path in the API.

    `each` is an argument that may be given several times on the command line, with one call for each. `busy` is shown
    during the call, `hint` after the answer. An answer with `failed` makes the command line exit with 1. A verb that
    `asks` takes Previewed arguments: the command line shows the preview's `note` and asks, unless --yes is given.

    Where several nodes share the accounts, `concerns` says by the arguments on which of them the verb runs; None: on
    any, because it needs the store alone. `sends`: it changes something at a vendor. Answers of several accounts are
    added up; that of an account which cannot be asked is `without(account, problem)`.
    """

    name: str
    help: str
    examples: tuple[str, ...]
    need: Need[H]
    arguments: type[A]
    answer: type[R]
    run: Callable[[H, A], Awaitable[R]]
    shown: tuple[Shown, ...] = (Facts(),)
    each: str = ""
    patience: float = SHORT
    busy: str = ""
    hint: str = ""
    failed: Callable[[Mapping[str, Any]], bool] = lambda _answer: False
    concerns: Callable[[A], Concerns | None] = lambda _given: None
    sends: bool = False
    without: Callable[[str, str], dict[str, Any]] | None = None

    @property
    def asks(self) -> bool:
        """Whether the verb has a preview, and a person is asked before it runs."""
        return issubclass(self.arguments, Previewed)

    @property
    def path(self) -> str:
        """The name as a part of a URL."""
        return self.name.replace(" ", "_").replace("-", "_")

    def read(self, given: Mapping[str, object]) -> A:
        """The arguments from JSON. Raises OperatorError."""
        try:
            return self.arguments.model_validate(given)
        except ValidationError as error:
            raise OperatorError(_explain(error, self.arguments)) from None

    async def call(self, access: H, given: Mapping[str, object]) -> dict[str, Any]:
        """Run the verb with JSON arguments; returns a JSON answer. Raises OperatorError, McfdError."""
        answer = await self.run(access, self.read(given))
        return answer.model_dump(mode="json", exclude_unset=True)


_MEANINGS = {  # by pydantic's error type; {…} are filled with its limits
    "missing": "is missing; give it a value",
    "string_too_short": "is empty; give it a value",
    "too_short": "is empty; name at least one",
    "string_type": "is not text; put it in quotes",
    "list_type": 'is not a list; write ["…"]',
    "bool_type": "is not true or false; write one of them",
    "bool_parsing": "is not true or false; write one of them",
    "int_type": "is not a whole number; write one like 8",
    "int_parsing": "is not a whole number; write one like 8",
    "greater_than_equal": "is too small; write {ge} or more",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "is not spelled right; write it as in the examples of its --help",
}


def _explain(error: ValidationError, arguments: type[Arguments]) -> str:
    """Describe the first error, never with the given value."""
    details = error.errors(include_url=False, include_input=False)[0]
    name = str(details["loc"][0]) if details["loc"] else "the body"
    if details["type"] == "extra_forbidden":
        known = ", ".join(one.alias or "" for one in arguments.model_fields.values())
        return f"{name} is no argument; there are: {known or 'none'}"
    if details["type"].startswith("datetime"):
        return f"{name.upper()} is not a day; write one like 2026-10-01"
    meaning = _MEANINGS.get(details["type"], "is not right; `mcfd --help` and /openapi.json say what it takes")
    return f"{name.upper()} {meaning.format(**details.get('ctx', {}))}"


def money(cents: int) -> str:
    """Format cents with a point and two digits."""
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def instant(at: float | None) -> str | None:
    """Format Unix seconds for people and spreadsheets, in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
