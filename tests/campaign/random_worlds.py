"""Random worlds: many returns of every kind, and everything that can go wrong with vendors, messages and the daemon.

A seed is a world, callback by callback: what failed once fails again.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from adapters.sandbox import Fault, SandboxOptions
from tests.campaign.scenarios import KINDS
from tests.campaign.scenarios_vendors import NAMESAKES
from tests.campaign.scene import ECHO, Kind
from tests.campaign.simulated import Plan
from tests.support.simulation.world import DAY, HOUR, MINUTE, World

HUNG = 45.0
"""Seconds of silence: longer than the daemon waits for an answer."""

SAFE_LATE = (
    "createFulfillmentReturn",
    "purchaseShipment",
    "buy_shipment",
    "createLabel",
    "flagReturn",
    "processReturn",
)
"""Calls that may arrive after their time-out. A note or a grade that does is written twice: nobody can prevent that."""


READS = ("getReturnDetails", "getLabelRequest", "listLabelRequests", "listReturns")
"""What Loop may answer with an empty 200 and no harm. An error inside its 200 is a refusal there, and meant."""


def random_plan(seed: int, returns: int) -> Plan:
    """The world of a seed. All its dice are its own, so that nothing outside changes it."""
    dice = random.Random(seed)
    neighbour = dice.random() < 0.3
    kinds: Sequence[Kind] = dice.choices((*KINDS, *NAMESAKES) if neighbour else KINDS, k=returns)
    return Plan(
        kinds=kinds,
        seed=seed,
        buys_labels=dice.choice((False, True, "easypost")),
        neighbour=neighbour,
        options=_options(seed, dice),
        spread=dice.choice((0.0, 10 * MINUTE, DAY)),
        latency=_latency(random.Random(f"{seed}/latency"), dice.choice((0.02, 0.3, 3.0))),
        before=_crashes(random.Random(f"{seed}/crashes"), dice.choice((0.0, 1 / 3000, 1 / 800, 1 / 250))),
        pushed=random.Random(f"{seed}/pushed").random() < 2 / 3,
        trouble=_trouble(dice.choice((0.0, 0.01, 0.03)), dice.choice((0.0, 0.1, 0.1, 1.0))),
        storms=True,
    )


def _options(seed: int, dice: random.Random) -> SandboxOptions:
    return SandboxOptions(
        seed=seed,
        label_after=dice.choice((0.0, 0.0, 5.0, 200.0)),
        documents_after=dice.choice((0.0, 0.0, 20.0)),
        sale_shows_after=dice.choice((0.0, 0.0, 60.0)),
        process_after=dice.choice((0.0, 30.0, 240.0)),
        list_page_size=dice.choice((2, 50)),
        bad_reason=dice.choice(("request", "item")),
        notes_shape=dice.choice(("object", "array")),
        list_of_orders=random.Random(f"{seed}/list").choice(("ends", "ends", "repeats", "empty")),
        **_oddities(random.Random(f"{seed}/oddities")),
    )


def _oddities(dice: random.Random) -> dict[str, Any]:
    """What real vendors do beside their pages."""
    return {
        "order_statuses": dice.choice(("mixed", "capitals")),
        "shipment_ids": dice.choice(("known", "any")),
        "idempotency": dice.choice(("key", "key_and_body")),
        "item_value": dice.choice(("required", "optional")),
        "label_pdf": dice.choice(("plain", "locked")),
        "list_of_returns": dice.choice(("ends", "ends", "repeats")),
        "tracking_after": dice.choice((0.0, 0.0, 60.0)),
        "reads_lag": dice.choice((0.0, 0.0, 600.0)),
        "vendors_ahead": dice.choice((0.0, 0.0, -90.0, 120.0)),
    }


def _latency(dice: random.Random, longest: float) -> Callable[[], float]:
    return lambda: dice.uniform(0.01, longest)


def _crashes(dice: random.Random, rate: float) -> Callable[[World], None]:
    """The daemon dies at any callback with that probability."""

    def before(world: World) -> None:
        if rate and dice.random() < rate:
            world.kill()

    return before


def faults(rate: float, lost: float) -> list[Fault]:
    """Every way in which vendors fail, each with a small probability, on every route."""
    if not rate:
        return webhooks(lost) + notifications(lost)
    everyone = ("amazon", "shipping", "easypost", "loop")
    found = [Fault(vendor=v, kind="status", status=s, probability=rate) for v in everyone for s in (429, 500, 503)]
    for vendor in everyone:
        for late in (False, True):
            found.append(Fault(vendor=vendor, kind="drop", probability=rate, after_effect=late))
            found.append(Fault(vendor=vendor, kind="hang", seconds=HUNG, probability=rate / 2, after_effect=late))
            found.append(Fault(vendor=vendor, kind="status", status=502, probability=rate, after_effect=late))
            found.append(Fault(vendor=vendor, kind="error", status=500, probability=rate, after_effect=late, says=ECHO))
        found.append(Fault(vendor=vendor, kind="delay", seconds=10.0, probability=rate))
    for operation in SAFE_LATE:
        vendor = {"createFulfillmentReturn": "amazon", "purchaseShipment": "shipping", "buy_shipment": "easypost"}.get(
            operation, "loop"
        )
        found.append(Fault(vendor=vendor, operation=operation, kind="delay", seconds=HUNG, probability=rate))
    for vendor in ("amazon", "shipping", "easypost"):
        found += [
            Fault(vendor=vendor, kind="contradiction", probability=rate, after_effect=late) for late in (False, True)
        ]
        found.append(Fault(vendor=vendor, kind="empty", probability=rate, after_effect=True))
    found += [Fault(vendor="loop", operation=read, kind="empty", probability=rate) for read in READS]
    found += [Fault(vendor="lwa", kind=kind, probability=2 * rate) for kind in ("status", "empty", "contradiction")]
    found += [Fault(vendor="queue", kind="error", status=s, probability=rate) for s in (403, 429, 503)]
    for late in (False, True):
        found.append(Fault(vendor="queue", kind="drop", probability=rate, after_effect=late))
        found.append(Fault(vendor="queue", kind="hang", probability=rate, after_effect=late))
    return found + webhooks(lost) + notifications(lost)


def notifications(lost: float) -> list[Fault]:
    """Messages about orders that are lost, doubled, late, in another order, another seller's, or unreadable."""
    if not lost:
        return []
    about = {"vendor": "notification", "operation": "FULFILLMENT_ORDER_STATUS", "probability": lost}
    return [
        Fault(kind="lose", **about),
        Fault(kind="duplicate", **about),
        Fault(kind="delay", seconds=5 * HOUR, **about),
        Fault(kind="reorder", seconds=HOUR, **about),
        Fault(kind="foreign", **about),
        Fault(kind="malformed", **about),
    ]


def webhooks(lost: float) -> list[Fault]:
    """Deliveries that are lost, doubled, late, or in another order."""
    if not lost:
        return []
    return [
        Fault(vendor="webhook", kind="lose", probability=lost),
        Fault(vendor="webhook", kind="duplicate", probability=lost),
        Fault(vendor="webhook", kind="delay", seconds=5 * HOUR, probability=lost),
        Fault(vendor="webhook", kind="reorder", seconds=HOUR, probability=lost),
    ]


def _trouble(rate: float, lost: float) -> Callable[[World, random.Random], object]:
    async def trouble(world: World, dice: random.Random) -> None:
        usual = faults(rate, lost)
        world.vendors.set_faults(usual)
        for _ in range(dice.randint(0, 4)):
            await world.pass_time(dice.uniform(0, 1.5 * DAY))
            await dice.choice(_MISHAPS)(world, dice, usual)

    return trouble


async def _outage(world: World, dice: random.Random, usual: list[Fault]) -> None:
    """One vendor answers nobody for some hours."""
    vendor = dice.choice(("amazon", "shipping", "easypost", "loop", "lwa", "queue"))
    kind = dice.choice(("drop", "status"))
    status = dice.choice((429, 500, 503))
    world.vendors.set_faults([Fault(vendor=vendor, kind=kind, status=status), *usual])
    await world.pass_time(dice.uniform(MINUTE, 8 * HOUR))
    world.vendors.set_faults(usual)


async def _downtime(world: World, dice: random.Random, usual: list[Fault]) -> None:
    """The daemon is down for some hours."""
    await world.down_for(dice.uniform(MINUTE, 10 * HOUR))


async def _consent(world: World, dice: random.Random, usual: list[Fault]) -> None:
    """The seller takes the consent back, and gives it again."""
    world.vendors.revoke_access()
    world.vendors.expire_access_tokens()
    await world.pass_time(dice.uniform(MINUTE, 4 * HOUR))
    world.vendors.restore_access()


async def _tokens(world: World, dice: random.Random, usual: list[Fault]) -> None:
    """All access tokens end at once."""
    world.vendors.expire_access_tokens()


async def _jump(world: World, dice: random.Random, usual: list[Fault]) -> None:
    """The wall clock is wrong for some hours: by minutes, by hours, or by days."""
    seconds = dice.choice((-1, 1)) * dice.choice((MINUTE, HOUR, 7 * HOUR, DAY, 4 * DAY))
    world.jump(seconds)
    await world.pass_time(dice.uniform(MINUTE, 8 * HOUR))
    world.jump(-seconds)


async def _secret(world: World, dice: random.Random, usual: list[Fault]) -> None:
    """Amazon replaces the client secret, and says so in the queue alone; the old one soon ends, with its tokens."""
    if world.vendors.notifications.queue is not None:
        overlap = dice.uniform(0.0, HOUR)
        world.vendors.notifications.new_secret(world.vendors.lwa.next_secret(overlap))
        await world.pass_time(overlap)
        world.vendors.expire_access_tokens()


async def _brown_out(world: World, dice: random.Random, usual: list[Fault]) -> None:
    """A vendor refuses five of six calls for hours, and asks for a long pause."""
    vendor = dice.choice(("amazon", "shipping", "easypost", "loop"))
    pause = dice.choice((0.0, 2.0, 60.0, 1800.0))
    world.vendors.set_faults(
        [Fault(vendor=vendor, kind="error", status=429, probability=5 / 6, retry_after=pause), *usual]
    )
    await world.pass_time(dice.uniform(10 * MINUTE, 8 * HOUR))
    world.vendors.set_faults(usual)


async def _old_secret(world: World, dice: random.Random, usual: list[Fault]) -> None:
    """After the client secret was rotated, the API says for a while that it has expired, though tokens are issued."""
    says = "The LWA secret token you provided has expired."
    told = {"kind": "error", "status": 403, "code": "Unauthorized", "says": says}
    world.vendors.set_faults([*(Fault(vendor=v, **told) for v in ("amazon", "shipping")), *usual])  # type: ignore[arg-type]
    await world.pass_time(dice.uniform(MINUTE, 2 * HOUR))
    world.vendors.set_faults(usual)


async def _deaf(world: World, dice: random.Random, usual: list[Fault]) -> None:
    """No webhook arrives for a day."""
    world.vendors.set_faults([Fault(vendor="webhook", kind="lose"), *usual])
    await world.pass_time(dice.uniform(HOUR, DAY))
    world.vendors.set_faults(usual)


async def _gone_for_days(world: World, dice: random.Random, usual: list[Fault]) -> None:
    """A vendor answers nobody for days."""
    vendors = dice.choice((("amazon", "shipping"), ("loop",)))
    world.vendors.set_faults([*(Fault(vendor=vendor, kind="status", status=503) for vendor in vendors), *usual])
    await world.pass_time(dice.uniform(DAY, 3 * DAY))
    world.vendors.set_faults(usual)


_MISHAPS = (
    *(_outage, _downtime, _consent, _tokens, _jump, _jump, _secret, _brown_out, _old_secret, _deaf, _gone_for_days),
)


def calm(plan: Plan) -> Plan:
    """The same returns with nothing going wrong."""
    return replace(plan, trouble=None, before=lambda _world: None, latency=None)
