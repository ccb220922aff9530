"""How long the console's pages take at the server with many returns, while nothing else happens."""

import http.cookiejar
import re
import sqlite3
import statistics
import time
import urllib.parse
import urllib.request

from adapters.host.clock import SystemClock
from bench.daemon_process import Daemon
from bench.machine import progress
from bench.report import Report, main
from bench.seed import CACHE, seed

DAY = 86400
MARKS = ("sums/until", "sums/stated")
SUMMED = f"SELECT value FROM marks WHERE name IN {MARKS}"
SPREAD = (
    # 400 days of a shop: of a hundred returns 96 are closed, 3 on their way, and of ten thousand one is stuck
    "UPDATE returns SET created_at = {now} - (({count} - id) * 400.0 / {count}) * {day}",
    "UPDATE returns SET changed_at = created_at + 9 * {day}, labelled_at = created_at + 40 + id % 200, "
    "shop = CASE WHEN id % 5 = 0 THEN 'globex' ELSE shop END",
    "UPDATE returns SET state = 'closed', due_at = NULL, amazon_due_at = NULL, settlement = 'process', "
    "closed_at = created_at + 12 * {day} WHERE id % 100 < 96",
    "UPDATE returns SET state = 'in_review', queue = 'looks' WHERE id % 10000 = 97",
    "UPDATE returns SET state = 'stuck', problem = 'the order was not found', problem_code = 'order-not-found' "
    "WHERE id % 10000 = 98",
    "UPDATE authorizations SET rma_id = 'RMA' || return_ref",
    "UPDATE label_requests SET label_tracking_number = 'TBA' || return_ref, "
    "shop = (SELECT shop FROM returns WHERE id = return_ref)",
    "UPDATE return_units SET sku = 'SKU-' || (return_ref % 500), portal_sku = 'SKU-' || (return_ref % 500), "
    "reason = 'Reason ' || (return_ref % 12), processed_at = (SELECT created_at FROM returns WHERE id = return_ref) "
    "+ 9 * {day} WHERE return_ref % 100 < 96",
    "UPDATE return_units SET finding_found_at = processed_at + 1800, finding_center = 'RNO1', finding_reason = '', "
    "finding_condition = CASE return_ref % 10 WHEN 1 THEN 'CustomerDamaged' WHEN 2 THEN 'FulfillerDamaged' "
    "ELSE 'Sellable' END WHERE processed_at IS NOT NULL",
)


def _spread(daemon: Daemon, count: int, now: float) -> None:
    connection = sqlite3.connect(daemon.database, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA cache_size = {CACHE}")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN")
    for statement in SPREAD:
        connection.execute(statement.format(now=now, count=count, day=DAY))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def _wait_for_sums(daemon: Daemon, now: float) -> None:
    """Until the daemon has counted all past days, as it does every night."""
    connection = sqlite3.connect(daemon.database)
    try:
        for _ in range(1200):
            days = [int(value) for (value,) in connection.execute(SUMMED)]
            if len(days) == len(MARKS) and min(days) >= now // DAY:
                return
            time.sleep(0.5)
        raise TimeoutError("the daemon has no sums of each day")
    finally:
        connection.close()


class Browser:
    """A person who is logged in."""

    def __init__(self, daemon: Daemon) -> None:
        self.root = f"http://localhost:{daemon.ops_port}/console/"
        jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        page = self.get("login")
        form = re.search('name="form" value="([^"]*)"', page).group(1)
        sent = {"form": form, "name": "bench", "token": daemon.secrets["ops_token"], "next": "/console/help"}
        self._opener.open(self.root + "login", urllib.parse.urlencode(sent).encode()).read()

    def get(self, path: str) -> str:
        """Open a page."""
        with self._opener.open(self.root + path, timeout=60) as answer:
            return answer.read().decode()


PAGES = {
    "overview": "",
    "returns, newest": "returns",
    "returns, an old page": "returns?after={half}",
    "returns, one shop": "returns?shop=globex",
    "returns, stuck": "returns?state=stuck",
    "returns, stuck for a month": "returns?state=stuck&age=30",
    "returns, closed, of one shop, for three months": "returns?state=closed&shop=globex&age=90",
    "returns, on their way for three months": "returns?state=awaiting_inspection&age=90",
    "returns, held (none)": "returns?state=held",
    "search: order": "returns?q=%23100007",
    "search: tracking number": "returns?q=TBA77",
    "search: RMA": "returns?q=RMA78",
    "search: SKU of 2,000 returns": "returns?q=SKU-77",
    "search: nothing": "returns?q=no-such-thing",
    "one return": "returns/acme/{one}",
    "needs a person": "waiting",
    "reasons": "reasons",
    "insights, 30 days": "insights?days=30",
    "insights, 90 days": "insights?days=90",
    "insights, a year": "insights?days=365",
}


def measure(full: bool) -> Report:
    """Open each page a few times; the slowest counts, but for the first, which warms up."""
    count, rounds = (1_000_000, 12) if full else (20_000, 4)
    report = Report(f"The console's pages with {count:,} returns")
    with Daemon() as daemon:
        now = SystemClock().now()
        progress("seeding")
        seed(daemon.database, count, now)
        _spread(daemon, count, now)
        progress("starting")
        daemon.start()
        progress("waiting until each day has its sums")
        _wait_for_sums(daemon, now)
        browser = Browser(daemon)
        for name, path in PAGES.items():
            progress(name)
            where = path.format(half=count // 2, one=100000000 + count // 2 + 1)
            times = [_timed(browser, where) for _ in range(rounds + 1)][1:]
            report.at_most(name, 1000 * statistics.median(times), 100, "ms")
            report.remark(f"{name}: the slowest {1000 * max(times):.0f} ms")
    return report


def _timed(browser: Browser, path: str) -> float:
    began = time.perf_counter()
    browser.get(path)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(measure)
