"""Owns the tables of webhooks: where accounts hear of events, and how it went. The rules are those of `tables.py`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from billing_mcp.store.tables import big, long_text


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class WebhookEndpointRow(SQLModel, table=True):
    """Where an account hears of events. Whoever tells it leaves a lease, so that nobody else does.

    It is due when the first of its waiting deliveries is, and never where none waits.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("ix_webhook_endpoints_due", "due_at_us", **_where("due_at_us IS NOT NULL")),)
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    endpoint_id: str = Field(primary_key=True)
    url: str
    events_json: str = Field(sa_column=long_text())
    secret: str
    previous_secret: str | None
    previous_until_us: int | None = Field(sa_column=big(nullable=True))
    status: str
    reason: str | None
    failing_since_us: int | None = Field(sa_column=big(nullable=True))
    due_at_us: int | None = Field(sa_column=big(nullable=True))
    lease: str | None
    created_at_us: int = Field(sa_column=big())
    changed_at_us: int = Field(sa_column=big())


class WebhookDeliveryRow(SQLModel, table=True):
    """An event on its way to an endpoint, and every attempt to tell it.

    It has no foreign key, as holds have none: a script that has locked the account must not keep it from being told.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index(
            "ix_webhook_deliveries_waiting", "account_id", "endpoint_id", "due_at_us", **_where("status = 'waiting'")
        ),
        Index("ix_webhook_deliveries_ended", "ended_at_us", **_where("ended_at_us IS NOT NULL")),
    )
    account_id: str = Field(primary_key=True)
    delivery_id: str = Field(primary_key=True)
    endpoint_id: str
    event_id: str
    event: str
    body: str = Field(sa_column=long_text())
    status: str
    attempts: int = Field(sa_column=big())
    due_at_us: int = Field(sa_column=big())
    last_status: int | None = Field(sa_column=big(nullable=True))
    last_error: str | None
    log_json: str = Field(sa_column=long_text())
    created_at_us: int = Field(sa_column=big())
    ended_at_us: int | None = Field(sa_column=big(nullable=True))
