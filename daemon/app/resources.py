"""Part of the composition root: opens the resources that the daemon and the command line share."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial

import structlog

from adapters.host.metrics import PrometheusMetrics
from adapters.host.vault import Vault
from config.logging.setup import conceal
from daemon.app.accounts import Vendors, connect, hear_of_call
from daemon.app.live_config import Current
from daemon.app.stores import open_configured
from daemon.engine.call_journal import CallJournal
from daemon.engine.clock_check import ClockCheck
from daemon.errors import McfdError, StoreUnavailable
from daemon.operations.authorization import RefreshTokens
from daemon.operations.client_secrets import ClientSecrets
from daemon.operations.credential_ages import Ages
from daemon.ports.host import Clock
from daemon.ports.store import Store

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The store, the keys, and open connections; closed with the stack on which they were opened."""

    current: Current
    clock: Clock
    metrics: PrometheusMetrics
    store: Store
    vault: Vault
    tokens: RefreshTokens
    vendors: Vendors
    ages: Ages
    clock_check: ClockCheck
    journal: CallJournal
    client_secrets: ClientSecrets


async def open_resources(
    stack: AsyncExitStack, current: Current, clock: Clock, metrics: PrometheusMetrics, *, noting: bool = True
) -> Resources:
    """Lock the state directory, open the store, connect. Raises ConfigError, AlreadyRunning, StoreUnavailable.

    Without `noting` nothing is written: a verb that only looks must not record when a secret was first seen.
    """
    store = await open_configured(stack, current, create=noting)
    stack.push_async_callback(closing, "store", store.close)
    vault = Vault(current.secrets.vault_key_bytes)
    tokens = RefreshTokens(store, vault, current.refresh_token, conceal)
    try:
        await tokens.load()
    except McfdError as error:  # a lost key must not stop the webhooks
        log.error("amazon.token_lost", reason=str(error))  # noqa: TRY400 - handled, and the text says all
    client_secrets = await _client_secrets(store, vault, current, noting=noting)
    metrics.secret_unfiled(lambda: client_secrets.only_here)
    ages = Ages(store, clock, tokens)
    await ages.look(current.client_secrets, noting=noting)
    clock_check, journal = ClockCheck(clock), CallJournal(store)
    stack.push_async_callback(_last_lines, journal)
    on_call = partial(hear_of_call, metrics, clock_check, journal, clock)
    vendors = await connect(stack, current, clock, on_call, refresh_token=tokens.current)
    metrics.watch("mcfd_clock_ahead_seconds", "This machine's clock less the vendor's.", "vendor", clock_check.ahead)
    metrics.watch("mcfd_bucket_tokens", "Calls that could be made at once.", "operation", vendors.buckets.levels)
    return Resources(
        current=current,
        clock=clock,
        metrics=metrics,
        store=store,
        vault=vault,
        tokens=tokens,
        vendors=vendors,
        ages=ages,
        clock_check=clock_check,
        journal=journal,
        client_secrets=client_secrets,
    )


async def _client_secrets(store: Store, vault: Vault, current: Current, *, noting: bool) -> ClientSecrets:
    made = ClientSecrets(
        store, vault, from_file=current.filed_client_secrets, use=current.use_client_secrets, conceal=conceal
    )
    try:
        await made.load(noting=noting)
    except McfdError as error:  # the secret file's still work
        log.error("amazon.client_secrets_lost", reason=str(error))  # noqa: TRY400 - handled, and the text says all
    return made


async def _last_lines(journal: CallJournal) -> None:
    """Write what the journal still has; a store that cannot be written any more must not hinder the stop."""
    with suppress(StoreUnavailable):
        await journal.flush()


async def closing(what: str, close: Callable[[], Awaitable[object]]) -> None:
    """Log each step of the shutdown by name, so that a hanging one can be found."""
    log.info("shutdown.step", closing=what)
    await close()
