"""Authority is checked at each call, for every function there is, whatever the script says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from billing_mcp.domain.ids import ledger_id
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.operations import REGISTRY
from tests.conftest import NOW
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIEWER = Principal("viewer", frozenset({Permission.VIEW}))
MANAGER = Principal("manager", frozenset(Permission))
NOBODY = Principal("nobody", frozenset())

ARGUMENTS = {
    "billing.auto_reload.set": ", enabled=False",
    "billing.topups.create": ", amount='50.00'",
    "billing.topups.get": ", topup_id={named!r}",
    "billing.charges.explain": ", transaction_id={first!r}",
    "billing.invoices.get": ", invoice_id={named!r}",
    "billing.messages.quote": ", channel='sms', text='Hello'",
    "billing.plan.change": ", plan_id='smtp_per_proxy'",
}

NAMED: dict[str, str] = {}
"""Of each ready account a top-up or an invoice, where the function needs one."""

FUNCTIONS = pytest.mark.parametrize("function", list(REGISTRY))
MANAGE_FUNCTIONS = pytest.mark.parametrize("function", [o.name for o in REGISTRY.values() if o.writes])


@pytest.fixture
def world(lasting_world: World) -> World:
    """One for all of these tests: each is about accounts of its own."""
    return lasting_world


def script(function: str, account_id: str) -> str:
    named = NAMED.get(account_id.lower(), account_id)
    more = ARGUMENTS.get(function, "").format(first=ledger_id(NOW, account_id.lower(), 1), named=named)
    return f"{function}(account_id={account_id!r}{more})"


def code_of(answer: Answer) -> str | None:
    return answer.error.code if answer.error else None


async def ready_account(world: World, function: str = "") -> str:
    """An account on which the function works: a change is pending, and can be undone or replaced."""
    now = world.clock.now
    if function == "billing.invoices.get":
        world.clock.now -= timedelta(days=40)
    account_id = await world.account(funds="40.00", plan="smtp_per_mailbox")
    if world.clock.now != now:
        world.clock.now = now
        await world.close_period(account_id)
        listed = await world.must(f"billing.invoices.list(account_id={account_id!r})")
        NAMED[account_id] = listed["items"][0]["id"]
    later = (world.clock.now + timedelta(days=3)).date().isoformat()
    await world.must(
        f"billing.plan.change(account_id={account_id!r}, plan_id='smtp_per_proxy', effective_date={later!r})"
    )
    if ".topups." in function:
        await world.must(f"billing.payment_methods.add(account_id={account_id!r}, token='tok_visa')")
        topup = await world.must(f"billing.topups.create(account_id={account_id!r}, amount='50.00')")
        NAMED[account_id] = topup["topup_id"]
    return account_id


@FUNCTIONS
async def test_a_manager_may_call_every_function(world: World, function: str) -> None:
    account_id = await ready_account(world, function)

    answer = await world.run(script(function, account_id), MANAGER)

    assert code_of(answer) is None
    assert answer.changed == REGISTRY[function].writes


@FUNCTIONS
async def test_a_viewer_may_call_what_only_reads(world: World, function: str) -> None:
    account_id = await ready_account(world, function)
    before = await world.snapshot(account_id)

    answer = await world.run(script(function, account_id), VIEWER)

    assert code_of(answer) == ("permission_denied" if REGISTRY[function].writes else None)
    assert await world.snapshot(account_id) == before


@FUNCTIONS
async def test_without_permissions_nothing_may_be_called(world: World, function: str) -> None:
    account_id = await ready_account(world, function)

    assert code_of(await world.run(script(function, account_id), NOBODY)) == "permission_denied"


@FUNCTIONS
async def test_an_account_that_is_not_granted_does_not_exist(world: World, function: str) -> None:
    mine, foreign = await ready_account(world, function), await ready_account(world, function)
    before = await world.snapshot(foreign)
    stranger = replace(MANAGER, account_ids=frozenset({mine}))

    refused = await world.run(script(function, foreign), stranger)
    missing = await world.run(script(function, "0190c0de-ffff-7000-8000-000000000001"), stranger)

    assert refused.error is not None
    assert missing.error is not None
    assert refused.error.code == "not_found"
    assert missing.error.message.replace("0190c0de-ffff-7000-8000-000000000001", foreign) == refused.error.message
    assert await world.snapshot(foreign) == before
    assert code_of(await world.run(script(function, mine), stranger)) is None


@FUNCTIONS
async def test_a_foreign_account_in_capitals_does_not_exist_either(world: World, function: str) -> None:
    mine, foreign = await ready_account(world, function), await ready_account(world, function)
    stranger = replace(MANAGER, account_ids=frozenset({mine}))

    assert code_of(await world.run(script(function, foreign.upper()), stranger)) == "not_found"
    assert code_of(await world.run(script(function, mine.upper()), stranger)) is None


@FUNCTIONS
async def test_an_account_that_nobody_opened_is_not_found(world: World, function: str) -> None:
    answer = await world.run(script(function, "0190c0de-ffff-7000-8000-000000000001"), MANAGER)

    assert code_of(answer) == "not_found"


@FUNCTIONS
async def test_an_expired_credential_may_call_nothing(world: World, function: str) -> None:
    account_id = await ready_account(world, function)
    expired = replace(MANAGER, expires_at=world.clock.now)

    assert code_of(await world.run(script(function, account_id), expired)) == "key_expired"
    assert (
        code_of(
            await world.run(
                script(function, account_id), replace(MANAGER, expires_at=world.clock.now + timedelta(days=1))
            )
        )
        is None
    )


@MANAGE_FUNCTIONS
async def test_for_a_read_only_principal_no_manage_function_exists(world: World, function: str) -> None:
    account_id = await ready_account(world, function)
    reader = replace(MANAGER, read_only=True)

    assert code_of(await world.run(script(function, account_id), reader)) == "unknown_function"
    assert code_of(await world.app.call(reader, function, {"account_id": account_id})) == "unknown_function"
    assert function not in str((await world.run("billing.help()", reader)).result)


async def test_a_script_cannot_reach_a_manage_function_by_a_detour(world: World) -> None:
    account_id = await ready_account(world)
    before = await world.snapshot(account_id)
    detour = f"""
call = getattr(billing.plan, "can" + "cel")
try:
    call(account_id={account_id!r})
except PermissionError as error:
    print(error)
"""
    answer = await world.run(detour, VIEWER)

    assert answer.output.startswith("permission_denied: ")
    assert not answer.changed
    assert await world.snapshot(account_id) == before
