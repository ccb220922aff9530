"""How the command line talks to the running daemon."""

import hmac
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from adapters.http.proof import PATH, proof
from daemon.errors import McfdError

OTHER_KEY = (
    "the ops token is missing or wrong, so it was not sent: name the daemon's --secrets; after a change of ops_token "
    "restart mcfd; where mcfd is down, see who else listens there (ss -ltnp)"
)


class NotRunning(McfdError):
    """Nobody answers at the operator's address."""


class DaemonSaid(McfdError):
    """The daemon declined; the text is its own."""


class TokenRefused(DaemonSaid):
    """The daemon takes another ops token than ours."""


async def ask(base_url: str, token: str, verb: str, arguments: Mapping[str, object], *, timeout: float) -> object:
    """Call one verb; `timeout` is in seconds. Raises NotRunning or DaemonSaid.

    The token goes out only over a connection whose other end has proved that it knows it.
    """
    patience = aiohttp.ClientTimeout(total=timeout, connect=2.0)
    try:
        async with (
            aiohttp.TCPConnector(limit=1) as connector,
            aiohttp.ClientSession(timeout=patience, trust_env=False, connector=connector) as session,
            _proved(session, base_url, token),
            session.post(
                f"{base_url}/api/{verb}", json=dict(arguments), headers={"Authorization": f"Bearer {token}"}
            ) as reply,
        ):
            answer = await reply.json(content_type=None)
            if reply.status != 200:
                raise _declined(base_url, reply.status, answer)
            return answer
    except aiohttp.ClientConnectorError as error:
        todo = "start it (systemctl start mcfd), or name the --config of the one that runs"
        raise NotRunning(f"no daemon answers at {base_url}: {todo}") from error
    except TimeoutError as error:
        raise DaemonSaid(f"the daemon at {base_url} did not answer within {timeout:.0f} s") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise DaemonSaid(f"the daemon at {base_url} does not answer as mcfd does ({type(error).__name__})") from error


@asynccontextmanager
async def _proved(session: aiohttp.ClientSession, base_url: str, token: str) -> AsyncIterator[None]:
    """Raise TokenRefused unless the other end proves that it knows the token."""
    nonce = secrets.token_urlsafe(32)
    async with session.post(f"{base_url}{PATH}", params={"nonce": nonce}) as reply:
        try:
            answer = await reply.json(content_type=None)
        except ValueError:
            answer = None
    given = answer.get("proof") if reply.status == 200 and isinstance(answer, dict) else None
    expected = proof(token.encode(), urlsplit(base_url).port or 80, nonce)
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        raise TokenRefused(f"{base_url}: {OTHER_KEY}")
    yield


def _declined(base_url: str, status: int, answer: object) -> DaemonSaid:
    """What a verb says stands for itself; anything else may come from a server that is not mcfd."""
    said = answer.get("error") if isinstance(answer, dict) else None
    if status == 401:
        return TokenRefused(f"{base_url}: {OTHER_KEY}")
    if status == 409 and said:
        return DaemonSaid(str(said))
    return DaemonSaid(f"{base_url}: {said or f'answered {status}'}")


async def answers(base_url: str) -> bool:
    """Whether anything listens there, be it ever so slow."""
    patience = aiohttp.ClientTimeout(total=2.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=patience, trust_env=False) as session,
            session.get(f"{base_url}/healthz"),
        ):
            return True
    except aiohttp.ClientConnectorError:
        return False
    except (aiohttp.ClientError, TimeoutError):
        return True
