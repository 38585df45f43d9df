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
from billing_mcp.store.message_tables import (
    ActiveUserRow,
    CampaignRow,
    ChannelStateRow,
    MessageRow,
    ThreadEventRow,
    UsageRow,
)
from billing_mcp.store.tables import (
    AccountRow,
    HoldRow,
    LedgerEntryRow,
    LedgerTransactionRow,
    OutboxRow,
    PostingKeyRow,
    SubscriptionPhaseRow,
    WalletRow,
    table,
)

Row = Sequence[Any]
NewRows = tuple[Table, Sequence[Row]]

_SEPARATOR, _NULL = "\x1f", "\x1e"
_WALLET = (
    "w.account_id, w.currency, w.available_micros, w.reserved_micros, w.last_seq, w.last_txn_seq, w.head_hash, "
    "w.watch_low_micros, w.watch_high_micros"
)


@dataclass(frozen=True, slots=True)
class Read:
    """A statement that finds rows."""

    sql: str
    values: Row


@dataclass(frozen=True, slots=True)
class Write:
    """A statement that writes a set of `count` rows; None is any number of them.

    `values` are rows on SQLite, and columns on PostgreSQL.
    """

    table: str
    sql: str
    values: Sequence[Row]
    count: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """An update of some columns, where others still have the value that was read."""

    table: Table
    columns: tuple[str, ...]
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """Rows that go, by some columns, as far as they are there."""

    table: Table
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Rows of a table by their key. `beyond` narrows or widens it, in words where {0}, {1}, ... are the key's parts."""

    table: Table
    key: tuple[str, ...]
    columns: tuple[str, ...] = ()
    beyond: str = ""

    @property
    def selected(self) -> str:
        """What is read of each row: all of it, unless it is said."""
        return ", ".join(self.columns or [f"t.{each.name}" for each in self.table.columns])

    def matching(self, parts: Sequence[str]) -> str:
        """The condition for a row, in terms of the parts of the key."""
        equal = [f"t.{name} = {part}" for name, part in zip(self.key, parts, strict=False)]
        return " AND ".join([*equal, self.beyond.format(*parts)] if self.beyond else equal)


@dataclass(frozen=True, slots=True)
class Upsert:
    """New rows, or new values for those whose key is there: `adds` are added to what is stored, others replace it."""

    table: Table
    adds: bool = False

    @property
    def conflict(self) -> str:
        """What becomes of a row that is there."""
        name = self.table.name
        values = [each.name for each in self.table.columns if not each.primary_key]
        stored = [f"{name}.{value} + " if self.adds else "" for value in values]
        changes = ", ".join(f"{value} = {old}excluded.{value}" for value, old in zip(values, stored, strict=True))
        key = ", ".join(each.name for each in self.table.primary_key)
        return f"ON CONFLICT ({key}) DO UPDATE SET {changes}"


TRANSACTIONS = table(LedgerTransactionRow)
ENTRIES = table(LedgerEntryRow)
NEW_HOLDS = table(HoldRow)
NEW_KEYS = table(PostingKeyRow)
EVENTS = table(OutboxRow)
NEW_MESSAGES = table(MessageRow)
NEW_ACTIVE_USERS = table(ActiveUserRow)
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
WATCHES = Change(table(WalletRow), ("watch_low_micros", "watch_high_micros"), ("account_id",))
STATUSES = Change(table(AccountRow), ("status", "status_since_us", "dunning_due_us", "reminders"), ("account_id",))
MESSAGES = Change(NEW_MESSAGES, tuple(NEW_MESSAGES.columns.keys()[2:]), ("account_id", "message_id"))
EVENTS_GONE = Removal(EVENTS, ("account_id", "event_id", "event"))
THREAD_EVENTS = Upsert(table(ThreadEventRow))
CHANNEL_STATES = Upsert(table(ChannelStateRow))
USAGE = Upsert(table(UsageRow), adds=True)

KEYS_ASKED = Lookup(
    NEW_KEYS, ("account_id", "key_hash"), ("t.account_id", "t.key_hash", "t.request_hash", "t.receipt_json")
)
HOLDS_ASKED = Lookup(NEW_HOLDS, ("account_id", "hold_id"))
MESSAGES_ASKED = Lookup(NEW_MESSAGES, ("account_id", "message_id"))
CAMPAIGNS_ASKED = Lookup(table(CampaignRow), ("account_id", "campaign_id"))
STATES_ASKED = Lookup(CHANNEL_STATES.table, ("account_id",))
PHASES_ASKED = Lookup(
    table(SubscriptionPhaseRow), ("account_id",), ("t.account_id", "CAST(t.starts_on AS TEXT)", "t.plan_id")
)
ACTIVE_ASKED = Lookup(NEW_ACTIVE_USERS, ("account_id", "month", "channel", "recipient"))
THREADS_ASKED = Lookup(
    THREAD_EVENTS.table,
    ("account_id", "thread"),
    beyond="t.at_us >= COALESCE((SELECT MAX(p.at_us) FROM thread_events p WHERE p.account_id = {0} "
    "AND p.thread = {1} AND p.at_us < {2}), {2})",
)
"""By account, thread and moment: the last events before it, and all from it on."""
HEARD_ASKED = Lookup(THREAD_EVENTS.table, ("account_id", "thread", "event_id"))
"""What was told of a thread before, whenever it is said to have been. A thread is short."""

_INSERTED = (TRANSACTIONS, ENTRIES, NEW_HOLDS, NEW_KEYS, EVENTS, NEW_MESSAGES, NEW_ACTIVE_USERS)
_CHANGED = (HOLDS, WALLETS, WATCHES, STATUSES, MESSAGES)
_REMOVED = (EVENTS_GONE,)
_UPSERTED = (THREAD_EVENTS, CHANNEL_STATES, USAGE)
_LOOKED_UP: dict[Lookup, tuple[str, ...]] = {
    KEYS_ASKED: ("text", "text"),
    HOLDS_ASKED: ("text", "text"),
    MESSAGES_ASKED: ("text", "text"),
    CAMPAIGNS_ASKED: ("text", "text"),
    STATES_ASKED: ("text",),
    PHASES_ASKED: ("text",),
    ACTIVE_ASKED: ("text", "bigint", "text", "text"),
    THREADS_ASKED: ("text", "text", "bigint"),
    HEARD_ASKED: ("text", "text", "text"),
}
"""Every look-up, and the types of what it is asked by."""


@dataclass(frozen=True, slots=True)
class Words:
    """The statements in the words of one database, and how it takes sets."""

    books_sql: str
    waiting_books_sql: str
    known_sql: str
    lookups: dict[Lookup, str]
    insert: Callable[[Sequence[NewRows]], list[Write]]
    """Write whole rows into several tables, in the order of their columns."""
    updates: dict[Change, str]
    upserts: dict[Upsert, str]
    removals: dict[Removal, str]
    names: Callable[[Sequence[str]], Row]
    keys: Callable[[Sequence[Row]], Row]
    rows: Callable[[Sequence[Row]], Sequence[Row]]

    def books(self, account_ids: Sequence[str], *, wait: bool) -> Read:
        """The status and the wallet of each account, locked; `wait` for those that others have locked."""
        return Read(self.waiting_books_sql if wait else self.books_sql, self.names(account_ids))

    def known(self, account_ids: Sequence[str]) -> Read:
        """Which of the accounts there are."""
        return Read(self.known_sql, self.names(account_ids))

    def asked(self, lookup: Lookup, keys: Sequence[Row]) -> Read:
        """The rows of these keys."""
        return Read(self.lookups[lookup], self.keys(keys))

    def update(self, change: Change, rows: Sequence[Row]) -> Write:
        """Write rows of the new values, and then what is compared."""
        return Write(change.table.name, self.updates[change], self.rows(rows), len(rows))

    def upsert(self, into: Upsert, rows: Sequence[Row]) -> Write:
        """Write whole rows, each of another key."""
        return Write(into.table.name, self.upserts[into], self.rows(rows), len(rows))

    def remove(self, gone: Removal, rows: Sequence[Row]) -> Write:
        """Delete what is there of rows."""
        return Write(gone.table.name, self.removals[gone], self.rows(rows), None)


def _sqlite() -> Words:
    """Sets are JSON texts, or one statement with many rows. Who writes is alone, so nothing is locked."""
    named = "json_each(?) j CROSS JOIN wallets w ON w.account_id = j.value"
    books = f"SELECT a.status, {_WALLET} FROM {named} CROSS JOIN accounts a ON a.account_id = w.account_id"  # noqa: S608

    def values(into: Table) -> str:
        return _insert(into, f"VALUES ({', '.join('?' for _ in into.columns)})")

    inserts = {each: values(each) for each in _INSERTED}

    def lookup(asked: Lookup, types: tuple[str, ...]) -> str:
        parts = [f"json_extract(j.value, '$[{number}]')" for number in range(len(types))]
        found = f"json_each(?) j CROSS JOIN {asked.table.name} t ON {asked.matching(parts)}"
        return f"SELECT {asked.selected} FROM {found}"  # noqa: S608

    def update(change: Change) -> str:
        columns = ", ".join(f"{name} = ?" for name in change.columns)
        where = " AND ".join(f"{name} = ?" for name in change.where)
        return f"UPDATE {change.table.name} SET {columns} WHERE {where}"  # noqa: S608

    return Words(
        books_sql=books,
        waiting_books_sql=books,
        known_sql=f"SELECT w.account_id FROM {named}",  # noqa: S608
        lookups={asked: lookup(asked, types) for asked, types in _LOOKED_UP.items()},
        insert=lambda sets: [Write(into.name, inserts[into], rows, len(rows)) for into, rows in sets],
        updates={change: update(change) for change in _CHANGED},
        upserts={each: f"{values(each.table)} {each.conflict}" for each in _UPSERTED},
        removals={
            each: f"DELETE FROM {each.table.name} WHERE {' AND '.join(f'{name} = ?' for name in each.where)}"  # noqa: S608
            for each in _REMOVED
        },
        names=lambda names: (json.dumps(names),),
        keys=lambda keys: (json.dumps(keys),),
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

    def lookup(asked: Lookup, types: tuple[str, ...]) -> str:
        given = ", ".join(array(number, type_) for number, type_ in enumerate(types, 1))
        parts = [f"k{number}" for number in range(len(types))]
        found = f"{asked.table.name} t JOIN unnest({given}) AS j({', '.join(parts)}) ON {asked.matching(parts)}"
        return f"SELECT {asked.selected} FROM {found}"  # noqa: S608

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
        lookups={asked: lookup(asked, types) for asked, types in _LOOKED_UP.items()},
        insert=insert,
        updates={change: update(change) for change in _CHANGED},
        upserts={
            each: f"{_insert(each.table, f'SELECT * FROM {arrays(each.table, each.table.columns.keys())}')} "  # noqa: S608
            f"{each.conflict}"
            for each in _UPSERTED
        },
        removals={
            each: f"DELETE FROM {each.table.name} WHERE ({', '.join(each.where)}) IN "  # noqa: S608
            f"(SELECT * FROM {arrays(each.table, each.where)})"
            for each in _REMOVED
        },
        names=lambda names: (names,),
        keys=lambda keys: [_joined(column) for column in zip(*keys, strict=True)],
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
