"""Owns who is calling: a principal, and what it is granted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing_mcp.domain.errors import InvalidArgument


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
    default_account_id: str | None = None

    def may_know(self, account_id: str) -> bool:
        """Whether the account exists as far as this principal can tell."""
        return self.account_ids is None or account_id in self.account_ids

    def own_account_id(self) -> str:
        """The account that is meant where none is named. Raises InvalidArgument where that could be several."""
        if self.default_account_id is not None:
            return self.default_account_id
        if self.account_ids is not None and len(self.account_ids) == 1:
            return next(iter(self.account_ids))
        raise InvalidArgument(
            "this credential is for several accounts, and names none of them as its default",
            code="account_not_named",
            field="account_id",
            hint="Name it in the path, /v1/public/accounts/{account_id}/billing, or use a key with a default account.",
        )


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform itself, by a credential that no agent's can be: it opens accounts, holds money and makes keys."""

    principal_id: str
