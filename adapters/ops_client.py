"""How the command line talks to the running daemon."""

import aiohttp

from daemon.errors import McfdError

TIMEOUT = 60.0


class NotRunning(McfdError):
    """Nobody answers at the operator's address."""


class DaemonSaid(McfdError):
    """The daemon declined; the text is its own."""


async def ask(base_url: str, token: str, verb: str, arguments: dict[str, object]) -> object:
    """Call one verb. Raises NotRunning or DaemonSaid."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT, connect=2.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.post(
                f"{base_url}/api/{verb}", json=arguments, headers={"Authorization": f"Bearer {token}"}
            ) as reply,
        ):
            answer = await reply.json(content_type=None)
            if reply.status != 200:
                said = answer.get("error", "") if isinstance(answer, dict) else ""
                raise DaemonSaid(said or f"the daemon answered {reply.status}")
            return answer
    except aiohttp.ClientConnectorError as error:
        raise NotRunning(f"no daemon answers at {base_url}") from error
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise DaemonSaid(f"the daemon at {base_url} does not answer as mcfd does ({type(error).__name__})") from error
