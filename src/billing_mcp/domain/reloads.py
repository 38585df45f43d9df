"""Owns automatic reloads: when a wallet is topped up by itself, by how much, and when that rests.

A reload is claimed before it is made, and the claim outlives a failure: so a wallet has one reload at a time, and
a card that is declined is not tried at every message. What is on its way counts as if it were there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.money import MICROS_PER_CENT, format_micros
from billing_mcp.domain.topups import MAX_MICROS, MIN_MICROS, TopUp

ReloadState = Literal["off", "armed", "reloading", "cooling_down", "capped", "paused", "disabled"]
"""`paused`: the customer has to authenticate a payment. `capped`: until next month. `disabled`: it was declined
three times in a row, its money was taken back, or its payment method was removed; setting it again arms it."""

FIRST_REST = timedelta(hours=1)
MAX_DECLINES = 3
REVERSED = "reversed"
METHOD_REMOVED = "payment_method_removed"


@dataclass(frozen=True, slots=True)
class AutoReload:
    """How a wallet is reloaded, and what came of it. Amounts are net micros of the wallet's currency.

    It tops up by `amount_micros`, or up to `target_micros`. `topup_id` is the reload that is under way;
    `rests_until` is when the next may begin after one that failed; `capped_on` is the month in which the cap was
    met and told.
    """

    account_id: str
    enabled: bool = False
    threshold_micros: int = 0
    amount_micros: int | None = None
    target_micros: int | None = None
    payment_method_id: str | None = None
    monthly_cap_micros: int | None = None
    topup_id: str | None = None
    rests_until: datetime | None = None
    paused: bool = False
    declines: int = 0
    capped_on: str | None = None
    last_failure: str | None = None
    last_failed_at: datetime | None = None

    def state(self, now: datetime) -> ReloadState:
        """Where it stands."""
        if not self.enabled:
            ended = self.declines >= MAX_DECLINES or self.last_failure in (REVERSED, METHOD_REMOVED)
            return "disabled" if ended else "off"
        if self.paused:
            return "paused"
        if self.topup_id is not None:
            return "reloading"
        if self.rests_until is not None and now < self.rests_until:
            return "cooling_down"
        return "capped" if self.capped_on == month_of(now) else "armed"


def month_of(now: datetime) -> str:
    """The calendar month of a moment, in UTC, as YYYY-MM."""
    return f"{now:%Y-%m}"


def checked(reload: AutoReload, currency: str) -> AutoReload:
    """What may be set. Raises InvalidArgument, naming the field."""
    if not reload.enabled:
        return reload
    if (reload.amount_micros is None) == (reload.target_micros is None):
        raise InvalidArgument(
            "auto-reload needs either amount or target, and not both",
            field="amount",
            hint='Write amount="50.00" to add as much each time, or target="100.00" to fill up to it.',
        )
    for name, micros in (("amount", reload.amount_micros), ("target", reload.target_micros)):
        _check(name, micros, MIN_MICROS, currency)
    _check("threshold", reload.threshold_micros, 0, currency)
    _check("monthly_cap", reload.monthly_cap_micros, reload.amount_micros or MIN_MICROS, currency)
    if reload.target_micros is not None and reload.target_micros < reload.threshold_micros + MIN_MICROS:
        raise InvalidArgument(
            f"target must be at least {format_micros(MIN_MICROS)} {currency} above the threshold, since that is "
            f"the smallest top-up; got {format_micros(reload.target_micros)}",
            field="target",
            hint=f'Write target="{format_micros(reload.threshold_micros + MIN_MICROS)}" or more.',
        )
    return reload


def due_micros(reload: AutoReload, available_micros: int, pending_micros: int, reloaded_micros: int) -> int | None:
    """What to reload with now, in whole cents; None when the wallet is above the threshold.

    `pending_micros` is on its way, and `reloaded_micros` what this month's reloads come to. One charge closes the
    gap: it takes the wallet to the threshold at least, however deep it has sunk. More than the cap leaves is 0.
    """
    there = available_micros + pending_micros
    if there >= reload.threshold_micros:
        return None
    gap = reload.threshold_micros - there
    wanted = reload.target_micros - there if reload.target_micros is not None else max(reload.amount_micros or 0, gap)
    wanted = min(max(-(-wanted // MICROS_PER_CENT) * MICROS_PER_CENT, MIN_MICROS), MAX_MICROS)
    if reload.monthly_cap_micros is not None and reloaded_micros + wanted > reload.monthly_cap_micros:
        return 0
    return wanted


def settled(reload: AutoReload, topup: TopUp, *, now: datetime) -> AutoReload:
    """What the news of one of its top-ups make of it."""
    if topup.status == "reversed":
        failed = replace(reload, enabled=False, last_failure=REVERSED, last_failed_at=now)
        return replace(failed, topup_id=None, paused=False) if topup.topup_id == reload.topup_id else failed
    if topup.topup_id != reload.topup_id:
        return reload
    if topup.status == "requires_action":
        return replace(reload, paused=True, last_failure="requires_action", last_failed_at=now)
    if topup.status == "failed":
        return declined(reload, topup.facts.failure_code or "failed", now=now)
    if topup.status in ("succeeded", "refunded"):
        return replace(reload, topup_id=None, paused=False, declines=0, rests_until=None)
    return replace(reload, paused=False)


def declined(reload: AutoReload, failure: str, *, now: datetime) -> AutoReload:
    """After a reload that was declined, or for which there was nothing to charge: it rests, or is over."""
    declines = reload.declines + 1
    return replace(
        reload,
        topup_id=None,
        paused=False,
        declines=declines,
        enabled=reload.enabled and declines < MAX_DECLINES,
        rests_until=now + FIRST_REST * 2 ** (declines - 1),
        last_failure=failure,
        last_failed_at=now,
    )


def without_method(reload: AutoReload, payment_method_id: str, *, was_default: bool, now: datetime) -> AutoReload:
    """What the end of a payment method makes of it. It never goes on with one that nobody has chosen for it."""
    named = reload.payment_method_id == payment_method_id
    after = replace(reload, payment_method_id=None) if named else reload
    if not reload.enabled or not (named or (was_default and reload.payment_method_id is None)):
        return after
    return replace(after, enabled=False, paused=False, last_failure=METHOD_REMOVED, last_failed_at=now)


def _check(name: str, micros: int | None, least_micros: int, currency: str) -> None:
    if micros is None or (least_micros <= micros <= MAX_MICROS and micros % MICROS_PER_CENT == 0):
        return
    raise InvalidArgument(
        f"{name} must be {format_micros(least_micros)} to {format_micros(MAX_MICROS)} {currency} in whole cents; "
        f"got {format_micros(micros)}",
        field=name,
        hint=f'Write {name}="{format_micros(max(least_micros, MIN_MICROS))}".',
    )
