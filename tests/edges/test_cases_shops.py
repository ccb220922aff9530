"""Several Loop shops on one seller account: the daemon between one Amazon and two Loops, each with ways of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.sandbox import ReturnLine, Sandbox, SandboxOptions
from tests.e2e import world as e2e_world
from tests.e2e.world import CLOCK, SHOP, SOCK, World, fresh_secret, until, vendors
from tests.unit.test_loop_wire_webhooks import sign

OTHER = "zeta"
TOO_SMALL = ReturnLine(sku=SOCK, reason="Too small")


@dataclass
class Shops:
    """The daemon with its first shop, and the Loop of the second."""

    world: World
    other: Sandbox

    def subscribe(self) -> None:
        """Let both Loops deliver to where the daemon listens now."""
        self.world.subscribe()
        self.other.set_webhook_url(f"http://127.0.0.1:{self.world.daemon.public_port}/webhooks/loop/{OTHER}")

    def asked(self, order_name: str, *, of: Sandbox) -> int:
        """A shopper of one of the shops returns something."""
        return of.submit_return(order_name, [TOO_SMALL])

    async def answered(self, of: Sandbox, return_id: int) -> None:
        """Wait for a label."""
        await until(
            f"label of {return_id}", lambda: of.snapshot()["loop"]["returns"][str(return_id)]["delivered_labels"]
        )

    def reason(self, order_id: str) -> list[str]:
        """The reasons of the units that Amazon expects of an order."""
        return [item.reason for item in self.world.sandbox.network.known(order_id).items.values()]


@asynccontextmanager
async def two_shops(folder: Path, shop: dict[str, Any], other: dict[str, Any], **amazon: Any) -> AsyncIterator[Shops]:
    """Both shops with these choices, and the daemon running."""
    own = {"loop_api_key": fresh_secret("key"), "webhook_secret": fresh_secret("hook")}
    options = SandboxOptions(**own, process_after=0.05, retry_unit=0.2, enforce_limits=False)
    async with vendors(folder, shop=shop, **amazon) as w, Sandbox(options, CLOCK) as sandbox:
        w.daemon.config["shops"][OTHER] = {"api_url": sandbox.loop_url, **other}
        w.daemon.secrets[f"loop_api_key.{OTHER}"] = own["loop_api_key"]
        w.daemon.secrets[f"loop_webhook_secrets.{OTHER}"] = own["webhook_secret"]
        await w.daemon.start()
        shops = Shops(w, sandbox)
        shops.subscribe()
        yield shops
        assert await w.daemon.sigterm() == 0


async def test_each_shop_has_its_own_templates_and_reasons(tmp_path):
    """The same order number in both shops is two orders at Amazon, by the prefix; the same words are two reasons."""
    by_name = {"order_id_templates": ["{prefix}{order_name_bare}"]}
    ours = by_name | {"order_id_prefix": "ACME-", "reasons": {"map": [{"reason": "Too small", "code": "CR-DEFECTIVE"}]}}
    theirs = by_name | {
        "order_id_prefix": "ZETA-",
        "reasons": {"map": [{"reason": "Too small", "code": "CR-SWITCHEROO"}]},
    }
    async with two_shops(tmp_path, ours, theirs) as s:
        for prefix in ("ACME", "ZETA"):
            s.world.sandbox.create_order(f"{prefix}-1001", {SOCK: 1})
        first = s.asked("#1001", of=s.world.sandbox)
        second = s.asked("#1001", of=s.other)
        await s.answered(s.world.sandbox, first)
        await s.answered(s.other, second)
        assert (s.reason("ACME-1001"), s.reason("ZETA-1001")) == (["CR-DEFECTIVE"], ["CR-SWITCHEROO"])
        _, status = await s.world.daemon.verb("status")
        assert {row["shop"]: row["open"] for row in status["shops"]} == {SHOP: 1, OTHER: 1}


async def test_each_shop_has_its_own_pilot_list(tmp_path):
    """A list of one shop names its own returns only; the other shop has none and works on everything."""
    by_name = {"order_id_templates": ["{order_name}"]}
    async with two_shops(tmp_path, by_name | {"only_returns": [1]}, by_name) as s:
        for name in ("#1", "#2"):
            s.world.sandbox.create_order(name, {SOCK: 1})
        left_alone = s.asked("#1", of=s.world.sandbox)
        taken = s.asked("#2", of=s.other)
        await s.answered(s.other, taken)
        shown = await until("left alone", lambda: s.world.daemon.verb("show", **{"return": f"{SHOP}/{left_alone}"}))
        await s.world.state(f"{SHOP}/{left_alone}", "closed")
        assert shown[0] == 200
        assert s.world.calls("createFulfillmentReturn", "%231") == 0


async def test_a_secret_is_good_for_its_own_shop_alone(tmp_path):
    """What one shop's Loop has signed is turned away at the other shop's address."""
    by_name = {"order_id_templates": ["{order_name}"]}
    async with two_shops(tmp_path, by_name, by_name) as s:
        body = b'{"topic":"return","trigger":"return.closed","id":1,"state":"closed"}'
        secrets = {shop: s.world.daemon.secrets[f"loop_webhook_secrets.{shop}"].encode() for shop in (SHOP, OTHER)}
        status = {
            (to, by): await s.world.daemon.deliver(f"/webhooks/loop/{to}", body, sign(body, secrets[by]))
            for to in secrets
            for by in secrets
        }
        assert status == {(to, by): 200 if to == by else 401 for to, by in status}
        keys = {call["status"] for call in s.other.calls() if call["vendor"] == "loop"}
        assert keys == {200}


async def test_both_shops_calls_stand_in_one_queue(tmp_path, monkeypatch):
    """Amazon's limit is the seller's: eight returns of two shops take the time that eight returns of one would."""
    by_name = {"order_id_templates": ["{order_name}"]}
    monkeypatch.setattr(e2e_world, "RaisedSandbox", Sandbox)
    plan = {"createFulfillmentReturn": (2.0, 2), "*": (200.0, 200)}
    async with two_shops(tmp_path, by_name, by_name, amazon_limits=plan) as s:
        s.world.daemon.config["amazon"]["limits"]["createFulfillmentReturn"] = {"rate": 2, "burst": 2}
        await s.world.restart()
        s.subscribe()
        shops = [s.world.sandbox, s.other] * 4
        for number, shop in enumerate(shops):
            s.world.sandbox.create_order(f"#{number}", {SOCK: 1})
            s.asked(f"#{number}", of=shop)
        await until("all asked for", lambda: s.world.calls("createFulfillmentReturn") == len(shops))
        at = [call["at"] for call in s.world.sandbox.calls() if call["operation"] == "createFulfillmentReturn"]
        assert max(at) - min(at) > 2.0  # a bucket for each shop would be done after one second


async def test_a_shop_removed_from_the_configuration(tmp_path):
    """Its open return is kept, parked and told; its Loop is left alone; the other shop goes on; put back, so does it."""
    by_name = {"order_id_templates": ["{order_name}"]}
    async with two_shops(tmp_path, by_name, by_name) as s:
        for name in ("#1", "#2", "#3"):
            s.world.sandbox.create_order(name, {SOCK: 1})
        theirs = s.asked("#1", of=s.other)
        await s.answered(s.other, theirs)
        removed = s.world.daemon.config["shops"].pop(OTHER)
        for name in (f"loop_api_key.{OTHER}", f"loop_webhook_secrets.{OTHER}"):
            (s.world.daemon.secret_folder / name).unlink()
        kept = {name: s.world.daemon.secrets.pop(name) for name in list(s.world.daemon.secrets) if OTHER in name}
        await s.world.restart()
        before = len(s.other.calls())
        ours = s.asked("#2", of=s.world.sandbox)
        await s.answered(s.world.sandbox, ours)
        status = (await s.world.daemon.verb("status"))[1]
        assert {row["shop"]: (row["open"], row["configured"]) for row in status["shops"]} == {
            SHOP: (1, True),
            OTHER: (1, False),
        }
        assert (await s.world.daemon.verb("match", **{"return": f"{OTHER}/{theirs}"}))[0] == 409
        assert len(s.other.calls()) == before

        s.world.daemon.config["shops"][OTHER] = removed
        s.world.daemon.secrets |= kept
        await s.world.daemon.restart()
        s.subscribe()
        (unit,) = s.world.sandbox.network.known("#1").items.values()
        s.world.sandbox.network.inspect(unit, condition="Sellable", reason=None, center=None)
        shown = await s.world.state(f"{OTHER}/{theirs}", "awaiting_inspection", "closed")
        assert shown["return"] == f"{OTHER}/{theirs}"
