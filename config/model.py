"""Every setting of the configuration file, by section; `amazon` and `shop` hold their own sections."""

import re
from collections.abc import Mapping
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from config.amazon import Amazon, LabelSource
from config.console import Console
from config.durations import Duration, format_duration
from config.easypost import EasyPost
from config.fields import Address, Contradiction, Count, ListenAddress, Section, Url
from config.notify import Notification
from config.secret_files import AccountSecrets
from config.shop import Shop
from daemon.domain.durations import DAY, HOUR, MINUTE, SECOND
from daemon.domain.returns import MAIN_ACCOUNT


def check_name(name: str, kind: str) -> str:
    """Return the name if it can be part of a URL and of a file name; ValueError otherwise."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name, re.ASCII):
        raise ValueError(f"is not {kind} name; write a-z, 0-9 and -, at most 32 characters, not starting with -")
    return name


shop_name = partial(check_name, kind="a shop")
account_name = partial(check_name, kind="an account")
node_name = partial(check_name, kind="a node")


def _lease(seconds: float) -> float:
    if not 1.0 <= seconds <= HOUR:
        raise ValueError("is out of range; write 1s to 1h")
    return seconds


Lease = Annotated[Duration, AfterValidator(_lease)]


def _absolute(value: Path) -> Path:
    if not value.is_absolute() or value.name in {"", ".."}:
        raise ValueError("is not an absolute path of a file; write one like /var/lib/mcfd/mcfd.db")
    return value


def _store_url(value: str) -> str:
    """Return the address of a PostgreSQL database; the rest of it is libpq's to judge."""
    example = "write one like postgresql://mcfd@db.example.com/mcfd"
    try:
        url = urlsplit(value)
        password = url.password
    except ValueError:
        raise ValueError(f"is not an address; {example}") from None
    if url.scheme not in {"postgresql", "postgres"} or not value.isprintable() or " " in value:
        raise ValueError(f"is not the address of a PostgreSQL database; {example}")
    if password is not None or "password=" in url.query:
        raise ValueError("holds a password; write it into the secret file store_password")
    if not url.path.strip("/"):
        raise ValueError(f"names no database; {example}")
    return value


def _path(value: object) -> object:
    return Path(value) if isinstance(value, str) and "\0" not in value else value


class Listen(Section):
    """The listeners, host:port. Port 0 lets the system choose."""

    public: ListenAddress = Address("0.0.0.0", 8080)  # noqa: S104 -- this one is meant to be reached
    """Webhooks, hosted labels, OAuth callback. mcfd speaks plain HTTP: TLS is in front of it. Default 0.0.0.0:8080,
    all interfaces, because what does the TLS may be another container or host."""

    ops: ListenAddress = Address("127.0.0.1", 9108)
    """/metrics /healthz /readyz and the operator API. Default 127.0.0.1:9108, this machine only, because the
    operator API can change returns and is not encrypted."""

    metrics: ListenAddress | None = None
    """/metrics /healthz /readyz alone, for a Prometheus on another host: whoever reaches it sees the shops' names
    and counts. Default null, none, because the operators' listener has them for this machine. 0.0.0.0:9109 opens
    it."""

    @model_validator(mode="after")
    def _addresses_of_their_own(self) -> "Listen":
        doors = {"public": self.public, "ops": self.ops} | ({"metrics": self.metrics} if self.metrics else {})
        for (first, one), (second, other) in combinations(doors.items(), 2):
            same = one.host == other.host or one.is_wildcard or other.is_wildcard
            if same and one.port == other.port != 0:
                raise Contradiction((second, f"is the same address as {first}; give it a port of its own"))
        return self


class Store(Section):
    """The database."""

    path: Annotated[Path, BeforeValidator(_path), AfterValidator(_absolute)] = Path("/var/lib/mcfd/mcfd.db")
    """The SQLite database, an absolute path on a local disk (never a network one: its locks lose data). Default
    /var/lib/mcfd/mcfd.db, in the state directory that mcfd.service makes."""

    url: Annotated[str, AfterValidator(_store_url)] | None = None
    """A PostgreSQL database (14 or newer) instead of `path`, such as postgresql://mcfd@db.example.com/mcfd?sslmode=verify-full.
    The password is in the secret file store_password. Libpq's parameters work. Default null, because one machine
    with SQLite needs no server; docs/operating.md says when it is worth one."""

    @model_validator(mode="after")
    def _one_place(self) -> "Store":
        if self.url is not None and "path" in self.model_fields_set:
            raise Contradiction(("url", "and path are two places for one store; leave one of them"))
        return self

    @property
    def place(self) -> str:
        """The store's name for people."""
        return str(self.path) if self.url is None else self.url.partition("?")[0]


class Cluster(Section):
    """Several mcfd processes on one PostgreSQL; without store.url there is only one."""

    lease: Lease = 15 * SECOND
    """How long a node that says nothing any more keeps its accounts. Default 15s: after a node's death its accounts go
    on elsewhere within 17 s, and a pause of the server or the network of ten seconds moves nothing. From 1s."""

    node: Annotated[str, AfterValidator(node_name)] | None = None
    """This node's name in the log and in `mcfd status`. Default null, the host's name; it means nothing else."""


class Timings(Section):
    """How often mcfd looks, and when it gives up. All are durations: 500ms, 2s, 5m, 12h, 7d."""

    label_request_poll: Duration = 3 * MINUTE
    """Between two looks for label requests whose webhook was lost. Default 3m: a shopper waits, and it costs 480
    calls a day."""

    return_poll: Duration = 5 * MINUTE
    """Between two looks for changed returns whose webhook was lost. Default 5m, because nobody waits at a screen
    for it."""

    label_poll_first: Duration = 2 * SECOND
    """From the authorization to the first look for its label. Default 2s, because Amazon mostly has it at once. When
    twenty labels came late since the start, what they took decides instead."""

    label_poll_max: Duration = 30 * SECOND
    """Longest gap between looks in the first hour. Default 30s, because the shopper may still be waiting."""

    label_poll_late: Duration = 5 * MINUTE
    """Gap between looks after the first hour. Default 5m, because the shopper has gone, and the calls are for the
    others."""

    label_deadline: Duration = 24 * HOUR
    """Without a label after this time the return is stuck, and Loop is told. Default 1d, to sit out an outage of
    Amazon's. Time in which mcfd was down or parked does not count."""

    unmatched_deadline: Duration = 1 * HOUR
    """How long the order is looked for at Amazon. Default 1h, because connectors hand an order over within minutes."""

    inspection_idle: Duration = 12 * HOUR
    """Between two looks at Amazon while the label is out and was never scanned. Default 12h, because nothing
    happens."""

    inspection_moving: Duration = 6 * HOUR
    """The same while the parcel travels. Default 6h, because parcels travel for days."""

    inspection_arrived: Duration = 1 * HOUR
    """The same once the parcel has arrived. Default 1h, because inspection comes within some three days and refunds
    wait."""

    missing_sibling: Duration = 7 * DAY
    """A unit is missing when another unit of its parcel was inspected this long ago. Default 7d: parcels are opened
    once."""

    missing_delivered: Duration = 14 * DAY
    """A parcel is missing when it was delivered this long ago and nothing in it was inspected. Default 14d: several
    times what inspection takes."""

    missing_in_transit: Duration = 30 * DAY
    """A parcel is missing when its last scan is this old. Default 30d: carriers call a parcel lost before that."""

    missing_lost: Duration = 7 * DAY
    """A parcel is missing this long after the carrier called it lost. Default 7d, because some turn up within days."""

    missing_silent: Duration = 45 * DAY
    """A label that was never scanned for this long: nothing will come. Default 45d: Loop's 28 days, the way, and a
    margin."""

    condition_grace: Duration = 24 * HOUR
    """How long an inspected unit may be without its condition. Default 1d, because Amazon may write it later."""

    late_watch: Duration = 90 * DAY
    """How long Amazon is still asked, now and then, after the end. Default 90d, because late parcels arrive for
    weeks."""

    late_look: Duration = 7 * DAY
    """How often Amazon is read for units that may still come after the end. Default 7d, because nobody waits for
    the answer."""

    review_watch: Duration = 12 * HOUR
    """How often a return in Needs Review is read. Default 12h: the webhook and the poll tell sooner, this is their
    safety net."""

    outcome_watch: Duration = 10 * MINUTE
    """How long Loop may take to show what it was asked for. Default 10m, because its processing waits in a queue."""

    stop_grace: Duration = 20 * SECOND
    """What steps in hand get when mcfd is stopped. Default 20s, well below the TimeoutStopSec of mcfd.service."""

    http_timeout: Duration = 30 * SECOND
    """Longest that one call to a vendor may take. Default 30s, because their gateways give up before that."""

    @model_validator(mode="after")
    def _in_order(self) -> "Timings":
        names = ("label_poll_first", "label_poll_max", "label_poll_late", "label_deadline")
        problems = []
        for name, (least, most, why) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                limits = f"{format_duration(least)} to {format_duration(most)}"
                problems.append((name, f"is out of bounds: {why}; write {limits}"))
        for shorter, longer in pairwise(names):
            low, high = getattr(self, shorter), getattr(self, longer)
            if low > high:
                limit = format_duration(high)
                problems.append((shorter, f"is longer than {longer} ({limit}); write at most {limit}"))
        if problems:
            raise Contradiction(*problems)
        return self


_BOUNDS = {
    "label_request_poll": (SECOND, 7 * DAY, "each look is a call of Loop's 300 a minute"),
    "return_poll": (SECOND, 7 * DAY, "each look is four calls of Loop's 300 a minute, and reaches back 30 days"),
    "http_timeout": (SECOND, 10 * MINUTE, "no vendor answers faster, and none is waited for longer"),
    "stop_grace": (SECOND / 2, 40 * SECOND, "mcfd.service kills after 45 s"),
}
"""Bounds of values that are readable but harmful: the least, the most, and why."""


class Retention(Section):
    """How long things are kept. All are durations."""

    dead_letters: Duration = 30 * DAY
    """Deliveries that were signed but could not be read, encrypted. Default 30d: time to repair and `mcfd replay`,
    and not longer, because they may name people."""

    labels: Duration = 30 * DAY
    """Hosted labels, encrypted. Default 30d: Loop expires a return after 28 days, and labels show addresses."""

    closed_returns: Duration = 400 * DAY
    """Returns after their end, at least timings.late_watch. Default 400d: a year's accounts and a margin; no
    addresses in them."""

    order_index: Duration = 180 * DAY
    """How far back Amazon's list of orders is read for orders that no template names, and how long it is kept: ids
    and dates. Default 180d, because a gift of early October may come back at the end of January, and some shops
    give longer."""

    calls: Duration = 30 * DAY
    """The last 50 calls to vendors for each return (`mcfd calls RETURN`): ids, states, codes and amounts, no person's
    data. Default 30d, because support asks for request ids within weeks."""


class Log(Section):
    """The log, on standard error."""

    format: Literal["auto", "json", "console"] = "auto"
    """auto | json | console. Default auto: console on a terminal; JSON under systemd, in a file or in a pipe."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important level that is written: debug | info | warning | error. Default info: a line or two per
    step."""


class SellerAccount(Section):
    """One seller: the account at Amazon, the carrier account, and the shops that share them."""

    amazon: Amazon
    """One seller account at Amazon. Shops that share it share its limits."""

    easypost: EasyPost = EasyPost()
    """The merchant's own carrier account at EasyPost, from which most labels of Loop's come anyway. Used where
    label_source says so. Its key is the secret file easypost_api_key; with the secret file easypost_webhook_secret, and
    a webhook of EasyPost's to {public_url}/webhooks/easypost/main, scans are heard at once instead of polled."""

    shops: Annotated[Mapping[Annotated[str, AfterValidator(shop_name)], Shop], Field(min_length=1, examples=["acme"])]
    """One or more Loop shops. The name is part of the webhook URL, {public_url}/webhooks/loop/acme, and of the
    names of the shop's secret files: a-z, 0-9 and -, at most 32 characters. It is also stored with each return: do
    not rename a shop."""

    def label_source_of(self, shop: str, secrets: AccountSecrets) -> LabelSource:
        """Where the labels of a shop come from."""
        return self.shops[shop].label_source or self.amazon.label_source_in_use(secrets)


class Settings(Section):
    """The whole configuration file."""

    public_url: Url = Field(examples=["https://returns.example.com"])
    """How Loop and shoppers reach the public listener: webhooks are sent to it, labels are linked from it. URL. No
    default: it is your host."""

    listen: Listen = Listen()
    """The listeners, host:port ([::1]:8080 for IPv6). Port 0 lets the system choose."""

    console: Console = Console()
    """The web pages at /console/ of listen.ops, for people who never open a terminal."""

    store: Store = Store()
    """The database."""

    cluster: Cluster = Cluster()
    """Several mcfd processes that share one PostgreSQL."""

    accounts: Annotated[
        Mapping[Annotated[str, AfterValidator(account_name)], SellerAccount], Field(min_length=1, examples=["acme"])
    ]
    """Several sellers in one process: accounts by name, each with an `amazon`, an `easypost` and `shops` of its own,
    instead of those three at the top. Limits, connections, order ids and authorizations belong to an account, and one
    that is refused or throttled holds up no other. The name is part of the names of the account's secret files,
    amazon_client_secret.acme; those of an account named main need no ending. Names of shops are unique over all
    accounts. A new name for an account or a shop needs `mcfd rename`."""

    timings: Timings = Timings()
    """How often mcfd looks, and when it gives up. All are durations."""

    attempts: Count = 8
    """Failures of ours, unreadable answers, or failures of one return while others are answered, before it is
    stuck; a vendor that is down costs none. Count. Default 8: with growing pauses that is forty minutes while a
    shopper waits for a label, and up to a day afterwards, enough for a passing fault."""

    retention: Retention = Retention()
    """How long things are kept. All are durations."""

    log: Log = Log()
    """The log, on standard error."""

    notify: tuple[Notification, ...] = ()
    """Who is told by message what waits for a person, one message a minute at most, each case once and once a day
    while it goes on. Default nobody: look at `mcfd status` or the alerts. No message names a shopper.
      kind: webhook (JSON for a program) | slack (and what takes Slack's webhooks) | ntfy | smtp
      name: team by default; names the receiver in logs, and its secret file notify_NAME
      url:  https://…; Slack's is a secret and goes into notify_NAME instead; ntfy: https://ntfy.sh/TOPIC;
            smtp: smtp://user@mail.example.com:587 (STARTTLS) or smtps://user@mail.example.com
      to, sender: mail addresses; sender is the first of `to` by default
      when: stuck, held, review, parked, unsettled, claims; default stuck, held, parked, unsettled
      shops: only these; default all
      - {kind: slack, when: [stuck, held, review, parked]}
      - {kind: smtp, name: ops, url: "smtp://mcfd@mail.example.com:587", to: [ops@example.com]}"""

    @property
    def shops(self) -> Mapping[str, Shop]:
        """The shops of all accounts."""
        return {name: shop for account in self.accounts.values() for name, shop in account.shops.items()}

    @property
    def account_of(self) -> Mapping[str, str]:
        """The account of each shop."""
        return {shop: name for name, account in self.accounts.items() for shop in account.shops}

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        """Read a file without `accounts` as that of one account."""
        if not isinstance(value, Mapping) or "accounts" in value:
            return value
        account = {key: value[key] for key in SellerAccount.model_fields if key in value}
        return {key: value[key] for key in value if key not in account} | {"accounts": {MAIN_ACCOUNT: account}}

    @model_validator(mode="after")
    def _shops_are_unique(self) -> "Settings":
        owners: dict[str, str] = {}
        problems = []
        for name, account in self.accounts.items():
            for shop in account.shops:
                if (owner := owners.setdefault(shop, name)) != name:
                    what = f"is a shop of {owner}, too; names of shops are unique over all accounts, so rename one"
                    problems.append((("accounts", name, "shops", shop), what))
        if problems:
            raise Contradiction(*problems)
        return self

    @model_validator(mode="after")
    def _watched_returns_are_kept(self) -> "Settings":
        watch, kept = self.timings.late_watch, self.retention.closed_returns
        if kept < watch:
            limit = format_duration(watch)
            message = f"is shorter than timings.late_watch ({limit}); write at least {limit}"
            raise Contradiction(("retention.closed_returns", message))
        return self
