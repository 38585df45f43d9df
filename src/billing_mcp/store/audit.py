"""Owns the audit: every chain, sum and balance of the books, recomputed from what is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from billing_mcp.domain.ledger import (
    AVAILABLE,
    GENESIS_HASH,
    RESERVED,
    LedgerTransaction,
    Wallet,
    chain_hash,
    sums_by_currency,
)
from billing_mcp.domain.money import format_micros
from billing_mcp.store.store import Transaction


@dataclass(frozen=True, slots=True)
class Finding:
    """The first row of an account's books that is wrong, and why. `seq` None is the wallet row."""

    account_id: str
    seq: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """How much was verified, and what was found: at most one finding for each account."""

    accounts: int
    transactions: int
    entries: int
    findings: tuple[Finding, ...]


async def verify_books(tx: Transaction, *, progress: Callable[[int, int], None] | None = None) -> AuditReport:
    """Verify every account. `progress` hears how many accounts are done, of how many.

    Linear in the number of entries; memory does not grow with it.
    """
    accounts = await tx.accounts.all()
    findings: list[Finding] = []
    transactions = entries = 0
    for done, account in enumerate(accounts, start=1):
        books = _Books(account.account_id)
        async for transaction in tx.ledger.history(account.account_id):
            transactions += 1
            entries += len(transaction.entries)
            if books.finding is None:
                books.verify(transaction)
        books.verify_wallet(await tx.ledger.wallet(account.account_id))
        if books.finding is not None:
            findings.append(books.finding)
        if progress is not None:
            progress(done, len(accounts))
    return AuditReport(len(accounts), transactions, entries, tuple(findings))


class _Books:
    """Re-adds one account from its first transaction on."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._available = self._reserved = self._seq = self._txn_seq = 0
        self._hash = GENESIS_HASH
        self.finding: Finding | None = None

    def verify(self, transaction: LedgerTransaction) -> None:
        """Check one transaction against everything before it."""
        self._seq += 1
        legs = dict.fromkeys((AVAILABLE, RESERVED), 0)
        for entry in transaction.entries:
            if entry.ledger_account in legs:
                legs[entry.ledger_account] += entry.amount_micros
        self._available += legs[AVAILABLE]
        self._reserved += legs[RESERVED]
        moved = legs[AVAILABLE] + legs[RESERVED]
        self._txn_seq += 1 if moved else 0
        unbalanced = {c: format_micros(total) for c, total in sums_by_currency(transaction.entries).items() if total}
        after = (transaction.available_after_micros, transaction.reserved_after_micros)
        self._check(
            transaction.seq,
            (transaction.seq == self._seq, f"seq {self._seq} is missing"),
            (bool(transaction.entries), "it has no entries"),
            (not unbalanced, f"its entries do not sum to zero: {unbalanced}"),
            (transaction.txn_seq == (self._txn_seq if moved else None), "txn_seq is not the next one"),
            (after == (self._available, self._reserved), "the balances after it are not the sum of the entries"),
            (transaction.balance_after_micros == sum(after), "available and reserved are not its balance_after"),
            (transaction.previous_hash == self._hash, "its previous_hash is not the hash of the one before"),
            (transaction.hash == chain_hash(transaction), "its hash does not match what it says"),
        )
        self._hash = transaction.hash

    def verify_wallet(self, wallet: Wallet) -> None:
        """Check the wallet's running balances against the ledger's end."""
        self._check(
            None,
            (wallet.available_micros == self._available, "available is not the sum of the ledger"),
            (wallet.reserved_micros == self._reserved, "reserved is not the sum of the ledger"),
            (wallet.last_seq == self._seq, f"the ledger ends at seq {self._seq}, not {wallet.last_seq}"),
            (wallet.last_txn_seq == self._txn_seq, "last_txn_seq is not that of the ledger"),
            (wallet.head_hash == self._hash, "head_hash is not the hash of the last transaction"),
        )

    def _check(self, seq: int | None, *checks: tuple[bool, str]) -> None:
        for holds, problem in checks:
            if not holds and self.finding is None:
                self.finding = Finding(self._account_id, seq, problem)
