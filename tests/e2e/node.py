"""`mcfd` as one of the nodes of a test: `python -m tests.e2e.node run`, altered by variables that begin with NODE_.

NODE_NAME is what its calls to vendors are known by, NODE_AHEAD how many seconds its clock is ahead. NODE_REPEATS_AFTER
replaces the 90 s after which it repeats what a lost node had begun: no vendor of a test is that slow. NODE_UNFENCED takes
away what keeps a node from working without its lease, for tests that must notice.
"""

import os
from collections.abc import Mapping

from adapters.host import clock
from adapters.postgresql import leases as rows
from daemon.app import accounts
from daemon.cli.main import main
from daemon.engine import leases as engine
from daemon.ports import leases as ports

NAME, AHEAD, REPEATS_AFTER, UNFENCED = "NODE_NAME", "NODE_AHEAD", "NODE_REPEATS_AFTER", "NODE_UNFENCED"


def alter(given: Mapping[str, str]) -> None:
    """Alter this process before it begins."""
    ahead, right = float(given[AHEAD]), clock.SystemClock.now
    accounts.USER_AGENT = accounts.USER_AGENT.removesuffix(")") + f"; Node={given[NAME]})"
    clock.SystemClock.now = lambda self: right(self) + ahead  # type: ignore[method-assign]
    engine.REPEATED_AFTER = float(given[REPEATS_AFTER])
    if UNFENCED in given:
        ports.Lease.stands = property(lambda _: True)  # type: ignore[assignment,method-assign]
        rows._fenced = lambda work, _: work
        rows._renewed = lambda _, held, __: list(held)


if __name__ == "__main__":
    alter(os.environ)  # noqa: TID251 - it is a program of its own
    main()
