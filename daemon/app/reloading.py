"""Applies a changed configuration: log, secrets and the shops' policies at once, the rest after a restart."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import structlog

from adapters.host.metrics import PrometheusMetrics
from adapters.host.systemd import Notifier
from config.load import Loaded
from config.model import Settings
from config.secret_files import AccountSecrets, Secrets, file_of
from daemon.app.live_config import Current
from daemon.domain.returns import MAIN_ACCOUNT
from daemon.engine.supervisor import TaskPool
from daemon.errors import ConfigError
from daemon.ports.host import Clock

log = structlog.get_logger(__name__)

PORTAL_KEYS = ("api_url", "api_version", "grade_processor")
"""Keys of a shop that its open connection depends on."""

TAKEN_SECRETS = ("loop_api_keys", "loop_webhook_secrets")
TAKEN_SECRETS_OF_ACCOUNTS = (
    *("amazon_client_secrets", "amazon_refresh_token"),
    *("easypost_api_key", "easypost_webhook_secrets"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The settings to apply now, and the paths of all differences."""

    settings: Settings
    secrets: Secrets
    taken: tuple[str, ...]
    waiting: tuple[str, ...]


def change(current: Current, loaded: Loaded) -> Change:
    """Sort the differences into those that apply now and those that need a restart."""
    old = current.settings
    paths = list(_differences(old.model_dump(), loaded.settings.model_dump()))
    taken = [path for path in paths if _can_be_taken(path, old)]
    named = [f"secret {name}" for name in _changed_secrets(current.filed, loaded.secrets)]
    known = (*TAKEN_SECRETS, *TAKEN_SECRETS_OF_ACCOUNTS)
    taken_secrets = [name for name in named if name.split()[1].partition(".")[0] in known]
    return Change(
        settings=_settings(old, loaded.settings),
        secrets=_secrets(current.filed, loaded.secrets, old.shops),
        taken=(*(_written(path, old) for path in taken), *taken_secrets),
        waiting=(
            *(_written(path, old) for path in paths if path not in taken),
            *(name for name in named if name not in taken_secrets),
        ),
    )


def _written(path: tuple[str, ...], old: Settings) -> str:
    """The path as the file writes it: the only account has its sections at the top."""
    alone = path[:2] == ("accounts", MAIN_ACCOUNT) and len(old.accounts) == 1
    return ".".join(path[2:] if alone else path)


def _differences(old: object, new: object, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), (*at, str(key)))
    elif old != new:
        yield at


def _can_be_taken(path: tuple[str, ...], old: Settings) -> bool:
    if path[0] != "accounts":
        return path[0] == "log"
    match path[1:]:
        case (account, "shops", shop, key, *_) if account in old.accounts:
            return shop in old.accounts[account].shops and key not in PORTAL_KEYS
    return False


def _changed_secrets(old: Secrets, new: Secrets) -> list[str]:
    """The names of changed secrets; those of accounts and shops that existed before also by their owner."""
    found = []
    for name in Secrets.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if name == "accounts":
            found += [kind for owner in before for kind in _changed_in(owner, before[owner], after.get(owner))]
        elif isinstance(before, Mapping):
            found += [f"{name}.{shop}" for shop in before if before[shop] != after.get(shop, before[shop])]
        elif before != after:
            found.append(name)
    return found


def _changed_in(account: str, old: AccountSecrets, new: AccountSecrets | None) -> list[str]:
    kinds = AccountSecrets.model_fields if new is not None else ()
    return [file_of(account, kind) for kind in kinds if getattr(old, kind) != getattr(new, kind)]


def _settings(old: Settings, new: Settings) -> Settings:
    accounts = {}
    for name, account in old.accounts.items():
        now = new.accounts.get(name, account)
        shops = {}
        for shop, before in account.shops.items():
            after = now.shops.get(shop, before)
            shops[shop] = after.model_copy(update={key: getattr(before, key) for key in PORTAL_KEYS})
        accounts[name] = account.model_copy(update={"shops": shops})
    return old.model_copy(update={"accounts": accounts, "log": new.log})


def _secrets(old: Secrets, new: Secrets, shops: Collection[str]) -> Secrets:
    """The new secrets, but removed shops keep theirs: their returns are still followed until the restart."""
    accounts = {}
    for name, before in old.accounts.items():
        after = new.accounts.get(name, before)
        accounts[name] = before.model_copy(update={kind: getattr(after, kind) for kind in TAKEN_SECRETS_OF_ACCOUNTS})
    taken: dict[str, object] = {"accounts": accounts}
    for name in TAKEN_SECRETS:
        of_shops, now = getattr(old, name), getattr(new, name)
        taken[name] = of_shops | {shop: value for shop, value in now.items() if shop in shops}
    return old.model_copy(update=taken)


class Reloader:
    """A service: reads the configuration again whenever it is asked to."""

    def __init__(
        self,
        current: Current,
        read: Callable[[], Loaded],
        take_over: Callable[[Change], Awaitable[None]],
        *,
        clock: Clock,
        notifier: Notifier,
        metrics: PrometheusMetrics,
    ) -> None:
        self._current = current
        self._read = read
        self._take_over = take_over
        self._clock = clock
        self._notifier = notifier
        self._metrics = metrics
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Ask for a reload soon; several requests count as one."""
        self._asked.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Wait to be asked until `stop` is set."""
        async with TaskPool("reload", 1, clock=self._clock, on_failure=lambda _key, _error: None) as pool:
            pool.start("stop", lambda: self._hear(stop))
            while not stop.is_set():
                await self._clock.wait(self._asked, None)
                self._asked.clear()
                if not stop.is_set():
                    await self._reload()

    async def _hear(self, stop: asyncio.Event) -> None:
        await self._clock.wait(stop, None)
        self._asked.set()

    async def _reload(self) -> None:
        """Reload once, and tell systemd when it begins and when it ends, successful or not."""
        self._notifier.reloading()
        try:
            await self._apply(self._read())
        except ConfigError as error:
            for problem in error.problems:
                log.warning("config.rejected", text=problem)
            log.warning("config.reload_refused", text="the configuration is wrong; the one before stays in effect")
            self._metrics.reloaded(successful=False)
        except Exception:
            log.exception("config.reload_failed")
            self._metrics.reloaded(successful=False)
        finally:
            self._notifier.ready()

    async def _apply(self, loaded: Loaded) -> None:
        found = change(self._current, loaded)
        await self._take_over(found)
        for warning in loaded.warnings:
            log.warning("config.warned", text=warning)
        log.info("config.reloaded", taken_over=found.taken, needs_restart=found.waiting)
        self._metrics.reloaded(successful=True)
