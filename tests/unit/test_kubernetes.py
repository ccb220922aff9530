"""The Kubernetes example: the API's own schema takes it, and mcfd takes the configuration and the secrets in it."""

import base64
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config.load import load
from config.model import Timings

ROOT = Path(__file__).parents[2]
OBJECTS = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "mcfd.yaml").read_text()))


def one(kind: str) -> dict[str, Any]:
    """The object of that kind."""
    (found,) = [each for each in OBJECTS if each["kind"] == kind]
    return found


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret", "Deployment", "PodDisruptionBudget", "Service"])
def test_the_schema_of_kubernetes_takes_it(kind):
    """No field is misspelt or misplaced; a misspelt one would be noticed."""
    kubernetes_validate.validate(one(kind), "1.30", strict=True)
    wrong = one(kind) | {"metadatta": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.30", strict=True)


def test_mcfd_takes_the_configuration_and_the_secrets(tmp_path):
    """The ConfigMap and the Secret together are a good configuration, warned about for its placeholders alone."""
    config = tmp_path / "config.yaml"
    config.write_text(one("ConfigMap")["data"]["config.yaml"])
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, value in one("Secret")["stringData"].items():
        path = secrets / name
        path.touch(mode=0o600)
        path.write_text(base64.b64encode(bytes(32)).decode() if name == "vault_keys" else f"{value}-{name}")
    loaded = load(config, secrets)
    assert list(loaded.settings.accounts) == ["acme"]
    assert [warning.partition(":")[0] for warning in loaded.warnings] == [
        "public_url",
        "accounts.acme.amazon.label_source",
    ]


def test_a_new_pod_is_ready_before_an_old_one_stops():
    """There is always one that serves: in an upgrade, when a machine is emptied, and all selectors mean the pods."""
    deployment = one("Deployment")["spec"]
    assert deployment["replicas"] >= 2
    assert deployment["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert 1 <= one("PodDisruptionBudget")["spec"]["minAvailable"] < deployment["replicas"]
    labels = deployment["template"]["metadata"]["labels"]
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    selectors = [deployment["selector"], one("PodDisruptionBudget")["spec"]["selector"], spread["labelSelector"]]
    assert [selector["matchLabels"] for selector in selectors] == [labels] * 3
    assert one("Service")["spec"]["selector"] == labels


def test_the_pods_share_their_database_and_their_keys():
    """Several mcfd need PostgreSQL, and secrets that all of them read."""
    config = yaml.safe_load(one("ConfigMap")["data"]["config.yaml"])
    assert config["store"]["url"].startswith("postgresql://")
    assert {"store_password", "vault_keys", "ops_token"} <= set(one("Secret")["stringData"])
    volumes = {each["name"]: each for each in one("Deployment")["spec"]["template"]["spec"]["volumes"]}
    assert volumes["secrets"]["secret"]["secretName"] == one("Secret")["metadata"]["name"]
    assert volumes["config"]["configMap"]["name"] == one("ConfigMap")["metadata"]["name"]


def test_the_pod_is_probed_and_stopped_as_mcfd_wants_it():
    """Probes go to the read-only listener, the mounts are where the command looks, and a stop has its time."""
    config = yaml.safe_load(one("ConfigMap")["data"]["config.yaml"])
    deployment = one("Deployment")["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for name in ("public", "metrics"):
        assert config["listen"][name] == f"0.0.0.0:{ports[name]}"
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    given = dict(zip(container["args"][1::2], container["args"][2::2], strict=True))
    assert mounts[str(Path(given["--config"]).parent)] == "config"
    assert mounts[given["--secrets"]] == "secrets"
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + Timings().stop_grace
