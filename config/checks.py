"""Checks that need the whole configuration: contradictions, and warnings about what is legal but odd."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from urllib.parse import urlsplit

from config.amazon import Amazon
from config.durations import format_duration
from config.easypost import API_URL
from config.fields import LOCAL_HOSTS
from config.model import SellerAccount, Settings
from config.order_names import shared_templates
from config.secret_files import AccountSecrets, Secrets, file_of
from config.shop import CONDITIONS, DEFAULT_GRADES, Shop
from config.yaml_file import Document, Location
from daemon.domain.durations import DAY

LOOP_EXPIRY = 28 * DAY  # a return whose label is not in transit by then expires in Loop

_NOT_AMAZONS = ("*", "missing", "not_returnable")  # other values that a rule's condition may have

_Note = tuple[Location, str]

_KEEP = "run `mcfd settings set` with that name, and restart"


def contradictions(settings: Settings, secrets: Secrets, document: Document) -> list[str]:
    """List where the file contradicts the secret files."""
    return [document.at(*problem) for problem in _contradictions(settings, secrets)]


def warnings_about(settings: Settings, secrets: Secrets, document: Document) -> list[str]:
    """List what is legal but probably not intended."""
    found = [*_about_hosts(settings), *_about_receivers(settings, secrets), *_about_retention(settings)]
    for name, account in settings.accounts.items():
        found += _below(("accounts", name), _about_account(name, account, secrets.accounts[name]))
    return [document.at(*warning) for warning in found]


def _below(place: Location, notes: Iterable[_Note]) -> Iterator[_Note]:
    for location, message in notes:
        yield (*place, *location), message


def _about_account(name: str, account: SellerAccount, secrets: AccountSecrets) -> Iterator[_Note]:
    yield from _without_key(account, secrets, partial(file_of, name))
    yield from _about_amazon(account.amazon, secrets)
    yield from _about_easypost(account, secrets)
    for shop_name, shop in account.shops.items():
        yield from _below(("shops", shop_name), _about_shop(shop))
        yield from _below(("shops", shop_name), _about_names(shop_name, account.shops))


def _contradictions(settings: Settings, secrets: Secrets) -> Iterator[_Note]:
    for name, account in settings.accounts.items():
        yield from _below(("accounts", name), _in_account(account, secrets.accounts[name], partial(file_of, name)))
    if settings.console.user_header and not secrets.console_proxy_secret:
        needs = "needs a secret that the proxy sends; write a long random text into the file console_proxy_secret"
        yield ("console", "user_header"), needs
    yield from _receivers(settings, secrets)


def _in_account(account: SellerAccount, secrets: AccountSecrets, file: Callable[[str], str]) -> Iterator[_Note]:
    amazon, from_file = account.amazon, secrets.amazon_return_service_id
    in_file = f"the secret file {file('amazon_return_service_id')}"
    if amazon.return_service_id and from_file and amazon.return_service_id != from_file:
        yield ("amazon", "return_service_id"), f"differs from {in_file}; keep one of them"


def _without_key(account: SellerAccount, secrets: AccountSecrets, file: Callable[[str], str]) -> Iterator[_Note]:
    """What buys labels needs what pays them: without it returns wait for a person. The store may have it."""
    if not secrets.easypost_api_key:
        needs = f"needs an EasyPost key; write it into the secret file {file('easypost_api_key')}, or {_KEEP}"
        if account.amazon.label_source == "easypost":
            yield ("amazon", "label_source"), needs
        for name, shop in account.shops.items():
            if shop.label_source == "easypost":
                yield ("shops", name, "label_source"), needs
    if not account.amazon.return_service_id_in_use(secrets):
        in_file = f"the secret file {file('amazon_return_service_id')}"
        if account.amazon.label_source == "amazon_shipping":
            yield ("amazon", "label_source"), f"needs a Return Service ID; write it into {in_file}, or {_KEEP}"
        for name, shop in account.shops.items():
            if shop.label_source == "amazon_shipping":
                needs = f"needs a Return Service ID; write it into {in_file}, or {_KEEP}"
                yield ("shops", name, "label_source"), needs


def _receivers(settings: Settings, secrets: Secrets) -> Iterator[_Note]:
    seen: set[str] = set()
    for index, receiver in enumerate(settings.notify):
        at = ("notify", index)
        if receiver.name in seen:
            yield (*at, "name"), f"{receiver.name} is taken by another receiver; give each a name of its own"
        seen.add(receiver.name)
        if receiver.url is None and receiver.name not in secrets.notify:
            yield (*at, "url"), f"is missing; write the address into the secret file notify_{receiver.name}"
        for shop in receiver.shops:
            if shop not in settings.shops:
                yield (*at, "shops"), f"{shop} is no shop of this configuration; known are {', '.join(settings.shops)}"


def _about_hosts(settings: Settings) -> Iterator[_Note]:
    host = urlsplit(settings.public_url).hostname or ""
    if host.endswith(".example.com"):
        yield ("public_url",), "is the example's; write the host that Loop can reach"
    elif host in LOCAL_HOSTS:
        yield ("public_url",), "points to this machine only; Loop and shoppers cannot reach it"
    if not settings.listen.ops.is_local:
        yield ("listen", "ops"), "can be reached from other machines without encryption; write 127.0.0.1:9108"


def _about_amazon(amazon: Amazon, secrets: AccountSecrets) -> Iterator[_Note]:
    if amazon.client_id.endswith(".example"):
        yield ("amazon", "client_id"), "is the example's; write the LWA client id of your application"
    if not amazon.country:
        yield ("amazon", "marketplace_id"), "is not in Amazon's table of marketplaces; check it for a slip"
    elif amazon.country != "US":
        what = f"is {amazon.country}, but labels are for the US only today; expect refusals"
        yield ("amazon", "marketplace_id"), what
    if amazon.label_source == "auto" and amazon.label_source_in_use(secrets) == "rma_page":
        what = "no Return Service ID and no EasyPost key, so labels carry no postage; write rma_page if that is meant"
        yield ("amazon", "label_source"), what


def _about_easypost(account: SellerAccount, secrets: AccountSecrets) -> Iterator[_Note]:
    key = secrets.easypost_api_key.get_secret_value() if secrets.easypost_api_key else ""
    used = "easypost" in {account.label_source_of(shop, secrets) for shop in account.shops}
    if used and key.startswith("EZTK") and account.easypost.api_url == API_URL:
        yield ("easypost",), "easypost_api_key is a test key (EZTK…): its labels are not paid for, and are held"
    if used and account.easypost.void_unused_after > 29 * DAY:
        yield ("easypost", "void_unused_after"), "USPS refunds nothing after 30 days; write 28d"


def _about_receivers(settings: Settings, secrets: Secrets) -> Iterator[_Note]:
    for index, receiver in enumerate(settings.notify):
        if receiver.kind == "slack" and receiver.url:
            what = f"whoever knows it can write into the channel; move it into the secret file notify_{receiver.name}"
            yield ("notify", index, "url"), what
    for name in sorted(secrets.notify.keys() - {receiver.name for receiver in settings.notify}):
        yield ("notify",), f"the secret file notify_{name} belongs to no receiver; remove it, or name a receiver {name}"


def _about_retention(settings: Settings) -> Iterator[_Note]:
    if settings.retention.labels < LOOP_EXPIRY:
        kept = format_duration(settings.retention.labels)
        yield ("retention", "labels"), f"a shopper may want to print a label for 28 days, not {kept}; write 28d or more"


def _about_names(name: str, shops: Mapping[str, Shop]) -> Iterator[_Note]:
    for template, other in shared_templates(name, shops).items():
        what = (
            f"{template} may be an order of {other}, too; write {{prefix}} into it and set order_id_prefix, or take it "
            "out; as it is, such an order counts only if its postal code is the shopper's"
        )
        yield ("order_id_templates",), what


def _about_shop(shop: Shop) -> Iterator[_Note]:
    uses_prefix = any("{prefix}" in template for template in shop.order_id_templates)
    if uses_prefix and not shop.order_id_prefix:
        yield ("order_id_templates",), "{prefix} stands for nothing; set order_id_prefix or take it out"
    if shop.order_id_prefix and not uses_prefix:
        yield ("order_id_prefix",), "no template uses it; write {prefix} into one or take it out"
    named: list[tuple[Location, str]] = [(("verdict", "conditions", name), name) for name in shop.verdict.conditions]
    named += [(("grades", name), name) for name in shop.grades if name not in DEFAULT_GRADES]
    for index, rule in enumerate(shop.verdict.rules):
        named.append((("verdict", "rules", index, "condition"), rule.condition))
    for location, condition in named:
        if condition not in {*CONDITIONS, *_NOT_AMAZONS}:
            close = get_close_matches(condition, CONDITIONS, n=1)
            advice = f"did you mean {close[0]}?" if close else f"known are {', '.join(CONDITIONS)}"
            yield location, f"is no condition known of Amazon; {advice}"
