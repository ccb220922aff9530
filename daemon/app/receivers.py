"""Part of the composition root: opens the means of sending messages to people."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from adapters.messages.mail import MailMessenger, MailServer
from adapters.messages.posts import NtfyMessenger, SlackMessenger, WebhookMessenger
from adapters.vendor_calls.transport import Call, Transport, open_session
from config.notify import Notification
from config.secret_files import Secrets
from daemon.app.accounts import USER_AGENT
from daemon.app.live_config import Current
from daemon.domain.notices import CaseKind
from daemon.engine.announcements import Messenger, Receiver

TIMEOUT = 20.0
"""Seconds for one message."""


async def receivers(stack: AsyncExitStack, current: Current, on_call: Callable[[Call], None]) -> tuple[Receiver, ...]:
    """Everybody who gets messages; the connections close with the stack."""
    if not current.settings.notify:
        return ()
    session = await stack.enter_async_context(open_session(USER_AGENT))
    transport = Transport(session, vendor="notify", timeout=TIMEOUT, on_call=on_call)
    return tuple(
        Receiver(
            name=wanted.name,
            messenger=_messenger(wanted, current.secrets, transport),
            kinds=tuple(CaseKind(kind) for kind in wanted.when),
            shops=wanted.shops,
        )
        for wanted in current.settings.notify
    )


def _messenger(wanted: Notification, secrets: Secrets, transport: Transport) -> Messenger:
    secret = secrets.notify.get(wanted.name)
    text = secret.get_secret_value() if secret else None
    url = wanted.url or text or ""
    match wanted.kind:
        case "slack":
            return SlackMessenger(transport, url)
        case "ntfy":
            return NtfyMessenger(transport, url, text)
        case "webhook":
            return WebhookMessenger(transport, url, text)
        case "smtp":
            parts = urlsplit(url)
            server = MailServer(
                host=parts.hostname or "",
                port=parts.port or (465 if parts.scheme == "smtps" else 587),
                tls=parts.scheme == "smtps",
                user=parts.username,
                password=text,
            )
            return MailMessenger(server, sender=wanted.sender or wanted.to[0], to=wanted.to, timeout=TIMEOUT)
