"""Several sellers in one daemon: what is one's is never another's, and nobody waits for a seller in trouble."""

import pytest

from adapters.sandbox import Fault
from tests.e2e.sellers import ACME, ZETA, sellers
from tests.e2e.world import CLOCK, MUG, SHOP, SOCK, everyone, until, world

pytestmark = pytest.mark.asyncio(loop_scope="session")

VENDORS = ("lwa", "amazon", "loop")
TROUBLES = {
    "parked": [],
    "throttled": [
        Fault(vendor="amazon", kind="status", status=429, retry_after=3600),
        Fault(vendor="loop", kind="status", status=429, retry_after=3600),
    ],
    "slow": [Fault(vendor=vendor, kind="delay", seconds=3.0) for vendor in VENDORS],
    "hanging": [Fault(vendor=vendor, kind="hang") for vendor in VENDORS],
    "broken": [
        Fault(vendor="amazon", kind="empty", operation="getFulfillmentOrder"),
        Fault(vendor="loop", kind="contradiction"),
    ],
}
WORST = "hanging"
CROWD = 250
SOON = 8.0
"""Seconds within which a label is out, however the other seller fares; alone it takes less than one."""


async def test_two_sellers_have_an_order_of_the_same_name(tmp_path):
    """Each return gets the RMA, the findings and the outcome of its own seller's order, though all names are equal."""
    async with sellers(tmp_path) as (acme, zeta):
        ids = [one.submit("#1001", sku) for one, sku in ((acme, SOCK), (zeta, SOCK))]
        await everyone(*(one.labelled(ref) for one, ref in zip((acme, zeta), ids, strict=True)))
        await acme.receive(ids[0], SOCK)
        await acme.state(ids[0], "closed")
        assert acme.portal(ids[0])["counts"] == {"process": 1}
        assert zeta.portal(ids[1])["counts"] == {}
        await zeta.receive(ids[1], SOCK, "CarrierDamaged")
        await zeta.state(ids[1], "in_review")
        assert zeta.portal(ids[1])["counts"] == {"flag": 1}
        for one in (acme, zeta):
            assert len(one.network("#1001")["returnItems"]) == 1
        metrics = await acme.daemon.metrics()
        for name in (ACME, ZETA):
            assert metrics[f'mcfd_label_seconds_count{{account="{name}"}}'] == 1
        assert acme.daemon.complaints == []


@pytest.mark.parametrize(
    "trouble", [WORST, *(pytest.param(name, marks=pytest.mark.volume) for name in TROUBLES if name != WORST)]
)
async def test_a_seller_in_trouble_keeps_nobody_waiting(tmp_path, trouble):
    """Whatever becomes of a crowd of one seller's returns, another seller's label is out at once, and its end is good."""
    async with sellers(tmp_path) as (acme, zeta):
        zeta.sandbox.set_faults(TROUBLES[trouble])
        if trouble == "parked":
            zeta.sandbox.revoke_access()
        for number in range(CROWD):
            zeta.submit(f"#{2000 + number}", SOCK)
        await until("zeta is asked for", lambda: any(zeta.calls(name) for name in ("token", "getReturnDetails")) or 1)
        began = CLOCK.monotonic()
        refs = [acme.submit(f"#{3000 + number}", MUG) for number in range(3)]
        await everyone(*(acme.labelled(ref) for ref in refs))
        assert CLOCK.monotonic() - began < SOON
        await everyone(*(acme.receive(ref, MUG) for ref in refs))
        await everyone(*(acme.state(ref, "closed") for ref in refs))
        zeta.sandbox.set_faults([])


async def test_one_parked_seller_does_not_take_the_daemon_out_of_service(tmp_path):
    """/readyz stays 200 and names the seller whose credentials are refused; so do status, metrics and doctor."""
    async with sellers(tmp_path) as (acme, zeta):
        zeta.sandbox.revoke_access()
        zeta.submit("#1001", SOCK)

        async def parked() -> bool:
            status, told = await acme.daemon.ops("/readyz")
            assert (status, told["ok"], told["accounts"]) == (200, True, [ACME, ZETA])
            return "amazon@zeta" in told["parked"]

        await until("zeta is parked", parked)
        metrics = await acme.daemon.metrics()
        assert metrics['mcfd_connection_parked{account="zeta",connection="amazon"}'] == 1
        assert metrics['mcfd_connection_parked{account="acme",connection="amazon"}'] == 0
        _, examined = await acme.daemon.verb("doctor")
        failed = {line["area"] for line in examined["lines"] if line["verdict"] == "fail" and "amazon" in line["area"]}
        assert failed == {"amazon@zeta"}


async def test_verbs_ask_which_seller_is_meant(tmp_path):
    """Where several are configured, a verb about one names them all in its refusal, and works with --account."""
    async with sellers(tmp_path) as (acme, _):
        refused = await acme.daemon.cli("reasons", "--sku", SOCK)
        assert refused.status == 1
        assert "there are several accounts; name one with --account: acme, zeta" in refused.stderr
        unknown = await acme.daemon.cli("reasons", "--sku", SOCK, "--account", "omega")
        assert "omega is no account of the configuration; there are: acme, zeta" in unknown.stderr
        assert (await acme.daemon.cli("reasons", "--sku", SOCK, "--account", "acme")).status == 0


async def test_a_seller_and_a_shop_get_other_names(tmp_path):
    """check and the start say that the store was not told; after `mcfd rename` an open return goes on as if nothing were.

    Nothing is written, bought or flagged twice, and Loop's deliveries to the old address are still heard.
    """
    async with world(tmp_path) as w:
        open_one, other = w.submit("#1001", SOCK), w.submit("#1002", MUG)
        await everyone(w.labelled(open_one), w.labelled(other))
        await everyone(*(w.state(ref, "awaiting_inspection") for ref in (open_one, other)))
        notes = w.portal(open_one)["notes"]
        refused = await w.daemon.cli("rename", "shop", SHOP, "acme-us")
        assert "stop it first" in refused.stderr
        assert await w.daemon.sigterm() == 0

        daemon, config = w.daemon, w.daemon.config
        early = await daemon.cli("rename", "shop", SHOP, "acme-us")
        assert f"{SHOP} is still configured" in early.stderr
        shop = config["shops"].pop(SHOP)
        config["accounts"] = {"agency": {"amazon": config.pop("amazon"), "shops": {"acme-us": shop}}}
        del config["shops"]
        for name in list(daemon.secrets):
            renamed = name.replace(f".{SHOP}", ".acme-us") if "." in name else f"{name}.agency"
            if name not in {"vault_keys", "ops_token"}:
                daemon.secrets[renamed] = daemon.secrets.pop(name)
                (daemon.secret_folder / name).unlink()
        checked = await daemon.cli("check")
        assert checked.status == 0
        for kind, old, new in (("account", "main", "agency"), ("shop", SHOP, "acme-us")):
            assert f"stop mcfd and run `mcfd rename {kind} {old} {new}`" in " ".join(checked.stderr.split())
        await daemon.start()
        assert len(daemon.heard("config.renamed")) == 2
        assert await daemon.sigterm() == 0

        moved = await daemon.cli("rename", "account", "main", "agency", "--json")
        assert moved.json["returns"] == 2, moved.stderr
        moved = await daemon.cli("rename", "shop", SHOP, "acme-us", "--json")
        assert moved.json["returns"] == 2, moved.stderr
        assert "rename" not in (await daemon.cli("check")).stderr

        before = len(daemon.heard("config.renamed"))
        await daemon.start()
        w.subscribe()  # at the old address
        assert len(daemon.heard("config.renamed")) == before
        assert await w.daemon.show(f"{SHOP}/{open_one}") == {"state": "", "history": []}
        await everyone(w.receive(open_one, SOCK), w.receive(other, MUG, "CarrierDamaged"))
        await everyone(w.state(open_one, "closed"), w.state(other, "in_review"))
        assert w.portal(open_one)["notes"][: len(notes)] == notes
        assert len(set(w.portal(open_one)["notes"])) == len(w.portal(open_one)["notes"])
        assert (w.portal(open_one)["counts"], w.portal(other)["counts"]) == ({"process": 1}, {"flag": 1})
        for name in ("#1001", "#1002"):
            assert len(w.network(name)["returnItems"]) == 1
        again = w.submit("#1003", SOCK)
        await w.labelled(again)
        metrics = await daemon.metrics()
        assert metrics['mcfd_webhooks_total{account="agency",outcome="verified",shop="acme-us"}'] >= 1
        assert daemon.complaints == []
