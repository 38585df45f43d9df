"""Owns who is calling: a principal, and what it is granted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Permission(StrEnum):
    """What a principal may do with the accounts it is granted."""

    VIEW = "billing.view"
    MANAGE = "billing.manage"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling. `account_ids` None grants every account of the database."""

    principal_id: str
    permissions: frozenset[Permission]
    account_ids: frozenset[str] | None = None
    read_only: bool = False
    expires_at: datetime | None = None

    def may_know(self, account_id: str) -> bool:
        """Whether the account exists as far as this principal can tell."""
        return self.account_ids is None or account_id in self.account_ids
