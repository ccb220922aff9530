"""A verb as data: what it takes, what it answers, what it needs, and how people see the answer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from daemon.errors import OperatorError

if TYPE_CHECKING:  # what carries verbs out takes far longer to load than the table of them
    from daemon.operations.access import DaemonAccess, Examination, StoreAccess, VendorAccess

SHORT, LONG = 60.0, 3600.0
"""Seconds that the command line waits for the daemon."""

Text = Annotated[str, Field(min_length=1)]


def _in_utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


Day = Annotated[datetime, AfterValidator(_in_utc)]
"""A day, an instant, or Unix seconds; UTC where no zone is named."""


class _Model(BaseModel):
    """A field that Python keeps for itself (`return`) has an underscore behind it here, and none outside."""

    model_config = ConfigDict(
        alias_generator=lambda name: name.removesuffix("_"),
        validate_by_name=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        defer_build=True,
    )


class Arguments(_Model):
    """What a verb takes. A description tells people what to write, a title how the command line calls it."""


class Signed(Arguments):
    """What a verb takes that writes down who asked."""

    by: Text = Field(description="Who asks, for the history of the return.")


class Previewed(Signed):
    """What a verb takes that can also say what it would do."""

    preview: bool = Field(default=False, description="Change nothing; `note` says what would be done.")


class Keyed(Arguments):
    """What a verb takes that seals."""

    newest_key: Text | None = Field(
        default=None, description="The mark of the newest vault key that the asker knows; refused if it is not ours."
    )


class Paged(Arguments):
    """What a verb takes that answers in pages."""

    after: int = Field(default=0, ge=0, description="Where the page begins: what the page before gave as `next`.")


class Answer(_Model):
    """What a verb answers. A field with a default that is not set is left out."""


class Page(Answer):
    """A part of a long answer; adds `rows`. `next` is None at the end."""

    next: int | None


Row = Mapping[str, Any]


def _always(_rows: Sequence[Row]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Facts:
    """Show names and values: those that are named, or all; some under another name."""

    names: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """Show one list, or one mapping, of the answer; nothing when the answer lacks it.

    `{…}` in the title is a value of the answer. `none` is said when there are no rows, `total` with their number.
    `words` are said for values of a column; rows that have the value `but` in its column are left out.
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
    """Show what happened when: a line for each, in which nothing is cut."""

    title: str
    part: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Show verdicts, and what to do about those that are not well."""

    part: str


@dataclass(frozen=True, slots=True)
class Bare:
    """Show one value alone, so that it can be piped on; a warning goes beside it."""

    name: str
    warning: str


Shown = Facts | Table | Timeline | Findings | Bare

H = TypeVar("H")
A = TypeVar("A", bound=Arguments)
R = TypeVar("R", bound=Answer)


@dataclass(frozen=True, slots=True, eq=False)
class Need(Generic[H]):
    """What must be there. While no daemon runs, the command line opens it, if it can."""

    offline: bool = True
    unhindered: bool = False  # also does something when it cannot be had


EXAMINATION: "Need[Examination]" = Need(unhindered=True)
STORE: "Need[StoreAccess]" = Need()
VENDORS: "Need[VendorAccess]" = Need()
DAEMON: "Need[DaemonAccess]" = Need(offline=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb(Generic[H, A, R]):
    """One thing that a person may ask. `name` is what the command line calls it; `path` is its place in the API.

    `each` is an argument of which the command line takes many and asks for one after the other. `busy` is shown
    meanwhile, `hint` after the answer. An answer that has `failed` makes the command line exit 1. One that `asks` takes
    Previewed arguments: the command line shows the preview's `note` and asks, unless it is told --yes.
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

    @property
    def asks(self) -> bool:
        """Whether it can say what it would do, and a person is asked before it is done."""
        return issubclass(self.arguments, Previewed)

    @property
    def path(self) -> str:
        """The name as a part of a URL."""
        return self.name.replace(" ", "_").replace("-", "_")

    async def call(self, access: H, given: Mapping[str, object]) -> dict[str, Any]:
        """Do it with arguments as JSON carries them; the answer as JSON. Raises OperatorError, McfdError."""
        try:
            arguments = self.arguments.model_validate(given)
        except ValidationError as error:
            raise OperatorError(_explain(error, self.arguments)) from None
        answer = await self.run(access, arguments)
        return answer.model_dump(mode="json", exclude_unset=True)


_MEANINGS = {  # by pydantic's error type; {…} are its own limits
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
}


def _explain(error: ValidationError, arguments: type[Arguments]) -> str:
    """The first thing that is wrong, never with the value that was given."""
    details = error.errors(include_url=False, include_input=False)[0]
    name = str(details["loc"][0]) if details["loc"] else "the body"
    if details["type"] == "extra_forbidden":
        known = ", ".join(one.alias or "" for one in arguments.model_fields.values())
        return f"{name} is no argument; there are: {known or 'none'}"
    if details["type"].startswith("datetime"):
        return f"{name.upper()} is not a day; write one like 2026-10-01"
    meaning = _MEANINGS.get(details["type"], "is not right; `mcfd --help` and /openapi.json say what it takes")
    return f"{name.upper()} {meaning.format(**details.get('ctx', {}))}"


def instant(at: float | None) -> str | None:
    """Unix seconds as people and spreadsheets read them, in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
