"""Owns which invoice a ledger transaction is on: by the rules by which a period is closed."""

from __future__ import annotations

from collections.abc import Sequence

from billing_mcp.domain.ledger import REVENUE, LedgerTransaction
from billing_mcp.store.invoices import Issued


class Invoiced:
    """The invoices and credit notes of one account, oldest first."""

    def __init__(self, issued: Sequence[Issued]) -> None:
        self._posted_with = {each.posting_seq: each.number for each in issued if each.posting_seq is not None}
        self._invoices = [each for each in issued if each.kind == "invoice"]

    def number_of(self, transaction: LedgerTransaction) -> str | None:
        """The number of its invoice or credit note; None if it is on none, or on none yet.

        It is on the one that it was posted with, or else, if it moved revenue, on the invoice of its day's period:
        unless that was closed before it was posted, then on the next.
        """
        if transaction.seq in self._posted_with:
            return self._posted_with[transaction.seq]
        if not any(entry.ledger_account == REVENUE for entry in transaction.entries):
            return None
        day, late = transaction.created_at.date(), False
        for each in self._invoices:
            if day < each.period_end and (late or each.period_start <= day):
                if each.posting_seq is None or transaction.seq < each.posting_seq:
                    return each.number
                late = True
        return None
