"""Chooses who answers a verb: the running daemon or, if none runs and the verb allows it, the store itself."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from adapters.http import ops_client
from config.load import Loaded
from daemon.operations.verb import Verb

Ask = Callable[[Mapping[str, object]], Any]


@contextmanager
def asking(loaded: Loaded, verb: Verb[Any, Any, Any]) -> Iterator[Ask]:
    """Open one answerer for any number of calls. Calls raise NotRunning, DaemonSaid, or what the verb raises."""
    url = loaded.settings.listen.ops.url
    if verb.need.offline and not ops_client.answers(url):
        from config.logging.setup import configure  # noqa: PLC0415 - whoever asks the daemon need not wait for these
        from daemon.app.offline import opened  # noqa: PLC0415

        configure("console", "error").register(loaded.secrets.values())
        with opened(loaded, verb) as ask:
            yield ask
    else:
        yield partial(_ask_daemon, loaded, verb, url)


def _ask_daemon(loaded: Loaded, verb: Verb[Any, Any, Any], url: str, arguments: Mapping[str, object]) -> object:
    token = loaded.secrets.ops_token.get_secret_value()
    try:
        return ops_client.ask(url, token, verb.path, arguments, timeout=verb.patience)
    except ops_client.TokenRefused as refusal:
        if not verb.need.unhindered:
            raise
        from config.logging.setup import configure  # noqa: PLC0415
        from daemon.app.offline import hindered  # noqa: PLC0415

        configure("console", "error").register(loaded.secrets.values())
        return hindered(loaded, verb, refusal)
