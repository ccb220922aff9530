"""Whatever is sent to the public listener, over real sockets: nobody gets in, nothing breaks, nothing is told."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from adapters.host.clock import SystemClock
from adapters.loop_returns.webhooks import LoopWebhooks
from adapters.loop_returns.wire.webhooks import WebhookDelivery
from tests.edges.test_public_http import TOKEN, Front

SECRET = b"the secret of acme"
QUICKLY = settings(max_examples=120, deadline=None)
GOOD = b'{"topic": "return", "trigger": "return.updated", "id": 7, "state": "open"}'
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "BREW", "get", "G-T")
PATHS = (
    *("/", "*", "", "//", "/webhooks/loop/acme", "/webhooks/loop/../loop/acme", "/webhooks/loop/acme%2f", "/labels"),
    *("/labels/", f"/labels/{TOKEN}.pdf", f"/labels/{TOKEN}.pdf/", f"//labels/{TOKEN}.pdf", "/labels/%2e%2e/x.pdf"),
    *("/robots.txt", "/oauth/amazon/callback", "http://elsewhere/labels/", "elsewhere:443", "/%00", "/%ff", "/?a#b"),
)
ANSWERS = {200, 400, 401, 404, 405, 413, 415}

methods = st.sampled_from(METHODS) | st.text("ABCXYZabc-_!#$%&'*+.^`|~09", min_size=1, max_size=20)
odd_paths = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=60).map(lambda tail: f"/{tail}")
headers = st.dictionaries(
    st.sampled_from(["X-Loop-Signature", "Expect", "Range", "Upgrade", "Cookie", "X-Forwarded-For", "Te"]),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=40),
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(leaves, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3))


class Besieged(Front):
    """A listener in front of what really judges and reads deliveries."""

    def __init__(self, request_deadline: float) -> None:
        super().__init__(request_deadline=request_deadline, keepalive_timeout=request_deadline)
        self.taken: list[WebhookDelivery] = []
        self.buried: list[bytes] = []
        judge = LoopWebhooks(
            secrets=lambda _shop: [SECRET],
            intake=self._take,
            dead_letters=self._bury,
            clock=SystemClock(),
            may_encode=lambda: True,
        )
        self.receiver.receive = judge.receive
        self.labels.pdfs[TOKEN] = b"%PDF-1.7 a label"

    async def _take(self, _shop: str, delivery: WebhookDelivery, _name: str, _now: float) -> bool:
        self.taken.append(delivery)
        return True

    async def _bury(self, _shop: str, body: bytes, _reason: str) -> None:
        self.buried.append(body)

    async def exchange(self, sent: bytes) -> bytes:
        """Send it, and nothing more; everything that comes back."""
        reader, writer = await self.connect(sent)
        try:
            async with asyncio.timeout(20):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@contextmanager
def besieged(request_deadline: float = 20.0) -> Iterator[tuple[Besieged, Callable[[Awaitable], bytes]]]:
    """A running listener, and how to wait for what happens at it; in the end it still takes a delivery."""
    with asyncio.Runner() as runner, capture_logs() as lines:
        one = Besieged(request_deadline)
        runner.run(one.listener.start("127.0.0.1", 0))
        try:
            yield one, runner.run
            one.taken.clear()
            assert any(status(runner.run(one.exchange(delivery(GOOD)))) == 200 for _ in range(5))
            assert one.taken
        finally:
            runner.run(one.listener.stop(0.5))
    assert {line["event"] for line in lines} <= {"listener.stopped", "webhook.unreadable", "webhook.signed_canonically"}


def status(raw: bytes) -> int:
    """The status of the first answer; 0 when the line was only closed."""
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", raw.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"))
    return int(found[1]) if found else 0


def signed(body: bytes, secret: bytes = SECRET) -> bytes:
    """A signature as Loop makes it."""
    return base64.b64encode(hmac.digest(secret, body, hashlib.sha256))


def delivery(body: bytes, *, signature: bytes | None = None, length: int | None = None) -> bytes:
    """A whole request."""
    head = b"POST /webhooks/loop/acme HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Loop-Signature: %b\r\n"
    said = len(body) if length is None else length
    return head % (signature or signed(body)) + b"Content-Length: %d\r\n\r\n%b" % (said, body)


def test_no_method_and_no_path_opens_anything():
    """Any method at any path with any headers gets one of few answers, which quote nothing and name no version."""
    with besieged() as (one, wait):

        @QUICKLY
        @given(method=methods, path=st.sampled_from(PATHS) | odd_paths, sent=headers)
        def hold(method: str, path: str, sent: dict[str, str]) -> None:
            lines = [f"{method} {path} HTTP/1.1", "Host: a", *(f"{name}: {text}" for name, text in sent.items())]
            raw = wait(one.exchange("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")))
            assert status(raw) in ANSWERS | {0}
            assert b"aiohttp" not in raw
            assert b"Python" not in raw
            served = path.partition("?")[0].partition("#")[0].endswith((f"/labels/{TOKEN}.pdf", "/robots.txt"))
            assert status(raw) != 200 or (served and method in {"GET", "HEAD"})
            if status(raw) != 200:
                assert len(raw.partition(b"\r\n\r\n")[2]) < 40

        hold()
        assert one.taken == one.buried == []


def test_no_garbled_request_is_taken_for_another():
    """A delivery with bytes changed, cut out or put in is taken as what was signed, or not at all."""
    request = delivery(GOOD)
    with besieged(0.2) as (one, wait):

        @settings(max_examples=60, deadline=None)
        @given(at=st.integers(0, len(request)), cut=st.integers(0, 12), put=st.binary(max_size=12))
        def hold(at: int, cut: int, put: bytes) -> None:
            one.taken.clear()
            raw = wait(one.exchange(request[:at] + put + request[at + cut :]))
            assert status(raw) in ANSWERS | {0}
            assert [(news.topic, news.trigger, news.subject) for news in one.taken] in (
                [],
                [("return", "return.updated", "7")],
            )
            assert one.buried == []

        hold()


def test_no_forged_delivery_is_taken():
    """Without a secret of the shop nothing is taken, whatever is signed how."""
    with besieged() as (one, wait):

        @QUICKLY
        @given(body=st.binary(max_size=200), signature=st.binary(max_size=80).map(base64.b64encode))
        def hold(body: bytes, signature: bytes) -> None:
            for claimed in (signature or b"-", signed(body, b""), signed(body, b"another"), signed(body + b" ")):
                assert status(wait(one.exchange(delivery(body, signature=claimed)))) == 401
            assert one.taken == one.buried == []

        hold()


def test_a_truncated_delivery_is_not_taken():
    """A signed delivery of which the end is missing is nothing."""
    with besieged(0.2) as (one, wait):

        @settings(max_examples=25, deadline=None)
        @given(kept=st.integers(0, len(GOOD) - 1))
        def hold(kept: int) -> None:
            cut = delivery(GOOD[:kept], signature=signed(GOOD), length=len(GOOD))
            assert status(wait(one.exchange(cut))) in {0, 400}
            assert one.taken == one.buried == []

        hold()


def test_whatever_is_signed_is_kept():
    """A signed body is acknowledged, and taken or buried as it came, however little sense it makes."""
    with besieged() as (one, wait):

        @QUICKLY
        @given(
            body=st.binary(max_size=300)
            | values.map(json.dumps).map(str.encode)
            | values.map(lambda value: json.dumps(json.loads(GOOD) | {"id": value, "state": value}).encode())
        )
        def hold(body: bytes) -> None:
            one.taken.clear()
            one.buried.clear()
            assert status(wait(one.exchange(delivery(body)))) == 200
            assert len(one.taken) + len(one.buried) == 1
            assert one.buried in ([], [body])

        hold()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"topic": "return", "trigger": "return.updated", "id": NaN}',
        b'{"topic": "return", "trigger": "return.updated", "id": 1e999}',
        b'{"topic": "return", "trigger": "return.updated", "id": %b}' % (b"9" * 20_000),
        b'{"topic": "return", "trigger": "return.updated", "id": "\xff\xfe"}',
        b'{"topic": "return", "trigger": "return.updated", "id": "\\ud800"}',
        b'{"topic": "return", "trigger": "return.updated", "id": "\\u0000"}',
        b'{"topic": "return", "trigger": "return.updated", "id": {"$gt": ""}}',
        b'{"topic": "return", "trigger": "return.updated"}' * 2,
        b"",
        b"\x1f\x8b\x08\x00" + bytes(200),
    ],
    ids=[
        "lists",
        "objects",
        "NaN",
        "infinity",
        "digits",
        "no UTF-8",
        "surrogate",
        "NUL",
        "operator",
        "two",
        "0",
        "gzip",
    ],
)
def test_a_signed_bomb_is_a_dead_letter(body):
    """Nesting, numbers and bytes that no parser likes are acknowledged and put aside, and cost less than a second."""
    with besieged() as (one, wait):
        clock = SystemClock()
        began = clock.monotonic()
        assert status(wait(one.exchange(delivery(body)))) == 200
        assert clock.monotonic() - began < 3
        assert one.buried == [body]
        assert one.taken == []
        assert status(wait(one.exchange(delivery(body, signature=signed(body, b"another"))))) == 401


def test_of_two_equal_keys_the_last_counts():
    """A duplicate key is no way to show one id to a filter in front of us and another one to us unseen."""
    body = b'{"topic": "return", "trigger": "return.updated", "id": 1, "id": 2, "state": "open"}'
    with besieged() as (one, wait):
        assert status(wait(one.exchange(delivery(body)))) == 200
        assert [news.subject for news in one.taken] == ["2"]
