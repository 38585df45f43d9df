"""Owns reconciliation: what the ledger and a payment provider say of the same money, and where they differ.

The ledger is what is compared: what has been posted on `cash:<provider>` for each top-up. The top-up's own row must
say the same as the ledger, or that is the difference. Pure: both sides come in, differences come out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from billing_mcp.domain.ledger import TransactionType
from billing_mcp.domain.payments import Facts
from billing_mcp.domain.topups import TopUp

DifferenceKind = Literal[
    "missing_in_ledger", "missing_at_provider", "amount_differs", "status_differs", "currency_differs", "ledger_differs"
]
"""The provider received what no top-up has credited; a credit has no payment there; an amount is another one there; the
provider tells of something that nothing is booked of; the currency is another one; the top-up says otherwise than the
ledger."""
Fact = Literal["received", "refunded", "withdrawn", "reinstated"]
FACTS: tuple[Fact, ...] = get_args(Fact)

_MOVES: dict[TransactionType, tuple[Fact, int]] = {
    "topup": ("received", -1),
    "refund": ("refunded", 1),
    "reversal": ("withdrawn", 1),
    "adjustment": ("reinstated", -1),
}
"""What a type of transaction tells of a payment, and with which sign it stands on the provider's cash."""
_NAMED = re.compile(r"(?:Top-up|[A-Z][a-z ]+ of top-up) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}): ")
_TERMINAL = frozenset({"failed", "succeeded"})


@dataclass(frozen=True, slots=True)
class CashMovement:
    """A ledger transaction that moved money at a provider."""

    account_id: str
    transaction_id: str
    type: TransactionType
    description: str
    amount_micros: int
    currency: str
    created_at: datetime

    @property
    def topup_id(self) -> str | None:
        """The top-up that it says it is of, as `topups.learned` writes it; None for any other money."""
        found = _NAMED.match(self.description)
        return None if found is None else found[1]


@dataclass(frozen=True, slots=True)
class ProviderPayment:
    """A payment as the provider has it."""

    payment_id: str
    account_id: str | None
    topup_id: str | None
    currency: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: of which money, and what each side says of it. Amounts are micros of what the customer paid.

    `fact` is what is said otherwise: an amount, or the status. `ours` and `theirs` are what the ledger and the
    provider say of it; of ledger_differs `ours` is what the top-up says, and `theirs` what the ledger does.
    """

    kind: DifferenceKind
    account_id: str | None
    topup_id: str | None
    payment_id: str | None
    fact: Fact | Literal["status", "currency"]
    ours: int | str | None
    theirs: int | str | None
    transaction_id: str | None = None


def differences(
    topups: Iterable[TopUp], payments: Iterable[ProviderPayment], movements: Iterable[CashMovement]
) -> list[Difference]:
    """Every difference, in the order of payments and then of what has none.

    `topups` are all that any of the payments or movements may be of; a payment is matched by its id, and one that a
    top-up does not know yet by the top-up that it names.
    """
    ours = {each.topup_id: each for each in topups}
    by_payment = {each.payment_id: each for each in ours.values() if each.payment_id is not None}
    posted, strays = _posted(movements, ours)
    found: list[Difference] = []
    seen: set[str] = set()
    for payment in payments:
        topup = by_payment.get(payment.payment_id) or _named_by(payment, ours)
        if topup is None:
            found += _of_nobody(payment)
            continue
        seen.add(topup.topup_id)
        found += _of_pair(topup, payment, posted.get(topup.topup_id, {}))
    for topup in ours.values():
        if topup.topup_id not in seen:
            found += _without_payment(topup, posted.get(topup.topup_id, {}))
    return found + strays


def _posted(
    movements: Iterable[CashMovement], ours: Mapping[str, TopUp]
) -> tuple[dict[str, dict[Fact, int]], list[Difference]]:
    """What the ledger says of each top-up, and the money that is of none."""
    posted: dict[str, dict[Fact, int]] = {}
    strays: list[Difference] = []
    for each in movements:
        fact, sign = _MOVES.get(each.type, ("received", -1))
        micros = sign * each.amount_micros
        topup = ours.get(each.topup_id or "")
        if topup is None or each.type not in _MOVES or topup.account_id != each.account_id:
            of_what = each.account_id, each.topup_id, None
            strays.append(
                Difference("missing_at_provider", *of_what, fact, micros, None, transaction_id=each.transaction_id)
            )
            continue
        sums = posted.setdefault(topup.topup_id, {})
        sums[fact] = sums.get(fact, 0) + micros
    return posted, strays


def _named_by(payment: ProviderPayment, ours: Mapping[str, TopUp]) -> TopUp | None:
    topup = ours.get(payment.topup_id or "")
    if topup is None or topup.payment_id is not None or topup.account_id != payment.account_id:
        return None
    return topup


def _of_nobody(payment: ProviderPayment) -> Iterator[Difference]:
    """Money at the provider that is of no top-up of ours: what came and went again as well."""
    received = payment.facts.received_micros
    if received:
        named = payment.account_id, payment.topup_id, payment.payment_id
        yield Difference("missing_in_ledger", *named, "received", 0, received)


def _of_pair(topup: TopUp, payment: ProviderPayment, posted: Mapping[Fact, int]) -> Iterator[Difference]:
    named = topup.account_id, topup.topup_id, payment.payment_id
    if payment.currency != topup.currency:
        yield Difference("currency_differs", *named, "currency", topup.currency, payment.currency)
    agree = True
    for fact in FACTS:
        said, booked, told = _micros(topup.facts, fact), posted.get(fact, 0), _micros(payment.facts, fact)
        kind = _kind(fact, said, booked, told)
        if kind is not None:
            agree = False
            both = (said, booked) if kind == "ledger_differs" else (booked, told)
            yield Difference(kind, *named, fact, *both)
    status = payment.facts.status
    if agree and status in _TERMINAL and status != topup.facts.status:  # else an amount says it already
        yield Difference("status_differs", *named, "status", topup.facts.status, status)


def _kind(fact: Fact, said: int, booked: int, told: int) -> DifferenceKind | None:
    """What is wrong of an amount that the top-up, the ledger and the provider tell."""
    if fact == "received" and told and not booked:
        return "missing_in_ledger"
    if said != booked:
        return "ledger_differs"
    if booked == told:
        return None
    return "status_differs" if fact != "received" and not booked else "amount_differs"


def _without_payment(topup: TopUp, posted: Mapping[Fact, int]) -> Iterator[Difference]:
    named = topup.account_id, topup.topup_id, topup.payment_id
    for fact in FACTS:
        said, booked = _micros(topup.facts, fact), posted.get(fact, 0)
        if said != booked:
            yield Difference("ledger_differs", *named, fact, said, booked)
    if posted.get("received", 0):
        yield Difference(
            "missing_at_provider", *named, "received", posted["received"], None, transaction_id=topup.transaction_id
        )
    elif topup.payment_id is not None:
        yield Difference("status_differs", *named, "status", topup.facts.status, None)


def _micros(facts: Facts, fact: Fact) -> int:
    micros: int = getattr(facts, f"{fact}_micros")
    return micros
