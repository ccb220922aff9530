"""The `mcfd sandbox` command: stand-ins of the vendors, with or without a scenario that runs by itself."""

# ruff: noqa: PLC0415 - no other verb needs the stand-ins

from typing import Any

import click

from daemon.cli.options import example, plainly, run_loop
from daemon.errors import ConfigError, McfdError

PACE = "What the waits of a scenario are multiplied by."
FACTOR = "What the vendors' own times are multiplied by: the lives of tokens and rates, Retry-After."


@click.command(
    epilog=example(
        "mcfd sandbox --webhook-url http://127.0.0.1:8080/webhooks/loop/acme",
        "mcfd sandbox --scenario damaged --pace 0.001",
    )
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port",
    type=click.IntRange(0, 65532),
    default=9500,
    show_default=True,
    help="The first of four: control, Amazon, Loop, EasyPost; 0: any.",
)
@click.option(
    "--webhook-url", default=None, help="Where Loop delivers, such as http://127.0.0.1:8080/webhooks/loop/acme"
)
@click.option(
    "--queue-url", default=None, help="Where Amazon's notifications go: an SQS queue of moto's server, LocalStack, …"
)
@click.option("--scenario", default=None, metavar="FILE", help="A YAML file to play, or the name of a shipped one.")
@click.option("--seed", type=int, default=None, help="What chance starts from, for faults and retries.")
@click.option("--pace", type=click.FloatRange(min=0), default=1.0, show_default=True, help=PACE)
@click.option("--time-factor", type=click.FloatRange(min=0), default=None, help=FACTOR)
@plainly
def sandbox(scenario: str | None, pace: float, port: int, **options: Any) -> None:  # noqa: ANN401 - the sandbox's own options
    """Run stand-ins of Amazon, Loop and EasyPost on this machine.

    The control port has a page to play with, an OpenAPI description and the control API. A scenario's step that cannot
    be done ends the sandbox with exit code 1; after the last one it goes on.
    """
    from config.logging.setup import configure

    configure("console", "warning", under_systemd=False)
    names = ("control_port", "amazon_port", "loop_port", "easypost_port")
    ports = {name: port and port + n for n, name in enumerate(names)}
    given = {name: value for name, value in options.items() if value is not None}
    run_loop(_serve(scenario, pace, ports | given))


async def _serve(scenario: str | None, pace: float, given: dict[str, Any]) -> None:
    """Run the stand-ins until a signal stops them."""
    import asyncio
    from contextlib import AsyncExitStack

    from adapters.host.clock import SystemClock
    from adapters.sandbox import Sandbox, SandboxOptions
    from adapters.sandbox.control.scenario import Scenario, ScenarioError, find, play, read
    from daemon.app.listeners import telling
    from daemon.engine.supervisor import install_signals

    clock, stop = SystemClock(), asyncio.Event()
    try:
        story = read(find(scenario)) if scenario else Scenario("", {}, ())
        options = SandboxOptions(**{**story.options, **given})
    except ScenarioError as error:
        raise ConfigError([f"{scenario}: {problem}" for problem in error.problems]) from error
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    forget = install_signals(asyncio.get_running_loop(), stop, lambda: None)
    where = f"the sandbox at {options.host}:{options.control_port} and up"
    async with AsyncExitStack() as stack:
        with telling(where, "give --host or --port"):
            running = await stack.enter_async_context(Sandbox(options, clock))
        _tell_places(running.control_url, running.amazon_url, running.lwa_url, running.loop_url, running.easypost_url)
        try:
            await play(story, running, clock, stop, tell=click.echo, pace=pace)
        except ScenarioError as error:
            raise McfdError(f"{scenario}: {error}") from error
        await stop.wait()
    forget()


def _tell_places(control: str, amazon: str, lwa: str, loop: str, easypost: str) -> None:
    from daemon.cli import output

    output.places(
        "The sandbox listens. Stop it with Ctrl-C.",
        {
            "page": control.removesuffix("control"),
            "control": control,
            "amazon.endpoint": amazon,
            "amazon.lwa_endpoint": lwa,
            "shops.*.api_url": loop,
            "easypost.api_url": easypost,
        },
    )
