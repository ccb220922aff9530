"""How much of Amazon's rate limit is used during a backlog, and what it costs labels (virtual time)."""

import random

from bench.machine import progress
from bench.report import Report, main
from bench.seed import seed
from bench.virtual_daemon import RATE, READ, living, run_virtual
from daemon.ports.vendors import Lane
from tests.support.builders import a_shipment, an_order
from tests.support.virtual_time import FakeClock

WARM = 60.0


def simulate(seconds: float, backlog: int, rate: float) -> tuple[float, int, list[float]]:
    """Return the share of allowed reads made, the 429s, and the sorted waits of looks for labels."""

    async def work(clock: FakeClock) -> tuple[float, int, list[float]]:
        def prepare(path: object) -> None:
            seed(path, backlog, clock.now(), due_in=(0.0, 1.0))  # type: ignore[arg-type]

        chance = random.Random(13)
        async with living(clock, lambda: chance.lognormvariate(3.0, 0.47), seed=3, prepare=prepare) as daemon:
            for n in range(1, backlog + 1):
                daemon.network.add(an_order(f"#{100000 + n}", a_shipment("DsV8pRlkr", **{"SOCK-2P-M": 1})))
            daemon.submitting(rate)
            await daemon.wait(WARM)
            before, waits = daemon.network.served[READ], len(daemon.network.waited[Lane.OPENING])
            await daemon.wait(seconds)
            served = daemon.network.served[READ] - before
            return (
                served / (RATE * seconds),
                daemon.network.refused,
                sorted(daemon.network.waited[Lane.OPENING][waits:]),
            )

    return run_virtual(work)


def measure(full: bool) -> Report:
    report = Report("Saturation: the allowance used while a backlog waits (virtual time)")
    seconds, rate = (3600.0, 0.2) if full else (600.0, 0.2)
    progress("with a backlog")
    share, refused, waits = simulate(seconds, int(2.2 * (seconds + WARM)), rate)
    progress("without")
    _, also, alone = simulate(seconds, 0, rate)
    report.at_least("reads served / allowed, backlog of reconciliation", share * 100, 98, "%", 1)
    report.add("429s", str(refused + also), "0", refused + also == 0)
    at = [values[int(0.99 * len(values))] for values in (alone, waits)]
    report.add(f"p99 wait of label reads at {rate} returns/s", f"alone {at[0]:.2f} s, with the backlog {at[1]:.2f} s")
    report.remark("in a backlog every tenth turn is reconciliation's, and no turns are saved up for bursts")
    return report


if __name__ == "__main__":
    main(measure)
