"""The image, built from the Containerfile on a real Debian's files and run as what it is for."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.system.conftest import SANDBOX, SECRETS, or_skip
from tests.system.machine import ROOT, Unavailable, debian, wheels

pytestmark = [pytest.mark.timeout(2000), pytest.mark.xdist_group("trixie")]

RELEASE = "trixie"
KEYS = {"vault_keys": "A" * 43 + "=", "ops_token": "a-token-of-at-least-sixteen-letters"}


class Builder:
    """buildah with a store of its own, without a daemon and without a network."""

    def __init__(self, folder: Path) -> None:
        self._store = ["--root", str(folder / "root"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]

    def do(self, verb: str, *arguments: str | Path) -> str:
        done = subprocess.run(
            ["buildah", *self._store, verb, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, f"{verb} {arguments}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """An image store with the built image in it."""
    folder = tmp_path_factory.mktemp("images")
    with or_skip():
        if shutil.which("buildah") is None:
            raise Unavailable("buildah is not installed")
        base = debian(RELEASE)
    one = Builder(folder)
    container = one.do("from", "scratch")
    one.do("add", "--quiet", container, base, "/")
    one.do("commit", "--quiet", "--rm", container, "debian")
    mirror = ["--build-arg", "PIP_NO_INDEX=1", "--build-arg", "PIP_FIND_LINKS=/wheels"]
    apart = ["--isolation", "chroot", "--network", "host", "--volume", f"{wheels(RELEASE)}:/wheels:ro"]
    one.do(
        "build",
        "--pull-never",
        "--format",
        "docker",
        *apart,
        *mirror,
        "--build-arg",
        "BASE=debian",
        "--tag",
        "mcfd",
        ROOT,
    )
    return one


def test_the_image_runs_mcfd_as_a_user_of_its_own(builder, tmp_path):
    """It is not root, keeps its state below /data, and its own health check and verbs work on mounted secrets."""
    told = json.loads(builder.do("inspect", "--type", "image", "mcfd"))["Docker"]["config"]
    assert told["User"] == "10001:10001"
    assert list(told["Volumes"]) == ["/data"]
    assert told["Healthcheck"]["Test"][0] == "CMD"

    (tmp_path / "config.yaml").write_text(SANDBOX + "store: {path: /data/mcfd.db}\n")
    (tmp_path / "secrets").mkdir()
    for name, secret in (SECRETS | KEYS).items():
        (tmp_path / "secrets" / name).write_text(secret)
    mounts = [
        *("--volume", f"{tmp_path}/config.yaml:/etc/mcfd/config.yaml:ro"),
        *("--volume", f"{tmp_path}/secrets:/run/secrets/mcfd:ro"),
    ]
    container = builder.do("from", "--pull-never", "mcfd")
    healthy = " ".join(f"'{word}'" if index == 2 else word for index, word in enumerate(_quoted(told)))
    script = (
        f"{' '.join(told['Entrypoint'] + told['Cmd'])} >/tmp/log 2>&1 & "
        f"for n in $(seq 100); do {healthy} 2>/dev/null && break; sleep 0.3; done; {healthy} && id -u && "
        "mcfd status --secrets /run/secrets/mcfd --json && stat -c %a /data/mcfd.db && kill %1 && wait %1; echo $?"
    )
    said = builder.do("run", "--isolation", "chroot", *mounts, container, "--", "bash", "-c", script)
    assert said.startswith("10001\n"), said
    assert said.endswith("600\n0"), said


def _quoted(told: dict) -> list[str]:
    command, option, program = told["Healthcheck"]["Test"][1:]
    return [command, option, program.replace("'", '"')]


def test_the_compose_file_is_the_image():
    """It builds this Containerfile, mounts what the image expects, and opens nothing but the public port to this machine."""
    (service,) = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"].values()
    assert (ROOT / "deploy" / service["build"]["context"] / service["build"]["dockerfile"]).samefile(
        ROOT / "Containerfile"
    )
    image = (ROOT / "Containerfile").read_text()
    for volume in service["volumes"]:
        assert volume.split(":")[1] in image
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
