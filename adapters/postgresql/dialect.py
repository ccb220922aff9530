"""Turns the shared statements into PostgreSQL's words. They are written with SQLite's placeholders and empty blob."""

import re
from functools import cache

_WORDS = re.compile(
    r"""
      (?P<blob>x'')
    | (?P<text>'(?:[^']|'')*')
    | (?P<cast>::)
    | (?P<place>\?)
    | :(?P<name>[a-z_]+)
    | (?P<hint>\ INDEXED\ BY\ \w+)
    | group_concat\(DISTINCT\ (?P<joined>[\w.]+)\)
    | (?P<percent>%)
    """,
    re.VERBOSE,
)


@cache
def translate(sql: str) -> bytes:
    """Return the statement as psycopg takes it."""
    return _WORDS.sub(_word, sql).encode()


def _word(found: re.Match[str]) -> str:
    kind = found.lastgroup
    text = found[0]
    if kind == "name":
        return f"%({found['name']})s"
    if kind == "joined":
        return f"string_agg(DISTINCT {found['joined']}, ',')"
    return {"blob": "''", "place": "%s", "hint": "", "percent": "%%"}.get(kind or "", text.replace("%", "%%"))
