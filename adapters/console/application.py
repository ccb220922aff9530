"""The pages as an application for the operators' listener."""

from aiohttp import web

from adapters.console.acting import Acting
from adapters.console.door import Access, Door
from adapters.console.entrance import Entrance
from adapters.console.reading import Reading
from adapters.console.setup import Setup
from adapters.console.site import Site, Verbs
from daemon.ports.host import Clock


def console(*, verbs: Verbs, access: Access, clock: Clock, version: str) -> web.Application:
    """The application, to be mounted at /console/."""
    door = Door(access, clock)
    site = Site(verbs, door, clock, version)
    app = web.Application(middlewares=[door.middleware])
    for part in (Entrance(site), Reading(site), Acting(site), Setup(site)):
        app.router.add_routes(part.routes())
    return app
