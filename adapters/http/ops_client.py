"""How the command line talks to the running daemon."""

from collections.abc import Mapping

import aiohttp

from daemon.errors import McfdError

OTHER_KEY = "the ops token is missing or wrong: name the daemon's --secrets; after a change of ops_token restart mcfd"


class NotRunning(McfdError):
    """Nobody answers at the operator's address."""


class DaemonSaid(McfdError):
    """The daemon declined; the text is its own."""


class TokenRefused(DaemonSaid):
    """The daemon takes another ops token than ours."""


async def ask(base_url: str, token: str, verb: str, arguments: Mapping[str, object], *, timeout: float) -> object:
    """Call one verb; `timeout` is in seconds. Raises NotRunning or DaemonSaid."""
    patience = aiohttp.ClientTimeout(total=timeout, connect=2.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=patience, trust_env=False) as session,
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
