"""The operators' door, asked by a real client: every answer is words in JSON."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from adapters.http.ops import OpsListener
from adapters.http.ops_client import DaemonSaid, TokenRefused, ask
from daemon.errors import McfdError, StoreUnavailable

TOKEN = "an-ops-token-of-the-tests"


async def well() -> dict[str, str]:
    return {}


class Door:
    """A running listener whose one verb, `go`, raises what it is told to."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self._listener = OpsListener(
            render=lambda: b"# EOF\n", health=well, ready=well, verbs={"go": self._go}, describe=dict, token=TOKEN
        )

    async def __aenter__(self) -> "Door":
        await self._listener.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.port}"

    async def ask(self) -> object:
        return await asyncio.to_thread(ask, self.url, TOKEN, "go", {}, timeout=5.0)

    async def _go(self, _: object) -> object:
        if self.failure:
            raise self.failure
        return {"gone": True}


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        (McfdError("there is no such return"), 409, "there is no such return"),
        (StoreUnavailable("the database is away"), 503, "the database is away"),
        (PermissionError(13, "Permission denied", "/root/x.db"), 409, "/root/x.db: Permission denied"),
        (OSError(28, "No space left on device"), 409, "No space left on device"),
    ],
)
async def test_what_the_operator_can_put_right_is_said(failure, status, words):
    """An error of ours and a file that cannot be used are told as they are, and nothing is logged."""
    async with Door() as door:
        door.failure = failure
        url, headers = f"{door.url}/api/go", {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession() as session, session.post(url, json={}, headers=headers) as answer:
            assert answer.status == status
        with capture_logs() as logged, pytest.raises(DaemonSaid) as said:
            await door.ask()
        assert str(said.value) == words
        assert logged == []


async def test_a_bug_is_logged_and_the_operator_sent_to_the_log():
    """Whatever else goes wrong is no page of HTML: the log has it with its traceback, and the next call goes well."""
    async with Door() as door:
        door.failure = KeyError("private")
        with capture_logs() as logged, pytest.raises(DaemonSaid) as said:
            await door.ask()
        assert str(said.value).endswith(": the daemon failed; its log says why")
        assert [(entry["event"], entry["verb"]) for entry in logged] == [("verb.failed", "go")]
        door.failure = None
        assert await door.ask() == {"gone": True}


async def test_metrics_are_served_as_prometheus_wants_them():
    """The content type is the one of the text that is rendered."""
    async with Door() as door, aiohttp.ClientSession() as session, session.get(f"{door.url}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert await answer.read() == b"# EOF\n"


async def post(door: Door, body: bytes) -> tuple[int, dict[str, str]]:
    """Post to the verb with the right token."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{door.url}/api/go", data=body) as answer,
    ):
        return answer.status, await answer.json()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 60_000, 400),
        (b'{"after": 1e999}', 400),
        (b'{"after": ' + b"9" * 30 + b"}", 400),
        (b'{"return": "\\udcff"}', 400),
        (b"[]", 400),
        (b'{"orders": ["' + b"x" * 70_000 + b'"]}', 413),
        (b'{"return": "\\ud83d\\ude00"}', 200),
        (b"", 200),
    ],
)
async def test_what_cannot_be_asked_is_told_in_words(body, status):
    """However odd the body, the answer is JSON with a sentence, and nobody has to read a traceback."""
    async with Door() as door:
        with capture_logs() as logged:
            assert (await post(door, body))[0] == status
        assert logged == []


async def test_the_token_is_not_given_to_a_stranger():
    """Any user of the machine can listen at the port while mcfd is down: whoever asks wants a proof first."""
    heard: list[str] = []

    async def squat(request: web.Request) -> web.Response:
        heard.append(str(request.headers) + str(request.rel_url))
        return web.json_response({"proof": "0" * 64, "gone": True})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", squat)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        with pytest.raises(TokenRefused, match="was not sent"):
            await asyncio.to_thread(ask, f"http://127.0.0.1:{runner.addresses[0][1]}", TOKEN, "go", {}, timeout=5.0)
    finally:
        await runner.cleanup()
    assert heard
    assert not [one for one in heard if TOKEN in one or "Bearer" in one]


async def test_a_stranger_cannot_have_the_daemon_answer_for_it():
    """A proof is for the port that gives it: one that is fetched from the daemon next door is none."""
    async with Door() as door:

        async def relay(request: web.Request) -> web.Response:
            async with aiohttp.ClientSession() as session, session.post(f"{door.url}{request.rel_url}") as answer:
                return web.Response(body=await answer.read(), content_type="application/json")

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", relay)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            with pytest.raises(TokenRefused):
                await asyncio.to_thread(ask, f"http://127.0.0.1:{runner.addresses[0][1]}", TOKEN, "go", {}, timeout=5.0)
        finally:
            await runner.cleanup()


async def test_another_token_is_told_so():
    """Who names the secrets of another daemon hears it before anything is sent."""
    async with Door() as door:
        with pytest.raises(TokenRefused, match="ops token is missing or wrong"):
            await asyncio.to_thread(ask, door.url, "another-token-of-the-tests", "go", {}, timeout=5.0)
