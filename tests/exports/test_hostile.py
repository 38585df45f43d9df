"""What was forged in the database, and names of any kind: Beancount finds the one, and is not harmed by the other."""

from __future__ import annotations

from itertools import count

import pytest
from beancount.core.account import is_valid
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_mcp.domain.errors import Refused
from billing_mcp.domain.ledger import Entry, Posting
from billing_mcp.exports.csv_rows import defused
from billing_mcp.exports.names import customer_part, provider_part, quoted
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.store.store import Store
from tests.exports.reading import books_of, load, rows_of, text_of
from tests.store.books import LIFE, NOW, forger, open_books

NAMES = (
    *("Müller & Söhne GmbH", "Mueller", "Łódź", "Ærø", "ßtraße", "日本電気", "شركة", "ŉ", "ǆ", "e\u0301tude", "😀"),
    *("Acme", "acme", "ACME!", "Acme", "-", "--x--", "7up", "٣ب", "A:B", "x" * 200, "\uff41\uff43\uff4d\uff45"),
    *('"quoted" \\', "\\", "\\n", '"', "* no heading", "; no comment", "#tag ^link", "{0}", "%s", "2026-01-01 open X"),
    *("=1+1", "+49 30", "-x", "@SUM(A1)", "\uff1d1", "'=1", "Liabilities:Customers", "a,b;c"),
)
FORGED_NAMES = (
    *("two\nlines", 'option "title" "x"\n2026-01-01 open Assets:X', "\ttab", "\r\n=1", " =1", " ", ""),
    *("\x1b[2J", "\u2028", "\u202e", "👩\u200d👧"),
)
PROVIDERS = (
    *("stripe", "Stripe", "STRIPE", "bank_transfer", "bank-transfer", "bank transfer", "支付", "1st", ":", "x:y", '"'),
)
FORMULAS = tuple("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")


async def test_one_wrong_micro_is_found_wherever_it_is(store: Store, database: str) -> None:
    await open_books(store, *LIFE)
    entry, wallet, other = (
        "UPDATE ledger_entries SET amount_micros = amount_micros + $1 WHERE seq = 3 AND line = 1",
        "UPDATE wallets SET available_micros = available_micros + $1",
        "UPDATE ledger_entries SET amount_micros = amount_micros - $1 WHERE seq = 3 AND line = 0",
    )
    assert (await books_of(store, NOW)).errors == []

    for statements, found in (
        ((entry,), "Transaction does not balance"),
        ((wallet,), "Balance failed"),
        ((entry, other), "Balance failed"),
    ):
        async with forger(database) as run:
            for each in statements:
                await run(each, 1)
        assert any(found in each for each in (await books_of(store, NOW)).errors), statements
        async with forger(database) as run:
            for each in statements:
                await run(each, -1)
    assert (await books_of(store, NOW)).errors == []


async def test_a_transaction_that_was_removed_is_missed(store: Store, database: str) -> None:
    await open_books(store, *LIFE)
    async with forger(database) as run:
        for table in ("ledger_entries", "ledger_transactions"):
            await run(f"DELETE FROM {table} WHERE seq = 6")  # noqa: S608 - constants

    (error,) = [each for each in (await books_of(store, NOW)).errors if "Available" in each]

    assert "5.250000 too" in error


@pytest.mark.parametrize("forged", ["created_at_us = 4611686018427387904", "line_items_json = '{'"])
async def test_books_that_cannot_be_read_are_refused(store: Store, database: str, forged: str) -> None:
    await open_books(store, *LIFE)
    async with forger(database) as run:
        await run(f"UPDATE ledger_transactions SET {forged} WHERE seq = 2")  # noqa: S608 - constants

    for format_ in ("csv", "beancount"):
        with pytest.raises(Refused, match="cannot be read") as refused:
            await text_of(store, NOW, format_)
        assert (refused.value.code, refused.value.hint) == ("books_not_sound", "Run: billing-mcp audit verify")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_text_where_sqlite_should_have_an_amount_is_refused(store: Store, database: str) -> None:
    await open_books(store, *LIFE)
    async with forger(database) as run:
        await run("UPDATE ledger_entries SET amount_micros = 'much' WHERE seq = 2 AND line = 1")

    for format_ in ("csv", "beancount"):
        with pytest.raises(Refused, match="cannot be read"):
            await text_of(store, NOW, format_)


async def test_a_ledger_account_that_is_none_is_refused(store: Store, database: str) -> None:
    await open_books(store, *LIFE)
    async with forger(database) as run:
        await run("UPDATE ledger_entries SET ledger_account = 'slush' WHERE seq = 1 AND line = 1")

    with pytest.raises(Refused, match="'slush' is no ledger account"):
        await text_of(store, NOW, "beancount")


async def test_names_of_any_kind_stay_apart_and_are_told_as_they_are(store: Store, database: str) -> None:
    names = dict(zip(map("0190c0de-0000-7000-8000-{:012d}".format, count()), NAMES + FORGED_NAMES, strict=False))
    async with store.write(NOW) as tx:
        for number, (account_id, name) in enumerate(names.items()):
            await open_account(tx, account_id, name if name in NAMES else "x", "EUR")
            await receive_payment(tx, account_id, number + 1, provider=PROVIDERS[number % len(PROVIDERS)])
            legs = Entry("available", 7, "EUR"), Entry("credits", -7, "EUR")
            await tx.ledger.post([Posting(account_id, "credit", f"Credit: {name}", legs, NOW)])
    async with forger(database) as run:
        for account_id, name in names.items():
            await run("UPDATE accounts SET name = $1 WHERE account_id = $2", name, account_id)

    found = await books_of(store, NOW)
    rows = await rows_of(store, NOW)

    assert found.errors == []
    available = {each.account for each in found.opened if each.account.endswith(":Available")}
    cash = {each.account for each in found.opened if each.account.startswith("Assets:Cash:")}
    assert (len(available), len(cash)) == (len(names), len(PROVIDERS))
    assert {"Assets:Cash:Stripe", "Assets:Cash:Bank-transfer"} <= cash
    in_a_line = {account_id: "".join(c if c.isprintable() else " " for c in name) for account_id, name in names.items()}
    assert {each.meta["id"]: each.meta["name"] for each in found.opened if "id" in each.meta} == in_a_line
    narrated = {each.narration for each in found.transactions if each.meta["type"] == "credit"}
    assert narrated == {f"Credit: {name}" for name in in_a_line.values()}
    assert {row["account_id"]: row["account_name"] for row in rows} == {
        account_id: defused(name) for account_id, name in names.items()
    }
    assert not [cell for row in rows for cell in row.values() if cell.strip() and cell.lstrip()[:1] in FORMULAS]


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=20))
@settings(max_examples=15, deadline=None)
def test_any_text_is_an_account_name_and_a_text_of_beancount(texts: list[tuple[str, str]]) -> None:
    names = {f"Liabilities:{customer_part(name, f'{name}/{other}')}" for name, other in texts}
    names |= {f"Assets:{provider_part(name)}" for name, _ in texts}
    assert all(is_valid(name) for name in names)
    lines = [f"2026-01-01 open {name}\n  other: {quoted(texts[0][1])}\n" for name in names]

    found = load("".join(lines))

    assert found.errors == []
    assert {each.account for each in found.opened} == names
    assert {each.meta["other"] for each in found.opened} == {
        "".join(c if c.isprintable() else " " for c in texts[0][1])
    }


@given(st.text("=+-@'\t\r\n ab", max_size=4))
def test_no_cell_begins_like_a_formula_and_what_it_says_can_be_had_back(text: str) -> None:
    cell = defused(text)

    assert cell.lstrip()[:1] not in {"=", "+", "-", "@"}
    assert cell.removeprefix("'") == text
