"""The language of scenarios: `2026-01-31 top up 100.00 by SEPA` is an act, with what it says in named parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from tests.stage import moment

MARK = "=== What must come out ==="
_WHEN = re.compile(r"(\d{4}-\d\d-\d\d(?: \d\d:\d\d)?) (.+)")
_REFUSED = re.compile(r"(.+), refused: (\w+)")
_AMOUNT = r"(?P<amount>\d+\.\d{2,6})"
_DAY = r"\d{4}-\d\d-\d\d"
_FORMS: dict[str, str] = {
    "open": r"open(?: in (?P<country>[A-Z]{2}))?(?: with VAT id (?P<vat_id>\w+))?(?P<exempt> exempt)?",
    "top_up": rf"top up {_AMOUNT} by (?P<by>card|bank transfer|SEPA|SEPA that fails|SEPA that is returned)",
    "sepa": r"SEPA (?P<what>settled|failed|returned)",
    "plan": rf"plan (?P<plan_id>\w+)(?: (?P<billing_period>monthly|yearly))?(?: from (?P<on>{_DAY}))?",
    "cancel": r"cancel(?P<now> now)?",
    "resume": r"resume",
    "count": r"count (?P<component>mailbox|proxy) (?P<quantity>\d+)",
    "emails": r"send (?P<number>\d+) emails?",
    "sms": r"send (?P<number>\d+) sms to (?P<market>[A-Z]{2})(?: of (?P<segments>\d+) segments)?",
    "hold": rf"hold {_AMOUNT} for (?P<name>\S+)",
    "capture": rf"capture {_AMOUNT} of (?P<name>\S+)(?P<final> finally)?",
    "release": r"release (?P<name>\S+)",
    "credit": rf"credit {_AMOUNT}(?: expires (?P<expires>{_DAY}))? for (?P<reason>.+)",
    "correct": rf"correct (?P<invoice>\S+)(?:, line (?P<line>\d+) by {_AMOUNT},)? because (?P<reason>.+)",
    "advance": r"advance",
}
"""Every act there is: its name, and how it is written."""


@dataclass(frozen=True, slots=True)
class Act:
    """What happens at a moment. Where it has `refused`, it must be, with this code."""

    line: str
    at: datetime
    name: str
    parts: dict[str, str]
    refused: str | None = None


class NotUnderstood(Exception):
    """A line that is no act."""


def acts_of(text: str) -> list[Act]:
    """The acts of the upper half of a scenario, in order. Raises NotUnderstood."""
    acts: list[Act] = []
    for line in text.split(MARK)[0].splitlines():
        if line.strip() and not line.startswith("#"):
            acts.append(_act(line.strip()))
            if len(acts) > 1 and acts[-1].at < acts[-2].at:
                raise NotUnderstood(f"{line!r} is before the line above it")
    if not acts or acts[0].name != "open":
        raise NotUnderstood("a scenario begins with the opening of its account")
    return acts


def _act(line: str) -> Act:
    when = _WHEN.fullmatch(line)
    if when is None:
        raise NotUnderstood(f"{line!r} does not begin with its day, such as 2026-01-31 or 2026-01-31 09:30")
    said, refused = when[2], None
    if (told := _REFUSED.fullmatch(said)) is not None:
        said, refused = told[1], told[2]
    for name, form in _FORMS.items():
        if (found := re.fullmatch(form, said)) is not None:
            parts = {key: value.strip() for key, value in found.groupdict().items() if value is not None}
            return Act(line, moment(when[1]), name, parts, refused)
    raise NotUnderstood(f"{line!r} is no act; those there are: {', '.join(_FORMS)}")
