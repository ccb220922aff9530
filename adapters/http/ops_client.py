"""How the command line talks to the running daemon: blocking calls, without an event loop."""

import hmac
import json
import secrets
import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from adapters.http.proof import PATH, proof
from daemon.errors import McfdError

OTHER_KEY = (
    "the ops token is missing or wrong, so it was not sent: name the daemon's --secrets; after a change of ops_token "
    "restart mcfd; where mcfd is down, see who else listens there (ss -ltnp)"
)
CONNECTS_WITHIN = 2.0
"""Seconds."""

MOST = 64 * 1024 * 1024
"""Bytes of an answer."""


class NotRunning(McfdError):
    """Nothing answers at the ops address."""


class DaemonSaid(McfdError):
    """The daemon declined; the text comes from the daemon."""


class TokenRefused(DaemonSaid):
    """The daemon has a different ops token."""


def ask(base_url: str, token: str, verb: str, arguments: Mapping[str, object], *, timeout: float) -> object:
    """Call one verb; `timeout` is in seconds. Raises NotRunning or DaemonSaid.

    The token is sent only over a connection whose other end has proved that it knows the token.
    """
    place = urlsplit(base_url)
    connection = HTTPConnection(place.hostname or "", place.port or 80, timeout=CONNECTS_WITHIN)
    connection.auto_open = 0  # a new connection would be unproven
    try:
        _connect(connection, base_url)
        connection.sock.settimeout(timeout)
        _prove(connection, base_url, token)
        body = json.dumps(dict(arguments)).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        status, answer = _post(connection, f"/api/{verb}", body, headers)
    except TimeoutError as error:
        raise DaemonSaid(f"the daemon at {base_url} did not answer within {timeout:.0f} s") from error
    except (HTTPException, OSError, ValueError) as error:
        raise DaemonSaid(f"the daemon at {base_url} does not answer as mcfd does ({type(error).__name__})") from error
    finally:
        connection.close()
    if status != 200:
        raise _declined(base_url, status, answer)
    return answer


def ready(base_url: str, *, timeout: float) -> Mapping[str, Any]:
    """What the daemon answers at /readyz; `timeout` is in seconds. Raises NotRunning or DaemonSaid."""
    place = urlsplit(base_url)
    connection = HTTPConnection(place.hostname or "", place.port or 80, timeout=timeout)
    try:
        _connect(connection, base_url)
        connection.request("GET", "/readyz")
        answer = json.loads(connection.getresponse().read(MOST))
        return {"ok": bool(answer["ok"]), "problems": dict(answer["problems"]), **answer}
    except TimeoutError as error:
        raise DaemonSaid(f"the daemon at {base_url} did not answer within {timeout:.0f} s") from error
    except (HTTPException, OSError, ValueError, LookupError, TypeError) as error:
        raise DaemonSaid(f"the daemon at {base_url} does not answer as mcfd does ({type(error).__name__})") from error
    finally:
        connection.close()


def _connect(connection: HTTPConnection, base_url: str) -> None:
    try:
        connection.connect()
    except TimeoutError:
        raise
    except OSError as error:
        todo = "start it (systemctl start mcfd), or name the --config of the one that runs"
        raise NotRunning(f"no daemon answers at {base_url}: {todo}") from error


def _prove(connection: HTTPConnection, base_url: str, token: str) -> None:
    """Raise TokenRefused unless the other end proves that it knows the token."""
    nonce = secrets.token_urlsafe(32)
    try:
        status, answer = _post(connection, f"{PATH}?nonce={nonce}", b"", {})
    except ValueError:
        status, answer = 0, None
    given = answer.get("proof") if status == 200 and isinstance(answer, dict) else None
    expected = proof(token.encode(), connection.port, nonce)
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        raise TokenRefused(f"{base_url}: {OTHER_KEY}")


def _post(connection: HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, object]:
    """Send one request, without proxy and without following redirects."""
    connection.request("POST", path, body, dict(headers))
    reply = connection.getresponse()
    return reply.status, json.loads(reply.read(MOST))


def _declined(base_url: str, status: int, answer: object) -> DaemonSaid:
    """Pass on a verb's own text; any other answer may come from a server that is not mcfd."""
    said = answer.get("error") if isinstance(answer, dict) else None
    if status == 401:
        return TokenRefused(f"{base_url}: {OTHER_KEY}")
    if status in {409, 503} and said:
        return DaemonSaid(str(said))
    return DaemonSaid(f"{base_url}: {said or f'answered {status}'}")


def answers(base_url: str) -> bool:
    """Whether anything listens there, however slowly it answers."""
    place = urlsplit(base_url)
    try:
        socket.create_connection((place.hostname or "", place.port or 80), timeout=CONNECTS_WITHIN).close()
    except TimeoutError:
        return True
    except OSError:
        return False
    return True
