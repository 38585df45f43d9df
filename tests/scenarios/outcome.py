"""What has come out of a scenario, as text: the ledger, the invoices, and where the account stands.

Ids are long, and say nothing: each is written as #1, #2 and so on, in the order in which they are met.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby

from billing_mcp.domain.invoices import Invoice, line_amount
from billing_mcp.domain.ledger import LedgerTransaction, LineItem
from billing_mcp.domain.money import format_micros as money
from billing_mcp.domain.plans import ADJUSTMENT
from billing_mcp.domain.tax import percent
from tests.stage import Stage

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_MANY = 1000


async def outcome_of(stage: Stage, account_id: str) -> str:
    """The lower half of a scenario's text."""
    async with stage.store.read(stage.clock()) as tx:
        ledger = [each async for each in tx.ledger.history(account_id)]
        invoices, _ = await tx.invoices.page(account_id, page=1, page_size=_MANY)
        account = await tx.accounts.get(account_id)
        wallet = await tx.ledger.wallet(account_id)
        owed = -await tx.ledger.receivable_micros(account_id)
    lines = ["LEDGER", *_ledger(ledger)]
    for invoice in reversed(invoices):
        lines += ["", *_invoice(invoice)]
    plan = await stage.must("current_plan.get", account_id)
    lines += [
        "",
        f"ON {_at(stage.clock())}",
        f"  wallet: available {money(wallet.available_micros)}, reserved {money(wallet.reserved_micros)}",
        f"  owed: {money(owed)}",
        f"  account: {account.status}; plan: {plan['plan_id'] or 'none'}, {plan['status']}",
    ]
    return _shortened("\n".join(lines) + "\n")


def _ledger(ledger: list[LedgerTransaction]) -> Iterator[str]:
    """Each transaction; those that are alike but for ids, one after the other, are told once."""
    for _, alike in groupby(ledger, key=lambda each: _ID.sub("", "\n".join(_transaction(each, 1)))):
        some = list(alike)
        yield from _transaction(some[0], len(some))


def _transaction(transaction: LedgerTransaction, times: int) -> Iterator[str]:
    often = f", {times} times" if times > 1 else ""
    yield f"{_at(transaction.created_at)} {transaction.type}{often}: {transaction.description}"
    legs = [f"{entry.ledger_account} {money(entry.amount_micros)}" for entry in transaction.entries]
    yield f"  {' | '.join(legs)}"
    for line in transaction.line_items:
        if line.source == ADJUSTMENT:
            yield f"  with the line: {line.description} {money(line.amount_micros)}"


def _invoice(invoice: Invoice) -> Iterator[str]:
    facts, name = invoice.facts, invoice.kind.replace("_", " ").upper()
    days = f"{invoice.period_start} to {invoice.period_end}"
    yield f"{name} {invoice.number} for {days}, issued {_at(invoice.issued_at)}"
    if facts.corrects_number is not None:
        yield f"  corrects {facts.corrects_number}: {facts.reason}"
    if facts.customer.vat_id is not None:
        yield f"  VAT ids: seller {facts.seller.vat_id}, customer {facts.customer.vat_id}"
    for number, line in enumerate(invoice.lines, start=1):
        yield from _line(number, line)
    rate = f"VAT {percent(facts.tax.rate_basis_points)} %" if facts.tax.rate_basis_points else "VAT"
    totals = (("net", invoice.amount_micros), ("credits", invoice.credits_micros), (rate, invoice.tax_micros))
    shown = [f"{name} {money(micros)}" for name, micros in (*totals, ("total", invoice.gross_micros))]
    yield f"  {' | '.join(shown)}"
    yield f"  settled {money(invoice.settled_micros)} | due {money(invoice.due_micros)} | {invoice.status}"
    yield f"  {facts.tax.note}"


def _line(number: int, line: LineItem) -> Iterator[str]:
    """What was used when, and `quantity unit x price = exact amount, in cents: amount`."""
    days = f" ({line.period_start} to {line.period_end})" if line.period_start else ""
    yield f"  {number}. {line.description}{days}"
    facts = line.metadata or {}
    part = ""
    if line.unit in ("month", "year") or line.source == "component_count":
        days, whole = facts["days"], facts["days_in_period"]
        part = f" x {days}/{whole}" if days != whole else ""
    price = money(line.unit_price_micros)
    exact, cents = money(line.amount_micros), money(line_amount(line))
    yield f"     {line.quantity} {line.unit.replace('_', ' ')} x {price}{part} = {exact}, in cents: {cents}"


def _at(moment: datetime) -> str:
    """The day, and the time where it is not midnight."""
    midnight = (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)
    return moment.date().isoformat() if midnight else moment.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")


def _shortened(text: str) -> str:
    names: dict[str, str] = {}
    return _ID.sub(lambda found: names.setdefault(found[0], f"#{len(names) + 1}"), text)
