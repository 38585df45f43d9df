"""Owns the tables of the embedded test provider: its books, kept apart from ours. The rules are those of `tables.py`.

They stand for what a provider elsewhere would keep. Nothing else refers to them, nor they to anything else.
"""

from __future__ import annotations

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from billing_mcp.store.tables import big, long_text


class ProviderObjectRow(SQLModel, table=True):
    """A customer, method, set-up or payment at the test provider, and when the next thing happens to it.

    An object that is nobody's account is kept under the account ''.
    """

    __tablename__ = "provider_objects"
    __table_args__ = (
        Index("ix_provider_objects_id", "object_id"),
        Index("ix_provider_objects_created", "kind", "created_at_us"),
        Index(
            "ix_provider_objects_due",
            "due_at_us",
            sqlite_where=text("due_at_us IS NOT NULL"),
            postgresql_where=text("due_at_us IS NOT NULL"),
        ),
    )
    account_id: str = Field(primary_key=True)
    object_id: str = Field(primary_key=True)
    kind: str
    created_at_us: int = Field(sa_column=big())
    due_at_us: int | None = Field(sa_column=big(nullable=True))
    body_json: str = Field(sa_column=long_text())


class ProviderAnswerRow(SQLModel, table=True):
    """What the test provider answered under an idempotency key, and a digest of what it was asked."""

    __tablename__ = "provider_answers"
    account_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    asked_sha256: str
    answer_json: str = Field(sa_column=long_text())


class ProviderWebhookRow(SQLModel, table=True):
    """A webhook that the test provider has to deliver."""

    __tablename__ = "provider_webhooks"
    __table_args__ = (Index("ix_provider_webhooks_due", "due_at_us"),)
    account_id: str = Field(primary_key=True)
    delivery_id: str = Field(primary_key=True)
    due_at_us: int = Field(sa_column=big())
    body_json: str = Field(sa_column=long_text())
