"""The last look before a call is sent: for a paused shop, or without the lease, nothing changes at a vendor."""

from daemon.errors import ShopPaused
from daemon.ports.leases import LEASE
from daemon.ports.vendors import PAUSED


def let_out(method: str, what: str) -> None:
    """Raise ShopPaused, LeaseLost or TooEarly if the call would change something, and must not now."""
    if method == "GET":
        return
    if PAUSED.get()():
        raise ShopPaused(f"{what}: not sent, the shop is paused")
    LEASE.get().let_out(what)
