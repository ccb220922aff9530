"""Amazon's limits: a token bucket for each operation."""

import random
from collections.abc import Callable, Mapping

from adapters.vendor_calls.token_bucket import Jitter, TokenBucket
from daemon.ports.host import Clock
from daemon.ports.vendors import Lane


class AmazonLimits:
    """One bucket per SP-API operation, adjusted by `x-amzn-RateLimit-Limit` and by 429s.

    Amazon counts arrivals, we count departures. If the calls of a burst arrive J seconds closer together than they
    left, a bucket as large as Amazon's would exceed the limit by `rate * J` calls. So our burst is smaller by that
    much, for J = 0.5 s, and our rate is half a percent lower, because clocks differ. As our bucket also starts empty,
    our calls never exceed Amazon's limit, wherever its windows begin.

    New shoppers take turns with those who wait for a late answer of Amazon, so that neither crowd delays the other.
    """

    ARRIVAL_JITTER = 0.5
    RATE_MARGIN = 0.995
    FULFILLMENT = (
        "createFulfillmentReturn",
        "getFulfillmentOrder",
        "listAllFulfillmentOrders",
        "listReturnReasonCodes",
        "getPackageTrackingDetails",
    )
    SHIPPING = (
        "getRates",
        "purchaseShipment",
        "getShipmentDocuments",
        "cancelShipment",
        "getTracking",
        "getCarrierAccountFormInputs",
    )
    NOTIFICATIONS = (
        "createDestination",
        "getDestinations",
        "createSubscription",
        "getSubscriptions",
        "getSubscription",
    )
    ROTATION = "rotateApplicationClientSecret"

    def __init__(
        self,
        clock: Clock,
        limits: Mapping[str, tuple[float, float]],
        *,
        jitter: Jitter = random.random,
        on_pause: Callable[[], None] = lambda: None,
    ) -> None:
        """Take (rate per second, burst) of each operation whose limit differs from the published one."""
        self.clock = clock
        self._on_pause = on_pause
        published = dict.fromkeys(self.FULFILLMENT, (2.0, 30.0)) | dict.fromkeys(self.SHIPPING, (80.0, 100.0))
        published |= dict.fromkeys(self.NOTIFICATIONS, (1.0, 5.0)) | {self.ROTATION: (1 / 60, 1.0)}
        self._limits = published | dict(limits)
        self._configured = {operation: limit[0] for operation, limit in limits.items()}
        # Created now rather than at the first call, so that they can fill before they are needed.
        self._buckets = {
            operation: TokenBucket(clock, *self._within(*limit), jitter=jitter, even=True)
            for operation, limit in self._limits.items()
        }

    async def acquire(self, operation: str, lane: Lane) -> None:
        """Wait for a turn. Raises RateLimited during a long pause."""
        await self._buckets[operation].acquire(lane)

    def observe(self, operation: str, headers: Mapping[str, str]) -> None:
        """Adopt the rate that Amazon says it applies; ignore a value that cannot be a rate.

        A rate that the operator configured is never exceeded: another program of the same application may use the rest.
        """
        rate = _positive(headers.get("x-amzn-RateLimit-Limit"))
        if rate is not None:
            rate = min(rate, self._configured.get(operation, rate))
            self._buckets[operation].set_rate(*self._within(rate, self._limits[operation][1]))

    def throttled(self, operation: str, retry_after: float | None) -> None:
        """Hold back all callers of the operation after a 429."""
        self._buckets[operation].pause(retry_after or 0.0)
        self._on_pause()

    def pauses(self) -> dict[str, float]:
        """Return the paused operations, and how many seconds each pause still lasts."""
        left = {operation: bucket.pause_left() for operation, bucket in self._buckets.items()}
        return {operation: seconds for operation, seconds in left.items() if seconds > 0}

    def begin_anew(self) -> None:
        """Empty every bucket: another process made these calls until now."""
        for bucket in self._buckets.values():
            bucket.empty()

    def close(self) -> None:
        """Give no more turns: every waiting and later caller gets Transient."""
        for bucket in self._buckets.values():
            bucket.close()

    def levels(self) -> dict[str, float]:
        """Return how many calls of each operation could go right now."""
        return {operation: bucket.level() for operation, bucket in self._buckets.items()}

    def _within(self, rate: float, burst: float) -> tuple[float, float]:
        return rate * self.RATE_MARGIN, max(1.0, burst - rate * self.ARRIVAL_JITTER)


def _positive(value: str | None) -> float | None:
    """Read a rate between one call in a quarter of an hour and 1000 a second; None for anything else."""
    try:
        rate = float(value or "")
    except ValueError:
        return None
    return rate if 0.001 <= rate <= 1000 else None
