"""The billing cycle under pressure: whatever is late, missed, doubled or cut short, each charge is on one invoice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import count

import pytest

from billing_mcp.domain.conversations import InboundKind
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.messages import Message
from billing_mcp.domain.money import format_micros, parse_micros
from billing_mcp.operations.closing import Closed, draft, step
from billing_mcp.operations.drafts import Draft
from billing_mcp.store.store import Store
from billing_mcp.worker.cycle import RUN_CYCLE, Cycle
from tests.stage import Stage, moment
from tests.year.books import books_of

SECOND = timedelta(seconds=1)
OPENED, FIRST_END, SECOND_END, THIRD_END = (moment(f"2026-{month:02d}-12") for month in (1, 2, 3, 4))
_numbers = count(1)


@pytest.fixture
async def stage(store: Store) -> Stage:
    """A stage at the opening of its accounts."""
    return await Stage.open(store, OPENED)


async def account(stage: Stage, funds: str = "100.00", plan: str | None = None, mailboxes: int = 0) -> str:
    """A new account with money, and a plan from now on."""
    account_id = f"0190c1c1-0000-7000-8000-{next(_numbers):012d}"
    await stage.account(account_id, "Cycle")
    await stage.receive(account_id, funds)
    if mailboxes:
        await stage.count(account_id, "mailbox", mailboxes)
    if plan:
        await stage.must("plan.change", account_id, plan_id=plan)
    return account_id


async def capture(
    stage: Stage, account_id: str, amount: str, name: str = "work", *, at: datetime | None = None
) -> None:
    """What the platform charges without saying why; `at` is the clock of a process that commits late."""
    now, stage.clock.now = stage.clock.now, at or stage.clock.now
    receipt = await stage.app.holds.place(account_id, parse_micros(amount), reference=name)
    assert receipt.hold is not None
    await stage.app.holds.capture(account_id, receipt.hold.hold_id)
    stage.clock.now = now


async def sms(stage: Stage, account_id: str, segments: int = 1) -> Message:
    """A text message to Austria, delivered: 0.0690 a segment."""
    (sent,) = await stage.send(account_id, [Draft("sms", to=["+436641234567"], market="AT", segments=segments)])
    assert isinstance(sent, Message), sent
    (told,) = await stage.report([sent], "delivered")
    assert isinstance(told, Message), told
    return told


async def close(stage: Stage, account_id: str, at: datetime) -> None:
    """The calendar is worked off at a moment."""
    stage.clock.now = at
    async for _ in cycle_on(stage.store, stage).run(account_id, at):
        pass


def cycle_on(store: Store, stage: Stage) -> Cycle:
    return Cycle(store, stage.app.catalog, stage.clock)


async def invoices(stage: Stage, account_id: str) -> list[Invoice]:
    """Oldest first."""
    async with stage.store.read(stage.clock()) as tx:
        found, _ = await tx.invoices.page(account_id, page=1, page_size=100)
    return list(reversed(found))


def lines(invoice: Invoice) -> list[tuple[str, str, str]]:
    return [(line.description, line.quantity, format_micros(line.amount_micros)) for line in invoice.lines]


async def test_what_is_charged_between_the_end_of_a_period_and_its_close_is_on_the_next_invoice(stage: Stage) -> None:
    account_id = await account(stage)
    stage.clock.now = FIRST_END - SECOND
    await sms(stage, account_id)
    await capture(stage, account_id, "1.00", "before")
    stage.clock.now = FIRST_END
    await sms(stage, account_id, segments=2)
    stage.clock.now = FIRST_END + timedelta(hours=5)
    await capture(stage, account_id, "2.00", "after")

    await close(stage, account_id, FIRST_END + timedelta(hours=6))
    await close(stage, account_id, SECOND_END)

    first, second = await invoices(stage, account_id)
    assert lines(first) == [("SMS segment, AT, standard", "1", "0.069"), ("Charge for before", "1", "1.00")]
    assert lines(second) == [("SMS segment, AT, standard", "2", "0.138"), ("Charge for after", "1", "2.00")]
    assert (first.period_end, second.period_start) == (FIRST_END.date(), FIRST_END.date())
    await stage.assert_sound()


async def test_what_commits_after_the_close_with_a_moment_before_the_end_is_on_the_next_invoice_once(
    stage: Stage,
) -> None:
    account_id = await account(stage)
    stage.clock.now = FIRST_END - timedelta(days=1)
    await capture(stage, account_id, "1.00", "in time")
    await close(stage, account_id, FIRST_END)
    await capture(stage, account_id, "2.00", "straggler", at=FIRST_END - SECOND)
    await capture(stage, account_id, "4.00", "at the end", at=FIRST_END)

    await close(stage, account_id, SECOND_END)
    await capture(stage, account_id, "8.00", "later still", at=FIRST_END - SECOND)
    await close(stage, account_id, THIRD_END)

    assert [lines(each) for each in await invoices(stage, account_id)] == [
        [("Charge for in time", "1", "1.00")],
        [("Charge for straggler", "1", "2.00"), ("Charge for at the end", "1", "4.00")],
        [("Charge for later still", "1", "8.00")],
    ]
    await stage.assert_sound()


async def test_months_that_were_missed_have_an_invoice_each_in_order_with_their_own_lines(stage: Stage) -> None:
    account_id = await account(stage, "300.00", "smtp_per_mailbox", 10)
    stage.clock.now = moment("2026-01-20")
    await sms(stage, account_id)
    stage.clock.now = moment("2026-02-20")
    await stage.count(account_id, "mailbox", 20)
    stage.clock.now = moment("2026-03-20")
    await capture(stage, account_id, "3.00")
    stage.clock.now = moment("2026-04-20")
    await sms(stage, account_id, segments=3)

    await close(stage, account_id, moment("2026-04-25 08:00"))

    found = await invoices(stage, account_id)
    base, mailboxes = ("SMTP per mailbox", "1", "29.00"), "Mailboxes"
    assert [lines(each) for each in found] == [
        [base, (mailboxes, "10", "3.50"), ("SMS segment, AT, standard", "1", "0.069")],
        # 8 of 28 days with 10 mailboxes, 20 with 20.
        [base, (f"{mailboxes}, 8 of 28 days", "10", "1.00"), (f"{mailboxes}, 20 of 28 days", "20", "5.00")],
        [base, (mailboxes, "20", "7.00"), ("Charge for work", "1", "3.00")],
    ]
    assert [each.period_end for each in found] == [each.date() for each in (FIRST_END, SECOND_END, THIRD_END)]
    assert [each.number for each in found] == [f"INV-2026-{number:06d}" for number in (1, 2, 3)]
    assert {each.issued_at for each in found} == {stage.clock()}
    await close(stage, account_id, moment("2026-05-12"))
    (*_, last) = await invoices(stage, account_id)
    assert lines(last)[-1] == ("SMS segment, AT, standard", "3", "0.207")
    await stage.assert_sound()


@pytest.fixture
async def rivals(database: str, stage: Stage) -> AsyncIterator[list[Cycle]]:
    """The cycles of several servers on one database."""
    stores = [await Store.open(database) for _ in range(3)]
    yield [cycle_on(store, stage) for store in stores]
    for store in stores:
        await store.close()


async def test_many_that_close_at_once_issue_each_invoice_once_and_leave_no_gap_in_the_numbers(
    stage: Stage, rivals: list[Cycle]
) -> None:
    accounts = [await account(stage, "40.00", "smtp_per_mailbox", number) for number in range(1, 11)]
    stage.clock.now = SECOND_END
    issued: list[str] = []

    async def run(cycle: Cycle, account_id: str) -> None:
        async for done in cycle.run(account_id, SECOND_END):
            assert isinstance(done, Closed)
            assert done.invoice is not None
            issued.append(done.invoice.number)

    async def run_all(cycle: Cycle, order: list[str]) -> None:
        for account_id in order:
            await run(cycle, account_id)

    async def take_numbers_and_give_them_back(cycle: Cycle) -> None:
        for account_id in accounts[::3]:
            await cycle.rehearse(account_id, SECOND_END)

    one, other, third = rivals
    halves = accounts[5:] + accounts[:5]
    await asyncio.gather(
        run_all(one, accounts),
        run_all(other, accounts[::-1]),
        run_all(third, halves),
        take_numbers_and_give_them_back(third),
    )

    assert sorted(issued) == [f"INV-2026-{number:06d}" for number in range(1, 21)]
    found = [each for account_id in accounts for each in await invoices(stage, account_id)]
    assert sorted(each.number for each in found) == sorted(issued)
    for account_id in accounts:
        first, second = await invoices(stage, account_id)
        assert (first.period_end, second.period_end) == (FIRST_END.date(), SECOND_END.date())
        assert first.number < second.number
    await stage.assert_sound()


async def test_what_a_killed_process_had_begun_is_closed_in_its_turn_when_a_clock_is_advanced(stage: Stage) -> None:
    accounts = [await account(stage) for _ in range(3)]
    for account_id in accounts:
        await capture(stage, account_id, "1.00")
    stage.clock.now = FIRST_END
    async with stage.store.write(FIRST_END) as tx:
        await tx.outbox.add_once(RUN_CYCLE, accounts)
    async with stage.store.write(FIRST_END) as tx:
        assert await tx.outbox.take(RUN_CYCLE, lease="of the dead", until=SECOND_END, limit=1)

    await stage.until(FIRST_END)

    issued = [each for account_id in accounts for each in await invoices(stage, account_id)]
    assert [each.number for each in issued] == [f"INV-2026-{number:06d}" for number in (1, 2, 3)]
    assert {each.issued_at for each in issued} == {FIRST_END}


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("plan.change", {"plan_id": "smtp_per_proxy"}),
        ("plan.change", {"plan_id": "smtp_per_proxy", "effective_date": "2026-03-01"}),
        ("plan.cancel", {"cancel_immediately": True}),
        ("plan.cancel", {}),
    ],
)
async def test_whoever_changes_a_plan_after_the_end_of_a_period_closes_that_first(
    stage: Stage, function: str, arguments: dict[str, object]
) -> None:
    account_id = await account(stage, plan="smtp_per_mailbox", mailboxes=10)
    stage.clock.now = FIRST_END + timedelta(days=2)

    await stage.must(function, account_id, **arguments)

    (invoice,) = await invoices(stage, account_id)
    assert (invoice.period_end, format_micros(invoice.amount_micros)) == (FIRST_END.date(), "32.50")
    assert invoice.issued_at == stage.clock()
    await stage.assert_sound()


async def test_a_change_that_is_refused_leaves_the_period_to_be_closed(stage: Stage) -> None:
    account_id = await account(stage, plan="smtp_per_mailbox")
    stage.clock.now = FIRST_END + timedelta(days=2)

    refused = await stage.call("plan.change", account_id, plan_id="smtp_per_mailbox")

    assert refused.error is not None
    assert refused.error.code == "plan_unchanged"
    assert await invoices(stage, account_id) == []
    await close(stage, account_id, stage.clock())
    assert len(await invoices(stage, account_id)) == 1


async def test_up_to_20_captures_have_a_line_each_and_more_are_one(stage: Stage) -> None:
    few, many = await account(stage), await account(stage)
    for number in range(21):
        await capture(stage, many, "0.333333", f"job-{number}")
        if number < 20:
            await capture(stage, few, "0.333333", f"job-{number}")

    for account_id in (few, many):
        await close(stage, account_id, FIRST_END)

    (each,), (together,) = await invoices(stage, few), await invoices(stage, many)
    assert lines(each) == [(f"Charge for job-{number}", "1", "0.333333") for number in range(20)]
    assert format_micros(each.amount_micros) == "6.60"  # 20 lines of 0.33
    assert lines(together) == [("21 charges to holds", "1", "6.999993")]
    assert format_micros(together.amount_micros) == "7.00"
    await stage.assert_sound()


async def test_a_message_that_is_rated_anew_after_the_end_of_a_period_is_so_on_the_next_invoice(stage: Stage) -> None:
    account_id = await account(stage)
    stage.clock.now = FIRST_END - timedelta(hours=1)
    text = Draft("rcs", to=["+4915112345601"], market="DE", text_bytes=500, sender="shop", conversational=True)
    (sent,) = await stage.send(account_id, [text])
    assert isinstance(sent, Message)
    await stage.report([sent], "delivered")
    await close(stage, account_id, FIRST_END)
    stage.clock.now = FIRST_END + timedelta(hours=2)
    told: InboundKind = "text"
    hearing = await stage.messages.hearing(
        account_id, sender="shop", user="+4915112345601", event_id="answer", kind=told
    )
    await stage.messages.submit(hearing)

    await close(stage, account_id, SECOND_END)

    first, second = await invoices(stage, account_id)
    active = ("RCS active users, 2026-02, DE", "1", "0.01")
    assert sorted(lines(first)) == [active, ("RCS single, DE, standard", "1", "0.08")]
    assert sorted(lines(second)) == [
        ("RCS a2p conversation, DE, standard", "1", "0.10"),
        ("RCS single, DE, standard", "-1", "-0.08"),
    ]
    assert [format_micros(each.amount_micros) for each in (first, second)] == ["0.09", "0.02"]
    await stage.assert_sound()


async def test_more_taken_back_than_used_is_a_credit_note_whose_money_is_in_the_wallet(stage: Stage) -> None:
    account_id = await account(stage, "10.00")
    stage.clock.now = FIRST_END - timedelta(hours=1)
    message = await sms(stage, account_id, segments=5)
    await close(stage, account_id, FIRST_END)
    stage.clock.now = FIRST_END + timedelta(hours=1)
    await stage.report([message], "delivered", segments=2)

    await close(stage, account_id, SECOND_END)

    first, second = await invoices(stage, account_id)
    assert (first.kind, format_micros(first.amount_micros)) == ("invoice", "0.34")  # 0.345, to the even cent
    assert (second.kind, second.status, format_micros(second.amount_micros)) == ("credit_note", "paid", "-0.21")
    assert lines(second) == [("SMS segment, AT, standard", "-3", "-0.207")]
    async with stage.store.read(stage.clock()) as tx:
        wallet = await tx.ledger.wallet(account_id)
    assert format_micros(wallet.available_micros) == "9.87"
    await stage.assert_sound()


async def test_what_is_drafted_before_anything_is_locked_comes_to_what_is_closed_at_once(stage: Stage) -> None:
    drafted_first, at_once = await account(stage), await account(stage)
    for account_id in (drafted_first, at_once):
        stage.clock.now = OPENED + SECOND
        await sms(stage, account_id, segments=7)
        await capture(stage, account_id, "1.00", "early")
    stage.clock.now = FIRST_END + timedelta(hours=1)

    async with stage.store.read(stage.clock()) as tx:
        drafted = await draft(tx, drafted_first, stage.clock())
    for account_id in (drafted_first, at_once):
        await capture(stage, account_id, "2.00", "meanwhile, before the end", at=FIRST_END - SECOND)
        await capture(stage, account_id, "4.00", "meanwhile, after the end")
    for account_id, known in ((drafted_first, drafted), (at_once, None)):
        async with stage.store.write(stage.clock()) as tx:
            assert await step(tx, stage.app.catalog, account_id, stage.clock(), drafted=known) is not None

    (one,), (other,) = await invoices(stage, drafted_first), await invoices(stage, at_once)
    assert lines(one) == lines(other)
    assert lines(one) == [
        ("SMS segment, AT, standard", "7", "0.483"),
        ("Charge for early", "1", "1.00"),
        ("Charge for meanwhile, before the end", "1", "2.00"),
    ]
    # What somebody else has closed meanwhile is not closed again by what was drafted for it.
    async with stage.store.write(stage.clock()) as tx:
        assert await step(tx, stage.app.catalog, drafted_first, stage.clock(), drafted=drafted) is None
    stage.clock.now = SECOND_END
    async with stage.store.write(stage.clock()) as tx:
        assert await step(tx, stage.app.catalog, drafted_first, stage.clock(), drafted=drafted) is not None
    assert lines((await invoices(stage, drafted_first))[1]) == [("Charge for meanwhile, after the end", "1", "4.00")]
    await stage.assert_sound()


async def test_a_rehearsal_says_what_would_be_and_leaves_no_trace(stage: Stage, database: str) -> None:
    account_id = await account(stage, "10.00", "smtp_per_mailbox", 10)
    await stage.credit(account_id, "50.00", reason="Welcome", expires=moment("2026-02-20").date())
    stage.clock.now = SECOND_END
    before = await books_of(database)

    rehearsed = await cycle_on(stage.store, stage).rehearse(account_id, SECOND_END)

    assert await books_of(database) == before
    done = [each async for each in cycle_on(stage.store, stage).run(account_id, SECOND_END)]
    assert rehearsed == done
    assert len(done) == 3
    assert await books_of(database) != before
