"""Sending messages by mail."""

from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import aiosmtplib

from daemon.domain.notices import Message
from daemon.errors import McfdError, Refused, Unavailable

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """The SMTP server: encrypted from the first byte (`tls`) or by STARTTLS; unencrypted only on this machine."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = None


class MailMessenger:
    """Sends each message as plain-text mail to all addresses."""

    def __init__(self, server: MailServer, *, sender: str, to: Sequence[str], timeout: float) -> None:
        self._server = server
        self._sender = sender
        self._to = to
        self._timeout = timeout

    async def send(self, message: Message) -> None:
        """Send one mail. Raises Unavailable, or Refused when the server rejects it."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self._sender, ", ".join(self._to), message.subject
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=self._sender.rpartition("@")[2])
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        server = self._server
        try:
            await aiosmtplib.send(
                mail,
                hostname=server.host,
                port=server.port,
                use_tls=server.tls,
                start_tls=not (server.tls or server.host in LOCAL),
                username=server.user,
                password=server.password,
                timeout=self._timeout,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refused(max(refusal.code for refusal in error.recipients)) from None
        except aiosmtplib.SMTPResponseException as error:
            raise _refused(error.code) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unavailable(f"the mail server does not answer ({type(error).__name__})") from None


def _refused(code: int) -> McfdError:
    """Classify an SMTP error: 4xx is temporary, 5xx final. The server's text is left out: it may quote addresses."""
    if code < 500:
        return Unavailable(f"the mail server asks to try later ({code})")
    return Refused(str(code), "the mail server does not take the message")
