"""The machines that the unit is tried on: a Debian of each release that is promised, booted once for all its tests."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.system.machine import PYTHONS, ROOT, KernelRefuses, Machine, Unavailable, booted

OPERATING = (ROOT / "docs" / "operating.md").read_text()
WITHOUT_NETWORK = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/usr/src/wheels"}
SANDBOX = """\
public_url: http://127.0.0.1:8080
listen: {public: 127.0.0.1:8080, ops: 127.0.0.1:9108}
amazon:
  client_id: amzn1.application-oa2-client.sandbox
  endpoint: http://127.0.0.1:9501
  lwa_endpoint: http://127.0.0.1:9501/auth/o2/token
shops:
  acme: {api_url: http://127.0.0.1:9502/api}
"""
SECRETS = {
    "amazon_client_secret": "amzn1.oa2-cs.v1.sandbox",
    "amazon_refresh_token": "Atzr|sandbox-refresh",
    "loop_api_key.acme": "sandbox-loop-key",
    "loop_webhook_secrets.acme": "sandbox-webhook-secret",
}


def blocks(heading: str) -> list[str]:
    """The shell blocks of a chapter of docs/operating.md, or of a paragraph that begins with a bold word."""
    text = OPERATING.split(f"\n{heading}", 1)[1]
    text = re.split(r"\n#{1,3} |\n\*\*", text, maxsplit=1)[0]
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


RELEASES = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in PYTHONS]


@pytest.fixture(scope="module", params=RELEASES)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine with mcfd installed by the lines of the documentation, and the vendors' stand-ins beside it."""
    with booted_or_skipped(request.param) as one:
        install(one)
        yield one


@pytest.fixture(scope="module", params=RELEASES)
def bare(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine without mcfd."""
    with booted_or_skipped(request.param) as one:
        yield one


@contextmanager
def booted_or_skipped(release: str) -> Iterator[Machine]:
    """Boot a machine, or skip."""
    with ExitStack() as stack:
        with or_skip():
            one = stack.enter_context(booted(release))
        yield one


@contextmanager
def or_skip() -> Iterator[None]:
    """Skip with the reason; where all that is needed was to be installed, only the kernel may be one."""
    try:
        yield
    except Unavailable as reason:
        if not isinstance(reason, KernelRefuses) and os.environ.get("CI") == "true":  # noqa: TID251 - not mcfd's
            raise
        pytest.skip(str(reason))


def unpack(one: Machine) -> None:
    """The source, as somebody has unpacked it."""
    one.do("mkdir /root/mcfd && cd /usr/src/mcfd && tar -c --exclude='./.*' . | tar -C /root/mcfd -x")


def install(one: Machine) -> None:
    """What an operator does, up to the start."""
    unpack(one)
    for block in blocks("## Install"):
        one.do(f"umask 077\ncd /root/mcfd\n{block}", timeout=900, **WITHOUT_NETWORK)
    one.write("/etc/mcfd/config.yaml", SANDBOX)
    for name, secret in SECRETS.items():
        one.write(f"/etc/mcfd/secrets/{name}", secret, "600")
    webhooks = "--webhook-url http://127.0.0.1:8080/webhooks/loop/acme"
    one.do(f"systemd-run --quiet --unit=vendors /opt/mcfd/bin/mcfd sandbox {webhooks}")
    one.until("curl -fso /dev/null http://127.0.0.1:9500/openapi.json")


@pytest.fixture
def mcfd(machine: Machine) -> Machine:
    """The machine with the unit running on the configuration that is good."""
    machine.write("/etc/mcfd/config.yaml", SANDBOX)
    machine.do("systemctl start mcfd")
    return machine
