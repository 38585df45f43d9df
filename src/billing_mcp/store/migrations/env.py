"""Runs migrations on the connection, and in the transaction, that `store.migrate` hands over."""

from alembic import context
from sqlmodel import SQLModel

from billing_mcp.store import tables  # noqa: F401

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
)
context.run_migrations()
