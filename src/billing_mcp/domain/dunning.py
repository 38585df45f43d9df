"""Owns dunning: what happens to an account that owes, and when.

It is reminded on some days after it began to owe, and then suspended. Days are of 24 hours, from the very moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class DunningTerms:
    """On which days after an account began to owe it is reminded, and on which it is suspended."""

    reminders_after_days: tuple[int, ...]
    suspended_after_days: int


@dataclass(frozen=True, slots=True)
class Step:
    """What is done about a debt at a moment: a reminder, counted from 1, or the suspension, which has no number."""

    at: datetime
    reminder: int | None


def steps(terms: DunningTerms, since: datetime) -> tuple[Step, ...]:
    """Everything that is done about a debt of `since`, in order; the suspension comes last."""
    reminders = [
        Step(since + timedelta(days=days), number) for number, days in enumerate(terms.reminders_after_days, start=1)
    ]
    return (*reminders, Step(since + timedelta(days=terms.suspended_after_days), None))


def next_step(terms: DunningTerms, since: datetime, reminders: int) -> Step:
    """The step after so many reminders; whoever was sent more than there are now is suspended next."""
    return _left(terms, since, reminders)[0]


def due_step(terms: DunningTerms, since: datetime, reminders: int, now: datetime) -> Step | None:
    """The step to take now, if one is due: of several the last, and those that were missed before it are left out.

    So whoever is late sends one reminder and not all at once, and whoever is very late suspends.
    """
    due = [step for step in _left(terms, since, reminders) if step.at <= now]
    return due[-1] if due else None


def _left(terms: DunningTerms, since: datetime, reminders: int) -> tuple[Step, ...]:
    every = steps(terms, since)
    return every[min(reminders, len(every) - 1) :]
