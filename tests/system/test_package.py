"""The package for Debian: built on the release that it is for, installed, upgraded, removed and purged there."""

import re

import pytest

from tests.system.conftest import SANDBOX, SECRETS, WITHOUT_NETWORK, unpack
from tests.system.machine import Machine

pytestmark = pytest.mark.timeout(2000)

READY = "curl -fso /dev/null http://127.0.0.1:9108/readyz"
QUICKLY = {"DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}
"""xz, dpkg's own choice, takes longer than all else that is tried here."""
INSTALL = "DEBIAN_FRONTEND=noninteractive dpkg --install"


@pytest.fixture(scope="module")
def package(bare: Machine) -> str:
    """The path of a package that was built on the machine itself."""
    unpack(bare)
    bare.do("cd /root/mcfd && umask 077 && deploy/debian/build /root/dist", timeout=900, **WITHOUT_NETWORK, **QUICKLY)
    return bare.do("ls /root/dist/*.deb").strip()


def test_the_package_runs_is_upgraded_and_goes(bare: Machine, package: str):
    """Installed it has keys, waits for its configuration, and names the credentials that it lacks; an upgrade keeps what
    was changed and restarts; a removal keeps what a purge takes."""
    bare.do(f"{INSTALL} {package}")
    assert bare.do("stat -c '%a %U' /etc/mcfd/secrets /etc/mcfd/secrets/vault_keys /etc/mcfd/config.yaml").split() == [
        *("700", "root", "600", "root", "644", "root")
    ]
    assert bare.run("systemctl is-active mcfd").stdout.strip() == "inactive"
    told = bare.run("mcfd check")
    missing = re.findall(r"secret (\w+)[\w.-]*: is not in /etc/mcfd/secrets", told.stdout + told.stderr)
    assert (told.returncode, {"amazon_client_secret", "loop_api_key"} - set(missing)) == (0, set())
    keys = bare.do("cat /etc/mcfd/secrets/*")

    bare.write("/etc/mcfd/config.yaml", SANDBOX)
    for name, secret in SECRETS.items():
        bare.write(f"/etc/mcfd/secrets/{name}", secret, "600")
    bare.do("systemctl enable --now mcfd")
    bare.until(READY)
    first = bare.do("systemctl show mcfd -p MainPID --value")

    bare.do(f"{INSTALL} --force-confdef {package}")
    bare.until(f"test $(systemctl show mcfd -p MainPID --value) -ne {first.strip()} && {READY}")
    assert bare.do("cat /etc/mcfd/config.yaml").strip() == SANDBOX.strip()
    assert keys in bare.do("cat /etc/mcfd/secrets/ops_token /etc/mcfd/secrets/vault_keys")

    bare.do("dpkg --remove mcfd")
    assert bare.do("ls /etc/mcfd /var/lib/private/mcfd").split()[0] == "/etc/mcfd:"
    assert bare.run("systemctl cat mcfd || ls /opt/mcfd || command -v mcfd").stdout == ""
    bare.do("dpkg --purge mcfd")
    left = "find / -xdev -iname '*mcfd*' -not -path '/proc/*' -not -path '/root/*' -not -path '/usr/src/*' -not -path '/tmp/*'"
    assert bare.do(f"{left} -not -path '/var/log/*'") == ""


def test_the_package_is_clean(bare: Machine, package: str):
    """No path of the machine that built it, a manual that troff takes, completions, and modes that any umask leaves."""
    bare.do(f"mkdir -p /root/x && dpkg-deb --extract {package} /root/x")
    assert bare.run("grep -rlF -e /tmp/tmp. -e /root/ /root/x/opt/mcfd/bin /root/x/opt/mcfd/pyvenv.cfg").stdout == ""
    assert bare.do("find /root/x -perm /022 -not -type l") == ""
    assert bare.do("find /root/x/etc /root/x/opt -not -perm -o=r -not -type l") == ""
    assert "mcfd backup" in bare.do("zcat /root/x/usr/share/man/man1/mcfd.1.gz").replace("\\", "")
    bare.do("bash -n /root/x/usr/share/bash-completion/completions/mcfd")
    bare.do("ls /root/x/usr/share/zsh/vendor-completions/_mcfd /root/x/usr/share/fish/vendor_completions.d/mcfd.fish")
