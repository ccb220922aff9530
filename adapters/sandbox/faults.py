"""Deliberate faults: chosen by vendor and operation, by count or by seeded chance."""

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

FaultKind = Literal[
    "status",
    "error",
    "empty",
    "contradiction",
    "delay",
    "hang",
    "drop",
    "lose",
    "duplicate",
    "reorder",
    "foreign",
    "malformed",
]
HTTP_KINDS = frozenset({"status", "error", "empty", "contradiction", "delay", "hang", "drop"})
WEBHOOK_KINDS = frozenset({"lose", "duplicate", "delay", "reorder"})
KINDS = {
    **dict.fromkeys(("lwa", "amazon", "shipping", "notifications", "queue", "easypost", "loop"), HTTP_KINDS),
    "webhook": WEBHOOK_KINDS,
    "notification": WEBHOOK_KINDS | {"foreign", "malformed"},
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    `vendor` is `lwa`, `amazon`, `shipping`, `notifications`, `queue` (the queue's own API, when read through the
    sandbox), `easypost`, `loop`, `webhook` (deliveries of Loop or EasyPost; `operation` is then the trigger, or the
    description) or `notification` (Amazon's messages to the queue; `operation` is then their type).
    `status`: an answer with that status and an HTML body, as gateways send. `error`: that status with the vendor's own
    JSON for an exhausted quota or an internal error. `empty`: 200 without a body. `contradiction`: 200 with an
    error inside. `delay`: `seconds` of silence, then the answer. `hang`: silence for `seconds` (0: until the sandbox
    stops), then the connection drops. `drop`: the connection drops. `lose`, `duplicate`, `delay`, `reorder` (held back
    until the next delivery has gone out, `seconds` at most) are for webhooks and notifications; `foreign` (another
    seller's message goes first) and `malformed` (only half is sent) for notifications alone.
    `code` and `says` replace the code and the text of that answer. The text also appears in its headers, because
    vendors repeat what they were sent: put a shopper's address there to see whether it leaks. `retry_after` is the
    Retry-After of that answer, in seconds.
    `after_effect`: the request has its effect before it goes wrong. `count`: how often; None for ever.
    """

    vendor: str
    kind: FaultKind
    operation: str = "*"
    status: int = 503
    seconds: float = 0.0
    probability: float = 1.0
    count: int | None = None
    after_effect: bool = False
    code: str = ""
    says: str = ""
    retry_after: float = 0.0

    def __post_init__(self) -> None:
        if self.vendor not in KINDS:
            raise ValueError(f"there is no vendor {self.vendor!r}; one of {', '.join(KINDS)}")
        allowed = KINDS[self.vendor]
        if self.kind not in allowed:
            raise ValueError(f"{self.vendor} has no fault {self.kind!r}; one of {', '.join(sorted(allowed))}")
        if not 0 <= self.probability <= 1:
            raise ValueError("a probability lies between 0 and 1")
        if self.status not in range(200, 600):
            raise ValueError("a status is a number from 200 to 599")
        if not (0 <= self.seconds < math.inf and 0 <= self.retry_after < math.inf):
            raise ValueError("seconds are a number, 0 or more")
        if not self.says.isprintable():
            raise ValueError("what a vendor says is one line of text")
        if self.count is not None and (type(self.count) is not int or self.count < 1):
            raise ValueError("a count is 1 or more; without one it goes on for ever")

    def covers(self, vendor: str, operation: str) -> bool:
        """Whether this fault applies to the request."""
        return self.vendor == vendor and self.operation in {"*", operation}


class FaultProfile:
    """The faults in force. A request gets the first fault that covers it and that chance selects."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._faults: list[tuple[Fault, int | None]] = []

    def replace(self, faults: Iterable[Fault]) -> None:
        """Replace all faults; an empty list removes them."""
        self._faults = [(fault, fault.count) for fault in faults]

    def left(self) -> list[Fault]:
        """List the remaining faults with their remaining counts."""
        return [replace(fault, count=left) for fault, left in self._faults if left != 0]

    def pick(self, vendor: str, operation: str) -> Fault | None:
        """Choose the fault of one request, and count it."""
        for index, (fault, left) in enumerate(self._faults):
            if left == 0 or not fault.covers(vendor, operation) or self._random.random() >= fault.probability:
                continue
            self._faults[index] = (fault, None if left is None else left - 1)
            return fault
        return None
