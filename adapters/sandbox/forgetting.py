"""The sandbox forgets what is over, so that it stays as fast as on its first day."""

from adapters.sandbox.amazon.network import FulfillmentNetwork
from adapters.sandbox.amazon.notifications import NotificationService
from adapters.sandbox.journal import Journal
from adapters.sandbox.loop.shop import LoopShop
from adapters.sandbox.loop.webhooks import Courier

OVER = frozenset({"closed", "cancelled"})


class ForgettingControl:
    """The operation."""

    network: FulfillmentNetwork
    notifications: NotificationService
    shop: LoopShop
    _claims: dict[str, int | None]
    _courier: Courier
    _journal: Journal

    def forget_closed(self) -> int:
        """Forget closed and cancelled returns, their orders, and all calls, deliveries and notifications so far.

        Return how many returns were forgotten. Whoever asks for one of them hears that it does not exist. An order
        with another return, and labels that were bought, stay.
        """
        over = [ret for ret in self.shop.returns.values() if ret.state in OVER]
        self.shop.forget(over)
        still_named = {name for ret in self.shop.returns.values() for name in ret.order_names}
        self.network.forget({name for ret in over for name in ret.order_names} - still_named)
        for record in (self._journal.calls, self._courier.attempts, self.notifications.sent, self._claims):
            record.clear()
        return len(over)
