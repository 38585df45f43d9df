"""Owns keys that the server has made for itself: they lie in the database, and never leave the process."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.store.message_tables import SecretRow
from billing_mcp.store.tables import table

_SECRETS = table(SecretRow)


class Secrets:
    """Keys, within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, name: str) -> bytes | None:
        """A key by its name; None when somebody has taken it away."""
        statement = select(_SECRETS.c.value).where(_SECRETS.c.name == name)
        value: str | None = (await self._connection.execute(statement)).scalar()
        return None if value is None else bytes.fromhex(value)

    async def get(self, name: str) -> bytes:
        """A key that nothing can be done without. Raises LookupError."""
        key = await self.find(name)
        if key is None:
            raise LookupError(f"the key {name} is not in the database")
        return key
