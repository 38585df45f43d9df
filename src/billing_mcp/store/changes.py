"""Owns the record of what a transaction has changed, from which effects are computed."""

from __future__ import annotations

from dataclasses import dataclass, field

from billing_mcp.domain.events import Event


@dataclass(frozen=True, slots=True)
class WalletChange:
    """How one posting moved a wallet."""

    account_id: str
    currency: str
    available_micros: int
    reserved_micros: int


@dataclass(frozen=True, slots=True)
class SettingChange:
    """How one write changed a setting, as texts a person can read."""

    account_id: str
    setting: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class PaymentChange:
    """What one top-up asks of a payment method: `amount_micros` in all, of which the wallet gets `credit_micros`.

    `method` is what people call it, such as `visa 4242`.
    """

    account_id: str
    payment_method_id: str
    method: str
    currency: str
    amount_micros: int
    credit_micros: int


Change = WalletChange | SettingChange | PaymentChange | Event


@dataclass(slots=True)
class ChangeLog:
    """The changes of a transaction in order; rewound together with a savepoint."""

    changes: list[Change] = field(default_factory=list)

    def add(self, change: Change) -> None:
        """Record a change that was written."""
        self.changes.append(change)

    @property
    def events(self) -> list[Event]:
        """What the world will hear of it."""
        return [change for change in self.changes if isinstance(change, Event)]

    def mark(self) -> int:
        """A point to rewind to."""
        return len(self.changes)

    def rewind(self, mark: int) -> None:
        """Forget what came after the mark: the savepoint has undone it."""
        del self.changes[mark:]
