"""Two sellers in one daemon, each with vendors of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.sandbox import Sandbox, SandboxOptions
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.world import CLOCK, RaisedSandbox, World, configuration, fresh_secret, secret_files, tell

ACME, ZETA = "acme", "zeta"
OF_ACCOUNTS = ("amazon_client_secret", "amazon_refresh_token")


@dataclass
class Seller(World):
    """One seller's world; `shop` is the shop, the account has the same name."""

    shop: str = ACME

    async def state(self, return_id: int | str, *states: str) -> dict[str, Any]:
        """Wait until the daemon holds this seller's return in one of these states; what it shows then."""
        return await super().state(f"{self.shop}/{return_id}", *states)

    def subscribe(self) -> None:
        """Let this seller's Loop deliver to where the daemon listens now."""
        self.sandbox.set_webhook_url(f"http://127.0.0.1:{self.daemon.public_port}/webhooks/loop/{self.shop}")


def account(folder: Path, sandbox: Sandbox, shop: str) -> dict[str, Any]:
    """The sections of a seller whose vendors are this sandbox."""
    file = configuration(folder, sandbox, {}, {})
    return {"amazon": file["amazon"], "shops": {shop: file["shops"]["acme"]}}


def secrets_of(sandbox: Sandbox, shop: str) -> dict[str, str]:
    """The secret files of a seller."""
    known = secret_files(sandbox.options)
    loop = {f"{kind}.{shop}": known[f"{kind}.acme"] for kind in ("loop_api_key", "loop_webhook_secrets")}
    return loop | {f"{kind}.{shop}": known[kind] for kind in OF_ACCOUNTS}


async def _vendors(stack: AsyncExitStack) -> Sandbox:
    options = SandboxOptions(
        client_secret=fresh_secret("lwa"),
        refresh_token=fresh_secret("refresh"),
        loop_api_key=fresh_secret("loop"),
        webhook_secret=fresh_secret("webhook"),
        process_after=0.05,
        retry_unit=0.2,
        enforce_limits=False,
    )
    return await stack.enter_async_context(RaisedSandbox(options, CLOCK))


@asynccontextmanager
async def sellers(
    folder: Path, config: Mapping[str, Any] | None = None, **timings: str
) -> AsyncIterator[tuple[Seller, Seller]]:
    """Both sellers, and the running daemon that serves them; `config` replaces sections of its configuration."""
    async with AsyncExitStack() as stack:
        both = {name: await _vendors(stack) for name in (ACME, ZETA)}
        file = configuration(folder, both[ACME], timings, {})
        shared = secret_files(both[ACME].options)
        config = {key: value for key, value in file.items() if key not in {"amazon", "shops"}} | dict(config or {})
        config["accounts"] = {name: account(folder, sandbox, name) for name, sandbox in both.items()}
        secrets = {name: shared[name] for name in ("vault_keys", "ops_token")}
        for name, sandbox in both.items():
            secrets |= secrets_of(sandbox, name)
        daemon = DaemonProcess(folder, config, secrets)
        acme, zeta = (Seller(sandbox, daemon, shop=name) for name, sandbox in both.items())
        try:
            await daemon.start()
            for one in (acme, zeta):
                one.subscribe()
            yield acme, zeta
            if daemon.running:
                assert await daemon.sigterm() == 0
        except BaseException:
            tell(daemon.lines[-60:])
            raise
        finally:
            if daemon.running:
                await daemon.sigkill()
