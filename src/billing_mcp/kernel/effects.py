"""Owns effects: what a transaction has changed, net, from its postings, payments and settings themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from billing_mcp.domain.money import format_micros
from billing_mcp.store.changes import Change, PaymentChange, SettingChange, WalletChange


def effects_of(changes: Iterable[Change]) -> dict[str, Any]:
    """Signed deltas of each wallet, each setting's value before and after, and what is asked of payment methods.

    What a script did and undid is not there: effects say how the world differs afterwards.
    """
    wallets: dict[tuple[str, str], list[int]] = {}
    settings: dict[tuple[str, str], tuple[str | None, str | None]] = {}
    payments: list[PaymentChange] = []
    for change in changes:
        if isinstance(change, WalletChange):
            delta = wallets.setdefault((change.account_id, change.currency), [0, 0])
            delta[0] += change.available_micros
            delta[1] += change.reserved_micros
        elif isinstance(change, PaymentChange):
            payments.append(change)
        elif isinstance(change, SettingChange):
            name = (change.account_id, change.setting)
            before = settings[name][0] if name in settings else change.before
            settings[name] = (before, change.after)
    return {
        "wallets": [
            {
                "account_id": account_id,
                "currency": currency,
                "available": _signed(available),
                "reserved": _signed(reserved),
                "total": _signed(available + reserved),
            }
            for (account_id, currency), (available, reserved) in wallets.items()
            if available or reserved
        ],
        "settings": [
            {"account_id": account_id, "setting": setting, "before": before, "after": after}
            for (account_id, setting), (before, after) in settings.items()
            if before != after
        ],
        "payments": [
            {
                "account_id": payment.account_id,
                "payment_method_id": payment.payment_method_id,
                "method": payment.method,
                "currency": payment.currency,
                "amount": format_micros(payment.amount_micros),
                "credit": format_micros(payment.credit_micros),
            }
            for payment in payments
        ],
    }


def _signed(amount_micros: int) -> str:
    text = format_micros(amount_micros)
    return f"+{text}" if amount_micros > 0 else text
