"""Runs migrations on the connection, and in the transaction, that `store.migrate` hands over."""

from alembic import context

from billing_mcp.store.tables import AccountRow

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=AccountRow.metadata,
    render_as_batch=True,
)
context.run_migrations()
