"""`mcfd demo`: the real daemon and the sandbox with shortened intervals, and live commentary on each return."""

import asyncio
import base64
import os
import signal
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import yaml
from rich.console import Console

from adapters.host.clock import SystemClock
from adapters.host.systemd import Notifier
from adapters.sandbox import Sandbox, SandboxOptions
from config.load import Loaded, load
from daemon.app.app import App
from daemon.demo.days import DaysClock
from daemon.demo.narrator import SHOP, Narrator, StoryFailed
from daemon.demo.shop import DAYS, Shop
from daemon.demo.stories import STORIES
from daemon.domain.durations import DAY

QUICK = {
    "label_request_poll": "5s",
    "return_poll": "5s",
    "label_poll_first": "200ms",
    "label_poll_max": "1s",
    "inspection_idle": "250ms",
    "inspection_moving": "250ms",
    "inspection_arrived": "250ms",
    "missing_sibling": "5s",
    "review_watch": "5s",
    "outcome_watch": "1s",
    "stop_grace": "5s",
}
RARELY = {"label_request_poll": "7d", "return_poll": "7d"}
"""The webhooks tell all of it, and Loop takes 300 calls a minute."""
LIMITS = {"getFulfillmentOrder": {"rate": 20, "burst": 30}, "createFulfillmentReturn": {"rate": 20, "burst": 30}}


async def tell() -> int:
    """Run every story; 0 if each ended as expected. SIGTERM cancels, so that no temporary files stay."""
    _end_at_sigterm()
    console = Console(highlight=False, soft_wrap=True)
    options = SandboxOptions(label_after=0.5, process_after=0.3, enforce_limits=False)
    with tempfile.TemporaryDirectory(prefix="mcfd-demo-") as folder:
        async with Sandbox(options, SystemClock()) as sandbox:
            loaded = _loaded(Path(folder), sandbox)
            app = App(
                loaded,
                clock=SystemClock(),
                notifier=Notifier(None, SystemClock()),
                read_again=partial(_read, Path(folder)),
            )
            stop, opened = asyncio.Event(), asyncio.Event()

            async def ready() -> None:
                sandbox.set_webhook_url(f"http://127.0.0.1:{app.public_port}/webhooks/loop/{SHOP}")
                opened.set()

            async def stories() -> int:
                await opened.wait()
                try:
                    return await _tell_all(Narrator(sandbox, app, console, partial(_choose, Path(folder), app)))
                finally:
                    stop.set()

            async with asyncio.TaskGroup() as group:  # unlike gather, it waits for both when it is cancelled
                group.create_task(app.run(stop, ready))
                told = await stories()
    if told < len(STORIES):
        console.print(f"\n[bold red]{len(STORIES) - told} of {len(STORIES)} stories went wrong.[/]")
        return 1
    console.print(f"\n[bold green]All {told} stories ended as they should.[/]")
    return 0


async def keep_open() -> int:
    """Fill a shop with returns, and leave sandbox, daemon and console running until they are stopped."""
    _end_at_sigterm()
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="mcfd-demo-") as folder:
        clock = DaysClock(DAYS * DAY)
        async with Sandbox(SandboxOptions(enforce_limits=False), clock) as sandbox:
            loaded = _loaded(Path(folder), sandbox, timings=RARELY, on_unmatched="hold")
            app = App(loaded, clock=clock, notifier=Notifier(None, clock), read_again=partial(_read, Path(folder)))
            opened = asyncio.Event()

            async def ready() -> None:
                sandbox.set_webhook_url(f"http://127.0.0.1:{app.public_port}/webhooks/loop/{SHOP}")
                opened.set()

            async def filled() -> None:
                await opened.wait()
                console.print(f"[bold]{DAYS} days of a shop go by[/]")
                await Shop(sandbox, app, clock, lambda text: console.print(f"  [dim]{text}[/]")).fill()
                console.print(_addresses(app, sandbox, loaded))

            async with asyncio.TaskGroup() as group:
                group.create_task(app.run(asyncio.Event(), ready))
                await filled()
    return 0


def _addresses(app: App, sandbox: Sandbox, loaded: Loaded) -> str:
    page = sandbox.control_url.removesuffix("control")
    return (
        f"\n[bold]Console[/]  http://localhost:{app.ops_port}/console/\n"
        f"[bold]Token[/]    {loaded.secrets.ops_token.get_secret_value()}\n"
        f"[bold]Vendors[/]  {page}  (play shopper, carrier, Amazon and merchant)\n\n"
        "Ctrl-C ends it; nothing is kept."
    )


async def _tell_all(narrator: Narrator) -> int:
    told = 0
    for title, story in STORIES:
        narrator.title(title)
        try:
            await story(narrator)
            told += 1
        except StoryFailed as failure:
            narrator.failed(str(failure))
    return told


def _end_at_sigterm() -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _choose(folder: Path, app: App, source: str) -> None:
    """Switch the label source as a merchant would: write the key, and reload."""
    file = folder / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["shops"][SHOP]["label_source"] = source
    file.write_text(yaml.safe_dump(config))
    app.reload()


def _read(folder: Path) -> Loaded:
    return load(folder / "config.yaml", folder / "secrets")


def _loaded(
    folder: Path, sandbox: Sandbox, *, timings: Mapping[str, str] = QUICK, on_unmatched: str = "auto"
) -> Loaded:
    """The daemon's configuration, from real files as an operator writes them."""
    options = sandbox.options
    config = {
        "public_url": "http://127.0.0.1:8080",
        "listen": {"public": "127.0.0.1:0", "ops": "127.0.0.1:0"},
        "store": {"path": str(folder / "mcfd.db")},
        "amazon": {
            "client_id": options.client_id,
            "endpoint": sandbox.amazon_url,
            "lwa_endpoint": sandbox.lwa_url,
            "limits": LIMITS,
        },
        "easypost": {"api_url": sandbox.easypost_url},
        "shops": {
            SHOP: {
                "api_url": sandbox.loop_url,
                "exchanges": {"auto_process": True},
                "report_transit": "all",
                "on_unmatched": on_unmatched,
            },
        },
        "timings": dict(timings),
        "log": {"format": "console", "level": "error"},  # a reload applies it again, and only the story is shown
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    secret_folder = folder / "secrets"
    secret_folder.mkdir(mode=0o700)
    for name, value in _secrets(sandbox).items():
        path = secret_folder / name
        path.touch(mode=0o600)
        path.write_text(value)
    return _read(folder)


def _secrets(sandbox: Sandbox) -> dict[str, str]:
    """Every secret file by its name."""
    options = sandbox.options
    return {
        "amazon_client_secret": options.client_secret,
        "amazon_refresh_token": options.refresh_token,
        "amazon_return_service_id": options.return_service_id,
        "easypost_api_key": options.easypost_api_key,
        f"loop_api_key.{SHOP}": options.loop_api_key,
        f"loop_webhook_secrets.{SHOP}": options.webhook_secret,
        "vault_keys": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "ops_token": base64.urlsafe_b64encode(os.urandom(24)).decode(),
    }
