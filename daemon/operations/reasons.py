"""The reasons that shoppers give, and the codes that they become at Amazon."""

from collections.abc import Callable, Sequence

from daemon.domain.durations import DAY
from daemon.domain.matching import mapped_code
from daemon.domain.policy import ShopPolicy
from daemon.operations.insights import SUMMED_STATED, added
from daemon.operations.verbs.connections import ReasonShown, ReasonsShown
from daemon.ports.host import Clock
from daemon.ports.store import Maintenance, ReadableStore, Sum, Topic
from daemon.ports.vendors import FulfillmentNetwork


class Reasons:
    """Reads what shoppers stated, and Amazon if a SKU is named. `policy` is None for a shop that is not configured.

    Counted are the units of every return heard of, also of those dropped since. Those of past days are as the last
    night found them, which counts the last weeks again. `network` is the network of an account, or of the only one.
    """

    def __init__(
        self,
        store: ReadableStore,
        clock: Clock,
        policy: Callable[[str], ShopPolicy | None],
        network: Callable[[str | None], FulfillmentNetwork],
    ) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy
        self._network = network

    async def seen(self, sku: str | None, account: str | None = None) -> ReasonsShown:
        """Every reason seen, those that no mapping names first, and for a SKU whether Amazon allows the code."""
        rows = sorted(map(self._row, await self._stated()), key=_first_to_map)
        if sku is None:
            return ReasonsShown(reasons=rows)
        allowed = list(await self._network(account).reason_codes(sku))
        told = [row.model_copy(update={"allowed": not allowed or row.code in allowed}) for row in rows]
        return ReasonsShown(reasons=told, sku=sku, allowed=allowed)

    async def _stated(self) -> Sequence[Sum]:
        """The sums of the days that have them, and the units of all returns heard of since."""
        now = self._clock.now()
        until = int(await self._store.read(lambda uow: uow.mark(SUMMED_STATED)) or 0)

        def work(keep: Maintenance) -> list[Sum]:
            return [*keep.sums(Topic.STATED, 0, until), *keep.count_sums((Topic.STATED,), until * DAY, now + DAY)]

        return added(await self._store.survey(work))

    def _row(self, seen: Sum) -> ReasonShown:
        policy = self._policy(seen.shop)
        mapped = mapped_code(seen.a, seen.b, policy.reasons) if policy else None
        return ReasonShown(
            shop=seen.shop,
            parent=seen.a,
            reason=seen.b,
            units=seen.count,
            code=mapped or (policy.default_reason if policy else None),
            mapped=mapped is not None,
        )


def _first_to_map(row: ReasonShown) -> tuple[bool, bool, int, str, str, str]:
    return row.code is not None, row.mapped, -row.units, row.shop, row.parent, row.reason
