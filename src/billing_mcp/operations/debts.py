"""Owns what accounts owe: how much, and that money which comes in pays it before anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from billing_mcp.domain.debts import invoice_paid, past_due, pay, settle
from billing_mcp.domain.ledger import RECEIVABLE
from billing_mcp.operations.credits import open_credits_micros

if TYPE_CHECKING:
    from billing_mcp.domain.ledger import LedgerTransaction, Wallet
    from billing_mcp.store.accounts import AccountRecord
    from billing_mcp.store.store import Transaction


async def collect_debt(tx: Transaction, account_id: str) -> int:
    """Let the customer's money pay what is owed, invoices oldest first. Returns how many micros were paid.

    The account must be locked. What is owed beyond its issued invoices is paid last, and is on none of them yet.
    """
    owed_micros = -await tx.ledger.receivable_micros(account_id)
    if owed_micros <= 0:
        return 0
    kept = await open_credits_micros(tx, account_id)
    posting = settle(await tx.ledger.wallet(account_id), owed_micros, credits_micros=kept, now=tx.now)
    if posting is None:
        return 0
    (charged,) = await tx.ledger.post([posting])
    for payment in pay(await tx.invoices.unpaid(account_id), charged.amount_micros):
        await tx.invoices.save_payment(payment.invoice, status=payment.status, paid_micros=payment.paid_micros)
        if payment.status == "paid":
            await tx.outbox.add(invoice_paid(payment.invoice))
    return charged.amount_micros


async def freeze(tx: Transaction, account: AccountRecord, charged: LedgerTransaction) -> None:
    """Freeze an account for what a charge has left unpaid, and tell the world. Its dunning begins by that."""
    await tx.accounts.set_status(account, "past_due")
    unpaid = -sum(each.amount_micros for each in charged.entries if each.ledger_account == RECEIVABLE)
    await tx.outbox.add(past_due(charged, unpaid))


async def owed_micros(tx: Transaction, wallet: Wallet) -> int:
    """All that an account owes: what its wallet could not give, and what was taken back of money it had spent."""
    return max(0, -wallet.available_micros) - await tx.ledger.receivable_micros(wallet.account_id)
