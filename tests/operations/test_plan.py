"""Changing, cancelling and resuming, as an agent sees it."""

from __future__ import annotations

import pytest

from billing_mcp.kernel.answer import Answer
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def world(lasting_world: World) -> World:
    """One for all of these tests: each is about accounts of its own."""
    return lasting_world


def code_of(answer: Answer) -> str | None:
    return answer.error.code if answer.error else None


def change(account_id: str, plan_id: str = "smtp_per_proxy", **options: str) -> str:
    more = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"billing.plan.change(account_id={account_id!r}, plan_id={plan_id!r}{more})"


def cancel(account_id: str, **flags: bool) -> str:
    more = "".join(f", {name}={value!r}" for name, value in flags.items())
    return f"billing.plan.cancel(account_id={account_id!r}{more})"


def plan(account_id: str) -> str:
    return f"billing.current_plan.get(account_id={account_id!r})"


async def test_an_account_without_a_plan_says_so_and_can_choose_one(world: World) -> None:
    account_id = await world.account()

    none = await world.must(plan(account_id))
    assert (none["plan_id"], none["price"], none["status"]) == ("none", "0.00", "none")
    assert (none["can_cancel_plan"], none["can_change_plan"]) == (False, True)

    chosen = await world.must(change(account_id))
    assert (chosen["previous_plan_id"], chosen["target_plan_id"]) == (None, "smtp_per_proxy")
    now = await world.must(plan(account_id))
    assert (now["plan_id"], now["price"], now["status"]) == ("smtp_per_proxy", "99.00", "active")


async def test_a_change_now_settles_what_has_accrued_as_one_transaction_with_lines(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=100)
    world.clock.now = world.clock.now.replace(day=22)
    accrued = (await world.must(f"billing.wallet_balance.get(account_id={account_id!r})"))["accrued_charges"]

    result = await world.must(change(account_id))

    assert result["status"] == "completed"
    assert result["effective_at"] == "2026-03-22T10:00:00Z"
    page = await world.must(f"billing.transactions.list(account_id={account_id!r}, page_size=1)")
    (charge,) = page["items"]
    assert (charge["type"], charge["direction"], charge["amount"]) == ("charge", "debit", accrued)
    assert [(line["component_type"], line["quantity"], line["amount_cents"]) for line in charge["line_items"]] == [
        ("base", "1", 935),
        ("mailbox", "100", 1129),
    ]
    assert charge["line_items"][0]["period_start"] == "2026-03-12"
    assert charge["line_items"][0]["period_end"] == "2026-03-22"
    wallet = await world.must(f"billing.wallet_balance.get(account_id={account_id!r})")
    assert wallet["accrued_charges"] == "0.00"


async def test_a_change_on_a_later_day_is_pending_and_nothing_is_due_until_then(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox")

    result = await world.must(change(account_id, effective_date="2026-03-20"))

    assert (result["status"], result["effective_at"]) == ("scheduled", "2026-03-20T00:00:00Z")
    assert await world.balance(account_id) == "100.00"
    assert (await world.must(plan(account_id)))["plan_id"] == "smtp_per_mailbox"
    world.clock.now = world.clock.now.replace(day=20)
    assert (await world.must(plan(account_id)))["plan_id"] == "smtp_per_proxy"
    # 8 of 31 days at 29.00; the day of the change belongs to the new plan, and has not ended.
    wallet = await world.must(f"billing.wallet_balance.get(account_id={account_id!r})")
    assert wallet["accrued_charges"] == "7.483871"


async def test_a_new_change_replaces_the_pending_one_and_resume_undoes_it(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")
    await world.must(change(account_id, effective_date="2026-03-20"))
    await world.must(cancel(account_id))
    assert (await world.must(plan(account_id)))["status"] == "canceling"

    await world.must(f"billing.plan.resume(account_id={account_id!r})")

    assert (await world.must(plan(account_id)))["status"] == "active"
    world.clock.now = world.clock.now.replace(day=25)
    assert (await world.must(plan(account_id)))["plan_id"] == "smtp_per_mailbox"
    assert code_of(await world.run(f"billing.plan.resume(account_id={account_id!r})")) == "nothing_pending"


@pytest.mark.parametrize("effective_date", ["2026-03-11", "2020-01-01"])
async def test_a_past_date_is_refused(world: World, effective_date: str) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")

    answer = await world.run(change(account_id, effective_date=effective_date))

    assert code_of(answer) == "effective_date_in_past"
    assert answer.error is not None
    assert effective_date in answer.error.message


async def test_today_as_a_date_means_now(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")

    assert (await world.must(change(account_id, effective_date="2026-03-12")))["status"] == "completed"


async def test_changing_to_the_same_plan_is_refused(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")

    assert code_of(await world.run(change(account_id, "smtp_per_mailbox"))) == "plan_unchanged"


async def test_a_change_that_the_wallet_cannot_settle_is_refused_and_says_what_is_missing(world: World) -> None:
    account_id = await world.account(funds="5.00", plan="smtp_per_mailbox")
    world.clock.now = world.clock.now.replace(day=22)

    answer = await world.run(change(account_id))

    assert code_of(answer) == "insufficient_funds"
    assert answer.error is not None
    assert answer.error.message == "9.354839 EUR is due, but only 5.00 is available"
    assert answer.error.hint == "Top up at least 4.354839 EUR first."
    assert answer.error.amounts == {"free": "5.00", "reserved": "0.00", "shortfall": "4.354839"}
    assert answer.error.currency == "EUR"


@pytest.mark.parametrize("flags", [{}, {"cancel_at_period_end": True}])
async def test_cancelling_ends_the_plan_with_the_period(world: World, flags: dict[str, bool]) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox")

    result = await world.must(cancel(account_id, **flags))

    assert (result["status"], result["effective_at"]) == ("scheduled", "2026-04-12T00:00:00Z")
    assert (result["previous_plan_id"], result["target_plan_id"]) == ("smtp_per_mailbox", None)
    world.clock.now = world.clock.now.replace(month=4, day=12)
    assert (await world.must(plan(account_id)))["status"] == "canceled"
    wallet = await world.must(f"billing.wallet_balance.get(account_id={account_id!r})")
    assert wallet["accrued_charges"] == "29.00"


async def test_cancelling_now_charges_what_has_accrued(world: World) -> None:
    account_id = await world.account(funds="100.00", plan="smtp_per_mailbox")
    world.clock.now = world.clock.now.replace(day=22)

    result = await world.must(cancel(account_id, cancel_immediately=True))

    assert (result["status"], result["account_status"]) == ("completed", "active")
    assert await world.balance(account_id) == "90.645161"
    assert (await world.must(plan(account_id)))["status"] == "canceled"


async def test_cancelling_never_fails_for_want_of_funds(world: World) -> None:
    account_id = await world.account(funds="5.00", plan="smtp_per_mailbox")
    world.clock.now = world.clock.now.replace(day=22)

    result = await world.must(cancel(account_id, cancel_immediately=True))

    assert result["account_status"] == "past_due"
    assert await world.balance(account_id) == "0.00"
    page = await world.must(f"billing.transactions.list(account_id={account_id!r}, page_size=1)")
    (charge,) = page["items"]
    assert charge["amount"] == "5.00"
    assert [(line["component_type"], line["amount_cents"]) for line in charge["line_items"]] == [
        ("base", 935),
        ("receivable", -435),
    ]
    assert (await world.audit()).findings == ()


async def test_both_flags_of_cancel_are_refused(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")

    answer = await world.run(cancel(account_id, cancel_at_period_end=True, cancel_immediately=True))

    assert code_of(answer) == "invalid_argument"
    assert (await world.must(plan(account_id)))["status"] == "active"


async def test_cancelling_without_a_plan_or_twice_is_refused(world: World) -> None:
    bare = await world.account()
    planned = await world.account(plan="smtp_per_mailbox")
    await world.must(cancel(planned))

    assert code_of(await world.run(cancel(bare))) == "no_plan"
    assert code_of(await world.run(cancel(planned))) == "already_canceling"
    assert (await world.must(cancel(planned, cancel_immediately=True)))["status"] == "completed"


async def test_an_account_that_owes_cannot_change_but_can_cancel(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox")
    world.clock.now = world.clock.now.replace(month=4, day=13)
    await world.close_period(account_id)

    now = await world.must(plan(account_id))
    assert (now["status"], now["can_change_plan"], now["can_cancel_plan"]) == ("past_due", False, True)
    assert code_of(await world.run(change(account_id))) == "account_not_active"
    assert (await world.must(cancel(account_id)))["status"] == "scheduled"


async def test_plans_list_says_what_each_plan_would_cost_this_account(world: World) -> None:
    account_id = await world.account(plan="smtp_per_mailbox", mailbox=100, proxy=3)

    items = (await world.must(f"billing.plans.list(account_id={account_id!r})"))["items"]

    assert [(item["plan_id"], item["monthly_total"], item["current"]) for item in items] == [
        ("smtp_per_mailbox", "64.00", True),
        ("smtp_per_proxy", "153.00", False),
    ]


@pytest.mark.parametrize(("page", "page_size", "found"), [(1, 2, 2), (2, 2, 1), (3, 2, 0), (1, 100, 3)])
async def test_pages_are_one_based_newest_first_and_say_how_many_there_are(
    world: World, page: int, page_size: int, found: int
) -> None:
    account_id = await world.account()
    for amount in ("1.00", "2.00", "3.00"):
        await world.pay(account_id, amount)

    script = f"billing.transactions.list(account_id={account_id!r}, page={page}, page_size={page_size})"
    result = await world.must(script)

    assert (result["page"], result["page_size"], result["total"]) == (page, page_size, 3)
    newest_first = ["3.00", "2.00", "1.00"]
    first = (page - 1) * page_size
    assert [item["amount"] for item in result["items"]] == newest_first[first : first + found]


@pytest.mark.parametrize("argument", ["page=0", "page_size=0", "page_size=101", "page=True", "page_size='5'"])
async def test_a_page_out_of_bounds_is_refused_by_name(world: World, argument: str) -> None:
    account_id = await world.account()

    answer = await world.run(f"billing.transactions.list(account_id={account_id!r}, {argument})")

    assert answer.error is not None
    assert answer.error.code in ("invalid_argument", "type_error")
    assert argument.split("=")[0] in answer.error.message
