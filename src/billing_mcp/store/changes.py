"""Owns the record of what a transaction has changed, from which effects are computed."""

from __future__ import annotations

from dataclasses import dataclass, field


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


@dataclass(slots=True)
class ChangeLog:
    """The changes of a transaction in order; rewound together with a savepoint."""

    changes: list[WalletChange | SettingChange] = field(default_factory=list)

    def add(self, change: WalletChange | SettingChange) -> None:
        """Record a change that was written."""
        self.changes.append(change)

    def mark(self) -> int:
        """A point to rewind to."""
        return len(self.changes)

    def rewind(self, mark: int) -> None:
        """Forget what came after the mark: the savepoint has undone it."""
        del self.changes[mark:]
