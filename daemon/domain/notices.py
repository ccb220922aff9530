"""Messages to people: the kinds of cases, which of them are news, and the wording."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from daemon.domain.durations import DAY

AGAIN_AFTER = DAY
"""Seconds after which an unresolved case is repeated."""

MOST_LINES = 20
LONGEST_LINE = 240


class CaseKind(StrEnum):
    """Why somebody should look."""

    STUCK = "stuck"
    HELD = "held"
    REVIEW = "review"
    PARKED = "parked"
    UNSETTLED = "unsettled"
    CLAIMS = "claims"

    @property
    def lasts(self) -> bool:
        """Whether the case lasts until somebody acts and deserves reminders; the others happened once."""
        return self not in {CaseKind.UNSETTLED, CaseKind.CLAIMS}


MEANING: Mapping[CaseKind, str] = {
    CaseKind.STUCK: "stuck: mcfd gave up and needs a person",
    CaseKind.HELD: "held: no fulfillment order was found for it",
    CaseKind.REVIEW: "in Needs Review in Loop",
    CaseKind.PARKED: "connection parked: its credentials are refused",
    CaseKind.UNSETTLED: "ended in Loop without an outcome",
    CaseKind.CLAIMS: "to claim from Amazon or the carrier",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to look at. `shop` is empty if it concerns all shops; `since` is in Unix seconds."""

    kind: CaseKind
    shop: str = ""
    subject: str
    problem: str = ""
    since: float = 0.0

    @property
    def key(self) -> str:
        """Identity of the case, used to send it once and to send reminders."""
        return f"{self.kind}:{self.subject}"

    @property
    def line(self) -> str:
        """One line for people."""
        words = " ".join(f"{self.subject}: {self.problem}".split()) if self.problem else self.subject
        return words if len(words) <= LONGEST_LINE else words[: LONGEST_LINE - 1] + "…"


def wanted(cases: Iterable[Case], kinds: Sequence[CaseKind], shops: Sequence[str]) -> list[Case]:
    """The cases that one receiver asked for; no `shops` means all. A case without a shop concerns every shop."""
    return [c for c in cases if c.kind in kinds and (not shops or not c.shop or c.shop in shops)]


def news(cases: Iterable[Case], told: Mapping[str, float], now: float) -> list[Case]:
    """The cases never sent before, and lasting ones that were sent a day ago."""
    return [c for c in cases if c.key not in told or (c.kind.lasts and now - told[c.key] >= AGAIN_AFTER)]


def remember(cases: Iterable[Case], told: Mapping[str, float], sent: Iterable[Case], now: float) -> dict[str, float]:
    """When each case that still exists was last sent."""
    kept = {c.key: told[c.key] for c in cases if c.key in told}
    return kept | {c.key: now for c in sent}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one receiver gets: a short `subject`, the words, and the same things as data."""

    subject: str
    text: str
    cases: Sequence[Case] = ()


def message_about(cases: Sequence[Case]) -> Message:
    """One message about all of them: `mcfd: 2 stuck, 1 held`, then grouped by kind, each on a line."""
    return Message(subject=_subject(cases), text=_text(cases), cases=cases)


def _subject(cases: Sequence[Case]) -> str:
    counts = {kind: sum(c.kind is kind for c in cases) for kind in CaseKind}
    return "mcfd: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def _text(cases: Sequence[Case]) -> str:
    lines: list[str] = []
    for kind in CaseKind:
        group = [c for c in cases if c.kind is kind]
        if group:
            lines += [f"{len(group)} {MEANING[kind]}", *(f"- {c.line}" for c in group[:MOST_LINES])]
            lines += [f"- and {len(group) - MOST_LINES} more"] if len(group) > MOST_LINES else []
    return "\n".join(lines)
