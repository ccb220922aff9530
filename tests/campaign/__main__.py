"""Random worlds for as long as one likes: `python -m tests.campaign --seed 1 --returns 40 --worlds 100`.

A world that ends badly is printed with the command that replays it, and the run goes on; the exit status is 1 then.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from tests.campaign.lost_stores import losing_plan, restoring_plan
from tests.campaign.nodes import nodes_world
from tests.campaign.random_worlds import random_plan
from tests.campaign.real_losses import lost_world
from tests.campaign.simulated import Simulation

Live = Callable[[int, int], bool]
"""Lets the world of a seed live with so many returns, and says whether it ended well."""


@click.command()
@click.option("--seed", default=1, show_default=True, help="The first world's; the others follow one by one.")
@click.option("--returns", default=40, show_default=True, help="Stories in each world.")
@click.option("--lost", is_flag=True, help="The store is deleted once in each world, and everything taken over.")
@click.option("--worlds", default=50, show_default=True, help="How many worlds; 0 goes on until it is interrupted.")
@click.option("--restored", is_flag=True, help="An older backup is restored once in each world, and compared.")
@click.option("--real", is_flag=True, help="With --lost or --restored: the real process between real sockets.")
@click.option("--nodes", default=0, help="So many real processes that share PostgreSQL; --returns 12 suits them.")
@click.option("--trouble", multiple=True, help="With --nodes: happens in this order, instead of anything that may.")
def campaign(
    seed: int,
    returns: int,
    worlds: int,
    *,
    lost: bool,
    restored: bool,
    real: bool,
    nodes: int,
    trouble: tuple[str, ...],
) -> None:
    """Let random worlds live, one after the other, and judge each."""
    if (lost and restored) or (real and not (lost or restored)):
        raise click.UsageError("say one of --lost and --restored, with or without --real; or neither, without --real")
    if nodes and (lost or restored):
        raise click.UsageError("--nodes stands alone, with or without --trouble")
    bad: list[int] = []
    number = 0
    with tempfile.TemporaryDirectory() as folder:
        if nodes:
            live = _nodes(Path(folder), nodes, trouble)
        elif real:
            live = _real(Path(folder), restored=restored)
        else:
            live = _simulated(Path(folder), lost=lost, restored=restored)
        while number < worlds or worlds == 0:
            bad += [] if live(seed + number, returns) else [seed + number]
            number += 1
    click.echo(f"{number} worlds, {len(bad)} ended badly{': ' if bad else ''}{', '.join(map(str, bad))}")
    sys.exit(1 if bad else 0)


def _simulated(folder: Path, *, lost: bool, restored: bool) -> Live:
    plan = restoring_plan if restored else losing_plan if lost else random_plan
    options = " --restored" if restored else " --lost" if lost else ""
    simulation = Simulation(folder)

    def live(seed: int, returns: int) -> bool:
        outcome = simulation.run(plan(seed, returns))
        lives = f"{outcome.days:.0f} days, {outcome.starts} starts, {outcome.calls} calls"
        return _tell(seed, f"{outcome.returns} returns, {lives}", outcome.wrong, f"{options} --returns {returns}")

    return live


def _real(folder: Path, *, restored: bool) -> Live:
    options = "--real --restored" if restored else "--real --lost"

    def live(seed: int, returns: int) -> bool:
        place = folder / str(seed)
        place.mkdir()
        outcome = asyncio.run(lost_world(place, seed, returns, restored=restored))
        lives = f"{outcome.seconds:.0f} s, {'; '.join(outcome.told)}"
        return _tell(seed, f"{outcome.returns} returns, {lives}", outcome.wrong, f" {options} --returns {returns}")

    return live


def _nodes(folder: Path, nodes: int, troubles: Sequence[str]) -> Live:
    options = "".join([f" --nodes {nodes}", *(f" --trouble {name}" for name in troubles)])

    def live(seed: int, returns: int) -> bool:
        place = folder / str(seed)
        place.mkdir()
        outcome = asyncio.run(nodes_world(place, seed, returns, nodes=nodes, kinds=troubles))
        if outcome.wrong:
            click.echo(f"what the nodes said: {shutil.copy(place / 'log', f'nodes-{seed}.log')}")
        lives = f"{outcome.seconds:.0f} s, {'; '.join(outcome.told)}"
        return _tell(seed, f"{outcome.returns} returns, {lives}", outcome.wrong, f"{options} --returns {returns}")

    return live


def _tell(seed: int, lives: str, wrong: Sequence[str], options: str) -> bool:
    """Say how a world ended; whether it ended well."""
    click.echo(f"world {seed}: {lives}: {'wrong' if wrong else 'well'}")
    for what in wrong:
        click.echo(f"    {what}")
    if wrong:
        click.echo(f"    replay it: python -m tests.campaign{options} --worlds 1 --seed {seed}")
    return not wrong


if __name__ == "__main__":
    campaign()
