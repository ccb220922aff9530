"""Credentials and mappings that the store keeps: sealed, after the files, used at once where that is possible."""

from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from adapters.host.vault import Vault
from adapters.sqlite.store import open_store
from config.load import Loaded
from config.model import Settings
from config.secret_files import Secrets
from daemon.app.kept_settings import StoredConfiguration
from daemon.app.live_config import Current
from daemon.errors import CredentialsRefused, OperatorError
from daemon.operations.rekeying import Rekeying
from daemon.operations.settings import KeptSettings
from daemon.ports.names import mark_of_renamed

OLD, NEW = bytes(32), bytes(31) + b"1"
FILE = {
    "public_url": "https://r.test",
    "amazon": {"client_id": "amzn1.application-oa2-client.x"},
    "shops": {"acme": {"reasons": {"map": [{"reason": "Too small", "code": "CR-FILED"}]}}, "zeta": {}},
}


def current(**filed: object) -> Current:
    """The configuration of a start; `filed` are the API keys of shops in files."""
    secrets = Secrets(
        accounts={"main": {"amazon_client_secrets": ()}},
        loop_api_keys={shop: SecretStr(str(key)) for shop, key in filed.items()},
        loop_webhook_secrets={"acme": (), "zeta": ()},
        vault_keys=(SecretStr("k"),),
        ops_token=SecretStr("o"),
    )
    return Current(Loaded(Settings.model_validate(FILE), secrets, (), {"loop_api_key.acme": "write it"}))


@pytest.fixture
async def store(tmp_path):
    """An empty store."""
    async with await open_store(tmp_path / "mcfd.db") as opened:
        yield opened


async def opened(store, config, *keys: bytes) -> KeptSettings:
    """The settings after a start."""
    settings = KeptSettings(store, Vault(keys or (OLD,)), StoredConfiguration(config))
    await settings.load(use=config.begin_with)
    return settings


def on_disk(path: Path) -> bytes:
    """Everything that the database's files hold."""
    return b"".join(file.read_bytes() for file in sorted(path.glob("mcfd.db*")))


async def test_a_credential_is_used_at_once_and_after_a_restart(store, tmp_path):
    """A key that is typed in is used without a restart, and by the next start; no file of the store shows it."""
    config = current()
    settings = await opened(store, config)
    with pytest.raises(CredentialsRefused, match="mcfd settings set loop_api_key"):
        config.loop_api_key("acme")

    answer = await settings.put("loop_api_key.acme", " canary-key \n", "somebody")

    assert config.loop_api_key("acme") == "canary-key"
    assert config.absent == {}
    assert "canary" not in str(answer)
    again = current()
    await opened(store, again)
    assert again.loop_api_key("acme") == "canary-key"
    assert b"canary-key" not in on_disk(tmp_path)


async def test_a_file_goes_before_the_store(store):
    """While the file has a key it is used, and the answer says so."""
    config = current(acme="from-file")
    settings = await opened(store, config)

    assert "secret file" in (await settings.put("loop_api_key.acme", "canary-key", "somebody")).note
    assert config.loop_api_key("acme") == "from-file"
    rows = {row.name: (row.where, bool(row.note)) for row in (await settings.listing()).settings}
    assert rows["loop_api_key.acme"] == ("file", True)
    assert rows["loop_api_key.zeta"] == ("missing", False)


async def test_several_webhook_secrets_are_kept_newest_first(store):
    """What has a line for each secret in its file may have several in the store."""
    config = current()
    settings = await opened(store, config)
    await settings.put("loop_webhook_secrets.acme", "new\nold\n", "somebody")

    assert config.webhook_secrets("acme") == [b"new", b"old"]


async def test_a_forgotten_credential_is_gone(store, tmp_path):
    """After `unset` neither the daemon nor the listing has it, and its seal is overwritten."""
    config = current()
    settings = await opened(store, config)
    await settings.put("loop_api_key.acme", "canary-key", "somebody")
    await settings.drop("loop_api_key.acme", "somebody")

    assert config.missing_key("acme")
    assert {row.where for row in (await settings.listing()).settings} == {"missing"}
    with pytest.raises(OperatorError, match="not kept"):
        await settings.drop("loop_api_key.acme", "somebody")


async def test_who_buys_labels_is_opened_at_the_start(store):
    """A Return Service ID and a first EasyPost key wait for a restart: nothing could buy with them before."""
    config = current()
    settings = await opened(store, config)
    settings.changed = noted = Changes()
    for name in ("amazon_return_service_id", "easypost_api_key"):
        assert "restart" in (await settings.put(name, "canary", "somebody")).note
    assert config.accounts["main"].label_source == "rma_page"
    assert noted.count == 2

    again = current()
    settings = await opened(store, again)
    settings.changed = Changes()
    assert again.accounts["main"].label_source == "amazon_shipping"
    assert "restart" not in (await settings.put("easypost_api_key", "another", "somebody")).note
    assert again.accounts["main"].easypost_api_key() == "another"


class Changes:
    """Counts how often the daemon was told."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("loop_api_key.nobody", "x", "is no setting"),
        ("vault_keys", "x", "is no setting"),
        ("loop_api_key.acme", " \n", "is empty"),
        ("loop_api_key.acme", "canary-1\ncanary-2", "holds 2 lines"),
        ("loop_api_key.acme", "canary\x07", "not plain ASCII"),
        ("easypost_api_key", "canary" * 1000, "characters long"),
    ],
)
async def test_what_cannot_be_a_credential_is_refused_without_showing_it(store, name, text, problem):
    """The error says what is wrong, and never quotes the value."""
    settings = await opened(store, current())

    with pytest.raises(OperatorError, match=problem) as caught:
        await settings.put(name, text, "somebody")
    assert "canary" not in str(caught.value)


async def test_a_new_vault_key_seals_them_anew(store):
    """After rekeying the newest key alone opens them; one that no key opens is missing, and nothing fails."""
    settings = await opened(store, current())
    await settings.put("loop_api_key.acme", "canary-key", "somebody")
    await settings.map_reason("acme", "", "Seam", "CR-X", "somebody")
    await Rekeying(store, Vault([NEW, OLD])).run()

    config = current()
    await opened(store, config, NEW)
    assert config.loop_api_key("acme") == "canary-key"
    assert config.kept_reasons["acme"] == {("", "seam"): "CR-X"}
    lost = current()
    await opened(store, lost, OLD)
    assert lost.missing_key("acme")


@pytest.mark.parametrize(
    ("mark", "kind", "name", "new", "renamed"),
    [
        ("settings/reasons/acme", "shop", "acme", "shoe", "settings/reasons/shoe"),
        ("settings/secret/loop_api_key.acme", "shop", "acme", "shoe", "settings/secret/loop_api_key.shoe"),
        ("settings/secret/loop_api_key.acme", "shop", "zeta", "shoe", "settings/secret/loop_api_key.acme"),
        ("settings/secret/loop_api_key.acme", "account", "acme", "shoe", "settings/secret/loop_api_key.acme"),
        ("settings/secret/easypost_api_key", "account", "main", "us", "settings/secret/easypost_api_key.us"),
        ("settings/secret/easypost_api_key.us", "account", "us", "main", "settings/secret/easypost_api_key"),
        ("settings/secret/easypost_api_key.us", "shop", "us", "eu", "settings/secret/easypost_api_key.us"),
    ],
)
def test_what_is_kept_goes_with_a_new_name(mark, kind, name, new, renamed):
    """A renamed shop or account keeps its credentials and mappings; others keep theirs."""
    assert mark_of_renamed(mark, kind, name, new) == renamed


async def test_reasons_are_mapped_at_once_after_the_file(store):
    """A mapping made here counts in the policy at once; the file's line of the same reason goes before it."""
    config = current()
    settings = await opened(store, config)
    await settings.map_reason("acme", "Defective", " Seam  came apart ", "CR-DEFECTIVE", "somebody")
    await settings.map_reason("acme", "", "too small", "CR-KEPT", "somebody")

    reasons = config.policy("acme").reasons
    assert reasons["defective", "seam came apart"] == "CR-DEFECTIVE"
    assert reasons["", "too small"] == "CR-FILED"

    text = (await settings.as_yaml()).yaml
    assert [
        line.model_dump() for line in Settings.model_validate(FILE | yaml.safe_load(text)).shops["acme"].reasons.map
    ] == [
        {"parent": None, "reason": "too small", "code": "CR-KEPT"},
        {"parent": "defective", "reason": "seam came apart", "code": "CR-DEFECTIVE"},
    ]

    await settings.map_reason("acme", "defective", "SEAM came apart", None, "somebody")
    assert ("defective", "seam came apart") not in config.policy("acme").reasons
    with pytest.raises(OperatorError, match="no such mapping"):
        await settings.map_reason("acme", "defective", "seam came apart", None, "somebody")


@pytest.mark.parametrize(
    ("shop", "reason", "code", "problem"),
    [("nobody", "x", "C", "no shop"), ("acme", " ", "C", "name a parent"), ("acme", "x", "two words", "one word")],
)
async def test_a_mapping_that_means_nothing_is_refused(store, shop, reason, code, problem):
    """An unknown shop, no reason at all, or a code of several words is told in one sentence."""
    settings = await opened(store, current())

    with pytest.raises(OperatorError, match=problem):
        await settings.map_reason(shop, "", reason, code, "somebody")
