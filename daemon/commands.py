"""What the command line asks of the composition root.

Each verb loads what it needs when it is called: `check`, which systemd runs before every start and reload, and
`status` must not wait for all of the daemon, nor the daemon for the sandbox.
"""

# ruff: noqa: PLC0415 - see above

import asyncio

import structlog

from config.environment import systemd
from config.load import Loaded

log = structlog.get_logger(__name__)


async def serve(loaded: Loaded) -> None:
    """Run the daemon until a signal stops it."""
    from adapters.clock import SystemClock
    from adapters.systemd import Notifier
    from daemon.app import App
    from daemon.supervisor import install_signals

    surroundings = systemd()
    notifier = Notifier(surroundings.notify_socket, SystemClock())
    app = App(loaded, clock=SystemClock(), notifier=notifier, watchdog=surroundings.watchdog)
    stop = asyncio.Event()
    forget = install_signals(asyncio.get_running_loop(), stop, app.reload)
    try:
        await app.run(stop)
    finally:
        forget()
    log.info("daemon.stopped")


async def ask(loaded: Loaded, verb: str, arguments: dict[str, object], *, offline: bool = False) -> object:
    """Ask the running daemon; when there is none and the verb only reads, read the store under the state lock."""
    from adapters import ops_client

    ops = loaded.settings.listen.ops
    url = f"http://{ops.host if ops.host != '0.0.0.0' else '127.0.0.1'}:{ops.port}"  # noqa: S104 - a wildcard is no address
    try:
        return await ops_client.ask(url, loaded.secrets.ops_token.get_secret_value(), verb, arguments)
    except ops_client.NotRunning:
        if not offline:
            raise
    return await _read_offline(loaded, verb, arguments)


async def _read_offline(loaded: Loaded, verb: str, arguments: dict[str, object]) -> object:
    from adapters.clock import SystemClock
    from adapters.sqlite.lock import StateLock
    from adapters.sqlite.store import open_store
    from daemon.choices import timings
    from daemon.operator import Operator

    with StateLock(loaded.settings.store.path.parent):
        store = await open_store(loaded.settings.store.path)
        try:
            return await Operator(store, SystemClock(), timings(loaded.settings), {}).verbs()[verb](arguments)
        finally:
            await store.close()


async def serve_sandbox(host: str, port: int, webhook_url: str | None) -> None:
    """Run the stand-ins until a signal stops them."""
    from adapters.clock import SystemClock
    from adapters.sandbox import Sandbox, SandboxOptions
    from daemon import tables
    from daemon.supervisor import install_signals

    options = SandboxOptions(
        host=host, control_port=port, amazon_port=port + 1, loop_port=port + 2, webhook_url=webhook_url
    )
    stop = asyncio.Event()
    forget = install_signals(asyncio.get_running_loop(), stop, lambda: None)
    async with Sandbox(options, SystemClock()) as sandbox:
        tables.places(
            "The sandbox listens. Stop it with Ctrl-C.",
            {
                "control": sandbox.control_url,
                "amazon.endpoint": sandbox.amazon_url,
                "amazon.lwa_endpoint": sandbox.lwa_url,
                "shops.*.api_url": sandbox.loop_url,
            },
        )
        await stop.wait()
    forget()
