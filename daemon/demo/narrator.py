"""Prints a story as it happens: what people do, and how the daemon and the vendors react."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from rich.console import Console
from rich.markup import escape

from adapters.host.clock import SystemClock
from adapters.sandbox import Sandbox
from daemon.app.app import App
from daemon.domain.naming import told_apart
from daemon.domain.portal import PortalNote

SHOP = "demo"
PATIENCE = 20.0
LOOK = 0.05
_ENDS = {
    "in_review": "waits in Needs Review",
    "awaiting_inspection": "is watched on, for the goods may come all the same",
}


class StoryFailed(Exception):
    """Something expected did not happen, or something unwanted did."""


@dataclass(slots=True)
class Narrator:
    """Watches the vendors and the daemon, and prints what happens."""

    sandbox: Sandbox
    app: App
    console: Console
    choose: Callable[[str], None]

    def title(self, text: str) -> None:
        """Begin a story."""
        self.console.print(f"\n[bold]{escape(text)}[/]")

    def does(self, who: str, text: str) -> None:
        """Print what somebody does."""
        self.console.print(f"  [yellow]{who:>8}[/]  {escape(text)}")

    def failed(self, text: str) -> None:
        """Print that the story went wrong."""
        self.console.print(f"  [red]{'!':>8}  {escape(text)}[/]")

    async def expect(self, who: str, text: str, seen: Callable[[], object]) -> None:
        """Wait until `seen` is true, then print it; raises StoryFailed if it never is. `seen` may be a coroutine."""
        clock, never = SystemClock(), asyncio.Event()
        began = clock.monotonic()
        while not (value := await _said(seen)):
            if clock.monotonic() - began > PATIENCE:
                raise StoryFailed(f"{who}: never happened: {text}")
            await clock.wait(never, LOOK)
        told = escape(text.format(value))
        self.console.print(f"  [green]{who:>8}[/]  {told} [dim]({clock.monotonic() - began:.1f} s)[/]")

    async def noted(self, return_id: int, words: str) -> None:
        """Wait for a note on the portal's timeline."""

        def note() -> str:
            texts: list[str] = self.portal(return_id)["notes"]
            notes = told_apart([PortalNote(text=text) for text in texts])
            return next((note.text.partition("] ")[2] for note in notes if words in note.text), "")

        await self.expect("Loop", "timeline: {}", note)

    async def ends(self, return_id: int, state: str) -> None:
        """Wait until the daemon reports that state."""

        async def there() -> bool:
            return await self.app.state_of(SHOP, str(return_id)) == state

        await self.expect("mcfd", f"the return {_ENDS.get(state, f'is {state}')}", there)

    def in_portal(self, return_id: int, state: str) -> Callable[[], bool]:
        """Whether Loop shows the return in that state."""
        return lambda: self.portal(return_id)["state"] == state

    def portal(self, return_id: int) -> dict[str, Any]:
        """Loop's data of a return."""
        held: dict[str, Any] = self.sandbox.snapshot()["loop"]["returns"][str(return_id)]
        return held

    def network(self, order_id: str) -> dict[str, Any]:
        """Amazon's data of a fulfillment order."""
        held: dict[str, Any] = self.sandbox.snapshot()["amazon"]["orders"][order_id]
        return held

    def shipments(self, return_id: int) -> list[dict[str, Any]]:
        """The labels that were bought for a return."""
        bought = self.sandbox.snapshot()["amazon"]["shipments"].values()
        return [s for s in bought if any(p["reference"].startswith(f"{return_id}-") for p in s["parcels"])]

    def parcels(self, return_id: int) -> list[str]:
        """The tracking ids of these labels, and of those sold by EasyPost."""
        amazons = [parcel["tracking_id"] for shipment in self.shipments(return_id) for parcel in shipment["parcels"]]
        told = {label["tracking_number"] for label in self.portal(return_id)["delivered_labels"]}
        sold = [s.sale.tracker.code for s in self.sandbox.easypost_labels() if s.sale is not None]
        return [*amazons, *(code for code in sold if code in told)]


async def _said(seen: Callable[[], object]) -> object:
    value = seen()
    return await value if isawaitable(value) else value
