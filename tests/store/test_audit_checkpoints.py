"""A checkpoint proves that history stayed as it was, also against somebody who recomputes every hash."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from billing_mcp.domain.ledger import chain_hash
from billing_mcp.store.audit import Finding
from billing_mcp.store.audit_export import export_books
from billing_mcp.store.checkpoints import Checkpoint, Comparison, Growth, compare, take_checkpoint
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, NOW, OTHER, audit, charge, forger, history, open_books, post, topup

VERIFIER = Path(__file__).parents[2] / "audit" / "verify.py"
REWRITTEN = "history was rewritten: the checkpoint has another hash here"


async def checkpoint(store: Store) -> Checkpoint:
    async with store.read(NOW) as tx:
        return await take_checkpoint(tx)


async def compared(store: Store, kept: Checkpoint) -> Comparison:
    async with store.read(NOW) as tx:
        return await compare(tx, kept)


async def rewrite(store: Store, database: str, seq: int) -> None:
    """Change one row, and recompute every hash after it and the wallet's, as somebody does who knows how."""
    head = ""
    async with forger(database) as run:
        for row in (await history(store))[seq - 1 :]:
            forged = replace(row, previous_hash=head or row.previous_hash)
            if row.seq == seq:
                forged = replace(forged, description="Something else")
            head = chain_hash(forged)
            await run(
                "UPDATE ledger_transactions SET description = $1, previous_hash = $2, hash = $3 "
                "WHERE seq = $4 AND account_id = $5",
                forged.description,
                forged.previous_hash,
                head,
                row.seq,
                ACCOUNT,
            )
        await run("UPDATE wallets SET head_hash = $1 WHERE account_id = $2", head, ACCOUNT)


async def test_a_chain_that_was_rewritten_whole_passes_the_audit_but_not_a_checkpoint(
    store: Store, database: str
) -> None:
    await open_books(store, topup("3.00"), charge("1.00"), topup("1.00"))
    await open_books(store, topup("2.00", OTHER), account_id=OTHER)
    kept = await checkpoint(store)
    await post(store, charge("0.50"))
    await rewrite(store, database, seq=2)

    assert (await audit(store)).findings == ()
    result = await compared(store, kept)

    assert result.findings == (Finding(ACCOUNT, 3, REWRITTEN),)
    assert (result.unchanged, result.grown, result.new) == (1, (), ())


async def test_what_was_rewritten_after_a_checkpoint_is_caught_by_the_next_one(store: Store, database: str) -> None:
    await open_books(store, topup("3.00"), charge("1.00"))
    early = await checkpoint(store)
    await post(store, topup("1.00"), charge("0.50"))
    late = await checkpoint(store)
    await rewrite(store, database, seq=3)

    assert (await compared(store, early)).grown == (Growth(ACCOUNT, 2, 4),)
    assert (await compared(store, late)).findings == (Finding(ACCOUNT, 4, REWRITTEN),)


async def test_a_ledger_or_an_account_that_is_gone_is_missed(store: Store, database: str) -> None:
    await open_books(store, topup("3.00"), charge("1.00"))
    await open_books(store, topup("3.00", OTHER), account_id=OTHER)
    kept = await checkpoint(store)
    async with forger(database) as run:
        for table in ("ledger_entries", "ledger_transactions"):
            await run(f"DELETE FROM {table} WHERE seq = 2")  # noqa: S608 - constants
            await run(f"DELETE FROM {table} WHERE account_id = $1", OTHER)  # noqa: S608
        await run("DELETE FROM wallets WHERE account_id = $1", OTHER)

    assert (await compared(store, kept)).findings == (
        Finding(ACCOUNT, 2, "it is missing, but the checkpoint has it"),
        Finding(OTHER, None, "it is gone, but the checkpoint has it"),
    )


async def test_an_account_without_transactions_matches_and_may_begin(store: Store) -> None:
    await open_books(store)
    kept = await checkpoint(store)
    assert (await compared(store, kept)).unchanged == 1

    await post(store, topup("1.00"))

    assert await compared(store, kept) == Comparison(0, (Growth(ACCOUNT, 0, 1),), (), ())


async def test_an_export_is_of_the_moment_at_which_its_transaction_began(store: Store, tmp_path: Path) -> None:
    await open_books(store, *[topup("1.00")] * 1500)
    file = tmp_path / "books.jsonl"
    heard: list[tuple[int, int]] = []
    async with store.read(NOW) as tx:
        taken = await take_checkpoint(tx)
        await post(store, charge("1.00"))
        await open_books(store, topup("1.00", OTHER), account_id=OTHER)
        made = await export_books(tx, file, progress=lambda done, of: heard.append((done, of)))

    assert (made.accounts, made.transactions, made.entries) == (1, 1500, 3000)
    assert heard == [(1000, 1500), (1500, 1500)]
    assert taken.accounts[0].seq == 1500
    command = [sys.executable, "-I", str(VERIFIER), str(file)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert done.returncode == 0, done
