"""Hostile scripts that hold what others wait for: the lock of the database, the workers, the calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from billing_mcp.app import App
from tests.sandbox.hostile import WORKERS, Case, Stopped, Target, fails, generous, named
from tests.sandbox.hostile_computing import CANCEL, GET, LOCKS
from tests.world import MANAGER, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOLD = f"{CANCEL}\nwhile True: pass"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    async with Target.open(tmp_path_factory.mktemp("locks")) as opened:
        yield opened


@pytest.mark.parametrize(**named(LOCKS))
async def test_a_script_that_has_changed_something_is_ended_soon_and_has_not(target: Target, case: Case) -> None:
    await target.attacked(case)


@pytest.mark.parametrize(**named(LOCKS[:4]))
async def test_a_script_that_holds_the_lock_in_a_preview_is_ended_too(target: Target, case: Case) -> None:
    await target.attacked(case, preview=True)


async def test_a_failed_script_releases_its_idempotency_key(target: Target) -> None:
    for _ in range(2):
        await target.attacked(fails("held", HOLD, "write_time_limit"), idempotency_key="k")


async def test_another_process_writes_when_the_holder_of_the_lock_is_ended(target: Target) -> None:
    ground = target.ground
    before = await target.world.snapshot(ground.account)
    async with App.open(generous(ground.path), clock=Stopped()) as beside:
        neighbour = World(beside, Stopped())
        change = f"billing.plan.cancel(account_id={ground.other!r})\nbilling.plan.resume(account_id={ground.other!r})"
        held, *changed = await asyncio.gather(
            target.world.run(ground.written(HOLD)), neighbour.run(change), neighbour.run(change)
        )

    assert held.error is not None
    assert held.error.code == "write_time_limit"
    assert [answer.changed for answer in changed] == [True, True]
    assert await target.world.snapshot(ground.account) == before
    assert (await target.world.audit()).findings == ()


async def test_more_hostile_scripts_than_workers_do_not_keep_an_honest_one_out(target: Target) -> None:
    async def honest() -> str:
        while (answer := await target.world.run(f"{target.ground.written(GET)}['balance']")).error is not None:
            assert answer.error.code == "server_busy", answer.error
        return str(answer.result)

    hostile = [asyncio.create_task(target.world.run("while True: pass")) for _ in range(WORKERS + 1)]

    assert await honest() == "100.00"
    ended = await asyncio.gather(*hostile)
    assert {answer.error.code for answer in ended if answer.error} <= {"time_limit", "server_busy"}
    await target.check_at_work()


async def test_workers_that_are_killed_are_replaced(target: Target) -> None:
    squares = fails("squares", "x = 3\nwhile True: x = x * x", "sandbox_crashed", "time_limit", "memory_limit")
    answers = await asyncio.gather(*(target.world.run(squares.source) for _ in range(WORKERS)))

    assert all(answer.error and answer.error.code in squares.codes for answer in answers)
    await target.check_at_work()


async def test_of_501_calls_the_last_is_refused(tmp_path: Path) -> None:
    async with Target.open(tmp_path, calls=500, execution_s=5, wall_s=60) as roomy:
        answer = await roomy.attacked(fails("calls", f"n = 0\nfor i in range(501):\n  {GET}\n  print(i)", "call_limit"))

    assert answer.output.split() == [str(i) for i in range(500)]
    assert sum(call.times or 1 for call in answer.calls) == 501
    assert answer.calls[-1].error == "call_limit"


async def test_a_script_that_computes_little_and_calls_for_ever_is_ended_by_the_clock(tmp_path: Path) -> None:
    async with Target.open(tmp_path, calls=1_000_000, execution_s=60, wall_s=1) as patient:
        answer = await patient.app.run_script(MANAGER, patient.ground.written(f"while True:\n  {GET}"))

    assert answer.error is not None
    assert (answer.error.code, answer.error.message) == ("time_limit", "a script may take 1 s in all")
