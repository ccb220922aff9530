"""Shops that an operator has paused: everything is heard and nothing is sent, over restarts, until they are resumed."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from daemon.ports.names import paused_mark
from daemon.ports.store import ReturnStore, UnitOfWork


class ShopPauses:
    """Remembers since when shops are paused; `resumed` is called when some go on."""

    def __init__(self, store: ReturnStore, resumed: Callable[[], Awaitable[object]] | None = None) -> None:
        self._store = store
        self._resumed = resumed
        self._since: dict[str, float] = {}

    @property
    def since(self) -> Mapping[str, float]:
        """The paused shops, and when they were paused."""
        return self._since

    def paused(self, shop: str) -> bool:
        """Whether nothing may be sent for the shop."""
        return shop in self._since

    async def recall(self, shops: Iterable[str]) -> None:
        """Read which shops an earlier process left paused."""
        names = list(shops)
        self._since = await self._store.read(lambda uow: paused_shops(uow, names))

    async def pause(self, shops: Iterable[str], now: float) -> None:
        """Pause shops. The pause is kept first, so that a crash cannot end it."""
        names = [shop for shop in shops if shop not in self._since]
        await self._mark(names, repr(now))
        self._since |= dict.fromkeys(names, now)

    async def resume(self, shops: Iterable[str]) -> None:
        """Let shops go on."""
        names = list(shops)
        await self._mark(names, "")
        self._since = {shop: at for shop, at in self._since.items() if shop not in names}
        if self._resumed is not None:
            await self._resumed()

    async def _mark(self, shops: Iterable[str], value: str) -> None:
        def work(uow: UnitOfWork) -> None:
            for shop in shops:
                uow.set_mark(paused_mark(shop), value)

        await self._store.transact(work)


def paused_shops(uow: UnitOfWork, shops: Iterable[str]) -> dict[str, float]:
    """Those of the shops that are paused, and since when."""
    return {shop: float(at) for shop in shops if (at := uow.mark(paused_mark(shop)))}
