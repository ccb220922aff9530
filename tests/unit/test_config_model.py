from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from config.amazon import MARKETPLACES, Amazon
from config.fields import Address
from config.model import Settings
from config.secret_files import AccountSecrets
from config.shop import Reason, Rule, Shop


def settings(**changes: Any) -> Settings:
    """The least settings, with these keys changed."""
    return Settings.model_validate(
        {"public_url": "https://a.test", "amazon": {"client_id": "c"}, "shops": {"acme": {}}} | changes
    )


def amazon(**changes: Any) -> Amazon:
    """The least seller account, with these keys changed."""
    return Amazon.model_validate({"client_id": "c"} | changes)


def shop(**changes: Any) -> Shop:
    """A shop with these keys changed."""
    return Shop.model_validate(changes)


def secrets(return_service_id: str | None = None) -> AccountSecrets:
    """An account's secrets with or without a Return Service ID."""
    return AccountSecrets(
        amazon_client_secrets=(SecretStr("s"),),
        amazon_return_service_id=SecretStr(return_service_id) if return_service_id else None,
    )


@pytest.mark.parametrize(
    ("changes", "effective"),
    [
        ({}, "https://sellingpartnerapi-na.amazon.com"),
        ({"region": "eu", "marketplace_id": "A1PA6795UKMFR9"}, "https://sellingpartnerapi-eu.amazon.com"),
        ({"region": "fe", "marketplace_id": "A1VC38T7YXB528"}, "https://sellingpartnerapi-fe.amazon.com"),
        ({"region": "eu", "marketplace_id": "NEW"}, "https://sellingpartnerapi-eu.amazon.com"),
        ({"endpoint": "http://127.0.0.1:9000/"}, "http://127.0.0.1:9000"),
    ],
)
def test_sp_api_url(changes: dict[str, str], effective: str) -> None:
    """The region decides the host of SP-API unless it is overridden."""
    assert amazon(**changes).sp_api_url == effective


@pytest.mark.parametrize(
    ("region", "marketplace", "page"),
    [
        ("na", "ATVPDKIKX0DER", "https://sellercentral.amazon.com/apps/authorize/consent"),
        ("na", "A2EUQ1WTGCTBG2", "https://sellercentral.amazon.ca/apps/authorize/consent"),
        ("na", "NEW", "https://sellercentral.amazon.com/apps/authorize/consent"),
        ("eu", "A1F83G8C2ARO7P", "https://sellercentral-europe.amazon.com/apps/authorize/consent"),
        ("fe", "A1VC38T7YXB528", "https://sellercentral.amazon.co.jp/apps/authorize/consent"),
        ("fe", "A39IBJ37TRP1C6", "https://sellercentral.amazon.com.au/apps/authorize/consent"),
    ],
)
def test_consent_page(region: str, marketplace: str, page: str) -> None:
    """The seller authorizes the application in the Seller Central of the marketplace."""
    assert amazon(region=region, marketplace_id=marketplace).consent_page == page


def test_overridden_consent_page_keeps_its_query() -> None:
    """A draft application is authorized with ?version=beta, which is not lost."""
    page = "https://sellercentral.amazon.com/apps/authorize/consent?version=beta"
    assert amazon(consent_url=page).consent_page == page


def test_lwa_url() -> None:
    """Tokens are traded at Amazon's one URL unless it is overridden."""
    assert amazon().lwa_url == "https://api.amazon.com/auth/o2/token"
    assert amazon(lwa_endpoint="http://localhost:1/auth/o2/token").lwa_url == "http://localhost:1/auth/o2/token"


@pytest.mark.parametrize(
    ("source", "key", "file", "in_use"),
    [
        ("auto", None, None, "rma_page"),
        ("auto", "RS1", None, "amazon_shipping"),
        ("auto", None, "RS1", "amazon_shipping"),
        ("rma_page", "RS1", "RS1", "rma_page"),
        ("amazon_shipping", None, "RS1", "amazon_shipping"),
    ],
)
def test_label_source_in_use(source: str, key: str | None, file: str | None, in_use: str) -> None:
    """`auto` buys labels as soon as there is a Return Service ID, wherever it is written."""
    assert amazon(label_source=source, return_service_id=key).label_source_in_use(secrets(file)) == in_use


@pytest.mark.parametrize(("key", "file", "in_use"), [(None, None, None), (" A ", None, "A"), (None, "B", "B")])
def test_return_service_id_in_use(key: str | None, file: str | None, in_use: str | None) -> None:
    """The Return Service ID comes from the key or from the file, trimmed."""
    found = amazon(return_service_id=key).return_service_id_in_use(secrets(file))
    assert (found and found.get_secret_value()) == in_use


@pytest.mark.parametrize("length", [1, 128])
def test_return_service_id_is_opaque(length: int) -> None:
    """Any printable text from 1 to 128 characters is a Return Service ID."""
    found = amazon(return_service_id="~" * length).return_service_id
    assert found is not None
    assert found.get_secret_value() == "~" * length


def test_an_account_has_the_currency_of_its_marketplace() -> None:
    """Known for every marketplace of Amazon's table; US dollars for one that is not in it, as labels are for the US."""
    found = {
        country: amazon(marketplace_id=name, region=home).currency for name, (country, home) in MARKETPLACES.items()
    }
    assert [country for country, currency in found.items() if currency == "USD"] == ["US"]
    assert (found["CA"], found["DE"], found["IE"], found["UK"]) == ("CAD", "EUR", "EUR", "GBP")
    assert amazon(marketplace_id="ANEWONE").currency == "USD"


def test_marketplaces_have_one_region() -> None:
    """Every known marketplace is accepted with its region and with no other."""
    for marketplace, (country, home) in MARKETPLACES.items():
        assert amazon(marketplace_id=marketplace, region=home).country == country
        for region in {"na", "eu", "fe"} - {home}:
            with pytest.raises(ValidationError):
                amazon(marketplace_id=marketplace, region=region)


@pytest.mark.parametrize(
    ("destinations", "choice", "effective"),
    [
        ([], "auto", "hold"),
        ([6021], "auto", "refuse"),
        ([6021], "hold", "hold"),
        ([], "refuse", "refuse"),
    ],
)
def test_unmatched(destinations: list[int], choice: str, effective: str) -> None:
    """Without destinations an unmatched request may be another provider's, so `auto` holds it."""
    assert shop(destinations=destinations, on_unmatched=choice).unmatched == effective


def test_ids_of_loop_are_text() -> None:
    """Ids may be written as numbers or in quotes, and are text inside."""
    found = shop(destinations=[6021, "6022"], only_returns=[58120031])
    assert (found.destinations, found.only_returns) == (("6021", "6022"), ("58120031",))


def test_sku_map_has_one_shape() -> None:
    """A plain SKU is a bundle of one, and blanks around a SKU are none of it."""
    found = shop(sku_map={" A ": " B ", "SET": {"C": 1, "D": 2}}).sku_map
    assert found == {"A": {"B": 1}, "SET": {"C": 1, "D": 2}}


def test_written_conditions_and_grades_go_over_the_defaults() -> None:
    """Changing one condition leaves the others as they were."""
    found = shop(
        verdict={"conditions": {"Defective": "process"}},
        grades={"Defective": {"grade": "junk", "disposition": "recycle"}},
    )
    plain = Shop()
    assert found.verdict.conditions == {**plain.verdict.conditions, "Defective": "process"}
    assert {name: grade for name, grade in found.grades.items() if name != "Defective"} == {
        name: grade for name, grade in plain.grades.items() if name != "Defective"
    }
    assert found.grades["Defective"].disposition == "recycle"


@pytest.mark.parametrize(
    ("condition", "grade", "title", "disposition"),
    [
        ("Sellable", "grade_a", "Grade A", "back_to_stock"),
        ("Defective", "grade_d", "Grade D", "resale_hold"),
        ("CustomerDamaged", "grade_d", "Grade D", "resale_hold"),
        ("CarrierDamaged", "grade_c", "Grade C", "resale_hold"),
        ("FulfillerDamaged", "grade_c", "Grade C", "resale_hold"),
        ("missing", "missing", "Missing", "missing"),
    ],
)
def test_default_grades(condition: str, grade: str, title: str, disposition: str) -> None:
    """Each finding has a grade, its built-in title, and a disposition."""
    found = Shop().grades[condition]
    assert (found.grade, found.title, found.disposition) == (grade, title, disposition)


def test_title_of_a_grade() -> None:
    """A grade's title is the built-in one unless another is written."""
    grades = {
        "Sellable": {"grade": "incorrect_item", "disposition": "donate"},
        "Defective": {"grade": "junk", "title": "For parts", "disposition": "donate"},
    }
    found = shop(grades=grades).grades
    assert (found["Sellable"].title, found["Defective"].title) == ("Incorrect item", "For parts")


@pytest.mark.parametrize(("text", "cents"), [("20.00", 2000), ("0.5", 50), ("7", 700), ("19.99", 1999)])
def test_highest_value_of_a_rule(text: str, cents: int) -> None:
    """A price is exact, and known in cents."""
    rule = Rule.model_validate({"condition": "Defective", "max_value": text, "then": "process"})
    assert (rule.max_value, rule.max_value_cents) == (Decimal(text), cents)


def test_rule_without_a_value() -> None:
    """A rule fits every SKU, reason and price that it does not name."""
    rule = Rule.model_validate({"condition": "*", "then": "flag"})
    assert (rule.sku, rule.reason, rule.max_value, rule.max_value_cents) == ("*", "*", None, None)


def test_reasons_are_looked_up_folded() -> None:
    """Texts of Loop's are compared trimmed and without case; what is not named is any."""
    line = {"parent": " Defective", "reason": "Seam came APART ", "code": "CR-DEFECTIVE"}
    assert Reason.model_validate(line).key == ("defective", "seam came apart")
    assert Reason.model_validate({"reason": "Straße", "code": "X"}).key == ("", "strasse")


def test_templates_keep_their_order() -> None:
    """Templates may hold text and every placeholder, and doubled braces are text."""
    templates = ["{prefix}-{order_number}", "{{x}}{order_name_bare}", "{provider_order_id}", "{order_name}"]
    assert list(shop(order_id_templates=templates).order_id_templates) == templates


@pytest.mark.parametrize(
    ("text", "host", "port", "local"),
    [
        ("0.0.0.0:8080", "0.0.0.0", 8080, False),
        ("127.0.0.1:0", "127.0.0.1", 0, True),
        ("[::1]:9108", "::1", 9108, True),
        ("[::]:80", "::", 80, False),
        ("localhost:1", "localhost", 1, True),
        ("mcfd-1.internal:65535", "mcfd-1.internal", 65535, False),
    ],
)
def test_addresses(text: str, host: str, port: int, *, local: bool) -> None:
    """host:port is read, written back the same, and known to be local or not."""
    address = settings(listen={"public": text, "ops": "127.0.0.1:7"}).listen.public
    assert (address, str(address), address.is_local) == (Address(host, port), text, local)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:9108", "http://127.0.0.1:9108"),
        ("[::1]:9108", "http://[::1]:9108"),
        ("0.0.0.0:9108", "http://127.0.0.1:9108"),
        ("[::]:9108", "http://[::1]:9108"),
        ("[0:0::0]:9108", "http://[::1]:9108"),
        ("localhost:1", "http://localhost:1"),
    ],
)
def test_where_the_command_line_finds_a_listener(text: str, url: str) -> None:
    """The URL of an address has brackets around IPv6, and a wildcard is reached on this machine."""
    assert settings(listen={"ops": text}).listen.ops.url == url


def test_settings_can_be_read_again() -> None:
    """Settings taken apart and put together again are the same, addresses included."""
    listen = settings(listen={"public": "[::1]:80"}).listen
    assert settings(listen={"public": listen.public, "ops": listen.ops}).listen == listen


def test_both_listeners_on_port_zero() -> None:
    """Port 0 is two different ports, so both listeners may have it."""
    listen = settings(listen={"public": "127.0.0.1:0", "ops": "127.0.0.1:0"}).listen
    assert listen.public == listen.ops


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://a.test/", "https://a.test"),
        ("https://a.test/mcfd/", "https://a.test/mcfd"),
        ("https://a.test:8443", "https://a.test:8443"),
        ("HTTPS://A.Test:443/Mcfd", "https://a.test/Mcfd"),
        ("http://LOCALHOST:80", "http://localhost"),
        ("https://a.test:80", "https://a.test:80"),
        ("https://xn--bcher-kva.test", "https://xn--bcher-kva.test"),
        ("https://192.0.2.1", "https://192.0.2.1"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:1", "http://[::1]:1"),
    ],
)
def test_urls(written: str, kept: str) -> None:
    """A base URL is kept without its last slash; http is for this machine alone."""
    assert settings(public_url=written).public_url == kept


def test_sections_left_empty_have_their_defaults() -> None:
    """A section whose keys are all commented out is the same as none."""
    empty = settings(timings=None, log=None, retention=None, listen=None, store=None, shops={"acme": None})
    assert empty == settings()


def test_store_path() -> None:
    """The database's path is a Path, absolute."""
    assert settings(store={"path": "/srv/x.db"}).store.path == Path("/srv/x.db")


def test_settings_are_frozen() -> None:
    """Nobody changes a setting while mcfd runs."""
    found = settings()
    with pytest.raises(ValidationError):
        found.attempts = 9  # type: ignore[misc]
    with pytest.raises(ValidationError):
        found.shops["acme"].api_url = "x"  # type: ignore[misc]


def _models(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    def within(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            _models(annotation, seen)
        for part in getattr(annotation, "__args__", ()):
            within(part)

    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            within(field.annotation)
    return seen


@pytest.mark.parametrize("model", sorted(_models(Settings, set()), key=lambda model: model.__name__))
def test_every_field_explains_itself(model: type[BaseModel]) -> None:
    """Under each field stand its meaning and, where it has one, its default with the reason."""
    for name, field in model.model_fields.items():
        assert field.description, name
        plain = field.default is not None and isinstance(field.default, str | int | float | Address | Path | tuple)
        if plain and not field.is_required():
            assert "Default" in field.description, name
