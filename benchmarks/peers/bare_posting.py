"""Holds in bare sqlite3: the same rows, keys and chain as billing-mcp's, by a plain loop with batches.

Nothing is general here: one kind of row, one currency, texts that need no escaping. What billing-mcp
takes more is the price of callers that wait each for itself, of refusals, and of being read.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from billing_mcp.domain.ids import ledger_id

LIFE_US = 7 * 86_400 * 1_000_000
Order = tuple[str, int, str, str]
"""Account, micros, reference, and the caller's key."""


class BareWallets:
    """One connection that is alone."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "cache_size=-65536", "wal_autocheckpoint=8000"):
            self._db.execute(f"PRAGMA {pragma}")

    def close(self) -> None:
        """Give the connection back."""
        self._db.close()

    def place(self, orders: Sequence[Order]) -> list[str]:
        """Place holds in one transaction; returns their ids."""
        execute = self._db.execute
        now = datetime.now(UTC)
        now_us, shown = int(now.timestamp() * 1_000_000), now.isoformat().replace("+00:00", "Z")
        execute("BEGIN IMMEDIATE")
        wallets = self._wallets({order[0] for order in orders})
        read_seq = {account_id: wallet[2] for account_id, wallet in wallets.items()}
        keys = [(account_id, sha256(key.encode()).hexdigest()[:32]) for account_id, _, _, key in orders]
        used = execute(
            "SELECT k.account_id, k.key_hash FROM json_each(?) j CROSS JOIN posting_keys k "
            "ON k.account_id = json_extract(j.value, '$[0]') AND k.key_hash = json_extract(j.value, '$[1]')",
            (json.dumps(keys),),
        ).fetchall()
        if used:
            raise RuntimeError("a key is used already")
        transactions, entries, holds, new_keys, ids = [], [], [], [], []
        for (account_id, amount, reference, _), (_, key_hash) in zip(orders, keys, strict=True):
            available, reserved, seq, txn_seq, head = wallets[account_id]
            if available < amount:
                raise RuntimeError("not enough")
            available, reserved, seq = available - amount, reserved + amount, seq + 1
            hold_id = ledger_id(now, account_id, seq)
            facts = (
                f'{head}\n{{"account_id":"{account_id}","amount_micros":{amount},"available_after_micros":{available},'
                f'"balance_after_micros":{available + reserved},"created_at":"{shown}","currency":"EUR",'
                f'"description":"Hold for {reference}","direction":"debit","effective_at":"{shown}",'
                f'"entries":[["available",{-amount},"EUR"],["reserved",{amount},"EUR"]],"hold_id":"{hold_id}",'
                f'"line_items":"[]","reserved_after_micros":{reserved},"seq":{seq},"status":"posted",'
                f'"transaction_id":"{hold_id}","txn_seq":null,"type":"hold","version":2}}'
            )
            sealed = sha256(facts.encode()).hexdigest()
            wallets[account_id] = (available, reserved, seq, txn_seq, sealed)
            transactions.append(
                (account_id, seq, None, hold_id, "hold", "debit", amount, "EUR", "posted", f"Hold for {reference}",
                 now_us, now_us, available + reserved, available, reserved, "[]", head, sealed, hold_id)
            )  # fmt: skip
            entries.append((account_id, seq, 1, "available", -amount, "EUR"))
            entries.append((account_id, seq, 2, "reserved", amount, "EUR"))
            holds.append((account_id, hold_id, reference, amount, 0, 0, "open", now_us + LIFE_US, now_us, None))
            receipt = (
                f'[["{hold_id}"],"EUR",{available},{reserved},["{hold_id}","{reference}",{amount},0,0,"open",1,1]]'
            )
            new_keys.append((account_id, key_hash, key_hash, receipt, now_us))
            ids.append(hold_id)
        self._insert("ledger_transactions", transactions)
        self._insert("ledger_entries", entries)
        self._insert("holds", holds)
        self._insert("posting_keys", new_keys)
        self._keep(wallets, read_seq)
        execute("COMMIT")
        return ids

    def capture(self, account_id: str, hold_id: str, key: str) -> None:
        """Charge all of a hold in one transaction."""
        execute = self._db.execute
        now = datetime.now(UTC)
        now_us, shown = int(now.timestamp() * 1_000_000), now.isoformat().replace("+00:00", "Z")
        execute("BEGIN IMMEDIATE")
        wallets = self._wallets({account_id})
        available, reserved, seq, txn_seq, head = wallets[account_id]
        key_hash = sha256(key.encode()).hexdigest()[:32]
        if execute(
            "SELECT 1 FROM posting_keys WHERE account_id = ? AND key_hash = ?", (account_id, key_hash)
        ).fetchall():
            raise RuntimeError("a key is used already")
        ((amount, reference),) = execute(
            "SELECT amount_micros, reference FROM holds WHERE account_id = ? AND hold_id = ? AND status = 'open'",
            (account_id, hold_id),
        ).fetchall()
        reserved, seq, txn_seq = reserved - amount, seq + 1, txn_seq + 1
        charge_id = ledger_id(now, account_id, seq)
        facts = (
            f'{head}\n{{"account_id":"{account_id}","amount_micros":{amount},"available_after_micros":{available},'
            f'"balance_after_micros":{available + reserved},"created_at":"{shown}","currency":"EUR",'
            f'"description":"Charge for {reference}","direction":"debit","effective_at":"{shown}",'
            f'"entries":[["reserved",{-amount},"EUR"],["revenue",{amount},"EUR"]],"hold_id":"{hold_id}",'
            f'"line_items":"[]","reserved_after_micros":{reserved},"seq":{seq},"status":"posted",'
            f'"transaction_id":"{charge_id}","txn_seq":{txn_seq},"type":"charge","version":2}}'
        )
        sealed = sha256(facts.encode()).hexdigest()
        self._insert("ledger_transactions", [
            (account_id, seq, txn_seq, charge_id, "charge", "debit", amount, "EUR", "posted", f"Charge for {reference}",
             now_us, now_us, available + reserved, available, reserved, "[]", head, sealed, hold_id)
        ])  # fmt: skip
        legs = [(account_id, seq, 1, "reserved", -amount, "EUR"), (account_id, seq, 2, "revenue", amount, "EUR")]
        self._insert("ledger_entries", legs)
        execute(
            "UPDATE holds SET captured_micros = ?, status = 'captured', closed_at_us = ? "
            "WHERE account_id = ? AND hold_id = ? AND status = 'open'",
            (amount, now_us, account_id, hold_id),
        )
        receipt = (
            f'[["{charge_id}"],"EUR",{available},{reserved},["{hold_id}","{reference}",{amount},0,0,"captured",1,1]]'
        )
        self._insert("posting_keys", [(account_id, key_hash, key_hash, receipt, now_us)])
        self._keep({account_id: (available, reserved, seq, txn_seq, sealed)}, {account_id: seq - 1})
        execute("COMMIT")

    def _wallets(self, account_ids: set[str]) -> dict[str, tuple[int, int, int, int, str]]:
        found = self._db.execute(
            "SELECT w.account_id, available_micros, reserved_micros, last_seq, last_txn_seq, head_hash "
            "FROM json_each(?) j CROSS JOIN wallets w ON w.account_id = j.value "
            "CROSS JOIN accounts a ON a.account_id = w.account_id AND a.status = 'active'",
            (json.dumps(sorted(account_ids)),),
        )
        return {row[0]: row[1:] for row in found}

    def _keep(self, wallets: dict[str, tuple[int, int, int, int, str]], read_seq: dict[str, int]) -> None:
        self._db.executemany(
            "UPDATE wallets SET available_micros = ?, reserved_micros = ?, last_seq = ?, last_txn_seq = ?, "
            "head_hash = ? WHERE account_id = ? AND last_seq = ?",
            [(*wallet, account_id, read_seq[account_id]) for account_id, wallet in wallets.items()],
        )

    def _insert(self, table: str, rows: Sequence[tuple[object, ...]]) -> None:
        marks = ", ".join("?" for _ in rows[0])
        self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608


def place_in_batches(wallets: BareWallets, orders: Sequence[Order], size: int) -> float:
    """Place all, `size` in each transaction. Returns how many a second."""
    started = time.perf_counter()
    for first in range(0, len(orders), size):
        wallets.place(orders[first : first + size])
    return len(orders) / (time.perf_counter() - started)
