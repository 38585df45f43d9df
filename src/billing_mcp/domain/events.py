"""Owns events: what the world is told of, once the change that it tells of has committed, and which of it is public."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Json = str | int | bool | None | Sequence["Json"] | Mapping[str, "Json"]

EXECUTION_COMPLETED = "billing.execution.completed"
INVOICE_ISSUED = "billing.invoice.issued"
INVOICE_PAID = "billing.invoice.paid"
WEBHOOK_DISABLED = "billing.webhook.disabled"
WEBHOOK_TEST = "billing.webhook.test"

PUBLIC_EVENTS = {
    "billing.account.past_due": "Spending is frozen: the account owes what it could not pay, or what was taken back.",
    "billing.account.recovered": "What the account owed is settled, and it can spend again.",
    "billing.account.reminder": "The account still owes; it is reminded of what, and of when it will be suspended.",
    "billing.account.suspended": "The account has owed for too long. Money that covers the debt lets it go on.",
    "billing.alerts.updated": "The alerts on the balance were changed.",
    "billing.auto_reload.capped": "An automatic reload was due, and the month's cap allowed none.",
    "billing.auto_reload.disabled": "Automatic reload was switched off: declined thrice, or its money or method gone.",
    "billing.auto_reload.failed": "An automatic reload failed; it is tried again later.",
    "billing.auto_reload.paused": "Automatic reload waits for the payer, who must act first.",
    "billing.auto_reload.started": "An automatic reload has begun.",
    "billing.auto_reload.updated": "Automatic reload was changed.",
    "billing.balance_low": "The balance fell below a threshold of an alert.",
    "billing.balance_recovered": "The balance is above a threshold of an alert again.",
    "billing.credit.expired": "What was left of a credit has left the wallet: its time is over.",
    "billing.credit.granted": "The account was given money of the seller's own.",
    EXECUTION_COMPLETED: "A script or a single call changed something.",
    INVOICE_ISSUED: "The invoice of a billing period was issued, or a credit note.",
    INVOICE_PAID: "An invoice that was past due is paid.",
    "billing.payment_method.added": "A payment method was added.",
    "billing.payment_method.failed": "A payment method could not be set up.",
    "billing.payment_method.removed": "A payment method was removed.",
    "billing.payment_method.updated": "A payment method was changed.",
    "billing.plan.canceled": "The plan was canceled, now or for a later day.",
    "billing.plan.changed": "The plan was changed, now or for a later day.",
    "billing.plan.repriced": "The platform moves the plan to another version of its prices, from a day on.",
    "billing.plan.resumed": "A pending change or cancellation of the plan was withdrawn.",
    "billing.tier.changed": "A tier was earned by volume, or lost a step after months below it.",
    "billing.topup.created": "A top-up was asked for.",
    "billing.topup.failed": "A top-up failed; nothing was taken.",
    "billing.topup.processing": "A top-up is under way at the provider; it may take days.",
    "billing.topup.refund_failed": "A refund that was asked for could not be made.",
    "billing.topup.refunded": "A top-up was refunded, in whole or in part.",
    "billing.topup.reinstated": "What was taken back of a top-up has come again: a dispute was won.",
    "billing.topup.requires_action": "A top-up waits for the payer, who must act first.",
    "billing.topup.reversed": "A top-up was taken back after it had succeeded.",
    "billing.topup.succeeded": "A top-up succeeded, and the wallet was credited.",
    "billing.topup.unknown": "Nobody knows yet whether a top-up was charged; it is being looked up.",
    WEBHOOK_DISABLED: "An endpoint of the account is told nothing any more; the others hear of it.",
    WEBHOOK_TEST: "Somebody tests the endpoint. It is sent by request alone, to one endpoint.",
}
"""Every type of event that accounts' endpoints can hear of, and when it is told."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an account, such as `billing.plan.changed`; by default it gets an id of its own."""

    account_id: str
    event: str
    payload: Mapping[str, Json]
    event_id: str | None = None
