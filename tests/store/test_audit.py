"""The audit names the first row of an account's books that is wrong, whatever was done to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from billing_mcp.domain.ledger import chain_hash
from billing_mcp.store.audit import Finding, verify_books
from billing_mcp.store.store import Store
from billing_mcp.store.tables import LedgerTransactionRow, table
from tests.store.books import (
    ACCOUNT,
    LIFE,
    NOW,
    OTHER,
    audit,
    capture,
    carry_out,
    charge,
    eur,
    forger,
    history,
    hold,
    open_books,
    release,
    topup,
)
from tests.store.forgeries import FACTS, FORGERIES, Forgery
from tests.world import World

THIRD = "0190c0de-0000-7000-8000-0000000000c3"


async def open_three_accounts(store: Store) -> None:
    for account_id in (OTHER, ACCOUNT, THIRD):
        await open_books(store, *LIFE, account_id=account_id)


async def test_sound_books_have_no_finding(store: Store) -> None:
    await open_three_accounts(store)

    report = await audit(store)

    assert report.findings == ()
    assert (report.accounts, report.transactions, report.entries, report.holds) == (3, 18, 36, 3)


async def test_empty_books_have_no_finding(store: Store) -> None:
    await open_books(store)

    report = await audit(store)

    assert (report.findings, report.accounts, report.transactions) == ((), 1, 0)


async def test_the_books_are_sound_after_a_busy_life(world: World) -> None:
    accounts = [await world.account(funds="300.00", plan="smtp_per_mailbox", mailbox=n) for n in (10, 1000)]
    world.clock.now = datetime(2026, 3, 22, 9, tzinfo=UTC)
    change = "billing.plan.change(account_id={0!r}, plan_id='smtp_per_proxy')"
    await world.must(change.format(accounts[0]))
    await world.must(f"billing.plan.cancel(account_id={accounts[1]!r}, cancel_immediately=True)")
    await world.count(accounts[0], "proxy", 3)
    async with world.app.store.write(world.clock()) as tx:
        acts = (hold("7.00"), capture("5.00"), release(), hold("1.00"), topup("0.01"), charge("0.000001"))
        await carry_out(tx, *acts, account_id=accounts[0])
    for month in (4, 5, 6):
        world.clock.now = datetime(2026, month, 12, 1, tzinfo=UTC)
        for account_id in accounts:
            await world.close_period(account_id)
    assert (await world.run(change.format(accounts[0]) + "\n1 / 0")).status == "failed"

    report = await world.audit()

    assert report.findings == ()
    assert report.transactions >= 12


@pytest.mark.parametrize("forged", FORGERIES, ids=lambda forged: forged.name)
async def test_the_first_row_that_was_forged_is_named(store: Store, database: str, forged: Forgery) -> None:
    await open_three_accounts(store)
    async with forger(database) as run:
        for statement in forged.statements:
            await run(statement)

    (finding,) = (await audit(store)).findings

    assert (finding.account_id, finding.seq) == (ACCOUNT, forged.seq)
    assert forged.problem in finding.problem


@pytest.mark.parametrize("column", FACTS)
async def test_every_stored_fact_of_a_transaction_is_sealed_by_its_hash(
    store: Store, database: str, column: str
) -> None:
    await open_three_accounts(store)
    async with forger(database) as run:
        update = "UPDATE ledger_transactions SET COLUMN = $1 WHERE seq = 5 AND account_id = $2"
        await run(update.replace("COLUMN", column), FACTS[column], ACCOUNT)

    report = await audit(store)

    assert report.findings == (Finding(ACCOUNT, 5, "its hash does not match what it says"),)


def test_no_column_of_a_transaction_is_left_out_of_these_tests() -> None:
    added_up = {"account_id", "seq", "txn_seq", "previous_hash", "hash"}
    balances = {"balance_after_micros", "available_after_micros", "reserved_after_micros"}

    assert set(table(LedgerTransactionRow).c.keys()) == set(FACTS) | added_up | balances


async def rehash(store: Store, database: str, seq: int, **changes: Any) -> str:
    """Change facts of one row and seal it again, as somebody does who knows how. Returns its new hash."""
    forged = replace((await history(store))[seq - 1], **changes)
    async with forger(database) as run:
        await run(
            "UPDATE ledger_transactions SET description = $1, balance_after_micros = $2, hash = $3 "
            "WHERE seq = $4 AND account_id = $5",
            forged.description,
            forged.balance_after_micros,
            chain_hash(forged),
            seq,
            ACCOUNT,
        )
    return chain_hash(forged)


async def test_a_row_that_was_sealed_again_no_longer_fits_the_next_one(store: Store, database: str) -> None:
    await open_three_accounts(store)
    await rehash(store, database, 3, description="Something else")

    (finding,) = (await audit(store)).findings

    assert (finding.account_id, finding.seq) == (ACCOUNT, 4)
    assert "previous_hash is not the hash of the one before" in finding.problem


async def test_a_seal_covers_the_one_before_so_that_every_later_row_must_be_forged_too(
    store: Store, database: str
) -> None:
    await open_three_accounts(store)
    new_hash = await rehash(store, database, 3, description="Something else")
    async with forger(database) as run:
        await run(
            "UPDATE ledger_transactions SET previous_hash = $1 WHERE seq = 4 AND account_id = $2", new_hash, ACCOUNT
        )

    report = await audit(store)

    assert report.findings == (Finding(ACCOUNT, 4, "its hash does not match what it says"),)


async def test_the_last_row_that_was_sealed_again_no_longer_fits_the_wallet(store: Store, database: str) -> None:
    await open_three_accounts(store)
    await rehash(store, database, 6, description="Something else")

    (finding,) = (await audit(store)).findings

    assert (finding.account_id, finding.seq) == (ACCOUNT, None)
    assert "head_hash" in finding.problem


async def test_a_wrong_balance_is_found_in_its_own_row_even_when_sealed_again(store: Store, database: str) -> None:
    await open_three_accounts(store)
    await rehash(store, database, 3, balance_after_micros=eur("500.00"))

    (finding,) = (await audit(store)).findings

    assert (finding.account_id, finding.seq) == (ACCOUNT, 3)
    assert "balance_after" in finding.problem


async def test_each_account_has_its_own_finding(store: Store, database: str) -> None:
    await open_three_accounts(store)
    async with forger(database) as run:
        await run("UPDATE ledger_transactions SET description = 'x' WHERE seq IN (2, 4) AND account_id LIKE '%a1'")
        await run("UPDATE wallets SET available_micros = 0 WHERE account_id LIKE '%c3'")

    report = await audit(store)

    assert {(finding.account_id, finding.seq) for finding in report.findings} == {(ACCOUNT, 2), (THIRD, None)}
    assert report.transactions == 18


async def test_progress_is_told_in_transactions(store: Store) -> None:
    await open_three_accounts(store)
    heard: list[tuple[int, int]] = []
    async with store.read(NOW) as tx:
        await verify_books(tx, progress=lambda done, of: heard.append((done, of)))

    assert heard == [(6, 18), (12, 18), (18, 18)]
