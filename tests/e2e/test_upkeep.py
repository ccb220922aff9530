"""The verbs that keep the store and the connections, through the real command."""

import base64
import csv
import io
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from adapters.host.vault import Vault
from adapters.sandbox import ReturnLine
from adapters.sandbox.loop.webhooks import signature
from adapters.sqlite.store import open_store
from daemon.cli.main import main
from daemon.ports.sealed import dead_letter
from daemon.ports.store import DeadLetter
from tests.e2e.gate import gated, webhook_url
from tests.e2e.world import CLOCK, MUG, SHOP, SOCK, World, everyone, until, vendors, world

pytestmark = pytest.mark.timeout(120)

PATH = f"/webhooks/loop/{SHOP}"
LISTENED_TO = {
    "label.request.issued",
    "label.request.cancelled",
    "return.created",
    "return.updated",
    "return.closed",
    "return.processing.failed",
    "restock.requested",
}


# ---- webhooks


async def test_webhooks_are_listed_and_put_right_once(tmp_path):
    """Missing subscriptions are created, inactive ones activated, foreign ones left alone, and none made twice."""
    async with gated(tmp_path) as (w, gate):
        await w.daemon.start()
        ours = webhook_url(gate)
        foreign = {
            "topic": "return",
            "trigger": "return.updated",
            "url": "https://erp.example/loop",
            "status": "active",
        }
        asleep = {"topic": "return", "trigger": "return.closed", "url": ours, "status": "inactive"}
        wrong = {"topic": "label", "trigger": "return.created", "url": ours, "status": "active"}
        for row in (foreign, asleep, wrong):
            w.sandbox.subscriptions.create(row)

        listed = (await w.daemon.cli("webhooks", "list", "--json")).json
        states = {row["trigger"]: row["state"] for row in listed["webhooks"]}
        assert states == dict.fromkeys(LISTENED_TO, "missing") | {"return.closed": "inactive"}
        assert {row["url"] for row in listed["others"]} == {foreign["url"], ours}

        synced = await w.daemon.cli("webhooks", "sync", "--json")
        assert synced.status == 0
        done = {row["trigger"]: row["done"] for row in synced.json["webhooks"]}
        assert done == dict.fromkeys(LISTENED_TO, "created") | {"return.closed": "activated"}
        assert "loop_webhook_secrets" in synced.stderr
        held = w.sandbox.subscriptions.list_all()["webhooks"]
        assert sorted(r["trigger"] for r in held if r["url"] == ours and r["topic"] != "label") == sorted(LISTENED_TO)
        assert {r["status"] for r in held} == {"active"}
        assert len(held) == len(LISTENED_TO) + 2

        again = await w.daemon.cli("webhooks", "sync", "--shop", SHOP)
        assert again.status == 0
        assert "nothing to do" in again.stdout
        assert len(w.sandbox.subscriptions.list_all()["webhooks"]) == len(LISTENED_TO) + 2
        assert (await w.daemon.cli("webhooks", "list", "--shop", "nobody")).status == 1

        assert await w.daemon.sigterm() == 0
        offline = await w.daemon.cli("webhooks", "list", "--json")
        assert {row["state"] for row in offline.json["webhooks"]} == {"active"}


# ---- reasons


async def test_reasons_are_told_with_their_codes(tmp_path):
    """What shoppers said is counted per shop with its code, and Amazon is asked which codes a SKU allows."""
    mapped = {"reason": "Too small", "code": "CR-ORDERED_WRONG_ITEM"}
    async with world(tmp_path, shop={"reasons": {"map": [mapped]}}) as w:
        lines = [ReturnLine(sku=SOCK, reason="Too small"), ReturnLine(sku=SOCK, reason="Too small"), MUG]
        await w.labelled(w.submit("#6201", *lines))
        w.sandbox.set_reason_codes(SOCK, ["CR-UNWANTED_ITEM"])
        said = await w.daemon.cli("reasons", "--sku", SOCK, "--json")
        assert said.status == 0, said.stderr
        unmapped, mapped = said.json["reasons"]
        assert (mapped["reason"], mapped["units"], mapped["code"], mapped["allowed"]) == (
            "Too small",
            2,
            "CR-ORDERED_WRONG_ITEM",
            False,
        )
        assert (unmapped["units"], unmapped["code"], unmapped["mapped"]) == (1, "CR-UNWANTED_ITEM", False)
        assert (unmapped["allowed"], mapped["mapped"]) == (True, True)
        assert said.json["allowed"] == ["CR-UNWANTED_ITEM"]
        assert await w.daemon.sigterm() == 0
        assert (await w.daemon.cli("reasons", "--sku", SOCK, "--json")).json == said.json
        assert "CR-ORDERED_WRONG_ITEM" in (await w.daemon.cli("reasons")).stdout


# ---- dead letters


def vault(w: World) -> Vault:
    """With the daemon's keys."""
    return Vault([base64.urlsafe_b64decode(key) for key in w.daemon.secrets["vault_keys"].split()])


async def test_dead_letters_are_listed_and_replayed(tmp_path):
    """What is still unreadable is kept and exits 1; what a fixed mcfd can read opens its return, and is gone."""
    async with vendors(tmp_path, timings={"label_request_poll": "1h", "return_poll": "1h"}) as w:
        await w.daemon.start()
        unreadable = b'{"topic": "return", "trigger": "return.updated"}'
        secret = w.sandbox.options.webhook_secret
        assert await w.daemon.deliver(PATH, unreadable, signature(secret, unreadable)) == 200
        return_id = w.submit("#6301", SOCK)
        assert await w.daemon.sigterm() == 0

        request_id = w.portal(return_id)["label_requests"][0]
        body = {"topic": "label.request", "trigger": "label.request.issued", "id": request_id, "return_id": return_id}
        sealed = vault(w).seal(json.dumps(body).encode(), dead_letter(SHOP))
        came = CLOCK.now() - 3600.0
        letter = DeadLetter(shop=SHOP, digest="d", reason="a field was strange", sealed=sealed, received_at=came)
        stranger = DeadLetter(shop="gone", digest="e", reason="its shop left", sealed=b"?", received_at=came + 1)
        async with await open_store(w.daemon.state / "mcfd.db") as store:
            await store.transact(lambda uow: [uow.keep_dead_letter(one) for one in (letter, stranger)])

        offline = await w.daemon.cli("replay", "1")
        assert (offline.status, "no daemon answers" in offline.stderr) == (1, True)
        rows = (await w.daemon.cli("dead-letters", "--json")).json["dead_letters"]
        assert [row["reason"] for row in rows][:2] == ["a field was strange", "its shop left"]
        assert rows[0]["received"] == datetime.fromtimestamp(came, UTC).isoformat(timespec="seconds")

        await w.daemon.start()
        numbers = {row["reason"]: str(row["delivery"]) for row in rows}
        good = await w.daemon.cli("replay", numbers["a field was strange"], "--json")
        assert good.status == 0, good.stderr
        assert good.json["replayed"][0]["outcome"] == "taken"
        await w.labelled(return_id)
        history = (await w.daemon.show(return_id))["history"]
        acted = [row["detail"]["how"] for row in history if row["event"] == "OperatorActed"]
        assert acted == [f"replayed dead letter {numbers['a field was strange']}"]

        bad = await w.daemon.cli("replay", "all", "99", "--json")
        assert bad.status == 1
        assert [row["outcome"] for row in bad.json["replayed"]] == ["kept", "kept"]
        assert (await w.daemon.cli("replay", "99", "--json")).json["replayed"][0]["outcome"] == "unknown"
        for name in ("one", "9" * 30, "²"):
            strange = await w.daemon.cli("replay", name)
            assert (strange.status, "is no number of a dead letter" in strange.stderr) == (1, True)
        assert len((await w.daemon.cli("dead-letters", "--json")).json["dead_letters"]) == 2


# ---- backup


async def test_a_backup_is_made_with_and_without_the_daemon(tmp_path):
    """The copy holds every return and can be restored; it is private, and nothing but a database is overwritten."""
    async with world(tmp_path) as w:
        return_id = w.submit("#6401", SOCK)
        await w.labelled(return_id)
        live, cold, precious = tmp_path / "live.db", tmp_path / "cold.db", tmp_path / "precious.txt"
        precious.write_text("not a database")
        made = await w.daemon.cli("backup", str(live), "--json")
        assert made.status == 0, made.stderr
        assert made.json == {"file": str(live), "bytes": live.stat().st_size}
        assert live.stat().st_mode & 0o777 == 0o600
        refused, nowhere = await everyone(
            w.daemon.cli("backup", str(precious)), w.daemon.cli("backup", str(tmp_path / "no" / "b.db"))
        )
        assert (refused.status, precious.read_text()) == (1, "not a database")
        assert (nowhere.status, "No such file" in nowhere.stderr, "Traceback" in nowhere.stderr) == (1, True, False)
        assert (await w.daemon.cli("backup", str(live))).status == 0

        assert await w.daemon.sigterm() == 0
        assert (await w.daemon.cli("backup", str(cold))).status == 0
        for copy in (live, cold):
            with closing(sqlite3.connect(copy)) as connection:
                assert connection.execute("SELECT count(*) FROM returns").fetchone() == (1,)

        await w.restart()
        held = await w.daemon.cli("restore", str(live))
        assert (held.status, "another mcfd" in held.stderr) == (75, True)
        await w.daemon.sigkill()
        for _ in range(2):
            restored = await w.daemon.cli("restore", str(live), "--json")
            assert restored.status == 0, restored.stderr
            assert (tmp_path / restored.json["kept"]).exists()
        await w.restart()
        await w.receive(return_id, SOCK)
        adopted = await w.daemon.cli("adopt", "--open", "--json")
        assert adopted.status == 0, adopted.stderr
        await w.state(return_id, "closed")


async def test_old_backups_make_room_for_new_ones(tmp_path):
    """With --keep the newest stay; what has another name in the directory is nobody's business."""
    async with world(tmp_path) as w:
        folder = tmp_path / "copies"
        folder.mkdir()
        old = [folder / f"mcfd-2026010{n}-000000.db" for n in range(1, 4)]
        for file in (*old, folder / "mcfd-precious.db"):
            file.write_text("")
        made = await w.daemon.cli("backup", "--keep", "2", str(folder), "--json")
        assert made.status == 0, made.stderr
        assert made.json["removed"] == [str(file) for file in old[:2]]
        assert {file.name for file in folder.iterdir()} == {
            old[2].name,
            "mcfd-precious.db",
            made.json["file"].rpartition("/")[2],
        }


# ---- export


async def test_finance_gets_its_rows(tmp_path):
    """Each unit is a row with its dates and condition; the reports pick what is unsellable and what never came."""
    async with world(tmp_path, timings={"missing_sibling": "1s"}) as w:
        return_id = w.submit("#6501", SOCK, MUG, SOCK)
        await w.receive(return_id, SOCK)
        w.sandbox.receive(return_id, sku=MUG, condition="Defective")
        await w.state(return_id, "in_review")

        said = await w.daemon.cli("export", "--csv")
        assert said.status == 0, said.stderr
        rows = list(csv.DictReader(io.StringIO(said.stdout)))
        assert sorted((row["sku"], row["condition"]) for row in rows) == [
            (MUG, "Defective"),
            (SOCK, "Sellable"),
            (SOCK, "missing"),
        ]
        assert {(row["shop"], row["return"], row["order"], row["settlement"]) for row in rows} == {
            (SHOP, str(return_id), "#6501", "flag")
        }
        assert all(row["rma"] and row["tracking"] and row["opened"] and row["labelled"] for row in rows)
        unsellable, never, later, table = await everyone(
            w.daemon.cli("export", "--report", "unsellable", "--json"),
            w.daemon.cli("export", "--report", "never-received", "--json"),
            w.daemon.cli("export", "--since", "2100-01-01", "--json"),
            w.daemon.cli("export"),
        )
        assert [row["condition"] for row in unsellable.json] == ["Defective"]
        assert [row["condition"] for row in never.json] == ["missing"]
        assert later.json == []
        assert "3 rows" in table.stdout
        assert (await w.daemon.cli("export", "--since", "yesterday")).status == 2
        assert (await w.daemon.cli("export", "--report", "everything")).status == 2

        assert await w.daemon.sigterm() == 0
        assert (await w.daemon.cli("export", "--csv")).stdout == said.stdout


# ---- purge


def holds(folder: Path, text: bytes) -> bool:
    """Whether any file of the state directory has these bytes."""
    return any(text in file.read_bytes() for file in folder.iterdir())


async def test_purge_forgets_and_rekey_seals_anew(tmp_path):
    """Returns beyond their time leave the store, the gauges and the disk; a new vault key takes over everything."""
    short = {"retention": {"closed_returns": "1ms", "dead_letters": "1ms", "labels": "30d"}}
    timings = {"late_watch": "1ms", "late_look": "1ms"}
    async with world(tmp_path, config=short, timings=timings, buys_labels=True) as w:
        unreadable = b'{"topic": "return", "trigger": "return.updated"}'
        assert await w.daemon.deliver(PATH, unreadable, signature(w.sandbox.options.webhook_secret, unreadable)) == 200
        gone, kept = w.submit("#6601-canary", SOCK), w.submit("#6602", MUG)
        await everyone(w.receive(gone, SOCK), w.labelled(kept))
        await w.state(gone, "closed")
        await until("nothing is due any more", lambda: _rests(w, gone))
        purged = await w.daemon.cli("purge", "--json")
        assert purged.status == 0, purged.stderr
        assert (purged.json["returns"], purged.json["dead_letters"]) == (1, 1)
        assert (await w.daemon.show(gone))["state"] == ""
        assert (await w.daemon.metrics())[f'mcfd_returns{{account="main",shop="{SHOP}",state="closed"}}'] == 0
        assert not holds(w.daemon.state, b"#6601-canary")
        assert holds(w.daemon.state, b"#6602")

        url = w.portal(kept)["delivered_labels"][0]["label_url"]
        old = w.daemon.secrets["vault_keys"]
        new = base64.urlsafe_b64encode(os.urandom(32)).decode()
        w.daemon.secrets["vault_keys"] = f"{new}\n{old}"
        await w.restart()
        rekeyed = await w.daemon.cli("purge", "--rekey", "--json")
        assert rekeyed.status == 0
        assert rekeyed.json["resealed"] >= 3
        assert rekeyed.json["unreadable"] == 0
        w.daemon.secrets["vault_keys"] = new
        await w.restart()
        assert await _fetch(w, url) == b"%PDF"
        assert await w.daemon.sigterm() == 0

        w.daemon.secrets["vault_keys"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
        lost = await w.daemon.cli("purge", "--rekey", "--json")
        assert (lost.status, lost.json["unreadable"] > 0) == (1, True)


async def _rests(w: World, return_id: int) -> bool:
    return (await w.daemon.show(return_id))["due"] is None


async def _fetch(w: World, url: str) -> bytes:
    """The beginning of a hosted label, as the proxy in front would ask for it."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{w.daemon.public_port}/labels/{url.rpartition('/')[2]}") as reply,
    ):
        return (await reply.read())[:4]


# ---- help


async def test_every_verb_has_an_example(tmp_path):
    """Each verb explains itself and shows how it is called."""

    def leaves(group, names=()):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from leaves(command, (*names, name))
            else:
                yield (*names, name)

    for names in leaves(main):
        shown = CliRunner().invoke(main, [*names, "--help"])
        assert shown.exit_code == 0
        assert f"mcfd {' '.join(names)}" in shown.output.partition("Example:")[2], names
