"""Alerts and dashboard ask for nothing that a scrape does not show."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from adapters.metrics import PrometheusMetrics

CONFIG = Path(__file__).parents[2] / "config"
ALERTS = CONFIG / "prometheus-alerts.yaml"


def exposed() -> set[str]:
    """Every sample name of a scrape after one of everything has happened."""
    metrics = PrometheusMetrics("1")
    metrics.watch("mcfd_bucket_tokens", "help", "operation", lambda: {"x": 1.0})
    metrics.webhook("acme", "verified", 1.0)
    metrics.webhook_answered(0.1)
    metrics.step("settle", "done")
    metrics.label_delivered(1.0)
    metrics.service_round("reconciler", 1.0)
    metrics.trouble("bug")
    metrics.call("amazon", "getFulfillmentOrder", "ok", 0.1)
    return {sample.name for family in metrics.registry.collect() for sample in family.samples}


def asked(text: str) -> set[str]:
    """The metric names of a query."""
    return set(re.findall(r"\bmcfd_[a-z_]+", text))


def test_every_alert_asks_for_a_metric_that_exists():
    """A renamed metric would silence its alert."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert rules
    for rule in rules:
        assert asked(rule["expr"]) <= exposed(), rule["alert"]
        assert rule["annotations"]["action"], rule["alert"]


def test_every_panel_asks_for_a_metric_that_exists():
    """A renamed metric would empty its panel."""
    panels = json.loads((CONFIG / "grafana-dashboard.json").read_text())["panels"]
    assert panels
    for panel in panels:
        for target in panel["targets"]:
            assert asked(target["expr"]), panel["title"]
            assert asked(target["expr"]) <= exposed(), panel["title"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_alerts():
    """The rules are what Prometheus understands."""
    checked = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
