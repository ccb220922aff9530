"""Checks the merchant's account at EasyPost: its key, its carriers, and the price of a sample parcel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.domain.orders import PostalAddress
from daemon.domain.portal import ParcelSize
from daemon.domain.postage import NotOffered, PostageOffer, PostageOrder
from daemon.errors import McfdError
from daemon.operations.doctor.amazon import Line, fail, ok, trouble, warn

AREA = "easypost"
SHOPPER = PostalAddress(
    name="Sample Shopper",
    line1="417 Montgomery Street",
    city="San Francisco",
    region="CA",
    postal_code="94104",
    country_code="US",
    phone="4155550100",
)
CENTER = PostalAddress(
    name="Sample Center",
    line1="8000 N Virginia Street",
    city="Reno",
    region="NV",
    postal_code="89506",
    country_code="US",
    phone="7755550100",
)


class CarrierShop(Protocol):
    """The calls to EasyPost; none of them buys anything."""

    @property
    def mode(self) -> str:
        """`test` or `production`, by the key."""

    async def carrier_accounts(self) -> Sequence[tuple[str, str]]:
        """(id, carrier) of every carrier account."""

    async def offer(self, order: PostageOrder) -> PostageOffer | NotOffered:
        """Have a parcel rated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EasyPostProbe:
    """What is examined at EasyPost. `accounts` are the ids of the configuration, `local` an API on this machine."""

    source: CarrierShop
    accounts: Sequence[str]
    local: bool


async def examine_easypost(probe: EasyPostProbe | None) -> Sequence[Line]:
    """Check key, carrier accounts, and a rate; no lines if EasyPost is not used."""
    if probe is None:
        return []
    try:
        known = dict(await probe.source.carrier_accounts())
    except McfdError as error:
        return [trouble(AREA, "key", error, "put the key of EasyPost's API Keys page into easypost_api_key")]
    return [_key(probe), _accounts(probe, known), await _rate(probe)]


def _key(probe: EasyPostProbe) -> Line:
    if probe.source.mode == "test" and not probe.local:
        return warn(
            AREA,
            "key",
            "it works, but it is a test key: its labels are not paid for, and are held",
            "put the production key, EZAK…, into easypost_api_key",
        )
    return ok(AREA, "key", f"EasyPost accepts it ({probe.source.mode})")


def _accounts(probe: EasyPostProbe, known: dict[str, str]) -> Line:
    missing = [account for account in probe.accounts if account not in known]
    if missing:
        listed = ", ".join(f"{account} ({carrier})" for account, carrier in known.items()) or "none"
        text = f"{', '.join(missing)} of easypost.carrier_accounts is not there; there is {listed}"
        return fail(AREA, "carrier accounts", text, "correct easypost.carrier_accounts")
    if not known:
        return fail(AREA, "carrier accounts", "there is none", "add a carrier on EasyPost's carrier page")
    used = probe.accounts or tuple(known)
    return ok(AREA, "carrier accounts", ", ".join(f"{account} ({known[account]})" for account in used))


async def _rate(probe: EasyPostProbe) -> Line:
    """Check the price of a usual parcel: a shipment is created, and never bought."""
    order = PostageOrder(
        reference="doctor",
        key="doctor",
        ship_from=SHOPPER,
        ship_to=CENTER,
        rma_id="SAMPLE",
        size=ParcelSize(length_in=12, width_in=9, height_in=4, weight_g=500),
        value_cents=0,
        skus=("SAMPLE",),
    )
    try:
        offer = await probe.source.offer(order)
    except McfdError as error:
        return trouble(AREA, "rate", error, "see what EasyPost's page says of a shipment like this")
    if isinstance(offer, NotOffered):
        todo = "widen easypost.services or max_rate_cents, or look at the carrier accounts"
        return (
            warn(AREA, "rate", f"a sample parcel gets none: {offer.why}", todo)
            if offer.held
            else fail(AREA, "rate", f"a sample parcel gets none: {offer.why}", todo)
        )
    price = f"{offer.charge_cents // 100}.{offer.charge_cents % 100:02}"
    return ok(AREA, "rate", f"a sample parcel (12 x 9 x 4 in, 500 g) costs {price} USD with {offer.service}")
