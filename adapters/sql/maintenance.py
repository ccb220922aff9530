"""The statements of maintenance: deleting, resealing, counting and exporting."""

import secrets
from collections.abc import Collection, Mapping, Sequence

from adapters.sql import calls, search, sums, trends
from adapters.sql.connection import Connection, Row
from adapters.sql.unit_of_work import SET_MARK
from daemon.domain.returns import Return, State
from daemon.ports.names import bought_labels
from daemon.ports.sealed import SEALED
from daemon.ports.store import (
    CaseRow,
    DayOfReturns,
    DeadLetterRow,
    Listed,
    ListFilter,
    SealedKind,
    SealedValue,
    Sum,
    Topic,
)

Key = tuple[int | str, ...]

# Without INDEXED BY, SQLite would read every closed return by `returns_due` and sort them.
_ENDED = (
    "SELECT shop, return_id, state FROM returns INDEXED BY returns_to_drop "
    "WHERE (state = 'closed' OR state = 'cancelled' OR state = 'expired') AND due_at IS NULL "
    "AND coalesce(closed_at, changed_at) < ? ORDER BY coalesce(closed_at, changed_at) LIMIT ?"
)
_DROP_DELIVERIES = (
    "DELETE FROM deliveries WHERE (shop, digest) IN "
    "(SELECT shop, digest FROM deliveries WHERE received_at < ? ORDER BY received_at LIMIT ?)"
)
_DROP_INDEXED = (
    "DELETE FROM order_index WHERE (account, displayable_order_id, order_id) IN "
    "(SELECT account, displayable_order_id, order_id FROM order_index WHERE changed_at < ? ORDER BY changed_at LIMIT ?)"
)
_HELD = "FROM returns WHERE state = 'received' AND held = 1"


_CASES = (
    "SELECT 'stuck', shop, return_id, problem, changed_at FROM returns WHERE state = 'stuck' ORDER BY 5 LIMIT :limit",
    f"SELECT 'held', shop, return_id, problem, changed_at {_HELD} ORDER BY 5 LIMIT :limit",
    "SELECT 'review', shop, return_id, '', changed_at FROM returns WHERE state = 'in_review' ORDER BY 5 LIMIT :limit",
    """SELECT 'unsettled', r.shop, r.return_id, '', e.at FROM return_events e JOIN returns r ON r.id = e.return_ref
       WHERE e.event = 'LeftUnsettled' AND e.at > :since ORDER BY 5 LIMIT :limit""",
    """SELECT 'claims', r.shop, r.return_id, u.sku || ' ' || u.finding_condition, u.finding_found_at
       FROM return_units u JOIN returns r ON r.id = u.return_ref
       WHERE (u.finding_condition = 'FulfillerDamaged' OR u.finding_condition = 'CarrierDamaged'
              OR u.finding_condition = 'missing') AND u.finding_found_at > :since
         AND (u.finding_condition <> 'missing' OR EXISTS (
              SELECT 1 FROM postage p WHERE p.return_ref = r.id AND p.authorization_id = u.authorization_id
              AND p.delivered_at IS NOT NULL)) ORDER BY 5 LIMIT :limit""",
)
"""Kind, shop, return id, problem, since when. Claims: damaged by Amazon or a carrier, or delivered and lost."""


_NAMELESS = (
    "UPDATE purchases SET handle = ?, return_id = '', authorization_id = '', look_at = NULL "
    "WHERE source = ? AND handle = ?"
)


class _Sealed:
    """How to read and write one kind of sealed value; writing an `owned` one raises the version of its return."""

    def __init__(self, keys: str, read: str, write: str, *, owned: bool = False) -> None:
        self.keys, self.read, self.write, self.owned = keys, read, write, owned


_LINK = f"label_url LIKE '{SEALED}%'"
_STATEMENTS: Mapping[SealedKind, _Sealed] = {
    SealedKind.DOCUMENTS: _Sealed(
        "SELECT id FROM documents WHERE sealed <> x''",
        "SELECT name, sealed FROM documents WHERE id = ? AND sealed <> x''",
        "UPDATE documents SET sealed = ? WHERE id = ?",
    ),
    SealedKind.DEAD_LETTERS: _Sealed(
        "SELECT id FROM dead_letters",
        "SELECT shop, sealed FROM dead_letters WHERE id = ?",
        "UPDATE dead_letters SET sealed = ? WHERE id = ?",
    ),
    SealedKind.OFFERS: _Sealed(
        "SELECT return_ref, authorization_id FROM postage WHERE sealed_offer <> x''",
        "SELECT authorization_id, sealed_offer FROM postage "
        "WHERE return_ref = ? AND authorization_id = ? AND sealed_offer <> x''",
        "UPDATE postage SET sealed_offer = ? WHERE return_ref = ? AND authorization_id = ?",
        owned=True,
    ),
    SealedKind.LINKS: _Sealed(
        f"SELECT return_ref, request_id FROM label_requests WHERE {_LINK}",  # noqa: S608 - our own names
        f"SELECT request_id, label_url FROM label_requests WHERE return_ref = ? AND request_id = ? AND {_LINK}",  # noqa: S608
        "UPDATE label_requests SET label_url = ? WHERE return_ref = ? AND request_id = ?",
        owned=True,
    ),
    SealedKind.MARKS: _Sealed(
        f"SELECT name FROM marks WHERE value LIKE '{SEALED}%'",  # noqa: S608 - our own names
        f"SELECT name, value FROM marks WHERE name = ? AND value LIKE '{SEALED}%'",  # noqa: S608 - our own names
        "UPDATE marks SET value = ? WHERE name = ?",
    ),
}


class SqlUpkeep:
    """Implements the Maintenance port on an open connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # ---- dead letters

    def letters(self) -> Sequence[DeadLetterRow]:
        """Every dead letter, oldest first."""
        rows = self._rows("SELECT id, shop, reason, received_at FROM dead_letters ORDER BY received_at, id")
        return [_letter(row) for row in rows]

    def letter(self, letter_id: int) -> tuple[DeadLetterRow, bytes] | None:
        """Return a dead letter and its sealed content."""
        rows = self._rows("SELECT id, shop, reason, received_at, sealed FROM dead_letters WHERE id = ?", letter_id)
        return (_letter(rows[0][:4]), rows[0][4]) if rows else None

    def drop_letter(self, letter_id: int) -> bool:
        """Delete a dead letter; False when there was none."""
        return self._change("DELETE FROM dead_letters WHERE id = ?", letter_id) == 1

    def drop_letters(self, before: float) -> int:
        """Delete the dead letters received before a time."""
        return self._change("DELETE FROM dead_letters WHERE received_at < ?", before)

    # ---- what has expired

    def drop_deliveries(self, before: float, limit: int) -> int:
        """Delete deliveries received before a time, oldest first."""
        return self._change(_DROP_DELIVERIES, before, limit)

    def drop_indexed_orders(self, before: float, limit: int) -> int:
        """Delete indexed orders that last changed before a time, oldest first."""
        return self._change(_DROP_INDEXED, before, limit)

    def drop_calls(self, before: float, limit: int) -> int:
        """Delete calls made before a time, oldest first."""
        return calls.drop(self._connection, before, limit)

    def drop_empty_documents(self, before: float) -> int:
        """Delete the empty rows of documents whose retention ended before a time."""
        return self._change("DELETE FROM documents WHERE sealed = x'' AND expires_at < ?", before)

    def drop_documents_named(self, prefix: str) -> None:
        """Delete the documents whose names have this prefix."""
        self._change("DELETE FROM documents WHERE name >= ? AND name < ?", prefix, prefix + "\U0010ffff")

    def ended(self, before: float, limit: int) -> Sequence[tuple[str, str, State]]:
        """List returns that ended before a time and have nothing due, oldest end first."""
        return [(shop, return_id, State(state)) for shop, return_id, state in self._rows(_ENDED, before, limit)]

    def drop_return(self, shop: str, return_id: str) -> None:
        """Delete a return with its parts, its history and its calls."""
        self._change("DELETE FROM returns WHERE return_id = ? AND shop = ?", return_id, shop)
        self._change("DELETE FROM purchases WHERE shop = ? AND return_id = ?", shop, return_id)
        self._change("DELETE FROM calls WHERE return_id = ? AND shop = ?", return_id, shop)

    def forget_return(self, ret: Return) -> bool:
        """Delete a return and its deliveries, unless it has changed since it was read; what labels cost stays."""
        sql = "SELECT 1 FROM returns WHERE return_id = ? AND shop = ? AND version = ?"
        if not self._rows(sql, ret.return_id, ret.shop, ret.version):
            return False
        parcels = self._rows(
            "SELECT source, handle FROM purchases WHERE shop = ? AND return_id = ?", ret.shop, ret.return_id
        )
        for source, handle in parcels:
            self._change(_NAMELESS, f"forgotten/{secrets.token_hex(16)}", source, handle)
        self.drop_return(ret.shop, ret.return_id)
        self._change("DELETE FROM deliveries WHERE return_id = ? AND shop = ?", ret.return_id, ret.shop)
        return True

    def withdraw_document(self, name: str) -> None:
        """Empty a document."""
        self._change("UPDATE documents SET sealed = ? WHERE name = ?", b"", name)

    def bury(self, digests: Sequence[str], at: float) -> None:
        """Remember that something of these names was forgotten."""
        for digest in digests:
            self._change("INSERT INTO tombstones VALUES (?, ?) ON CONFLICT DO NOTHING", digest, at)

    def count_sums(self, topics: Collection[Topic], start: float, end: float) -> Sequence[Sum]:
        """Count what happened from `start` until before `end`."""
        return sums.count(self._connection, topics, start, end)

    def keep_sums(self, day: int, topics: Collection[Topic], rows: Sequence[Sum]) -> None:
        """Keep the sums of a day, in place of earlier ones."""
        sums.keep(self._connection, day, topics, rows)

    def sums(self, topic: Topic, start: int, end: int) -> Sequence[Sum]:
        """Add up the kept sums of the days from `start` until before `end`."""
        return sums.stored(self._connection, topic, start, end)

    def first_of(self, topics: Collection[Topic]) -> float | None:
        """Say when the first of what these topics count happened."""
        return sums.first(self._connection, topics)

    def drop_tombstones(self, before: float) -> int:
        """Delete the tombstones set before a time."""
        return self._change("DELETE FROM tombstones WHERE forgotten_at < ?", before)

    def set_mark(self, name: str, value: str) -> None:
        """Write a mark, replacing the old value."""
        self._change(SET_MARK, name, value)

    def doubt_all(self) -> int:
        """Have every return that is open, or has something due, wait for a comparison with the vendors."""
        return self._change(
            "UPDATE returns SET unproven = 1, due_at = NULL, version = version + 1 "
            "WHERE unproven = 0 AND (due_at IS NOT NULL OR NOT (state = 'closed' OR state = 'cancelled'))"
        )

    def unproven(self, shop: str, limit: int) -> Sequence[str]:
        """List a shop's returns that wait for a comparison."""
        sql = "SELECT return_id FROM returns WHERE unproven = 1 AND shop = ? ORDER BY return_id LIMIT ?"
        return [return_id for (return_id,) in self._rows(sql, shop, limit)]

    def drop_mark(self, name: str) -> None:
        """Delete a mark."""
        self._change("DELETE FROM marks WHERE name = ?", name)

    # ---- other names

    def mark_names(self) -> Sequence[str]:
        """List the names of all marks."""
        return [name for (name,) in self._rows("SELECT name FROM marks ORDER BY name")]

    def move_mark(self, name: str, new: str) -> None:
        """Rename a mark, in place of one of the new name."""
        self.drop_mark(new)
        self._change("UPDATE marks SET name = ? WHERE name = ?", new, name)

    def open_counts(self) -> Mapping[tuple[str, str], int]:
        """Count the returns for which something is due, by account and shop."""
        sql = "SELECT account, shop, count(*) FROM returns WHERE due_at IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
        return {(account, shop): count for account, shop, count in self._rows(sql)}

    def in_both(self, shop: str, other: str) -> Sequence[str]:
        """List the ids of returns that two shops have."""
        sql = (
            "SELECT a.return_id FROM returns a JOIN returns b ON b.return_id = a.return_id AND b.shop = ? "
            "WHERE a.shop = ? ORDER BY 1"
        )
        return [return_id for (return_id,) in self._rows(sql, other, shop)]

    def rename_shop(self, name: str, new: str) -> int:
        """Give everything of a shop to another name; what both have, keeps the new one's."""
        self._change(
            "DELETE FROM deliveries WHERE shop = ? AND digest IN (SELECT digest FROM deliveries WHERE shop = ?)",
            name,
            new,
        )
        renamed = self._change(
            "UPDATE returns SET named_for = CASE named_for WHEN '' THEN shop ELSE named_for END, shop = ?, "
            "version = version + 1 WHERE shop = ?",
            new,
            name,
        )
        for table in ("label_requests", "deliveries", "purchases", "calls"):
            self._change(f"UPDATE {table} SET shop = ? WHERE shop = ?", new, name)  # noqa: S608 - our own names
        self._change(
            "INSERT INTO sums (topic, days, day, shop, a, b, count, cents) "
            "SELECT topic, days, day, CAST(? AS TEXT), a, b, count, cents FROM sums WHERE shop = ? "
            "ON CONFLICT (topic, days, day, shop, a, b) DO UPDATE "
            "SET count = sums.count + excluded.count, cents = sums.cents + excluded.cents",
            new,
            name,
        )
        self._change("DELETE FROM sums WHERE shop = ?", name)
        prefix = bought_labels(name, "")[:-1]
        for key, document in self._rows(
            "SELECT id, name FROM documents WHERE name >= ? AND name < ?", prefix, prefix + "\U0010ffff"
        ):
            moved = bought_labels(new, "")[:-1] + document.removeprefix(prefix)
            self._change("UPDATE documents SET name = ? WHERE id = ?", moved, key)
        return renamed

    def rename_account(self, name: str, new: str) -> int:
        """Give everything of an account to another name; a list of orders begun under that name gives way."""
        self._change("DELETE FROM order_index WHERE account = ?", new)
        for table in ("order_index", "purchases"):
            self._change(f"UPDATE {table} SET account = ? WHERE account = ?", new, name)  # noqa: S608 - our own names
        return self._change("UPDATE returns SET account = ?, version = version + 1 WHERE account = ?", new, name)

    def letters_of(self, shop: str) -> Sequence[int]:
        """List the dead letters of a shop."""
        return [letter for (letter,) in self._rows("SELECT id FROM dead_letters WHERE shop = ? ORDER BY id", shop)]

    def move_letter(self, letter_id: int, shop: str, sealed: bytes) -> None:
        """Give a dead letter, sealed anew, to another shop; one that is kept there already is enough."""
        sql = (
            "DELETE FROM dead_letters WHERE id = ? AND digest IN "
            "(SELECT digest FROM dead_letters WHERE shop = ? AND id <> ?)"
        )
        if not self._change(sql, letter_id, shop, letter_id):
            self._change("UPDATE dead_letters SET shop = ?, sealed = ? WHERE id = ?", shop, sealed, letter_id)

    # ---- sealed values

    def sealed_keys(self, shelf: SealedKind) -> Sequence[Key]:
        """List the keys of all sealed values of a kind."""
        return self._rows(_STATEMENTS[shelf].keys)

    def sealed(self, shelf: SealedKind, key: Key) -> SealedValue | None:
        """Return a sealed value; None when it was deleted meanwhile."""
        rows = self._rows(_STATEMENTS[shelf].read, *key)
        return SealedValue(shelf=shelf, key=key, about=rows[0][0], sealed=rows[0][1]) if rows else None

    def reseal(self, value: SealedValue, sealed: bytes | str) -> None:
        """Replace a sealed value. Its return's version rises, so that no older reading can restore the old value."""
        shelf = _STATEMENTS[value.shelf]
        self._change(shelf.write, sealed, *value.key)
        if shelf.owned:
            self._change("UPDATE returns SET version = version + 1 WHERE id = ?", value.key[0])

    # ---- reading

    def changed_since(self, since: float, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """List returns that changed since a time, in the order in which they were opened."""
        sql = "SELECT id, shop, return_id FROM returns WHERE id > ? AND changed_at >= ? ORDER BY id LIMIT ?"
        return self._rows(sql, after, since, limit)

    def held(self, limit: int) -> Sequence[tuple[str, str, str, float]]:
        """List (shop, return id, problem, since when) of returns held before anything was asked of Amazon."""
        return self._rows(f"SELECT shop, return_id, problem, changed_at {_HELD} ORDER BY 4, 1, 2 LIMIT ?", limit)

    def find_by(self, text: str, limit: int) -> Sequence[Listed]:
        """List the newest returns with exactly this return, order, RMA, tracking number, label request or SKU."""
        return search.find(self._connection, text, limit)

    def page_of(self, wanted: ListFilter, limit: int) -> Sequence[Listed]:
        """List the newest returns that fit the filter."""
        return search.page(self._connection, wanted, limit)

    def cases(self, since: float, limit: int) -> Sequence[CaseRow]:
        """List the cases for notifications: what waits now, and what happened since; at most `limit` of each kind."""
        return [CaseRow(*row) for sql in _CASES for row in self._rows(sql, {"since": since, "limit": limit})]

    def held_counts(self) -> Mapping[str, int]:
        """Count the held returns by shop. Reads all newly received returns."""
        return dict(self._rows(f"SELECT shop, count(*) {_HELD} GROUP BY 1 ORDER BY 1"))

    def of_day(self, start: float, end: float) -> DayOfReturns:
        """Read what happened from `start` until before `end`."""
        return trends.of_day(self._connection, start, end)

    def some_sku(self) -> str | None:
        """Return Amazon's SKU of the newest unit."""
        rows = self._rows("SELECT sku FROM return_units WHERE sku <> '' ORDER BY return_ref DESC LIMIT 1")
        return rows[0][0] if rows else None

    def last_label(self, shop: str) -> float | None:
        """Say when the shop's newest return with a label got that label."""
        sql = "SELECT labelled_at FROM returns WHERE shop = ? AND labelled_at IS NOT NULL ORDER BY id DESC LIMIT 1"
        rows = self._rows(sql, shop)
        return rows[0][0] if rows else None

    def _rows(self, sql: str, *parameters: object) -> list[Row]:
        named = parameters[0] if parameters and isinstance(parameters[0], dict) else parameters
        return self._connection.execute(sql, named).fetchall()

    def _change(self, sql: str, *parameters: object) -> int:
        return self._connection.execute(sql, parameters).rowcount


def _letter(row: tuple[int, str, str, float]) -> DeadLetterRow:
    letter_id, shop, reason, received_at = row
    return DeadLetterRow(letter_id=letter_id, shop=shop, reason=reason, received_at=received_at)
