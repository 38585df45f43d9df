"""An execution is a transaction: what a script does commits together, or leaves no trace."""

from __future__ import annotations

import asyncio

import pytest

from billing_mcp.app import App
from billing_mcp.domain.errors import Refused
from billing_mcp.kernel.arguments import AccountId
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.execution import Executor
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.programs import Host, ProgramResult, Request, SingleCall
from billing_mcp.kernel.registry import Registry, Resource
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.plans import PlanOffers
from billing_mcp.operations.platform import receive_payment
from billing_mcp.settings import Settings
from billing_mcp.store.engine import TransactionAbortedError
from tests.world import MANAGER, World

CHANGE = "billing.plan.change(account_id={0!r}, plan_id='smtp_per_proxy')"


def executor_with(world: World, resource: Resource) -> Executor:
    """An executor that knows one namespace more."""
    app = world.app
    registry = Registry([*REGISTRY.resources, resource])
    return Executor(app.store, registry, app.catalog, world.clock, app.settings.limits())


async def test_a_script_that_changes_the_plan_settles_switches_and_tells(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=100)
    world.clock.now = world.clock.now.replace(day=22)

    answer = await world.run(CHANGE.format(account_id))

    # 29.00 + 100 x 0.35 = 64.00 a month; 10 of the 31 days of the period from 12 March.
    assert answer.status == "completed"
    assert answer.changed
    (wallet,) = answer.effects.wallets
    assert (wallet.available, wallet.reserved, wallet.total) == ("-20.645162", "0.00", "-20.645162")
    assert [(s.setting, s.before, s.after) for s in answer.effects.settings] == [
        ("plan", "smtp_per_mailbox", "smtp_per_proxy")
    ]
    after = await world.snapshot(account_id)
    assert after["wallet"].available_micros == 100_000_000 - 20_645_162
    assert after["events"][-1].event == "billing.plan.changed"
    assert after["events"][-1].payload["execution_id"] == answer.execution_id
    assert (await world.audit()).findings == ()


async def test_a_script_that_changes_the_plan_and_then_fails_leaves_no_trace(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=100)
    world.clock.now = world.clock.now.replace(day=22)
    before = await world.snapshot(account_id)

    answer = await world.run(CHANGE.format(account_id) + "\nprint('so far')\nraise ValueError('no')")

    assert answer.status == "failed"
    assert not answer.changed
    assert answer.error is not None
    assert (answer.error.code, answer.error.line) == ("script_error", 3)
    assert answer.output == "so far\n"
    assert [call.function for call in answer.calls] == ["billing.plan.change"]
    assert await world.snapshot(account_id) == before


async def test_a_preview_shows_the_effects_of_the_commit_and_leaves_no_trace(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=100)
    world.clock.now = world.clock.now.replace(day=22)
    before = await world.snapshot(account_id)

    previewed = await world.run(CHANGE.format(account_id), preview=True)

    assert previewed.status == "previewed"
    assert not previewed.changed
    assert await world.snapshot(account_id) == before
    committed = await world.run(CHANGE.format(account_id))
    assert committed.changed
    assert committed.effects == previewed.effects
    assert committed.result == previewed.result


async def test_a_call_that_fails_can_be_caught_and_has_left_nothing_behind(world: World) -> None:
    account_id = await world.account(funds="1.00", plan="smtp_per_mailbox", mailbox=1000)
    world.clock.now = world.clock.now.replace(day=22)
    script = f"""
try:
    {CHANGE.format(account_id)}
except RuntimeError as error:
    print(error)
billing.plan.cancel(account_id={account_id!r})["status"]
"""
    answer = await world.run(script)

    assert answer.changed
    assert answer.result == "scheduled"
    assert answer.output.startswith("insufficient_funds: ")
    assert [(call.function, call.error) for call in answer.calls] == [
        ("billing.plan.change", "insufficient_funds"),
        ("billing.plan.cancel", None),
    ]
    assert answer.effects.wallets == []
    assert await world.balance(account_id) == "1.00"


async def test_what_a_script_does_and_undoes_is_no_effect_but_is_a_change(world: World) -> None:
    account_id = await world.account(funds="1.00", plan="smtp_per_mailbox")
    script = f"""
billing.plan.cancel(account_id={account_id!r})
billing.plan.resume(account_id={account_id!r})["status"]
"""
    answer = await world.run(script)

    assert answer.changed
    assert answer.effects.settings == []


async def test_a_script_sees_its_own_changes_and_one_frozen_moment(world: World) -> None:
    account_id = await world.account(funds="50.00", plan="smtp_per_mailbox")
    script = f"""
from datetime import datetime
first = datetime.now()
{CHANGE.format(account_id)}
plan = billing.current_plan.get(account_id={account_id!r})["plan_id"]
[plan, first == datetime.now(), first.isoformat()]
"""
    assert await world.must(script) == ["smtp_per_proxy", True, "2026-03-12T10:00:00"]


async def test_a_reading_script_sees_one_snapshot_while_others_write(world: World) -> None:
    account_id = await world.account(funds="10.00")
    first = world.app.store.read(world.clock())
    async with first as tx:
        before = await tx.ledger.wallet(account_id)
        await world.pay(account_id, "5.00")
        assert await tx.ledger.wallet(account_id) == before
    assert await world.balance(account_id) == "15.00"


async def test_concurrent_scripts_on_one_account_happen_one_after_the_other(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox")
    script = f"""
plan = billing.current_plan.get(account_id={account_id!r})["plan_id"]
other = "smtp_per_proxy" if plan == "smtp_per_mailbox" else "smtp_per_mailbox"
billing.plan.change(account_id={account_id!r}, plan_id=other)["previous_plan_id"]
"""
    answers = await asyncio.gather(*(world.run(script) for _ in range(8)))

    assert [answer.status for answer in answers] == ["completed"] * 8
    assert sorted(answer.result for answer in answers) == ["smtp_per_mailbox"] * 4 + ["smtp_per_proxy"] * 4
    assert (await world.audit()).findings == ()


async def test_scripts_that_lock_two_accounts_crosswise_both_complete(world: World) -> None:
    one = await world.account(plan="smtp_per_mailbox")
    two = await world.account(plan="smtp_per_mailbox")

    def script(first: str, second: str) -> str:
        return f"""
for account_id in ({first!r}, {second!r}):
    billing.plan.cancel(account_id=account_id)
    billing.plan.resume(account_id=account_id)
"""

    answers = await asyncio.gather(*(world.run(script(*pair)) for pair in [(one, two), (two, one)] * 3))

    assert [answer.error for answer in answers] == [None] * 6


@pytest.mark.parametrize(("deadlocks", "error"), [(9, None), (10, "database_busy")])
async def test_a_script_gives_way_nine_times_and_then_says_that_it_can_be_sent_again(
    world: World, deadlocks: int, error: str | None
) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")
    met = 0

    class Program:
        source = "cancel the plan where others lock crosswise"

        async def run(self, host: Host) -> ProgramResult:
            nonlocal met
            canceled = await host.call("billing.plan.cancel", {"account_id": account_id})
            met += 1
            if met <= deadlocks:
                raise TransactionAbortedError
            return ProgramResult(canceled)

    answer = await world.app.executor.execute(Request(Program(), MANAGER))

    assert (answer.error.code if answer.error else None) == error
    assert answer.changed is (error is None)
    assert (await world.audit()).findings == ()


@pytest.mark.parametrize(
    ("script", "status", "changed"),
    [
        ("1 + 1", "completed", False),
        ("nonsense", "failed", False),
        ("billing.plan.cancel(account_id=ACCOUNT)", "completed", True),
    ],
)
async def test_every_execution_is_stored_with_its_answer(world: World, script: str, status: str, changed: bool) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")
    answer = await world.run(script.replace("ACCOUNT", repr(account_id)))

    assert (answer.status, answer.changed) == (status, changed)
    assert await world.app.executor.stored_answer(MANAGER, answer.execution_id) == answer.to_json()


@pytest.mark.parametrize("delay_s", [0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1])
async def test_a_caller_that_goes_away_leaves_the_whole_effect_or_none(world: World, delay_s: float) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=100)
    world.clock.now = world.clock.now.replace(day=22)
    before = await world.snapshot(account_id)
    task = asyncio.create_task(world.run(CHANGE.format(account_id)))

    await asyncio.wait([task], timeout=delay_s)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.app.executor.settled()  # a commit under way is let end, though nobody waits for it

    if (await world.snapshot(account_id)) == before:
        assert (await world.run(CHANGE.format(account_id))).changed
    else:
        assert await world.balance(account_id) == "79.354838"
    assert (await world.audit()).findings == ()


@pytest.mark.parametrize("script", ["1\0", "'\ud800'", "billing.plan.cancel(account_id='\0')"])
async def test_a_script_that_no_database_could_store_is_answered_and_stored_all_the_same(
    world: World, script: str
) -> None:
    answer = await world.run(script, idempotency_key="\ud800\0")

    assert answer.error is None or answer.error.code in ("syntax_error", "invalid_argument")
    assert await world.app.executor.stored_answer(MANAGER, answer.execution_id) == answer.to_json()


async def test_a_call_under_way_is_let_end_when_the_caller_goes_away(world: World) -> None:
    account_id = await world.account(funds="10.00")
    entered, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    slow = Resource("slow", doc="For this test.")

    @slow.operation(requires=Permission.MANAGE, route="POST /slow")
    async def spend(ctx: Context, *, account_id: AccountId) -> PlanOffers:
        """Takes its time. Errors: refused."""
        entered.set()
        await go_on.wait()
        await receive_payment(ctx.tx, account_id, 5_000_000, provider="test")
        ended.set()
        return {"items": []}

    executor = executor_with(world, slow)
    caller = asyncio.create_task(
        executor.execute(Request(SingleCall("billing.slow.spend", {"account_id": account_id}), MANAGER))
    )
    await entered.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    go_on.set()
    await executor.close()

    assert ended.is_set()
    assert await world.balance(account_id) == "10.00"


async def test_what_a_function_wrote_before_it_raised_is_undone_though_the_script_goes_on(world: World) -> None:
    account_id = await world.account(funds="10.00", plan="smtp_per_mailbox")
    faulty = Resource("faulty", doc="For this test.")

    @faulty.operation(requires=Permission.MANAGE, route="POST /faulty")
    async def spend(ctx: Context, *, account_id: AccountId) -> PlanOffers:
        """Spends, and then refuses. Errors: refused."""
        await receive_payment(ctx.tx, account_id, 5_000_000, provider="test")
        raise Refused("too late")

    executor = executor_with(world, faulty)

    class Program:
        source = "spend, then cancel"

        async def run(self, host: Host) -> ProgramResult:
            with pytest.raises(Refused):
                await host.call("billing.faulty.spend", {"account_id": account_id})
            return ProgramResult(await host.call("billing.plan.cancel", {"account_id": account_id}))

    answer = await executor.execute(Request(Program(), MANAGER))
    await executor.close()

    assert answer.changed
    assert answer.effects.wallets == []
    assert await world.balance(account_id) == "10.00"
    assert (await world.audit()).findings == ()


async def test_a_script_that_computes_long_before_its_first_change_does_not_hold_the_lock(
    world: World, database: str
) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")
    script = f"x = 0\nfor _ in range(4_000_000):\n    x += 1\nbilling.plan.cancel(account_id={account_id!r})"
    settings = Settings(database=database, wall_after_write_s=0.1, workers=1)
    async with App.open(settings, clock=world.clock) as strict:
        refused = await World(strict, world.clock).run(script)

    assert refused.error is not None
    assert refused.error.code == "write_time_limit"
    assert refused.error.message.startswith("before its first change")
    assert (await world.run(script)).changed
