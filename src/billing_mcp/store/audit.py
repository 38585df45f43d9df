"""Owns the audit: every chain, sum and balance of the books, recomputed from what is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.holds import Hold
from billing_mcp.domain.ledger import (
    AVAILABLE,
    GENESIS_HASH,
    RESERVED,
    REVENUE,
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
    holds: int
    findings: tuple[Finding, ...]


_HOLDS_AT_A_TIME = 500


async def verify_books(tx: Transaction, *, progress: Callable[[int, int], None] | None = None) -> AuditReport:
    """Verify every account. `progress` hears how many accounts are done, of how many.

    Linear in the number of entries; memory grows with the open holds of one account, and with nothing else.
    """
    known = {account.account_id for account in await tx.accounts.all()}
    account_ids = sorted(known.union(await tx.ledger.account_ids(), await tx.holds.account_ids()))
    findings: list[Finding] = []
    transactions = entries = holds = 0
    for done, account_id in enumerate(account_ids, start=1):
        books = _Books(account_id)
        await _verify_account(tx, books)
        transactions += books.transactions
        entries += books.entries
        holds += books.holds.placed
        if books.finding is not None:
            findings.append(books.finding)
        if progress is not None:
            progress(done, len(account_ids))
    return AuditReport(len(account_ids), transactions, entries, holds, tuple(findings))


async def _verify_account(tx: Transaction, books: _Books) -> None:
    try:
        async for transaction in tx.ledger.history(books.account_id):
            books.verify(transaction)
            if len(books.holds.ended) >= _HOLDS_AT_A_TIME:
                await _verify_ended_holds(tx, books)
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
    await _verify_ended_holds(tx, books)
    await _verify_open_holds(tx, books)


async def _verify_ended_holds(tx: Transaction, books: _Books) -> None:
    ended, books.holds.ended = books.holds.ended, {}
    stored = await tx.holds.named(books.account_id, list(ended)) if ended else {}
    for hold_id, sums in ended.items():
        books.verify_hold(sums, stored.get(hold_id), hold_id)


async def _verify_open_holds(tx: Transaction, books: _Books) -> None:
    last = None
    open_ = books.holds.open
    while page := await tx.holds.older(books.account_id, than=last, status="open", limit=_HOLDS_AT_A_TIME):
        last = page[-1].hold_id
        for hold in page:
            books.verify_hold(open_.pop(hold.hold_id, None), hold, hold.hold_id)
    for hold_id, sums in open_.items():
        books.verify_hold(sums, None, hold_id)
    if await tx.holds.count(books.account_id) != books.holds.placed:
        books.note(None, "there are holds that the ledger does not know")


@dataclass(slots=True)
class _HoldSums:
    """What the ledger says of one hold."""

    amount: int = 0
    captured: int = 0
    released: int = 0
    reserved: int = 0


@dataclass(slots=True)
class _LedgerHolds:
    """What the ledger says of an account's holds: of all that are open, and of those that ended lately."""

    placed: int = 0
    open: dict[str, _HoldSums] = field(default_factory=dict)
    ended: dict[str, _HoldSums] = field(default_factory=dict)

    def add(self, hold_id: str, transaction: LedgerTransaction) -> None:
        """Add what a transaction did to its hold."""
        legs = dict.fromkeys((RESERVED, REVENUE), 0)
        for entry in transaction.entries:
            if entry.ledger_account in legs:
                legs[entry.ledger_account] += entry.amount_micros
        if transaction.type == "hold":
            self.placed += 1
            self.open[hold_id] = _HoldSums(amount=legs[RESERVED])
        sums = self.open.setdefault(hold_id, _HoldSums())
        sums.reserved += legs[RESERVED]
        sums.captured += legs[REVENUE]
        sums.released -= legs[RESERVED] if transaction.type == "release" else 0
        if not sums.reserved:
            self.ended[hold_id] = self.open.pop(hold_id)


class _Books:
    """Re-adds one account from its first transaction on."""

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self.transactions = self.entries = 0
        self.finding: Finding | None = None
        self._available = self._reserved = self._seq = self._txn_seq = 0
        self._currency: str | None = None
        self._hash = GENESIS_HASH
        self.holds = _LedgerHolds()

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
        if transaction.hold_id is not None:
            self.holds.add(transaction.hold_id, transaction)

    def verify_hold(self, ledger: _HoldSums | None, hold: Hold | None, hold_id: str) -> None:
        """Check a stored hold against what the ledger says of it."""
        if ledger is None or hold is None:
            self.note(None, f"hold {hold_id} is {'stored' if hold else 'in the ledger'} alone")
            return
        said = (ledger.amount, ledger.captured, ledger.released, ledger.reserved)
        remaining = hold.remaining_micros if hold.status == "open" else 0
        stored = (hold.amount_micros, hold.captured_micros, hold.released_micros, remaining)
        self._check(None, (stored == said, f"hold {hold_id} is not what the ledger says of it"))

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
