"""What goes wrong within us is told to the log, and never to a script or its caller."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.exc import OperationalError

from billing_mcp.app import App
from billing_mcp.kernel.arguments import AccountId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.execution import Executor
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import Registry, Resource
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.plans import PlanOffers
from billing_mcp.settings import Settings
from billing_mcp.store import engine
from tests.sandbox import canary
from tests.sandbox.canary import FOLDER, NAME, TEXT, Nest, execute_sql, logged, readable, spoil
from tests.sandbox.hostile import Stopped
from tests.world import World

ACTS = {
    "reading": "print(billing.wallet_balance.get(account_id=ACCOUNT))",
    "writing": "print(billing.plan.cancel(account_id=ACCOUNT))",
}
acts = pytest.mark.parametrize("act", ACTS)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the database is, and an environment with a secret in it."""
    monkeypatch.setenv("CANARY", canary.ENVIRONMENT)
    monkeypatch.setattr(engine, "LOCK_WAIT_S", 0.1)
    folder = tmp_path / FOLDER
    folder.mkdir()
    return folder / "billing.db"


def settings(database: str) -> Settings:
    return Settings(database=database, execution_after_write_s=5, wall_after_write_s=10, workers=1)


@pytest.fixture
async def app(path: Path) -> AsyncIterator[App]:
    async with App.open(settings(str(path)), clock=Stopped()) as opened:
        yield opened


@pytest.fixture
async def nest(app: App, path: Path) -> Nest:
    made = await Nest.made(app)
    execute_sql(path, "UPDATE accounts SET name = :name WHERE account_id = :other", name=NAME, other=made.other)
    return made


async def caught(nest: Nest, app: App, script: str) -> tuple[str, str]:
    """The code with which a script that catches and prints everything ends, and all that can be read of it."""
    lines = script.replace("ACCOUNT", repr(nest.account)).splitlines()
    tried = "\n".join(
        ["try:", *(f"    {line}" for line in lines), "except BaseException as e:", "    print(repr(e), e.args)"]
    )
    answer = await app.run_script(nest.principal, f"{tried}\nraise ValueError('the end')")
    assert answer.error is not None
    return answer.error.code, readable(answer)


async def test_a_script_that_looks_everywhere_finds_nothing(app: App, nest: Nest) -> None:
    with logged() as log:
        for preview in (False, True):
            answer = await app.run_script(nest.principal, nest.probe, preview=preview)
            assert "looked everywhere" in answer.output
            nest.assert_silent(readable(answer))
        helped = await app.run_script(nest.principal, "billing.help()")

    assert nest.account in helped.to_json()
    assert nest.other not in helped.to_json()
    nest.assert_silent(helped.to_json())
    assert log.getvalue() == ""


FAULTS: dict[str, Callable[[], Exception]] = {
    "an error": lambda: RuntimeError(TEXT),
    "an error as a script could catch it": lambda: ValueError(f"invalid_argument: {TEXT}"),
    "a missing key": lambda: KeyError(TEXT),
    "a file": lambda: FileNotFoundError(2, TEXT, f"/{FOLDER}"),
    "a time-out": lambda: TimeoutError(TEXT),
    "several errors": lambda: ExceptionGroup(TEXT, [RuntimeError(TEXT)]),
    "a statement": lambda: OperationalError(f"SELECT {TEXT}", {"name": NAME}, sqlite3.OperationalError(TEXT)),
    "a recursion": lambda: RecursionError(TEXT),
    "no memory": lambda: MemoryError(TEXT),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("permission", Permission)
async def test_an_exception_of_ours_cannot_be_caught_or_read(
    app: App, nest: Nest, fault: str, permission: Permission
) -> None:
    faulty = Resource("faulty", doc="For this test.")

    @faulty.operation(requires=permission, route="POST /faulty")
    async def fail(ctx: Context, *, account_id: AccountId) -> PlanOffers:  # noqa: ARG001 - it never looks
        """Fails. Errors: refused."""
        error = FAULTS[fault]()
        raise error

    registry = Registry([*REGISTRY.resources, faulty])
    app.executor = Executor(app.store, registry, app.catalog, app.clock, app.settings.limits())
    with logged() as log:
        code, told = await caught(nest, app, "billing.faulty.fail(account_id=ACCOUNT)")

    # Nothing but the database is ever waited for in a call.
    assert code == ("database_unavailable" if fault == "a time-out" else "internal_error")
    nest.assert_silent(told)
    assert code == "database_unavailable" or "level='error'" in log.getvalue()
    assert (await World(app, Stopped()).audit()).findings == ()


def _rename(path: Path) -> None:
    execute_sql(path, "ALTER TABLE wallets RENAME TO canary_wallets")


def _forbid(path: Path) -> None:
    raised = f"SELECT RAISE(ABORT, '{TEXT}')"
    execute_sql(path, f"CREATE TRIGGER canary BEFORE UPDATE ON wallets BEGIN {raised}; END")
    execute_sql(path, f"CREATE TRIGGER canary2 BEFORE INSERT ON outbox BEGIN {raised}; END")
    execute_sql(path, "ALTER TABLE component_counts RENAME TO canary_counts")


def _remove(path: Path) -> None:
    shutil.rmtree(path.parent)


BROKEN: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "a table is gone": (_rename, {"internal_error"}),
    "a trigger forbids it": (_forbid, {"internal_error"}),
    "the file is no database": (spoil, {"database_unavailable", "internal_error"}),
    "the file disappears": (_remove, {"database_unavailable", "internal_error", "script_error"}),
}


@acts
@pytest.mark.parametrize("broken", BROKEN)
async def test_what_happens_to_the_database_is_not_told(
    app: App, nest: Nest, path: Path, broken: str, act: str
) -> None:
    break_it, codes = BROKEN[broken]
    break_it(path)
    with logged() as log:
        code, told = await caught(nest, app, ACTS[act])
        await app.executor.close()

    assert code in codes
    nest.assert_silent(told)
    nest.assert_discreet(log.getvalue())


async def test_a_locked_database_is_only_busy(app: App, nest: Nest, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as beside, logged() as log:
        beside.execute("BEGIN EXCLUSIVE")
        code, told = await caught(nest, app, ACTS["writing"])

    assert code == "database_busy"
    nest.assert_silent(told)
    nest.assert_discreet(log.getvalue())


@pytest.fixture
async def roles(postgresql: str) -> AsyncIterator[str]:
    """The URL of a PostgreSQL database for a user with a password, none of which anyone may read."""
    admin = await asyncpg.connect(postgresql)
    await admin.execute(f"CREATE ROLE {canary.USER} SUPERUSER LOGIN PASSWORD '{canary.PASSWORD}'")
    yield postgresql.replace("//postgres:@", f"//{canary.USER}:{canary.PASSWORD}@")
    await admin.execute(f"DROP OWNED BY {canary.USER}")
    await admin.execute(f"DROP ROLE {canary.USER}")
    await admin.close()


CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename LIKE 'canary%'"
POSTGRESQL: dict[str, tuple[str, set[str]]] = {
    "a table is gone": ("ALTER TABLE wallets RENAME TO canary_wallets", {"internal_error"}),
    "a column is gone": ("ALTER TABLE subscriptions RENAME COLUMN anchor_day TO canary", {"internal_error"}),
    "a right is gone": (f"ALTER ROLE {canary.USER} NOSUPERUSER", {"internal_error"}),
    "nobody may log in": (f"ALTER ROLE {canary.USER} NOLOGIN; {CUT}", {"database_unavailable"}),
}


@acts
@pytest.mark.parametrize("broken", POSTGRESQL)
async def test_what_happens_to_postgresql_is_not_told(postgresql: str, roles: str, broken: str, act: str) -> None:
    statement, codes = POSTGRESQL[broken]
    async with App.open(settings(roles), clock=Stopped()) as app:
        nest = await Nest.made(app)
        admin = await asyncpg.connect(postgresql)
        await admin.execute(statement)
        await admin.close()
        with logged() as log:
            code, told = await caught(nest, app, ACTS[act])
            await app.executor.close()

    assert code in codes
    nest.assert_silent(told)
    nest.assert_discreet(log.getvalue())


async def test_a_connection_that_is_cut_in_the_middle_is_not_told(postgresql: str, roles: str) -> None:
    async with App.open(settings(roles), clock=Stopped()) as app:
        nest = await Nest.made(app)
        admin = await asyncpg.connect(postgresql)
        script = "n = 1\nwhile True:\n    billing.transactions.list(account_id=ACCOUNT, page=n)\n    n += 1"
        with logged() as log:
            running = asyncio.create_task(caught(nest, app, script))
            while not running.done():
                await admin.execute(f"{CUT} AND xact_start IS NOT NULL")
            code, told = await running
        await admin.close()

    assert code in {"database_unavailable", "internal_error"}
    nest.assert_silent(told)
    nest.assert_discreet(log.getvalue())
