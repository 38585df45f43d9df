"""Owns the rows of the posting engine: what was decided, in the columns of its tables, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from json.encoder import encode_basestring_ascii

import msgspec

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.events import Event
from billing_mcp.domain.holds import Hold
from billing_mcp.domain.ids import new_id
from billing_mcp.domain.instructions import IdempotencyKey, Receipt
from billing_mcp.domain.ledger import LedgerTransaction, Wallet, line_items_to_json
from billing_mcp.store.posting.sql import Row

_encode = msgspec.json.Encoder(order="sorted").encode


def transaction_row(t: LedgerTransaction) -> Row:
    """The row of a ledger transaction."""
    created_us = to_epoch_us(t.created_at)
    return (
        t.account_id,
        t.seq,
        t.txn_seq,
        t.transaction_id,
        t.type,
        t.direction,
        t.amount_micros,
        t.currency,
        t.status,
        t.description,
        created_us if t.effective_at is t.created_at else to_epoch_us(t.effective_at),
        created_us,
        t.balance_after_micros,
        t.available_after_micros,
        t.reserved_after_micros,
        line_items_to_json(t.line_items),
        t.previous_hash,
        t.hash,
        t.hold_id,
    )


def entry_rows(t: LedgerTransaction) -> Iterator[Row]:
    """The rows of its entries."""
    account_id, seq = t.account_id, t.seq
    for line, entry in enumerate(t.entries, start=1):
        yield (account_id, seq, line, entry.ledger_account, entry.amount_micros, entry.currency)


def hold_row(hold: Hold) -> Row:
    """The row of a hold."""
    return (
        hold.account_id,
        hold.hold_id,
        hold.reference,
        hold.amount_micros,
        hold.captured_micros,
        hold.released_micros,
        hold.status,
        to_epoch_us(hold.expires_at),
        to_epoch_us(hold.created_at),
        None if hold.closed_at is None else to_epoch_us(hold.closed_at),
    )


def hold_of(row: Row) -> Hold:
    """The hold of a row."""
    account_id, hold_id, reference, amount, captured, released, status, expires_us, created_us, closed_us = row
    return Hold(
        account_id=account_id,
        hold_id=hold_id,
        reference=reference,
        amount_micros=amount,
        captured_micros=captured,
        released_micros=released,
        status=status,
        expires_at=from_epoch_us(expires_us),
        created_at=from_epoch_us(created_us),
        closed_at=None if closed_us is None else from_epoch_us(closed_us),
    )


def changed_hold_row(row: Row) -> Row:
    """The new values of a hold, and what is compared: it must still be open."""
    account_id, hold_id, _, _, captured, released, status, _, _, closed_us = row
    return (captured, released, status, closed_us, account_id, hold_id, "open")


def changed_wallet_row(wallet: Wallet, read_seq: int) -> Row:
    """The new values of a wallet, and what is compared: nothing was posted since it was read."""
    balances = (wallet.available_micros, wallet.reserved_micros)
    return (*balances, wallet.last_seq, wallet.last_txn_seq, wallet.head_hash, wallet.account_id, read_seq)


def event_row(event: Event, now: datetime) -> Row:
    """The row of an event in the outbox."""
    payload = _encode(event.payload).decode()
    created_us = to_epoch_us(now)
    event_id = event.event_id or new_id(now)
    return (event.account_id, event_id, event.event, payload, created_us, "waiting", created_us, 0, *[None] * 4)


def key_row(key: IdempotencyKey, now: datetime, receipt: Receipt, hold: Row | None) -> Row:
    """The row of an idempotency key with its receipt; `hold` is the row of the receipt's hold."""
    # Formatted by hand, in a third of the time: only the reference can hold what must be escaped.
    ids = ",".join([f'"{each}"' for each in receipt.transaction_ids])
    balances = f'"{receipt.currency}",{receipt.available_micros},{receipt.reserved_micros}'
    message = f',"{receipt.message.message_id}"' if receipt.message else ""
    text = f"[[{ids}],{balances},{'null' if hold is None else _json_of(hold)}{message}]"
    return (receipt.account_id, key.key_hash, key.request_hash, text, to_epoch_us(now))


def receipt_of(account_id: str, text: str) -> tuple[Receipt, str | None]:
    """The receipt that is stored under a key, without its message; and the id of that."""
    transaction_ids, currency, available_micros, reserved_micros, hold, *message = json.loads(text)
    receipt = Receipt(
        account_id=account_id,
        transaction_ids=tuple(transaction_ids),
        currency=currency,
        available_micros=available_micros,
        reserved_micros=reserved_micros,
        hold=hold_of((account_id, *hold)) if hold else None,
    )
    return receipt, message[0] if message else None


def _json_of(hold: Row) -> str:
    _, hold_id, reference, amount, captured, released, status, expires_us, created_us, closed_us = hold
    moments = f"{expires_us},{created_us},{'null' if closed_us is None else closed_us}"
    return f'["{hold_id}",{encode_basestring_ascii(reference)},{amount},{captured},{released},"{status}",{moments}]'
