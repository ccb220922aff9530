"""All measurements, one after the other: `python -m bench [--quick|--full]`. A full run writes bench/RESULTS.md."""

from pathlib import Path

from bench import capacity, cpu, held, labels, saturation, soak, start_stop, webhooks
from bench.machine import describe
from bench.report import asked_for_full, carry_out

ALL = (webhooks, labels, saturation, held, capacity, start_stop, cpu, soak)
RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = """# Results of the last full run

Made by `.venv/bin/python -m bench --full`. Ratios compare what was measured within this run; the absolute figures are
this machine's, whose cores the load generator shares with the daemon.
"""


def run() -> None:
    """Print each table as soon as it is there."""
    full = asked_for_full()
    said = [HEAD, *(f"- {line}" for line in describe()), ""]
    print("\n".join(said), flush=True)
    for script in ALL:
        lines = carry_out(script.measure, full=full)
        print("\n".join(lines), flush=True)
        said += lines
        if full:
            RESULTS.write_text("\n".join(said))


if __name__ == "__main__":
    run()
