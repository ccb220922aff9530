"""Checks the seller's account, the store, the clock and the certificate; the results are lines with advice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Protocol

from daemon.domain.durations import DAY
from daemon.domain.returns import MAIN_ACCOUNT, State
from daemon.engine.strangers import waiting_for_adopt
from daemon.errors import ContractBroken, CredentialsRefused, McfdError, RateLimited, Refused, Transient
from daemon.operations.verb import instant
from daemon.operations.verbs.connections import Examined, Found
from daemon.ports.host import Clock
from daemon.ports.store import AT_REST, MaintainedStore, StoreSize
from daemon.ports.vendors import FulfillmentNetwork, Lane

GIGABYTE = 1024**3
CLOCK_WARN, CLOCK_FAIL = 30.0, 300.0
SECRET_WARN, SECRET_LIVES = 150, 180
AUTHORIZATION_WARN, AUTHORIZATION_LIVES = 330, 365
CERTIFICATE_WARN = 21 * DAY


class CheckStatus(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the doctor's report; `todo` is the advice."""

    area: str
    what: str
    verdict: CheckStatus
    text: str
    todo: str = ""


Check = Callable[[], Awaitable[Sequence[Line]]]


def ok(area: str, what: str, text: str) -> Line:
    """All is well."""
    return Line(area, what, CheckStatus.OK, text)


def warn(area: str, what: str, text: str, todo: str) -> Line:
    """It works, but perhaps not as intended."""
    return Line(area, what, CheckStatus.WARN, text, todo)


def fail(area: str, what: str, text: str, todo: str) -> Line:
    """It does not work."""
    return Line(area, what, CheckStatus.FAIL, text, todo)


def trouble(area: str, what: str, error: McfdError, todo: str) -> Line:
    """The line for an error; `todo` is the advice for a refusal."""
    match error:
        case RateLimited():
            return warn(area, what, str(error), "the limit is used up just now; ask again in a minute")
        case Transient():
            return fail(area, what, str(error), "check network, firewall and proxy, and the vendor's status page")
        case ContractBroken():
            return fail(area, what, str(error), "the answer is not the vendor's: check the URL, and what is in between")
        case _:
            return fail(area, what, str(error), todo)


class Tokens(Protocol):
    """The source of Amazon's access tokens."""

    async def token(self) -> str:
        """Return one; raises CredentialsRefused or Transient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmazonProbe:
    """What is examined at Amazon. Ages are in days, NaN if unknown."""

    account: str = MAIN_ACCOUNT
    tokens: Tokens
    network: FulfillmentNetwork
    marketplace: str
    country: str
    token_source: str
    secret_days: float
    authorization_days: float
    buys_labels: bool
    has_service_id: bool
    page_wanted: bool
    holds: bool


async def examine_amazon(probe: AmazonProbe, store: MaintainedStore | None, clock: Clock) -> Sequence[Line]:
    """Check token, role and marketplace, and explain the Return Service ID."""
    ages = [*_age(probe)]
    try:
        await probe.tokens.token()
    except McfdError as error:
        todo = f"run {_authorize(probe)}, or put the secret files right"
        return [trouble("amazon", "token", error, todo), *ages, _service(probe)]
    token = ok("amazon", "token", f"Login with Amazon accepts us (refresh token: {probe.token_source})")
    return [token, *ages, await _role(probe, clock), await _marketplace(probe, store, clock), _service(probe)]


def _authorize(probe: AmazonProbe) -> str:
    return f"`mcfd authorize amazon{option(probe.account)}`"


def option(account: str) -> str:
    """What to add to a verb so that it is about this account."""
    return "" if account == MAIN_ACCOUNT else f" --account {account}"


def _age(probe: AmazonProbe) -> Sequence[Line]:
    lines = []
    if probe.secret_days > SECRET_WARN:
        text = f"first seen {probe.secret_days:.0f} days ago; a secret lives {SECRET_LIVES} days"
        lines.append(warn("amazon", "client secret", text, "rotate it, and put the new one first into the secret file"))
    if probe.authorization_days > AUTHORIZATION_WARN:
        text = f"given {probe.authorization_days:.0f} days ago; a public application's lives {AUTHORIZATION_LIVES}"
        lines.append(warn("amazon", "authorization", text, f"renew it: {_authorize(probe)}"))
    return lines


async def _role(probe: AmazonProbe, clock: Clock) -> Line:
    try:
        await probe.network.orders_since(clock.now() - DAY, "")
    except McfdError as error:
        todo = "give the application the role Amazon Fulfillment, and authorize it again"
        return trouble("amazon", "role", error, todo)
    return ok("amazon", "role", "fulfillment orders can be read (role Amazon Fulfillment)")


async def _marketplace(probe: AmazonProbe, store: MaintainedStore | None, clock: Clock) -> Line:
    """Check the marketplace: the return reasons of any SKU show whether it is the account's."""
    where = f"{probe.marketplace} ({probe.country or 'not in the table of Amazon'})"
    try:
        sku = await _some_sku(probe, store, clock)
        if sku is None:
            return warn(
                "amazon", "marketplace", f"{where} was not tried: no SKU is known yet", "ask again after an order"
            )
        await probe.network.reason_codes(sku)
    except (Refused, CredentialsRefused) as error:
        return fail("amazon", "marketplace", f"{where}: {error}", "check amazon.marketplace_id and amazon.region")
    except McfdError as error:
        return trouble("amazon", "marketplace", error, "check amazon.marketplace_id")
    if probe.country != "US":
        todo = "expect refusals, or use a marketplace of the United States"
        return warn("amazon", "marketplace", f"{where} answers, but labels are for the US only today", todo)
    return ok("amazon", "marketplace", f"{where} answers")


async def _some_sku(probe: AmazonProbe, store: MaintainedStore | None, clock: Clock) -> str | None:
    known = await store.survey(lambda keep: keep.some_sku()) if store else None
    if known:
        return known
    page = await probe.network.orders_since(clock.now() - 30 * DAY, "")
    order = await probe.network.order(page.heads[0].order_id, Lane.BACKGROUND) if page.heads else None
    return order.items[0].sku if order and order.items else None


def _service(probe: AmazonProbe) -> Line:
    what = "return service id"
    if probe.has_service_id and probe.buys_labels:
        otherwise = "the return is held" if probe.holds else "the label is Amazon's RMA page"
        text = f"present: labels are bought with it; whether it is offered shows with a parcel, if not {otherwise}"
        return ok("amazon", what, text)
    if probe.has_service_id:
        todo = "set amazon.label_source to auto or amazon_shipping to use it"
        return warn("amazon", what, "present, but label_source is rma_page: labels carry no postage", todo)
    if probe.page_wanted:
        return ok("amazon", what, "absent: labels are Amazon's RMA page without postage, as amazon.label_source says")
    file = "amazon_return_service_id" + ("" if probe.account == MAIN_ACCOUNT else f".{probe.account}")
    todo = f"write it into the secret file {file}, or set amazon.label_source: rma_page if that is meant"
    return warn("amazon", what, "absent: labels are Amazon's RMA page, and the shopper pays the postage", todo)


async def examine_store(store: MaintainedStore) -> Sequence[Line]:
    """Check the database's soundness and the free space."""
    try:
        size = await store.sizes()
    except McfdError as error:
        return [fail("store", "file", str(error), "check the disk, and the owner and mode of the state directory")]
    if size.finding:
        return [fail("store", "file", f"damaged: {size.finding}", "stop mcfd and restore a backup")]
    if size.disk_free is None:
        return _of_server(size)
    lines = [ok("store", "file", f"sound, {_mega(size.size)} MB, of which {_mega(size.unused)} MB are unused")]
    room, needed = f"{size.disk_free / GIGABYTE:.1f} GB free", max(GIGABYTE, 2 * size.size)
    if size.disk_free < needed / 10:
        return [*lines, fail("store", "disk", room, "make room: webhooks are refused when the disk is full")]
    if size.disk_free < needed:
        return [*lines, warn("store", "disk", room, "make room: a backup needs as much again as the database")]
    return [*lines, ok("store", "disk", room)]


def _of_server(size: StoreSize) -> Sequence[Line]:
    """Lines about a database whose disk is its server's."""
    lines = [ok("store", "database", f"it answers, {_mega(size.size)} MB")]
    if size.replicas_lag:
        text = "its replica is asynchronous: after a failover the last commits are missing, bought labels among them"
        lines.append(warn("store", "replica", text, "name the replica in the server's synchronous_standby_names"))
    return lines


def _mega(size: int) -> str:
    return f"{size / 1024**2:.1f}"


async def examine_returns(store: MaintainedStore, shops: Collection[str]) -> Sequence[Line]:
    """Check for returns that wait for a person."""
    counts = await store.read(lambda uow: uow.counts())
    stuck = sum(count for (_, state), count in counts.items() if state == State.STUCK)
    open_ones = Counter[str]()
    for (shop, state), count in counts.items():
        open_ones[shop] += 0 if state in AT_REST else count
    lines = [ok("store", "returns", f"{open_ones.total()} open, none is stuck")]
    if stuck:
        todo = "`mcfd status` names them; then `mcfd retry` or `mcfd resolve`"
        lines = [warn("store", "returns", f"{open_ones.total()} open, {stuck} of them stuck", todo)]
    if held := sum((await store.survey(lambda keep: keep.held_counts())).values()):
        todo = "`mcfd status` names them; `mcfd match` says what was tried, `mcfd link` names the order"
        lines.append(warn("store", "held returns", f"{held} wait for an order", todo))
    for shop, waiting in (await waiting_for_adopt(store, shops)).items():
        known = f"{waiting.unknown} in Loop that mcfd has worked on and this database does not know"
        text = f"{known}, {waiting.unproven} to be compared: {', '.join(waiting.names[:5])}"
        lines.append(warn(shop, "taking over", text, "mcfd adopt --open"))
    gone = {shop: count for shop, count in open_ones.items() if count and shop not in shops}
    if gone:
        names = ", ".join(f"{shop} ({count})" for shop, count in sorted(gone.items()))
        todo = "configure the shop again, or deal with its returns in Loop by hand: nobody follows them"
        lines.append(warn("store", "removed shops", f"open returns of shops that are not configured: {names}", todo))
    if letters := await store.survey(lambda keep: keep.letters()):
        todo = "`mcfd dead-letters` says why; report it, and `mcfd replay` after the fix"
        lines.append(warn("store", "dead letters", f"{len(letters)} deliveries could not be read", todo))
    return lines


def examine_certificate(begins: float, ends: float, now: float) -> Line:
    """Check the certificate. Automatic renewal happens when a third of its life is left."""
    days = f"good for {(ends - now) / DAY:.0f} more days"
    todo = "renew it; is the timer of certbot, or Caddy, still at work?"
    if ends - now < DAY:
        return fail("public_url", "certificate", days, todo)
    if ends - now < min(CERTIFICATE_WARN, (ends - begins) / 4):
        return warn("public_url", "certificate", days, todo)
    return ok("public_url", "certificate", days)


def examine_clock(skews: Mapping[str, float]) -> Line:
    """Compare our clock with the vendors' answers."""
    if not skews:
        return warn("clock", "skew", "no vendor answered, so there is nothing to compare with", "see above")
    vendor, skew = max(skews.items(), key=lambda item: abs(item[1]))
    text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {vendor}"
    todo = "let the machine keep time (chrony, systemd-timesyncd): polls and deadlines go wrong"
    if abs(skew) > CLOCK_FAIL:
        return fail("clock", "skew", text, todo)
    return warn("clock", "skew", text, todo) if abs(skew) > CLOCK_WARN else ok("clock", "skew", text)


async def examine(checks: Sequence[Check], skews: Mapping[str, float]) -> Examined:
    """Run all checks at once; returns their lines in order, and whether none failed."""
    found = await asyncio.gather(*(check() for check in checks))
    lines = [line for lines in found for line in lines] + [examine_clock(skews)]
    told = [Found.model_validate({name: value for name, value in asdict(line).items() if value}) for line in lines]
    return Examined(ok=all(line.verdict is not CheckStatus.FAIL for line in lines), lines=told)


def since(at: float) -> str:
    """The words for when something was last seen."""
    return f"last at {instant(at)}"
