import base64
import re
import secrets
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from config.example import example
from config.load import load
from config.model import SellerAccount, Settings
from config.plain_words import sections

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


def write_secrets(directory: Path) -> Path:
    """The secret files that the example's last section names, freshly made."""
    files = {
        "amazon_client_secret": secrets.token_urlsafe(),
        "amazon_refresh_token": secrets.token_urlsafe(),
        "amazon_return_service_id": secrets.token_urlsafe(),
        "loop_api_key.acme": secrets.token_urlsafe(),
        "loop_webhook_secrets.acme": secrets.token_urlsafe(),
        "easypost_api_key": secrets.token_urlsafe(),
        "easypost_webhook_secret": secrets.token_urlsafe(),
        "vault_keys": base64.b64encode(secrets.token_bytes(32)).decode(),
        "ops_token": secrets.token_urlsafe(),
        "aws_access_key_id": secrets.token_urlsafe(),
        "aws_secret_access_key": secrets.token_urlsafe(),
    }
    for name, content in files.items():
        (directory / name).write_text(content)
        (directory / name).chmod(0o600)
    return directory


def test_the_example_is_made_of_the_fields() -> None:
    """What the example says of a key is what its field says, and its value is the field's default: `make example`."""
    assert EXAMPLE.read_text() == example()


def test_example_says_the_defaults(tmp_path: Path) -> None:
    """Copying the example changes nothing: each of its values is the default."""
    loaded = load(EXAMPLE, write_secrets(tmp_path))
    least = {
        "public_url": "https://returns.example.com",
        "amazon": {"client_id": "amzn1.application-oa2-client.example"},
        "shops": {"acme": {}},
    }
    assert loaded.settings == Settings.model_validate(least)


def test_example_reminds_of_what_is_still_to_be_written(tmp_path: Path) -> None:
    """Whoever runs the example as it is learns which two values are not theirs."""
    warnings = load(EXAMPLE, write_secrets(tmp_path)).warnings
    assert [warning.split(";")[0] for warning in warnings] == [
        "public_url: is the example's",
        "amazon.client_id: is the example's",
    ]


def test_example_names_the_secret_files(tmp_path: Path) -> None:
    """Each secret file that mcfd reads is in the example."""
    text = EXAMPLE.read_text()
    for path in write_secrets(tmp_path).iterdir():
        assert re.search(rf"^#   {re.escape(path.name)} ", text, re.MULTILINE), path.name


def test_every_key_is_in_the_example() -> None:
    """No knob is hidden: each field of each section stands in the example."""
    text = EXAMPLE.read_text()
    for home, section in sections():
        for name in section.model_fields:
            assert re.search(rf"(?<![\w.]){name}\b", text), f"{home}.{name}"


def _written_keys(value: Any, model: type[BaseModel], home: str = "") -> set[str]:
    keys = set()
    for name, below in value.items():
        keys.add(f"{home}{name}")
        annotation = model.model_fields[name].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(below, dict):
            keys |= _written_keys(below, annotation, f"{home}{name}.")
    return keys


def test_every_section_is_written_out() -> None:
    """The example leaves out no key of a section, so that it can be copied and changed."""
    document = yaml.safe_load(EXAMPLE.read_text())
    (shop,) = document["shops"].values()
    own = {key: document.pop(key) for key in SellerAccount.model_fields}
    written = _written_keys(document, Settings) | _written_keys(own, SellerAccount) | {"accounts"}
    shop_model = dict(sections())["shops.NAME"]
    written |= {f"shops.NAME.{key}" for key in _written_keys(shop, shop_model)}
    for home, section in sections():
        if "[]" in home or home in {"amazon.limits.NAME", "shops.NAME.grades.NAME"}:
            continue
        for name in section.model_fields:
            assert f"{home}.{name}".removeprefix(".") in written


TABLE_ENTRIES = {"acme", "Sellable", "Defective", "CustomerDamaged", "CarrierDamaged", "FulfillerDamaged", "missing"}


def test_every_key_has_a_comment() -> None:
    """Right above each key stands what it means; the entries of a table are explained together."""
    above = "# "
    for line in EXAMPLE.read_text().splitlines():
        key = re.match(r" *(\w+):", line)
        if key and key[1] not in TABLE_ENTRIES | {"store"}:
            assert above.lstrip().startswith("#"), line
        above = line


def test_report_transit_is_explained_with_both_sides() -> None:
    """Whoever changes report_transit reads of the pay-out on in_transit and of the expiry after 28 days."""
    text = EXAMPLE.read_text()
    comment = text[text.index("# Which progress") : text.index("report_transit:")]
    assert "in_transit" in comment
    assert "28 days" in comment
