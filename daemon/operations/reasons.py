"""Which reasons shoppers give, and what becomes of them at Amazon."""

from collections.abc import Mapping

from daemon.domain.matching import wanted_code
from daemon.domain.policy import ShopPolicy
from daemon.operations.parameters import OperatorError
from daemon.ports.store import MaintainedStore, ReasonSeen
from daemon.ports.vendors import FulfillmentNetwork


class Reasons:
    """Reads the stored units, and Amazon when a SKU is named."""

    def __init__(
        self, store: MaintainedStore, policies: Mapping[str, ShopPolicy], network: FulfillmentNetwork | None
    ) -> None:
        self._store = store
        self._policies = policies
        self._network = network

    async def seen(self, sku: str | None) -> dict[str, object]:
        """Every reason seen, the most frequent first, with its code and, for a SKU, whether Amazon allows the code."""
        rows = await self._store.survey(lambda keep: keep.reasons())
        allowed = None if sku is None else await self._allowed(sku)
        answer: dict[str, object] = {"reasons": [self._row(row, allowed) for row in rows]}
        return answer if sku is None else answer | {"sku": sku, "allowed": allowed}

    async def _allowed(self, sku: str) -> list[str]:
        if self._network is None:
            raise OperatorError("--sku asks Amazon, which is not connected")
        return list(await self._network.reason_codes(sku))

    def _row(self, seen: ReasonSeen, allowed: list[str] | None) -> dict[str, object]:
        policy = self._policies.get(seen.shop)
        code = policy and wanted_code(seen.parent_reason, seen.reason, policy.reasons, policy.default_reason)
        row: dict[str, object] = {
            "shop": seen.shop,
            "parent": seen.parent_reason,
            "reason": seen.reason,
            "units": seen.units,
            "code": code,
        }
        return row if allowed is None else row | {"allowed": not allowed or code in allowed}
