"""Messages reach real servers: HTTP of three kinds, and SMTP with and without encryption."""

import asyncio
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default as policy

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult

from adapters.messages.mail import MailMessenger, MailServer
from adapters.messages.posts import NtfyMessenger, SlackMessenger, WebhookMessenger
from adapters.vendor_calls.transport import Transport, open_session
from daemon.domain.notices import Case, CaseKind, message_about
from daemon.errors import ContractBroken, RateLimited, Refused, Unavailable
from tests.e2e.certificates import Authority

CASES = [Case(kind=CaseKind.STUCK, shop="acme", subject="acme/77", problem="<no label> für A & B", since=5.0)]
MESSAGE = message_about(CASES)


@dataclass
class Web:
    """Keeps what it gets and answers with `status`."""

    url: str = ""
    status: int = 200
    got: list = field(default_factory=list)

    async def take(self, request):
        self.got.append((request.path, dict(request.headers), await request.json()))
        return web.Response(status=self.status, headers={"Location": "/elsewhere"} if self.status == 302 else {})


@pytest.fixture
async def server():
    """An HTTP server."""
    kept, app = Web(), web.Application()
    app.router.add_post("/{path:.*}", kept.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    kept.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield kept
    await runner.cleanup()


@pytest.fixture
async def transport():
    """As the daemon has it."""
    async with open_session("mcfd-test") as session:
        yield Transport(session, vendor="notify", timeout=5, on_call=lambda _: None)


async def test_a_web_hook_gets_words_and_data(server, transport):
    """JSON with the cases as rows; the token is a bearer token."""
    await WebhookMessenger(transport, server.url + "/hook?team=1", "s3cret").send(MESSAGE)
    ((path, headers, body),) = server.got
    assert path == "/hook"
    assert headers["Authorization"] == "Bearer s3cret"
    assert body["subject"] == "mcfd: 1 stuck"
    assert body["cases"] == [
        {"kind": "stuck", "shop": "acme", "subject": "acme/77", "problem": "<no label> für A & B", "since": 5.0}
    ]


async def test_slack_gets_text_without_mark_up(server, transport):
    """What Slack would read as a link or a mention is escaped."""
    await SlackMessenger(transport, server.url + "/services/T/B/x").send(MESSAGE)
    ((_, headers, body),) = server.got
    assert "&lt;no label&gt; für A &amp; B" in body["text"]
    assert "Authorization" not in headers


async def test_ntfy_is_published_to_the_topic(server, transport):
    """The last part of the URL is the topic; the message goes to the server's root, with the token."""
    await NtfyMessenger(transport, server.url + "/returns", "tk_1").send(MESSAGE)
    ((path, headers, body),) = server.got
    assert (path, headers["Authorization"], body["topic"], body["title"]) == (
        "/",
        "Bearer tk_1",
        "returns",
        MESSAGE.subject,
    )
    assert "für" in body["message"]


@pytest.mark.parametrize(
    ("status", "error"), [(404, Refused), (401, Refused), (429, RateLimited), (500, Unavailable), (302, ContractBroken)]
)
async def test_a_message_that_is_not_taken_is_an_error_without_the_address(server, transport, status, error):
    """Slack's address is a secret: no error text has it. A redirect is not followed."""
    server.status = status
    with pytest.raises(error) as caught:
        await SlackMessenger(transport, server.url + "/services/T/B/x").send(MESSAGE)
    assert "services" not in str(caught.value)
    assert len(server.got) == 1


class Mailbox:
    """Keeps what an SMTP server is handed; `refuse` answers the recipients."""

    def __init__(self) -> None:
        self.got: list = []
        self.refuse = ""

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802 - aiosmtpd's name
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, session, envelope):  # noqa: N802
        self.got.append((envelope, session))
        return "250 OK"


@pytest.fixture
async def smtp():
    """Start a real SMTP server; it stops at the end."""
    started = []

    async def start(box, tls=None, **options):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(box, hostname="mail.test", loop=loop, **options), "127.0.0.1", 0, ssl=tls
        )
        started.append(server)
        return server.sockets[0].getsockname()[1]

    yield start
    for server in started:
        server.close()
        await server.wait_closed()


def mail(port: int, host: str = "127.0.0.1", **server) -> MailMessenger:
    """A messenger for two addresses."""
    return MailMessenger(
        MailServer(host=host, port=port, **{"tls": False} | server),
        sender="mcfd@example.com",
        to=["a@example.com", "b@example.com"],
        timeout=5,
    )


async def test_mail_arrives_as_plain_text(smtp):
    """One mail to all addresses, marked as made by a program."""
    box = Mailbox()
    await mail(await smtp(box)).send(MESSAGE)
    ((envelope, _),) = box.got
    got = message_from_bytes(envelope.content, policy=policy)
    assert envelope.rcpt_tos == ["a@example.com", "b@example.com"]
    assert (got["Subject"], got["From"], got["Auto-Submitted"]) == (
        MESSAGE.subject,
        "mcfd@example.com",
        "auto-generated",
    )
    assert got.get_content().splitlines() == MESSAGE.text.splitlines()


async def test_mail_logs_in_over_tls(smtp, tmp_path, monkeypatch):
    """User and password go over an encrypted connection whose certificate is checked."""
    authority = Authority(tmp_path)
    seen = []

    def login(_server, _session, _envelope, _mechanism, data):
        seen.append((data.login, data.password))
        return AuthResult(success=True)

    box = Mailbox()
    port = await smtp(box, authority.server(days=30), authenticator=login, auth_require_tls=False)
    with pytest.raises(Unavailable):
        await mail(port, "localhost", tls=True, user="mcfd", password="pw").send(MESSAGE)
    assert seen == []
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    await mail(port, "localhost", tls=True, user="mcfd", password="pw").send(MESSAGE)
    assert seen == [(b"mcfd", b"pw")]
    assert len(box.got) == 1


@pytest.mark.parametrize(("answer", "error"), [("550 no such user", Refused), ("450 try later", Unavailable)])
async def test_mail_that_is_not_taken_is_an_error(smtp, answer, error):
    """A refusal for good and one for now are told apart."""
    box = Mailbox()
    box.refuse = answer
    with pytest.raises(error):
        await mail(await smtp(box)).send(MESSAGE)


async def test_a_mail_server_that_is_away_is_an_error_in_time():
    """Nobody listens: Unavailable, in words without an address."""
    with pytest.raises(Unavailable, match="does not answer"):
        await mail(9, "127.0.0.1").send(MESSAGE)
