"""What an operator sees and does: probes, metrics, the operator API, the command line."""

import asyncio
import re
import sqlite3
from contextlib import closing
from datetime import datetime

import pytest

from adapters.sandbox import Fault
from tests.e2e.world import CLOCK, MUG, SHOP, SOCK, World, everyone, until, world

gentle = pytest.mark.asyncio(loop_scope="session")


@gentle
async def test_metrics_answer_operators_questions_without_ids(w):
    """States, steps, calls and the time to label are counted, and no label value is an id."""
    return_id = w.submit("#3001", SOCK)
    await w.receive(return_id, SOCK)
    await w.state(return_id, "closed")
    metrics = await w.daemon.metrics()
    for name in (
        f'mcfd_returns{{account="main",shop="{SHOP}",state="closed"}}',
        f'mcfd_steps_total{{account="main",act="deliver_label",outcome="done",shop="{SHOP}"}}',
        'mcfd_vendor_calls_total{account="main",operation="createFulfillmentReturn",outcome="ok",vendor="amazon"}',
        'mcfd_label_seconds_count{account="main"}',
        f'mcfd_webhooks_total{{account="main",outcome="verified",shop="{SHOP}"}}',
        f'mcfd_webhook_last_verified_timestamp_seconds{{account="main",shop="{SHOP}"}}',
        'mcfd_bucket_tokens{account="main",operation="getFulfillmentOrder"}',
        'mcfd_service_lateness_seconds{service="label_requests"}',
        "mcfd_config_last_reload_successful",
    ):
        assert metrics[name] >= 0, name
    _, text = await w.daemon.get("/metrics")
    held = w.portal(return_id)
    rma = held["delivered_labels"][0]["tracking_number"]
    for identifier in (str(return_id), str(held["label_requests"][0]), "3001", rma, SOCK):
        assert identifier not in re.sub(r"(?m)^#.*$| [0-9.e+-]+$", "", text)


@gentle
async def test_the_states_are_counted_as_returns_move(w):
    """The gauge of a state rises and falls with the returns in it, and agrees with what the store counts."""
    return_id = w.submit("#3002", SOCK)
    await w.receive(return_id, SOCK)
    await w.state(return_id, "closed")
    metrics = await w.daemon.metrics()
    _, status = await w.daemon.verb("status")
    gauges = {
        state: metrics[f'mcfd_returns{{account="main",shop="{SHOP}",state="{state}"}}'] for state in status["returns"]
    }
    assert gauges == status["returns"]
    assert [(row["shop"], row["configured"]) for row in status["shops"]] == [(SHOP, True)]


@gentle
async def test_probes_say_that_all_is_well(w):
    """A daemon that works is alive and ready."""
    assert await w.daemon.ops("/healthz") == (200, {"ok": True, "problems": {}})
    assert await w.daemon.ops("/readyz") == (200, {"ok": True, "problems": {}})


@gentle
async def test_the_operator_api_needs_its_token(w):
    """Without the token, or with another, nothing is told and nothing is changed; the public port has no such API."""
    return_id = w.submit("#3003", SOCK)
    await w.labelled(return_id)
    for token in ("", "wrong", w.daemon.secrets["ops_token"][:-1]):
        assert (await w.daemon.verb("show", token, **{"return": str(return_id)}))[0] == 401
        assert (await w.daemon.verb("cancel", token, **{"return": str(return_id)}))[0] == 401
    assert (await w.daemon.verb("explode"))[0] == 404
    assert (await w.daemon.verb("show", **{"return": "99"}))[0] == 409
    assert (await w.daemon.verb("show"))[0] == 409
    assert (await w.daemon.verb("resolve", **{"return": str(return_id), "by": "me"}))[0] == 409
    assert await w.daemon.deliver("/api/status", b"{}", None) == 404
    assert await w.daemon.deliver("/metrics", b"{}", None) == 404


@gentle
async def test_match_tells_what_amazon_said(w):
    """`match` shows each id that was tried, and what came back."""
    return_id = w.submit("#3004", SOCK)
    await w.labelled(return_id)
    _, answer = await w.daemon.verb("match", **{"return": str(return_id)})
    assert answer["tried"] == [{"order": "#3004", "answer": "holds all units", "skus": [SOCK]}]


async def test_the_command_line_with_and_without_the_daemon(tmp_path):
    """The same answers come from the running daemon and, when it is stopped, from its store; changes need it."""
    async with world(tmp_path) as w:
        return_id = w.submit("#3101", SOCK)
        await w.receive(return_id, SOCK)
        await w.state(return_id, "closed")
        name = f"{SHOP}/{return_id}"
        status, shown, table, refused = await everyone(
            w.daemon.cli("status", "--json"),
            w.daemon.cli("show", str(return_id), "--json"),
            w.daemon.cli("show", name),
            w.daemon.cli("resolve", str(return_id)),
        )
        assert (status.status, shown.status, table.status) == (0, 0, 0)
        assert status.json["returns"]["closed"] == 1
        assert shown.json["return"] == name
        assert shown.json["history"][-1]["after"] == "closed"
        assert "return processed" in table.stdout
        assert (refused.status, refused.stdout) == (1, "")
        assert "only a stuck return can be resolved" in refused.stderr

        assert await w.daemon.sigterm() == 0
        before = dump(w)
        assert (await w.daemon.cli("status", "--json")).json == status.json
        assert (await w.daemon.cli("show", name, "--json")).json == shown.json
        late = await w.daemon.cli("retry", name)
        assert late.status == 1
        assert "no daemon answers" in late.stderr
        assert dump(w) == before


async def test_an_order_is_read_when_somebody_says_that_it_has_changed(tmp_path):
    """A hint on the command line makes an inspection be seen long before its turn."""
    async with world(
        tmp_path, timings=dict.fromkeys(("inspection_idle", "inspection_moving", "inspection_arrived"), "12h")
    ) as w:
        return_id = w.submit("#3151", SOCK)
        await w.state(return_id, "awaiting_inspection")
        w.sandbox.receive(return_id, sku=SOCK)
        needs_read = await w.daemon.cli("look", "#3151", "#3159", "--json")
        assert needs_read.json == {"orders": [{"order": "#3151", "returns": 1}, {"order": "#3159", "returns": 0}]}
        await w.state(return_id, "closed")


async def test_who_did_it_and_when_is_written_down(tmp_path):
    """Linking, cancelling, resolving and replaying leave the operator's name, and the time, in the return's history."""
    held = {"destinations": [6021], "on_unmatched": "hold"}
    async with world(tmp_path, timings={"unmatched_deadline": "1ms"}, shop=held) as w:
        w.daemon.environment = {"SUDO_USER": "ann"}
        w.sandbox.create_order("ODD-1", {SOCK: 1})
        w.sandbox.create_order("#3301", {MUG: 1})
        return_id = w.submit("#3301", SOCK)

        async def is_held() -> bool:
            return bool((await w.daemon.show(return_id)).get("problem"))

        await until("it is held", is_held)
        waits = (await w.daemon.cli("status", "--json")).json["held"]
        assert [(row["return"], row["problem"][:20]) for row in waits] == [
            (f"{SHOP}/{return_id}", "no fulfillment order")
        ]
        before = CLOCK.now()
        linked = await w.daemon.cli("link", str(return_id), "ODD-1", "--json")
        assert linked.json["note"] == "it is tried now"
        await w.labelled(return_id)
        asked = await w.daemon.cli("cancel", str(return_id))
        assert asked.status == 1
        assert "the shopper keeps the label" in asked.stderr
        assert "nothing was done; add --yes" in asked.stderr
        assert (await w.daemon.show(return_id))["state"] == "awaiting_inspection"
        cancelled = await w.daemon.cli("cancel", f"{SHOP}/{return_id}", "99", "--yes", "--json")
        assert (cancelled.status, [row["return"] for row in cancelled.json]) == (1, [f"{SHOP}/{return_id}"])
        assert "Loop itself is unchanged" in cancelled.json[0]["note"]
        assert "no return 99 is known" in cancelled.stderr
        found = await w.daemon.cli("find", "3301", "--json")
        assert [row["return"] for row in found.json["returns"]] == [f"{SHOP}/{return_id}"]
        listed = await w.daemon.cli("list", "--state", "stuck", "--json")
        assert (listed.status, listed.json) == (0, [])
        late = await w.daemon.cli("link", str(return_id), "ODD-1")
        assert "not matched again, unless Loop asks for its label once more" in late.stdout
        history = (await w.daemon.show(return_id))["history"]
        acted = [row for row in history if row["event"] == "OperatorActed"]
        assert [row["detail"] for row in acted] == [
            {"how": "linked it to ODD-1", "by": "ann"},
            {"how": "cancelled it", "by": "ann"},
            {"how": "linked it to ODD-1", "by": "ann"},
        ]
        assert all(datetime.fromisoformat(row["at"]).timestamp() >= before - 1.0 for row in acted)
        told = [event["by"] for event in w.daemon.heard("operator.acted")]
        assert told == ["ann"] * 3


def dump(w: World) -> list[str]:
    """Everything that the stopped daemon left behind."""
    with closing(sqlite3.connect(w.daemon.state / "mcfd.db")) as connection:
        return list(connection.iterdump())


async def test_a_stuck_return_is_retried_or_resolved_by_a_person(tmp_path):
    """A return that cannot go on says so everywhere; `retry` takes it on to its end, `resolve` closes it."""
    async with world(tmp_path, config={"attempts": 2}, shop={"destinations": [6021]}) as w:
        unreadable = Fault(vendor="loop", kind="status", status=200, operation="getLabelRequest")
        w.sandbox.set_faults([unreadable])
        retried, resolved = w.submit("#3201", SOCK), w.submit("#3202", MUG)
        for return_id in (retried, resolved):
            shown = await w.state(return_id, "stuck")
            assert shown["problem"]
        _, status = await w.daemon.verb("status")
        assert {row["return"] for row in status["stuck"]} == {f"{SHOP}/{retried}", f"{SHOP}/{resolved}"}
        assert (await w.daemon.metrics())[f'mcfd_returns{{account="main",shop="{SHOP}",state="stuck"}}'] == 2

        w.sandbox.set_faults()
        await until("Loop shows why", lambda: w.notes(retried) and w.notes(resolved))
        assert (await w.daemon.cli("retry", str(retried))).status == 0
        assert (await w.daemon.cli("resolve", f"{SHOP}/{resolved}", "--json")).json[0]["state"] == "closed"
        await w.receive(retried, SOCK)
        shown = await w.state(retried, "closed")
        assert "Retried" in [row["event"] for row in shown["history"]]
        assert w.portal(retried)["counts"] == {"process": 1}
        assert not w.portal(resolved)["delivered_labels"]


async def test_who_knocks_without_a_key_is_counted(tmp_path):
    """Guessed labels, and connections that speak no HTTP, show in the metrics."""
    async with world(tmp_path) as w:
        guess = f"GET /labels/{'x' * 43}.pdf HTTP/1.1\r\nHost: returns.test\r\nConnection: close\r\n\r\n"
        for said in (guess.encode(), b"\x16\x03\x01 nonsense\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", w.daemon.public_port)
            writer.write(said)
            await reader.read()
            writer.close()
        metrics = await w.daemon.metrics()
        assert metrics['mcfd_labels_fetched_total{outcome="missing"}'] == 1
        assert metrics['mcfd_connections_turned_away_total{why="malformed"}'] == 1
