"""Several accounts in one configuration file: the form, the secret files, and each mistake in one sentence."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.load import Loaded, load
from daemon.errors import ConfigError

AMAZON = {"client_id": "amzn1.application-oa2-client.x", "label_source": "rma_page"}
FILE: dict[str, Any] = {
    "public_url": "https://returns.acme.test",
    "accounts": {
        "acme": {"amazon": dict(AMAZON), "shops": {"acme-us": {}, "acme-outlet": {}}},
        "zeta": {"amazon": dict(AMAZON), "shops": {"zeta": {}}},
    },
}
FILE["accounts"]["acme"]["shops"]["acme-outlet"] = {"order_id_templates": ["{provider_order_id}"]}
SECRETS = {
    "amazon_client_secret.acme": "canary-acme",
    "amazon_client_secret.zeta": "canary-zeta",
    "amazon_refresh_token.acme": "canary-refresh-acme",
    "amazon_refresh_token.zeta": "canary-refresh-zeta",
    **{f"loop_api_key.{shop}": f"canary-{shop}" for shop in ("acme-us", "acme-outlet", "zeta")},
    **{f"loop_webhook_secrets.{shop}": f"canary-hook-{shop}" for shop in ("acme-us", "acme-outlet", "zeta")},
    "vault_keys": base64.b64encode(bytes(32)).decode(),
    "ops_token": "canary-ops-token-0123456789",
}


def loaded(folder: Path, text: str | None = None, **secrets: str | None) -> Loaded:
    """The file, or that text, with these changes to the secret files; None removes one."""
    place = folder / "secrets"
    place.mkdir(exist_ok=True)
    for name, content in (SECRETS | {key.replace("__", "."): value for key, value in secrets.items()}).items():
        if content is not None:
            (place / name).write_text(content)
            (place / name).chmod(0o600)
    file = folder / "config.yaml"
    file.write_text(text if text is not None else yaml.safe_dump(FILE, sort_keys=False))
    return load(file, place)


def problems(folder: Path, text: str | None = None, **secrets: str | None) -> tuple[str, ...]:
    """Everything that is wrong, the directory of secrets called DIR."""
    with pytest.raises(ConfigError) as wrong:
        loaded(folder, text, **secrets)
    found = tuple(problem.replace(str(folder / "secrets"), "DIR") for problem in wrong.value.problems)
    assert "canary" not in "".join(found)
    return found


def test_accounts_have_their_own_sections_and_secrets(tmp_path):
    """Each account is read with its shops and its own secret files, without a word of warning."""
    found = loaded(tmp_path)
    assert found.warnings == ()
    assert {name: list(one.shops) for name, one in found.settings.accounts.items()} == {
        "acme": ["acme-us", "acme-outlet"],
        "zeta": ["zeta"],
    }
    assert found.settings.account_of == {"acme-us": "acme", "acme-outlet": "acme", "zeta": "zeta"}
    assert list(found.settings.shops) == ["acme-us", "acme-outlet", "zeta"]
    secrets = {name: one.amazon_client_secrets[0].get_secret_value() for name, one in found.secrets.accounts.items()}
    assert secrets == {"acme": "canary-acme", "zeta": "canary-zeta"}
    assert set(SECRETS.values()) - {SECRETS["vault_keys"]} <= set(found.secrets.values())


def test_the_short_form_is_the_account_main(tmp_path):
    """A file without accounts is one account of that name; its secret files have bare names, or end with it."""
    short = {"public_url": FILE["public_url"], "amazon": AMAZON, "shops": {"zeta": {}}}
    files = dict.fromkeys(SECRETS) | {name: SECRETS[name] for name in SECRETS if "acme" not in name}
    bare = files | {"amazon_client_secret.zeta": None, "amazon_refresh_token.zeta": None}
    for names in (
        ("amazon_client_secret", "amazon_refresh_token"),
        ("amazon_client_secret.main", "amazon_refresh_token"),
    ):
        folder = tmp_path / names[0]
        folder.mkdir()
        found = loaded(folder, yaml.safe_dump(short), **(bare | dict.fromkeys(names, "canary-main")))
        assert found.warnings == ()
        assert list(found.settings.accounts) == ["main"]
        assert found.secrets.accounts["main"].amazon_client_secrets[0].get_secret_value() == "canary-main"


LONG = yaml.safe_dump(FILE, sort_keys=False)
MISTAKES = [
    (
        LONG + "amazon: {client_id: x}\n",
        "amazon: stands beside accounts, which says the same for several; write it as accounts.NAME.amazon (line 18)",
    ),
    (
        LONG + "shops: {other: {}}\n",
        "shops: stands beside accounts, which says the same for several; write it as accounts.NAME.shops (line 18)",
    ),
    ("public_url: https://r.acme.test\naccounts: {}\n", "accounts: is empty; write at least one (line 2)"),
    ("public_url: https://r.acme.test\naccounts:\n", "accounts: is empty; give it a value or remove the line (line 2)"),
    (
        "public_url: https://r.acme.test\naccounts: [acme]\n",
        "accounts: does not hold keys; write lines like key: value below it (line 2)",
    ),
    (
        LONG.replace("  zeta:\n    amazon", "  Zeta:\n    amazon"),
        "accounts.Zeta: is not an account name; write a-z, 0-9 and -, at most 32 characters, not starting with - (line 12)",
    ),
    (
        LONG.replace("      zeta: {}", "      acme-us: {}"),
        "accounts.zeta.shops.acme-us: is a shop of acme, too; names of shops are unique over all accounts, so rename one (line 17)",
    ),
    (LONG.replace("    shops:\n      zeta: {}\n", ""), "accounts.zeta.shops: is missing; add it (line 12)"),
    (
        LONG.replace("      zeta: {}", "      zeta: {featurs: 1}"),
        "accounts.zeta.shops.zeta.featurs: unknown key; did you mean features? (line 17)",
    ),
    (
        LONG.replace("  zeta:\n    amazon:\n", "  zeta:\n    amazon:\n      client_secret: canary\n"),
        "accounts.zeta.amazon.client_secret: unknown key; secrets are files, write it into the file amazon_client_secret.zeta (line 14)",
    ),
    (LONG + "label_source: auto\n", None),
]


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_each_mistake_is_one_sentence(tmp_path, text, problem):
    """It names the place and the line, and what to do."""
    found = problems(tmp_path, text)
    if problem is None:
        assert len(found) == 1
        assert found[0].startswith("label_source: unknown key; known here: public_url, listen, ")
    else:
        assert problem in found


def test_secrets_belong_to_one_account(tmp_path):
    """A bare name is nobody's where no account is main; a token of two is one seller's; what is missing is named."""
    (tmp_path / "less").mkdir()
    (warning,) = loaded(tmp_path / "less", amazon_client_secret__zeta=None).warnings
    assert warning.startswith("secret amazon_client_secret.zeta: is not in ")
    assert warning.endswith(", or run `mcfd settings set amazon_client_secret.zeta`")
    found = problems(tmp_path, amazon_refresh_token__zeta="canary-refresh-acme")
    what = "is the token of acme, too; put the shops of one seller into one account"
    assert found == (f"secret amazon_refresh_token.zeta: {what}",)
    (warning,) = loaded(tmp_path, amazon_client_secret="canary").warnings
    assert warning.startswith(
        "secret amazon_client_secret: is not a secret that mcfd knows; did you mean amazon_client"
    )
    (tmp_path / "again").mkdir()
    (warning,) = loaded(tmp_path / "again", amazon_refresh_token__zeta=None).warnings
    assert warning.endswith("Amazon is not asked anything until `mcfd authorize amazon --account zeta` is done")


def test_a_key_of_aws_serves_all_accounts_or_one(tmp_path):
    """The bare files are everybody's; those that end with a name are that account's alone."""
    both = {"aws_access_key_id": "AKIA1", "aws_secret_access_key": "canary-1"}
    own = {"aws_access_key_id__zeta": "AKIA2", "aws_secret_access_key__zeta": "canary-2"}
    accounts = loaded(tmp_path, **both, **own).secrets.accounts
    known = {name: one.aws_access_key_id and one.aws_access_key_id.get_secret_value() for name, one in accounts.items()}
    assert known == {"acme": "AKIA1", "zeta": "AKIA2"}
