"""Whether the store knows all that mcfd has ever done: one restored from a copy, or begun anew, may not.

At each start and every few minutes the store gets a new name, which a file beside it has, too. A copy that is put in
the store's place has an older name.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from math import inf

CLOCKS_APART = 300.0
"""Seconds by which the portal's clock and ours may differ: so much older than the store no return seems new."""

ROUNDED = 10.0
"""The same once the difference has been measured, by dates that are rounded and may be long on their way."""


class Origin(StrEnum):
    """What the store's name and the file beside it say."""

    SAME = "same"
    BEGUN = "begun"
    RESTORED = "restored"
    UPGRADED = "upgraded"  # from a version that gave no names


def origin(kept: str | None, beside: Collection[str] | None, *, empty: bool) -> Origin:
    """Judge by the store's own name and the names in the file; None where there is none."""
    if kept:
        return Origin.SAME if beside is not None and kept in beside else Origin.RESTORED
    if empty:
        return Origin.BEGUN
    return Origin.UPGRADED if beside is None else Origin.RESTORED


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How far a shop's part of the store can be trusted.

    Of returns older than `since` (Unix seconds) the store may not know all. `whole`: none of them has been compared
    with the vendors yet, because of `why`; otherwise only those are doubted that bear traces of ours unknown here.
    """

    since: float = -inf
    whole: bool = False
    why: str = ""

    def doubts(self, submitted_at: float | None, *, traces: bool, ahead: float | None = None) -> bool:
        """Whether a return that the store has only just heard of waits for a comparison.

        `ahead`: seconds by which our clock is ahead of the portal's, which dates the returns; None if that is unknown.
        """
        begun = self.since + (CLOCKS_APART if ahead is None else ROUNDED - ahead)
        old = submitted_at is None or submitted_at < begun
        return self.since > -inf and old and (self.whole or traces)

    def to_text(self) -> str:
        """As a mark keeps it."""
        return json.dumps({"since": self.since, "whole": self.whole, "why": self.why})

    @classmethod
    def from_text(cls, text: str | None) -> "Proof":
        """Read a mark; without one there is no doubt."""
        return cls(**json.loads(text)) if text else cls()
