"""Labels bought from EasyPost on the merchant's own carrier accounts.

A shipment at EasyPost carries one label, so its id is the handle of a purchase: it is made first, which costs nothing,
saved, and then bought by its id. EasyPost knows no idempotency key; what became of a purchase whose answer was lost is
read off the shipment, and it is bought again by the same id or not at all.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Sequence
from typing import Self

from adapters.easypost.connection import FUNDS, EasyPostConnection, Operation
from adapters.easypost.wire import accounts, files, shipments, trackers
from adapters.easypost.wire.errors import complaint, refusal
from adapters.easypost.wire.shipments import Asking, ShipmentView
from adapters.vendor_calls.transport import Reply, Transport
from daemon.domain.postage import (
    BoughtPostage,
    KnownParcel,
    NotBought,
    NotOffered,
    OfferExpired,
    PostageOffer,
    PostageOrder,
    Tracking,
    VoidAnswer,
)
from daemon.domain.postage_rates import Rate, RateRules, choose_rate, why_none
from daemon.domain.problems import ProblemCode
from daemon.errors import ContractBroken, RateLimited, Refused, Transient, Unavailable
from daemon.ports.vendors import Lane

CREATE = Operation(shipments.CREATE, "POST", Lane.SHOPPER)
RERATE = Operation(shipments.RERATE, "POST", Lane.SHOPPER)
BUY = Operation(shipments.BUY, "POST", Lane.SHOPPER, pays=True)
READ = Operation(shipments.READ, "GET", Lane.SHOPPER)
LOOK = Operation(shipments.READ, "GET", Lane.BACKGROUND)
LIST = Operation(shipments.LIST, "GET", Lane.BACKGROUND)
REFUND = Operation(shipments.REFUND, "POST", Lane.BACKGROUND)
ACCOUNTS = Operation(accounts.READ, "GET", Lane.BACKGROUND)
TRACK = Operation(trackers.READ, "GET", Lane.BACKGROUND)

SOLD_BEFORE = "SHIPMENT.POSTAGE.EXISTS"
UNCLEAR = frozenset(
    {"SHIPMENT.PURCHASE.IN_PROGRESS", "SHIPMENT.POSTAGE.TIMED_OUT", "SHIPMENT.POSTAGE.NO_RESPONSE", "NO_RESPONSE"}
)
STALE = frozenset(
    {"SHIPMENT.MISSING_RATE", "SHIPMENT.RATE.CARRIER_ACCOUNT_INVALID", "SHIPMENT.RATE.EXPIRED", "RATE.EXPIRED"}
)
TEST_KEY = "EZTK"
NOT_THERE = "NOT_FOUND"
LISTED_FOR = 600.0
"""Seconds for which the list of shipments is not read again: it is searched for parcels of an earlier life only."""

MOST_PAGES = 1000


class EasyPostLabels:
    """Implements LabelSource for one EasyPost account.

    `files` fetches labels from the internet, `local_files` from an API on this machine, where there is one.
    """

    def __init__(
        self,
        connection: EasyPostConnection,
        *,
        rules: RateRules,
        asking: Asking,
        hosts: files.AllowedHosts,
        api_key: Callable[[], str],
        fetch: Transport,
        fetch_locally: Transport,
    ) -> None:
        self._easypost = connection
        self._rules = rules
        self._asking = asking
        self._hosts = hosts
        self._api_key = api_key
        self._fetch = fetch
        self._fetch_locally = fetch_locally
        self._listing = asyncio.Lock()
        self._listed: tuple[float, float, list[ShipmentView]] = (float("-inf"), float("inf"), [])

    @property
    def mode(self) -> str:
        """Whether the key buys labels that carriers take, by the way that EasyPost spells its keys."""
        return shipments.TEST if self._api_key().startswith(TEST_KEY) else shipments.PRODUCTION

    @property
    def purchase_reader(self) -> Self:
        """What became of a purchase is read off its shipment."""
        return self

    @property
    def refused(self) -> str:
        """Why the account is parked; empty while it is not."""
        return self._easypost.parking.refused.get("", "")

    @property
    def without_funds(self) -> str:
        """Why nothing can be bought just now; empty while it can."""
        return self._easypost.parking.refused.get(FUNDS, "")

    def hang_up(self) -> None:
        """Make no more calls: whoever waits for a turn comes back after the next start."""
        self._easypost.close()

    def unpark(self) -> None:
        """Try at once again what was refused."""
        self._easypost.parking.forget()

    async def offer(self, order: PostageOrder) -> PostageOffer | NotOffered:
        """Have the parcel rated, by the shipment that was made for it before if there is one, and choose a rate."""
        private = shipments.private_texts(order, self._asking)
        if order.handle:
            return await self._rate_again(order.handle, private)
        body = shipments.encode_shipment(order, self._asking)
        reply = await self._easypost.call(CREATE, shipments.SHIPMENTS, body)
        made = shipments.decode_shipment(shipments.CREATE, reply.status, reply.body, private)
        return self._chosen(made, made.rates)

    async def _rate_again(self, handle: str, private: Collection[str]) -> PostageOffer | NotOffered:
        """A purchase may show late: what was bought after all is neither chosen again nor dropped for a limit."""
        known = await self._read(handle, READ, private)
        if known.sold is not None and known.sold.rate is not None:
            return _offer(known, known.sold.rate, sold=True)
        reply = await self._easypost.call(RERATE, shipments.shipment_path(handle, "rerate"))
        rates = shipments.decode_rates(reply.status, reply.body)
        return self._chosen(await self._read(handle, READ, private), rates)

    def _chosen(self, shipment: ShipmentView, rates: tuple[Rate, ...]) -> PostageOffer | NotOffered:
        if shipment.mode == shipments.TEST and not self._hosts.local_origin:
            words = "the EasyPost key is a test key: its labels are not paid for"
            return NotOffered(why=words, code=ProblemCode.TEST_KEY, held=True)
        rate = choose_rate(rates, self._rules)
        if rate is None:
            why = "; ".join((why_none(rates, self._rules), *shipment.messages))
            return NotOffered(
                offered=tuple(r.name for r in rates),
                why=why,
                code=ProblemCode.NO_CARRIER_RATE,
                passing=shipments.passing(shipment.messages),
            )
        return _offer(shipment, rate)

    async def carrier_accounts(self) -> Sequence[tuple[str, str]]:
        """(id, carrier) of every carrier account."""
        reply = await self._easypost.call(ACCOUNTS, accounts.ACCOUNTS_PATH)
        return accounts.decode_accounts(reply.status, reply.body)

    async def buy(self, body: bytes, key: str) -> BoughtPostage | OfferExpired:  # noqa: ARG002 - the shipment is the key
        """Buy the saved shipment at its rate, in one attempt; whatever is not clear is read off the shipment."""
        wanted = json.loads(body)
        handle, rate_id = str(wanted["shipment"]), str(wanted["rate"])
        path = shipments.shipment_path(handle, "buy")
        try:
            reply = await self._easypost.call(BUY, path, shipments.encode_purchase(rate_id))
        except RateLimited:
            if (found := await self._settled(handle)) is not None:
                return found
            raise
        if reply.status < 300:
            return self._bought(reply)
        return await self._not_sold(handle, reply)

    async def look(self, body: bytes) -> BoughtPostage | NotBought:
        """Read what became of a purchase whose answer was lost."""
        return await self._settled(str(json.loads(body)["shipment"])) or NotBought()

    async def document(self, shipment_id: str, reference: str, label_format: str) -> BoughtPostage:  # noqa: ARG002 - the port's
        """Read the shipment and fetch its label, which EasyPost keeps for half a year."""
        shipment = await self._read(shipment_id, READ)
        return _sold(shipment, await self._file(shipment.sold.label_url if shipment.sold else ""))

    async def void(self, shipment_id: str) -> VoidAnswer:
        """Ask for the refund of a label, unless that was done: the shipment is read first."""
        before = (await self._read(shipment_id, LOOK)).refund_status
        if (known := _void_answer(before)) not in {None, VoidAnswer.REJECTED}:
            assert known is not None  # noqa: S101 - for the type checker
            return known
        reply = await self._easypost.call(REFUND, shipments.shipment_path(shipment_id, "refund"))
        after = shipments.decode_shipment(shipments.REFUND, reply.status, reply.body)
        return _void_answer(after.refund_status) or VoidAnswer.PENDING

    async def sold(self, handle: str) -> bool:
        """Whether a shipment shows a label by now."""
        return (await self._read(handle, LOOK)).sold is not None

    async def voided(self, handle: str) -> VoidAnswer | None:
        """How far the refund of a label has come; None when none was asked for."""
        return _void_answer((await self._read(handle, LOOK)).refund_status)

    async def track(self, tracking_id: str, carrier_id: str) -> Tracking:
        """Where the parcel is. `carrier_id` is the tracker's id: tracking numbers are used again."""
        if not carrier_id:
            raise Refused(NOT_THERE, f"EasyPost made no tracker for {tracking_id}")
        reply = await self._easypost.call(TRACK, trackers.tracker_path(carrier_id))
        return trackers.decode_tracker(reply.status, reply.body)

    async def made_before(self, key: str, since: float) -> KnownParcel | None:
        """The shipment whose `reference` is the key: the one that was sold, or else the newest."""
        found = [shipment for shipment in await self._recent(since) if shipment.reference == key]
        return _known(min(found, key=lambda shipment: shipment.sold is None)) if found else None

    async def known_by_number(self, tracking_id: str, carrier: str, since: float) -> KnownParcel | None:  # noqa: ARG002 - the shipment names it
        """The newest shipment sold with this tracking code."""
        sold = (shipment for shipment in await self._recent(since) if shipment.sold)
        return next((_known(s) for s in sold if s.sold and s.sold.tracking_code == tracking_id), None)

    async def _recent(self, since: float) -> Sequence[ShipmentView]:
        """Every shipment made since then, newest first. Raises ContractBroken if the list has no end."""
        async with self._listing:
            read_at, start, listed = self._listed
            now = self._easypost.clock.monotonic()
            if start > since or now - read_at > LISTED_FOR:
                found = {s.shipment_id: s for bought in (True, False) for s in await self._list(since, bought=bought)}
                listed = list(found.values())
                self._listed = now, since, listed
            return listed

    async def _list(self, since: float, *, bought: bool) -> list[ShipmentView]:
        found: list[ShipmentView] = []
        before_id = ""
        for _ in range(MOST_PAGES):
            path = shipments.list_path(since, bought=bought, before_id=before_id)
            reply = await self._easypost.call(LIST, path)
            page, before_id = shipments.decode_list(reply.status, reply.body)
            found += page
            if not before_id:
                return found
        raise ContractBroken(f"{shipments.LIST}: the list has more than {MOST_PAGES} pages")

    async def _not_sold(self, handle: str, reply: Reply) -> BoughtPostage | OfferExpired:
        """A refusal stands only when the shipment shows that nothing was sold."""
        code = complaint(reply.body).code
        try:
            found = await self._settled(handle)
        except Refused:
            found = None
        except Transient as error:
            raise Unavailable(f"{shipments.BUY}: {code or reply.status}, and no reading", unclear=True) from error
        if found is not None:
            return found
        if code in UNCLEAR or code == SOLD_BEFORE:
            raise Unavailable(f"{shipments.BUY}: {code}", unclear=True)
        if code in STALE:
            return OfferExpired()
        raise refusal(reply.status, reply.body)

    async def _settled(self, handle: str) -> BoughtPostage | None:
        shipment = await self._read(handle, READ)
        return _sold(shipment) if shipment.sold else None

    async def _read(self, shipment_id: str, operation: Operation, private: Collection[str] = ()) -> ShipmentView:
        reply = await self._easypost.call(operation, shipments.shipment_path(shipment_id))
        return shipments.decode_shipment(operation.name, reply.status, reply.body, private)

    def _bought(self, reply: Reply) -> BoughtPostage:
        """An answer that cannot be read says nothing about what it cost: the shipment will tell."""
        try:
            shipment = shipments.decode_shipment(shipments.BUY, reply.status, reply.body)
        except (ContractBroken, Refused) as error:
            raise Unavailable(f"{shipments.BUY}: the answer cannot be read", unclear=True) from error
        if shipment.sold is None:
            raise Unavailable(f"{shipments.BUY}: the answer shows no label", unclear=True)
        return _sold(shipment)

    async def _file(self, url: str) -> bytes | None:
        if not url:
            return None
        transport = self._fetch_locally if files.check_label_url(url, self._hosts) else self._fetch
        reply = await transport.send("GET", url, operation=files.FETCH, headers={"Accept": "*/*"})
        if reply.status != 200:
            raise Unavailable(f"{files.FETCH}: status {reply.status}", unclear=False)
        return files.printable_file(reply.body)


def _offer(shipment: ShipmentView, rate: Rate, *, sold: bool = False) -> PostageOffer:
    return PostageOffer(
        body=json.dumps({"shipment": shipment.shipment_id, "rate": rate.rate_id}, sort_keys=True).encode(),
        carrier_id="",
        carrier=rate.carrier,
        charge_cents=rate.cents,
        label_format="PDF",
        handle=shipment.shipment_id,
        service=rate.lane,
        mode=shipment.mode,
        sold=sold,
    )


def _sold(shipment: ShipmentView, document: bytes | None = None) -> BoughtPostage:
    sold = shipment.sold
    return BoughtPostage(
        shipment_id=shipment.shipment_id,
        tracking_id=sold.tracking_code if sold else "",
        document=document,
        carrier_id=sold.tracker_id if sold else "",
        charge_cents=sold.rate.cents if sold and sold.rate else None,
        sender_code=shipment.shopper_code,
    )


def _known(shipment: ShipmentView) -> KnownParcel:
    sold = shipment.sold
    rate = sold.rate if sold else None
    return KnownParcel(
        tracking_id=sold.tracking_code if sold else "",
        carrier_id=sold.tracker_id if sold else "",
        carrier=rate.carrier if rate else "",
        handle=shipment.shipment_id,
        sold=sold is not None,
        charge_cents=rate.cents if rate else 0,
        service=rate.lane if rate else "",
        mode=shipment.mode,
        refund=_void_answer(shipment.refund_status),
    )


def _void_answer(status: str) -> VoidAnswer | None:
    return {
        "refunded": VoidAnswer.DONE,
        "submitted": VoidAnswer.PENDING,
        "rejected": VoidAnswer.REJECTED,
        "not_applicable": VoidAnswer.NEEDLESS,
    }.get(status.strip().casefold())
