"""Labels that are bought with the Return Service ID, printed by us, and followed on their way."""

from io import BytesIO
from urllib.parse import urlsplit

import aiohttp
from pypdf import PdfReader

from adapters.sandbox import Fault, ReturnLine
from tests.e2e.world import MUG, SOCK, World, everyone, until, world


async def fetch(w: World, url: str) -> tuple[int, bytes]:
    """Get a hosted label as the shopper's browser does, past the proxy that stands before the daemon."""
    here = f"http://127.0.0.1:{w.daemon.public_port}{urlsplit(url).path}"
    async with aiohttp.ClientSession() as session, session.get(here) as reply:
        return reply.status, await reply.read()


async def test_a_bought_label_goes_its_way(tmp_path):
    """A label is bought once, hosted as a PDF, followed by the carrier's scans, and the return ends as it should."""
    async with world(tmp_path, buys_labels=True, shop={"report_transit": "all"}) as w:
        w.sandbox.set_documents_after(0.3)
        return_id = w.submit("#4001", SOCK)
        (label,) = (await w.labelled(return_id))["delivered_labels"]
        assert label["label_url"].startswith("http://127.0.0.1:8080/labels/")
        status, pdf = await fetch(w, label["label_url"])
        assert (status, pdf[:5]) == (200, b"%PDF-")
        assert (await fetch(w, label["label_url"][:-9] + "AAAAA.pdf"))[0] == 404
        assert label["rate"]["amount"] == 650
        (shipment,) = w.shipments(return_id)
        assert shipment["service_id"] == w.sandbox.options.return_service_id

        for scan, shown in (("InTransit", "in_transit"), ("Delivered", "delivered")):
            w.sandbox.scan(label["tracking_number"], scan)
            await until(shown, lambda shown=shown: w.portal(return_id)["delivered_labels"][0]["status"] == shown)
        w.sandbox.receive(return_id, sku=SOCK)
        await w.state(return_id, "closed")
        assert w.portal(return_id)["counts"] == {"process": 1}
        assert not w.daemon.complaints


async def test_a_purchase_whose_answer_was_lost_is_not_made_twice(tmp_path):
    """After a dropped line, and after a power cut, the same label is found again: one shipment per return."""
    async with world(tmp_path, buys_labels=True) as w:
        drop = Fault(vendor="shipping", operation="purchaseShipment", kind="drop", after_effect=True, count=1)
        w.sandbox.set_faults([drop])
        first = w.submit("#4101", SOCK)
        await w.labelled(first)
        hang = {"kind": "hang", "seconds": 30.0, "after_effect": True, "count": 1}
        w.sandbox.set_faults([Fault(vendor="shipping", operation="purchaseShipment", **hang)])
        bought = w.calls("purchaseShipment")
        second = w.submit("#4102", MUG)
        await until("it is being bought", lambda: w.calls("purchaseShipment") > bought)
        await w.daemon.sigkill()
        w.sandbox.set_faults()
        await w.restart()
        await w.labelled(second)
        assert len(w.sandbox.snapshot()["amazon"]["shipments"]) == 2
        assert [len(w.shipments(return_id)) for return_id in (first, second)] == [1, 1]


async def test_a_cancelled_return_gives_its_label_back(tmp_path):
    """When the shopper cancels, an unused label is voided; one that the carrier has scanned is not."""
    async with world(tmp_path, buys_labels=True) as w:
        unused, used = w.submit("#4201", SOCK), w.submit("#4202", MUG)
        await everyone(w.labelled(unused), w.labelled(used))
        w.sandbox.scan(w.portal(used)["delivered_labels"][0]["tracking_number"], "InTransit")
        for return_id in (unused, used):
            w.sandbox.cancel_return(return_id)
        await until("it is voided", lambda: w.shipments(unused)[0]["cancelled"])
        await until("the other is kept", lambda: w.notes(used)[2:])
        assert not w.shipments(used)[0]["cancelled"]
        assert not w.daemon.complaints


async def test_a_service_that_is_not_offered_is_held_for_a_person(tmp_path):
    """Without the merchant's service nothing is bought and nothing is posted; `retry` goes on when it is there."""
    async with world(tmp_path, buys_labels=True) as w:
        offers = w.sandbox.shipping.offers
        w.sandbox.offer_services([{"service_id": "SOMETHING-ELSE", "name": "Else"}])
        return_id = w.submit("#4301", SOCK)
        shown = await w.state(return_id, "stuck")
        assert "SOMETHING-ELSE" in shown["problem"]
        assert w.sandbox.snapshot()["amazon"]["shipments"] == {}
        (request,) = w.portal(return_id)["label_requests"]
        assert w.sandbox.snapshot()["loop"]["label_requests"][str(request)]["errors"] == []

        w.sandbox.offer_services(offers)
        assert (await w.daemon.verb("retry", **{"return": str(return_id), "by": "operator"}))[0] == 200
        await w.labelled(return_id)


async def test_a_service_that_demands_a_signature(tmp_path):
    """What Amazon demands with the label is bought with it, and a line without a price has a value all the same."""
    async with world(tmp_path, buys_labels=True) as w:
        service = w.sandbox.options.return_service_id
        w.sandbox.offer_services([{"service_id": service, "required_service": "SIGNATURE", "required_cents": 250}])
        return_id = w.submit("#7001", ReturnLine(sku=SOCK, price="0.00"))
        held = await w.labelled(return_id)
        assert held["delivered_labels"][0]["rate"]["amount"] == 900
        (bought,) = w.shipments(return_id)
        assert not bought["cancelled"]


async def test_a_service_that_demands_what_cannot_be_bought(tmp_path):
    """The merchant can mend it, so the return is held with the group's name, and the shopper is not told no."""
    async with world(tmp_path, buys_labels=True) as w:
        service = w.sandbox.options.return_service_id
        w.sandbox.offer_services([{"service_id": service, "required_service": ""}])
        return_id = w.submit("#7002", SOCK)
        shown = await w.state(return_id, "stuck")
        assert "SIG_VERIFICATION" in str(shown["problem"])
        requests = w.sandbox.snapshot()["loop"]["label_requests"].values()
        assert [request["errors"] for request in requests] == [[]]
        w.sandbox.offer_services([{"service_id": service}])
        assert (await w.daemon.cli("retry", str(return_id))).status == 0
        await w.labelled(return_id)


async def test_a_label_that_is_locked_with_an_empty_password(tmp_path):
    """Shoppers print it without noticing, so it is delivered; the file of ours is not locked."""
    async with world(tmp_path, buys_labels=True, label_pdf="locked") as w:
        return_id = w.submit("#7003", SOCK)
        held = await w.labelled(return_id)
        path = urlsplit(held["delivered_labels"][0]["label_url"]).path
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{w.daemon.public_port}{path}") as page,
        ):
            document = PdfReader(BytesIO(await page.read()))
        assert not document.is_encrypted
        assert "SANDBOX LABEL" in document.pages[0].extract_text()


async def test_a_list_of_loops_that_begins_again(tmp_path):
    """It is read once round and told, what came is heard of, and returns go on."""
    async with world(tmp_path, buys_labels=True, list_of_returns="repeats") as w:
        return_id = w.submit("#7004", SOCK)
        await w.labelled(return_id)
        await until("it is told", lambda: w.daemon.heard("poll.failed", shop="acme"))
        assert w.daemon.running
