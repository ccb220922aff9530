"""Sending messages by HTTP POST: to a web hook, to Slack and compatible services, to ntfy."""

import json
from collections.abc import Mapping

from adapters.vendor_calls.transport import Transport
from daemon.domain.notices import Message
from daemon.errors import Refused


class WebhookMessenger:
    """Sends JSON for a program: the cases as data, and the text. `token` is sent as a bearer token."""

    def __init__(self, transport: Transport, url: str, token: str | None) -> None:
        self._transport = transport
        self._url = url
        self._headers = _bearer(token)

    async def send(self, message: Message) -> None:
        """Post one message. Raises Transient, Refused or ContractBroken."""
        rows = [
            {"kind": c.kind.value, "shop": c.shop, "subject": c.subject, "problem": c.problem, "since": c.since}
            for c in message.cases
        ]
        await _post(
            self._transport, self._url, {"subject": message.subject, "text": message.text, "cases": rows}, self._headers
        )


class SlackMessenger:
    """Sends to Slack's incoming webhooks; Mattermost, Rocket.Chat and Discord's /slack accept the same."""

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport = transport
        self._url = url

    async def send(self, message: Message) -> None:
        """Post one message. Slack treats & < > as mark-up."""
        plain = f"*{message.subject}*\n{message.text}".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        await _post(self._transport, self._url, {"text": plain}, {})


class NtfyMessenger:
    """Sends to ntfy in its JSON form, because headers cannot carry non-ASCII text."""

    def __init__(self, transport: Transport, url: str, token: str | None) -> None:
        self._transport = transport
        self._server, _, self._topic = url.rpartition("/")
        self._headers = _bearer(token)

    async def send(self, message: Message) -> None:
        """Publish one message; the topic is the last part of the URL."""
        published = {"topic": self._topic, "title": message.subject, "message": message.text, "tags": ["package"]}
        await _post(self._transport, self._server + "/", published, self._headers)


def _bearer(token: str | None) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


async def _post(transport: Transport, url: str, message: object, headers: Mapping[str, str]) -> None:
    reply = await transport.send(
        "POST",
        url,
        operation="message",
        headers={"Content-Type": "application/json; charset=utf-8", **headers},
        body=json.dumps(message, ensure_ascii=False).encode(),
    )
    if reply.status >= 300:
        raise Refused(str(reply.status), "the receiver does not take the message; check its address and its token")
