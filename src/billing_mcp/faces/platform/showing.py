"""Owns how messages are shown to the platform: as they were accepted, and as they are now."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from billing_mcp.domain.clock import iso_of_epoch_us, to_epoch_us
from billing_mcp.domain.instructions import Receipt
from billing_mcp.domain.messages import Message
from billing_mcp.domain.money import decimal_of, format_micros

_price = lru_cache(maxsize=1024)(format_micros)
"""Prices are few, and the same in all messages of a batch."""


def sent_message(receipt: Receipt) -> dict[str, Any]:
    """A message as it was accepted, whatever became of it since."""
    message = named(receipt)
    charge, hold = message.billing, receipt.hold
    return {
        **_facts(message),
        "status": "accepted",
        "billing": {
            "unit": charge.unit,
            "quantity": charge.quantity,
            "unit_price": _price(charge.unit_price_micros),
            "tier": message.tier,
            "market": message.market,
            "amount": _price(charge.amount_micros),
            "currency": receipt.currency,
            "hold": None
            if hold is None
            else {
                "hold_id": hold.hold_id,
                "amount": _price(hold.amount_micros),
                "expires_at": iso_of_epoch_us(to_epoch_us(hold.expires_at)),
            },
            "active_user": _price(message.mau_micros) if message.mau_micros else None,
            "free": decimal_of(receipt.available_micros),
            "rule_id": charge.rule_id,
            "catalog_version": message.catalog_version,
        },
    }


def message_now(message: Message, currency: str) -> dict[str, Any]:
    """A message as it is now: what became of it, what it was accepted at and what it is charged as."""
    accepted = message.billing
    charged = None if message.place is None else message.charge_at(message.place)
    return {
        **_facts(message),
        "status": message.status,
        "delivered": message.delivered,
        "failed": message.failed,
        "delivered_at": None if message.delivered_at is None else iso_of_epoch_us(to_epoch_us(message.delivered_at)),
        "segments": message.segments,
        "hold_id": message.hold_id,
        "currency": currency,
        "accepted": {
            "rule_id": accepted.rule_id,
            "unit": accepted.unit,
            "quantity": accepted.quantity,
            "unit_price": _price(accepted.unit_price_micros),
            "amount": _price(accepted.amount_micros),
            "tier": message.tier,
            "catalog_version": message.catalog_version,
        },
        "charged": None
        if charged is None
        else {
            "rule_id": charged.rule_id,
            "unit": charged.unit,
            "quantity": message.charged_quantity,
            "amount": _price(message.charged_micros),
        },
    }


def told_message(receipt: Receipt) -> dict[str, Any]:
    """A message as a receipt left it, and what that posted."""
    return {**message_now(named(receipt), receipt.currency), **booked(receipt)}


def booked(receipt: Receipt) -> dict[str, Any]:
    """What was posted, and what the wallet has."""
    return {
        "transaction_ids": receipt.transaction_ids,
        "free": decimal_of(receipt.available_micros),
        "reserved": decimal_of(receipt.reserved_micros),
    }


def named(receipt: Receipt) -> Message:
    """The message of a receipt that has one."""
    if receipt.message is None:
        raise TypeError("a message's receipt names its message")
    return receipt.message


def _facts(message: Message) -> dict[str, Any]:
    return {
        "account_id": message.account_id,
        "message_id": message.message_id,
        "campaign_id": message.campaign_id,
        "channel": message.channel,
        "message_type": message.message_type,
        "market": message.market,
        "sender": message.sender,
        "reference": message.reference,
        "recipients": len(message.recipients),
        "created_at": iso_of_epoch_us(to_epoch_us(message.created_at)),
    }
