"""Applies a changed configuration: log, secrets and the shops' policies at once, the rest after a restart."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

import structlog

from adapters.host.metrics import PrometheusMetrics
from adapters.host.systemd import Notifier
from config.load import Loaded
from config.model import Settings
from config.secret_files import Secrets
from daemon.app.live_config import Current
from daemon.engine.supervisor import TaskPool
from daemon.errors import ConfigError
from daemon.ports.host import Clock

log = structlog.get_logger(__name__)

PORTAL_KEYS = ("api_url", "api_version", "grade_processor")
"""Keys of a shop that its open connection depends on."""

TAKEN_SECRETS = (
    *("amazon_client_secrets", "amazon_refresh_token", "loop_api_keys", "loop_webhook_secrets"),
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
    named = [f"secret {name}" for name in _changed_secrets(current.secrets, loaded.secrets)]
    taken_secrets = [name for name in named if name.split()[1].partition(".")[0] in TAKEN_SECRETS]
    return Change(
        settings=_settings(old, loaded.settings),
        secrets=_secrets(current.secrets, loaded.secrets),
        taken=(*map(".".join, taken), *taken_secrets),
        waiting=(
            *(".".join(path) for path in paths if path not in taken),
            *(name for name in named if name not in taken_secrets),
        ),
    )


def _differences(old: object, new: object, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), (*at, str(key)))
    elif old != new:
        yield at


def _can_be_taken(path: tuple[str, ...], old: Settings) -> bool:
    of_a_shop = path[0] == "shops" and len(path) > 2 and path[1] in old.shops and path[2] not in PORTAL_KEYS
    return path[0] == "log" or of_a_shop


def _changed_secrets(old: Secrets, new: Secrets) -> list[str]:
    """The names of changed secrets; a shop's secrets by shop, for shops that existed before."""
    found = []
    for name in Secrets.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, Mapping):
            found += [f"{name}.{shop}" for shop in before if before[shop] != after.get(shop, before[shop])]
        elif before != after:
            found.append(name)
    return found


def _settings(old: Settings, new: Settings) -> Settings:
    shops = {}
    for name, before in old.shops.items():
        after = new.shops.get(name, before)
        shops[name] = after.model_copy(update={key: getattr(before, key) for key in PORTAL_KEYS})
    return old.model_copy(update={"shops": shops, "log": new.log})


def _secrets(old: Secrets, new: Secrets) -> Secrets:
    """The new secrets, but removed shops keep theirs: their returns are still followed until the restart."""
    taken: dict[str, object] = {}
    for name in TAKEN_SECRETS:
        before, after = getattr(old, name), getattr(new, name)
        taken[name] = {shop: after.get(shop, before[shop]) for shop in before} if isinstance(before, Mapping) else after
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
