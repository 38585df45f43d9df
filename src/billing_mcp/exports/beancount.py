"""Owns the ledger as Beancount: double-entry books of the seller, in which Beancount proves our balances.

What adds to the customer's money is owed to them, and Beancount writes what is owed negative. So each amount is the
ledger's with the other sign, on every account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta

from billing_mcp.domain.clock import iso
from billing_mcp.domain.ledger import LedgerTransaction
from billing_mcp.domain.money import MICROS_PER_UNIT
from billing_mcp.exports.names import quoted
from billing_mcp.exports.positions import EQUITY, Position, account_of


def heading(title: str, currencies: Iterable[str], notes: Iterable[str]) -> str:
    """The first lines: what this is, and Beancount's options."""
    lines = [f";; {note}" for note in notes]
    lines += ["", f'option "title" {quoted(title)}']
    lines += [f'option "operating_currency" {quoted(currency)}' for currency in currencies]
    return "\n".join(lines) + "\n"


def opened(on: date, accounts: Iterable[tuple[str, str]], **metadata: str) -> str:
    """Accounts with their currencies, from a day on; the first has the metadata."""
    currencies: dict[str, list[str]] = {}
    for account, currency in accounts:
        currencies.setdefault(account, []).append(currency)
    more = [f"  {name}: {quoted(text)}\n" for name, text in metadata.items()]
    lines = [f"{on} open {account} {','.join(units)}\n" for account, units in currencies.items()]
    return "".join(["\n", *lines[:1], *more, *lines[1:]])


def opening(first: date, payee: str, positions: Iterable[Position]) -> str:
    """What positions had before the first day, if anything, and that Beancount is to find it."""
    legs, asserted = [], []
    equity: Counter[str] = Counter()
    for each in positions:
        asserted.append(_balance(first, each.account, each.begins_micros, each.currency))
        if each.opening_micros:
            legs.append(_leg(each.account, each.opening_micros, each.currency))
            equity[each.currency] -= each.opening_micros
    if legs:
        legs += [_leg(EQUITY, micros, currency) for currency, micros in equity.items() if micros]
        legs = [f'{first - timedelta(days=1)} * {quoted(payee)} "Opening balance"\n', *legs, "\n"]
    return "\n" + "".join(legs + asserted)


def closing(end: date, positions: Iterable[Position]) -> str:
    """That Beancount is to find what positions have as the day begins after the last one."""
    return "\n" + "".join([_balance(end, each.account, each.ends_micros, each.currency) for each in positions])


def entry(name: str, part: str, transaction: LedgerTransaction, invoice_number: str | None) -> str:
    """A ledger transaction of the customer of that name, with that `part` of account names."""
    lines = [f"\n{transaction.created_at.date()} * {quoted(name)} {quoted(transaction.description)}\n"]
    facts = {
        "id": quoted(transaction.transaction_id),
        "seq": str(transaction.seq),
        "type": quoted(transaction.type),
        "posted": quoted(iso(transaction.created_at)),
        "effective": _other_day(transaction),
        "hold": transaction.hold_id and quoted(transaction.hold_id),
        "invoice": invoice_number and quoted(invoice_number),
        "hash": quoted(transaction.hash),
    }
    lines += [f"  {fact}: {value}\n" for fact, value in facts.items() if value]
    for leg in transaction.entries:
        lines.append(_leg(account_of(leg.ledger_account, part), leg.amount_micros, leg.currency))
    return "".join(lines)


def _other_day(transaction: LedgerTransaction) -> str | None:
    day = transaction.effective_at.date()
    return None if day == transaction.created_at.date() else day.isoformat()


def _leg(account: str, ledger_micros: int, currency: str) -> str:
    return f"  {account}  {_exact(-ledger_micros)} {currency}\n"


def _balance(on: date, account: str, ledger_micros: int, currency: str) -> str:
    """Without the tolerance of zero Beancount would let a difference of a micro pass."""
    return f"{on} balance {account}  {_exact(-ledger_micros)} ~ 0 {currency}\n"


def _exact(amount_micros: int) -> str:
    """Always 6 decimals: Beancount takes fewer for leave to be less exact."""
    units, micros = divmod(abs(amount_micros), MICROS_PER_UNIT)
    return f"{'-' if amount_micros < 0 else ''}{units}.{micros:06d}"
