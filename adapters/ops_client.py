"""How the command line talks to the running daemon."""

from collections.abc import Mapping

import aiohttp

from daemon.errors import McfdError

SHORT = 60.0
"""Seconds that most verbs may take."""


class NotRunning(McfdError):
    """Nobody answers at the operator's address."""


class DaemonSaid(McfdError):
    """The daemon declined; the text is its own."""


async def ask(
    base_url: str, token: str, verb: str, arguments: Mapping[str, object], *, timeout: float = SHORT
) -> object:
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
                said = answer.get("error", "") if isinstance(answer, dict) else ""
                raise DaemonSaid(said or f"the daemon answered {reply.status}")
            return answer
    except aiohttp.ClientConnectorError as error:
        raise NotRunning(f"no daemon answers at {base_url}") from error
    except TimeoutError as error:
        raise DaemonSaid(f"the daemon at {base_url} did not answer within {timeout:.0f} s") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise DaemonSaid(f"the daemon at {base_url} does not answer as mcfd does ({type(error).__name__})") from error


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
