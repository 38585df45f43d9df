"""Owns the tables of messages: what was accepted, heard, charged and added up. The rules are those of `tables.py`."""

from __future__ import annotations

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from billing_mcp.store.tables import big, long_text


class CampaignRow(SQLModel, table=True):
    """Messages that were sent together, and can be held back together."""

    __tablename__ = "campaigns"
    account_id: str = Field(primary_key=True, foreign_key="accounts.account_id")
    campaign_id: str = Field(primary_key=True)
    name: str
    status: str
    created_at_us: int = Field(sa_column=big())
    changed_at_us: int = Field(sa_column=big())


class MessageRow(SQLModel, table=True):
    """A message that was accepted: at what, and what it is charged now. Its content and recipients are not kept.

    It and the four tables after it have no foreign key, as holds have none.
    """

    __tablename__ = "messages"
    __table_args__ = (
        Index(
            "ix_messages_campaign",
            "account_id",
            "campaign_id",
            "message_id",
            sqlite_where=text("campaign_id IS NOT NULL"),
            postgresql_where=text("campaign_id IS NOT NULL"),
        ),
        {"sqlite_with_rowid": False},
    )
    account_id: str = Field(primary_key=True)
    message_id: str = Field(primary_key=True)
    campaign_id: str | None
    reference: str
    channel: str
    message_type: str
    sender: str
    market: str
    thread: str | None
    facts_json: str = Field(sa_column=long_text())
    recipients: str = Field(sa_column=long_text())
    """Keyed hashes, with spaces between them."""
    catalog_version: str
    tier: str
    rule_id: str
    unit: str
    quantity: int = Field(sa_column=big())
    unit_price_micros: int = Field(sa_column=big())
    a2p_micros: int | None = Field(sa_column=big(nullable=True))
    p2a_micros: int | None = Field(sa_column=big(nullable=True))
    expected: str
    mau_micros: int = Field(sa_column=big())
    hold_id: str | None
    created_at_us: int = Field(sa_column=big())
    status: str
    outcomes: str = Field(sa_column=long_text())
    delivered_at_us: int | None = Field(sa_column=big(nullable=True))
    segments: int | None = Field(sa_column=big(nullable=True))
    place: str | None
    charged_unit: str | None
    charged_quantity: int = Field(sa_column=big())
    charged_micros: int = Field(sa_column=big())


class ThreadEventRow(SQLModel, table=True):
    """A delivered message of a conversational agent, or what a user wrote to it, and what is open after it."""

    __tablename__ = "thread_events"
    __table_args__ = ({"sqlite_with_rowid": False},)
    account_id: str = Field(primary_key=True)
    thread: str = Field(primary_key=True)
    at_us: int = Field(sa_column=big(primary_key=True))
    event_id: str = Field(primary_key=True)
    outbound: int = Field(sa_column=big())
    open_until_us: int | None = Field(sa_column=big(nullable=True))
    asked_at_us: int | None = Field(sa_column=big(nullable=True))
    alone_id: str | None
    alone_at_us: int | None = Field(sa_column=big(nullable=True))


class ActiveUserRow(SQLModel, table=True):
    """A recipient, as a keyed hash, who was charged for in a calendar month: the nth of it."""

    __tablename__ = "active_users"
    __table_args__ = ({"sqlite_with_rowid": False},)
    account_id: str = Field(primary_key=True)
    month: int = Field(sa_column=big(primary_key=True))
    channel: str = Field(primary_key=True)
    recipient: str = Field(primary_key=True)
    nth: int = Field(sa_column=big())


class ChannelStateRow(SQLModel, table=True):
    """What an account has used of a channel in the month that it last did, and the tier that it has earned."""

    __tablename__ = "channel_states"
    __table_args__ = (
        Index(
            "ix_channel_states_earned",
            "month",
            "account_id",
            sqlite_where=text("tier > 0"),
            postgresql_where=text("tier > 0"),
        ),
        {"sqlite_with_rowid": False},
    )
    account_id: str = Field(primary_key=True)
    channel: str = Field(primary_key=True)
    month: int = Field(sa_column=big())
    volume: int = Field(sa_column=big())
    active_users: int = Field(sa_column=big())
    tier: int = Field(sa_column=big())
    earned_this_month: int = Field(sa_column=big())
    missed_months: int = Field(sa_column=big())
    commitment: int | None = Field(sa_column=big(nullable=True))
    override: int | None = Field(sa_column=big(nullable=True))


class UsageRow(SQLModel, table=True):
    """What was used on a day (UTC), added up in the transactions that charged it."""

    __tablename__ = "usage"
    __table_args__ = ({"sqlite_with_rowid": False},)
    account_id: str = Field(primary_key=True)
    day: str = Field(primary_key=True)
    channel: str = Field(primary_key=True)
    message_type: str = Field(primary_key=True)
    unit: str = Field(primary_key=True)
    tier: str = Field(primary_key=True)
    market: str = Field(primary_key=True)
    accepted: int = Field(sa_column=big())
    delivered: int = Field(sa_column=big())
    failed: int = Field(sa_column=big())
    quantity: int = Field(sa_column=big())
    amount_micros: int = Field(sa_column=big())


class SecretRow(SQLModel, table=True):
    """A key that the server has made for itself, such as that of the hashes of recipients."""

    __tablename__ = "secrets"
    name: str = Field(primary_key=True)
    value: str
