"""The metrics, on a registry of our own. Label values are bounded: never an id.

A counter that an alert watches starts at 0, because Prometheus does not see a counter rise that first appears as 1.
"""

from collections import Counter as Counted
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon.domain.returns import MAIN_ACCOUNT, State

LABEL_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600, 21600, 86400)
SEEN_BUCKETS = (1, 2, 5, 10, 30, 60, 300, 1800, 3600, 4 * 3600, 12 * 3600, 86400, 2 * 86400, 7 * 86400)
CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
TROUBLES = (
    *("bug", "store", "clock", "poll_failed", "unsettled", "processed_before_inspection"),
    *("restock_requested", "service_not_offered", "order_list"),
    *("queue_unreadable", "announcement_failed"),
    *("stray_purchase", "voided_label_used", "refund_rejected"),
    *("purchase_refused", "tracking_refused", "unknown_tracking_status", "label_id_lost", "unknown_portal_state"),
    *(f"{act}_refused" for act in ("write_notes", "grade_lines", "report_refusal", "report_transit", "track_parcels")),
)
ALARMING = ("bad_signature", "unreadable", "unavailable")
"""Outcomes of deliveries that an alert watches."""


WORKED = "mcfd_account_worked"
"""The gauge that every node exposes for every account."""

EASYPOST = "easypost/"
"""What the name of EasyPost's webhook begins with, in place of a shop; the rest is its account."""

AUTHORIZATION_LIVES, SECRET_LIVES = 365.0, 180.0
"""Days; Amazon's pages renew-authorizations and rotating-your-apps-lwa-credentials."""


class PrometheusMetrics:
    """Implements the Metrics port; values of live objects are read when Prometheus asks."""

    def __init__(self, version: str, account_of: Callable[[str], str] = lambda _shop: MAIN_ACCOUNT) -> None:
        """Take the account of a shop from `account_of`; "" for a shop that is not configured."""
        self._account_of = account_of
        self._works: Callable[[str], bool] | None = None
        self.registry = registry = CollectorRegistry()
        Info("mcfd_build", "The version that runs.", registry=registry).info({"version": version})
        self._started = Gauge("mcfd_start_timestamp_seconds", "When the process started.", registry=registry)
        self._returns = Gauge(
            "mcfd_returns", "Returns by shop and state.", ["account", "shop", "state"], registry=registry
        )
        self._held = Gauge(
            "mcfd_returns_held", "Returns that wait for an order.", ["account", "shop"], registry=registry
        )
        # Cached for the most frequent counts: prometheus_client looks up a labelled metric under a lock each time.
        self._webhooks = cache(
            Counter(
                "mcfd_webhooks",
                "Webhook deliveries by what became of them.",
                ["account", "shop", "outcome"],
                registry=registry,
            ).labels
        )
        self._webhook_seconds = Histogram(
            "mcfd_webhook_seconds", "From the complete request to its answer.", registry=registry
        )
        self._fetched = Counter(
            "mcfd_labels_fetched", "Requests for labels by what became of them.", ["outcome"], registry=registry
        )
        self._turned_away = Counter(
            "mcfd_connections_turned_away", "Public connections that were ended, by why.", ["why"], registry=registry
        )
        self._verified = cache(
            Gauge(
                "mcfd_webhook_last_verified_timestamp_seconds",
                "When a delivery of the shop was last verified.",
                ["account", "shop"],
                registry=registry,
            ).labels
        )
        self._steps = cache(
            Counter(
                "mcfd_steps", "Duties by what came of them.", ["account", "shop", "act", "outcome"], registry=registry
            ).labels
        )
        self._label = Histogram(
            "mcfd_label_seconds",
            "From hearing of a label request to the label in Loop.",
            ["account"],
            buckets=LABEL_BUCKETS,
            registry=registry,
        )
        self._seen = Histogram(
            "mcfd_inspection_seen_seconds",
            "From Amazon's processing of a unit to our reading of it.",
            ["account"],
            buckets=SEEN_BUCKETS,
            registry=registry,
        )
        self._notifications = Counter(
            "mcfd_notifications",
            "Messages of Amazon's by what became of them.",
            ["account", "outcome"],
            registry=registry,
        )
        self._notified = Gauge(
            "mcfd_notification_last_timestamp_seconds",
            "When a message of Amazon's was last heard; 0 when none ever was.",
            ["account"],
            registry=registry,
        )
        self._queue_read = Gauge(
            "mcfd_notification_queue_read_timestamp_seconds",
            "When a queue was last read, or the start; only for the queues that are configured.",
            ["queue"],
            registry=registry,
        )
        self._secret_unfiled = Gauge(
            "mcfd_client_secret_unfiled",
            "1 while a client secret that Amazon sent is not in the secret file, so that the store has the only copy.",
            ["account"],
            registry=registry,
        )
        self._calls = cache(
            Counter(
                "mcfd_vendor_calls",
                "Calls to the vendors by their outcome.",
                ["account", "vendor", "operation", "outcome"],
                registry=registry,
            ).labels
        )
        self._call_seconds = Histogram(
            "mcfd_vendor_call_seconds",
            "How long the vendors take to answer.",
            ["vendor"],
            buckets=CALL_BUCKETS,
            registry=registry,
        )
        self._lateness = Gauge(
            "mcfd_service_lateness_seconds",
            "How long the return that a service is latest with has been due; 0 when none is.",
            ["service"],
            registry=registry,
        )
        self._silent = Gauge(
            "mcfd_service_silent",
            "1 while a service was not heard of within the time that it promised; systemd's watchdog is not fed then.",
            ["service"],
            registry=registry,
        )
        self._troubles = Counter(
            "mcfd_troubles", "What an operator should look at, by kind.", ["kind"], registry=registry
        )
        self._reloads = Gauge(
            "mcfd_config_last_reload_successful",
            "1 when the last reload took effect, 0 when it was refused.",
            registry=registry,
        )
        self._reloads.set(1)
        self._parked = Gauge(
            "mcfd_connection_parked",
            "1 while a vendor does not accept our credentials, for all calls or for some.",
            ["account", "connection"],
            registry=registry,
        )
        self._authorization_left = Gauge(
            "mcfd_authorization_days_left",
            "Days until Amazon's authorization in use ends, as a public application's does a year after it was given.",
            ["account"],
            registry=registry,
        )
        self._secret_left = Gauge(
            "mcfd_client_secret_days_left",
            "Days until the newest client secret of Amazon ends, counted from when it was first seen here.",
            ["account"],
            registry=registry,
        )
        for kind in TROUBLES:
            self._troubles.labels(kind=kind)

    def share(self, accounts: Iterable[str], works: Callable[[str], bool]) -> None:
        """Be one of several nodes: gauges of an account are exposed only by the node that works it.

        Every node moves returns, so they are counted again and again instead of following what this node moves.
        """
        self._works, names = works, list(accounts)
        self.watch(
            WORKED,
            "1 on the node that works the account, 0 on the others.",
            ("account",),
            lambda: {(name,): float(works(name)) for name in names},
        )

    def of(self, shop: str) -> "ShopMetrics":
        """The metrics of one shop's returns."""
        return ShopMetrics(self, shop)

    def webhook(self, shop: str, outcome: str, now: float) -> None:
        """Count a webhook; if the shop signed it, also note the time."""
        self._webhooks(self._owner(shop), shop, outcome).inc()
        if outcome in {"verified", "duplicate", "unreadable"}:
            self.verified(shop, now)

    def verified(self, shop: str, at: float) -> None:
        """Set when a delivery of the shop was last verified, perhaps by an earlier process."""
        self._verified(self._owner(shop), shop).set(at)

    def held(self) -> Counted[State]:
        """Count returns by state, over all shops."""
        total = Counted[State]()
        for sample in (sample for family in self._returns.collect() for sample in family.samples):
            total[State(sample.labels["state"])] += int(sample.value)
        return total

    def webhook_answered(self, seconds: float) -> None:
        """Record how long the answer to a webhook took."""
        self._webhook_seconds.observe(seconds)

    def label_fetched(self, outcome: str) -> None:
        """Count a request for a label, by link or by guess."""
        self._fetched.labels(outcome=outcome).inc()

    def turned_away(self, why: str) -> None:
        """Count a public connection that was closed before it made a request that could be answered."""
        self._turned_away.labels(why=why).inc()

    def step(self, shop: str, act: str, outcome: str) -> None:
        """A duty was performed, or not."""
        self._steps(self._owner(shop), shop, act, outcome).inc()

    def counted(self) -> dict[tuple[str, str], int]:
        """Count returns by shop and state."""
        samples = [sample for family in self._returns.collect() for sample in family.samples]
        return {(sample.labels["shop"], sample.labels["state"]): int(sample.value) for sample in samples}

    def moved(self, shop: str, before: State | None, after: State) -> None:
        """Note that a return has changed its state."""
        if self._works is not None:
            return
        if before is not None:
            self._returns.labels(self._owner(shop), shop, before).dec()
        self._returns.labels(self._owner(shop), shop, after).inc()

    def began(self, now: float, shops: Iterable[str], counts: Mapping[tuple[str, str], int]) -> None:
        """Note the start: when, for which shops, and with how many returns by (shop, state), also of other shops."""
        self._started.set(now)
        self.count(shops, counts)
        for account in {self._owner(shop) for shop in shops}:
            self._label.labels(account)
            self._seen.labels(account)
        for shop in shops:
            for outcome in ALARMING:
                self._webhooks(self._owner(shop), shop, outcome)

    def count(self, shops: Iterable[str], counts: Mapping[tuple[str, str], int]) -> None:
        """Set how many returns there are by (shop, state), for these shops and all that have some, or had."""
        for shop in {*shops, *(shop for shop, _ in (*counts, *self.counted()))}:
            for state in State:
                self._returns.labels(self._owner(shop), shop, state).set(counts.get((shop, state), 0))

    def holds(self, shops: Iterable[str], counts: Mapping[str, int]) -> None:
        """Set how many returns wait for an order, for these shops and all that have some."""
        self._held.clear()
        for shop in {*shops, *counts}:
            self._held.labels(self._owner(shop), shop).set(counts.get(shop, 0))

    def label_delivered(self, shop: str, seconds: float) -> None:
        """A label reached the portal."""
        self._label.labels(self._owner(shop)).observe(seconds)

    def inspection_seen(self, shop: str, seconds: float) -> None:
        """A unit that Amazon has processed was read."""
        self._seen.labels(self._owner(shop)).observe(seconds)

    def notification(self, outcome: str, now: float, account: str) -> None:
        """Count a message from a queue."""
        self._notifications.labels(account, outcome).inc()
        if account:
            self._notified.labels(account).set(now)

    def notified(self, at: float, account: str) -> None:
        """Set when a message was last received, perhaps by an earlier process."""
        self._notified.labels(account).set(at)

    def queue_read(self, queue: str, at: float) -> None:
        """Set when a queue was last read."""
        self._queue_read.labels(queue=queue).set(at)

    def secret_unfiled(self, account: str, only_here: Callable[[], bool]) -> None:
        """Expose whether the only copy of a client secret is in the store."""
        self._secret_unfiled.labels(account).set_function(only_here)

    def service_round(self, service: str, oldest_due_seconds: float) -> None:
        """Count one round of a service."""
        self._lateness.labels(service=service).set(oldest_due_seconds)

    def service(self, name: str, silent: Callable[[], bool]) -> None:
        """Expose whether a service has missed its heartbeat."""
        self._silent.labels(service=name).set_function(silent)

    def trouble(self, kind: str) -> None:
        """Something an operator should see."""
        self._troubles.labels(kind=kind).inc()

    def call(self, account: str, vendor: str, operation: str, outcome: str, seconds: float) -> None:
        """Count a call to a vendor."""
        self._calls(account, vendor, operation, outcome).inc()
        self._call_seconds.labels(vendor=vendor).observe(seconds)

    def reloaded(self, *, successful: bool) -> None:
        """Count a reload."""
        self._reloads.set(successful)

    def connection(self, account: str, name: str, parked: Callable[[], bool]) -> None:
        """Expose whether a connection is parked, read when Prometheus asks."""
        self._parked.labels(account, name).set_function(parked)

    def ages(self, account: str, authorization: Callable[[], float], client_secret: Callable[[], float]) -> None:
        """Expose how many days Amazon's credentials have left, computed from their ages; NaN while unknown."""
        self._authorization_left.labels(account).set_function(lambda: AUTHORIZATION_LIVES - authorization())
        self._secret_left.labels(account).set_function(lambda: SECRET_LIVES - client_secret())

    def forgotten(self, shop: str, state: State) -> None:
        """Note that a return of that state was deleted."""
        if self._works is not None:
            return
        self._returns.labels(self._owner(shop), shop, state).dec()

    def watch(
        self, name: str, help_text: str, labels: Sequence[str], read: Callable[[], Mapping[tuple[str, ...], float]]
    ) -> None:
        """Expose a live reading as a gauge with these labels."""
        self.registry.register(_Reading(name, help_text, labels, read))

    def _owner(self, shop: str) -> str:
        """The account of a shop, or of EasyPost's webhook."""
        return shop.removeprefix(EASYPOST) if shop.startswith(EASYPOST) else self._account_of(shop)

    def render(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self.registry if self._works is None else _Worked(self.registry, self._works))


@dataclass(frozen=True, slots=True)
class ShopMetrics:
    """Implements the ShopMetrics port. Times are counted by account, troubles over all accounts."""

    _all: PrometheusMetrics
    _shop: str

    def step(self, act: str, outcome: str) -> None:
        """A duty was performed, or not."""
        self._all.step(self._shop, act, outcome)

    def label_delivered(self, seconds: float) -> None:
        """A label reached the portal."""
        self._all.label_delivered(self._shop, seconds)

    def inspection_seen(self, seconds: float) -> None:
        """A unit that Amazon has processed was read."""
        self._all.inspection_seen(self._shop, seconds)

    def adopted(self, before: State | None, after: State) -> None:
        """A return was taken over."""
        if before is not after:
            self._all.moved(self._shop, before, after)

    def trouble(self, kind: str) -> None:
        """Something an operator should see."""
        self._all.trouble(kind)


class _Worked(CollectorRegistry):
    """What a node exposes: everything but the gauges of accounts that another node works."""

    def __init__(self, registry: CollectorRegistry, works: Callable[[str], bool]) -> None:
        super().__init__()
        self._all, self._works = registry, works

    def collect(self) -> Iterator[Metric]:
        for family in self._all.collect():
            if family.type == "gauge" and family.name != WORKED:
                family.samples = [
                    one for one in family.samples if "account" not in one.labels or self._works(one.labels["account"])
                ]
            yield family


class _Reading(Collector):
    def __init__(
        self, name: str, help_text: str, labels: Sequence[str], read: Callable[[], Mapping[tuple[str, ...], float]]
    ) -> None:
        self._name, self._help, self._labels, self._read = name, help_text, labels, read

    def collect(self) -> list[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._help, labels=self._labels)
        for key, reading in self._read().items():
            family.add_metric(key, reading)
        return [family]
