"""Every knob of the configuration file, by section; the others are in `amazon` and `shop`."""

import re
from collections.abc import Mapping
from itertools import combinations, pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from config.amazon import Amazon
from config.durations import Duration, format_duration
from config.fields import Address, Contradiction, Count, ListenAddress, Section, Url
from config.notify import Notification
from config.shop import Shop
from daemon.domain.durations import DAY, HOUR, MINUTE, SECOND


def shop_name(name: str) -> str:
    """The name, when it can stand in a URL and in a file name; ValueError otherwise."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name, re.ASCII):
        raise ValueError("is not a shop name; write a-z, 0-9 and -, at most 32 characters, not starting with -")
    return name


def _absolute(value: Path) -> Path:
    if not value.is_absolute() or value.name in {"", ".."}:
        raise ValueError("is not an absolute path of a file; write one like /var/lib/mcfd/mcfd.db")
    return value


def _path(value: object) -> object:
    return Path(value) if isinstance(value, str) and "\0" not in value else value


class Listen(Section):
    """The listeners, host:port. Port 0 lets the system choose."""

    public: ListenAddress = Address("0.0.0.0", 8080)  # noqa: S104 -- this one is meant to be reached
    """Webhooks, hosted labels, OAuth callback. Default all interfaces: TLS is in front of it, maybe on another host."""

    ops: ListenAddress = Address("127.0.0.1", 9108)
    """Metrics, health and the operator API. Default this machine only: it can change returns."""

    metrics: ListenAddress | None = None
    """Metrics and health alone, for a Prometheus on another host. Default none: listen.ops has them for this one."""

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
    """SQLite file, an absolute path. Default: the state directory that mcfd.service makes. Not on a network disk."""


class Timings(Section):
    """How often mcfd looks, and when it gives up. All are durations: 500ms, 2s, 5m, 12h, 7d."""

    label_request_poll: Duration = 3 * MINUTE
    """Between two looks for label requests whose webhook was lost. Default 3m: a shopper waits, 480 calls a day."""

    return_poll: Duration = 5 * MINUTE
    """Between two looks for changed returns whose webhook was lost. Default 5m: nobody waits at a screen."""

    label_poll_first: Duration = 2 * SECOND
    """From authorization to the first look for the label. Default 2s: Amazon mostly answers at once."""

    label_poll_max: Duration = 30 * SECOND
    """Longest gap between looks in the first hour. Default 30s: a shopper may still be waiting."""

    label_poll_late: Duration = 5 * MINUTE
    """Gap between looks after the first hour. Default 5m: the shopper has gone, the budget is for others."""

    label_deadline: Duration = 24 * HOUR
    """Without a label after this time the return is stuck. Default 24h: longer than any outage of Amazon's so far."""

    unmatched_deadline: Duration = 1 * HOUR
    """How long an order is looked for. Default 1h: new orders reach Amazon within minutes."""

    inspection_idle: Duration = 12 * HOUR
    """Between looks while the label is out and unscanned. Default 12h: nothing can have happened."""

    inspection_moving: Duration = 6 * HOUR
    """Between looks while the parcel travels. Default 6h: a parcel travels for days."""

    inspection_arrived: Duration = 1 * HOUR
    """Between looks once the parcel has arrived. Default 1h: inspection takes up to three days, refunds wait for it."""

    missing_sibling: Duration = 7 * DAY
    """A unit whose siblings were inspected this long ago is missing. Default 7d: a parcel is opened once."""

    missing_delivered: Duration = 14 * DAY
    """A parcel delivered this long ago and not inspected is missing. Default 14d: four times the usual inspection."""

    missing_in_transit: Duration = 30 * DAY
    """A parcel last scanned this long ago is missing. Default 30d: carriers call a parcel lost before that."""

    missing_lost: Duration = 7 * DAY
    """A parcel that the carrier called lost this long ago is missing. Default 7d: some turn up within days."""

    missing_silent: Duration = 45 * DAY
    """A label never scanned for this long will not come. Default 45d: the shopper's 28 days in Loop, and a margin."""

    condition_grace: Duration = 24 * HOUR
    """How long an inspected unit may lack its condition. Default 24h: Amazon may write it later."""

    late_watch: Duration = 90 * DAY
    """How long units are still looked for after the end. Default 90d: stragglers arrive for weeks."""

    late_look: Duration = 7 * DAY
    """How often Amazon is read for units that may still come after the end. Default 7d: nobody waits for the answer."""

    review_watch: Duration = 12 * HOUR
    """How often a return in Needs Review is read. Default 12h: webhook and poll tell sooner."""

    outcome_watch: Duration = 10 * MINUTE
    """How long Loop may take to show what it was asked for. Default 10m: its processing is queued."""

    stop_grace: Duration = 20 * SECOND
    """What steps in hand get when mcfd stops. Default 20s: below the unit's TimeoutStopSec."""

    http_timeout: Duration = 30 * SECOND
    """Longest one call to a vendor may take. Default 30s: gateways give up before that."""

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
"""What would be understood, and does harm: the least, the most, and why."""


class Retention(Section):
    """How long things are kept. All are durations."""

    dead_letters: Duration = 30 * DAY
    """Deliveries that could not be read, encrypted. Default 30d: time to repair and replay; they may name people."""

    labels: Duration = 30 * DAY
    """Hosted labels, encrypted. Default 30d: a return expires in Loop after 28 days; labels show addresses."""

    closed_returns: Duration = 400 * DAY
    """Returns after their end. Default 400d: a year's accounts and a margin; they hold ids, no addresses."""

    order_index: Duration = 180 * DAY
    """How far back Amazon's list of orders is read, and kept: ids and dates. Default 180d: a gift of early October may
    come back at the end of January, and some shops give longer."""


class Log(Section):
    """The log, on standard error."""

    format: Literal["auto", "json", "console"] = "auto"
    """auto | json | console. Default auto: console on a terminal, else JSON."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important level that is written. Default info: one or two lines per step of a return."""


class Settings(Section):
    """The whole configuration file."""

    public_url: Url
    """How Loop and shoppers reach the public listener. No default: it is your host."""

    listen: Listen = Listen()
    """The two listeners."""

    store: Store = Store()
    """The database."""

    amazon: Amazon
    """The seller account."""

    shops: Annotated[Mapping[Annotated[str, AfterValidator(shop_name)], Shop], Field(min_length=1)]
    """One or more Loop shops by name: a-z, 0-9 and -, at most 32 characters, as in /webhooks/loop/acme."""

    timings: Timings = Timings()
    """How often, how long."""

    attempts: Count = 8
    """Failures of ours, unreadable answers, or failures of one return while others are answered, before it is stuck.

    Default 8: with growing pauses, from forty minutes before the label is out to most of a day after it.
    """

    retention: Retention = Retention()
    """How long things are kept."""

    log: Log = Log()
    """The log."""

    notify: tuple[Notification, ...] = ()
    """Who is told by message what waits for a person. Default nobody: look at `mcfd status` or the alerts."""

    @model_validator(mode="after")
    def _watched_returns_are_kept(self) -> "Settings":
        watch, kept = self.timings.late_watch, self.retention.closed_returns
        if kept < watch:
            limit = format_duration(watch)
            message = f"is shorter than timings.late_watch ({limit}); write at least {limit}"
            raise Contradiction(("retention.closed_returns", message))
        return self
