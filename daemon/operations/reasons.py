"""The reasons that shoppers give, and the codes that they become at Amazon."""

from collections.abc import Callable

from daemon.domain.matching import wanted_code
from daemon.domain.policy import ShopPolicy
from daemon.operations.verbs.connections import ReasonShown, ReasonsShown
from daemon.ports.store import MaintainedStore, ReasonSeen
from daemon.ports.vendors import FulfillmentNetwork


class Reasons:
    """Reads the stored units, and Amazon if a SKU is named. `policy` is None for a shop that is not configured.

    `network` is the network of an account, or of the only one.
    """

    def __init__(
        self,
        store: MaintainedStore,
        policy: Callable[[str], ShopPolicy | None],
        network: Callable[[str | None], FulfillmentNetwork],
    ) -> None:
        self._store = store
        self._policy = policy
        self._network = network

    async def seen(self, sku: str | None, account: str | None = None) -> ReasonsShown:
        """Every reason seen, the most frequent first, with its code and, for a SKU, whether Amazon allows the code."""
        rows = await self._store.survey(lambda keep: keep.reasons())
        if sku is None:
            return ReasonsShown(reasons=[self._row(row) for row in rows])
        allowed = list(await self._network(account).reason_codes(sku))
        told = [row.model_copy(update={"allowed": not allowed or row.code in allowed}) for row in map(self._row, rows)]
        return ReasonsShown(reasons=told, sku=sku, allowed=allowed)

    def _row(self, seen: ReasonSeen) -> ReasonShown:
        policy = self._policy(seen.shop)
        code = wanted_code(seen.parent_reason, seen.reason, policy.reasons, policy.default_reason) if policy else None
        return ReasonShown(shop=seen.shop, parent=seen.parent_reason, reason=seen.reason, units=seen.units, code=code)
