"""Alerts and dashboard ask for nothing that a scrape does not show, and each alert fires when it should."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from adapters.host.metrics import ALARMING, TROUBLES, PrometheusMetrics
from daemon.domain.returns import State
from tests.support.programs import program

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "config" / "prometheus-alerts.yaml"
CASES = sorted((ROOT / "tests" / "prometheus").glob("alerts-*test.yaml"))
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def started() -> PrometheusMetrics:
    """The metrics of a daemon that has just started, before anything happened."""
    metrics = PrometheusMetrics("1", lambda shop: {"acme": "main"}.get(shop, ""))
    metrics.watch("mcfd_bucket_tokens", "help", ("account", "operation"), lambda: {("main", "x"): 1.0})
    metrics.watch("mcfd_clock_ahead_seconds", "help", ("vendor",), lambda: {("x",): 1.0})
    metrics.began(100.0, ["acme"], {("gone", "awaiting_inspection"): 3})
    metrics.connection("main", "amazon", lambda: False)
    metrics.secret_unfiled("main", lambda: False)
    metrics.service("reconciler", lambda: True)
    metrics.ages("main", lambda: 1.0, lambda: 2.0)
    return metrics


def exposed() -> set[str]:
    """Every sample name of a scrape after one of everything has happened."""
    metrics = started()
    metrics.webhook("acme", "verified", 1.0)
    metrics.holds(["acme"], {"gone": 2})
    metrics.share(["main"], lambda _account: True)
    metrics.watch("mcfd_returns_to_adopt", "help", ("account", "shop"), lambda: {("main", "acme"): 1.0})
    metrics.webhook_answered(0.1)
    metrics.label_fetched("served")
    metrics.turned_away("malformed")
    metrics.of("acme").step("settle", "done")
    metrics.of("acme").label_delivered(1.0)
    metrics.service_round("reconciler", 1.0)
    metrics.queue_read("notifications", 1.0)
    metrics.notification("announced", 1.0, "main")
    metrics.of("acme").inspection_seen(1.0)
    metrics.call("main", "amazon", "getFulfillmentOrder", "ok", 0.1)
    return {sample.name for family in metrics.registry.collect() for sample in family.samples}


def asked(text: str) -> set[str]:
    """The metric names of a query."""
    return set(re.findall(r"\bmcfd_[a-z_]+", text))


def test_every_alert_asks_for_a_metric_that_exists():
    """A renamed metric would silence its alert."""
    assert RULES
    for rule in RULES:
        assert asked(rule["expr"]) <= exposed(), rule["alert"]
        assert rule["annotations"]["action"], rule["alert"]


def test_every_panel_asks_for_a_metric_that_exists():
    """A renamed metric would empty its panel."""
    panels = json.loads((ROOT / "config" / "grafana-dashboard.json").read_text())["panels"]
    assert panels
    for panel in panels:
        for target in panel["targets"]:
            assert asked(target["expr"]), panel["title"]
            assert asked(target["expr"]) <= exposed(), panel["title"]


def test_every_panel_says_what_it_shows_and_when_it_is_bad():
    """Each has a description and a unit; what is one number has colours, and what is yes or no has words."""
    for panel in json.loads((ROOT / "config" / "grafana-dashboard.json").read_text())["panels"]:
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"], panel["title"]
        assert defaults["unit"], panel["title"]
        if panel["type"] == "stat":
            assert defaults["thresholds"]["steps"], panel["title"]
        if asked(panel["targets"][0]["expr"]) & {"mcfd_config_last_reload_successful", "mcfd_connection_parked"}:
            assert {"0", "1"} == set(defaults["mappings"][0]["options"]), panel["title"]


def test_what_an_alert_counts_is_there_from_the_start():
    """A counter that begins at 1 does not rise for Prometheus: the first bug would go unnoticed."""
    registry = started().registry
    for rule in RULES:
        for kind in re.findall(r'mcfd_troubles_total\{kind="([a-z_]+)"\}\[', rule["expr"]):
            assert registry.get_sample_value("mcfd_troubles_total", {"kind": kind}) == 0, rule["alert"]
        for outcome in re.findall(r'mcfd_webhooks_total\{outcome="([a-z_]+)"', rule["expr"]):
            labels = {"account": "main", "shop": "acme", "outcome": outcome}
            assert registry.get_sample_value("mcfd_webhooks_total", labels) == 0, rule["alert"]
    assert set(re.findall(r'mcfd_webhooks_total\{outcome="([a-z_]+)"', ALERTS.read_text())) == set(ALARMING)


def test_every_trouble_of_the_code_is_known():
    """A kind of trouble that the code reports is among those that are there from the start."""
    sources = [path.read_text() for path in (ROOT / "daemon").rglob("*.py")]
    told = {kind for text in sources for kind in re.findall(r'metrics\.trouble\("([a-z_]+)"', text)}
    assert {"bug", "store", "unsettled"} <= told
    assert told <= set(TROUBLES)


def test_a_node_exposes_gauges_of_its_own_accounts_alone():
    """Sums over all nodes are right: gauges of an account are one node's, counters everybody's, and returns are counted."""
    metrics = PrometheusMetrics("1", lambda shop: {"acme": "one", "zeta": "two"}.get(shop, ""))
    metrics.watch("mcfd_bucket_tokens", "help", ("account", "operation"), lambda: {("two", "x"): 1.0})
    metrics.began(100.0, ["acme", "zeta"], {("zeta", "stuck"): 1, ("gone", "stuck"): 1})
    worked = {"one"}
    metrics.share(["one", "two"], lambda account: account in worked)
    metrics.moved("acme", None, State.STUCK)  # this node moved it, but all of them are counted
    metrics.count(["acme", "zeta"], {("acme", "stuck"): 2})
    metrics.webhook("zeta", "verified", 5.0)

    def shown() -> set[str]:
        return set(metrics.render().decode().splitlines())

    stuck = 'mcfd_returns{{account="{}",shop="{}",state="stuck"}} {}'.format
    assert stuck("one", "acme", "2.0") in shown()
    assert not any('account="two"' in line and line.startswith(("mcfd_returns", "mcfd_bucket")) for line in shown())
    assert not any('shop="gone"' in line for line in shown())
    assert 'mcfd_webhooks_total{account="two",outcome="verified",shop="zeta"} 1.0' in shown()
    assert {'mcfd_account_worked{account="one"} 1.0', 'mcfd_account_worked{account="two"} 0.0'} <= shown()
    assert "mcfd_start_timestamp_seconds 100.0" in shown()
    worked |= {"two", ""}
    assert {stuck("two", "zeta", "0.0"), stuck("", "gone", "0.0")} <= shown()


def test_returns_are_counted_per_shop():
    """Each shop has every state from the start; one that is not configured any more belongs to no account."""
    metrics = started()

    def held(shop: str, state: State) -> float | None:
        labels = {"account": "main" if shop == "acme" else "", "shop": shop, "state": state.value}
        return metrics.registry.get_sample_value("mcfd_returns", labels)

    assert {held("acme", state) for state in State} == {0.0}
    assert held("gone", State.AWAITING_INSPECTION) == 3
    metrics.moved("acme", None, State.RECEIVED)
    metrics.moved("acme", State.RECEIVED, State.STUCK)
    assert (held("acme", State.RECEIVED), held("acme", State.STUCK), held("gone", State.STUCK)) == (0, 1, 0)
    metrics.forgotten("gone", State.AWAITING_INSPECTION)
    assert held("gone", State.AWAITING_INSPECTION) == 2


def told_cases() -> list[dict]:
    """All cases of the alerts."""
    return [case for file in CASES for case in yaml.safe_load(file.read_text())["tests"]]


def promtool(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run promtool."""
    return subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_promtool_accepts_the_alerts():
    """The rules are what Prometheus understands."""
    checked = promtool("check", "rules", ALERTS)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.slow
def test_the_alerts_fire_when_they_should(tmp_path: Path):
    """Every alert fires in its case and stays quiet in the other; with another threshold the cases would fail."""
    checked = promtool("test", "rules", *CASES)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    slack = tmp_path / "alerts.yaml"
    slack.write_text(ALERTS.read_text().replace("< 30", "< 20"))
    cases = [case for case in told_cases() if case["name"].startswith("McfdClientSecretRunsOut ")]
    minutely = {"rule_files": [slack.name], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(minutely))
    failed = promtool("test", "rules", tmp_path / "cases.yaml")
    assert failed.returncode != 0
    assert "McfdClientSecretRunsOut" in failed.stdout + failed.stderr


def test_every_alert_has_both_cases():
    """Each alert is shown to fire and to stay quiet."""
    names = {case["name"] for case in told_cases()}
    for rule in RULES:
        assert {f"{rule['alert']} fires", f"{rule['alert']} stays quiet"} <= names, rule["alert"]
