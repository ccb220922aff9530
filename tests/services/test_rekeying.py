"""A new vault key takes over everything; after that the old one can go."""

import base64
import os

import pytest

from adapters.host.vault import SealBroken, Vault
from daemon.domain.returns import Label, LabelRequest, Postage
from daemon.engine.label_hosting import LabelHosting
from daemon.errors import ConfigError, StaleReturn
from daemon.operations.authorization import TOKEN_MARK, RefreshTokens
from daemon.operations.rekeying import Rekeying, prove_keys
from daemon.ports.names import proof_mark
from daemon.ports.sealed import BOUGHT_LABEL, HOSTED_LABEL, LABEL_LINK, OFFER, SEALED, dead_letter
from daemon.ports.store import DeadLetter
from tests.services.store_conformance import add, get, make_return
from tests.support.virtual_time import FakeClock

OLD, NEW = os.urandom(32), os.urandom(32)


def link(vault: Vault) -> str:
    """A label's link as it is stored."""
    return SEALED + base64.b64encode(vault.seal(b"https://x/labels/1.pdf", LABEL_LINK)).decode()


def tokens(store, vault: Vault) -> RefreshTokens:
    """The kept refresh token, without a secret file."""
    return RefreshTokens(store, vault, lambda: None, lambda _secrets: None)


@pytest.fixture
async def store(new_store):
    """A store with one value on every shelf, sealed under the old key."""
    old = Vault([OLD])
    async with await new_store() as opened:
        label = Label(url=link(old), carrier="UPS", tracking_number="1Z")
        postage = Postage(authorization_id="A1", sealed_offer=old.seal(b"offer", OFFER))
        await add(opened, make_return(requests=(LabelRequest(request_id="q", label=label),), postage=(postage,)))

        def fill(uow):
            uow.keep_document("hosted/a", old.seal(b"pdf", HOSTED_LABEL), 9e9)
            uow.keep_document("label/acme/r1/A1/1", old.seal(b"paper", BOUGHT_LABEL), 9e9)
            sealed = old.seal(b"body", dead_letter("acme"))
            uow.keep_dead_letter(DeadLetter(shop="acme", digest="d", reason="", sealed=sealed, received_at=1.0))

        await opened.transact(fill)
        await tokens(opened, old).keep("Atzr|kept", "SELLER", 1.0)
        yield opened


async def test_everything_is_sealed_under_the_newest_key(store):
    """After rekeying the new key alone opens every shelf; a second run finds nothing to do."""
    both = Vault([NEW, OLD])
    assert await Rekeying(store, both).run() == {"resealed": 6, "unreadable": 0}
    assert await Rekeying(store, both).run() == {"resealed": 0, "unreadable": 0}

    new = Vault([NEW])
    documents = await store.read(lambda uow: [uow.document("hosted/a"), uow.document("label/acme/r1/A1/1")])
    assert new.unseal(documents[0], HOSTED_LABEL) == b"pdf"
    assert new.unseal(documents[1], BOUGHT_LABEL) == b"paper"
    letter = await store.survey(lambda keep: keep.letter(1))
    assert new.unseal(letter[1], dead_letter("acme")) == b"body"
    ret = await get(store)
    assert new.unseal(ret.postage[0].sealed_offer, OFFER) == b"offer"
    url = ret.requests[0].label.url.removeprefix(SEALED)
    assert new.unseal(base64.b64decode(url), LABEL_LINK) == b"https://x/labels/1.pdf"
    kept = tokens(store, new)
    await kept.load()
    assert kept.current() == "Atzr|kept"


async def test_the_link_to_a_doubtful_label_takes_the_new_key(store):
    """What a person is to look at before a label goes out can be looked at after the old key is gone."""

    def hosting(vault: Vault) -> LabelHosting:
        return LabelHosting(store, vault, FakeClock(), public_url="https://x", retention=60.0, new_token=lambda: "t")

    link, keep_page = hosting(Vault([OLD])).publish(b"page")
    await store.transact(lambda uow: (keep_page(uow), uow.set_mark(proof_mark("acme", "r1"), link)))
    assert await Rekeying(store, Vault([NEW, OLD])).run() == {"resealed": 8, "unreadable": 0}
    sealed = await store.read(lambda uow: uow.mark(proof_mark("acme", "r1")))
    assert hosting(Vault([NEW])).reveal(sealed) == "https://x/labels/t.pdf"
    assert await hosting(Vault([NEW])).open("t") == b"page"


async def test_whoever_holds_a_return_must_read_it_again(store):
    """A step that began before the rekeying cannot write the old ciphertext back."""
    before = await get(store)
    await Rekeying(store, Vault([NEW, OLD])).run()
    with pytest.raises(StaleReturn):
        await store.transact(lambda uow: uow.defer(before))


async def test_what_no_key_opens_is_counted_and_left(store):
    """Values under a lost key stay as they are and are told."""
    before = await store.read(lambda uow: (uow.document("hosted/a"), uow.mark(TOKEN_MARK)))
    assert await Rekeying(store, Vault([NEW])).run() == {"resealed": 0, "unreadable": 6}
    assert await store.read(lambda uow: (uow.document("hosted/a"), uow.mark(TOKEN_MARK))) == before
    with pytest.raises(SealBroken):
        await tokens(store, Vault([NEW])).load()


async def test_a_key_that_was_taken_away_too_soon_is_noticed(store):
    """A daemon starts only with a key that opens what its store was sealed under, however often keys were added."""
    await prove_keys(store, Vault([OLD]))
    await prove_keys(store, Vault([NEW, OLD]))
    with pytest.raises(ConfigError, match="lacks the key"):
        await prove_keys(store, Vault([NEW]))
    await Rekeying(store, Vault([NEW, OLD])).run()
    await prove_keys(store, Vault([NEW]))
    with pytest.raises(ConfigError, match="lacks the key"):
        await prove_keys(store, Vault([OLD]))


async def test_a_lost_key_does_not_keep_the_daemon_down(store):
    """Once an operator has been told what is lost with a key, the daemon starts under the new one."""
    await prove_keys(store, Vault([OLD]))
    assert await Rekeying(store, Vault([NEW])).run() == {"resealed": 0, "unreadable": 7}
    await prove_keys(store, Vault([NEW]))
