"""The envelope around every answer of the Selling Partner API: a payload, or errors. PURE."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from adapters.vendor_calls.json import printable, without
from adapters.vendor_calls.reading import JsonObject, parse
from daemon.errors import ContractBroken, McfdError, RateLimited, Refused, Unavailable

UNAUTHORIZED = "Unauthorized"
LONGEST_CODE = 64
LONGEST_MESSAGE = 300
LONGEST_READ = 2000
MOST_ERRORS = 5

# Codes of errors that pass, whatever the status they travel with.
FAILING = frozenset({"internalfailure", "internalerror", "internalservererror", "serviceunavailable"})
LIMITING = frozenset({"quotaexceeded", "toomanyrequests", "requestthrottled"})

UNKNOWN = re.compile(r"not(be)?found|does(not|nt)exist|nosuch|unabletofind")


@dataclass(frozen=True, slots=True)
class VendorError:
    """One row of `errors`, as it was sent."""

    code: str
    message: str = field(repr=False)
    details: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer; whether it is a success is decided by status and body together."""

    operation: str
    status: int
    document: JsonObject = field(repr=False)
    payload: JsonObject | None = field(repr=False)
    errors: tuple[VendorError, ...]

    @property
    def failed(self) -> bool:
        """It carries no result; Amazon also says so with status 200 and a list of errors."""
        return self.status >= 300 or bool(self.errors and not (self.payload and self.payload.members))

    @property
    def unknown(self) -> bool:
        """Nothing has that id: a 404 of the application (not of a gateway), or the 400 that Amazon really sends."""
        if self.status == 404:
            return bool(self.errors)
        return self.status == 400 and self.said(UNKNOWN)

    def accept(self, private: Collection[str] = ()) -> JsonObject:
        """Return the payload; raises Refused, or Transient for an error that passes, or ContractBroken."""
        if self.failed:
            raise self.failure(private)
        if self.payload is None:
            raise ContractBroken(f"{self.operation}: the answer has neither payload nor errors")
        return self.payload

    def failure(self, private: Collection[str] = ()) -> McfdError:
        """Build the error that the answer stands for."""
        code = printable(self.errors[0].code, LONGEST_CODE) if self.errors else ""
        if code.casefold() in LIMITING:
            return RateLimited(f"{self.operation}: {code} (status {self.status})")
        if code.casefold() in FAILING:
            return Unavailable(f"{self.operation}: {code} (status {self.status})")
        return Refused(code or f"HTTP{self.status}", self.words(private))

    def words(self, private: Collection[str] = ()) -> str:
        """Return what Amazon says, fit for a log.

        The details of an error may repeat what we sent: they are added, without those texts, when `private` names them.
        """
        said = "; ".join(f"{e.message} ({e.details})" if private and e.details else e.message for e in self.errors)
        return printable(without(said, private), LONGEST_MESSAGE)

    def said(self, pattern: re.Pattern[str]) -> bool:
        """Say whether an error matches, looking at the lower-case letters and digits of its code and texts."""
        return any(pattern.search(_letters(f"{e.code}|{e.message}|{e.details}")) for e in self.errors)


def read(operation: str, status: int, body: bytes) -> Answer:
    """Take an answer apart; ContractBroken when it is not a JSON object."""
    document = parse(operation, body)
    payload = document.optional_child("payload") if status < 300 else None
    return Answer(operation, status, document, payload, _errors(document))


def denial(operation: str, status: int, body: bytes) -> str:
    """Return the words of a 401 or 403, which may come from a gateway and hold no JSON."""
    try:
        answer = read(operation, status, body)
    except ContractBroken:
        return f"status {status}"
    return answer.words() or f"status {status}"


def _errors(document: JsonObject) -> tuple[VendorError, ...]:
    sent = document.members.get("errors")
    rows = sent if isinstance(sent, list) else [sent]
    return tuple(
        VendorError(_word(row, "code"), _word(row, "message"), _word(row, "details"))
        for row in rows[:MOST_ERRORS]
        if isinstance(row, dict)
    )


def _word(row: dict[str, object], name: str) -> str:
    value = row.get(name)
    return value[:LONGEST_READ] if isinstance(value, str) else ""


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9|]", "", text.casefold())
