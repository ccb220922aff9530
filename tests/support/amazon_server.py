"""A real HTTP server with scripted answers, which records its requests."""

from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from adapters.amazon_mcf.limits import AmazonLimits
from adapters.vendor_calls.transport import Transport, open_session
from tests.support.virtual_time import FakeClock

USER_AGENT = "mcfd/1.0 (Language=Python/3.12; Platform=Linux)"
DROP = object()


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: object
    body: bytes


class ScriptedServer:
    """Gives its answers in order: (status, body) or (status, body, headers), or DROP to hang up without one.

    `when_asked` maps the number of a request to an action to run before its answer.
    """

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.when_asked = {}
        self.url = ""

    async def answer(self, request):
        self.asked.append(Asked(request.method, request.raw_path, request.headers.copy(), await request.read()))
        self.when_asked.pop(len(self.asked), lambda: None)()
        script = self.answers.pop(0)
        if script is DROP:
            request.transport.abort()
            return web.Response()
        status, body, *rest = script
        return web.Response(status=status, body=body, headers=rest[0] if rest else None)


class HeldTokens:
    """Returns token-1 until it is dropped, then token-2, and so on."""

    def __init__(self):
        self.serial = 1
        self.dropped = []

    async def token(self):
        return f"token-{self.serial}"

    def drop(self, token):
        self.dropped.append(token)
        if token == f"token-{self.serial}":
            self.serial += 1


class WatchedLimits(AmazonLimits):
    """The real limits with full buckets; records who asked for a turn."""

    def __init__(self):
        clock = FakeClock()
        self.turns = []
        self.pauses = []
        super().__init__(clock, {})
        clock.advance(3600)

    async def acquire(self, operation, lane):
        self.turns.append((operation, lane))
        await super().acquire(operation, lane)

    def throttled(self, operation, retry_after):
        self.pauses.append(operation)
        super().throttled(operation, retry_after)


@dataclass
class Bench:
    """A client against a scripted server."""

    client: object
    server: ScriptedServer
    tokens: HeldTokens
    limits: WatchedLimits


@asynccontextmanager
async def bench(make, *answers):
    """Open everything; `make(transport, tokens, limits, url)` builds the client."""
    server, tokens, limits = ScriptedServer(*answers), HeldTokens(), WatchedLimits()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with open_session(USER_AGENT) as session:
            transport = Transport(session, vendor="amazon", timeout=5.0, on_call=lambda _call: None)
            yield Bench(make(transport, tokens, limits, url), server, tokens, limits)
    finally:
        await runner.cleanup()
