"""What operators count, on a registry of our own. Label values are bounded: never an id."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon.domain.returns import State

LABEL_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600, 21600, 86400)
CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class PrometheusMetrics:
    """Implements the Metrics port; what can be read off a live object is read when Prometheus asks."""

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry()
        Info("mcfd_build", "The version that runs.", registry=registry).info({"version": version})
        self._returns = Gauge("mcfd_returns", "Returns by state.", ["state"], registry=registry)
        self._webhooks = Counter(
            "mcfd_webhooks", "Webhook deliveries by what became of them.", ["shop", "outcome"], registry=registry
        )
        self._webhook_seconds = Histogram(
            "mcfd_webhook_seconds", "From the complete request to its answer.", registry=registry
        )
        self._verified = Gauge(
            "mcfd_webhook_last_verified_timestamp_seconds",
            "When a delivery of the shop was last verified.",
            ["shop"],
            registry=registry,
        )
        self._steps = Counter("mcfd_steps", "Duties by what came of them.", ["act", "outcome"], registry=registry)
        self._label = Histogram(
            "mcfd_label_seconds",
            "From hearing of a label request to the label in Loop.",
            buckets=LABEL_BUCKETS,
            registry=registry,
        )
        self._calls = Counter(
            "mcfd_vendor_calls",
            "Calls to the vendors by their outcome.",
            ["vendor", "operation", "outcome"],
            registry=registry,
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
            "How late the service came to the last return it took up.",
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
            ["connection"],
            registry=registry,
        )
        self._authorization_age = Gauge(
            "mcfd_authorization_age_days",
            "Days since Amazon's authorization in use was given or first seen here.",
            registry=registry,
        )
        self._secret_age = Gauge(
            "mcfd_client_secret_age_days",
            "Days since the newest client secret of Amazon was first seen here.",
            registry=registry,
        )
        for state in State:
            self._returns.labels(state=state)

    def webhook(self, shop: str, outcome: str, now: float) -> None:
        """A delivery was judged; for one that was signed by the shop also when."""
        self._webhooks.labels(shop=shop, outcome=outcome).inc()
        if outcome in {"verified", "duplicate", "unreadable"}:
            self.verified(shop, now)

    def verified(self, shop: str, at: float) -> None:
        """When a delivery of the shop was last verified, perhaps by an earlier process."""
        self._verified.labels(shop=shop).set(at)

    def webhook_answered(self, seconds: float) -> None:
        """How long a delivery took to be answered."""
        self._webhook_seconds.observe(seconds)

    def step(self, act: str, outcome: str) -> None:
        """A duty was performed, or not."""
        self._steps.labels(act=act, outcome=outcome).inc()

    def moved(self, before: State | None, after: State) -> None:
        """A return is in another state now."""
        if before is not None:
            self._returns.labels(state=before).dec()
        self._returns.labels(state=after).inc()

    def stock(self, counts: Mapping[str, int]) -> None:
        """The returns by state, as counted once at start."""
        for state in State:
            self._returns.labels(state=state).set(counts.get(state, 0))

    def label_delivered(self, seconds: float) -> None:
        """A label reached the portal."""
        self._label.observe(seconds)

    def service_round(self, service: str, oldest_due_seconds: float) -> None:
        """A service took up a return that late."""
        self._lateness.labels(service=service).set(oldest_due_seconds)

    def trouble(self, kind: str) -> None:
        """Something an operator should see."""
        self._troubles.labels(kind=kind).inc()

    def call(self, vendor: str, operation: str, outcome: str, seconds: float) -> None:
        """A vendor was called."""
        self._calls.labels(vendor=vendor, operation=operation, outcome=outcome).inc()
        self._call_seconds.labels(vendor=vendor).observe(seconds)

    def reloaded(self, *, successful: bool) -> None:
        """A reload was asked for."""
        self._reloads.set(successful)

    def connection(self, name: str, parked: Callable[[], bool]) -> None:
        """Expose whether a connection is parked, as it is when Prometheus asks."""
        self._parked.labels(connection=name).set_function(parked)

    def ages(self, authorization: Callable[[], float], client_secret: Callable[[], float]) -> None:
        """Expose how many days old the credentials of Amazon are; NaN while that is not known."""
        self._authorization_age.set_function(authorization)
        self._secret_age.set_function(client_secret)

    def forgotten(self, state: State) -> None:
        """A return of that state is no longer kept."""
        self._returns.labels(state=state).dec()

    def watch(self, name: str, help_text: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Expose a live reading as a gauge with one label."""
        self.registry.register(_Reading(name, help_text, label, read))

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)


class _Reading(Collector):
    def __init__(self, name: str, help_text: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        self._name, self._help, self._label, self._read = name, help_text, label, read

    def collect(self) -> list[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._help, labels=[self._label])
        for value, reading in self._read().items():
            family.add_metric([value], reading)
        return [family]
