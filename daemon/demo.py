"""Returns told live: the real daemon beside the sandbox, with shortened clocks."""

import asyncio
import base64
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape

from adapters.clock import SystemClock
from adapters.sandbox import ReturnLine, Sandbox, SandboxOptions
from adapters.systemd import Notifier
from config.load import Loaded, load
from daemon.app import App

SHOP = "demo"
PATIENCE = 30.0
LOOK = 0.05

QUICK = {
    "label_request_poll": "5s",
    "return_poll": "5s",
    "label_poll_first": "200ms",
    "label_poll_max": "1s",
    "inspection_idle": "300ms",
    "inspection_moving": "300ms",
    "inspection_arrived": "300ms",
    "outcome_watch": "1s",
    "stop_grace": "5s",
}


class StoryFailed(Exception):
    """Something that should have happened did not."""


@dataclass(slots=True)
class Teller:
    """Tells a story as it happens: what people do, and what the daemon and the vendors make of it."""

    sandbox: Sandbox
    app: App
    console: Console

    def title(self, text: str) -> None:
        """Begin a story."""
        self.console.print(f"\n[bold]{text}[/]")

    def does(self, who: str, text: str) -> None:
        """Somebody acts."""
        self.console.print(f"  [yellow]{who:>8}[/]  {text}")

    async def expect(self, who: str, text: str, seen: Callable[[], object]) -> None:
        """Wait until it is so, then say so; raises StoryFailed when it does not come."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        never = asyncio.Event()
        while not (value := seen()):
            if loop.time() - began > PATIENCE:
                self.console.print(f"  [red]{who:>8}  never happened: {text}[/]")
                raise StoryFailed(text)
            await SystemClock().wait(never, LOOK)
        told = escape(text.format(value) if isinstance(value, str) else text)
        self.console.print(f"  [green]{who:>8}[/]  {told} [dim]({loop.time() - began:.1f} s)[/]")

    def portal(self, return_id: int) -> dict[str, Any]:
        """What Loop holds of a return."""
        held: dict[str, Any] = self.sandbox.snapshot()["loop"]["returns"][str(return_id)]
        return held

    def network(self, order_id: str) -> dict[str, Any]:
        """What Amazon holds of a fulfillment order."""
        held: dict[str, Any] = self.sandbox.snapshot()["amazon"]["orders"][order_id]
        return held

    def noted(self, return_id: int, words: str) -> str:
        """The note on Loop's timeline that holds these words."""
        notes: list[str] = self.portal(return_id)["notes"]
        return next((note for note in notes if words in note), "")


async def _until_label(teller: Teller, order_id: str, line: ReturnLine) -> int:
    """What every story begins with: a shopper asks, Amazon authorizes, the label reaches the shopper."""
    teller.sandbox.create_order(order_id, {line.sku: 1}, displayable_order_id=order_id)
    return_id: int = teller.sandbox.submit_return(order_id, [line])
    teller.does("shopper", f"sends back {line.sku} of order {order_id} ({line.reason}); Loop return {return_id}")

    def rma() -> str:
        held = teller.network(order_id)["returnAuthorizations"]
        return str(held[0]["amazonRmaId"]) if held else ""

    def label() -> str:
        labels = teller.portal(return_id)["delivered_labels"]
        return str(labels[0]["tracking_number"]) if labels else ""

    await teller.expect("Amazon", "authorized the return: RMA {}", rma)
    await teller.expect("Loop", "has the label for the shopper: tracking {}", label)
    await teller.expect("Loop", "timeline: {}", lambda: teller.noted(return_id, "Label delivered"))
    return return_id


async def clean(teller: Teller) -> None:
    """A unit that comes back as it should is refunded."""
    teller.title("A clean return")
    return_id = await _until_label(teller, "#1001", ReturnLine(sku="SOCK-2P-M", reason="Too small"))
    teller.does("Amazon", "receives and inspects the unit: Sellable")
    teller.sandbox.receive(return_id, sku="SOCK-2P-M", condition="Sellable")
    await teller.expect("Loop", "timeline: {}", lambda: teller.noted(return_id, "inspected"))
    await teller.expect("Loop", "graded and assessed the line", lambda: _graded(teller, return_id, "back_to_stock"))
    await teller.expect("Loop", "timeline: {}", lambda: teller.noted(return_id, "No discrepancy"))
    await teller.expect(
        "Loop", "processed and closed the return", lambda: teller.portal(return_id)["state"] == "closed"
    )
    await _closed(teller, return_id)


async def damaged(teller: Teller) -> None:
    """A damaged unit waits in Needs Review until a person decides."""
    teller.title("A damaged return")
    return_id = await _until_label(teller, "#1002", ReturnLine(sku="MUG-BLUE", reason="Changed my mind"))
    teller.does("Amazon", "receives and inspects the unit: CustomerDamaged")
    teller.sandbox.receive(return_id, sku="MUG-BLUE", condition="CustomerDamaged")
    await teller.expect("Loop", "timeline: {}", lambda: teller.noted(return_id, "inspected"))
    await teller.expect("Loop", "graded and assessed the line", lambda: _graded(teller, return_id, "resale_hold"))
    await teller.expect("Loop", "timeline: {}", lambda: teller.noted(return_id, "Discrepancy"))
    await teller.expect("Loop", "flagged it: Needs Review", lambda: teller.portal(return_id)["state"] == "review")
    if teller.portal(return_id)["counts"].get("process"):
        raise StoryFailed("a damaged return was processed")
    teller.does("merchant", "looks at it and closes the return")
    teller.sandbox.settle_review(return_id, "close")
    await _closed(teller, return_id)


def _graded(teller: Teller, return_id: int, disposition: str) -> bool:
    (line,) = teller.portal(return_id)["line_items"]
    return bool(line["condition"]) and (line["disposition"] or {}).get("disposition_outcome") == disposition


async def _closed(teller: Teller, return_id: int) -> None:
    state: dict[str, str] = {}

    async def look() -> None:
        state["now"] = await teller.app.state_of(SHOP, str(return_id))

    never = asyncio.Event()
    for _ in range(int(PATIENCE / LOOK)):
        await look()
        if state["now"] == "closed":
            teller.console.print(f"  [green]{'mcfd':>8}[/]  knows that it is over")
            return
        await SystemClock().wait(never, LOOK)
    raise StoryFailed(f"mcfd still thinks that the return is {state.get('now')}")


STORIES: tuple[Callable[[Teller], Awaitable[None]], ...] = (clean, damaged)


async def tell() -> int:
    """Tell every story; 0 when each ended as it should."""
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="mcfd-demo-") as folder:
        async with Sandbox(SandboxOptions(label_after=1.0, process_after=0.5), SystemClock()) as sandbox:
            app = App(_loaded(Path(folder), sandbox), clock=SystemClock(), notifier=Notifier(None, SystemClock()))
            stop, opened = asyncio.Event(), asyncio.Event()

            async def ready() -> None:
                sandbox.set_webhook_url(f"http://127.0.0.1:{app.public_port}/webhooks/loop/{SHOP}")
                opened.set()

            async def stories() -> bool:
                await opened.wait()
                try:
                    return await _tell_all(Teller(sandbox, app, console))
                finally:
                    stop.set()

            _, told = await asyncio.gather(app.run(stop, ready), stories())
    console.print("\n[bold green]Every story ended as it should.[/]" if told else "\n[bold red]A story went wrong.[/]")
    return 0 if told else 1


async def _tell_all(teller: Teller) -> bool:
    told = 0
    for story in STORIES:
        with suppress(StoryFailed):
            await story(teller)
            told += 1
    return told == len(STORIES)


def _loaded(folder: Path, sandbox: Sandbox) -> Loaded:
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
            "label_source": "rma_page",
        },
        "shops": {SHOP: {"api_url": sandbox.loop_url}},
        "timings": QUICK,
    }
    secrets = {
        "amazon_client_secret": options.client_secret,
        "amazon_refresh_token": options.refresh_token,
        f"loop_api_key.{SHOP}": options.loop_api_key,
        f"loop_webhook_secrets.{SHOP}": options.webhook_secret,
        "vault_keys": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "ops_token": base64.urlsafe_b64encode(os.urandom(24)).decode(),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    secret_folder = folder / "secrets"
    secret_folder.mkdir(mode=0o700)
    for name, value in secrets.items():
        path = secret_folder / name
        path.touch(mode=0o600)
        path.write_text(value)
    return load(folder / "config.yaml", secret_folder)
