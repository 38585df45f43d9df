"""Owns the audit: every chain, sum and balance of the books, recomputed from what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.holds import Hold
from billing_mcp.domain.ledger import AVAILABLE, GENESIS_HASH, RESERVED, REVENUE, Wallet, hash_of
from billing_mcp.domain.money import format_micros
from billing_mcp.store.pages import Leg, facts_of
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
    """Verify every account. `progress` hears how many transactions are done, of how many.

    Linear in the number of entries; memory grows with the open holds of one account, and with nothing else.
    """
    account_ids = await all_account_ids(tx)
    expected = sum(seq for _, seq, _ in await tx.ledger.heads())
    findings: list[Finding] = []
    transactions = entries = holds = 0
    for account_id in account_ids:
        books = _Books(account_id)
        async for done in _verify_account(tx, books):
            if progress is not None:
                progress(transactions + done, max(transactions + done, expected))
        transactions += books.transactions
        entries += books.entries
        holds += books.holds.placed
        if books.finding is not None:
            findings.append(books.finding)
    return AuditReport(len(account_ids), transactions, entries, holds, tuple(findings))


async def all_account_ids(tx: Transaction) -> list[str]:
    """Every account that there is, or of which anything is in the books, in order."""
    known = {account.account_id for account in await tx.accounts.all()}
    return sorted(known.union(await tx.ledger.account_ids(), await tx.holds.account_ids()))


async def _verify_account(tx: Transaction, books: _Books) -> AsyncIterator[int]:
    """Yields how many of its transactions are done, time and again."""
    async for page in tx.ledger.pages(books.account_id):
        try:
            for row in page.transactions:
                books.verify(row, page.legs_of(row.seq))
        except (ValueError, TypeError, OverflowError):
            books.note(books.transactions, "it cannot be read")
            return
        await _verify_ended_holds(tx, books)
        yield books.transactions
    try:
        await tx.accounts.get(books.account_id)
        books.verify_wallet(await tx.ledger.wallet(books.account_id))
    except NotFound:
        books.note(None, "the account or its wallet is missing")
    if await tx.ledger.count_entries(books.account_id) != books.entries:
        books.note(None, "the ledger has entries without a transaction")
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
    books.verify_hold_count(await tx.holds.count(books.account_id))


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

    def add(self, hold_id: str, type_: str, *, reserved: int, revenue: int) -> None:
        """Add what a transaction did to its hold."""
        if type_ == "hold":
            self.placed += 1
            self.open[hold_id] = _HoldSums(amount=reserved)
        sums = self.open.get(hold_id)
        if sums is None:
            sums = self.open[hold_id] = _HoldSums()
        sums.reserved += reserved
        sums.captured += revenue
        if type_ == "release":
            sums.released -= reserved
        if not sums.reserved:
            self.ended[hold_id] = self.open.pop(hold_id)


class _Books:
    """Re-adds one account from its first transaction on."""

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self.transactions = self.entries = 0
        self.holds = _LedgerHolds()
        self._found: Finding | None = None
        self._found_in_holds: Finding | None = None
        self._available = self._reserved = self._txn_seq = 0
        self._currency: str | None = None
        self._hash = GENESIS_HASH

    @property
    def finding(self) -> Finding | None:
        """What is wrong first: holds come after the ledger and the wallet."""
        return self._found or self._found_in_holds

    def verify(self, row: Any, legs: Sequence[Leg]) -> None:
        """Check one stored transaction against everything before it."""
        self.transactions += 1
        self.entries += len(legs)
        available = reserved = revenue = total = 0
        currency = row.currency
        pure = True
        for name, amount, unit in legs:
            total += amount
            pure = pure and unit == currency
            if name == AVAILABLE:
                available += amount
            elif name == RESERVED:
                reserved += amount
            elif name == REVENUE:
                revenue += amount
        self._available += available
        self._reserved += reserved
        self._currency = self._currency or currency
        delta = available + reserved
        self._txn_seq += 1 if delta else 0
        if self._found is None:
            unbalanced = total if pure else _unbalanced(legs)
            problem = self._wrong_sums(row, legs, unbalanced, delta) or self._wrong_facts(row, legs, delta or available)
            if problem:
                self.note(row.seq, problem)
        self._hash = row.hash
        if row.hold_id is not None:
            self.holds.add(row.hold_id, row.type, reserved=reserved, revenue=revenue)

    def _wrong_sums(self, row: Any, legs: Sequence[Leg], unbalanced: object, delta: int) -> str | None:
        if row.seq != self.transactions:
            return f"seq {self.transactions} is missing"
        if not legs:
            return "it has no entries"
        if unbalanced:
            return f"its entries do not sum to zero: {_unbalanced(legs)}"
        if row.txn_seq != (self._txn_seq if delta else None):
            return "txn_seq is not the next one"
        if row.available_after_micros != self._available or row.reserved_after_micros != self._reserved:
            return "the balances after it are not the sum of the entries"
        if row.balance_after_micros != self._available + self._reserved:
            return "available and reserved are not its balance_after"
        return None

    def _wrong_facts(self, row: Any, legs: Sequence[Leg], shown: int) -> str | None:
        if row.previous_hash != self._hash:
            return "its previous_hash is not the hash of the one before"
        if row.hash != hash_of(row.previous_hash, facts_of(self.account_id, row, legs)):
            return "its hash does not match what it says"
        if row.amount_micros != abs(shown):
            return "its amount is not that of its entries"
        if row.direction != ("credit" if shown > 0 else "debit"):
            return "its direction is not that of its entries"
        if row.currency != self._currency:
            return "its currency is not that of the ones before"
        return None

    def verify_hold(self, ledger: _HoldSums | None, hold: Hold | None, hold_id: str) -> None:
        """Check a stored hold against what the ledger says of it."""
        if ledger is None or hold is None:
            self._note_hold(f"hold {hold_id} is {'stored' if hold else 'in the ledger'} alone")
            return
        said = (ledger.amount, ledger.captured, ledger.released, ledger.reserved)
        remaining = hold.remaining_micros if hold.status == "open" else 0
        stored = (hold.amount_micros, hold.captured_micros, hold.released_micros, remaining)
        if stored != said:
            self._note_hold(f"hold {hold_id} is not what the ledger says of it")

    def verify_wallet(self, wallet: Wallet) -> None:
        """Check the wallet's running balances against the ledger's end."""
        ends = self.transactions
        for holds, problem in (
            (self._currency in (None, wallet.currency), "its currency is not that of the ledger"),
            (wallet.available_micros == self._available, "available is not the sum of the ledger"),
            (wallet.reserved_micros == self._reserved, "reserved is not the sum of the ledger"),
            (wallet.last_seq == ends, f"the ledger ends at seq {ends}, not {wallet.last_seq}"),
            (wallet.last_txn_seq == self._txn_seq, "last_txn_seq is not that of the ledger"),
            (wallet.head_hash == self._hash, "head_hash is not the hash of the last transaction"),
        ):
            if not holds:
                self.note(None, problem)

    def verify_hold_count(self, stored: int) -> None:
        """Check how many holds are stored against how many the ledger has placed."""
        if stored != self.holds.placed:
            self._note_hold("there are holds that the ledger does not know")

    def note(self, seq: int | None, problem: str) -> None:
        """Keep what is wrong first."""
        if self._found is None:
            self._found = Finding(self.account_id, seq, problem)

    def _note_hold(self, problem: str) -> None:
        if self._found_in_holds is None:
            self._found_in_holds = Finding(self.account_id, None, problem)


def _unbalanced(legs: Sequence[Leg]) -> dict[str, str]:
    sums: dict[str, int] = {}
    for _, amount, currency in legs:
        sums[currency] = sums.get(currency, 0) + amount
    return {currency: format_micros(total) for currency, total in sums.items() if total}
