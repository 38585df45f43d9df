"""Owns copies of a SQLite database: one file of one moment, taken while servers write, and put back whole."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, func, select
from sqlalchemy.exc import DBAPIError

from billing_mcp.domain.errors import BillingError, Conflict, InvalidArgument, Refused, Unavailable
from billing_mcp.store.audit import AuditReport, verify_books
from billing_mcp.store.engine import LOCK_WAIT_S, busy, check_place, parse_database_url
from billing_mcp.store.files import beside, check_free, draft_beside, place, same, sync_folder, unusable
from billing_mcp.store.migrate import check_known, revision
from billing_mcp.store.store import Store
from billing_mcp.store.tables import AccountRow, table

Progress = Callable[[int, int], None]
"""Hears how much is done, of how much."""

_PAGES_A_STEP = 256
_STEPS_UNHEARD = 100_000
_WAL_MODE = b"\x02\x02"


@dataclass(frozen=True, slots=True)
class Copy:
    """A database in one file, and what is in it."""

    path: Path
    size: int
    accounts: int
    revision: str


def database_file(database: str, *, instead: str) -> Path:
    """The file of a SQLite database, links followed: what belongs to it lies beside that one.

    Raises InvalidArgument for PostgreSQL, whose own programs do it (`instead`), and Unavailable where
    no file can be.
    """
    url = parse_database_url(database)
    if url.get_backend_name() != "sqlite" or not url.database:
        message = "the database is PostgreSQL, which has programs of its own for this"
        raise InvalidArgument(message, code="invalid_database", field="database", hint=f"Run: {instead}")
    check_place(url)
    return Path(url.database).resolve()


def back_up(database: Path, file: Path, *, force: bool, progress: Progress) -> Copy:
    """Copy a database as it is at one moment, whoever writes to it meanwhile.

    `file` is written whole or not at all; with `force` it replaces a file of that name. Raises
    Unavailable when there is no such database or `file` cannot be written, Refused when `file`
    exists or the database is damaged, and InvalidArgument for a database that is not ours.
    """
    if not database.is_file():
        hint = "Check --database, or BILLING_MCP_DATABASE."
        raise Unavailable(f"there is no database {database}", code="database_unavailable", hint=hint)
    if any(same(file, path) for path in (database, *beside(database))):
        raise InvalidArgument(f"{file} is the database itself", field="file", hint="Give another file.")
    check_free(file, replace=force, option="--force")
    with _explained(database):
        _look(database, "rw")
        with closing(_open(database, "rw")) as source:
            return _write(source, file, of=database, replace=force, progress=progress)


@contextmanager
def exclusive(database: Path, *, replace: bool) -> Iterator[sqlite3.Connection | None]:
    """The database that a restore replaces, which nobody else has open or can open during the block.

    None where there is no file. Raises Refused unless it may be replaced, and Conflict when a server or
    another command has it open, be it idle: in WAL mode each connection holds a lock until it closes.
    """
    check_free(database, replace=replace, option="--replace", alone=not database.exists())
    if not database.exists():
        yield None
        return
    with _explained(database):
        _look(database, "rw")
        connection = _open(database, "rw", wait_s=0)
    # No file handle of ours but SQLite's may be closed on it: on POSIX the lock would be gone.
    with closing(connection):
        with _explained(database):
            if not _seize(connection):
                raise Conflict(
                    f"{database} is open in a server or another command",
                    code="database_in_use",
                    hint="Stop what uses it, and try again.",
                )
        yield connection


def take(file: Path, draft: Path, *, database: Path, progress: Progress) -> None:
    """Copy a backup, which is only read, into a draft for the database.

    Raises InvalidArgument when it is not there or not a database of ours, Refused when it is
    damaged, and Unavailable when a newer version has made it.
    """
    if not file.is_file():
        message = f"there is no file {file}"
        raise InvalidArgument(message, code="unreadable_file", field="file", hint="Check its path.")
    if same(file, database):
        raise InvalidArgument(f"{file} is the database itself", field="file", hint="Give a backup of it.")
    with _explained(file, hint="Take another backup."):
        mode = _reading_mode(file)
        _look(file, mode)
        with closing(_open(file, mode)) as source:
            _copy(source, draft, progress)
        _check_pages(draft)


async def verify(draft: Path, file: Path, now: datetime, *, progress: Progress) -> AuditReport:
    """Audit the books in a draft of `file`, which is upgraded by that. Raises Refused when they are not sound."""
    store = await Store.open(str(draft))
    try:
        async with store.read(now) as tx:
            report = await verify_books(tx, progress=progress)
    finally:
        await store.close()
    if report.findings:
        first = report.findings[0]
        row = "wallet" if first.seq is None else f"transaction seq {first.seq}"
        raise Refused(
            f"the books in {file} are not sound: account {first.account_id}, {row}: {first.problem}"
            + (f"; and {len(report.findings) - 1} more accounts" if report.findings[1:] else ""),
            code="books_not_sound",
            hint="Take another backup.",
        )
    return report


def put(
    draft: Path, database: Path, old: sqlite3.Connection | None, *, now: datetime, progress: Progress
) -> tuple[Copy, Path | None]:
    """Put a draft where the database is. Returns it, and where the old one, if any, is kept as a backup.

    `old` is what `exclusive` gave. Whatever stops it half-way, the old database or the new one is
    there, whole. Raises what `back_up` raises.
    """
    with _explained(database):
        _seal(draft)
        found, accounts = _look(draft, "rw")
        made = Copy(database, draft.stat().st_size, accounts, found)
        kept = None
        if old is not None:
            kept = database.with_name(f"{database.name}.before-restore-{now:%Y%m%dT%H%M%SZ}")
            check_free(kept, replace=False, option="")
            _write(old, kept, of=database, replace=False, progress=progress)
            _take_after(draft, database)
        # The old log must be gone from the disk before another file has the name it belongs to.
        sync_folder(database.parent)
        if old is not None and sys.platform == "win32":  # where nobody can replace a file that is open
            old.close()
        place(draft, database, replace=old is not None, option="--replace")
    return made, kept


def _write(source: sqlite3.Connection, file: Path, *, of: Path, replace: bool, progress: Progress) -> Copy:
    with _explained(file), draft_beside(file) as draft:
        _copy(source, draft, progress)
        with _explained(of):
            _check_pages(draft)
        _seal(draft)
        found, accounts = _look(draft, "ro")
        made = Copy(file, draft.stat().st_size, accounts, found)
        place(draft, file, replace=replace, option="--force")
    return made


def _copy(source: sqlite3.Connection, draft: Path, progress: Progress) -> None:
    """All pages of the moment at which it begins.

    Without a transaction the copy would start again after each change of another process, and never
    end under a writer that never stops. In WAL mode nobody waits for it.
    """
    with closing(_open(draft, "rw")) as target:
        for pragma in ("journal_mode=OFF", "synchronous=OFF"):  # a draft is thrown away if this fails
            target.execute(f"PRAGMA {pragma}")
        source.execute("BEGIN")
        try:
            source.execute("SELECT 1 FROM sqlite_master").fetchone()
            source.backup(target, pages=_PAGES_A_STEP, progress=lambda _, left, pages: progress(pages - left, pages))
        finally:
            source.rollback()


def _check_pages(draft: Path) -> None:
    """Raise sqlite3.DatabaseError when it is damaged."""
    with closing(_open(draft, "rw")) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        error = sqlite3.DatabaseError(" ".join(verdict.split()))
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _seal(draft: Path) -> None:
    """Make it one file, that can be read where nothing can be written, and is on the disk."""
    with closing(_open(draft, "rw")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    with draft.open("r+b") as handle:
        os.fsync(handle.fileno())


def _look(file: Path, mode: str) -> tuple[str, int]:
    """The revision of its schema, and how many accounts it has. Raises BillingError for what is not ours."""
    with _connected(file, mode) as connection:
        found = revision(connection)
        check_known(found)
        if found is None:
            raise InvalidArgument(
                f"{file} is not a database of billing-mcp",
                code="invalid_database",
                field="database",
                hint="Check its path. What pg_dump made is for pg_restore.",
            )
        accounts = connection.execute(select(func.count()).select_from(table(AccountRow))).scalar_one()
    return found, accounts


@contextmanager
def _connected(file: Path, mode: str) -> Iterator[Connection]:
    engine = create_engine("sqlite://", creator=lambda: _open(file, mode), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def _open(file: Path, mode: str, *, wait_s: float = LOCK_WAIT_S) -> sqlite3.Connection:
    """A connection to a file that exists: it is never created."""
    connection = sqlite3.connect(f"{file.as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=wait_s)
    # Python hears an interrupt only between statements of its own, and a check may take minutes.
    connection.set_progress_handler(lambda: 0, _STEPS_UNHEARD)
    return connection


def _reading_mode(file: Path) -> str:
    """How to open a file so that it stays as it is.

    In WAL mode even a reader makes files beside it, unless it is told that nobody writes: who does
    has a log there.
    """
    with file.open("rb") as handle:
        in_wal_mode = handle.read(20)[18:] == _WAL_MODE
    return "ro&immutable=1" if in_wal_mode and not Path(f"{file}-wal").exists() else "ro"


def _seize(connection: sqlite3.Connection) -> bool:
    """Fold the log into the database and lock it until the connection closes; False when others have it open.

    Leaving WAL mode needs to be alone. Whoever opened the file but has not read yet will find it
    locked, and later moved: SQLite refuses to write to it.
    """
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
        # Not before: closing would then remove a journal by its name, be it the new database's.
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    except sqlite3.OperationalError as error:
        if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return False
        raise
    return bool(mode == "delete")


def _take_after(draft: Path, database: Path) -> None:
    """Give it the mode and the owner of the old database: servers may run as somebody else."""
    old = database.stat()
    draft.chmod(old.st_mode & 0o777)
    if sys.platform != "win32" and os.geteuid() == 0:
        os.chown(draft, old.st_uid, old.st_gid)


@contextmanager
def _explained(file: Path, *, hint: str | None = None) -> Iterator[None]:
    """What SQLite or the disk raises in the block arrives as one of our errors, about this file."""
    try:
        yield
    except DBAPIError as error:
        raise _explain(error.orig or error, file, hint) from error
    except (sqlite3.Error, OSError) as error:
        raise _explain(error, file, hint) from error


def _explain(error: BaseException, file: Path, hint: str | None) -> BillingError | KeyboardInterrupt:
    code = _code(error)
    if code == sqlite3.SQLITE_INTERRUPT:
        return KeyboardInterrupt()
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return busy()
    if code == sqlite3.SQLITE_CORRUPT:
        hint = hint or "Move it away with its -wal and -shm files, and restore a backup."
        return Refused(f"{file} is damaged: {error}", code="database_damaged", hint=hint)
    if code == sqlite3.SQLITE_NOTADB:
        message = f"{file} is not a SQLite database"
        hint = "Check its path. What pg_dump made is for pg_restore."
        return InvalidArgument(message, code="invalid_database", field="database", hint=hint)
    return unusable(file, error, hint)


def _code(error: BaseException) -> int | None:
    """SQLite's primary code of an error."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
