"""Owns the statements of the posting engine: sets in, sets out, in the words of each database.

SQLite takes sets as JSON and as many rows of one statement, PostgreSQL as columns, each one text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Integer, Table

from billing_mcp.domain.errors import Internal
from billing_mcp.store.tables import (
    AccountRow,
    HoldRow,
    LedgerEntryRow,
    LedgerTransactionRow,
    OutboxRow,
    PostingKeyRow,
    WalletRow,
    table,
)

Row = Sequence[Any]
NewRows = tuple[Table, Sequence[Row]]

_SEPARATOR, _NULL = "\x1f", "\x1e"
_WALLET = "w.account_id, w.currency, w.available_micros, w.reserved_micros, w.last_seq, w.last_txn_seq, w.head_hash"
_KEY = "k.account_id, k.key_hash, k.request_hash, k.receipt_json"
_HOLD = ", ".join(f"h.{column.name}" for column in table(HoldRow).columns)


@dataclass(frozen=True, slots=True)
class Read:
    """A statement that finds rows."""

    sql: str
    values: Row


@dataclass(frozen=True, slots=True)
class Write:
    """A statement that writes a set of `count` rows. `values` are rows on SQLite, and columns on PostgreSQL."""

    table: str
    sql: str
    values: Sequence[Row]
    count: int


@dataclass(frozen=True, slots=True)
class Change:
    """An update of some columns, where others still have the value that was read."""

    table: Table
    columns: tuple[str, ...]
    where: tuple[str, ...]


TRANSACTIONS = table(LedgerTransactionRow)
ENTRIES = table(LedgerEntryRow)
NEW_HOLDS = table(HoldRow)
NEW_KEYS = table(PostingKeyRow)
EVENTS = table(OutboxRow)
HOLDS = Change(
    NEW_HOLDS,
    ("captured_micros", "released_micros", "status", "closed_at_us"),
    ("account_id", "hold_id", "status"),
)
WALLETS = Change(
    table(WalletRow),
    ("available_micros", "reserved_micros", "last_seq", "last_txn_seq", "head_hash"),
    ("account_id", "last_seq"),
)
STATUSES = Change(table(AccountRow), ("status",), ("account_id",))


_INSERTED = (TRANSACTIONS, ENTRIES, NEW_HOLDS, NEW_KEYS, EVENTS)
_CHANGED = (HOLDS, WALLETS, STATUSES)


@dataclass(frozen=True, slots=True)
class Words:
    """The statements in the words of one database, and how it takes sets."""

    books_sql: str
    waiting_books_sql: str
    known_sql: str
    keys_sql: str
    holds_sql: str
    insert: Callable[[Sequence[NewRows]], list[Write]]
    """Write whole rows into several tables, in the order of their columns."""
    updates: dict[Change, str]
    names: Callable[[Sequence[str]], Row]
    pairs: Callable[[Sequence[tuple[str, str]]], Row]
    rows: Callable[[Sequence[Row]], Sequence[Row]]

    def books(self, account_ids: Sequence[str], *, wait: bool) -> Read:
        """The status and the wallet of each account, locked; `wait` for those that others have locked."""
        return Read(self.waiting_books_sql if wait else self.books_sql, self.names(account_ids))

    def known(self, account_ids: Sequence[str]) -> Read:
        """Which of the accounts there are."""
        return Read(self.known_sql, self.names(account_ids))

    def keys(self, pairs: Sequence[tuple[str, str]]) -> Read:
        """What was answered under pairs of account and key."""
        return Read(self.keys_sql, self.pairs(pairs))

    def holds(self, pairs: Sequence[tuple[str, str]]) -> Read:
        """The holds of pairs of account and hold."""
        return Read(self.holds_sql, self.pairs(pairs))

    def update(self, change: Change, rows: Sequence[Row]) -> Write:
        """Write rows of the new values, and then what is compared."""
        return Write(change.table.name, self.updates[change], self.rows(rows), len(rows))


def _sqlite() -> Words:
    """Sets are JSON texts, or one statement with many rows. Who writes is alone, so nothing is locked."""
    first, second = "json_extract(j.value, '$[0]')", "json_extract(j.value, '$[1]')"
    named = "json_each(?) j CROSS JOIN wallets w ON w.account_id = j.value"
    books = f"SELECT a.status, {_WALLET} FROM {named} CROSS JOIN accounts a ON a.account_id = w.account_id"  # noqa: S608

    inserts = {each: _insert(each, f"VALUES ({', '.join('?' for _ in each.columns)})") for each in _INSERTED}

    def update(change: Change) -> str:
        columns = ", ".join(f"{name} = ?" for name in change.columns)
        where = " AND ".join(f"{name} = ?" for name in change.where)
        return f"UPDATE {change.table.name} SET {columns} WHERE {where}"  # noqa: S608

    return Words(
        books_sql=books,
        waiting_books_sql=books,
        known_sql=f"SELECT w.account_id FROM {named}",  # noqa: S608
        keys_sql=f"SELECT {_KEY} FROM json_each(?) j CROSS JOIN posting_keys k "  # noqa: S608
        f"ON k.account_id = {first} AND k.key_hash = {second}",
        holds_sql=f"SELECT {_HOLD} FROM json_each(?) j CROSS JOIN holds h "  # noqa: S608
        f"ON h.account_id = {first} AND h.hold_id = {second}",
        insert=lambda sets: [Write(into.name, inserts[into], rows, len(rows)) for into, rows in sets],
        updates={change: update(change) for change in _CHANGED},
        names=lambda names: (json.dumps(names),),
        pairs=lambda pairs: (json.dumps(pairs),),
        rows=lambda rows: rows,
    )


def _postgresql() -> Words:
    """Sets are texts, one for each column. Accounts are locked in order, and can be skipped when they are."""
    books = (
        f"SELECT a.status, {_WALLET} FROM accounts a JOIN wallets w USING (account_id) "  # noqa: S608
        "WHERE a.account_id = ANY($1::text[]) ORDER BY a.account_id FOR NO KEY UPDATE OF a, w"
    )

    def array(number: int, type_: str) -> str:
        return f"(string_to_array(${number}, '{_SEPARATOR}', '{_NULL}'))[2:]::{type_}[]"

    def arrays(of: Table, names: Sequence[str], first: int = 1) -> str:
        return f"unnest({', '.join(array(number, _type(of, name)) for number, name in enumerate(names, first))})"

    pairs = f"unnest({array(1, 'text')}, {array(2, 'text')}) AS j(a, b)"

    @cache
    def insert_sql(tables: tuple[Table, ...]) -> str:
        """One statement for all: while the server is busy with it, what comes next is decided."""
        inserts, first = [], 1
        for into in tables:
            inserts.append(_insert(into, f"SELECT * FROM {arrays(into, into.columns.keys(), first)}"))  # noqa: S608
            first += len(into.columns)
        others = ", ".join(f"i{number} AS ({insert})" for number, insert in enumerate(inserts[:-1]))
        return f"WITH {others} {inserts[-1]}" if others else inserts[-1]

    def insert(sets: Sequence[NewRows]) -> list[Write]:
        sql = insert_sql(tuple(into for into, _ in sets))
        columns = [_joined(column) for _, rows in sets for column in zip(*rows, strict=True)]
        into, last = sets[-1]
        return [Write(into.name, sql, columns, len(last))]

    def update(change: Change) -> str:
        names = (*change.columns, *change.where)
        columns = ", ".join(f"{name} = u{n}" for n, name in enumerate(change.columns))
        changed = change.table.name
        where = " AND ".join(f"{changed}.{name} = u{n}" for n, name in enumerate(change.where, len(change.columns)))
        new = ", ".join(f"u{n}" for n in range(len(names)))
        return f"UPDATE {changed} SET {columns} FROM {arrays(change.table, names)} AS u({new}) WHERE {where}"  # noqa: S608

    return Words(
        books_sql=f"{books} SKIP LOCKED",
        waiting_books_sql=books,
        known_sql="SELECT account_id FROM wallets WHERE account_id = ANY($1::text[])",
        keys_sql=f"SELECT {_KEY} FROM posting_keys k JOIN {pairs} ON (k.account_id, k.key_hash) = (j.a, j.b)",  # noqa: S608
        holds_sql=f"SELECT {_HOLD} FROM holds h JOIN {pairs} ON (h.account_id, h.hold_id) = (j.a, j.b)",  # noqa: S608
        insert=insert,
        updates={change: update(change) for change in _CHANGED},
        names=lambda names: (names,),
        pairs=lambda pairs: [_joined(column) for column in zip(*pairs, strict=True)],
        rows=lambda rows: [_joined(column) for column in zip(*rows, strict=True)],
    )


def _joined(column: Row) -> str:
    """A column as one text, with an element before it so that a single empty text is one element too.

    The driver takes four times as long to pass an array on as to pass a text. Raises Internal for a text
    that holds what separates texts.
    """
    try:
        text = _SEPARATOR.join(column)
        nulls = 0
    except TypeError:
        text = _SEPARATOR.join([_NULL if value is None else str(value) for value in column])
        nulls = column.count(None)
    if text.count(_SEPARATOR) != len(column) - 1 or text.count(_NULL) != nulls:
        raise Internal("a text has a control character that no text has")
    return f"{_SEPARATOR}{text}"


def _insert(into: Table, source: str) -> str:
    return f"INSERT INTO {into.name} ({', '.join(into.columns.keys())}) {source}"


def _type(of: Table, name: str) -> str:
    kind = of.columns[name].type
    return "bigint" if isinstance(kind, BigInteger) else "integer" if isinstance(kind, Integer) else "text"


SQLITE = _sqlite()
POSTGRESQL = _postgresql()


def words_for(dialect: str) -> Words:
    """The words of a database, by the name of its dialect."""
    return SQLITE if dialect == "sqlite" else POSTGRESQL
