"""What a process says of its health, while its database comes and goes."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from billing_mcp.app import App
from billing_mcp.faces import health
from billing_mcp.faces.health import Health
from billing_mcp.settings import Settings
from billing_mcp.store.migrate import HEAD
from billing_mcp.store.store import Store
from tests.faces.asgi import client_of
from tests.faces.server import HttpServer, serving
from tests.faults.servers import Server
from tests.store.books import raw_connection

READY = {"serving": "ok", "database": "ok", "schema": "ok", "postings": "ok", "workers": "ok"}


@pytest.fixture
def server() -> Iterator[Server]:
    """A PostgreSQL server that may be killed."""
    folder = Path(tempfile.mkdtemp(prefix="billing-pg-health-"))
    server = Server(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is good for longer than it takes to give it."""
    monkeypatch.setattr(health, "_GOOD_FOR_S", -1)


async def ask(asked: Health) -> tuple[int, Any]:
    """Whether it is ready, as a probe sees it."""
    async with client_of(Starlette(routes=[Route("/", asked.ready)])) as client:
        response = await client.get("/")
    return response.status_code, response.json()


async def probe(server: HttpServer, path: str = "/readyz") -> httpx2.Response:
    """The answer of a server process."""
    async with httpx2.AsyncClient(timeout=30) as client:
        return await client.get(f"http://{server.address}{path}")


async def until(server: HttpServer, status: int) -> httpx2.Response:
    """Its answer once it has a status."""
    async with asyncio.timeout(60):
        while True:
            response = await probe(server)
            if response.status_code == status:
                return response


async def test_it_is_ready_when_all_it_needs_is_there(app: App) -> None:
    assert await ask(Health(app)) == (200, {"status": "ready", "checks": READY})


async def test_while_postgresql_is_gone_it_lives_and_is_not_ready_and_then_is_again(server: Server) -> None:
    await server.renew_database()
    async with serving(server.database) as running:
        ready = await probe(running)
        await server.kill()
        missed = await until(running, 503)
        alive = await probe(running, "/livez")
        await server.start()
        back = await until(running, 200)

    assert (ready.status_code, alive.status_code, alive.json()) == (200, 200, {"status": "alive"})
    assert missed.headers["content-type"] == "application/problem+json"
    told = missed.json()
    assert (told["code"], told["detail"]) == ("unavailable", "not ready: database, schema")
    assert told["checks"] == READY | {"database": "failed", "schema": "unknown"}
    assert str(server.socket.parent) not in missed.text
    assert (ready.json()["checks"], back.json()["checks"]) == (READY, READY)


@pytest.mark.usefixtures("impatient")
async def test_a_schema_that_is_not_this_versions_is_not_ready(app: App, database: str) -> None:
    async with raw_connection(database) as run:
        await run("UPDATE alembic_version SET version_num = '9999'")

    assert (await ask(Health(app)))[1]["checks"] == READY | {"schema": "failed"}


async def test_with_no_room_for_instructions_it_is_not_ready(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "waiting", app.store.capacity)

    status, told = await ask(Health(app))
    assert (status, told["checks"]) == (503, READY | {"postings": "failed"})


async def test_who_has_been_told_to_end_is_not_ready(app: App) -> None:
    asked = Health(app)
    asked.end()

    status, told = await ask(asked)
    assert (status, told["detail"]) == (503, "not ready: serving")


async def test_a_pool_of_workers_that_is_gone_is_not_ready(sqlite: str) -> None:
    async with App.open(Settings(database=sqlite)) as app:
        await app._sandbox._pool.__aexit__(None, None, None)

        status, told = await ask(Health(app))
    assert (status, told["checks"]) == (503, READY | {"workers": "failed"})


async def test_however_many_ask_the_database_and_the_workers_are_asked_once(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    revision, worker = app.store.revision, app.try_worker

    async def ask_database() -> str | None:
        asked.append("database")
        return await revision()

    async def ask_workers() -> None:
        asked.append("workers")
        await worker()

    monkeypatch.setattr(app.store, "revision", ask_database)
    monkeypatch.setattr(app, "try_worker", ask_workers)
    monkeypatch.setattr(health, "_GOOD_FOR_S", 3600)
    asking = Health(app)
    answers = await asyncio.gather(*(ask(asking) for _ in range(50)))
    answers.append(await ask(asking))

    assert {status for status, _ in answers} == {200}
    assert sorted(asked) == ["database", "workers"]


@pytest.fixture
async def silent(app: App, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[App]:
    """An app whose database and workers do not answer before the test has ended."""
    heard = asyncio.Event()

    async def revision() -> str:
        await heard.wait()
        return HEAD

    async def try_worker() -> None:
        await heard.wait()

    monkeypatch.setattr(app.store, "revision", revision)
    monkeypatch.setattr(app, "try_worker", try_worker)
    monkeypatch.setattr(health, "_WAIT_S", 0.05)
    yield app
    heard.set()


async def test_a_database_that_does_not_answer_is_out_of_reach_and_workers_may_be_busy(silent: App) -> None:
    asked = Health(silent)
    answers = [await ask(asked) for _ in range(2)]

    assert [(status, told["checks"]) for status, told in answers] == [
        (503, READY | {"database": "failed", "schema": "unknown"})
    ] * 2
