"""Random worlds in which the store is deleted at a random instant, and an operator has everything taken over.

The operator does what the documentation says: `mcfd adopt --open`, again until nothing failed; and for returns that it
hands to a person, a look at Loop's history, which says whether a flag was lifted there.
"""

import random
from dataclasses import replace
from typing import Any

from daemon.domain.returns import State
from daemon.errors import McfdError
from tests.campaign.random_worlds import random_plan
from tests.campaign.simulated import Plan
from tests.support.simulation.world import DAY, HOUR, MINUTE, World

AGAIN_AFTER = MINUTE
MOST_ROUNDS = 500
CALMER = 0.1
"""How often the daemon dies, beside its usual rate: taking over everything is more work than one step."""


def restoring_plan(seed: int, returns: int) -> Plan:
    """The random world of a seed, whose store is lost once and restored from an older backup."""
    return losing_plan(seed, returns, restored=True)


def losing_plan(seed: int, returns: int, *, restored: bool = False) -> Plan:
    """The random world of a seed, whose store is lost once; another one begins, or a backup is restored."""
    plan = random_plan(seed, returns)
    dice = random.Random(f"{seed}/loss")
    instant = plan.spread * dice.random() + dice.choice((MINUTE, HOUR, DAY, 6 * DAY)) * dice.random()
    notice = dice.choice((0.0, MINUTE, 2 * HOUR)) * dice.random()

    calm_dice = random.Random(f"{seed}/calm")

    def before(world: World) -> None:
        if calm_dice.random() < CALMER:
            plan.before(world)

    async def trouble(world: World, usual_dice: random.Random) -> None:
        age = instant * calm_dice.random() if restored else None
        losing = world.loop.create_task(_lose_and_adopt(world, instant, notice, age))
        try:
            if plan.trouble is not None:
                await plan.trouble(world, usual_dice)
            await losing
        finally:
            losing.cancel()

    return replace(plan, trouble=trouble, before=before)


async def _lose_and_adopt(world: World, instant: float, notice: float, age: float | None) -> None:
    """Lose the store at an instant; the operator notices it some seconds later. `age` is that of the backup, if any."""
    copy = world.loaded.settings.store.path.with_name("backup.db") if age is not None else None
    await world.pass_time(instant - (age or 0.0))
    if copy is not None:
        await world.until("a backup", lambda: world.copy_store(copy), within=DAY)
        await world.pass_time(age or 0.0)
    for secret in world.loaded.secrets.accounts[
        "main"
    ].amazon_client_secrets:  # the files have today's, as an alert asks
        world.vendors.lwa.rotate_secret(secret.get_secret_value(), keep_old=True)
    await world.lose_store(copy)
    await world.pass_time(notice)
    for tries in range(1, MOST_ROUNDS):
        summary = await adopt_everything(world)
        if summary is not None and not summary.get("failed"):
            break
        await world.pass_time(min(HOUR, tries * AGAIN_AFTER))  # a vendor may be away for days
    await settle_unflagged(world)


async def adopt_everything(world: World) -> dict[str, int] | None:
    """Ask for everything, page by page; None when it could not be finished."""
    after: int | None = 0
    page: Any = None
    while after is not None:
        try:
            page = await world.ask("adopt", open=True, after=after)
        except McfdError:
            return None
        if page is None:
            return None
        after = page["next"]
    summary: dict[str, int] = page["summary"]
    return summary


async def settle_unflagged(world: World) -> None:
    """A return whose verdict was told and whose flag was never raised is settled by mcfd; a lifted flag stays lifted."""
    for ret in world.returns():
        if ret.state is State.IN_REVIEW and not ret.flagged and ret.adopted_at is not None:
            known = world.vendors.shop.returns[int(ret.return_id)]
            if not any(line["what"].startswith("Loop: review") for line in known.history):
                await world.until("retried", lambda: world.up, within=DAY, every=MINUTE)
                await world.ask("retry", **{"return": ret.ref})
