"""Owns deciding what is asked of messages: each action by its own rules."""

from __future__ import annotations

from datetime import datetime

from billing_mcp.domain.booking import MessageDecision, Scene
from billing_mcp.domain.messages import (
    MessageAction,
    PauseMessage,
    ReportDelivery,
    ReportInbound,
    ResumeMessage,
    SendMessage,
)
from billing_mcp.domain.receipts import inbound, report
from billing_mcp.domain.sending import pause, resume, send


def decide_message(scene: Scene, action: MessageAction, *, now: datetime) -> MessageDecision:
    """Decide an action.

    Raises InsufficientFunds; Refused with code `account_not_active`, `campaign_paused` or
    `currency_mismatch`; InvalidArgument with code `not_priced`; NotFound for a message or recipient that is not there.
    """
    match action:
        case SendMessage():
            return send(scene, action, now=now)
        case ReportDelivery():
            return report(scene, action, now=now)
        case ReportInbound():
            return inbound(scene, action, now=now)
        case PauseMessage():
            return pause(scene, action, now=now)
        case ResumeMessage():
            return resume(scene, action, now=now)
