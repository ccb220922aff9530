"""What nobody may find in the log, on the terminal or in the database."""

from adapters.sandbox import Fault, ReturnLine
from adapters.sandbox.webhooks import signature
from tests.e2e.world import MUG, SHOP, SOCK, everyone, until, world

PERSON = {
    "name": "Canary Birdsong",
    "company": "Canary & Sons",
    "address1": "77 Canary Wharf",
    "address2": "Canary Floor",
    "city": "Canaryville",
    "phone": "12085550canary",
}
CUSTOMER = "canary.birdsong@example.org"
GIVEN_AWAY = ("canary", "/gp/orc/rml", "/labels/", "Atza|", "Atzr|", "83702")


async def test_nothing_private_is_told_or_stored(tmp_path):
    """Through successes, refusals, failures and bad deliveries, at the loudest level: no secret, person or link."""
    loud = {"log": {"level": "debug"}}
    async with world(tmp_path, buys_labels=True, config=loud, return_service_id="service-canary-1") as w:
        private = {"origin": PERSON, "customer": CUSTOMER}
        line = ReturnLine(sku=SOCK, comment="I, Canary, do not like it", title="Canary socks")
        for vendor, operation in (("loop", "createLabel"), ("shipping", "purchaseShipment"), ("lwa", "token")):
            w.sandbox.set_faults([Fault(vendor=vendor, operation=operation, kind="status", status=500, count=1)])
            if vendor == "lwa":
                w.sandbox.expire_access_tokens()
            await w.labelled(w.submit(f"#5{operation}", line, **private))
        w.sandbox.set_faults([Fault(vendor="shipping", operation="getRates", kind="contradiction", count=1)])
        clean, damaged = w.submit("#5001", line, **private), w.submit("#5002", MUG, **private)
        await everyone(w.receive(clean, SOCK), w.receive(damaged, MUG, "CustomerDamaged"))
        await everyone(w.state(clean, "closed"), w.state(damaged, "in_review"))

        w.sandbox.refuse_sku("HAT", "InvalidValues", "This hat cannot come back.")
        w.sandbox.offer_services([{"service_id": "OTHER", "name": "Other"}])
        refused, stuck = w.submit("#5003", "HAT", **private), w.submit("#5004", SOCK, **private)
        await everyone(w.state(refused, "closed"), w.state(stuck, "stuck"))
        broken = b'{"topic": "label.request", "trigger": "label.request.issued", "customer": "' + CUSTOMER.encode()
        secret = w.sandbox.options.webhook_secret
        assert await w.daemon.deliver(f"/webhooks/loop/{SHOP}", broken, signature(secret, broken)) == 200
        assert await w.daemon.deliver(f"/webhooks/loop/{SHOP}?email={CUSTOMER}", broken, secret) == 401
        assert (await w.daemon.verb("show", "wrong-canary", **{"return": str(clean)}))[0] == 401

        w.sandbox.revoke_access()
        late = w.submit("#5005", line, **private)
        await until("it is parked", lambda: w.daemon.heard("amazon.credentials_changed", state="refused"))
        shown = [await w.daemon.verb("show", **{"return": str(name)}) for name in (clean, damaged, stuck, late)]
        assert {status for status, _ in shown} == {200}
        told = [str(shown), (await w.daemon.get("/metrics"))[1], str(await w.daemon.ops("/readyz"))]
        assert await w.daemon.sigterm() == 0

        assert len(w.daemon.lines) > 40
        for text in (*w.daemon.lines, *told):
            for private_text in (*GIVEN_AWAY, *w.daemon.secrets.values()):
                assert private_text.lower() not in text.lower()
        stored = b"".join(path.read_bytes() for path in w.daemon.state.iterdir())
        for private_text in (*PERSON.values(), CUSTOMER, "canary", "/labels/", *w.daemon.secrets.values()):
            assert private_text.encode() not in stored
