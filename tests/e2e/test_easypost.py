"""A paid label without a Return Service ID: bought on the merchant's own carrier account, over HTTP, by the real process."""

import json
import signal
from io import BytesIO
from urllib.parse import urlsplit

import aiohttp
import pytest
from pypdf import PdfReader

from adapters.sandbox import Fault
from adapters.sandbox.easypost.hooks import signature
from tests.e2e.world import MUG, SOCK, World, everyone, until, world

BOUGHT = {"buys_labels": "easypost"}


async def fetch(w: World, url: str) -> tuple[int, bytes]:
    """Get a hosted label as the shopper's browser does, past the proxy that stands before the daemon."""
    here = f"http://127.0.0.1:{w.daemon.public_port}{urlsplit(url).path}"
    async with aiohttp.ClientSession() as session, session.get(here) as reply:
        return reply.status, await reply.read()


def text_of(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(BytesIO(pdf)).pages]


async def test_a_bought_label_goes_its_way(tmp_path):
    """The shopper gets a paid label to the center with Amazon's slip; scans are told to Loop, and the return ends well."""
    async with world(tmp_path, **BOUGHT, shop={"report_transit": "all"}) as w:
        return_id = w.submit("#4001", SOCK)
        (label,) = (await w.labelled(return_id))["delivered_labels"]
        (parcel,) = w.parcels(return_id)
        assert (label["carrier"], label["rate"]["amount"]) == ("USPS", 607)
        assert label["tracking_number"] == parcel.sale.tracker.code
        assert parcel.request["is_return"] is True
        assert "easypost" not in label["label_url"]
        status, pdf = await fetch(w, label["label_url"])
        assert status == 200
        first, slip = text_of(pdf)
        rma = w.network("#4001")["returnAuthorizations"][0]["amazonRmaId"]
        assert f"RMA {rma}" in first
        assert rma in slip
        assert "Put this slip inside the parcel" in slip

        for scan, shown in (("InTransit", "in_transit"), ("Delivered", "delivered")):
            w.sandbox.scan(label["tracking_number"], scan)
            await until(shown, lambda shown=shown: w.portal(return_id)["delivered_labels"][0]["status"] == shown)
        w.sandbox.receive(return_id, sku=SOCK)
        await w.state(return_id, "closed")
        assert w.portal(return_id)["counts"] == {"process": 1}
        assert not w.daemon.complaints


@pytest.mark.parametrize("lost", ["drop", "empty", "status"])
async def test_a_purchase_whose_answer_was_lost_is_read(tmp_path, lost):
    """Whatever comes instead of the answer, the shipment tells that it was bought: money is spent once."""
    async with world(tmp_path, **BOUGHT) as w:
        spoil = Fault(vendor="easypost", operation="buy_shipment", kind=lost, after_effect=True, count=1)
        w.sandbox.set_faults([spoil])
        return_id = w.submit("#4101", SOCK)
        await w.labelled(return_id)
        (parcel,) = w.parcels(return_id)
        assert parcel.purchase_requests == 1


async def test_a_purchase_that_was_being_made_when_the_daemon_died(tmp_path):
    """After a kill in the middle of the purchase the label is found, and not bought again."""
    async with world(tmp_path, **BOUGHT) as w:
        hang = {"kind": "hang", "seconds": 30.0, "after_effect": True, "count": 1}
        w.sandbox.set_faults([Fault(vendor="easypost", operation="buy_shipment", **hang)])
        return_id = w.submit("#4102", MUG)
        await until("it is being bought", lambda: w.calls("buy_shipment"))
        await w.daemon.sigkill()
        w.sandbox.set_faults()
        await w.restart()
        await w.labelled(return_id)
        assert [parcel.purchase_requests for parcel in w.parcels(return_id)] == [1]


async def test_two_parcels_have_a_shipment_each(tmp_path):
    """Units that go to two centers travel with two labels in one file; Loop hears of both prices."""
    async with world(tmp_path, **BOUGHT) as w:
        w.sandbox.create_order("#4103", {SOCK: 1, MUG: 1}, return_centers=["RNO1", "ABE8"])
        return_id = w.submit("#4103", SOCK, MUG)
        (label,) = (await w.labelled(return_id))["delivered_labels"]
        parcels = w.parcels(return_id)
        assert len({parcel.sale.tracker.code for parcel in parcels}) == len({p.reference for p in parcels}) == 2
        assert label["rate"]["amount"] == 2 * 607
        assert len(text_of((await fetch(w, label["label_url"]))[1])) == 4


async def test_a_cancelled_return_asks_its_money_back(tmp_path):
    """An unused label is refunded and its link withdrawn; one that the carrier has scanned is kept."""
    async with world(tmp_path, **BOUGHT) as w:
        unused, used = w.submit("#4201", SOCK), w.submit("#4202", MUG)
        await everyone(w.labelled(unused), w.labelled(used))
        w.sandbox.scan(w.portal(used)["delivered_labels"][0]["tracking_number"], "InTransit")
        for return_id in (unused, used):
            w.sandbox.cancel_return(return_id)
        await until("a refund", lambda: w.parcels(unused)[0].sale.refund == "submitted")
        await until("the other is kept", lambda: w.notes(used)[2:])
        assert w.parcels(used)[0].sale.refund is None
        assert (await fetch(w, w.portal(unused)["delivered_labels"][0]["label_url"]))[0] == 410
        assert not w.daemon.complaints


async def test_without_a_fitting_rate_a_person_decides(tmp_path):
    """Nothing is bought and nothing is said to the shopper; `show` has the carriers' words, `retry` goes on."""
    async with world(tmp_path, **BOUGHT, easypost={"max_rate_cents": 500}) as w:
        offers = w.sandbox.easypost.services
        w.sandbox.offer_rates(
            [
                {"carrier": "USPS", "service": "GroundAdvantage", "cents": 607},
                {"carrier": "UPS", "service": "Ground", "cents": 0, "failure": "the postal code is not served"},
            ]
        )
        return_id = w.submit("#4301", SOCK)
        shown = await w.state(return_id, "stuck")
        assert "every allowed rate is above 5.00 USD: USPS/GroundAdvantage 6.07 USD" in shown["problem"]
        assert "postal code is not served" in shown["problem"]
        (request,) = w.portal(return_id)["label_requests"]
        assert w.sandbox.snapshot()["loop"]["label_requests"][str(request)]["errors"] == []
        assert w.sandbox.easypost_labels() == []

        w.sandbox.offer_rates([{"carrier": "USPS", "service": "GroundAdvantage", "cents": 499}, *offers])
        assert (await w.daemon.verb("retry", **{"return": str(return_id), "by": "operator"}))[0] == 200
        assert (await w.labelled(return_id))["delivered_labels"][0]["rate"]["amount"] == 499


async def test_an_empty_wallet_parks_the_purchases_alone(tmp_path):
    """Without funds nothing is bought, the daemon says so, and goes on by itself when a person asks it to try."""
    async with world(tmp_path, **BOUGHT) as w:
        w.sandbox.set_funds(False)
        return_id = w.submit("#4401", SOCK)
        await until("a purchase was tried", lambda: w.calls("buy_shipment"))

        async def parked() -> bool:
            shown = await w.daemon.metrics()
            return any("easypost/funds" in name and value == 1 for name, value in shown.items())

        await until("the daemon says so", parked)
        w.sandbox.set_funds(True)
        w.daemon.signal(signal.SIGHUP)
        await w.labelled(return_id)
        assert len(w.parcels(return_id)) == 1


async def test_a_label_that_cannot_be_read_waits_for_a_person(tmp_path):
    """The first picture of a service is shown to a person; once accepted, the next one goes out by itself."""
    async with world(tmp_path, **BOUGHT) as w:
        w.sandbox.print_pictures(True)
        return_id = w.submit("#4501", SOCK)
        shown = await w.state(return_id, "stuck")
        assert "cannot be read" in shown["problem"]
        status, pdf = await fetch(w, shown["label"])
        assert (status, len(text_of(pdf))) == (200, 2)
        assert (await w.daemon.verb("retry", **{"return": str(return_id), "by": "operator"}))[0] == 200
        await w.labelled(return_id)
        second = w.submit("#4502", MUG)
        await w.labelled(second)
        assert len(w.sandbox.easypost_labels()) == 2


async def test_events_are_believed_when_signed_and_only_as_hints(tmp_path):
    """A forged event is refused, and a signed one that lies changes nothing but when the carrier is asked."""
    slow = {"inspection_idle": "1h", "inspection_moving": "1h"}
    async with world(tmp_path, **BOUGHT, timings=slow, shop={"report_transit": "all"}) as w:
        return_id = w.submit("#4601", SOCK)
        (label,) = (await w.labelled(return_id))["delivered_labels"]
        (parcel,) = w.parcels(return_id)
        tracker = parcel.sale.tracker.view(0.0) | {"status": "delivered"}
        event = json.dumps({"id": "evt_1", "description": "tracker.updated", "result": tracker}).encode()
        secret = w.sandbox.options.easypost_webhook_secret
        path = "/webhooks/easypost/main"
        assert await w.daemon.deliver(path, event, "hmac-sha256-hex=00", header="X-Hmac-Signature") == 401
        asked = w.calls("read_tracker")
        signed = signature(secret, event)
        assert await w.daemon.deliver(path, event, signed, header="X-Hmac-Signature") == 200
        await until("the carrier was asked", lambda: w.calls("read_tracker") > asked)
        assert w.portal(return_id)["delivered_labels"][0]["status"] != "delivered"
        w.sandbox.scan(label["tracking_number"], "InTransit")
        await until("told", lambda: w.portal(return_id)["delivered_labels"][0]["status"] == "in_transit")


async def test_a_parcel_that_went_back_to_the_shopper_was_not_delivered(tmp_path):
    """A delivery after a return to the sender is told to nobody, and the units become missing: a person decides."""
    clocks = {"missing_lost": "1s"}
    async with world(tmp_path, **BOUGHT, timings=clocks) as w:
        return_id = w.submit("#4701", SOCK)
        (label,) = (await w.labelled(return_id))["delivered_labels"]
        w.sandbox.send_back(label["tracking_number"])
        await w.portal_state(return_id, "review")
        assert w.portal(return_id)["delivered_labels"][0]["status"] not in {"delivered", "out_for_delivery"}
        assert any("issing" in note for note in w.notes(return_id))


async def test_a_days_spending_has_a_limit(tmp_path):
    """A label beyond it is held for a person, and not bought."""
    async with world(tmp_path, **BOUGHT, easypost={"max_spend_per_day_cents": 1000}) as w:
        first = w.submit("#4801", SOCK)
        await w.labelled(first)
        second = w.submit("#4802", MUG)
        shown = await w.state(second, "stuck")
        assert "max_spend_per_day_cents (1000); 607 are spent" in shown["problem"]
        assert len(w.sandbox.easypost_labels()) == 1


async def test_amazons_page_may_stand_in_for_a_rate(tmp_path):
    """With `on_no_rate: rma_page` a parcel without a rate gets Amazon's own page, without postage."""
    async with world(tmp_path, **BOUGHT, easypost={"on_no_rate": "rma_page", "services": ["FedEx/*"]}) as w:
        return_id = w.submit("#4803", SOCK)
        (label,) = (await w.labelled(return_id))["delivered_labels"]
        assert "/gp/orc/rml/" in label["label_url"]
        assert w.sandbox.easypost_labels() == []


async def test_a_label_of_another_key_is_left_alone(tmp_path):
    """After the key was changed to test mode a cancelled return keeps its label, says why, and is not stuck."""
    async with world(tmp_path, **BOUGHT) as w:
        return_id = w.submit("#4804", SOCK)
        await w.labelled(return_id)
        w.daemon.secrets["easypost_api_key"] = w.sandbox.options.easypost_test_key
        await w.restart()
        w.sandbox.cancel_return(return_id)
        await until("it is noted", lambda: any("production key" in note for note in w.notes(return_id)))
        assert w.parcels(return_id)[0].sale.refund is None
        assert (await w.daemon.show(return_id))["state"] != "stuck"
