"""Owns what a process says of its own health: that it lives, and whether it is ready for requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from billing_mcp.app import App
from billing_mcp.domain.errors import BillingError, Unavailable
from billing_mcp.faces.problem import problem
from billing_mcp.store.engine import TransactionAbortedError
from billing_mcp.store.migrate import HEAD

log = structlog.get_logger()

LIVE_PATH = "/livez"
READY_PATH = "/readyz"

_WAIT_S = 2.0
_GOOD_FOR_S = 1.0
_OK, _FAILED, _UNKNOWN = "ok", "failed", "unknown"

Checks = dict[str, str]


class Health:
    """Answers probes. However many come, the database and the workers are asked once a second at most."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._database = _Question(self._ask_database, {"database": _FAILED, "schema": _UNKNOWN})
        # All workers at work is no defect: a script waits its turn.
        self._workers = _Question(self._ask_workers, {"workers": _OK})
        self._ending = False

    def end(self) -> None:
        """From now on it is not ready: the server has been told to end."""
        self._ending = True

    async def live(self, _request: Request) -> Response:
        """It answers, so it lives."""
        return JSONResponse({"status": "alive"}, headers=_NO_STORE)

    async def ready(self, _request: Request) -> Response:
        """200 when all is well, else 503 with what is not. Nothing is told of it but names."""
        checks = await self.checks()
        wrong = [name for name, state in checks.items() if state != _OK]
        if not wrong:
            return JSONResponse({"status": "ready", "checks": checks}, headers=_NO_STORE)
        return problem(Unavailable(f"not ready: {', '.join(wrong)}"), more={"checks": checks})

    async def checks(self) -> Checks:
        """Each check, and whether it is ok, failed or unknown."""
        if self._ending:
            return {"serving": _FAILED}
        database, workers = await asyncio.gather(self._database.answer(), self._workers.answer())
        store = self._app.store
        postings = _OK if store.waiting < store.capacity else _FAILED
        return {"serving": _OK, **database, "postings": postings, **workers}

    async def _ask_database(self) -> Checks:
        try:
            revision = await self._app.store.revision()
        except (BillingError, TransactionAbortedError):
            return {"database": _FAILED, "schema": _UNKNOWN}
        return {"database": _OK, "schema": _OK if revision == HEAD else _FAILED}

    async def _ask_workers(self) -> Checks:
        await self._app.try_worker()
        return {"workers": _OK}


class _Question:
    """Asks one thing of which the answer may be long in coming: once at a time, and not again for a second."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Checks]], without_answer: Checks) -> None:
        self._ask = ask
        self._without_answer = without_answer
        self._asked: asyncio.Task[Checks] | None = None
        self._good_until_s = 0.0

    async def answer(self) -> Checks:
        """The answer, or what is to be thought when none comes in time."""
        loop = asyncio.get_running_loop()
        if self._asked is None or (self._asked.done() and loop.time() > self._good_until_s):
            self._asked = asyncio.create_task(self._hear())
        # It is not cancelled when it takes too long: no statement is ended half-way.
        done, _ = await asyncio.wait([self._asked], timeout=_WAIT_S)
        return self._asked.result() if done else self._without_answer

    async def _hear(self) -> Checks:
        try:
            return await self._ask()
        except Exception:
            log.exception("check_crashed")
            return dict.fromkeys(self._without_answer, _FAILED)
        finally:
            self._good_until_s = asyncio.get_running_loop().time() + _GOOD_FOR_S


_NO_STORE = {"cache-control": "no-store"}
