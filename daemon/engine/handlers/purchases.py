"""The rows by which parcels that may have been bought are checked daily, and given back if nobody needs them."""

from daemon.domain.copies import replace
from daemon.domain.durations import DAY
from daemon.domain.returns import Postage, Return
from daemon.ports.store import Purchase


def purchase_of(ret: Return, postage: Postage, now: float) -> Purchase:
    """The row of a parcel that is about to be bought."""
    return Purchase(
        account=ret.account,
        source=postage.source,
        handle=postage.handle,
        shop=ret.shop,
        return_id=ret.return_id,
        authorization_id=postage.authorization_id,
        mode=postage.mode,
        charge_cents=postage.charge_cents,
        offered_at=now,
        look_at=now + DAY,
    )


def earlier_purchase(ret: Return, postage: Postage, now: float) -> Purchase:
    """The row of a parcel that was bought before this store knew of it: it is not of today's spending."""
    return replace(purchase_of(ret, postage, now), charge_cents=0)
