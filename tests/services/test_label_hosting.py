"""Case 2, the hosted PDF: kept encrypted, reached by a link that cannot be guessed, gone after its retention."""

import re
import secrets
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import aiohttp
import pytest

from adapters.host.clock import SystemClock
from adapters.host.vault import SealBroken, Vault
from adapters.http.public import PublicListener
from daemon.engine.label_hosting import LabelHosting
from tests.services.parcels import buying
from tests.services.stage import DAY

PDF = b"%PDF-1.7 " + b"a label with a shopper on it " * 40
NOBODYS = "A" * 43


@pytest.fixture
def host(stage):
    """Hosting as the daemon has it, on the stage's store."""
    return hosting(stage)


def hosting(stage, *, retention=30 * DAY, keys=(bytes(32),)):
    return LabelHosting(
        stage.store,
        Vault(keys),
        stage.clock,
        public_url="https://returns.test",
        retention=retention,
        new_token=partial(secrets.token_urlsafe, 32),
    )


async def publish(stage, host, document=PDF) -> str:
    """Publish a document; the sealed link as it is stored."""
    link, store_document = host.publish(document)
    await stage.store.transact(store_document)
    return link


def token_of(url: str) -> str:
    found = re.fullmatch(r"https://returns\.test/labels/([A-Za-z0-9_-]{43})\.pdf", url)
    assert found is not None
    return found[1]


@asynccontextmanager
async def listening(host):
    """The public listener before that hosting; gives a way to ask it."""
    listener = PublicListener(receiver=None, labels=host, shops=frozenset({"acme"}), clock=SystemClock())
    await listener.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:

            async def ask(path, method="GET"):
                async with session.request(method, f"http://127.0.0.1:{listener.port}{path}") as reply:
                    return reply.status, dict(reply.headers), await reply.read()

            yield ask
    finally:
        await listener.stop(1.0)


async def test_a_published_document_is_served_at_its_link(stage, host):
    """Case 2: the real listener serves the PDF under the token, unstored by caches and unlisted by robots."""
    url = host.reveal(await publish(stage, host))
    async with listening(host) as ask:
        status, headers, body = await ask(f"/labels/{token_of(url)}.pdf")
        assert (status, body, headers["Content-Type"]) == (200, PDF, "application/pdf")
        assert headers["Cache-Control"] == "no-store"
        assert "noindex" in headers["X-Robots-Tag"]
        status, headers, body = await ask(f"/labels/{token_of(url)}.pdf", "HEAD")
        assert (status, headers["Content-Length"], body) == (200, str(len(PDF)), b"")
        assert (await ask(f"/labels/{token_of(url)}.pdf", "POST"))[0] == 405


@pytest.mark.parametrize("path", [f"/labels/{NOBODYS}.pdf", "/labels/short.pdf", f"/labels/{NOBODYS}", "/labels/"])
async def test_an_unknown_link_is_not_found(stage, host, path):
    """Case 2: a token that nobody was given is 404, whatever it looks like."""
    await publish(stage, host)
    async with listening(host) as ask:
        assert (await ask(path))[0] == 404


async def test_after_its_retention_the_label_is_gone(stage, host):
    """Case 2: the daily sweep empties it; its link then says 410 with a sentence on whom to ask, others still serve."""
    old = host.reveal(await publish(stage, host))
    stage.clock.advance(20 * DAY)
    young = host.reveal(await publish(stage, host, PDF + b"young"))
    stage.clock.advance(10 * DAY)
    dropped = await stage.store.transact(lambda uow: uow.drop_documents(stage.clock.now(), 9))
    assert dropped == 1
    async with listening(host) as ask:
        status, headers, body = await ask(f"/labels/{token_of(old)}.pdf")
        assert status == 410
        assert headers["Content-Type"].startswith("text/plain")
        assert b"shop" in body.lower()
        assert (await ask(f"/labels/{token_of(young)}.pdf"))[0] == 200


async def test_the_content_is_really_forgotten(stage, host):
    """Case 2: after the sweep not even the ciphertext is in the store."""
    await publish(stage, host)
    stage.clock.advance(31 * DAY)
    await stage.store.transact(lambda uow: uow.drop_documents(stage.clock.now(), 9))
    count = await stage.sqlite._writer.read(
        lambda connection: connection.execute("SELECT total(length(sealed)) FROM documents").fetchone()
    )
    assert count == (0,)


async def test_every_document_has_a_link_of_its_own(stage, host):
    """Case 2: 256 random bits as 43 characters, never the same."""
    tokens = {token_of(host.reveal(await publish(stage, host))) for _ in range(20)}
    assert len(tokens) == 20


async def test_a_link_that_is_not_ours_is_no_secret(host):
    """Case 2: Amazon's page is passed on as it is."""
    assert host.reveal("https://rma.test/A1") == "https://rma.test/A1"


async def test_a_document_outlives_a_rotation_of_keys(stage, host):
    """Case 2: with the old key still listed, links and documents of before the rotation work."""
    link = await publish(stage, host)
    rotated = hosting(stage, keys=(bytes([7]) * 32, bytes(32)))
    assert await rotated.open(token_of(rotated.reveal(link))) == PDF
    without = hosting(stage, keys=(bytes([7]) * 32,))
    with pytest.raises(SealBroken):
        without.reveal(link)
    async with listening(without) as ask:
        assert (await ask(f"/labels/{token_of(host.reveal(link))}.pdf"))[0] == 503


async def test_nothing_readable_is_in_the_database_file(open_with):
    """Case 2: of a whole life with a bought label the file shows no PDF, no link, no token, no purchase, no address."""
    stage, source = await buying(open_with)
    offers = []

    async def look():
        offers.append(source.made("buy")[-1].arguments[0])

    source.meanwhile("buy", look)
    host, context = hosting(stage), stage.contexts["acme"]
    context.labels = replace(context.labels, hosting=host)
    await stage.sent()
    (label,) = stage.portal.labels.values()
    document = await host.open(token_of(label.url))
    await stage.stop()
    stored = b"".join(path.read_bytes() for path in stage.path.parent.glob(stage.path.name + "*"))
    await stage.start()
    assert b"1Z-SH1" in stored  # the file was really read
    for secret in (
        b"%PDF",
        document[:40],
        token_of(label.url).encode(),
        b"returns.test/labels",
        b"requestToken",
        offers[0],
        b"Sam Shopper",
        b"5 Elm Street",
    ):
        assert secret not in stored


async def test_the_saved_purchase_is_sealed_while_it_waits(open_with):
    """Case 2: between the offer and its purchase the file holds the request, but nobody can read it there."""
    stage, source = await buying(open_with)
    stage.ship(SOCK=1)
    await stage.submit()
    stored = []

    async def look():
        stored.extend(path.read_bytes() for path in stage.path.parent.glob(stage.path.name + "*"))

    source.meanwhile("buy", look)
    await stage.work()
    assert b"Swift" in b"".join(stored)  # the postage row is there
    assert b"requestToken" not in b"".join(stored)
    assert b"TOKEN-1" not in b"".join(stored)
