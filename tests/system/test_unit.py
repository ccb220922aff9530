"""The unit under a real systemd: it starts, reloads, comes back from everything, and leaves nothing behind."""

import json

import pytest

from tests.system.conftest import SANDBOX, WITHOUT_NETWORK, blocks
from tests.system.machine import Machine

pytestmark = pytest.mark.timeout(2000)

READY = "curl -fso /dev/null http://127.0.0.1:9108/readyz"
ANSWERS = "curl -so /dev/null http://127.0.0.1:9108/healthz"


def shown(machine: Machine, name: str) -> str:
    """A property of the unit."""
    return machine.do(f"systemctl show mcfd --property={name} --value").strip()


def submit(machine: Machine, order: str) -> str:
    """Let a shopper return something at the stand-in; the return's id."""
    control = "curl -fs http://127.0.0.1:9500/control"
    machine.do(f"{control}/create_order -d '{json.dumps({'order_id': order, 'lines': {'SOCK': 1}})}'")
    given = {"order_name": f"#{order}", "lines": [{"sku": "SOCK"}]}
    return str(json.loads(machine.do(f"{control}/submit_return -d '{json.dumps(given)}'"))["result"])


def state(return_id: str, state: str) -> str:
    """The condition that mcfd shows a return in a state."""
    return f"""mcfd show {return_id} --json 2>&1 | grep -q '"state": "{state}"'"""


def test_it_starts_and_serves_a_return_inside_its_walls(mcfd):
    """The installation's lines end in a running unit, which brings a shopper's label about."""
    mcfd.until(READY)
    assert shown(mcfd, "ActiveState") == "active"
    return_id = submit(mcfd, "2001")
    mcfd.until(state(return_id, "awaiting_inspection"))
    mcfd.do("mcfd doctor")


def test_a_reload_takes_a_good_configuration_over(mcfd):
    """`systemctl reload` succeeds, and the daemon tells what it has taken over."""
    mcfd.write("/etc/mcfd/config.yaml", SANDBOX.replace("/api}", '/api, only_returns: ["1"]}'))
    mcfd.do("systemctl reload mcfd")
    mcfd.until("journalctl -u mcfd -o cat | grep config.reloaded | grep -q only_returns")


def test_a_reload_of_a_wrong_configuration_fails_and_changes_nothing(mcfd):
    """`systemctl reload` fails, the journal says what is wrong, and the daemon runs on."""
    before = shown(mcfd, "MainPID")
    mcfd.write("/etc/mcfd/config.yaml", SANDBOX.replace("public_url", "publik_url"))
    assert mcfd.run("systemctl reload mcfd").returncode != 0
    assert "did you mean public_url" in mcfd.journal("-n", "20", "-o", "cat")
    assert (shown(mcfd, "MainPID"), shown(mcfd, "ActiveState")) == (before, "active")
    assert "config.reload_failed" not in mcfd.journal("-o", "cat")


def test_a_wrong_configuration_is_not_started_again(mcfd):
    """The unit says what is wrong and stays down; the corrected one starts, without `reset-failed`."""
    mcfd.write("/etc/mcfd/config.yaml", "shops: {}")
    assert mcfd.run("systemctl restart mcfd").returncode != 0
    assert (shown(mcfd, "ActiveState"), shown(mcfd, "ExecMainStatus")) == ("failed", "78")
    mcfd.write("/etc/mcfd/config.yaml", SANDBOX)
    mcfd.do("systemctl start mcfd")


def test_a_missing_secret_is_told_with_the_place_where_it_belongs(mcfd):
    """The journal names /etc/mcfd/secrets and the restart, not the directory that systemd made."""
    mcfd.do("mv /etc/mcfd/secrets/vault_keys /root/")
    assert mcfd.run("systemctl restart mcfd").returncode != 0
    told = mcfd.journal("-n", "8", "-o", "cat")
    assert "secret vault_keys: is not in /etc/mcfd/secrets;" in told
    assert "systemctl restart mcfd" in told
    assert "/run/credentials" not in told
    mcfd.do("mv /root/vault_keys /etc/mcfd/secrets/ && systemctl start mcfd")


def test_a_changed_secret_counts_after_the_restart(mcfd):
    """The daemon keeps the secrets of its start; `systemctl restart` gives it the new ones."""
    change = "mcfd keygen > /tmp/new && cat /etc/mcfd/secrets/ops_token > /tmp/old"
    mcfd.do(f"{change} && cat /tmp/new > /etc/mcfd/secrets/ops_token")
    assert "the ops token is missing or wrong" in mcfd.run("mcfd match 1").stderr
    mcfd.do("systemctl reload mcfd")
    assert "the ops token is missing or wrong" in mcfd.run("mcfd match 1").stderr
    mcfd.do("systemctl restart mcfd")
    assert "the ops token" not in mcfd.run("mcfd match 1").stderr


def test_it_comes_back_from_a_kill(mcfd):
    """After SIGKILL systemd starts it again, and nothing is lost."""
    before = shown(mcfd, "MainPID")
    return_id = submit(mcfd, "2002")
    mcfd.until(f"mcfd show {return_id}")
    mcfd.do("systemctl kill --kill-who=main --signal=KILL mcfd")
    mcfd.until(f"test $(systemctl show mcfd -p MainPID --value) -gt {before} && {READY}")
    mcfd.until(state(return_id, "awaiting_inspection"))


def test_a_daemon_that_hangs_is_ended_by_the_watchdog(mcfd):
    """A process that does not answer any more is replaced within a minute."""
    before = shown(mcfd, "MainPID")
    mcfd.do("systemctl kill --kill-who=main --signal=STOP mcfd")
    mcfd.until(f"test $(systemctl show mcfd -p MainPID --value) -gt {before} && {READY}")
    assert "Watchdog timeout" in mcfd.journal("-n", "100")


def test_a_port_that_is_taken_for_a_minute_costs_a_minute(mcfd):
    """However often the start fails, the unit is not given up: it serves as soon as the port is free."""
    mcfd.do("systemctl stop mcfd")
    squatter = "import socket, time; s = socket.create_server(('127.0.0.1', 8080)); time.sleep(65)"
    mcfd.do(f'systemd-run --quiet --unit=squatter python3 -c "{squatter}"')
    mcfd.until("ss -tln 2>/dev/null | grep -q :8080 || systemctl is-active squatter")
    mcfd.run("systemctl start mcfd", timeout=90)
    mcfd.until("! systemctl is-active --quiet squatter")
    mcfd.until(READY)
    assert "the port is taken" in mcfd.journal("-o", "cat")


def test_whoever_holds_the_state_directory_for_a_while_delays_the_start(mcfd):
    """A command that works without the daemon when that starts does not keep it down."""
    mcfd.do("systemctl stop mcfd")
    mcfd.do("systemd-run --quiet --unit=holder flock --no-fork /var/lib/mcfd/mcfd.lock sleep 8")
    mcfd.run("systemctl start mcfd", timeout=90)
    mcfd.until(READY)
    assert "another mcfd" in mcfd.journal("-o", "cat")


def test_the_journal_knows_how_grave_a_line_is(mcfd):
    """Warnings and errors of mcfd are the journal's, and every line of the daemon is JSON."""
    mcfd.write("/etc/mcfd/config.yaml", "shops: {}")
    mcfd.run("systemctl restart mcfd")
    mcfd.write("/etc/mcfd/config.yaml", SANDBOX + "retention: {labels: 1d}\n")
    mcfd.do("systemctl restart mcfd")
    mcfd.until(READY)
    lines = [json.loads(line) for line in mcfd.journal("-o", "json").splitlines()]
    ours = [line for line in lines if line.get("_COMM") == "mcfd" and line["MESSAGE"].startswith("{")]
    expected = {"debug": "7", "info": "6", "warning": "4", "error": "3"}
    assert {(json.loads(line["MESSAGE"])["level"], line["PRIORITY"]) for line in ours} <= set(expected.items())
    assert "public_url: is missing" in mcfd.journal("--priority=err", "-o", "cat")


def test_a_stop_is_quick_and_clean(mcfd):
    """`systemctl stop` ends with success, and leaves one file of the database."""
    mcfd.until(READY)
    mcfd.do("time systemctl stop mcfd", timeout=10)
    assert (shown(mcfd, "Result"), shown(mcfd, "ExecMainStatus")) == ("success", "0")


def test_a_backup_is_restored_twice_in_a_row(mcfd):
    """The documented lines put a copy in the database's place, as often as one likes, also over a log left by a kill."""
    return_id = submit(mcfd, "2003")
    mcfd.until(state(return_id, "awaiting_inspection"))
    mcfd.do("".join(blocks("**Backup.**")))
    mcfd.do("systemctl start mcfd-backup.service")
    assert mcfd.do("stat -c '%a %U' /var/backups/mcfd/*").split() == ["600", "root"]
    assert mcfd.run("mcfd backup /root/mine.db && test -s /root/mine.db").returncode == 0
    for order in ("2004", "2005"):
        lost = submit(mcfd, order)
        mcfd.until(f"mcfd show {lost}")
        mcfd.do("systemctl kill --kill-who=main --signal=KILL mcfd")
        mcfd.do(blocks("**Restore.**")[0])
        mcfd.until(READY)
        mcfd.do(f"mcfd show {return_id}")
        assert "sound" in mcfd.run("mcfd doctor").stdout
        assert mcfd.do("sqlite3 -readonly /var/lib/mcfd/mcfd.db 'PRAGMA integrity_check'").strip() == "ok"


def test_an_upgrade_keeps_everything(mcfd):
    """The documented lines install the new source, its unit included, and the daemon goes on with its returns."""
    return_id = submit(mcfd, "2006")
    mcfd.until(state(return_id, "awaiting_inspection"))
    for block in blocks("**Upgrade.**"):
        mcfd.do(f"cd /root/mcfd\n{block}", timeout=900, **WITHOUT_NETWORK)
    mcfd.until(READY)
    mcfd.do(f"mcfd show {return_id}")


def test_it_can_be_taken_off_again(mcfd):
    """The documented lines leave no unit, no file and no user of mcfd's behind, and the backups where they were put."""
    mcfd.do("".join(blocks("**Uninstall.**")))
    left = mcfd.run(
        "find / -xdev -iname '*mcfd*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/usr/src/*'"
        " -not -path '/root/*' -not -path '/tmp/*' -not -path '/var/log/journal/*' -not -path '/var/backups/*'"
    ).stdout
    assert left == ""
    assert mcfd.run("systemctl cat mcfd").returncode != 0
