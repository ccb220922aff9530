"""Two daemons on one PostgreSQL: whichever is asked answers, and what one is told both know."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from adapters.sandbox import Fault
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.gate import gated
from tests.e2e.sellers import sellers
from tests.e2e.world import SHOP, SOCK, World, until, world


def beside(folder: Path, w: World) -> DaemonProcess:
    """Another daemon for the same vendors and the same database."""
    (folder / "second").mkdir()
    file = {**w.daemon.config, "cluster": {**w.daemon.config.get("cluster", {}), "node": "second"}}
    return DaemonProcess(folder / "second", file, w.daemon.secrets)


@asynccontextmanager
async def two_nodes(folder, postgres, **options) -> AsyncIterator[tuple[World, DaemonProcess, DaemonProcess]]:
    """A world, the daemon that works its account, and one that has nothing but the chores."""
    config = {"store": {"url": postgres.new_database()}, "cluster": {"lease": "5s", "node": "first"}}
    async with world(folder, config=config, **options) as w:
        other = beside(folder, w)
        await other.start()
        await until("each has its share", lambda: other.heard("lease.won"))
        works, idle = (other, w.daemon) if other.heard("lease.won", account="main") else (w.daemon, other)

        async def working() -> bool:
            return (await works.ops("/readyz"))[1]["accounts"] == ["main"]

        await until("it works the account", working)
        try:
            yield w, works, idle
        finally:
            if other.running:
                await other.sigterm()


async def test_verbs_that_call_vendors_run_where_the_account_is_worked(tmp_path, postgres):
    """The other node answers all verbs as the first does, also those that call vendors, or change something there."""
    async with two_nodes(tmp_path, postgres) as (w, works, idle):
        return_id = w.submit("#1001", SOCK)
        await w.labelled(return_id)
        synced = (await idle.cli("webhooks", "sync", "--json")).json
        assert {row["done"] for row in synced["webhooks"]} == {"created"}
        again = (await works.cli("webhooks", "sync", "--json")).json
        assert {row["done"] for row in again["webhooks"]} == {"nothing to do"}
        assert len((await idle.cli("webhooks", "list", "--json")).json["webhooks"]) == len(again["webhooks"])

        connected = (await idle.cli("connections", "--json")).json
        assert connected == (await works.cli("connections", "--json")).json
        matched = (await idle.cli("match", str(return_id), "--json")).json
        assert [row["answer"] for row in matched["tried"]] == ["holds all units"]
        retried = await idle.cli("retry", str(return_id))
        assert (retried.status, "can be retried" in retried.stderr) == (1, True)
        unknown = await idle.cli("webhooks", "list", "--shop", "nope")
        assert (unknown.status, "there is no shop nope" in unknown.stderr) == (1, True)
        adopted = (await idle.cli("adopt", f"{SHOP}/{return_id}", "--json")).json
        assert adopted["summary"] == {"known": 1}
        examined = (await idle.cli("doctor", "--json")).json
        assert {"daemon", "amazon", SHOP, "store"} <= {line["area"] for line in examined["lines"]}
        assert len(examined["lines"]) == len((await works.cli("doctor", "--json")).json["lines"])
        assert not works.complaints + idle.complaints


async def test_what_one_node_is_told_the_other_knows(tmp_path, postgres):
    """Settings and pauses that are given to a node that works nothing are used by the one that works the account."""
    async with two_nodes(tmp_path, postgres) as (w, works, idle):
        assert (await idle.cli("pause", SHOP)).status == 0
        await until("the pause", lambda: idle.heard("operator.paused"))

        async def paused() -> bool:
            return (await works.metrics())[f'mcfd_shop_paused{{account="main",shop="{SHOP}"}}'] == 1

        await until("the node that works the account has paused the shop", paused)
        return_id = w.submit("#1001", SOCK)
        await w.state(return_id, "received", "awaiting_label")
        assert (await idle.cli("resume", SHOP)).status == 0
        await w.labelled(return_id)


async def test_a_credential_that_one_node_is_given_the_other_uses(tmp_path, postgres):
    """A secret that is typed in at the node that works nothing lets the other one go on at once."""
    async with two_nodes(tmp_path, postgres) as (w, works, idle):
        key = f"loop_api_key.{SHOP}"
        value = w.daemon.secrets[key]
        for one in (works, idle):
            one.secrets = {name: text for name, text in one.secrets.items() if name != key}
            (one.secret_folder / key).unlink()
            one.signal(signal.SIGHUP)
            await until("it has reloaded", lambda one=one: one.heard("config.reloaded"))
        return_id = w.submit("#1001", SOCK)
        status, _ = await idle.verb("settings_set", name=key, value=value, by="somebody")
        assert status == 200
        await w.labelled(return_id)


async def test_a_browser_may_come_back_to_another_node(tmp_path, postgres):
    """A link that the first node printed and opened leads through Amazon's page to the second; both use what it brought."""
    config = {"store": {"url": postgres.new_database()}}
    async with gated(tmp_path, config=config) as (w, _), AsyncExitStack() as stack:
        application = {"application_id": w.sandbox.options.application_id, "consent_url": w.sandbox.consent_url}
        w.daemon.config["amazon"] |= application
        del w.daemon.secrets["amazon_refresh_token"]
        first, second = w.daemon, beside(tmp_path, w)
        for one in (first, second):
            await one.start()
            stack.push_async_callback(one.sigterm)
        w.subscribe()
        return_id = w.submit("#1001", SOCK)
        await until("it was tried", lambda: first.heard("step.postponed") + second.heard("step.postponed"))

        link = (await first.cli("authorize", "amazon")).stdout.strip()
        browser = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)))
        async with browser.get(link, allow_redirects=False) as page:
            to_amazon = page.headers["Location"]
        w.daemon = second
        async with browser.get(to_amazon) as page:
            assert "connected" in await page.text()
        assert second.heard("amazon.authorized")
        assert not first.heard("amazon.authorized")
        await w.labelled(return_id)
        parked = 'mcfd_connection_parked{account="main",connection="amazon"}'
        for one in (first, second):
            assert (await one.metrics()).get(parked, 0) == 0
        w.daemon = first


@pytest.mark.long
async def test_sums_over_nodes_are_right(tmp_path, postgres):
    """Each return is counted by one node, whichever heard of it, and each account worked by one."""
    async with two_nodes(tmp_path, postgres) as (w, works, idle):
        await w.labelled(w.submit("#1001", SOCK))
        waits = f'mcfd_returns{{account="main",shop="{SHOP}",state="awaiting_inspection"}}'
        worked = 'mcfd_account_worked{account="main"}'

        async def counted() -> bool:
            return (await works.metrics())[waits] == 1

        await until("it is counted", counted, 60.0)
        assert waits not in await idle.metrics()
        assert [(await one.metrics())[worked] for one in (works, idle)] == [1, 0]


async def test_each_node_says_what_it_works(tmp_path, postgres):
    """Both are ready, each with its own accounts, and `mcfd status` shows them all."""
    async with two_nodes(tmp_path, postgres) as (_, works, idle):
        assert await works.ops("/readyz") == (200, {"ok": True, "problems": {}, "accounts": ["main"], "parked": {}})
        assert await idle.ops("/readyz") == (200, {"ok": True, "problems": {}, "accounts": [], "parked": {}})
        assert (await works.cli("ready", "--json")).json["accounts"] == ["main"]
        told = await idle.cli("ready")
        assert (told.status, told.stdout) == (0, "it is ready\nworks: nobody now\n")
        shown = (await idle.cli("status", "--json")).json["nodes"]
        assert sorted((row["node"].partition("/")[0], row["accounts"], row["chores"]) for row in shown) == sorted(
            [
                (works.config["cluster"]["node"], ["main"], False),
                (idle.config["cluster"]["node"], [], True),
            ]
        )
        assert "Nodes" in (await idle.cli("status")).stdout


async def test_credentials_that_are_refused_are_told_by_the_node_that_uses_them(tmp_path, postgres):
    """With one account alone its parked credentials make the node unready that works it, and no other."""
    async with two_nodes(tmp_path, postgres) as (w, works, idle):
        w.sandbox.set_webhook_url(None)
        for one in (works, idle):
            one.write_secret("amazon_refresh_token", "wrong")
            one.signal(signal.SIGHUP)
            await until("it has reloaded", lambda one=one: one.heard("config.reloaded"))

        async def unready() -> bool:
            status, answer = await works.ops("/readyz")
            return status == 503 and list(answer["problems"]) == ["amazon"]

        w.subscribe()
        w.submit("#1001", SOCK)
        await until("the credentials are refused", unready)
        assert (await idle.ops("/readyz"))[0] == 200
        told = await works.cli("ready")
        assert (told.status, "amazon: credentials: refused" in told.stdout) == (1, True)
        refused = [row for row in (await idle.cli("connections", "--json")).json["connections"] if row["problem"]]
        assert [row["name"] for row in refused] == ["amazon"]


async def test_a_node_that_dies_with_an_errand_leaves_a_doubt(tmp_path, postgres):
    """When the node that runs a verb for another is killed, the operator is told that nobody knows whether it is done."""
    async with two_nodes(tmp_path, postgres) as (w, works, idle):
        w.sandbox.set_faults([Fault(vendor="loop", kind="hang", seconds=60.0, operation="createWebhook")])
        asked = asyncio.create_task(idle.cli("webhooks", "sync"))
        await until("Loop is asked", lambda: w.calls("createWebhook"))
        await works.sigkill()
        told = await asked
        assert told.status == 1
        assert "ended while it did this; it is done, half done or not begun: look, and ask again" in told.stderr
        w.sandbox.set_faults()
        await until("the other node works the account", lambda: idle.heard("lease.won", account="main"))
        again = (await idle.cli("webhooks", "sync", "--json")).json
        assert {row["state"] for row in again["webhooks"]} == {"active"}
        w.daemon = idle


async def test_verbs_about_all_accounts_ask_every_node(tmp_path, postgres):
    """Of two sellers on two nodes each node tells the same; a job over both says which shop to name instead."""
    async with sellers(tmp_path, config={"store": {"url": postgres.new_database()}}) as (acme, _):
        first = acme.daemon
        second = beside(tmp_path, acme)
        await second.start()
        try:

            async def shared() -> bool:
                worked = [(await one.ops("/readyz"))[1]["accounts"] for one in (first, second)]
                return sorted(map(len, worked)) == [1, 1]

            await until("each works one account", shared, 60.0)
            done = (await second.cli("webhooks", "sync", "--json")).json
            assert {(row["shop"], row["done"]) for row in done["webhooks"]} == {
                ("acme", "created"),
                ("zeta", "created"),
            }
            for one in (first, second):
                connected = (await one.cli("connections", "--json")).json
                assert connected["accounts"] == ["acme", "zeta"]
                assert {"loop/acme", "loop/zeta"} <= {row["name"] for row in connected["connections"]}
                areas = {line["area"] for line in (await one.cli("doctor", "--json")).json["lines"]}
                assert {"daemon", "amazon@acme", "acme", "amazon@zeta", "zeta"} <= areas
                told = await one.cli("adopt", "--open")
                assert (told.status, "ask with --shop for one shop at a time" in told.stderr) == (1, True)
                assert (await one.cli("adopt", "--open", "--shop", "zeta")).status == 0
                reasons = (await one.cli("reasons", "--sku", SOCK, "--account", "acme", "--json")).json
                assert "CR-DEFECTIVE" in reasons["allowed"]
                missing = await one.cli("notifications", "list")
                assert "name one with --account: acme, zeta" in missing.stderr
                unknown = await one.cli("notifications", "list", "--account", "nope")
                assert "nope is no account of the configuration; there are: acme, zeta" in unknown.stderr
            assert not first.complaints + second.complaints
        finally:
            await second.sigterm()
