"""Part of the composition root: the open connections to the vendors, by account."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapters.amazon_mcf.auth import AccessTokens, TokenState
from adapters.amazon_mcf.client import McfNetwork
from adapters.amazon_mcf.limits import AmazonLimits
from adapters.amazon_mcf.notifications import AmazonNotifications
from adapters.amazon_mcf.postage import ReturnServicePostage
from adapters.easypost.client import EasyPostLabels
from adapters.loop_returns.client import LoopPortal
from adapters.loop_returns.limits import LoopLimits
from daemon.domain.returns import MAIN_ACCOUNT
from daemon.ports.names import at_account

AMAZON_CONNECTIONS = ("amazon", "amazon/outbound", "amazon/shipping")
"""The seller's credentials, and the two APIs for which a role may be missing."""

EASYPOST_CONNECTIONS = ("easypost", "easypost/funds")
"""The merchant's key at EasyPost, and the account's funds."""


def naming(account: str) -> dict[str, str]:
    """The account for a line of the log; nothing where there is only one."""
    return {"account": account} if account not in {"", MAIN_ACCOUNT} else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of an account's calls; Loop's are by shop."""

    amazon: AmazonLimits
    loop: Mapping[str, LoopLimits]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountVendors:
    """One account's open connections."""

    name: str
    tokens: AccessTokens
    network: McfNetwork
    portals: Mapping[str, LoopPortal]
    postage: ReturnServicePostage | None
    notifications: AmazonNotifications
    easypost: EasyPostLabels | None
    limits: Limits

    def begin_anew(self) -> None:
        """Count on nothing that another process, which made this account's calls until now, has left of the limits."""
        self.limits.amazon.begin_anew()
        for limits in self.limits.loop.values():
            limits.begin_anew()

    def hang_up(self) -> None:
        """Make no more calls: queued calls fail now and are made after the next start."""
        self.limits.amazon.close()
        if self.easypost is not None:
            self.easypost.hang_up()
        for limits in self.limits.loop.values():
            limits.close()

    def pauses(self) -> dict[str, float]:
        """The pauses that vendors asked for, by limit, in seconds left."""
        loop = {f"loop/{shop}": limits.pause_left() for shop, limits in self.limits.loop.items()}
        amazon = {self._named(f"amazon/{name}"): seconds for name, seconds in self.limits.amazon.pauses().items()}
        return {name: seconds for name, seconds in {**loop, **amazon}.items() if seconds > 0}

    def pause(self, name: str, seconds: float) -> None:
        """Resume a pause from the previous process, if it is one of this account's limits."""
        vendor, _, what = name.partition("/")
        operation = what.partition("@")[0]
        if vendor == "loop" and what in self.limits.loop:
            self.limits.loop[what].throttled(seconds)
        elif name == self._named(f"amazon/{operation}") and operation in self.limits.amazon.levels():
            self.limits.amazon.throttled(operation, seconds)

    def unpark(self) -> None:
        """Try parked connections again at once, because an operator may have just fixed something."""
        self.network.unpark()
        self.notifications.unpark()
        if self.postage is not None:
            self.postage.unpark()
        if self.easypost is not None:
            self.easypost.unpark()
        for portal in self.portals.values():
            portal.unpark()

    @property
    def connections(self) -> tuple[str, ...]:
        """The names of all connections, as `refuses` takes them."""
        own = EASYPOST_CONNECTIONS if self.easypost is not None else ()
        return (*AMAZON_CONNECTIONS, *own, *(f"loop/{shop}" for shop in self.portals))

    def shown(self, connection: str) -> str:
        """The name of a connection among those of all accounts: shops' names are unique."""
        return connection if connection.startswith("loop/") else self._named(connection)

    def refuses(self, connection: str) -> bool:
        """Whether a connection is parked."""
        return connection in self._refusals()

    def refusals(self) -> dict[str, str]:
        """Connections whose credentials are refused, and why; empty if all is well."""
        return {self.shown(name): problem for name, problem in self._refusals().items()}

    def _refusals(self) -> dict[str, str]:
        found = {
            f"loop/{shop}": portal.keyless or _refused(portal.parked_scopes) for shop, portal in self.portals.items()
        }
        found["amazon/outbound"] = self.network.refused
        found["amazon/shipping"] = self.postage.refused if self.postage else ""
        if self.easypost is not None:
            found["easypost"], found["easypost/funds"] = self.easypost.refused, self.easypost.without_funds
        if self.tokens.state is not TokenState.OK:
            found["amazon"] = f"credentials: {self.tokens.state}"
        return {connection: problem for connection, problem in found.items() if problem}

    def _named(self, name: str) -> str:
        return at_account(name, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendors:
    """Every account's open connections. Each pause that begins sets `paused`."""

    accounts: Mapping[str, AccountVendors]
    paused: asyncio.Event

    @property
    def portals(self) -> dict[str, LoopPortal]:
        """The portals of all shops."""
        return {shop: portal for account in self.accounts.values() for shop, portal in account.portals.items()}

    def hang_up(self) -> None:
        """Make no more calls."""
        for account in self.accounts.values():
            account.hang_up()

    def pauses(self) -> dict[str, float]:
        """The pauses that vendors asked for, by limit, in seconds left."""
        return {name: left for account in self.accounts.values() for name, left in account.pauses().items()}

    def pause(self, name: str, seconds: float) -> None:
        """Resume a pause from the previous process; limits that no longer exist are ignored."""
        for account in self.accounts.values():
            account.pause(name, seconds)

    def unpark(self) -> None:
        """Try all parked connections again at once."""
        for account in self.accounts.values():
            account.unpark()

    def refusals(self) -> dict[str, str]:
        """Connections whose credentials are refused, and why; empty if all is well."""
        return {name: problem for account in self.accounts.values() for name, problem in account.refusals().items()}

    def levels(self) -> dict[tuple[str, ...], float]:
        """How many calls could be made at once, by account and operation."""
        return {
            (name, operation): level
            for name, account in self.accounts.items()
            for operation, level in account.limits.amazon.levels().items()
        }


def _refused(scopes: Sequence[str]) -> str:
    if "" in scopes:
        return "Loop refuses the API key"
    return f"the API key may not use {', '.join(scopes)}" if scopes else ""
