"""The envelope around every answer of the Selling Partner API: a payload, or errors. PURE."""

import re
from dataclasses import dataclass, field

from adapters.vendor_calls.json import code_word, printable
from adapters.vendor_calls.reading import JsonObject, parse
from daemon.errors import ContractBroken, McfdError, RateLimited, Refused, Unavailable

UNAUTHORIZED = "Unauthorized"
LONGEST_MESSAGE = 300
LONGEST_READ = 2000
MOST_ERRORS = 5

# Codes of temporary errors, whatever HTTP status comes with them.
FAILING = frozenset({"internalfailure", "internalerror", "internalservererror", "serviceunavailable"})
LIMITING = frozenset({"quotaexceeded", "toomanyrequests", "requestthrottled"})

# https://github.com/amzn/selling-partner-api-models/issues/4489: tokens are issued, but every call gets this 403, even
# for half an hour or more after the secret was replaced.
SECRET_EXPIRED = re.compile(r"(lwa|client)secret\w{0,200}expired")
RENEW_IT = (
    "the application's client secret has expired: put the new one into the secret file amazon_client_secret; if that "
    "was done, wait, for Amazon may go on refusing for half an hour"
)
DENIALS = (
    (re.compile(r"accesstorequestedresourceisdenied"), "Access to requested resource is denied"),
    (re.compile(r"accesstoken\w{0,200}(expired|revoked|invalid|malformed)"), "the access token is not accepted"),
)

UNKNOWN = re.compile(r"not(be)?found|does(not|nt)exist|nosuch|unabletofind")


@dataclass(frozen=True, slots=True)
class VendorError:
    """One row of `errors`, as sent."""

    code: str
    message: str = field(repr=False)
    details: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer. Status and body together decide whether it is a success."""

    operation: str
    status: int
    document: JsonObject = field(repr=False)
    payload: JsonObject | None = field(repr=False)
    errors: tuple[VendorError, ...]

    @property
    def failed(self) -> bool:
        """Whether there is no result. Amazon also fails with status 200 and a list of errors."""
        return self.status >= 300 or bool(self.errors and not (self.payload and self.payload.members))

    @property
    def unknown(self) -> bool:
        """Whether nothing has that id: a 404 of the application (no gateway), or the 400 that Amazon really sends."""
        if self.status == 404:
            return bool(self.errors)
        return self.status == 400 and self.said(UNKNOWN)

    def accept(self) -> JsonObject:
        """Return the payload; raises Refused, Transient for a temporary error, or ContractBroken."""
        if self.failed:
            raise self.failure()
        if self.payload is None:
            raise ContractBroken(f"{self.operation}: the answer has neither payload nor errors")
        return self.payload

    def failure(self) -> McfdError:
        """Build the error that the answer stands for."""
        if self.code.casefold() in LIMITING:
            return RateLimited(f"{self.operation}: {self.code} (status {self.status})")
        if self.code.casefold() in FAILING:
            return Unavailable(f"{self.operation}: {self.code} (status {self.status})")
        return Refused(self.code, said=self.words)

    @property
    def code(self) -> str:
        """Amazon's code of the first error; the status when there is none."""
        return (code_word(self.errors[0].code) if self.errors else "") or f"HTTP{self.status}"

    @property
    def words(self) -> str:
        """Amazon's text. Not for a log: it may repeat what we sent."""
        said = "; ".join(f"{e.message} ({e.details})" if e.details else e.message for e in self.errors)
        return printable(said, LONGEST_MESSAGE)

    def said(self, pattern: re.Pattern[str]) -> bool:
        """Say whether an error matches; only letters and digits of its code and texts count, in lower case."""
        return any(pattern.search(_letters(f"{e.code}|{e.message}|{e.details}")) for e in self.errors)


def read(operation: str, status: int, body: bytes) -> Answer:
    """Parse an answer. Raises ContractBroken when it is not a JSON object, Unavailable when a success has no body."""
    if status < 300 and not body.strip():
        raise Unavailable(f"{operation}: the answer is empty (status {status})")
    document = parse(operation, body)
    payload = document.optional_child("payload") if status < 300 else None
    return Answer(operation, status, document, payload, _errors(document))


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a call got 401 or 403, fit for a log; `secret_expired` means the application's client secret."""

    words: str
    secret_expired: bool = False


def denial(operation: str, status: int, body: bytes) -> Denial:
    """Read a 401 or 403, which may come from a gateway and hold no JSON. Only known words are repeated."""
    try:
        answer = read(operation, status, body)
    except ContractBroken:
        return Denial(f"status {status}")
    if answer.said(SECRET_EXPIRED):
        return Denial(RENEW_IT, secret_expired=True)
    known = next((words for pattern, words in DENIALS if answer.said(pattern)), answer.code)
    return Denial(f"{known} (status {status})" if answer.errors else f"status {status}")


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
