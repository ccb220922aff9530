import base64
import copy
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.load import Loaded, load, validate
from config.yaml_file import parse_document
from daemon.errors import ConfigError

CLIENT = "amzn1.application-oa2-client.1"
LEAST = f"""\
public_url: https://returns.acme.test
amazon:
  client_id: {CLIENT}
shops:
  acme:
"""
SERVICE_ID = "canary-service"


def write_secrets(directory: Path, **changes: str) -> Path:
    """A directory of secrets that warns of nothing."""
    files = {
        "amazon_client_secret": "canary-client",
        "amazon_refresh_token": "canary-refresh",
        "amazon_return_service_id": SERVICE_ID,
        "loop_api_key.acme": "canary-key",
        "loop_webhook_secrets.acme": "canary-hook",
        "vault_keys": base64.b64encode(bytes(32)).decode(),
        "ops_token": "canary-ops-token-0123456789",
        **changes,
    }
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_text(content)
        (directory / name).chmod(0o600)
    return directory


def load_text(tmp_path: Path, text: str | bytes, **secrets: str) -> Loaded:
    """Load a configuration of this text with good secrets."""
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path, write_secrets(tmp_path / "secrets", **secrets))


def problems(tmp_path: Path, text: str | bytes, **secrets: str) -> list[str]:
    """What is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text, **secrets)
    return list(caught.value.problems)


def with_amazon(lines: str) -> str:
    """The least configuration with these lines, from line 4 on, below `amazon`."""
    return LEAST.replace("shops:", "".join(f"  {line}\n" for line in lines.split("\n")) + "shops:")


def with_shop(lines: str) -> str:
    """The least configuration with these lines, from line 6 on, below `shops.acme`."""
    return LEAST + "".join(f"    {line}\n" for line in lines.split("\n"))


def test_least_configuration(tmp_path: Path) -> None:
    """Three values are enough, and nothing is left to warn about."""
    loaded = load_text(tmp_path, LEAST)
    assert loaded.warnings == ()
    assert loaded.settings.public_url == "https://returns.acme.test"
    assert list(loaded.settings.shops) == ["acme"]
    assert loaded.settings.timings.label_deadline == 86400
    assert loaded.secrets.loop_api_keys["acme"].get_secret_value() == "canary-key"


LISTEN = "is not host:port; write one like 127.0.0.1:9108 or [::1]:9108"
TOP = [
    ("public_url: http://returns.acme.test", "is not encrypted; write https:// (http:// only for localhost)"),
    ("public_url: returns.acme.test", "is not a URL; write one like https://returns.example.com"),
    ("public_url: https://", "is not a URL; write one like https://returns.example.com"),
    ("public_url: https://[::1", "is not a URL; write one like https://returns.example.com"),
    ("public_url: https://a b.test", "is not a URL; write one like https://returns.example.com"),
    ("public_url: https://a.test:99999", "is not a URL; write one like https://returns.example.com"),
    ("public_url: https://1.2.3", "is not a URL; write one like https://returns.example.com"),
    ("public_url: ftp://a.test", "is not a URL; write one like https://returns.example.com"),
    ("public_url: https://me:canary@a.test", "holds a user name or password; leave them out"),
    ("public_url: https://a.test/?x=1", "goes on after the path; leave out ? and # and what follows"),
    ("public_url: https://a.test/#x", "goes on after the path; leave out ? and # and what follows"),
    ("public_url: 5", "is not text; put it in quotes"),
    ("public_url:", "is empty; give it a value or remove the line"),
]


@pytest.mark.parametrize(("line", "message"), TOP)
def test_wrong_public_url(tmp_path: Path, line: str, message: str) -> None:
    """A URL that nobody could call, or that is not encrypted, is refused."""
    text = LEAST.replace("public_url: https://returns.acme.test", line)
    assert problems(tmp_path, text) == [f"public_url: {message} (line 1)"]


SECTIONS = [
    ("timings: {label_deadline: 24}", 'timings.label_deadline: "24" has no unit; write 24h, 30m, 10s'),
    ('timings: {label_deadline: "24"}', 'timings.label_deadline: "24" has no unit; write 24h, 30m, 10s'),
    ("timings: {label_deadline: 1:30}", 'timings.label_deadline: "1:30" is not a duration; write 24h, 30m, 10s'),
    (
        "timings: {label_deadline: 0s}",
        'timings.label_deadline: "0s" is out of range; write more than 0s and at most 3650d',
    ),
    ("timings: {label_deadline: soon}", 'timings.label_deadline: "soon" is not a duration; write 24h, 30m, 10s'),
    ("timings: {label_deadline: }", "timings.label_deadline: is empty; give it a value or remove the line"),
    ("timings: {label_dedline: 1h}", "timings.label_dedline: unknown key; did you mean label_deadline?"),
    (
        "timings: {label_poll_first: 1m}",
        "timings.label_poll_first: is longer than label_poll_max (30s); write at most 30s",
    ),
    (
        "timings: {label_poll_max: 10m}",
        "timings.label_poll_max: is longer than label_poll_late (5m); write at most 5m",
    ),
    (
        "timings: {label_deadline: 1m}",
        "timings.label_poll_late: is longer than label_deadline (1m); write at most 1m",
    ),
    (
        "retention: {closed_returns: 80d}",
        "retention.closed_returns: is shorter than timings.late_watch (90d); write at least 90d",
    ),
    ("timings: 5m", "timings: does not hold keys; write lines like key: value below it"),
    ("timings: [5m]", "timings: does not hold keys; write lines like key: value below it"),
    ("attempts: 0", "attempts: is too small; write 1 or more"),
    ("attempts: 2.5", "attempts: is not a whole number; write one like 8"),
    ("attempts: true", "attempts: is not a whole number; write one like 8"),
    ("attempts: 010", "attempts: is not a whole number; write one like 8"),
    ('attempts: "8"', "attempts: is not a whole number; write one like 8"),
    ("listen: {public: 8080}", f"listen.public: {LISTEN}"),
    ("listen: {public: ':8080'}", f"listen.public: {LISTEN}"),
    ("listen: {public: '::1:8080'}", f"listen.public: {LISTEN}"),
    (
        "listen: {public: '[127.0.0.1]:1'}",
        f"listen.public: {LISTEN}",
    ),
    (
        "listen: {public: '1.2.3.4:65536'}",
        f"listen.public: {LISTEN}",
    ),
    (
        "listen: {public: '1.2.3.400:80'}",
        f"listen.public: {LISTEN}",
    ),
    ("listen: {public: '0.0.0.0:9108'}", "listen.ops: is the same address as public; give it a port of its own"),
    ("listen: {public: '[::]:9108'}", "listen.ops: is the same address as public; give it a port of its own"),
    (
        "timings: {label_request_poll: 1ms}",
        "timings.label_request_poll: is out of bounds: each look is a call of Loop's 300 a minute; write 1s to 7d",
    ),
    (
        "timings: {return_poll: 200d}",
        (
            "timings.return_poll: is out of bounds: each look is four calls of Loop's 300 a minute, and reaches back 30 "
            "days; write 1s to 7d"
        ),
    ),
    (
        "timings: {http_timeout: 1ms}",
        (
            "timings.http_timeout: is out of bounds: no vendor answers faster, and none is waited for longer; write 1s to "
            "10m"
        ),
    ),
    (
        "timings: {stop_grace: 1h}",
        "timings.stop_grace: is out of bounds: mcfd.service kills after 45 s; write 500ms to 40s",
    ),
    ("listen: {public: '127.0.0.1:9108'}", "listen.ops: is the same address as public; give it a port of its own"),
    ("store: {path: mcfd.db}", "store.path: is not an absolute path of a file; write one like /var/lib/mcfd/mcfd.db"),
    ("store: {path: /}", "store.path: is not an absolute path of a file; write one like /var/lib/mcfd/mcfd.db"),
    ("store: {path: 5}", "store.path: is not a path; write one like /var/lib/mcfd/mcfd.db"),
    ("store: {path: }", "store.path: is empty; give it a value or remove the line"),
    ("log: {level: INFO}", "log.level: is none of debug, info, warning, error; did you mean info?"),
    ("log: {level: 7}", "log.level: is none of debug, info, warning, error; write one of them"),
    ("log: {format: xml}", "log.format: is none of auto, json, console; write one of them"),
    ("log: []", "log: does not hold keys; write lines like key: value below it"),
    ("loging: {level: info}", "loging: unknown key; did you mean log?"),
    ("label_deadline: 1h", "label_deadline: unknown key here; it belongs under timings"),
    ("ops_token: canary", "ops_token: unknown key; secrets are files, write it into the file ops_token"),
    ("vault_keys: [canary]", "vault_keys: unknown key; secrets are files, write it into the file vault_keys"),
    (
        "zzz: 1",
        "zzz: unknown key; known here: public_url, listen, console, store, cluster, amazon, easypost, shops, accounts, timings, attempts, retention, log, notify",
    ),
    (
        "console: {trusted_proxies: [proxy.test]}",
        "console.trusted_proxies[0]: is not an address; write one like 127.0.0.1, ::1 or 10.0.0.0/24",
    ),
    (
        "console: {hosts: ['https://mcfd.test']}",
        "console.hosts[0]: is not a host name; write one like mcfd.example.com, without https:// and port",
    ),
    (
        "console: {user_header: 'X Y'}",
        "console.user_header: is not the name of a header; write one like X-Forwarded-User",
    ),
    (
        "console: {user_header: X-Forwarded-User}",
        "console.user_header: needs a secret that the proxy sends; write a long random text into the file console_proxy_secret",
    ),
    ("log: {timings: {}}", "log.timings: unknown key here; it belongs at the top"),
    ("12: x", "[12]: is a key that is not text; put it in quotes"),
]


@pytest.mark.parametrize(("line", "problem"), SECTIONS)
def test_wrong_section(tmp_path: Path, line: str, problem: str) -> None:
    """Each slip is one line: its path, what is wrong, what to do, and where it stands."""
    (found,) = problems(tmp_path, LEAST + line)
    said, _, place = found.partition(" (line ")
    assert said == problem
    assert place in {"", "6)"}


AMAZON = [
    ("region: nah", "amazon.region: is none of na, eu, fe; did you mean na?"),
    ("region: no", "amazon.region: is none of na, eu, fe; write one of them"),
    ("region: eu", "amazon.region: the marketplace of US is not in eu; write na"),
    ("marketplace_id: A1PA6795UKMFR9", "amazon.region: the marketplace of DE is not in na; write eu"),
    ("marketplace_id: ''", "amazon.marketplace_id: is empty; give it a value or remove the line"),
    ("marketplace_id: 1", "amazon.marketplace_id: is not text; put it in quotes"),
    (
        f"application_id: {CLIENT}",
        "amazon.application_id: is an LWA client id; write it as client_id, and here amzn1.sp.solution…",
    ),
    (
        "application_id: amzn1.oa2-cs.v1.canary",
        "amazon.application_id: is a client secret and never a key; write it into the file amazon_client_secret",
    ),
    ("application_id: 'a b'", "amazon.application_id: holds a blank or something that is not plain ASCII; remove it"),
    (f"return_service_id: {'c' * 129}", "amazon.return_service_id: is 129 characters long; write at most 128"),
    ("return_service_id: ' '", "amazon.return_service_id: is empty; give it a value or remove the line"),
    ("return_service_id: canarÿ", "amazon.return_service_id: holds something that is not plain ASCII; remove it"),
    ("return_service_id: 123", "amazon.return_service_id: is not text; put it in quotes"),
    (
        "return_service_id: canary-other",
        "amazon.return_service_id: differs from the secret file amazon_return_service_id; keep one of them",
    ),
    ("on_service_not_offered: refuse", "amazon.on_service_not_offered: is none of hold, rma_page; write one of them"),
    (
        "label_source: rma",
        "amazon.label_source: is none of auto, amazon_shipping, easypost, rma_page; write one of them",
    ),
    ("endpoint: http://sandbox.test", "amazon.endpoint: is not encrypted; write https:// (http:// only for localhost)"),
    ("lwa_endpoint: x", "amazon.lwa_endpoint: is not a URL; write one like https://returns.example.com"),
    ("consent_url: http://a.test", "amazon.consent_url: is not encrypted; write https:// (http:// only for localhost)"),
    ("consent_url: https://a.test#x", "amazon.consent_url: goes on after the path; leave out ? and # and what follows"),
    ("shipping: {label_format: ZPL}", "amazon.shipping.label_format: is none of PDF, PNG; write one of them"),
    (
        "shipping: {default_parcel: {weight_g: 0}}",
        "amazon.shipping.default_parcel.weight_g: is too small; write a number above 0",
    ),
    (
        "shipping: {default_parcel: {weight_g: .inf}}",
        "amazon.shipping.default_parcel.weight_g: is not a finite number; write one like 2.5",
    ),
    (
        "shipping: {default_parcel: {weight_g: '5'}}",
        "amazon.shipping.default_parcel.weight_g: is not a number; write one like 2.5",
    ),
    (
        "shipping: {default_parcel: {weight_g: true}}",
        "amazon.shipping.default_parcel.weight_g: is not a number; write one like 2.5",
    ),
    ("shipping: {parcel: {}}", "amazon.shipping.parcel: unknown key; did you mean default_parcel?"),
    (f"rma_page: {{carrier: {'c' * 33}}}", "amazon.rma_page.carrier: is 33 characters long; write at most 32"),
    ("rma_page: {rate_cents: -1}", "amazon.rma_page.rate_cents: is too small; write 0 or more"),
    ("limits: {getRates: {rate: 0, burst: 1}}", "amazon.limits.getRates.rate: is too small; write a number above 0"),
    ("limits: {getRates: {rate: 1, burst: 0}}", "amazon.limits.getRates.burst: is too small; write 1 or more"),
    ("limits: {getRates: {rate: 1}}", "amazon.limits.getRates.burst: is missing; add it"),
    ("limits: {getRates: 5}", "amazon.limits.getRates: does not hold keys; write lines like key: value below it"),
    ("limits:", "amazon.limits: is empty; give it a value or remove the line"),
    (
        "client_secret: canary",
        "amazon.client_secret: unknown key; secrets are files, write it into the file amazon_client_secret",
    ),
    (
        "refresh_token: canary",
        "amazon.refresh_token: unknown key; secrets are files, write it into the file amazon_refresh_token",
    ),
    ("api_key: canary", "amazon.api_key: unknown key; secrets are files, write it into the file loop_api_key.SHOP"),
]


@pytest.mark.parametrize(("line", "problem"), AMAZON)
def test_wrong_amazon(tmp_path: Path, line: str, problem: str) -> None:
    """The seller account's values are checked, and no value that might be a secret is shown."""
    found = problems(tmp_path, with_amazon(line))
    said, _, place = found[0].partition(" (line ")
    assert (len(found), said) == (1, problem)
    assert place in {"4)", "2)"}
    assert "canar" not in found[0]


def test_misspelt_operation(tmp_path: Path) -> None:
    """A limit for an operation that mcfd does not call is a slip, and the nearest name is offered."""
    (found,) = problems(tmp_path, with_amazon("limits: {getRate: {rate: 1, burst: 1}}"))
    assert found.startswith("amazon.limits.getRate: is none of createFulfillmentReturn, getFulfillmentOrder, ")
    assert found.endswith("; did you mean getRates? (line 4)")


PLACEHOLDERS = "write any of {provider_order_id} {order_name} {order_name_bare} {order_number} {prefix}"
GRADES = "grade_a, grade_b, grade_c, grade_d, incorrect_item, missing, junk"
DISPOSITIONS = "back_to_stock, resale_hold, recycle, donate, missing"
SHOP = [
    ("destinatons: []", "destinatons: unknown key; did you mean destinations?"),
    ("api_key: canary", "api_key: unknown key; secrets are files, write it into the file loop_api_key.acme"),
    (
        "webhook_secrets: canary",
        "webhook_secrets: unknown key; secrets are files, write it into the file loop_webhook_secrets.acme",
    ),
    ("auto_process: true", "auto_process: unknown key here; it belongs under shops.NAME.exchanges"),
    ("then: flag", "then: unknown key here; it belongs under shops.NAME.verdict.rules[]"),
    ("api_url: http://loop.test/api", "api_url: is not encrypted; write https:// (http:// only for localhost)"),
    ("api_version: 2026-08", "api_version: is none of 2026-07, 2026-10; did you mean 2026-10?"),
    ("api_version: 2026-10-01", "api_version: is none of 2026-07, 2026-10; did you mean 2026-10?"),
    ("api_version: v1", "api_version: is none of 2026-07, 2026-10; write one of them"),
    ("destinations: 6021", "destinations: is not a list; write [a, b], or a line with - for each"),
    ("destinations:", "destinations: is empty; give it a value or remove the line"),
    ("destinations: [Amazon]", "destinations[0]: is not an id of Loop's; write its digits, like 58120031"),
    ("only_returns: [1, -2]", "only_returns[1]: is not an id of Loop's; write its digits, like 58120031"),
    ("only_returns: [true]", "only_returns[0]: is not an id of Loop's; write its digits, like 58120031"),
    ("order_id_templates: []", "order_id_templates: is empty; write at least one"),
    (
        "order_id_templates: '{order_name}'",
        "order_id_templates: is not a list; write [a, b], or a line with - for each",
    ),
    ("order_id_templates: ['{order}']", f"order_id_templates[0]: has an unknown placeholder {{order}}; {PLACEHOLDERS}"),
    ("order_id_templates: ['{}']", f"order_id_templates[0]: has an unknown placeholder {{}}; {PLACEHOLDERS}"),
    (
        "order_id_templates: ['{order_name!r}']",
        f"order_id_templates[0]: has an unknown placeholder {{order_name}}; {PLACEHOLDERS}",
    ),
    ("order_id_templates: ['{order_name']", f"order_id_templates[0]: has an unpaired brace; {PLACEHOLDERS}"),
    (
        "order_id_templates: ['1001']",
        f"order_id_templates[0]: names no part of the order, so every return would match one order; {PLACEHOLDERS}",
    ),
    (
        "order_id_templates: ['{prefix}-x']",
        "order_id_templates[0]: is only the prefix, so every return would match one order; add {order_name} or another",
    ),
    (f"order_id_prefix: {'p' * 41}", "order_id_prefix: is too long; write at most 40 characters"),
    ("order_id_prefix: 5", "order_id_prefix: is not text; put it in quotes"),
    ("sku_map: []", "sku_map: does not hold keys; write lines like key: value below it"),
    ("sku_map: {AMZ: X, 'AMZ ': Y}", "sku_map: holds AMZ twice, with blanks around it; keep one of them"),
    ("sku_map: {' ': X}", "sku_map: holds a SKU that is blank; remove it"),
    (
        "sku_map: {A: {AMZ: 1, 'AMZ ': 2}}",
        "sku_map.A: names a SKU twice, with blanks around it; add up its quantities",
    ),
    ("destinations: [0123]", "destinations[0]: is not an id of Loop's; write its digits, like 58120031"),
    ("destinations: [1:30:45]", "destinations[0]: is not an id of Loop's; write its digits, like 58120031"),
    ("destinations: [0x7B]", "destinations[0]: is not an id of Loop's; write its digits, like 58120031"),
    ("sku_map: {A: 5}", "sku_map.A: is not an Amazon SKU; write one in quotes, or {SKU: quantity} for a bundle"),
    ("sku_map: {A: {}}", "sku_map.A: is not an Amazon SKU; write one in quotes, or {SKU: quantity} for a bundle"),
    ("sku_map: {A: {B: 0}}", "sku_map.A: B has no whole quantity above 0; write {B: 1}"),
    ("sku_map: {A: {B: true}}", "sku_map.A: B has no whole quantity above 0; write {B: 1}"),
    ("sku_map: {A: {5: 1}}", "sku_map.A: holds a SKU that is not text; write it in quotes"),
    ("sku_map: {5: A}", "sku_map[5]: is a key that is not text; put it in quotes"),
    ("on_unmatched: close", "on_unmatched: is none of auto, refuse, hold; write one of them"),
    ("report_transit: no", "report_transit: is none of all, delivered, never; write one of them"),
    ("grade_processor: me", "grade_processor: is not an e-mail address; write one like mcfd@example.com"),
    ("exchanges: {auto_process: 1}", "exchanges.auto_process: is not true or false; write one of them"),
    ("exchanges: {auto_process: 'true'}", "exchanges.auto_process: is not true or false; write one of them"),
    ("reasons: {map: [{code: X}]}", "reasons.map[0]: names neither parent nor reason; add one, or set default"),
    ("reasons: {map: [{reason: R}]}", "reasons.map[0].code: is missing; add it"),
    (
        "reasons: {map: [{reason: R, code: X}, {reason: ' r', code: Y}]}",
        "reasons.map[1]: repeats map[0]; keep one of them",
    ),
    ("reasons: {map: [{reason: '', code: X}]}", "reasons.map[0].reason: is empty; give it a value or remove the line"),
    ("reasons: {map: {}}", "reasons.map: is not a list; write [a, b], or a line with - for each"),
    ("reasons: {mapp: []}", "reasons.mapp: unknown key; did you mean map?"),
    (
        "verdict: {conditions: {Sellable: ok}}",
        "verdict.conditions.Sellable: is none of process, flag, ignore; write one of them",
    ),
    ("verdict: {conditions: flag}", "verdict.conditions: does not hold keys; write lines like key: value below it"),
    ("verdict: {missing: processs}", "verdict.missing: is none of process, flag, ignore; did you mean process?"),
    ("verdict: {condition_absent: flag}", "verdict.condition_absent: is none of review, clean; write one of them"),
    ("verdict: {rules: [{then: flag}]}", "verdict.rules[0].condition: is missing; add it"),
    ("verdict: {rules: [{condition: '*'}]}", "verdict.rules[0].then: is missing; add it"),
    (
        "verdict: {rules: [{condition: '*', then: flag, max_value: 20.00}]}",
        'verdict.rules[0].max_value: is not a price in quotes; write it like "20.00"',
    ),
    (
        "verdict: {rules: [{condition: '*', then: flag, max_value: '-1'}]}",
        'verdict.rules[0].max_value: is not a price in quotes; write it like "20.00"',
    ),
    (
        "verdict: {rules: [{condition: '*', then: flag, max_value: '1e999'}]}",
        'verdict.rules[0].max_value: is not a price in quotes; write it like "20.00"',
    ),
    (
        "verdict: {rules: [{condition: '*', then: flag, max_value: '1.005'}]}",
        'verdict.rules[0].max_value: is not a price in quotes; write it like "20.00"',
    ),
    (
        "verdict: {rules: [{conditon: '*', then: flag, condition: '*'}]}",
        "verdict.rules[0].conditon: unknown key; did you mean condition?",
    ),
    (
        "grades: {Defective: {grade: grade_e, disposition: recycle}}",
        f"grades.Defective.grade: is none of {GRADES}; did you mean grade_d?",
    ),
    (
        "grades: {Defective: {grade: junk, disposition: bin}}",
        f"grades.Defective.disposition: is none of {DISPOSITIONS}; write one of them",
    ),
    (
        f"grades: {{Defective: {{grade: junk, disposition: recycle, title: {'t' * 101}}}}}",
        "grades.Defective.title: is 101 characters long; write at most 100",
    ),
]


@pytest.mark.parametrize(("line", "problem"), SHOP)
def test_wrong_shop(tmp_path: Path, line: str, problem: str) -> None:
    """The shop's values are checked one by one, down to the last list."""
    assert problems(tmp_path, with_shop(line)) == [f"shops.acme.{problem} (line 6)"]


@pytest.mark.parametrize("name", ["Acme", "-acme", "ac_me", "a" * 33, "acmé", "''", '"a\\n"'])
def test_wrong_shop_name(tmp_path: Path, name: str) -> None:
    """A name that cannot stand in a URL and in a file name is refused."""
    (found,) = problems(tmp_path, LEAST + f"  {name}: {{}}\n")
    assert found.endswith(
        ": is not a shop name; write a-z, 0-9 and -, at most 32 characters, not starting with - (line 6)"
    )


@pytest.mark.parametrize(
    ("shops", "message"),
    [
        ("shops: {}", "is empty; write at least one"),
        ("shops:", "is empty; give it a value or remove the line"),
        ("shops: [acme]", "does not hold keys; write lines like key: value below it"),
    ],
)
def test_no_shop(tmp_path: Path, shops: str, message: str) -> None:
    """Without a shop there is nothing to do."""
    text = LEAST[: LEAST.index("shops:")] + shops
    assert problems(tmp_path, text) == [f"shops: {message} (line 4)"]


def test_missing_keys(tmp_path: Path) -> None:
    """What has no default must be written; the nearest section's line is named."""
    text = "amazon:\n  region: na\nshops: {acme: {}}\n"
    assert problems(tmp_path, text) == [
        "public_url: is missing; add it",
        "amazon.client_id: is missing; add it (line 1)",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: b: c\n", "a colon where none can be; check the indentation, or quote the text (line 1, column 5)"),
        ("amazon:\n\tregion: na\n", "a tab cannot indent; use blanks (line 2, column 1)"),
        ("amazon:\n  a: 1\n b: 2\n", "this line does not fit the ones above; check the indentation (line 3, column 2)"),
        ("a: [1, 2\nb: 3\n", "a bracket, brace or comma is out of place; close each that is open (line 2, column 2)"),
        ("a: 'x\n", "a quote is not closed; close it, or quote the whole text (line 2, column 1)"),
        ("a: 1\nbc\n", "a key without a colon; write key: value (line 3, column 1)"),
        ("a: 1\n---\nb: 2\n", "a second document starts here; remove the --- line (line 2, column 1)"),
        ("a: *b\n", "an alias without an anchor; quote a text that starts with * (line 1, column 4)"),
        ("a: !b 1\n", "a tag that has no meaning here; quote a text that starts with ! (line 1, column 4)"),
        ("a: @b\n", "a character that cannot start a value; put the text in quotes (line 1, column 4)"),
        ("? [a]\n: 1\n", "a key that is itself a list or mapping; write a text (line 1, column 3)"),
        ("a: \x07\n", "holds a character that YAML does not allow; retype the text, or put it in quotes"),
        ("a: 2026-13-45\n", "holds a number or date that does not exist; put the text in quotes"),
        ("[" * 500, "is nested too deeply; start from config.example.yaml"),
        ("", "is empty; start from config.example.yaml"),
        ("# nothing\n", "is empty; start from config.example.yaml"),
        ("- a\n", "does not hold keys; start from config.example.yaml"),
        ("text", "does not hold keys; start from config.example.yaml"),
        (b"\xff\xfe", "PATH is not UTF-8 text; save it as UTF-8"),
    ],
)
def test_not_yaml(tmp_path: Path, text: str | bytes, problem: str) -> None:
    """A file that is not YAML is one problem with its line and column, in plain words."""
    found = [line.replace(str(tmp_path / "config.yaml"), "PATH") for line in problems(tmp_path, text)]
    assert found == [f"config file: {problem}"]


@settings(deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="ab:-[]{}'\"#&*!|>%@` \n\t,?1.", max_size=40))
def test_any_text_is_judged(text: str) -> None:
    """Whatever stands in the file, the answer is a mapping or a problem, never a traceback."""
    document = parse_document(text)
    assert (document.data is None) <= bool(document.problems)
    assert not any("\n" in problem for problem in document.problems)


def _paths(value: object, home: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [home, *(path for key, part in below for path in _paths(part, (*home, key)))]


EXAMPLE = yaml.safe_load((Path(__file__).parents[2] / "config.example.yaml").read_text())
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates() | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.sampled_from(_paths(EXAMPLE)), ODD)
def test_any_value_anywhere_is_judged(path: tuple[str | int, ...], value: object) -> None:
    """Whatever stands in the place of any value, the settings are valid or each problem is one line in plain words."""
    document = {"": copy.deepcopy(EXAMPLE)}
    *way, last = ("", *path)
    place: Any = document
    for step in way:
        place = place[step]
    place[last] = value
    judged, found = validate(parse_document(yaml.safe_dump(document[""])))
    assert (judged is None) == bool(found)
    for problem in found:
        assert "\n" not in problem
        assert "; " in problem
        assert "Input should" not in problem
        assert "see config.example.yaml" not in problem


def test_repeated_keys(tmp_path: Path) -> None:
    """A key that is there twice is named with both lines, at every depth."""
    text = LEAST + "    on_unmatched: hold\n    on_unmatched: hold\nattempts: 3\npublic_url: https://b.test\n"
    assert problems(tmp_path, text) == [
        "shops.acme.on_unmatched: repeats line 6; keep one (line 7)",
        "public_url: repeats line 1; keep one (line 9)",
    ]


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    """What an editor on Windows adds does no harm."""
    text = b"\xef\xbb\xbf" + LEAST.replace("\n", "\r\n").encode()
    assert load_text(tmp_path, text).settings.attempts == 8


def test_anchors_may_be_used(tmp_path: Path) -> None:
    """What two shops share can be written once."""
    text = (
        LEAST.replace("acme:", "acme: &all {on_unmatched: hold}")
        + "  bolt: *all\n  cog: {<<: *all, report_transit: never}\n"
    )
    loaded = load_text(tmp_path, text, **{"loop_api_key.bolt": "b", "loop_api_key.cog": "c"})
    assert [shop.unmatched for shop in loaded.settings.shops.values()] == ["hold"] * 3


@pytest.mark.parametrize("line", ["sku_map: &x {A: *x}", "grades: &x {Defective: *x}", "reasons: &x {map: [*x]}"])
def test_anchor_within_itself(tmp_path: Path, line: str) -> None:
    """A value that contains itself is refused like any other wrong value."""
    found = problems(tmp_path, with_shop(line))
    assert found
    assert all(problem.startswith("shops.acme.") for problem in found)


def test_missing_file(tmp_path: Path) -> None:
    """A configuration that is not there, or a directory in its place, is a problem and no traceback."""
    secrets = write_secrets(tmp_path / "secrets")
    for path, message in (
        (tmp_path / "no.yaml", "does not exist; name the file with --config"),
        (tmp_path, "is a directory; name the file in it with --config"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(path, secrets)
        assert caught.value.problems == (f"config file: {path} {message}",)


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that the system does not open is named with the system's reason."""
    path = tmp_path / "loop.yaml"
    path.symlink_to(path)
    with pytest.raises(ConfigError) as caught:
        load(path, write_secrets(tmp_path / "secrets"))
    assert str(caught.value).startswith(f"config file: {path} cannot be read (")


def test_everything_at_once(tmp_path: Path) -> None:
    """Syntax, keys, types, durations and secrets are all told in one run, in the order of the file."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "public_url: https://a.test\nattempts: x\nattempts: 0\ntimings:\n  return_poll: 5\namazon:\n  regon: na\n"
        "  client_id: x\nshops:\n  acme:\n    destinations: {}\n"
    )
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    with pytest.raises(ConfigError) as caught:
        load(path, secrets)
    assert [problem.split(";")[0].replace(str(secrets), "DIR") for problem in caught.value.problems] == [
        "attempts: repeats line 2",
        "attempts: is too small",
        'timings.return_poll: "5" has no unit',
        "amazon.regon: unknown key",
        "shops.acme.destinations: is not a list",
        "secret vault_keys: is not in DIR",
        "secret ops_token: is not in DIR",
    ]
    assert str(caught.value).split("\n") == list(caught.value.problems)


def test_values_do_not_leak_through_tracebacks(tmp_path: Path) -> None:
    """Even the whole traceback of the error, with what led to it, shows no value of the file."""
    text = with_amazon("api_key: canary-a\nreturn_service_id: [canary-b]\nregion: canary-c")
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_secrets_directory_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the secrets are where systemd says."""
    path = tmp_path / "config.yaml"
    path.write_text(LEAST)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(write_secrets(tmp_path / "secrets")))
    assert load(path, None).secrets.ops_token.get_secret_value() == "canary-ops-token-0123456789"


def test_what_systemd_did_not_hand_over_is_told_with_the_place_where_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd's copy of the secrets is of the start: the file goes beside the configuration, and mcfd is restarted."""
    path = tmp_path / "config.yaml"
    path.write_text(LEAST)
    copy = write_secrets(tmp_path / "run")
    (copy / "amazon_client_secret").unlink()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(copy))
    found = load(path, None)
    place = tmp_path / "secrets"
    advice = "write the LWA client secret of the application into it, then `systemctl restart mcfd`"
    kept = "or run `mcfd settings set amazon_client_secret`"
    warning = f"secret amazon_client_secret: is not in {place}; write the LWA client secret of the application into it"
    assert found.warnings == (f"{warning}, {kept}",)
    assert found.absent == {"amazon_client_secret": advice}


def test_argument_goes_before_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secrets directory that is named counts, wherever systemd points."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "gone"))
    assert load_text(tmp_path, LEAST).warnings == ()


@pytest.mark.parametrize("directory", [None, ""])
def test_no_secrets_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str | None) -> None:
    """Neither named nor from systemd: that is what is said, and nothing about each file."""
    path = tmp_path / "config.yaml"
    path.write_text(LEAST)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    if directory is not None:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", directory)
    with pytest.raises(ConfigError) as caught:
        load(path, None)
    assert caught.value.problems == (
        f"secrets directory: {tmp_path / 'secrets'} does not exist; make it, or name another with --secrets DIR",
    )


CONDITIONS = "Sellable, Defective, CustomerDamaged, CarrierDamaged, FulfillerDamaged"
WARNINGS = [
    (
        LEAST.replace("returns.acme.test", "returns.example.com"),
        "public_url: is the example's; write the host that Loop can reach (line 1)",
    ),
    (
        LEAST.replace("https://returns.acme.test", "http://[::1]:8080"),
        "public_url: points to this machine only; Loop and shoppers cannot reach it (line 1)",
    ),
    (
        LEAST + "listen: {ops: 0.0.0.0:9108}",
        "listen.ops: can be reached from other machines without encryption; write 127.0.0.1:9108 (line 6)",
    ),
    (
        LEAST + "listen: {ops: box:9108}",
        "listen.ops: can be reached from other machines without encryption; write 127.0.0.1:9108 (line 6)",
    ),
    (
        with_amazon("marketplace_id: A2EUQ1WTGCTBG2"),
        "amazon.marketplace_id: is CA, but labels are for the US only today; expect refusals (line 4)",
    ),
    (
        with_amazon("marketplace_id: XYZ"),
        "amazon.marketplace_id: is not in Amazon's table of marketplaces; check it for a slip (line 4)",
    ),
    (
        LEAST + "retention: {labels: 7d}",
        "retention.labels: a shopper may want to print a label for 28 days, not 7d; write 28d or more (line 6)",
    ),
    (
        with_shop("order_id_templates: ['{prefix}{order_name}']"),
        "shops.acme.order_id_templates: {prefix} stands for nothing; set order_id_prefix or take it out (line 6)",
    ),
    (
        with_shop("order_id_prefix: MCF-"),
        "shops.acme.order_id_prefix: no template uses it; write {prefix} into one or take it out (line 6)",
    ),
    (
        with_shop("verdict: {conditions: {Selable: process}}"),
        "shops.acme.verdict.conditions.Selable: is no condition known of Amazon; did you mean Sellable? (line 6)",
    ),
    (
        with_shop("verdict: {rules: [{condition: Worn, then: flag}]}"),
        f"shops.acme.verdict.rules[0].condition: is no condition known of Amazon; known are {CONDITIONS} (line 6)",
    ),
    (
        with_shop("grades: {Defectiv: {grade: junk, disposition: recycle}}"),
        "shops.acme.grades.Defectiv: is no condition known of Amazon; did you mean Defective? (line 6)",
    ),
]


@pytest.mark.parametrize(("text", "warning"), WARNINGS)
def test_warns(tmp_path: Path, text: str, warning: str) -> None:
    """What is legal and probably not meant is loaded, with a word."""
    assert load_text(tmp_path, text).warnings == (warning,)


def test_host_that_only_begins_like_this_machine(tmp_path: Path) -> None:
    """A host is this machine by its whole name."""
    assert load_text(tmp_path, LEAST.replace("returns.acme", "localhost.acme")).warnings == ()


def test_no_warnings_for_what_is_fine(tmp_path: Path) -> None:
    """Rules for units that never came, a used prefix and a local operator listener are nothing to talk about."""
    text = with_shop(
        "verdict: {rules: [{condition: missing, then: flag}, {condition: '*', sku: 'A*', then: process}]}\n"
        "order_id_prefix: MCF-\norder_id_templates: ['{prefix}{order_name_bare}']"
    )
    assert load_text(tmp_path, text + "listen: {ops: 'localhost:0', public: '[::]:0'}").warnings == ()


def test_shops_of_one_account_that_amazon_cannot_tell_apart(tmp_path: Path) -> None:
    """Each shop is told which of its templates may name an order of the other, and what to do."""
    secrets = {"loop_api_key.zeta": "canary-zeta", "loop_webhook_secrets.zeta": "canary-zeta-hook"}
    warnings = load_text(tmp_path, LEAST + "  zeta:\n", **secrets).warnings
    assert [warning.split(" may be ")[0] for warning in warnings] == [
        f"shops.{shop}.order_id_templates: {template}"
        for shop in ("acme", "zeta")
        for template in ("{order_name}", "{order_name_bare}")
    ]
    assert all("order_id_prefix" in warning and "postal code" in warning for warning in warnings)


def test_without_return_service_id(tmp_path: Path) -> None:
    """Labels without postage come with a warning when they are chosen by default, and none when they are meant."""
    said = "no Return Service ID and no EasyPost key, so labels carry no postage; write rma_page if that is meant"
    for source, warnings in (("auto", (f"amazon.label_source: {said} (line 4)",)), ("rma_page", ())):
        case = tmp_path / source
        case.mkdir()
        path, secrets = case / "config.yaml", write_secrets(case / "secrets")
        (secrets / "amazon_return_service_id").unlink()
        path.write_text(with_amazon(f"label_source: {source}"))
        assert load(path, secrets).warnings == warnings


def test_bought_labels_need_the_return_service_id(tmp_path: Path) -> None:
    """Without the id that says which service to buy, the start warns: the store may have it."""
    path, secrets = tmp_path / "config.yaml", write_secrets(tmp_path / "secrets")
    (secrets / "amazon_return_service_id").unlink()
    path.write_text(with_amazon("label_source: amazon_shipping"))
    advice = "write it into the secret file amazon_return_service_id, or run `mcfd settings set` with that name"
    warning = f"amazon.label_source: needs a Return Service ID; {advice}, and restart (line 4)"
    assert warning in load(path, secrets).warnings


def test_return_service_id_in_both_places(tmp_path: Path) -> None:
    """The same Return Service ID as a key and as a secret file is accepted."""
    assert load_text(tmp_path, with_amazon(f"return_service_id: ' {SERVICE_ID} '")).warnings == ()


def test_loaded_never_shows_a_secret(tmp_path: Path) -> None:
    """Neither repr nor str of what was loaded holds a secret, the Return Service ID included."""
    loaded = load_text(tmp_path, with_amazon(f"return_service_id: {SERVICE_ID}"))
    shown = f"{loaded!r} {loaded!s} {loaded.settings!r} {loaded.settings!s} {loaded.secrets!r} {loaded.secrets!s}"
    assert "canary" not in shown
