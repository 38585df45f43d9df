"""billing.invoices.*: what an invoice says, and what becomes of it when it is corrected."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from billing_mcp.domain.errors import Refused
from billing_mcp.domain.events import Event
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.money import format_micros, parse_micros
from billing_mcp.operations.account_details import set_details
from billing_mcp.operations.credit_notes import issue_credit_note
from billing_mcp.operations.taxing import set_customer
from tests.worker.closing import TO_PROXY, account_status, assert_sound, at, booked, close, invoices, ledger
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def world(lasting_world: World) -> World:
    return lasting_world


async def billed(world: World, *, funds: str = "500.00") -> str:
    """An account in Finland with the invoice of a month: two plans, each for a part of it."""
    account_id = await world.account(funds=funds, plan="smtp_per_mailbox", mailbox=100, proxy=2)
    async with world.app.store.write(world.clock()) as tx:
        await set_customer(tx, account_id, country="FI", vat_id=None, exempt=False)
        await set_details(
            tx, account_id, name="Pohjola Oy", address=["Satama 1", "00100 Helsinki"], language="en", reference="PO 7"
        )
    world.clock.now = at("2026-03-22")
    await world.must(TO_PROXY.format(account_id))
    await close(world, account_id, "2026-04-12")
    return account_id


async def get(world: World, account_id: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = await world.must(f"billing.invoices.get(account_id={account_id!r}, invoice_id={name!r})")
    return found


async def newest(world: World, account_id: str) -> dict[str, Any]:
    return await get(world, account_id, (await invoices(world, account_id))[-1].number)


async def correct(
    world: World, account_id: str, name: str, amounts: Mapping[int, str] | None = None, reason: str = "Goodwill"
) -> Invoice:
    given_back = None if amounts is None else {line: parse_micros(text) for line, text in amounts.items()}
    async with world.app.store.write(world.clock()) as tx:
        return await issue_credit_note(tx, world.app.catalog, account_id, name, given_back, reason=reason)


async def test_an_invoice_says_who_what_for_how_much_and_with_which_vat(world: World) -> None:
    invoice = await newest(world, await billed(world))

    assert invoice["customer"] == {
        "name": "Pohjola Oy",
        "address": ["Satama 1", "00100 Helsinki"],
        "country": "FI",
        "vat_id": None,
    }
    assert (invoice["seller"]["name"], invoice["seller"]["country"]) == ("Example Messaging GmbH", "DE")
    assert (invoice["kind"], invoice["status"], invoice["currency"], invoice["reference"]) == (
        "invoice", "paid", "EUR", "PO 7",
    )  # fmt: skip
    assert (invoice["period_start"], invoice["period_end"]) == ("2026-03-12", "2026-04-12")
    # 112.09 net and 25.5 % of it, all of it settled when the wallet was filled
    assert [invoice[name] for name in ("amount", "credits", "tax", "total", "settled", "due")] == [
        "112.09", "0.00", "28.58", "140.67", "140.67", "0.00",
    ]  # fmt: skip
    assert (invoice["tax_treatment"], invoice["tax_percent"]) == ("eu_consumer", "25.50")
    assert "Directive" in invoice["tax_note"]
    assert (invoice["corrects"], invoice["reason"], invoice["credit_notes"]) == (None, None, [])
    assert invoice["download_url"] is None  # nobody knows where this server could be reached


async def test_each_line_is_exact_and_rounded_once_and_the_rounded_ones_are_the_invoice(world: World) -> None:
    invoice = await newest(world, await billed(world))

    assert [(line["position"], line["component_type"], line["exact"], line["amount"]) for line in invoice["lines"]] == [
        (1, "base", "9.354839", "9.35"),
        (2, "mailbox", "11.290323", "11.29"),
        (3, "base", "67.064516", "67.06"),
        (4, "proxy", "24.387097", "24.39"),
    ]
    assert sum(Decimal(line["amount"]) for line in invoice["lines"]) == Decimal(invoice["amount"])
    assert (invoice["lines"][1]["period_start"], invoice["lines"][1]["period_end"]) == ("2026-03-12", "2026-03-22")


async def test_an_invoice_is_found_by_its_id_or_its_number_and_lists_name_both(world: World) -> None:
    account_id = await billed(world)
    page = await world.must(f"billing.invoices.list(account_id={account_id!r})")
    (item,) = page["items"]

    found = [await get(world, account_id, name) for name in (item["id"], item["id"].upper(), item["number"])]

    assert found[0] == found[1] == found[2]
    assert item == {name: found[0][name] for name in item}


async def test_an_invoice_that_is_not_there_is_not_found(world: World) -> None:
    account_id = await world.account()

    for name in ("INV-2026-999999", "0190c0de-0000-7000-8000-0000000000ff", "x"):
        assert await refusal(world, account_id, name) == ("not_found", "invoice_id")


async def refusal(world: World, account_id: str, name: object) -> tuple[str, str | None] | None:
    answer = await world.run(f"name = {name!r}\nbilling.invoices.get(account_id={account_id!r}, invoice_id=name)")
    return None if answer.error is None else (answer.error.code, answer.error.field)


async def test_an_invoice_of_another_account_is_not_there(world: World) -> None:
    mine, (other,) = await world.account(), await invoices(world, await billed(world))

    for name in (other.invoice_id, other.number):
        assert await refusal(world, mine, name) == ("not_found", "invoice_id")


async def test_what_is_no_name_of_an_invoice_is_refused(world: World) -> None:
    account_id = await world.account()

    for name in ("", " ", "a" * 65, "../x", "INV_1", "INV-2026-000001\n", 7, None):
        assert await refusal(world, account_id, name) == ("invalid_argument", "invoice_id"), name
    assert await refusal(world, account_id, "".join(["4242"] * 4)) == ("card_number", "code")


async def test_what_is_given_back_of_a_paid_invoice_is_in_the_wallet(world: World) -> None:
    account_id = await billed(world)
    invoice, before = await newest(world, account_id), await world.balance(account_id)

    note = await correct(world, account_id, invoice["number"], {2: "11.29", 4: "0.39"}, reason="Counted twice")

    assert Decimal(await world.balance(account_id)) - Decimal(before) == Decimal("11.68")
    assert booked((await ledger(world, account_id))[-1]) == {"available": "11.68", "revenue": "-11.68"}
    shown = await get(world, account_id, note.number)
    assert [shown[name] for name in ("kind", "status", "amount", "tax", "total", "due")] == [
        "credit_note", "paid", "-11.68", "-2.98", "-14.66", "0.00",
    ]  # fmt: skip
    assert (shown["corrects"], shown["corrects_number"], shown["reason"]) == (
        invoice["id"], invoice["number"], "Counted twice",
    )  # fmt: skip
    assert [(line["component_type"], line["quantity"], line["amount"]) for line in shown["lines"]] == [
        ("mailbox", "-100", "-11.29"),
        ("proxy", "-1", "-0.39"),
    ]
    after = await newest_invoice(world, account_id)
    assert after == invoice | {
        "credit_notes": [{name: shown[name] for name in ("id", "number", "date", "amount", "total")}]
    }
    await assert_sound(world)


async def newest_invoice(world: World, account_id: str) -> dict[str, Any]:
    """The newest that is no credit note."""
    found = [each for each in await invoices(world, account_id) if each.kind == "invoice"]
    return await get(world, account_id, found[-1].number)


async def test_what_is_owed_of_an_invoice_is_lowered_before_anybody_is_paid(world: World) -> None:
    account_id = await billed(world, funds="100.00")
    invoice = await newest(world, account_id)
    assert (invoice["status"], invoice["due"]) == ("past_due", "15.17")  # 12.09, and 25.5 % of it

    await correct(world, account_id, invoice["number"], {1: "9.35"})
    lowered, wallet = await newest_invoice(world, account_id), await world.balance(account_id)
    await correct(world, account_id, invoice["number"], {2: "11.29"})

    assert (lowered["status"], lowered["due"], wallet) == ("past_due", "3.44", "0.00")
    settled = await newest_invoice(world, account_id)
    assert await account_status(world, account_id) == "active"
    assert [each.payload["number"] for each in await told(world, account_id, "billing.invoice.paid")] == [
        invoice["number"]
    ]
    assert (settled["status"], settled["due"]) == ("paid", "0.00")
    assert [booked(each) for each in (await ledger(world, account_id))[-2:]] == [
        {"receivable": "9.35", "revenue": "-9.35"},
        {"available": "8.55", "receivable": "2.74", "revenue": "-11.29"},
    ]
    await assert_sound(world)


async def test_an_invoice_is_void_once_all_of_it_was_given_back_and_then_no_more_can_be(world: World) -> None:
    account_id = await billed(world)
    invoice = await newest(world, account_id)

    await correct(world, account_id, invoice["number"], {3: "60.00"})
    part = await newest_invoice(world, account_id)
    await correct(world, account_id, invoice["number"])
    rest = await newest_invoice(world, account_id)

    assert (part["status"], rest["status"]) == ("paid", "void")
    assert [note["amount"] for note in rest["credit_notes"]] == ["-60.00", "-52.09"]
    assert sum(Decimal(note["total"]) for note in rest["credit_notes"]) == -Decimal(invoice["total"])
    assert await world.balance(account_id) == "500.00"
    for wanted in (None, {1: "0.01"}):
        with pytest.raises(Exception, match=r"given back|can be given back") as refused:
            await correct(world, account_id, invoice["number"], wanted)
        assert wanted is not None or isinstance(refused.value, Refused)
    await assert_sound(world)


async def test_a_credit_note_is_on_no_later_invoice_whenever_it_was_issued(world: World) -> None:
    account_id = await billed(world)
    number = (await newest(world, account_id))["number"]
    world.clock.now = at("2026-04-20")
    await correct(world, account_id, number, {1: "5.00"})
    await close(world, account_id, "2026-05-12")
    await correct(world, account_id, number, {1: "1.00"})  # at the very moment that the period was closed
    await close(world, account_id, "2026-06-12")

    found = await invoices(world, account_id)

    assert [(each.kind, format_micros(each.amount_micros)) for each in found] == [
        ("invoice", "112.09"),
        ("credit_note", "-5.00"),
        ("invoice", "135.00"),
        ("credit_note", "-1.00"),
        ("invoice", "135.00"),
    ]
    assert [each.number for each in found] == sorted(each.number for each in found)
    assert await world.balance(account_id) == "123.91"  # 500.00 - 112.09 - 135.00 - 135.00 + 6.00
    await assert_sound(world)


async def test_the_world_is_told_of_a_credit_note_as_of_an_invoice(world: World) -> None:
    account_id = await billed(world)
    invoice = await newest(world, account_id)

    note = await correct(world, account_id, invoice["number"], {1: "1.00"})

    issued = {each.payload["number"]: each.payload for each in await told(world, account_id, "billing.invoice.issued")}
    assert issued.keys() == {invoice["number"], note.number}
    assert [issued[note.number][name] for name in ("kind", "corrects", "amount", "tax")] == [
        "credit_note", invoice["id"], "-1.00", "-0.26",
    ]  # fmt: skip


async def told(world: World, account_id: str, event: str) -> list[Event]:
    """What the world is told of an account, of one kind."""
    return [each for each in (await world.snapshot(account_id))["events"] if each.event == event]


CHANGES = (
    "UPDATE invoices SET amount_micros = amount_micros - 1",
    "UPDATE invoices SET lines_json = '[]'",
    "UPDATE invoices SET facts_json = '{}', status = 'void'",
    "UPDATE invoices SET number = 'INV-2026-000099'",
    "UPDATE invoices SET tax_micros = 0",
    "UPDATE invoices SET credits_micros = 1",
    "UPDATE invoices SET kind = 'credit_note'",
    "UPDATE invoices SET issued_at_us = 0",
    "UPDATE invoices SET period_end = period_start",
    "UPDATE invoices SET posting_seq = NULL",
    "DELETE FROM invoices",
)


async def test_the_database_refuses_to_change_or_delete_an_invoice(world: World) -> None:
    account_id = await billed(world)
    before = await newest(world, account_id)

    for change in CHANGES:
        async with world.app.store.write(world.clock()) as tx:
            tx.rollback_only = True
            with pytest.raises(DBAPIError, match="an issued invoice does not change"):
                await tx._connection.execute(text(f"{change} WHERE account_id = :a"), {"a": account_id})

    assert await newest(world, account_id) == before


async def test_only_whether_an_invoice_is_paid_may_change(world: World) -> None:
    account_id = await billed(world)

    paid = "UPDATE invoices SET status = 'past_due', paid_micros = 0 WHERE account_id = :a"
    await run_sql(world, paid, a=account_id)

    after = await newest(world, account_id)
    assert (after["status"], after["amount"], after["due"]) == ("past_due", "112.09", after["total"])


async def run_sql(world: World, statement: str, **values: str) -> None:
    """In the server's turn: what it records behind an answer may be under way."""
    async with world.app.store.write(world.clock()) as tx:
        await tx._connection.execute(text(statement), values)
