"""Part of the composition root: opens the resources that the daemon and the command line share."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, TypeVar

import structlog

from adapters.host.clock import SharedClock
from adapters.host.metrics import PrometheusMetrics
from adapters.host.vault import Vault
from config.logging.setup import conceal
from daemon.app.accounts import connect
from daemon.app.calls import hear_of_call
from daemon.app.kept_settings import StoredConfiguration
from daemon.app.live_config import Current, CurrentAccount
from daemon.app.stores import open_configured
from daemon.app.vendors import AccountVendors, Vendors, naming
from daemon.engine.call_journal import CallJournal
from daemon.engine.clock_check import ClockCheck
from daemon.engine.pauses import PauseKeeper
from daemon.errors import McfdError, OperatorError, StoreUnavailable
from daemon.operations.authorization import RefreshTokens
from daemon.operations.client_secrets import ClientSecrets
from daemon.operations.credential_ages import Ages
from daemon.operations.settings import KeptSettings
from daemon.ports.host import Clock
from daemon.ports.store import Store

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountResources:
    """What belongs to one seller."""

    account: CurrentAccount
    tokens: RefreshTokens
    client_secrets: ClientSecrets
    ages: Ages
    vendors: AccountVendors
    pauses: PauseKeeper

    async def read_credentials(self) -> None:
        """Take over the credentials that files or the store have now. Raises StoreUnavailable."""
        try:
            await self.tokens.load()
            await self.client_secrets.load()
        except StoreUnavailable:
            raise
        except McfdError as error:  # a lost key must not stop the rest
            log.error("amazon.credentials_lost", reason=str(error), **naming(self.account.name))  # noqa: TRY400 - as below
        await self.ages.look(self.account.client_secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The store, the keys, and open connections; closed with the stack on which they were opened."""

    current: Current
    clock: Clock
    metrics: PrometheusMetrics
    store: Store
    vault: Vault
    vendors: Vendors
    accounts: Mapping[str, AccountResources]
    clock_check: ClockCheck
    journal: CallJournal
    settings: KeptSettings

    def account(self, name: str | None) -> AccountResources:
        """The account of that name, or the only one. Raises OperatorError."""
        if name is None and len(self.accounts) == 1:
            return next(iter(self.accounts.values()))
        known = ", ".join(self.accounts)
        if name is None:
            raise OperatorError(f"there are several accounts; name one with --account: {known}")
        if name not in self.accounts:
            raise OperatorError(f"{name} is no account of the configuration; there are: {known}")
        return self.accounts[name]

    def of(self, *accounts: str) -> Self:
        """The same with the connections of these accounts alone."""
        vendors = replace(self.vendors, accounts={name: self.vendors.accounts[name] for name in accounts})
        return replace(self, accounts={name: self.accounts[name] for name in accounts}, vendors=vendors)

    async def read_credentials(self) -> None:
        """Take over the credentials of secret files that have changed. Raises McfdError."""
        for one in self.accounts.values():
            await one.read_credentials()


async def open_resources(
    stack: AsyncExitStack, current: Current, clock: Clock, metrics: PrometheusMetrics, *, noting: bool = True
) -> Resources:
    """Lock the state directory, open the store, connect. Raises ConfigError, AlreadyRunning, StoreUnavailable.

    Without `noting` nothing is written: a verb that only looks must not record when a secret was first seen.
    """
    store = await open_configured(stack, current, daemon=noting)
    stack.push_async_callback(closing, "store", store.close)
    await _tell_the_time(store, clock)
    vault = Vault(current.secrets.vault_key_bytes)
    settings = KeptSettings(store, vault, StoredConfiguration(current))
    await settings.load(use=current.begin_with)
    tokens = await _of_each(current, partial(_refresh_tokens, store, vault))
    clock_check, journal = ClockCheck(clock), CallJournal(store)
    stack.push_async_callback(_last_lines, journal)
    vendors = await connect(
        stack,
        current,
        clock,
        partial(hear_of_call, metrics, clock_check, journal, clock),
        refresh_token=lambda account: tokens[account].current,
    )
    _show_limits(metrics, clock_check, vendors)
    return Resources(
        current=current,
        clock=clock,
        metrics=metrics,
        store=store,
        vault=vault,
        vendors=vendors,
        accounts=await _of_each(
            current,
            lambda one: _account(store, vault, clock, one, tokens[one.name], vendors.accounts[one.name], noting=noting),
        ),
        clock_check=clock_check,
        journal=journal,
        settings=settings,
    )


async def _tell_the_time(store: Store, clock: Clock) -> None:
    """Let nodes use the database's clock before they store anything. Raises StoreUnavailable."""
    if store.leases is not None and isinstance(clock, SharedClock):
        asked = clock.monotonic()
        clock.heard((await store.leases.look()).now, asked)


async def _of_each(current: Current, make: Callable[[CurrentAccount], Awaitable[T]]) -> dict[str, T]:
    """Make something for each account, for all at once: what they write is committed together."""
    made = await asyncio.gather(*(make(one) for one in current.accounts.values()))
    return dict(zip(current.accounts, made, strict=True))


def _show_limits(metrics: PrometheusMetrics, clock_check: ClockCheck, vendors: Vendors) -> None:
    def ahead() -> dict[tuple[str, ...], float]:
        return {(vendor,): seconds for vendor, seconds in clock_check.ahead().items()}

    metrics.watch("mcfd_clock_ahead_seconds", "This machine's clock less the vendor's.", ("vendor",), ahead)
    labels = ("account", "operation")
    metrics.watch("mcfd_bucket_tokens", "Calls that could be made at once.", labels, vendors.levels)


async def _account(  # noqa: PLR0917 - it only passes on what its caller has made
    store: Store,
    vault: Vault,
    clock: Clock,
    account: CurrentAccount,
    tokens: RefreshTokens,
    vendors: AccountVendors,
    *,
    noting: bool,
) -> AccountResources:
    client_secrets = await _client_secrets(store, vault, account, noting=noting)
    ages = Ages(store, clock, tokens)
    await ages.look(account.client_secrets, noting=noting)
    pauses = PauseKeeper(store, clock, vendors.pauses, vendors.pause, account=account.name)
    return AccountResources(
        account=account, tokens=tokens, client_secrets=client_secrets, ages=ages, vendors=vendors, pauses=pauses
    )


async def _refresh_tokens(store: Store, vault: Vault, account: CurrentAccount) -> RefreshTokens:
    made = RefreshTokens(store, vault, account.refresh_token, conceal, account=account.name)
    try:
        await made.load()
    except McfdError as error:  # a lost key must not stop the webhooks
        log.error("amazon.token_lost", reason=str(error), **naming(account.name))  # noqa: TRY400 - the text says all
    return made


async def _client_secrets(store: Store, vault: Vault, account: CurrentAccount, *, noting: bool) -> ClientSecrets:
    made = ClientSecrets(
        store,
        vault,
        from_file=account.filed_client_secrets,
        use=account.use_client_secrets,
        conceal=conceal,
        account=account.name,
    )
    try:
        await made.load(noting=noting)
    except McfdError as error:  # the secret file's still work
        log.error("amazon.client_secrets_lost", reason=str(error), **naming(account.name))  # noqa: TRY400 - as above
    return made


async def _last_lines(journal: CallJournal) -> None:
    """Write what the journal still has; a store that cannot be written any more must not hinder the stop."""
    with suppress(StoreUnavailable):
        await journal.flush()


async def closing(what: str, close: Callable[[], Awaitable[object]]) -> None:
    """Log each step of the shutdown by name, so that a hanging one can be found."""
    log.info("shutdown.step", closing=what)
    await close()
