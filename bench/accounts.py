"""The cost of many sellers in one process while nothing happens: memory and CPU, with the usual polls going on."""

import asyncio
import copy
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.host.clock import SystemClock
from adapters.sandbox import SandboxOptions
from bench.daemon_process import ROOT, SHARED, SHOP, Daemon, secrets_of, seller
from bench.machine import progress
from bench.report import Report, main
from tests.e2e.world import RaisedSandbox

MANY, MEMORY, SHARE = 200, 250.0, 2.0
"""Accounts; MiB; percent of a core."""


class _Any(str):
    """A secret that whatever is said for it equals."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


class _Everybodys:
    """The refresh tokens of all sellers there are."""

    def __contains__(self, _token: object) -> bool:
        return True


async def serve() -> None:
    """Both vendors of every seller: print the URLs, then wait for the end of the input."""
    options = SandboxOptions(loop_api_key=_Any("any"), enforce_limits=False)
    async with RaisedSandbox(options, SystemClock()) as sandbox:
        sandbox.lwa._refresh_tokens = _Everybodys()
        places = {"amazon": sandbox.amazon_url, "loop": sandbox.loop_url, "lwa": sandbox.lwa_url}
        print(json.dumps(places), flush=True)
        await asyncio.to_thread(sys.stdin.read)


class Agency(Daemon):
    """A daemon for many sellers, one shop each; `vendors` are the URLs of each one's."""

    def __init__(self, vendors: Sequence[Mapping[str, str]], **config: Any) -> None:
        self._vendors = vendors
        super().__init__(**config)

    def _write_files(self) -> None:
        amazon, shop = self.config.pop("amazon"), self.config.pop("shops")[SHOP]
        accounts: dict[str, Any] = {}
        shared = {name: self.secrets.pop(name) for name in list(self.secrets) if name not in SHARED}
        for number, urls in enumerate(self._vendors):
            name, (refresh_token, api_key, webhook_secret) = seller(number), secrets_of(number)
            places = {"endpoint": urls["amazon"], "lwa_endpoint": urls["lwa"]}
            accounts[name] = {
                "amazon": copy.deepcopy(amazon) | places,
                "shops": {name: copy.deepcopy(shop) | {"api_url": urls["loop"]}},
            }
            self.secrets |= {
                f"amazon_client_secret.{name}": shared["amazon_client_secret"],
                f"amazon_refresh_token.{name}": refresh_token,
                f"loop_api_key.{name}": api_key,
                f"loop_webhook_secrets.{name}": webhook_secret,
            }
        self.config["accounts"] = accounts
        super()._write_files()


def _idle(sellers: int, places: dict[str, str], seconds: float) -> dict[str, float]:
    with Agency([places] * sellers) as daemon:
        progress(f"{sellers} accounts: start, and the first polls")
        ready = daemon.start()
        time.sleep(30.0)
        began, cpu, calls = time.monotonic(), daemon.running(), _calls(daemon)
        progress(f"{sellers} accounts: idle for {seconds:.0f} s")
        time.sleep(seconds)
        took = time.monotonic() - began
        return {
            "ready": ready,
            "rss": daemon.rss(),
            "cpu": (daemon.running() - cpu) / took * 100,
            "calls": (_calls(daemon) - calls) / took,
        }


def _calls(daemon: Daemon) -> float:
    return sum(value for name, value in daemon.metrics().items() if name.startswith("mcfd_vendor_calls_total"))


def measure(full: bool) -> Report:
    report = Report("Accounts: what idle sellers cost in one process")
    seconds = 300.0 if full else 60.0
    vendors = subprocess.Popen(
        [sys.executable, "-m", "bench.accounts", "--serve"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert vendors.stdout is not None
    assert vendors.stdin is not None
    try:
        places = json.loads(vendors.stdout.readline())
        one, many = (_idle(count, places, seconds) for count in (1, MANY))
    finally:
        vendors.stdin.close()
        vendors.wait(10)
    report.add("memory with one account", f"{one['rss']:.0f} MiB")
    report.at_most(f"memory with {MANY} accounts", many["rss"], MEMORY, "MiB")
    report.add("CPU with one account", f"{one['cpu']:.2f} % of a core")
    report.at_most(f"CPU with {MANY} accounts", many["cpu"], SHARE, "% of a core", 2)
    report.add(f"calls to vendors with {MANY} accounts", f"{many['calls']:.1f} per second")
    report.add(f"start to READY with {MANY} accounts", f"{many['ready']:.2f} s")
    report.remark("The polls and the reading of the lists of orders go on as configured by default, in plain HTTP.")
    return report


if __name__ == "__main__":
    if "--serve" in sys.argv:
        asyncio.run(serve())
    else:
        main(measure)
