"""All measurements, one after the other: `python -m bench [--quick|--full]`. A full run writes bench/RESULTS.md."""

from bench import (
    accounts,
    backlog,
    besieged,
    capacity,
    console,
    cpu,
    held,
    labels,
    nodes,
    notifications,
    postgres,
    saturation,
    soak,
    start_stop,
    webhooks,
    year,
)
from bench.machine import describe
from bench.report import asked_for_full, carry_out, keep

ALL = (
    *(webhooks, postgres, besieged, labels, saturation, notifications, backlog, held, accounts, capacity, start_stop),
    *(console, cpu, nodes, soak, year),
)


def run() -> None:
    """Print each table as soon as it is ready."""
    full = asked_for_full()
    print("\n".join(describe()), "\n", flush=True)
    for script in ALL:
        lines = carry_out(script.measure, full=full)
        print("\n".join(lines), flush=True)
        if full:
            keep(lines)


if __name__ == "__main__":
    run()
