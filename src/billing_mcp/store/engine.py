"""Owns connections: SQLite in WAL mode with one writer, or PostgreSQL; and their errors."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import structlog
from sqlalchemy import URL, Engine, NullPool, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from billing_mcp.domain.errors import BillingError, Conflict, Internal, InvalidArgument, Unavailable

log = structlog.get_logger()

T = TypeVar("T")

LOCK_WAIT_S = 5
POOL_WAIT_S = 30
PING_S = 5
# isolation_level=None: the driver's own BEGIN is deferred, so two writers that read first
# would overwrite each other's updates without an error. We begin ourselves.
_SQLITE_OPTIONS: dict[str, Any] = {"isolation_level": None, "timeout": LOCK_WAIT_S}
# 64 MB of pages instead of 2, and a checkpoint after 32 MB of log instead of 4: a third more postings.
_SQLITE_WRITER_PRAGMAS = ("cache_size=-65536", "wal_autocheckpoint=8000")
_POSTGRESQL_SETTINGS = {
    "application_name": "billing-mcp",
    "lock_timeout": f"{LOCK_WAIT_S}s",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "20s",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
# The server ends a statement after 15 s; that it may be gone without a word bounds the client too.
_POSTGRESQL_CONNECT: dict[str, Any] = {"timeout": 10, "command_timeout": 20}
_POSTGRESQL_OPTIONS = frozenset({"host", "port", "ssl"})
_RETRYABLE_SQLSTATES = frozenset({"40001", "40P01"})
_LOST_SQLSTATES = ("08", "57P")
_UNREACHABLE_SQLSTATES = ("08", "28", "3D", "53", "55000", "57")
_REASONS = {
    "unable to open database file": "the database file cannot be opened: is it a file, and does its folder exist?",
    "file is not a database": "the database file is not a SQLite database",
    "readonly database": "the database file cannot be written",
    "disk is full": "the disk of the database is full",
    "disk I/O error": "the disk of the database fails",
}
_UNREACHABLE = "the database cannot be reached; does its server run?"
_LOCK_SQLSTATES = frozenset({"55P03"})
# Between the server's last word and its hanging up, the driver takes any statement for a defect of its own.
GONE = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the plain driver of PostgreSQL raises when its connection is of no use any more."""


class TransactionAbortedError(Exception):
    """The database gave this transaction up to resolve a conflict; run it again."""


def parse_database_url(text: str) -> URL:
    """The URL of a database. A plain path is a SQLite file.

    Raises InvalidArgument for anything but a SQLite file or PostgreSQL.
    """
    if "${" in text:
        raise InvalidArgument(
            f"the database {text!r} names a variable that nobody has filled in",
            code="invalid_database",
            field="database",
            hint="Whoever starts this server must put its value there.",
        )
    try:
        url = make_url(text) if "://" in text else URL.create("sqlite", database=text)
    except (ArgumentError, ValueError):
        url = URL.create("unknown")
    if url.drivername.partition("+")[0] in ("postgresql", "postgres"):
        query = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
        if not query.keys() - _POSTGRESQL_OPTIONS:
            return url.set(drivername="postgresql+asyncpg", query=query)
    elif url.drivername.startswith("sqlite") and url.database and url.database != ":memory:" and not url.query:
        return url.set(drivername="sqlite+aiosqlite", database=str(Path(url.database).expanduser()))
    raise InvalidArgument(
        "the database must be a file or a URL that starts with sqlite:/// or postgresql://",
        code="invalid_database",
        field="database",
        hint="For example --database billing.db, or --database postgresql://user@host/billing.",
    )


def check_place(url: URL) -> None:
    """Raise Unavailable where no SQLite file can be. The driver's failed connect leaves a thread."""
    if url.get_backend_name() == "sqlite" and url.database:
        path = Path(url.database)
        if path.is_dir() or not path.parent.is_dir():
            raise _unavailable(_REASONS["unable to open database file"])


class DatabaseFile:
    """A SQLite file by its identity: who has it open goes on writing when it is gone, for nobody."""

    def __init__(self, url: URL) -> None:
        self._path = url.database if url.get_backend_name() == "sqlite" else None
        self._identity: tuple[int, int] | None = None

    def remember(self) -> None:
        """The file that is there now is the one."""
        self._identity = self._seen()

    def check(self) -> None:
        """Raise Unavailable when it is another one, or none."""
        if self._identity is not None and self._seen() != self._identity:
            raise Unavailable(
                "the database file is gone, or another one is in its place",
                code="database_unavailable",
                hint="Put it back if you can, and start the server again.",
            )

    def _seen(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path) if self._path else None  # noqa: PTH116 - for each write
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if found else None


def create_writer(url: URL, *, patient: bool = False) -> AsyncEngine:
    """The engine whose transactions may write; a `patient` one lets a statement take as long as it takes."""
    if url.get_backend_name() == "sqlite":
        return _sqlite_writer(url)
    return _postgresql_engine(url, patient=patient)


def create_sqlite_reader(url: URL, *, size: int) -> Engine:
    """The engine that reads SQLite: each of its transactions is one snapshot."""
    engine = _sqlite_engine(url, size=size)
    _configure_sqlite(engine, begin="BEGIN", more_pragmas=("query_only=ON",))
    return engine


def create_sqlite_batch_writer(url: URL) -> Engine:
    """The engine of the one thread that commits batches."""
    engine = _sqlite_engine(url, size=1)
    _configure_sqlite(engine, begin="BEGIN IMMEDIATE", more_pragmas=_SQLITE_WRITER_PRAGMAS)
    return engine


async def connect_asyncpg(url: URL) -> asyncpg.Connection:
    """A plain connection to PostgreSQL for batches. Raises OSError, TimeoutError, or the driver's errors.

    On a table that was empty when a plan was made, that plan scans it for ever: no scans of whole tables.
    """
    _, options = url.get_dialect()().create_connect_args(url)
    settings = {**_POSTGRESQL_SETTINGS, "enable_seqscan": "off"}
    return await asyncpg.connect(**options, **_POSTGRESQL_CONNECT, server_settings=settings)


def create_postgresql_reader(url: URL) -> AsyncEngine:
    """The engine that reads PostgreSQL: it begins and keeps nothing by itself."""
    return create_async_engine(
        url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        connect_args={"server_settings": _POSTGRESQL_SETTINGS, **_POSTGRESQL_CONNECT},
    )


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Let database work end before a cancellation goes on.

    A driver whose statement is cancelled leaves its connection, and on SQLite the write lock,
    to the garbage collector. Statements are bounded by their own time limits instead.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen: the cancellation outranks it
        raise


@contextmanager
def of_the_driver() -> Iterator[None]:
    """What a plain driver raises in the block is dressed as the toolkit's error, and translated."""
    with translated(), dressed():
        yield


@contextmanager
def dressed() -> Iterator[None]:
    """What a plain driver raises in the block is the toolkit's error: a script sees none, only who began the read."""
    try:
        yield
    except (sqlite3.Error, asyncpg.PostgresError) as error:
        raise DBAPIError(None, None, error) from error
    except GONE as error:
        raise DBAPIError(None, None, error, connection_invalidated=True) from error


@contextmanager
def translated() -> Iterator[None]:
    """What the database raises in the block arrives as one of our errors."""
    try:
        yield
    except DBAPIError as error:
        raise _translate(error) from error
    except TimeoutError as error:
        raise _unavailable("the database does not answer") from error


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection for the block, whose errors are translated."""
    with translated():
        connection = await _connect(engine)
        try:
            yield connection
        finally:
            await connection.close()


async def commit(connection: AsyncConnection) -> None:
    """Commit. Raises Unavailable with code `outcome_unknown` when the database goes away meanwhile."""
    try:
        await connection.commit()
    except (DBAPIError, TimeoutError) as error:
        if is_lost(error):
            raise outcome_unknown() from error
        raise


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, so that nobody knows what became of its last statement."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, InterfaceError) or _lost_state(error.orig)
    return isinstance(error, GONE) or _lost_state(error)


def _lost_state(error: BaseException | None) -> bool:
    return str(getattr(error, "sqlstate", "")).startswith(_LOST_SQLSTATES)


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect().start()
    except PoolTimeoutError as error:
        raise busy() from error
    except OSError as error:
        raise _unavailable(_UNREACHABLE) from error


def _translate(error: DBAPIError) -> BillingError | TransactionAbortedError:
    """What a database error means to a caller. The details go to the log only."""
    state = getattr(error.orig, "sqlstate", None)
    text = str(error.orig)
    if state in _RETRYABLE_SQLSTATES:
        return TransactionAbortedError()
    if state in _LOCK_SQLSTATES or "database is locked" in text or "database table is locked" in text:
        return busy()
    reason = next((reason for sign, reason in _REASONS.items() if sign in text), None)
    if isinstance(error.orig, GONE):
        reason = _UNREACHABLE
    if reason or error.connection_invalidated or (state or "").startswith(_UNREACHABLE_SQLSTATES):
        log.info("database_unavailable", kind=type(error.orig).__name__, sqlstate=state)
        return _unavailable(reason or "the database cannot be used right now")
    sign = state or getattr(error.orig, "sqlite_errorname", None)
    log.error("database_error", kind=type(error.orig).__name__, sign=sign, exc_info=error)
    return Internal("the database refused a statement; the server's log says why")


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(reason, code="database_unavailable", hint="Check --database, or BILLING_MCP_DATABASE.")


def busy() -> Conflict:
    """The error of whoever has waited in vain for others to finish."""
    return Conflict("the database is busy with other changes", code="database_busy", hint="Try the same again shortly.")


def outcome_unknown() -> Unavailable:
    """The error of whoever asked for a commit and has no answer."""
    return Unavailable(
        "the database went away at the commit: nobody knows whether the change was made",
        code="outcome_unknown",
        hint="Send the same again with the same idempotency_key: it happens once. Without a key, look first.",
    )


def _sqlite_engine(url: URL, *, size: int) -> Engine:
    return create_engine(
        url.set(drivername="sqlite+pysqlite"),
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,
        connect_args={**_SQLITE_OPTIONS, "check_same_thread": False},
    )


def _sqlite_writer(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=1,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        hide_parameters=True,
        connect_args=_SQLITE_OPTIONS,
    )
    _configure_sqlite(engine.sync_engine, begin="BEGIN IMMEDIATE", more_pragmas=_SQLITE_WRITER_PRAGMAS)
    return engine


def _configure_sqlite(engine: Engine, *, begin: str, more_pragmas: tuple[str, ...] = ()) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        _write_ahead(cursor)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", *more_pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def start(connection: Any) -> None:
        if not connection.connection.driver_connection.in_transaction:
            connection.exec_driver_sql(begin)


def _write_ahead(cursor: Any) -> None:
    """Let a file have its log ahead. Of several that begin it at once, SQLite refuses all but one without waiting."""
    patient_until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > patient_until:
                raise
            time.sleep(0.005)
        else:
            return


def _postgresql_engine(url: URL, *, patient: bool) -> AsyncEngine:
    settings, connect = _POSTGRESQL_SETTINGS, _POSTGRESQL_CONNECT
    if patient:
        settings, connect = settings | {"statement_timeout": "0"}, connect | {"command_timeout": None}
    engine = create_async_engine(
        url,
        pool_size=10,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        hide_parameters=True,
        connect_args={"server_settings": settings, **connect},
    )
    _replace_the_dead(engine.sync_engine)
    return engine


def _replace_the_dead(engine: Engine) -> None:
    """Who finds the line dead waits for a new one, and nobody else finds another that died with it.

    The toolkit's own ping takes silence for an error of whoever asks, once for each connection that is kept.
    """

    @event.listens_for(engine, "connect")
    def mark(_connection: Any, record: Any) -> None:
        record.info["fresh"] = True

    @event.listens_for(engine, "checkout")
    def ping(connection: Any, record: Any, _proxy: Any) -> None:
        if record.info.pop("fresh", False):
            return
        try:
            connection.run_async(lambda driver: driver.execute("SELECT 1", timeout=PING_S))
        except (*GONE, asyncpg.PostgresError) as error:
            raise InvalidatePoolError from error
