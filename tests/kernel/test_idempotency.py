"""A key makes a change happen once: whoever sends the same again gets the first answer."""

from __future__ import annotations

import asyncio

from billing_mcp.app import App
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.settings import Settings
from tests.world import World

OTHER = Principal("somebody else", frozenset(Permission))


def cancel(account_id: str) -> str:
    return f"billing.plan.cancel(account_id={account_id!r})['status']"


def code_of(answer: Answer) -> str | None:
    return answer.error.code if answer.error else None


async def test_the_same_key_and_script_get_the_stored_answer(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")

    first = await world.run(cancel(account_id), idempotency_key="k")
    again = await world.run(cancel(account_id), idempotency_key="k")

    assert first.changed
    assert (again.to_json(), again.replayed, first.replayed) == (first.to_json(), True, False)


async def test_the_same_key_with_another_script_is_refused_and_changes_nothing(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")
    await world.run(cancel(account_id), idempotency_key="k")

    answer = await world.run(f"billing.plan.resume(account_id={account_id!r})", idempotency_key="k")

    assert code_of(answer) == "idempotency_key_reused"
    assert not answer.changed
    assert await world.must(f"billing.current_plan.get(account_id={account_id!r})['status']") == "canceling"


async def test_a_key_belongs_to_its_principal(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")
    await world.run(cancel(account_id), idempotency_key="k")

    answer = await world.run(f"billing.plan.resume(account_id={account_id!r})", OTHER, idempotency_key="k")

    assert answer.changed


async def test_of_twenty_concurrent_tries_one_runs(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=100)
    world.clock.now = world.clock.now.replace(day=22)
    script = f"billing.plan.change(account_id={account_id!r}, plan_id='smtp_per_proxy')"

    answers = await asyncio.gather(*(world.run(script, idempotency_key="k") for _ in range(20)))

    done = [answer for answer in answers if answer.changed]
    assert {answer.execution_id for answer in done} == {done[0].execution_id}
    assert {code_of(answer) for answer in answers if not answer.changed} <= {"idempotency_key_in_use"}
    assert await world.balance(account_id) == "79.354838"
    assert (await world.run(script, idempotency_key="k")).to_json() == done[0].to_json()


async def test_two_servers_on_one_database_run_it_once(world: World, database: str) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=100)
    world.clock.now = world.clock.now.replace(day=22)
    script = f"billing.plan.change(account_id={account_id!r}, plan_id='smtp_per_proxy')"
    async with App.open(Settings(database=database, workers=2), clock=world.clock) as second:
        other = World(second, world.clock)
        tries = [server.run(script, idempotency_key="k") for server in (world, other) for _ in range(5)]
        answers = await asyncio.gather(*tries)

    done = {answer.execution_id for answer in answers if answer.changed}
    assert len(done) == 1
    assert {code_of(answer) for answer in answers if not answer.changed} <= {"idempotency_key_in_use"}
    assert await world.balance(account_id) == "79.354838"


async def test_a_preview_ignores_the_key(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")

    assert (await world.run(cancel(account_id), preview=True, idempotency_key="k")).status == "previewed"
    committed = await world.run(cancel(account_id), idempotency_key="k")
    assert committed.changed
    assert code_of(await world.run(cancel(account_id), preview=True, idempotency_key="k")) == "already_canceling"


async def test_an_execution_that_changed_nothing_releases_the_key(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")

    assert not (await world.run("1 + 1", idempotency_key="k")).changed
    assert code_of(await world.run("fails", idempotency_key="k")) == "script_error"
    assert (await world.run(cancel(account_id), idempotency_key="k")).changed


async def test_a_key_of_more_than_255_characters_is_refused(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")

    answer = await world.run(cancel(account_id), idempotency_key="k" * 256)

    assert code_of(answer) == "invalid_argument"
    assert (await world.run(cancel(account_id), idempotency_key="k" * 255)).changed
