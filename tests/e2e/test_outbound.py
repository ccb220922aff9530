"""Where the daemon goes on the network: to the vendors that its configuration names, and nowhere else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.sandbox.loop.webhooks import signature
from tests.e2e.world import MUG, SHOP, SOCK, World, everyone, until, world


class Trap:
    """A port that counts who comes."""

    def __init__(self) -> None:
        self.visits = 0
        self.url = ""

    async def visited(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()


@asynccontextmanager
async def trap() -> AsyncIterator[Trap]:
    """Open one on a free port."""
    made = Trap()
    server = await asyncio.start_server(made.visited, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()


@pytest.mark.parametrize("buys_labels", [True, False], ids=["bought labels", "Amazon's pages"])
async def test_no_url_of_a_vendor_is_fetched(tmp_path, buys_labels):
    """The URLs in both vendors' answers lead to a trap, pages of lists included; all goes well, and nobody comes."""
    async with trap() as bait, world(tmp_path, buys_labels=buys_labels) as w:
        w.sandbox.network.base_url = bait.url  # Amazon's return pages
        turned = small_pages(w, bait)
        clean, damaged = w.submit("#6901", SOCK), w.submit("#6902", MUG)
        (label, _) = await everyone(w.labelled(clean), w.labelled(damaged))
        if not buys_labels:
            assert label["delivered_labels"][0]["label_url"].startswith(bait.url)
        await everyone(w.receive(clean, SOCK), w.receive(damaged, MUG, "Defective"))
        await everyone(w.state(clean, "closed"), w.state(damaged, "in_review"))
        await hint(w, bait)
        await until("pages were turned", lambda: turned)
        await everyone(*(w.daemon.cli(*verb) for verb in (("doctor",), ("webhooks", "list"), ("match", str(clean)))))
        assert bait.visits == 0
        _, writer = await asyncio.open_connection("127.0.0.1", int(bait.url.rpartition(":")[2]))
        writer.close()
        await until("the trap works", lambda: bait.visits == 1)


async def test_of_easyposts_urls_only_the_label_is_fetched(tmp_path):
    """Tracking pages, forms and every other address in EasyPost's answers lead to a trap, and nobody comes."""
    async with trap() as bait, world(tmp_path, buys_labels="easypost") as w:
        view = w.sandbox.easypost.view

        def baited(shipment, **whole):
            forms = [{"form_type": "label_qr_code", "form_url": bait.url}]
            return view(shipment, **whole) | {"forms": forms, "url": bait.url, "commercial_invoice_url": bait.url}

        w.sandbox.easypost.view = baited
        return_id = w.submit("#6903", SOCK)
        await w.labelled(return_id)
        assert w.calls("labelFile") == 1
        await w.receive(return_id, SOCK)
        await w.state(return_id, "closed")
        assert bait.visits == 0


def small_pages(w: World, bait: Trap) -> list[str]:
    """Let Loop list one return on a page, and say that the next is at the trap's; the pages that were asked for."""
    reader, turned = w.sandbox._reader, []
    listing = reader.list_returns
    reader.base_url = bait.url

    def list_returns(query, version):
        turned.extend([query["cursor"]] if "cursor" in query else [])
        return listing({**query, "pageSize": "1"}, version)

    reader.list_returns = list_returns
    return turned


async def hint(w: World, bait: Trap) -> None:
    """Deliver news of a return in which every address is the trap's."""
    addresses = dict.fromkeys(("status_page_url", "label_url", "tracking_url", "url", "href", "callback"), bait.url)
    labels = [{"url": bait.url, "qrcode_url": bait.url}]
    news = {"topic": "return", "trigger": "return.updated", "id": "1", "state": "open", "labels": labels, **addresses}
    body = json.dumps(news).encode()
    signed = signature(w.sandbox.options.webhook_secret, body)
    assert await w.daemon.deliver(f"/webhooks/loop/{SHOP}", body, signed) == 200
