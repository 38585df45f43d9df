"""Owns which accounts the seller's books have, and what must be in them by what we say, not by what is exported.

A customer's wallet has running balances: what was moved after a day is taken off them. The other accounts have none
but the sums of their entries, which the database adds up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date

from billing_mcp.domain.errors import Refused
from billing_mcp.domain.ledger import (
    AVAILABLE,
    CREDITS,
    RECEIVABLE,
    RESERVED,
    REVENUE,
    ROUNDING,
    TAX,
    Wallet,
    is_ledger_account,
)
from billing_mcp.exports.names import provider_part
from billing_mcp.store.spans import Movements, Of

EQUITY = "Equity:Opening-Balances"
VERIFY = "Run: billing-mcp audit verify"
"""What to do about books that cannot be written down."""
_OF_CUSTOMER = {
    AVAILABLE: "Liabilities:Customers:{}:Available",
    RESERVED: "Liabilities:Customers:{}:Reserved",
    RECEIVABLE: "Assets:Receivable:{}",
}
_OF_SELLER = {
    REVENUE: "Income:Revenue",
    ROUNDING: "Income:Rounding",
    CREDITS: "Expenses:Credits",
    TAX: "Liabilities:VAT",
}
_OF_THE_TIME = frozenset({REVENUE, ROUNDING, CREDITS})
"""Income and expenses begin at zero: what they were before the time that is exported is in the opening balances."""


@dataclass(frozen=True, slots=True)
class Position:
    """An account in one currency: what it had as the books begin and what as they end, in the ledger's signs.

    `opening_micros` is the sum of the entries before; `begins_micros` is what we say that this must be.
    """

    account: str
    currency: str
    opening_micros: int
    begins_micros: int
    ends_micros: int


def account_of(ledger_account: str, part: str) -> str:
    """The account that an entry of a customer is on; `part` is the customer's in account names.

    Raises Refused with code `books_not_sound` for what is no ledger account.
    """
    if ledger_account in _OF_CUSTOMER:
        return _OF_CUSTOMER[ledger_account].format(part)
    if ledger_account in _OF_SELLER:
        return _OF_SELLER[ledger_account]
    if is_ledger_account(ledger_account):
        return f"Assets:Cash:{provider_part(ledger_account.partition(':')[2])}"
    raise Refused(f"{ascii(ledger_account)[:80]} is no ledger account", code="books_not_sound", hint=VERIFY)


def of_customer(wallet: Wallet, moved: Movements, part: str) -> list[Position]:
    """The accounts of a customer's own."""
    wallets = {
        (AVAILABLE, wallet.currency): wallet.available_micros,
        (RESERVED, wallet.currency): wallet.reserved_micros,
    }
    found = []
    for of in (*wallets, *sorted(each for each in moved.within if each[0] in _OF_CUSTOMER and each not in wallets)):
        ends = moved.before[of] + moved.within[of]
        if of in wallets:
            ends = wallets[of] - moved.after[of]
        found.append(Position(account_of(of[0], part), of[1], moved.before[of], ends - moved.within[of], ends))
    return found


class Seller:
    """The accounts that all customers share, added up, and the time in which any of them has something."""

    def __init__(self) -> None:
        self.opened: date | None = None
        self.end: date | None = None
        self._before: Counter[Of] = Counter()
        self._within: Counter[Of] = Counter()

    def add(self, moved: Movements, opened: date, end: date) -> None:
        """Add what the account of a customer moved, who has accounts in the books from one day to another."""
        self.opened, self.end = min(self.opened or opened, opened), max(self.end or end, end)
        self._before.update(moved.before)
        self._within.update(moved.within)

    def positions(self) -> list[Position]:
        """Each account of them."""
        return [self._position(of) for of in sorted(self._within) if of[0] not in _OF_CUSTOMER]

    def _position(self, of: Of) -> Position:
        before = 0 if of[0] in _OF_THE_TIME else self._before[of]
        return Position(account_of(of[0], ""), of[1], before, before, before + self._within[of])

    @property
    def opening_currencies(self) -> list[str]:
        """In which there is something to open the books with."""
        return sorted({currency for (_, currency), micros in self._before.items() if micros})
