"""An execution whose COMMIT is cut off: its caller is told that nobody knows, and the same key makes it happen once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

import pytest
from structlog.testing import capture_logs

from billing_mcp.app import App
from billing_mcp.domain.clock import system_clock
from billing_mcp.settings import Settings
from tests.conftest import Clock
from tests.faults.ground import BOUND_S
from tests.faults.servers import Line, Server
from tests.world import MANAGER, World


@pytest.fixture
async def line(server: Server) -> AsyncIterator[Line]:
    """A line to a server."""
    async with Line.open(server.socket) as opened:
        yield opened


@pytest.fixture
async def world(line: Line) -> AsyncIterator[World]:
    """The platform's hands, and an agent's, at the other end of the line."""
    clock = Clock()
    clock.now = system_clock()
    settings = Settings(database=line.url, execution_after_write_s=5, wall_after_write_s=BOUND_S, workers=1)
    async with App.open(settings, clock=clock) as opened:
        yield World(opened, clock)


@pytest.mark.parametrize("part", ["answer", "question"])
async def test_a_script_whose_commit_is_cut_off_happens_once_under_its_key_and_all_records_are_kept(
    world: World, line: Line, part: Literal["answer", "question"]
) -> None:
    subject = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=1)
    change = f"billing.plan.cancel(account_id={subject!r})"
    before = await world.snapshot(subject)

    with capture_logs() as logs:
        beside = await world.run("1 + 1")  # its record waits to be written with others
        line.cut_at_commit(part)
        cut = await world.run(change, idempotency_key="once")
        kept = [await world.app.executor.stored_answer(MANAGER, each.execution_id) for each in (beside, cut)]

    if part == "answer":
        assert (cut.status, cut.changed) == ("completed", True)
    else:
        assert cut.error is not None
        assert (cut.status, cut.changed, cut.error.code) == ("failed", False, "database_unavailable")
    assert kept == [beside.to_json(), cut.to_json()]
    assert [log for log in logs if log["log_level"] == "error"] == []
    assert (await world.snapshot(subject) != before) == (part == "answer")
    again, replayed = [await world.run(change, idempotency_key="once") for _ in range(2)]
    assert (again.error, again.changed) == (None, True)
    assert (again.execution_id == cut.execution_id) == (part == "answer")
    assert (replayed.to_json(), replayed.replayed) == (again.to_json(), True)
    assert (await world.audit()).findings == ()
