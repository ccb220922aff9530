"""Who is let in at the public listener, and what a 200 promises."""

import asyncio
import json
import random

import pytest

from adapters.sandbox import Fault
from adapters.sandbox.loop.webhooks import signature
from tests.e2e.world import SHOP, SOCK, World, everyone, pause, until, vendors

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = f"/webhooks/loop/{SHOP}"


def issued(return_id: int, request_id: int) -> bytes:
    """A delivery as Loop sends it, for a label request that Loop really has."""
    body = {
        "topic": "label.request",
        "trigger": "label.request.issued",
        "id": request_id,
        "return_id": return_id,
        "shop_id": 4410,
        "created_at": "2026-11-24T10:00:00.000000Z",
        "products": [],
    }
    return json.dumps(body).encode()


async def known(w: World) -> int:
    """How many returns the daemon knows."""
    status, answer = await w.daemon.verb("status")
    assert status == 200
    return sum(answer["returns"].values())


async def test_what_is_not_signed_by_loop_is_turned_away(w):
    """A wrong, a missing and somebody else's signature are 401 and store nothing; an unknown shop is 404."""
    body, secret = issued(58_000_001, 733_001), w.sandbox.options.webhook_secret
    before, returns = await w.daemon.metrics(), await known(w)
    assert await w.daemon.deliver(PATH, body, signature("not the secret", body)) == 401
    assert await w.daemon.deliver(PATH, body, None) == 401
    assert await w.daemon.deliver(PATH, body + b" ", signature(secret, body)[:-4] + "AAA=") == 401
    assert await w.daemon.deliver("/webhooks/loop/nobody", body, signature(secret, body)) == 404
    assert await known(w) == returns

    assert await w.daemon.deliver(PATH, body, signature(secret, body)) == 200
    assert await w.daemon.deliver(PATH, body, signature(secret, body)) == 200
    assert await known(w) == returns + 1
    after = await w.daemon.metrics()
    for shop, outcome, more in ((SHOP, "bad_signature", 3), ("", "unknown_shop", 1), (SHOP, "duplicate", 1)):
        account = "main" if shop else ""
        name = f'mcfd_webhooks_total{{account="{account}",outcome="{outcome}",shop="{shop}"}}'
        assert after[name] - before.get(name, 0) == more


async def test_every_acknowledged_delivery_survives_a_kill(tmp_path):
    """Of deliveries that pour in when the daemon is killed, each that was answered 200 is known after the restart."""
    quiet = {"label_request_poll": "1h", "return_poll": "1h"}
    async with vendors(tmp_path, timings=quiet) as w:
        w.sandbox.set_faults([Fault(vendor="loop", kind="status", status=503)])  # nobody tells the daemon otherwise
        await w.daemon.start()
        secret, dice = w.sandbox.options.webhook_secret, random.Random(7)
        acknowledged: set[int] = set()

        async def loop_delivers(return_id: int) -> None:
            await pause(dice.random() * 0.3)
            body = issued(return_id, return_id + 1_000_000)
            if await w.daemon.deliver(PATH, body, signature(secret, body)) == 200:
                acknowledged.add(return_id)

        deliveries = [asyncio.ensure_future(loop_delivers(58_000_000 + n)) for n in range(60)]
        await until("many acknowledged", lambda: len(acknowledged) >= 30)
        await w.daemon.sigkill()
        await asyncio.gather(*deliveries, return_exceptions=True)
        assert len(acknowledged) >= 30

        await w.daemon.start()
        shown = await everyone(*(w.daemon.show(return_id) for return_id in acknowledged))
        assert {answer["state"] for answer in shown} == {"received"}


async def test_deliveries_may_come_twice_late_and_out_of_order(w):
    """Duplicates, delays and swapped deliveries change nothing of how a return ends."""
    w.sandbox.set_faults(
        [
            Fault(vendor="webhook", kind="reorder", seconds=0.3, probability=0.3),
            Fault(vendor="webhook", kind="delay", seconds=0.2, probability=0.3),
            Fault(vendor="webhook", kind="duplicate", probability=0.7),
        ]
    )
    returns = [w.submit(f"#11{n:02}", SOCK) for n in range(5)]
    await everyone(*(w.receive(return_id, SOCK) for return_id in returns))
    await everyone(*(w.state(return_id, "closed") for return_id in returns))
    for return_id in returns:
        assert w.portal(return_id)["counts"] == {"process": 1}
        assert len(w.notes(return_id)) == len(set(w.notes(return_id))) == 4


async def test_what_is_signed_but_unreadable_is_kept_sealed(w):
    """A delivery that nobody can read is acknowledged, told in the log without its text, and encrypted at rest."""
    body = b'{"topic": "label.request", "trigger": "label.request.issued", "customer": "canary@example.org", "id": '
    assert await w.daemon.deliver(PATH, body, signature(w.sandbox.options.webhook_secret, body)) == 200
    assert w.daemon.heard("webhook.unreadable", shop=SHOP)
    assert not any("canary" in line for line in w.daemon.lines)
    stored = b"".join(path.read_bytes() for path in w.daemon.state.iterdir())
    assert b"Loop webhook: not JSON" in stored
    assert b"canary" not in stored
