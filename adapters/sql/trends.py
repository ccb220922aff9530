"""What happened on one day: counts, and the waits of some."""

from adapters.sql.connection import Connection
from daemon.ports.store import DayOfReturns

SAMPLE = 200
"""How many waits of a day are read; their middle hardly moves with more."""

_LABELS = "SELECT count(*) FROM returns WHERE labelled_at >= ? AND labelled_at < ?"
_WAITS = "SELECT labelled_at - created_at FROM returns WHERE labelled_at >= ? AND labelled_at < ? LIMIT ?"
_LAGS = (
    "SELECT finding_found_at - processed_at FROM return_units "
    "WHERE finding_found_at >= ? AND finding_found_at < ? AND processed_at IS NOT NULL LIMIT ?"
)
_ENDS = "SELECT settlement, count(*) FROM returns WHERE closed_at >= ? AND closed_at < ? GROUP BY settlement"


def of_day(connection: Connection, start: float, end: float) -> DayOfReturns:
    """Read what happened from `start` until before `end`."""
    waits = connection.execute(_WAITS, (start, end, SAMPLE)).fetchall()
    lags = connection.execute(_LAGS, (start, end, SAMPLE)).fetchall()
    ends = connection.execute(_ENDS, (start, end)).fetchall()
    return DayOfReturns(
        labels=connection.execute(_LABELS, (start, end)).fetchone()[0],
        waits=tuple(row[0] for row in waits),
        lags=tuple(row[0] for row in lags),
        ended=dict(ends),
    )
