"""The operators' door, asked by a real client: every answer is words in JSON."""

import aiohttp
import pytest
from structlog.testing import capture_logs

from adapters.http.ops import OpsListener
from adapters.http.ops_client import DaemonSaid, ask
from daemon.errors import McfdError

TOKEN = "an-ops-token-of-the-tests"


async def well() -> dict[str, str]:
    return {}


class Door:
    """A running listener whose one verb, `go`, raises what it is told to."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self._listener = OpsListener(
            render=lambda: b"# EOF\n", health=well, ready=well, verbs={"go": self._go}, token=TOKEN
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
        return await ask(self.url, TOKEN, "go", {}, timeout=5.0)

    async def _go(self, _: object) -> object:
        if self.failure:
            raise self.failure
        return {"gone": True}


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (McfdError("there is no such return"), "there is no such return"),
        (PermissionError(13, "Permission denied", "/root/x.db"), "/root/x.db: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
async def test_what_the_operator_can_put_right_is_said(failure, words):
    """An error of ours and a file that cannot be used are told as they are, and nothing is logged."""
    async with Door() as door:
        door.failure = failure
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
