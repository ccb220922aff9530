"""The real App in simulated time, connected to the simulated world instead of to sockets.

Replaced while a world runs: the session of the HTTP client, the sockets of both listeners, the threads of the database
and of the label printer, and the clock of asyncio-throttle, which reads the time by itself.
"""

import asyncio
import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Protocol, cast

import asyncio_throttle.throttler
from aiohttp import web
from multidict import CIMultiDict

from adapters.http.ops import OpsListener
from adapters.http.public import PublicListener
from adapters.labels.document import text_of
from adapters.sandbox import SandboxOptions
from adapters.sqlite.store import SqliteStore, open_store
from config.load import Loaded
from config.model import Settings
from config.secret_files import Secrets
from daemon.app import accounts as vendors
from daemon.app import listeners, notifications, stores
from daemon.domain.slips import SlipParcel
from tests.support.simulation.line import Line
from tests.support.simulation.queue import URL, ProcessQueue
from tests.support.simulation.vendors import NEIGHBOUR, SHOP
from tests.support.simulation.virtual_loop import current_process


class Home(Protocol):
    """The environment of a daemon process, available as its `home`."""

    store: SqliteStore | None
    public: "Door | None"
    verbs: Mapping[str, Any]

    def line(self, user_agent: str) -> Line:
        """Open a line to the vendors."""

    def queue(self) -> ProcessQueue:
        """The line to the queue."""


SOURCES = {True: "amazon_shipping", "easypost": "easypost"}
"""Where labels are bought."""


def configuration(
    path: Path,
    options: SandboxOptions,
    *,
    buys_labels: bool | str = False,
    pushed: bool = False,
    neighbour: bool = False,
    **sections: Mapping[str, Any],
) -> Loaded:
    """Build an operator's configuration for the simulated vendors; `sections` are merged into it."""
    document: dict[str, Any] = {
        "public_url": "https://returns.test",
        "listen": {"public": "127.0.0.1:0", "ops": "127.0.0.1:0"},
        "store": {"path": str(path)},
        "amazon": {
            "client_id": options.client_id,
            "endpoint": "https://amazon.test",
            "lwa_endpoint": "https://amazon.test/auth/o2/token",
            "label_source": SOURCES.get(buys_labels, "rma_page"),
        },
        "easypost": {"api_url": "https://easypost.test/v2", "label_hosts": ["easypost.test"]},
        "shops": {SHOP: {"api_url": "https://loop.test/api", "order_id_templates": ["{order_name}"]}},
    }
    if pushed:
        document["amazon"]["notifications"] = {"queue_url": URL}
    for name, section in sections.items():
        document[name] = {**document.get(name, {}), **section}
    document["shops"][SHOP] |= document.pop("shop", {})
    if neighbour:
        document["shops"][NEIGHBOUR] = document["shops"][SHOP] | {"api_url": f"https://{NEIGHBOUR}.test/api"}
    shops = list(document["shops"])
    secrets = Secrets.model_validate(
        {
            "accounts": {
                "main": {
                    "amazon_client_secrets": [options.client_secret],
                    "amazon_refresh_token": options.refresh_token,
                    "amazon_return_service_id": options.return_service_id if buys_labels is True else None,
                    "easypost_api_key": options.easypost_api_key if buys_labels == "easypost" else None,
                }
            },
            "loop_api_keys": dict.fromkeys(shops, options.loop_api_key),
            "loop_webhook_secrets": {shop: [options.webhook_secret] for shop in shops},
            "vault_keys": [base64.urlsafe_b64encode(bytes(32)).decode()],
            "ops_token": "there are no people in this world",
        }
    )
    return Loaded(Settings.model_validate(document), secrets, ())


@contextmanager
def simulated_doors() -> Iterator[None]:
    """Make every daemon started inside use the home of its process."""
    with ExitStack() as stack:
        for module, stand_ins in _STAND_INS:
            stack.enter_context(_replaced(module, stand_ins))
        yield


@contextmanager
def _replaced(module: ModuleType, stand_ins: Mapping[str, object]) -> Iterator[None]:
    real = {name: getattr(module, name) for name in stand_ins}
    vars(module).update(stand_ins)
    try:
        yield
    finally:
        vars(module).update(real)


class Door(PublicListener):
    """The public listener without its socket; requests are passed to it directly."""

    port = 0  # type: ignore[assignment]

    async def start(self, host: str, port: int) -> None:
        _home().public = self

    async def stop(self, drain_seconds: float) -> None:
        _home().public = None

    async def deliver(self, shop: str, signature: str, body: bytes) -> web.StreamResponse:
        """Answer one delivery."""
        return await self._answer(_Delivery(f"/webhooks/loop/{shop}", signature, body))  # type: ignore[arg-type]


class _Delivery:
    """The part of aiohttp's request that the listener uses."""

    method = "POST"
    transport = None

    def __init__(self, path: str, signature: str, body: bytes) -> None:
        self.path = path
        self.headers = CIMultiDict({"X-Loop-Signature": signature, "Content-Type": "application/json"})
        self.content_length = len(body)
        self._body = body

    @property
    def content(self) -> "_Delivery":
        return self

    def is_eof(self) -> bool:
        return True

    async def iter_any(self) -> Any:
        yield self._body


class _OpsDoor(OpsListener):
    port = 0  # type: ignore[assignment]

    async def start(self, host: str, port: int) -> None:
        _home().verbs = self._verbs

    async def stop(self) -> None:
        """Do nothing: there is no socket to close."""


def _home() -> Home:
    process = current_process()
    assert process is not None, "only a simulated process has doors"
    home: Home = process.home
    return home


async def _open_store(path: Path) -> SqliteStore:
    store = _home().store = await open_store(path, inline=True)
    # The simulation kills processes, never the machine.
    await store._writer.read(lambda connection: connection.execute("PRAGMA synchronous = OFF"))
    store.reader = partial(_read_beside, store)  # type: ignore[method-assign]
    return store


async def _read_beside(store: SqliteStore) -> SqliteStore:
    """A connection of its own would have a thread, which would not be simulated."""
    return cast("SqliteStore", SimpleNamespace(read=store.read, survey=store.survey, close=_nothing))


async def _nothing() -> None:
    pass


def _open_session(user_agent: str, **_: bool) -> Line:
    return _home().line(user_agent)


async def _open_queue(_current: object, _url: str) -> ProcessQueue:
    return _home().queue()


async def _print(parcels: Sequence[SlipParcel], order_name: str) -> bytes:
    """Join all labels, which is enough of printing here."""
    return b"\n".join([order_name.encode(), *(p.label_pdf or p.rma_id.encode() for p in parcels)])


async def _read(label: bytes) -> str:
    """Reading beside the loop is a thread, which would not be simulated."""
    return text_of(label)


_STAND_INS: Sequence[tuple[ModuleType, Mapping[str, object]]] = (
    (stores, {"open_file": _open_store}),
    (vendors, {"open_session": _open_session, "print_labels": _print, "read_text": _read}),
    (notifications, {"open_queue": _open_queue}),
    (listeners, {"PublicListener": Door, "OpsListener": _OpsDoor}),
    (
        asyncio_throttle.throttler,
        {"time": SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())},
    ),
)
