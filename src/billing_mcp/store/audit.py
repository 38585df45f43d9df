"""Owns the audit: every chain, sum and balance of the books, recomputed from what is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from billing_mcp.domain.errors import NotFound
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
    account_ids = sorted(
        {account.account_id for account in await tx.accounts.all()} | set(await tx.ledger.account_ids())
    )
    findings: list[Finding] = []
    transactions = entries = 0
    for done, account_id in enumerate(account_ids, start=1):
        books = _Books(account_id)
        await _verify_account(tx, books)
        transactions += books.transactions
        entries += books.entries
        if books.finding is not None:
            findings.append(books.finding)
        if progress is not None:
            progress(done, len(account_ids))
    return AuditReport(len(account_ids), transactions, entries, tuple(findings))


async def _verify_account(tx: Transaction, books: _Books) -> None:
    try:
        async for transaction in tx.ledger.history(books.account_id):
            books.verify(transaction)
    except (ValueError, TypeError, OverflowError):
        books.note(books.transactions + 1, "it cannot be read")
        return
    try:
        await tx.accounts.get(books.account_id)
        books.verify_wallet(await tx.ledger.wallet(books.account_id))
    except NotFound:
        books.note(None, "the account or its wallet is missing")
    if await tx.ledger.count_entries(books.account_id) != books.entries:
        books.note(None, "the ledger has entries without a transaction")


class _Books:
    """Re-adds one account from its first transaction on."""

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self.transactions = self.entries = 0
        self.finding: Finding | None = None
        self._available = self._reserved = self._seq = self._txn_seq = 0
        self._currency: str | None = None
        self._hash = GENESIS_HASH

    def verify(self, transaction: LedgerTransaction) -> None:
        """Check one transaction against everything before it."""
        self.transactions += 1
        self.entries += len(transaction.entries)
        self._seq += 1
        self._currency = self._currency or transaction.currency
        legs = dict.fromkeys((AVAILABLE, RESERVED), 0)
        for entry in transaction.entries:
            if entry.ledger_account in legs:
                legs[entry.ledger_account] += entry.amount_micros
        self._available += legs[AVAILABLE]
        self._reserved += legs[RESERVED]
        moved = legs[AVAILABLE] + legs[RESERVED]
        shown = moved or legs[AVAILABLE]
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
            (transaction.amount_micros == abs(shown), "its amount is not that of its entries"),
            (transaction.direction == ("credit" if shown > 0 else "debit"), "its direction is not that of its entries"),
            (transaction.currency == self._currency, "its currency is not that of the ones before"),
        )
        self._hash = transaction.hash

    def verify_wallet(self, wallet: Wallet) -> None:
        """Check the wallet's running balances against the ledger's end."""
        self._check(
            None,
            (self._currency in (None, wallet.currency), "its currency is not that of the ledger"),
            (wallet.available_micros == self._available, "available is not the sum of the ledger"),
            (wallet.reserved_micros == self._reserved, "reserved is not the sum of the ledger"),
            (wallet.last_seq == self._seq, f"the ledger ends at seq {self._seq}, not {wallet.last_seq}"),
            (wallet.last_txn_seq == self._txn_seq, "last_txn_seq is not that of the ledger"),
            (wallet.head_hash == self._hash, "head_hash is not the hash of the last transaction"),
        )

    def _check(self, seq: int | None, *checks: tuple[bool, str]) -> None:
        for holds, problem in checks:
            if not holds:
                self.note(seq, problem)

    def note(self, seq: int | None, problem: str) -> None:
        """Keep what is wrong first."""
        if self.finding is None:
            self.finding = Finding(self.account_id, seq, problem)
