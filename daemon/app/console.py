"""Part of the composition root: the web pages, which read the store beside its writer."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from adapters.console.application import console
from adapters.console.door import ROOT, Access
from adapters.http.ops import Application
from config.fields import LOCAL_HOSTS
from config.model import Settings
from config.secret_files import Secrets
from daemon import __version__
from daemon.app.policies import timings
from daemon.app.resources import Resources, closing
from daemon.app.verbs import Answering
from daemon.operations.access import StoreAccess
from daemon.operations.reading import ReturnsReader
from daemon.operations.search import Search
from daemon.operations.verb import STORE
from daemon.operations.verbs import VERBS
from daemon.ports.store import ReadableStore


async def console_pages(
    stack: AsyncExitStack, resources: Resources, verbs: Mapping[str, Answering]
) -> Mapping[str, Application]:
    """The pages by their path; none if they are switched off. Raises StoreUnavailable."""
    settings = resources.current.settings
    if not settings.console.enabled:
        return {}
    reader = await resources.store.reader()
    stack.push_async_callback(closing, "console", reader.close)
    answering = {**verbs, **_reading_verbs(resources, reader)}
    access = _access(settings, resources.current.secrets)
    return {ROOT: console(verbs=answering, access=access, clock=resources.clock, version=__version__)}


def _reading_verbs(resources: Resources, reader: ReadableStore) -> Mapping[str, Answering]:
    """The verbs that only read, over a connection of their own: never the writer's, and without links to labels."""
    settings, clock = resources.current.settings, resources.clock
    access = StoreAccess(
        store=reader,
        returns=ReturnsReader(
            reader,
            clock,
            timings(settings),
            shops=frozenset(settings.shops),
            counted=resources.metrics.counted,
        ),
        search=Search(reader, clock),
    )
    return {verb.path: partial(verb.call, access) for verb in VERBS if verb.need is STORE}


def _access(settings: Settings, secrets: Secrets) -> Access:
    allowed, secret = settings.console, secrets.console_proxy_secret
    listen = settings.listen.ops
    usual = {*LOCAL_HOSTS} if listen.is_local else {listen.host, "localhost"}
    return Access(
        token=secrets.ops_token.get_secret_value(),
        hosts=frozenset(allowed.hosts or usual),
        trusted_proxies=allowed.trusted_proxies,
        user_header=allowed.user_header,
        proxy_secret=secret.get_secret_value() if secret else None,
        roles=allowed.roles,
    )
