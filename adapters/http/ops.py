"""The listener on localhost: metrics, health probes, and the operator's verbs behind a token."""

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from adapters.http.proof import LONGEST_NONCE, PATH, proof
from daemon.errors import McfdError, StoreUnavailable

log = structlog.get_logger(__name__)

Application = web.Application
Verb = Callable[[Mapping[str, object]], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The problems by name, none when all is well; the accounts that are worked here, and what of theirs is parked."""

    problems: Mapping[str, str]
    accounts: Sequence[str] | None = None
    parked: Mapping[str, str] = field(default_factory=dict)


Probe = Callable[[], Awaitable[Readiness]]

MAX_BODY = 64 * 1024


class WatchListener:
    """Serves metrics and probes, which are read-only."""

    def __init__(self, *, render: Callable[[], bytes], health: Probe, ready: Probe) -> None:
        self._render = render
        self._health = health
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Bind; raises OSError when the port is taken."""
        app = web.Application(client_max_size=MAX_BODY)
        self._add_routes(app)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()

    def _add_routes(self, app: web.Application) -> None:
        router = app.router
        router.add_get("/metrics", self._metrics)
        router.add_get("/healthz", self._healthz)
        router.add_get("/readyz", self._readyz)

    @property
    def port(self) -> int:
        """The port that is bound."""
        assert self._runner is not None  # noqa: S101 - asked after start
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close at once; an interrupted operator can ask again."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _: web.Request) -> web.Response:
        return await self._probe(self._health)

    async def _readyz(self, _: web.Request) -> web.Response:
        return await self._probe(self._ready)

    async def _probe(self, probe: Probe) -> web.Response:
        found = await probe()
        status = HTTPStatus.SERVICE_UNAVAILABLE if found.problems else HTTPStatus.OK
        told: dict[str, object] = {"ok": not found.problems, "problems": dict(found.problems)}
        if found.accounts is not None:
            told |= {"accounts": list(found.accounts), "parked": dict(found.parked)}
        return web.json_response(told, status=status)


class OpsListener(WatchListener):
    """Also serves operators on this machine. `verbs` are called with the JSON object that was posted.

    `describe` returns the OpenAPI description of the whole listener, `pages` are applications by their first path.
    """

    def __init__(
        self,
        *,
        render: Callable[[], bytes],
        health: Probe,
        ready: Probe,
        verbs: Mapping[str, Verb],
        describe: Callable[[], Mapping[str, object]],
        token: str,
        pages: Mapping[str, web.Application] | None = None,
    ) -> None:
        super().__init__(render=render, health=health, ready=ready)
        self._verbs = verbs
        self._describe = describe
        self._token = token.encode()
        self._pages = pages or {}

    def _add_routes(self, app: web.Application) -> None:
        super()._add_routes(app)
        router = app.router
        router.add_get("/openapi.json", self._openapi)
        router.add_post(PATH, self._prove)
        router.add_post("/api/{verb}", self._call)
        for path, pages in self._pages.items():
            app.add_subapp(path, pages)

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.json_response(self._describe())

    async def _prove(self, request: web.Request) -> web.Response:
        nonce = request.query.get("nonce", "")[:LONGEST_NONCE]
        return web.json_response({"proof": proof(self._token, self.port, nonce)})

    async def _call(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token):  # as aiohttp decoded it
            return _error(HTTPStatus.UNAUTHORIZED, "the ops token is missing or wrong")
        verb = self._verbs.get(request.match_info["verb"])
        if verb is None:
            return _error(HTTPStatus.NOT_FOUND, "no such verb")
        arguments = await _arguments(request)
        if isinstance(arguments, web.Response):
            return arguments
        return await _perform(request.match_info["verb"], verb, arguments)


async def _perform(name: str, verb: Verb, arguments: Mapping[str, object]) -> web.Response:
    """Run a verb; whatever happens, the answer is JSON with a readable text."""
    try:
        return web.json_response(await verb(arguments))
    except StoreUnavailable as error:
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    except McfdError as error:
        return _error(HTTPStatus.CONFLICT, str(error))
    except OSError as error:  # about a file that the operator named; the daemon's user may not see it
        place = f"{error.filename}: " if error.filename else ""
        return _error(HTTPStatus.CONFLICT, f"{place}{error.strerror or type(error).__name__}")
    except Exception:
        log.exception("verb.failed", verb=name)
        return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "the daemon failed; its log says why")


async def _arguments(request: web.Request) -> dict[str, object] | web.Response:
    """Read the posted arguments, or return the answer to a request that cannot be read."""
    try:
        arguments = json.loads(await request.read() or b"{}", parse_int=_number)
    except web.HTTPRequestEntityTooLarge:
        most = f"the body is larger than {MAX_BODY // 1024} KiB; ask for fewer at once"
        return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, most)
    except (ValueError, RecursionError):
        return _error(HTTPStatus.BAD_REQUEST, "the body is not JSON")
    if not isinstance(arguments, dict):
        return _error(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
    if not _storable(arguments):
        return _error(HTTPStatus.BAD_REQUEST, "an argument holds a number, or a character, that does not exist")
    return arguments


def _number(digits: str) -> int:
    number = int(digits)
    if abs(number) >= 2**63:
        raise ValueError("no number that can be stored")
    return number


def _storable(arguments: Mapping[str, object]) -> bool:
    """Whether the store can take it: not half a surrogate pair, nor a number as large as 1e999."""
    try:
        json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # UnicodeEncodeError is one
        return False
    return True


def _error(status: HTTPStatus, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
