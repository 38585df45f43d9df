"""`billing-mcp backup` and `restore`: one file of one moment, and back; whole, or not at all."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress

from billing_mcp.store.migrate import HEAD
from tests.cli.conftest import LOGISTICS, MAIL, Cli

NEVER_STOPPING = f"""
import asyncio, sys
from datetime import UTC, datetime
from billing_mcp.operations.platform import receive_payment
from billing_mcp.store.store import Store

async def write():
    store = await Store.open(sys.argv[1])
    while True:
        async with store.write(datetime.now(UTC)) as tx:
            await receive_payment(tx, {MAIL!r}, 1_000_000, provider="manual")
        print("paid", flush=True)

asyncio.run(write())
"""
IDLE = """
import asyncio, sys
from billing_mcp.store.store import Store

async def idle():
    store = await Store.open(sys.argv[1])
    print("open", flush=True)
    sys.stdin.read()

asyncio.run(idle())
"""
FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
"""
INTERRUPTED = """
import os, signal
from rich.progress import Progress
signal.signal(signal.SIGINT, signal.default_int_handler)
Progress.update = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)
"""
INTERRUPTED_CHECK = """
import signal
from contextlib import closing
from billing_mcp.store import backup
def check_for_ever(draft):
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    with closing(backup._open(draft, "rw")) as connection:
        connection.execute("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n")
backup._check_pages = check_for_ever
"""
CRASH_BEFORE = """
import os
from pathlib import Path
Path.replace = lambda *_: os._exit(9)
"""
CRASH_AFTER = """
import os
from pathlib import Path
replace = Path.replace
def crash(*paths):
    replace(*paths)
    os._exit(9)
Path.replace = crash
"""
MAIN = "\nfrom billing_mcp.cli.main import main\nmain()"


def crippled(prelude: str, *arguments: str) -> tuple[int, str]:
    """The exit code and the errors of a command in a process to which something happens."""
    command = [sys.executable, "-c", prelude + MAIN, *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
    return done.returncode, done.stderr


@contextmanager
def running(code: str, database: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the database open, after its first word."""
    command, pipe = [sys.executable, "-c", code, database], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8") as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def content(database: str | Path) -> list[str]:
    """All that is in a database. Whoever only reads leaves a log beside it; this one does not."""
    with closing(sqlite3.connect(f"{Path(database).as_uri()}?mode=rw", uri=True)) as connection:
        return list(connection.iterdump())


def large(database: str) -> str:
    """Made so large that it is copied in several steps."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE ballast AS SELECT zeroblob(4000000) AS weight")
        connection.commit()
    return database


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder that has nothing else in it."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder


@pytest.fixture
def backed_up(cli: Cli, lived: str, shelf: Path) -> Path:
    """A backup of the demo's past."""
    file = shelf / "billing.backup"
    assert cli("backup", str(file), "--database", lived).exit_code == 0
    return file


def at_each_step(monkeypatch: pytest.MonkeyPatch, work: Callable[[int], object]) -> None:
    """Do something whenever a part has been copied or checked; it hears the how-manieth time it is."""
    steps = iter(range(1, 1000))
    monkeypatch.setattr(Progress, "update", lambda *_, **__: work(next(steps)))


def test_a_backup_says_what_it_is_and_the_command_that_restores_it_works(
    cli: Cli, lived: str, shelf: Path, tmp_path: Path
) -> None:
    file = shelf / "billing.backup"

    said = cli("backup", str(file), "--database", lived)

    assert (said.exit_code, said.stderr) == (0, "")
    assert f"{lived} to {file}: {file.stat().st_size:,} bytes, 4 accounts, schema {HEAD}." in said.words
    program, *arguments = shlex.split(said.stdout.partition("To restore it: ")[2])
    assert (program, arguments[0]) == ("billing-mcp", "restore")
    before = content(lived)
    Path(lived).rename(tmp_path / "away.db")
    assert cli(*arguments).exit_code == 0
    assert content(lived) == before


def test_machines_read_what_was_made(cli: Cli, lived: str, shelf: Path) -> None:
    file, again = shelf / "billing.backup", shelf / "again.db"

    made = cli("backup", str(file), "--json", "--database", lived).json
    restored = cli("restore", str(file), "--json", "--database", str(again)).json

    assert made == {"path": str(file), "size": file.stat().st_size, "accounts": 4, "revision": HEAD}
    audit = cli("audit", "verify", "--json", "--database", lived).json
    counted = {"transactions": audit["transactions"], "entries": audit["entries"]}
    assert restored == made | counted | {"path": str(again), "size": restored["size"], "kept": None}


def test_a_backup_is_one_private_file_that_can_be_read_where_nothing_can_be_written(
    lived: str, backed_up: Path, shelf: Path
) -> None:
    assert content(backed_up) == content(lived)
    assert names(shelf) == {"billing.backup"}
    assert backed_up.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(f"{backed_up.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_backup_under_a_writer_that_never_stops_is_sound(program: Cli, cli: Cli, lived: str, shelf: Path) -> None:
    file, audited = shelf / "billing.backup", shelf / "audited.db"
    large(lived)

    with running(NEVER_STOPPING, lived) as writer:
        made = [program("backup", str(file), "--force", "--json", "--database", lived) for _ in range(3)]
        assert writer.poll() is None
        writer.kill()

    assert [(each.exit_code, each.stderr) for each in made] == [(0, "")] * 3
    restored = cli("restore", str(file), "--json", "--database", str(audited)).json
    ended = cli("audit", "verify", "--json", "--database", lived).json
    assert ended["sound"]
    assert 38 < restored["transactions"] < ended["transactions"]


def test_a_change_at_every_step_neither_gets_into_a_backup_nor_delays_it(
    cli: Cli, lived: str, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(large(lived))
    steps = []

    with closing(sqlite3.connect(lived, isolation_level=None, timeout=0)) as server:
        server.execute("PRAGMA journal_mode=WAL")

        def change(step: int) -> None:
            steps.append(step)
            assert step < 50, "it begins again and again"
            server.execute("UPDATE ballast SET weight = randomblob(4000000)")

        at_each_step(monkeypatch, change)
        assert cli("backup", str(shelf / "billing.backup"), "--database", lived).exit_code == 0

    assert len(steps) > 3
    assert content(shelf / "billing.backup") == before


def test_restoring_brings_back_exactly_what_was_and_keeps_what_it_replaces(
    cli: Cli, lived: str, backed_up: Path, tmp_path: Path
) -> None:
    before, file = content(lived), backed_up.read_bytes()
    Path(lived).chmod(0o640)
    cli("accounts", "topup", MAIL, "7.00", "--database", lived)
    cli("accounts", "create", "Newcomer", "--database", lived)
    later = content(lived)

    restored = cli("restore", str(backed_up), "--replace", "--database", lived)

    assert (restored.exit_code, restored.stderr) == (0, "")
    assert content(lived) == before != later
    assert Path(lived).stat().st_mode & 0o777 == 0o640
    (kept,) = tmp_path.glob("lived.db.before-restore-*Z")
    assert content(kept) == later
    assert kept.stat().st_mode & 0o777 == 0o600
    assert f"What was there before is in {kept}." in restored.words
    assert backed_up.read_bytes() == file
    assert names(tmp_path) == {"shelf", "lived.db", kept.name}
    assert cli("accounts", "topup", MAIL, "7.00", "--database", lived).exit_code == 0


def test_a_database_reached_by_a_link_is_replaced_where_it_is(
    cli: Cli, lived: str, backed_up: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(lived)
    before = content(lived)
    cli("accounts", "create", "Newcomer", "--database", lived)

    assert cli("restore", str(backed_up), "--replace", "--database", str(link)).exit_code == 0

    assert link.is_symlink()
    assert content(lived) == before


def left_by_a_crash(lived: str, folder: Path) -> Path:
    """A database whose last change is in its log only, and nobody has it open."""
    database = folder / "crashed.db"
    with closing(sqlite3.connect(lived, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE accounts SET name = 'Last' WHERE account_id = ?", (MAIL,))
        for suffix in ("", "-wal"):
            shutil.copy(f"{lived}{suffix}", f"{database}{suffix}")
    assert b"Last" not in database.read_bytes()
    return database


def test_a_backup_has_what_is_still_in_the_log_and_leaves_it_readable(cli: Cli, lived: str, shelf: Path) -> None:
    database = left_by_a_crash(lived, shelf)

    assert cli("backup", str(shelf / "billing.backup"), "--database", str(database)).exit_code == 0

    assert content(shelf / "billing.backup") == content(lived)


def test_the_log_of_a_replaced_database_is_kept_with_it_and_never_meets_the_new_one(
    cli: Cli, lived: str, backed_up: Path, shelf: Path
) -> None:
    database = left_by_a_crash(lived, shelf)

    assert cli("restore", str(backed_up), "--replace", "--database", str(database)).exit_code == 0

    (kept,) = shelf.glob("crashed.db.before-restore-*")
    assert names(shelf) == {"billing.backup", "crashed.db", kept.name}
    assert "Last" in "".join(content(kept))
    assert content(database) == content(backed_up)


@pytest.mark.parametrize(("crash", "survivor"), [(CRASH_BEFORE, "old"), (CRASH_AFTER, "new")], ids=["before", "after"])
def test_a_crash_while_a_database_is_replaced_leaves_the_old_one_or_the_new_one_whole(
    cli: Cli, lived: str, backed_up: Path, shelf: Path, crash: str, survivor: str
) -> None:
    database = left_by_a_crash(lived, shelf)

    code, _ = crippled(crash, "restore", str(backed_up), "--replace", "--database", str(database))

    assert code == 9
    assert not {"crashed.db-wal", "crashed.db-journal"} & names(shelf)
    assert content(database) == content({"old": Path(lived), "new": backed_up}[survivor])
    assert cli("audit", "verify", "--database", str(database)).exit_code == 0


def test_nobody_can_open_a_database_while_it_is_being_replaced(
    cli: Cli, lived: str, backed_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, steps = [], []

    def open_it(step: int) -> None:
        steps.append(step)
        with closing(sqlite3.connect(lived, timeout=0)) as connection:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                locked.append(str(error))

    at_each_step(monkeypatch, open_it)
    assert cli("restore", str(backed_up), "--replace", "--database", lived).exit_code == 0

    assert len(locked) == len(steps) >= 6  # one copy or more, four accounts, one copy or more: each of them
    assert set(locked) == {"database is locked"}


def test_a_database_that_an_idle_server_has_open_is_not_replaced(
    cli: Cli, lived: str, backed_up: Path, tmp_path: Path
) -> None:
    before = content(lived)

    with running(IDLE, lived):
        refused = cli("restore", str(backed_up), "--replace", "--database", lived).refused("database_in_use", 4)

    assert "Stop what uses it" in refused.stderr
    assert not list(tmp_path.glob("*.before-restore-*"))
    assert content(lived) == before
    assert cli("restore", str(backed_up), "--replace", "--database", lived).exit_code == 0


@pytest.mark.parametrize("wal", [False, True])
def test_a_plain_copy_of_a_database_is_restored_too_and_stays_as_it_is(
    cli: Cli, lived: str, shelf: Path, tmp_path: Path, wal: bool
) -> None:
    database = left_by_a_crash(lived, shelf)
    if not wal:
        Path(f"{database}-wal").unlink()
    files = {path: path.read_bytes() for path in shelf.iterdir()}
    target = tmp_path / "restored.db"

    assert cli("restore", str(database), "--database", str(target)).exit_code == 0

    assert {path: path.read_bytes() for path in files} == files
    assert ("Last" in "".join(content(target))) is wal
    if not wal:
        assert names(shelf) == {"crashed.db"}


def test_an_existing_file_is_replaced_only_by_force(cli: Cli, lived: str, backed_up: Path, shelf: Path) -> None:
    file = backed_up.read_bytes()
    cli("accounts", "create", "Newcomer", "--database", lived)

    refused = cli("backup", str(backed_up), "--database", lived).refused("file_exists", 3)

    assert "--force" in refused.stderr
    assert backed_up.read_bytes() == file
    assert cli("backup", str(backed_up), "--force", "--json", "--database", lived).json["accounts"] == 5
    assert names(shelf) == {"billing.backup"}


def test_an_existing_database_is_replaced_only_when_asked(cli: Cli, lived: str, backed_up: Path) -> None:
    before = Path(lived).read_bytes()

    refused = cli("restore", str(backed_up), "--database", lived).refused("file_exists", 3)

    assert "--replace" in refused.stderr
    assert Path(lived).read_bytes() == before


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
@pytest.mark.parametrize("option", ["", "--force"])
def test_no_file_is_put_beside_the_log_of_another_database(
    cli: Cli, lived: str, backed_up: Path, shelf: Path, suffix: str, option: str
) -> None:
    log = shelf / f"other.db{suffix}"
    log.write_bytes(b"changes of another database")
    other = str(shelf / "other.db")

    cli("backup", other, *option.split(), "--database", lived).refused("file_exists", 3)
    cli("restore", str(backed_up), "--database", other).refused("file_exists", 3)

    assert log.read_bytes() == b"changes of another database"
    assert names(shelf) == {"billing.backup", log.name}


def test_a_database_that_is_not_there_is_an_error_and_is_not_made(cli: Cli, shelf: Path, tmp_path: Path) -> None:
    for missing in (shelf / "none.db", shelf / "none" / "billing.db"):
        cli("backup", str(shelf / "x"), "--database", str(missing)).refused("database_unavailable", 4)
    cli("backup", str(shelf / "x")).refused("database_unavailable", 4)

    assert names(shelf) == set()
    assert not (tmp_path / "home").exists()


def test_the_database_itself_and_what_is_no_file_are_refused(cli: Cli, lived: str, shelf: Path) -> None:
    before = content(lived)
    link = shelf / "link"
    link.symlink_to(lived)
    hard = shelf / "hard"
    hard.hardlink_to(lived)
    for target in (lived, f"{lived}-wal", str(link), str(hard)):
        cli("backup", target, "--force", "--database", lived).refused("invalid_argument", 2)
        if target != f"{lived}-wal":
            cli("restore", target, "--replace", "--database", lived).refused("invalid_argument", 2)
    cli("backup", str(shelf), "--force", "--database", lived).refused("invalid_argument", 2)
    cli("backup", "/dev/null", "--force", "--database", lived).refused("invalid_argument", 2)
    cli("restore", str(shelf), "--database", str(shelf / "new.db")).refused("unreadable_file", 2)
    cli("restore", str(shelf / "none"), "--database", str(shelf / "new.db")).refused("unreadable_file", 2)

    assert content(lived) == before
    assert names(shelf) == {"link", "hard"}


def test_a_folder_that_is_not_there_is_an_error_in_one_line(cli: Cli, lived: str, shelf: Path) -> None:
    cli("backup", str(shelf / "none" / "x"), "--database", lived).refused("unavailable", 4)


def test_postgresql_has_its_own_programs_for_it(cli: Cli, backed_up: Path) -> None:
    url = "postgresql://me:secret@127.0.0.1/billing"

    assert "pg_dump --format=custom" in cli("backup", "x", "--database", url).refused("invalid_database", 2).stderr
    restored = cli("restore", str(backed_up), "--database", url).refused("invalid_database", 2)
    assert "pg_restore" in restored.stderr
    assert "secret" not in restored.stderr


def _of_another_program(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE accounts (x)")


def _text(file: Path) -> None:
    file.write_text("years of work " * 1000, "utf-8")


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _newer(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()


def _damaged(file: Path) -> None:
    """A page of the ledger is overwritten, as a failing disk does."""
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'ledger_entries'"
        (page,) = connection.execute(query).fetchone()
    with file.open("r+b") as handle:
        handle.seek((page - 1) * 4096)
        handle.write(b"\x00" * 200)


def _cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize(
    ("spoil", "code", "exit_code"),
    [
        (_of_another_program, "invalid_database", 2),
        (_text, "invalid_database", 2),
        (_empty, "invalid_database", 2),
        (_newer, "schema_outdated", 4),
        (_damaged, "database_damaged", 3),
        (_cut_off, "database_damaged", 3),
    ],
)
def test_what_is_no_whole_database_of_ours_is_neither_backed_up_nor_restored_nor_replaced(
    cli: Cli, lived: str, backed_up: Path, shelf: Path, spoil: Callable[[Path], None], code: str, exit_code: int
) -> None:
    spoilt = Path(shutil.copy(backed_up, shelf / "spoilt.db"))
    spoil(spoilt)
    before, there = content(lived), spoilt.read_bytes()

    for arguments in (
        ("backup", str(shelf / "x"), "--database", str(spoilt)),
        ("restore", str(spoilt), "--database", str(shelf / "new.db")),
        ("restore", str(spoilt), "--replace", "--database", lived),
        ("restore", str(backed_up), "--replace", "--database", str(spoilt)),
    ):
        cli(*arguments).refused(code, exit_code)

    assert names(shelf) == {"billing.backup", "spoilt.db"}
    assert (content(lived), spoilt.read_bytes()) == (before, there)


def test_a_backup_whose_books_are_not_sound_is_not_restored(
    cli: Cli, lived: str, backed_up: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(backed_up)) as connection:
        connection.execute("UPDATE wallets SET available_micros = 1 WHERE account_id = ?", (LOGISTICS,))
        connection.commit()
    before = content(lived)

    refused = cli("restore", str(backed_up), "--replace", "--database", lived).refused("books_not_sound", 3)

    assert f"account {LOGISTICS}, wallet: available" in refused.stderr
    assert content(lived) == before
    assert names(tmp_path) == {"lived.db", "shelf"}


@pytest.mark.parametrize(
    ("happens", "code"), [(FULL_DISK, 4), (INTERRUPTED, 130), (INTERRUPTED_CHECK, 130)], ids=["full", "copy", "check"]
)
def test_what_stops_half_way_leaves_nothing_behind(
    cli: Cli, lived: str, backed_up: Path, shelf: Path, tmp_path: Path, happens: str, code: int
) -> None:
    cli("backup", str(backed_up), "--force", "--database", large(lived))
    file, before = backed_up.read_bytes(), content(lived)
    for arguments in (
        ("backup", str(shelf / "x"), "--database", lived),
        ("backup", str(backed_up), "--force", "--database", lived),
        ("restore", str(backed_up), "--database", str(shelf / "x")),
        ("restore", str(backed_up), "--replace", "--database", lived),
    ):
        ended, said = crippled(happens, *arguments)
        assert (ended, len(said.splitlines())) == (code, 1 if code == 4 else 0), said
        assert names(shelf) == {"billing.backup"}

    assert backed_up.read_bytes() == file
    assert content(lived) == before
    assert names(tmp_path) == {"lived.db", "shelf"}


def test_a_file_that_came_to_be_meanwhile_is_not_overwritten(
    cli: Cli, lived: str, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shelf / "billing.backup"

    def linked_late(self: Path, _target: Any) -> None:
        self.write_text("somebody else's")
        raise FileExistsError

    monkeypatch.setattr(Path, "hardlink_to", linked_late)
    cli("backup", str(file), "--database", lived).refused("file_exists", 3)

    assert file.read_text() == "somebody else's"
    assert names(shelf) == {"billing.backup"}


def test_a_disk_without_links_takes_a_backup(
    cli: Cli, lived: str, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)

    assert cli("backup", str(shelf / "x"), "--database", lived).exit_code == 0
    assert (names(shelf), content(shelf / "x")) == ({"x"}, content(lived))
