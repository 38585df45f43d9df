"""Owns payments and payment methods: what a provider says of them; of a payment, in facts that only ever grow.

Providers tell things twice, late and in any order. So facts are merged, never replaced: of two statuses the
later stage counts, and of two amounts the larger one. Whatever order they come in, the same is known in the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

PaymentStatus = Literal["created", "requires_action", "processing", "failed", "succeeded"]
"""How far a payment has come; what has come further never goes back. One that was canceled has failed."""

_STAGES: dict[PaymentStatus, int] = {"created": 0, "requires_action": 1, "processing": 2, "failed": 3, "succeeded": 4}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a payment: how far it came, and what moved, in micros of its currency.

    Each amount is a sum since the payment began: received from the customer, refunded by us, withdrawn by the
    customer's bank (a dispute, a returned debit), and reinstated (a dispute that was won). `failure_code` is the
    provider's, and `action_url` where the customer has to authenticate.
    """

    status: PaymentStatus
    received_micros: int = 0
    refunded_micros: int = 0
    withdrawn_micros: int = 0
    reinstated_micros: int = 0
    failure_code: str | None = None
    action_url: str | None = None

    def merged(self, other: Facts) -> Facts:
        """All that both know; of two that have come equally far it does not matter who is asked."""
        ahead = max(self, other, key=_how_far)
        return replace(
            ahead,
            received_micros=max(self.received_micros, other.received_micros),
            refunded_micros=max(self.refunded_micros, other.refunded_micros),
            withdrawn_micros=max(self.withdrawn_micros, other.withdrawn_micros),
            reinstated_micros=max(self.reinstated_micros, other.reinstated_micros),
        )

    @property
    def kept_micros(self) -> int:
        """What of the received money is still ours."""
        return self.received_micros - self.refunded_micros - self.withdrawn_micros + self.reinstated_micros


def _how_far(facts: Facts) -> tuple[int, tuple[bool, str], tuple[bool, str]]:
    code, url = facts.failure_code, facts.action_url
    return _STAGES[facts.status], (code is not None, code or ""), (url is not None, url or "")


MethodType = Literal["card", "sepa_debit"]
MethodStatus = Literal["pending", "requires_action", "active", "failed", "removed"]
"""Asked for; waiting for the customer at `setup_url`; can be charged; will never be; was, and is no more."""
MandateStatus = Literal["pending", "active", "inactive"]


@dataclass(frozen=True, slots=True)
class Method:
    """A stored payment method, as the provider knows it. No number of a card or bank account is ever in it.

    `reference` is the provider's id of it, None until there is one. `setup_id` is that of the set-up that makes it,
    and `setup_url` where the customer completes that.
    """

    status: MethodStatus
    type: MethodType
    reference: str | None = None
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    mandate: MandateStatus | None = None
    failure_code: str | None = None
    setup_id: str | None = None
    setup_url: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """A payment method of an account. `token` is what it was added by, until the provider has taken that."""

    account_id: str
    payment_method_id: str
    provider: str
    known: Method
    is_default: bool
    created_at: datetime
    changed_at: datetime
    token: str | None = None

    @property
    def name(self) -> str:
        """What people call it, such as `visa 4242`."""
        return " ".join(word for word in (self.known.brand or self.known.type, self.known.last4) if word)
