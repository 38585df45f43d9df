"""The posting engine: what balances is posted in full, and everything else leaves nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from billing_mcp.domain.errors import BillingError, InsufficientFunds, Internal
from billing_mcp.domain.ledger import GENESIS_HASH, Entry, Posting
from billing_mcp.store.changes import SettingChange, WalletChange
from billing_mcp.store.store import Store
from tests.store.books import (
    ACCOUNT,
    LIFE,
    NOW,
    OTHER,
    audit,
    capture,
    charge,
    eur,
    history,
    hold,
    open_books,
    post,
    posting,
    sums_by_ledger_account,
    topup,
    wallet,
)


def in_two_currencies(*legs: tuple[str, str, str]) -> Posting:
    entries = tuple(Entry(name, eur(amount), currency) for name, amount, currency in legs)
    return replace(topup("1.00"), entries=entries)


async def test_what_was_posted_is_read_back_exactly(store: Store) -> None:
    posted = await open_books(store, *LIFE)

    assert await history(store) == list(posted)
    assert [transaction.type for transaction in posted] == ["topup", "hold", "charge", "release", "charge", "topup"]


async def test_a_wallet_is_the_sum_of_its_entries(store: Store) -> None:
    await open_books(store, *LIFE)

    sums = sums_by_ledger_account(await history(store))
    found = await wallet(store)

    assert (found.available_micros, found.reserved_micros) == (eur("78.75"), 0)
    assert sums == {
        "available": eur("78.75"),
        "reserved": 0,
        "revenue": eur("26.50"),
        "cash:test": eur("-105.25"),
    }


async def test_every_row_is_counted_and_every_change_of_the_total_is_counted_apart(store: Store) -> None:
    await open_books(store, *LIFE)

    rows = await history(store)

    assert [row.seq for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.txn_seq for row in rows] == [1, None, 2, None, 3, 4]
    assert [row.balance_after_micros for row in rows] == [
        eur(amount) for amount in ("100.00", "100.00", "94.00", "94.00", "73.50", "78.75")
    ]
    assert [row.reserved_after_micros for row in rows] == [
        eur(amount) for amount in ("0.00", "10.00", "4.00", "0.00", "0.00", "0.00")
    ]
    found = await wallet(store)
    assert (found.last_seq, found.last_txn_seq) == (6, 4)


async def test_every_transaction_holds_the_hash_of_the_one_before(store: Store) -> None:
    await open_books(store, *LIFE)

    rows = await history(store)

    assert rows[0].previous_hash == GENESIS_HASH
    assert [row.previous_hash for row in rows[1:]] == [row.hash for row in rows[:-1]]
    assert (await wallet(store)).head_hash == rows[-1].hash
    assert len({row.hash for row in rows}) == len(rows)
    assert {len(bytes.fromhex(row.hash)) for row in rows} == {32}


async def test_the_same_posting_on_two_accounts_has_two_hashes(store: Store) -> None:
    (one,) = await open_books(store, topup("1.00"))
    (two,) = await open_books(store, topup("1.00", OTHER), account_id=OTHER)

    assert one.seq == two.seq == 1
    assert one.hash != two.hash
    assert one.transaction_id != two.transaction_id


@pytest.mark.parametrize(
    "wrong",
    [
        posting("topup", ("available", "10.00"), ("cash:test", "-9.99")),
        posting("topup", ("available", "10.00"), ("cash:test", "10.00")),
        in_two_currencies(("available", "10.00", "EUR"), ("cash:test", "-10.00", "USD")),
        in_two_currencies(
            ("available", "10.00", "EUR"),
            ("cash:test", "-9.00", "EUR"),
            ("credits", "-1.00", "USD"),
        ),
    ],
    ids=["a cent is missing", "one sign", "across two currencies", "a rest in another currency"],
)
async def test_entries_that_do_not_sum_to_zero_in_each_currency_are_refused(store: Store, wrong: Posting) -> None:
    await open_books(store, *LIFE)
    before = await history(store), await wallet(store)

    with pytest.raises(Internal, match="does not sum to zero"):
        await post(store, topup("1.00"), wrong)

    assert (await history(store), await wallet(store)) == before


async def test_two_currencies_that_each_sum_to_zero_are_posted(store: Store) -> None:
    both = in_two_currencies(
        ("available", "10.00", "EUR"),
        ("cash:test", "-10.00", "EUR"),
        ("tax", "2.00", "USD"),
        ("receivable", "-2.00", "USD"),
    )
    (posted,) = await open_books(store, both)

    assert await history(store) == [posted]
    assert posted.entries == both.entries
    assert (await wallet(store)).available_micros == eur("10.00")


@pytest.mark.parametrize(
    "wrong",
    [
        posting("topup"),
        posting("topup", ("available", "0.00")),
        posting("topup", ("available", "1.00"), ("pocket", "-1.00")),
        posting("topup", ("available", "1.00"), ("cash:", "-1.00")),
        posting("charge", ("reserved", "-1.00"), ("revenue", "1.00")),
        in_two_currencies(("available", "1.00", "USD"), ("cash:test", "-1.00", "USD")),
    ],
    ids=["no entry", "one entry", "unknown account", "no provider", "nothing reserved", "a foreign wallet"],
)
async def test_a_malformed_posting_is_a_defect_and_leaves_nothing(store: Store, wrong: Posting) -> None:
    await open_books(store, topup("100.00"))
    before = await history(store), await wallet(store)

    with pytest.raises(Internal):
        await post(store, topup("1.00"), wrong)

    assert (await history(store), await wallet(store)) == before


@pytest.mark.parametrize("too_much", [charge("100.000001"), hold("100.000001")])
async def test_available_cannot_be_overdrawn_and_the_refusal_leaves_nothing(store: Store, too_much: Posting) -> None:
    await open_books(store, topup("100.00"))
    before = await history(store), await wallet(store)

    with pytest.raises(InsufficientFunds) as refused:
        await post(store, too_much)

    assert "100.000001 EUR is due, but only 100.00 is available" in refused.value.message
    assert refused.value.hint == "Top up at least 0.000001 EUR first."
    assert (await history(store), await wallet(store)) == before


async def test_reserved_money_cannot_be_spent_twice(store: Store) -> None:
    await open_books(store, topup("10.00"), hold("10.00"))

    with pytest.raises(InsufficientFunds):
        await post(store, charge("0.01"))
    await post(store, capture("10.00"))

    assert (await wallet(store)).total_micros == 0


async def test_all_postings_of_a_call_are_posted_or_none(store: Store) -> None:
    await open_books(store, topup("10.00"))

    with pytest.raises(InsufficientFunds):
        await post(store, charge("6.00"), charge("6.00"))

    assert len(await history(store)) == 1
    assert (await wallet(store)).available_micros == eur("10.00")


async def test_the_last_cent_can_be_spent(store: Store) -> None:
    await open_books(store, topup("10.00"), charge("10.00"))

    assert (await wallet(store)).available_micros == 0


async def test_a_savepoint_that_fails_restores_books_settings_and_the_record_of_changes(store: Store) -> None:
    await open_books(store, topup("10.00"))
    async with store.write(NOW) as tx:
        account = await tx.accounts.get(ACCOUNT)
        await tx.ledger.post([charge("1.00")])
        kept = list(tx.changes.changes)
        before = await tx.ledger.wallet(ACCOUNT)

        async def overspend() -> None:
            async with tx.savepoint():
                await tx.ledger.post([charge("2.00")])
                await tx.accounts.set_status(account, "suspended")
                await tx.ledger.post([charge("500.00")])

        with pytest.raises(InsufficientFunds):
            await overspend()
        assert await tx.ledger.wallet(ACCOUNT) == before
        assert await tx.accounts.get(ACCOUNT) == account
        assert tx.changes.changes == kept == [WalletChange(ACCOUNT, "EUR", eur("-1.00"), 0)]
        await tx.ledger.post([charge("3.00")])

    assert [row.balance_after_micros for row in await history(store)] == [eur("10.00"), eur("9.00"), eur("6.00")]
    assert (await audit(store)).findings == ()


async def test_a_savepoint_in_a_savepoint_undoes_its_own_part_only(store: Store) -> None:
    await open_books(store, topup("10.00"))
    async with store.write(NOW) as tx:
        suspended = SettingChange(ACCOUNT, "account_status", "active", "suspended")

        async def fail(amount: str) -> None:
            async with tx.savepoint():
                async with tx.savepoint():
                    await tx.ledger.post([charge(amount)])
                raise LookupError(amount)

        async with tx.savepoint():
            await tx.accounts.set_status(await tx.accounts.get(ACCOUNT), "suspended")
            with pytest.raises(LookupError):
                await fail("1.00")
            assert tx.changes.changes == [suspended]
        with pytest.raises(LookupError):
            await fail("2.00")
        assert tx.changes.changes == [suspended]

    assert len(await history(store)) == 1
    async with store.read(NOW) as tx:
        assert (await tx.accounts.get(ACCOUNT)).status == "suspended"


async def test_a_statement_that_the_database_refuses_undoes_its_savepoint_only(store: Store) -> None:
    await open_books(store, topup("10.00"))
    async with store.write(NOW) as tx:
        await tx.ledger.post([charge("1.00")])

        async def open_twice() -> None:
            async with tx.savepoint():
                await tx.ledger.post([charge("2.00")])
                await tx.ledger.open_wallet(ACCOUNT, "EUR")

        with pytest.raises(IntegrityError):
            await open_twice()
        await tx.ledger.post([charge("3.00")])

    assert (await wallet(store)).available_micros == eur("6.00")


async def test_a_wallet_that_changes_under_a_posting_stops_it(store: Store) -> None:
    await open_books(store, topup("10.00"))
    before = await history(store), await wallet(store)

    def intrude(_connection: object, cursor: object, statement: str, *_: object) -> None:
        if "INSERT INTO ledger_entries" in statement:
            cursor.execute("UPDATE wallets SET last_seq = last_seq + 1")  # type: ignore[attr-defined]

    engine = store._writer.sync_engine
    event.listen(engine, "before_cursor_execute", intrude)
    with pytest.raises(Internal, match="changed under a posting"):
        await post(store, charge("1.00"))
    event.remove(engine, "before_cursor_execute", intrude)

    assert (await history(store), await wallet(store)) == before


async def test_fifty_postings_at_once_lose_none(store: Store) -> None:
    await open_books(store, topup("10.00"))

    posted = await asyncio.gather(*(post(store, charge("0.10")) for _ in range(50)))

    assert sorted(transaction.seq for (transaction,) in posted) == list(range(2, 52))
    assert len(await history(store)) == 51
    assert (await wallet(store)).available_micros == eur("5.00")
    assert (await audit(store)).findings == ()


async def test_fifty_postings_at_once_spend_what_is_there_once(store: Store) -> None:
    await open_books(store, topup("1.00"))

    async def spend() -> str:
        try:
            await post(store, charge("0.10"))
        except BillingError as error:
            return error.code
        return "spent"

    outcomes = await asyncio.gather(*(spend() for _ in range(50)))

    assert sorted(outcomes) == ["insufficient_funds"] * 40 + ["spent"] * 10
    assert (await wallet(store)).available_micros == 0
    assert (await audit(store)).findings == ()
