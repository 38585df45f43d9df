"""Owns top-ups: what becomes of one as its payment goes on, and what each step moves in the ledger.

The wallet is credited net of VAT; the customer pays gross. What a payment has moved is posted as the difference
between what was known and what is known now, so each cent is posted once, however often and in whatever order a
provider tells of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.ledger import AVAILABLE, TAX, Entry, Posting, TransactionType, cash
from billing_mcp.domain.money import MICROS_PER_CENT, MICROS_PER_UNIT, format_micros
from billing_mcp.domain.payments import Facts
from billing_mcp.domain.tax import tax_within

TopUpStatus = Literal[
    "pending", "processing", "requires_action", "succeeded", "failed", "unknown", "reversed", "refunded"
]
"""`unknown`: the provider did not answer in time, and is being asked. `reversed`: the customer's bank took it back."""
Origin = Literal["manual", "auto_reload"]

MIN_MICROS = 10 * MICROS_PER_UNIT
MAX_MICROS = 100_000 * MICROS_PER_UNIT
UNSETTLED: frozenset[TopUpStatus] = frozenset({"pending", "processing", "requires_action", "unknown"})
"""Those whose money may still come."""


NOTHING = Facts("created")
"""What is known of a payment before anybody was asked."""


@dataclass(frozen=True, slots=True)
class TopUp:
    """Money that is asked of a payment method. `facts` are what is known of the payment, and all posted already.

    `payment_id` is the provider's, from when it is registered there. `answered` is false while the provider was
    asked for the money and nobody knows what it did.
    """

    account_id: str
    topup_id: str
    payment_method_id: str
    provider: str
    origin: Origin
    currency: str
    net_micros: int
    tax_micros: int
    tax_rate_bp: int
    tax_treatment: str
    created_at: datetime
    changed_at: datetime
    facts: Facts = NOTHING
    payment_id: str | None = None
    answered: bool = True
    transaction_id: str | None = None

    @property
    def gross_micros(self) -> int:
        """What the customer pays."""
        return self.net_micros + self.tax_micros

    @property
    def status(self) -> TopUpStatus:
        """Where it stands."""
        known = self.facts
        if known.received_micros:
            if known.withdrawn_micros > known.reinstated_micros:
                return "reversed"
            return "succeeded" if known.kept_micros > 0 else "refunded"
        if known.status == "failed":
            return "failed"
        if not self.answered:
            return "unknown"
        return "pending" if known.status == "created" else _UNDER_WAY[known.status]

    def tax_on(self, gross_micros: int, *, kept_micros: int) -> int:
        """The tax in what comes, or goes (a negative amount), while so much of what the customer paid is ours."""
        after = tax_within(kept_micros + gross_micros, self.net_micros, self.tax_micros)
        return after - tax_within(kept_micros, self.net_micros, self.tax_micros)


RefundStatus = Literal["pending", "succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class Refund:
    """Money of a top-up that somebody asked to give back: `amount_micros` of what the customer paid, tax included."""

    account_id: str
    refund_id: str
    topup_id: str
    amount_micros: int
    created_at: datetime
    changed_at: datetime
    status: RefundStatus = "pending"
    failure_code: str | None = None


def refundable_micros(topup: TopUp, refunds: Iterable[Refund]) -> int:
    """What of a top-up can still be given back: what is kept of it, less what was asked for and is not done."""
    return max(0, topup.facts.kept_micros - asked_micros(refunds))


def asked_micros(refunds: Iterable[Refund]) -> int:
    """What was asked for and is not done."""
    return sum(each.amount_micros for each in refunds if each.status == "pending")


def checked_refund(topup: TopUp, refunds: Iterable[Refund], amount_micros: int | None) -> int:
    """How much to give back; None is all that is left. Raises InvalidArgument, and Refused: `not_refundable`."""
    left = refundable_micros(topup, refunds)
    wanted = left if amount_micros is None else amount_micros
    if amount_micros is not None and (wanted <= 0 or wanted % MICROS_PER_CENT):
        raise InvalidArgument(
            f"a refund is a positive amount in whole cents; got {format_micros(wanted)}",
            field="amount",
            hint='Write amount="10.00", or leave it out for all that is left.',
        )
    if not 0 < wanted <= left:
        raise Refused(
            f"of top-up {topup.topup_id}, which is {topup.status}, {format_micros(left)} {topup.currency} can be "
            f"refunded, tax included; asked for {format_micros(wanted)}",
            code="not_refundable",
            field="amount",
            hint="Only what a top-up has received can go back, less what went back and what was asked for already.",
        )
    return wanted


_UNDER_WAY: dict[str, TopUpStatus] = {
    "requires_action": "requires_action",
    "processing": "processing",
    "succeeded": "processing",  # the provider says so, and what it received is still to come
}


def check_amount(amount_micros: int, currency: str) -> None:
    """Raise InvalidArgument for what cannot be topped up: less than 10, more than 100,000, a part of a cent."""
    if MIN_MICROS <= amount_micros <= MAX_MICROS and amount_micros % MICROS_PER_CENT == 0:
        return
    raise InvalidArgument(
        f"a top-up is {format_micros(MIN_MICROS)} to {format_micros(MAX_MICROS)} {currency} in whole cents; "
        f"got {format_micros(amount_micros)}",
        field="amount",
        hint='Write amount="50.00". VAT is added to it.',
    )


def learned(topup: TopUp, facts: Facts, *, now: datetime) -> tuple[TopUp, tuple[Posting, ...]]:
    """The top-up with what is known now, and the postings of what that adds: none when it is nothing new."""
    known = topup.facts.merged(facts)
    after = replace(topup, facts=known, answered=topup.answered or _tells(facts), changed_at=now)
    if after == replace(topup, changed_at=now):
        return topup, ()
    before = topup.facts
    steps: tuple[tuple[TransactionType, str, int], ...] = (
        ("topup", "Top-up", known.received_micros - before.received_micros),
        ("refund", "Refund of top-up", before.refunded_micros - known.refunded_micros),
        ("reversal", "Reversal of top-up", before.withdrawn_micros - known.withdrawn_micros),
        ("adjustment", "Reversal taken back of top-up", known.reinstated_micros - before.reinstated_micros),
    )
    # What is ours is split into net and tax, and not what moves: so all parts together come to nothing or to the whole.
    postings, kept_micros = [], before.kept_micros
    for type_, what, gross_micros in steps:
        if gross_micros:
            tax_micros = topup.tax_on(gross_micros, kept_micros=kept_micros)
            postings.append(_posting(topup, type_, what, gross_micros, tax_micros, now=now))
            kept_micros += gross_micros
    return after, tuple(postings)


def _tells(facts: Facts) -> bool:
    """Whether it is an answer to a charge, and not only that there is a payment."""
    return facts.status != "created"


def _posting(
    topup: TopUp, type_: TransactionType, what: str, gross_micros: int, tax_micros: int, *, now: datetime
) -> Posting:
    net_micros = gross_micros - tax_micros
    legs = ((AVAILABLE, net_micros), (TAX, tax_micros), (cash(topup.provider), -gross_micros))
    entries = tuple(Entry(name, micros, topup.currency) for name, micros in legs if micros)
    vat = f" and {format_micros(abs(tax_micros))} VAT" if tax_micros else ""
    amount = f"{format_micros(abs(net_micros))} {topup.currency}{vat}"
    return Posting(
        account_id=topup.account_id,
        type=type_,
        description=f"{what} {topup.topup_id}: {amount} by {topup.provider}",
        entries=entries,
        effective_at=now,
        may_overdraw=gross_micros < 0,  # it has happened, whatever the wallet holds
    )
