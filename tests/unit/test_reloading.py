"""Which changes of the configuration are taken over at once, and which wait for a restart."""

import asyncio
from types import SimpleNamespace

import pytest

from adapters.host.metrics import PrometheusMetrics
from adapters.host.systemd import Notifier
from config.load import Loaded
from config.model import Settings
from config.secret_files import AccountSecrets, Secrets
from daemon.app.app import App
from daemon.app.live_config import Current
from daemon.app.reloading import Change, Reloader, change
from daemon.errors import ConfigError, StoreUnavailable
from tests.support.virtual_time import FakeClock

FILE = {
    "public_url": "https://returns.example.com",
    "amazon": {"client_id": "amzn1.application-oa2-client.x"},
    "shops": {"acme": {"destinations": [1]}, "zeta": {}},
}
SECRETS = {
    "loop_api_keys": {"acme": "a", "zeta": "z"},
    "loop_webhook_secrets": {"acme": ("w",), "zeta": ()},
    "vault_keys": ("k",),
    "ops_token": "o",
}


def loaded(file=FILE, **secrets) -> Loaded:
    """A configuration as it is loaded; secrets of Amazon are those of the only account."""
    settings = Settings.model_validate(file)
    of_amazon = {name: secrets.pop(name) for name in [*secrets] if name in AccountSecrets.model_fields}
    accounts = {name: {"amazon_client_secrets": ("first",)} | of_amazon for name in settings.accounts}
    return Loaded(settings, Secrets.model_validate(SECRETS | {"accounts": accounts} | secrets), ())


def found(file=FILE, **secrets) -> Change:
    """What a reload of that finds."""
    return change(Current(loaded()), loaded(file, **secrets))


def test_nothing_changed():
    """The same files change nothing."""
    assert (found().taken, found().waiting) == ((), ())


def test_shops_policies_and_the_log_are_taken_over():
    """A shop's rules and the log level are in effect at once; how its connection was opened is not."""
    acme = {"destinations": [1, 2], "verdict": {"missing": "process"}, "grade_processor": "a@b.example"}
    new = found(FILE | {"log": {"level": "debug"}, "shops": FILE["shops"] | {"acme": acme}})
    assert new.taken == ("shops.acme.destinations", "shops.acme.verdict.missing", "log.level") or set(new.taken) == {
        "log.level",
        "shops.acme.destinations",
        "shops.acme.verdict.missing",
    }
    assert new.waiting == ("shops.acme.grade_processor",)
    assert new.settings.shops["acme"].destinations == ("1", "2")
    assert new.settings.shops["acme"].grade_processor == "mcfd@example.com"
    assert new.settings.log.level == "debug"


def test_everything_else_waits():
    """Ports, timings, the account, new shops and shops taken away are told, and stay as they were."""
    file = FILE | {
        "timings": {"return_poll": "9m"},
        "amazon": FILE["amazon"] | {"label_source": "rma_page"},
        "shops": {"acme": FILE["shops"]["acme"], "newcomer": {}},
    }
    keys = {"acme": "a", "newcomer": "n"}
    new = found(file, loop_api_keys=keys, loop_webhook_secrets={"acme": ("w",), "newcomer": ()})
    assert set(new.waiting) == {"timings.return_poll", "amazon.label_source", "shops.zeta", "shops.newcomer"}
    assert new.taken == ()
    assert new.settings == loaded().settings
    assert new.secrets == loaded().secrets


def test_secrets_are_taken_over_by_name():
    """Amazon's and Loop's secrets are in effect at once; vault keys and the ops token wait; no value is told."""
    new = found(
        amazon_client_secrets=("second", "first"),
        amazon_refresh_token="r",
        loop_api_keys={"acme": "other", "zeta": "z"},
        vault_keys=("k2", "k"),
        ops_token="o2",
    )
    assert set(new.taken) == {
        "secret amazon_client_secrets",
        "secret amazon_refresh_token",
        "secret loop_api_keys.acme",
    }
    assert set(new.waiting) == {"secret vault_keys", "secret ops_token"}
    current = Current(loaded())
    account = current.accounts["main"]
    client_secrets = account.client_secrets
    current.take(new.settings, new.secrets)
    assert client_secrets == ["second", "first"]
    assert (account.refresh_token(), current.loop_api_key("acme")) == ("r", "other")
    assert current.secrets.ops_token.get_secret_value() == "o"


@pytest.mark.parametrize("failure", [ConfigError(["shops: is wrong"]), RuntimeError("a bug")])
async def test_a_failed_reload_changes_nothing_and_ends_nothing(failure):
    """The old configuration stays, the metric says so, and the next reload is tried all the same."""
    taken: list[Change] = []
    answers: list[Loaded | Exception] = [failure, loaded()]
    metrics, clock, stop = PrometheusMetrics("1"), FakeClock(), asyncio.Event()

    def read() -> Loaded:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def take_over(found: Change) -> None:
        taken.append(found)

    def successful() -> float | None:
        return metrics.registry.get_sample_value("mcfd_config_last_reload_successful")

    reloader = Reloader(
        Current(loaded()), read, take_over, clock=clock, notifier=Notifier(None, clock), metrics=metrics
    )
    running = asyncio.create_task(reloader.run(stop))
    reloader.ask()
    while len(answers) == 2 or successful() == 1:
        await asyncio.wait([running], timeout=0.001)
    assert (taken, successful()) == ([], 0)
    reloader.ask()
    while not taken:
        await asyncio.wait([running], timeout=0.001)
    stop.set()
    await running
    assert successful() == 1


async def test_a_reload_is_done_though_the_store_cannot_be_written():
    """Settings, secrets and policies are in effect, and what was parked may go: that is no failed reload."""

    async def read_credentials() -> None:
        raise StoreUnavailable("the disk is full")

    unparked: list[bool] = []
    vendors = SimpleNamespace(unpark=lambda: unparked.append(True))
    clock = FakeClock()
    app = App(loaded(), clock=clock, notifier=Notifier(None, clock), watchdog=None)
    new = found(amazon_client_secrets=("second", "first"))
    await app._take_over(SimpleNamespace(vendors=vendors, read_credentials=read_credentials), new)
    assert unparked == [True]
    assert app._current.accounts["main"].client_secrets == ["second", "first"]
