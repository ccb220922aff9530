"""What verbs work with: a store, connections to the vendors, or a running daemon."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daemon.errors import OperatorError
from daemon.operations.exports import Exports
from daemon.operations.insights import Insights
from daemon.operations.reading import ReturnsReader
from daemon.operations.search import Search
from daemon.operations.trends import trends
from daemon.operations.verbs.connections import ConnectionsShown, Examined, Invitation, ReceiverTried, Tested
from daemon.operations.verbs.keeping import Forgotten, Purged
from daemon.operations.verbs.returns import OrderRead, OrdersRead
from daemon.operations.verbs.trends import Trends
from daemon.ports.store import MaintainedStore, ReadableStore

if TYPE_CHECKING:  # verbs that only read the store need not import what changes returns
    from daemon.engine.announcements import Announcements
    from daemon.operations.adoptions import Adoptions
    from daemon.operations.client_secrets import Rotation
    from daemon.operations.dead_letters import DeadLetters
    from daemon.operations.forgetting import Forgetting
    from daemon.operations.notifications import NotificationSetup
    from daemon.operations.reasons import Reasons
    from daemon.operations.rekeying import Rekeying
    from daemon.operations.renaming import Renaming
    from daemon.operations.retention import Retention
    from daemon.operations.returns import Operator
    from daemon.operations.settings import KeptSettings
    from daemon.operations.webhooks import Subscriptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Whatever is available: the doctor reports what is missing."""

    examine: Callable[[], Awaitable[Examined]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAccess:
    """Only the store; changes of returns need the daemon."""

    store: ReadableStore
    returns: ReturnsReader
    search: Search

    async def trends(self) -> Trends:
        """How the last days went."""
        return await trends(self.store, self.search.clock)

    @property
    def exports(self) -> Exports:
        """Rows for finance."""
        return Exports(self.store, self.insights)

    @property
    def insights(self) -> Insights:
        """Sums over many returns."""
        return Insights(self.store, self.search.clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorAccess:
    """The store, the vault keys, and connections. What belongs to an account is asked for by its name.

    The name may be left out where there is only one. Raises OperatorError for a name that is missing or unknown.
    """

    store: MaintainedStore
    letters: "DeadLetters"
    clearing: "Retention"
    rekeying: "Rekeying"
    reasons: "Reasons"
    settings: "KeptSettings"
    webhooks: "Subscriptions[Any]"
    notifications: "Callable[[str | None], NotificationSetup]"
    rotation: "Callable[[str | None], Rotation]"
    renaming: "Callable[[], Renaming]"

    async def purge(self, *, rekey: bool, newest_key: str | None) -> Purged:
        """Delete expired data, and return unused bytes to the disk, including those left by rekeying."""
        if rekey and newest_key is not None:
            self.rekeying.expect(newest_key)
        gone = await self.clearing.purge()
        if not rekey:
            return Purged(**gone)
        anew = await self.rekeying.run()
        return Purged(**gone | anew | {"bytes": gone["bytes"] + await self.store.shrink()})


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonAccess:
    """Access that only a running daemon has."""

    returns: "Operator"
    letters: "DeadLetters"
    invite: Callable[[str | None], Awaitable[Invitation]]
    order_changed: Callable[[str, str | None], Awaitable[int]]
    announcements: "Announcements"
    adoptions: "Adoptions"
    forgetting: "Forgetting"
    connected: Callable[[], ConnectionsShown]

    async def connections(self) -> ConnectionsShown:
        """What the daemon is connected to, as far as it knows without asking."""
        return self.connected()

    async def look(self, orders: list[str], by: str | None = None, account: str | None = None) -> OrdersRead:
        """Have orders read now, of one account or of all, and write down who wanted it."""
        for order in orders if by else ():
            await self.returns.note_look(order, by or "")
        return OrdersRead(orders=[OrderRead(order=o, returns=await self.order_changed(o, account)) for o in orders])

    async def forget(self, name: str, by: str, *, preview: bool) -> Forgotten:
        """Erase a return, or only preview that."""
        return await self.forgetting.forget(await self.returns.find(name), by, preview=preview)

    async def send_test(self) -> Tested:
        """Send a test message to every receiver."""
        tried = await self.announcements.test()
        if not tried:
            raise OperatorError("nobody is told of anything; name receivers under notify: in the configuration")
        return Tested(receivers=[ReceiverTried(name=name, result=result) for name, result in tried.items()])
