"""Random worlds for as long as one likes: `python -m tests.campaign --seed 1 --returns 40 --worlds 100`.

A world that ends badly is printed with the command that replays it, and the run goes on; the exit status is 1 then.
"""

import sys
import tempfile
from pathlib import Path

import click

from tests.campaign.lost_stores import losing_plan, restoring_plan
from tests.campaign.random_worlds import random_plan
from tests.campaign.simulated import Outcome, Simulation


@click.command()
@click.option("--seed", default=1, show_default=True, help="The first world's; the others follow one by one.")
@click.option("--returns", default=40, show_default=True, help="Stories in each world.")
@click.option("--lost", is_flag=True, help="The store is deleted once in each world, and everything taken over.")
@click.option("--worlds", default=50, show_default=True, help="How many worlds; 0 goes on until it is interrupted.")
@click.option("--restored", is_flag=True, help="An older backup is restored once in each world, and compared.")
def campaign(seed: int, returns: int, worlds: int, *, lost: bool, restored: bool) -> None:
    """Let random worlds live, one after the other, and judge each."""
    plan = restoring_plan if restored else losing_plan if lost else random_plan
    bad: list[int] = []
    number = 0
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(Path(folder))
        while number < worlds or worlds == 0:
            outcome = simulation.run(plan(seed + number, returns))
            _tell(seed + number, returns, outcome)
            bad += [seed + number] if outcome.wrong else []
            number += 1
    click.echo(f"{number} worlds, {len(bad)} ended badly{': ' if bad else ''}{', '.join(map(str, bad))}")
    sys.exit(1 if bad else 0)


def _tell(seed: int, returns: int, outcome: Outcome) -> None:
    lives = f"{outcome.days:.0f} days, {outcome.starts} starts, {outcome.calls} calls"
    click.echo(f"world {seed}: {outcome.returns} returns, {lives}: {'wrong' if outcome.wrong else 'well'}")
    for what in outcome.wrong:
        click.echo(f"    {what}")
    if outcome.wrong:
        click.echo(f"    replay it: make campaign SEED={seed} RETURNS={returns} WORLDS=1")


if __name__ == "__main__":
    campaign()
