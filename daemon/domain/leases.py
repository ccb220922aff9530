"""Which accounts a node should work: decided from what the database says of nodes and leases."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

CHORES = ""
"""The name under which nightly work and messages to people are leased, beside the accounts."""

FORSAKEN_AFTER = 5.0
"""Seconds after which a free account may be claimed beyond one's share: nodes may know different accounts."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An account's row: whose it is until `ends_at`, in Unix seconds."""

    account: str
    node: str
    ends_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the database says: its clock, the living nodes, the accounts' rows.

    `kept` is a hash of what every node keeps in memory.
    """

    now: float
    nodes: frozenset[str]
    claims: Mapping[str, Claim]
    kept: str = ""

    def held_by(self, node: str) -> list[str]:
        """What a node works, by name."""
        return sorted(
            claim.account for claim in self.claims.values() if claim.node == node and claim.ends_at > self.now
        )


def share(accounts: int, nodes: int) -> int:
    """How many accounts each of the nodes should work."""
    return ceil(accounts / max(1, nodes))


def to_claim(standing: Standing, node: str, accounts: Sequence[str], held: Collection[str]) -> list[str]:
    """The free accounts that a node should claim: up to its share, and whatever nobody takes."""
    free = [name for name in accounts if name not in held and _free(standing, name)]
    room = share(len(accounts), len(standing.nodes | {node})) - len(held)
    forsaken = [name for name in free[max(0, room) :] if _forsaken(standing, name)]
    return [*free[: max(0, room)], *forsaken]


def to_leave(standing: Standing, node: str, accounts: Sequence[str], working: Mapping[str, int]) -> str | None:
    """What a node that holds more than its share should let go: an idle account first, or the chores.

    `working` is how much is under way for each that it holds.
    """
    nodes = len(standing.nodes | {node})
    sellers = [name for name in working if name != CHORES]
    if len(sellers) > share(len([name for name in accounts if name != CHORES]), nodes):
        return min(sellers, key=lambda name: working[name])
    return CHORES if len(working) > share(len(accounts), nodes) else None


def _free(standing: Standing, name: str) -> bool:
    claim = standing.claims.get(name)
    return claim is None or claim.ends_at <= standing.now


def _forsaken(standing: Standing, name: str) -> bool:
    claim = standing.claims.get(name)
    return claim is not None and claim.ends_at + FORSAKEN_AFTER <= standing.now
