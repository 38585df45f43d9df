"""Owns what a handler gets: the transaction, the frozen moment, the prices, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.document_links import Links
from billing_mcp.kernel.principal import Principal

if TYPE_CHECKING:  # what the functions are must be known long before a database is open
    from billing_mcp.store.store import Transaction


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a handler may use. It never commits, never looks at a clock or the network."""

    tx: Transaction
    principal: Principal
    catalog: Catalog
    execution_id: str
    links: Links | None = None
    """Where links to documents lead; None where nobody could follow one."""

    @property
    def now(self) -> datetime:
        """The moment of this execution, the same for every call in it."""
        return self.tx.now

    @property
    def today(self) -> date:
        """The UTC day of `now`."""
        return self.tx.now.date()
