"""The last look before a call is sent: a paused shop changes nothing at a vendor."""

from daemon.errors import ShopPaused
from daemon.ports.vendors import PAUSED


def let_out(method: str, what: str) -> None:
    """Raise ShopPaused if the call would change something and the shop that it is made for is paused."""
    if method != "GET" and PAUSED.get()():
        raise ShopPaused(f"{what}: not sent, the shop is paused")
