"""What happens in the year: acts by seed, account and moment. Whether one is done or refused shows when it is tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from billing_mcp.domain.clock import start_of
from tests.year import ACCOUNTS, BEGINS, ENDS, SEED

DAY = timedelta(days=1)
REST = 4
"""People act on every fourth day alone, so there are days to jump over."""
MONTHS = 12
_ANCHORS = (date(2027, 3, 28), date(2027, 3, 29), date(2027, 3, 30), date(2027, 3, 31))
_VAT: tuple[dict[str, Any], ...] = (
    {},
    {"country": "FR", "vat_id": "FR40303265045"},
    {"country": "AT"},
    {"country": "US"},
    {"exempt": True},
)
PLANS = ("smtp_per_mailbox", "smtp_per_proxy")
_MARKETS = ("DE", "AT", "FR", "GB", "US")


@dataclass(frozen=True, slots=True)
class Act:
    """What is tried at a moment on an account, by its number."""

    at: datetime
    account: int
    name: str
    args: dict[str, Any]


def script(accounts: int = ACCOUNTS, seed: int = SEED) -> list[Act]:
    """All acts of the year in order of time; those of a moment by account, each account's own in their order."""
    acts = [act for number in range(accounts) for act in _life(number, Random(f"{seed}-{number}"))]  # noqa: S311
    return sorted((act for act in acts if act.at < ENDS - DAY), key=lambda act: (act.at, act.account))


def _life(number: int, luck: Random) -> Iterator[Act]:
    anchor = start_of(_ANCHORS[number % len(_ANCHORS)])
    opened = anchor if number % 3 else BEGINS
    poor = number % 4 == 3
    yield Act(opened, number, "open", _VAT[number % len(_VAT)])
    yield Act(opened, number, "receive", {"amount": luck.choice(("5.00", "20.00")) if poor else "150.00"})
    yield Act(opened, number, "count", {"component": "mailbox", "quantity": luck.randint(1, 60)})
    yield Act(opened, number, "count", {"component": "proxy", "quantity": luck.randint(0, 3)})
    if number % 10 != 9:  # some only send
        yield Act(anchor, number, "plan", {"plan_id": PLANS[number % 2]} | _period(luck))
    if number % 7 == 2:
        yield Act(anchor, number, "reload", {"threshold": "20.00", "amount": f"{luck.randint(20, 60)}.00"})
    for month in range(MONTHS):
        yield from _month(number, anchor + month * 30 * DAY + DAY, luck, poor=poor)


def _month(number: int, begins: datetime, luck: Random, *, poor: bool) -> Iterator[Act]:
    """A month of 30 days, which are not those of the billing period."""

    def on(first: int = 0, last: int = 28) -> datetime:
        return _on_a_day_of_acts(begins + luck.randint(first, last) * DAY)

    yield from _money(number, on, luck, poor=poor)
    if luck.random() < 0.5:
        component, most = luck.choice((("mailbox", 80), ("proxy", 4)))
        yield Act(on(), number, "count", {"component": component, "quantity": luck.randint(0, most)})
    if luck.random() < 0.45:
        yield from _plan(number, on(), luck)
    if luck.random() < 0.5:
        yield from _messages(number, on(), luck)
    if luck.random() < 0.4:
        yield from _hold(number, on(), luck)
    if luck.random() < 0.2:
        lasts = luck.choice((None, 5, 20, 45))
        amount = f"{luck.randint(1, 30)}.{luck.randint(0, 99):02d}"
        yield Act(on(), number, "credit", {"amount": amount, "days": lasts, "priority": luck.randint(0, 9)})
    if luck.random() < 0.12:
        yield Act(on(), number, "correct", {"line": luck.choice((None, 1)), "micros": luck.randint(1, 300) * 10_000})


def _money(number: int, on: Any, luck: Random, *, poor: bool) -> Iterator[Act]:
    """The rich pay early, and enough; the poor late, and by what may fail."""
    if not poor:
        yield Act(on(0, 3), number, "receive", {"amount": f"{luck.randint(40, 240)}.00"})
    elif luck.random() < 0.5:
        yield Act(on(), number, "receive", {"amount": f"{luck.randint(1, 90)}.{luck.randint(0, 99):02d}"})
    if luck.random() < (0.3 if poor else 0.06):
        tokens = ("tok_visa", "tok_sepa", "tok_sepa_fails", "tok_sepa_returned", "tok_declined", "tok_dispute_lost")
        yield Act(on(), number, "top_up", {"amount": f"{luck.randint(10, 120)}.00", "token": luck.choice(tokens)})


def _period(luck: Random) -> dict[str, Any]:
    return {"billing_period": luck.choice(("monthly", "monthly", "yearly"))}


def _plan(number: int, at: datetime, luck: Random) -> Iterator[Act]:
    """A change or a cancel, now or later; what is put off is undone now and then, in time or too late."""
    what = luck.choice(("now", "now", "later", "later", "cancel", "cancel", "cancel_now"))
    if what in ("now", "later"):
        later = {"effective_date": (at.date() + luck.randint(1, 40) * DAY).isoformat()} if what == "later" else {}
        yield Act(at, number, "plan", {"plan_id": luck.choice(PLANS)} | _period(luck) | later)
    else:
        yield Act(at, number, "cancel", {"cancel_immediately": what == "cancel_now"})
    if what in ("later", "cancel") and luck.random() < 0.5:
        yield Act(_on_a_day_of_acts(at + luck.randint(1, 12) * DAY), number, "resume", {})
    elif what.startswith("cancel"):
        again = _on_a_day_of_acts(at + luck.randint(1, 45) * DAY)
        yield Act(again, number, "plan", {"plan_id": luck.choice(PLANS)} | _period(luck))


def _messages(number: int, at: datetime, luck: Random) -> Iterator[Act]:
    """A batch, whose receipts come on the same day, or after days; of some none does, and what was held expires."""
    batch = f"{number}-{at.date()}"
    drafts = [_draft(luck) for _ in range(luck.randint(2, 5))]
    yield Act(at, number, "send", {"batch": batch, "drafts": drafts})
    for place in range(len(drafts)):
        status = luck.choice(("delivered", "delivered", "delivered", "failed"))
        late = _on_a_day_of_acts(at + luck.randint(1, 12) * DAY)
        when = luck.choice((at, at, late, None))
        if when is not None:
            yield Act(when, number, "report", {"batch": batch, "place": place, "status": status})


def _draft(luck: Random) -> dict[str, Any]:
    channel = luck.choice(("email", "sms", "rcs"))
    if channel == "email":
        return {"channel": channel, "to": [f"reader{n}@example.com" for n in range(luck.choice((1, 40, 900)))]}
    told = {"channel": channel, "to": [f"+49151{luck.randint(0, 99):08d}"], "market": luck.choice(_MARKETS)}
    if channel == "sms":
        return told | {"segments": luck.choice((1, 2, 40, 250))}
    return told | {"text_bytes": luck.choice((5, 159, 161, 700))}


def _hold(number: int, at: datetime, luck: Random) -> Iterator[Act]:
    """Work that is captured, in parts or in excess, or released, or forgotten until its hold expires."""
    name = f"{number}-{at.date()}-hold"
    micros = luck.randint(1, 20_000_000)
    lasts = luck.randint(REST, 3 * REST)
    yield Act(at, number, "hold", {"name": name, "micros": micros, "days": lasts})
    for _ in range(luck.choice((0, 1, 1, 2))):
        part = luck.choice((luck.randint(1, micros), micros, micros + luck.randint(1, 60_000_000)))
        final = luck.random() < 0.3
        when = _on_a_day_of_acts(at + luck.randint(0, lasts) * DAY)
        yield Act(when, number, "capture", {"name": name, "micros": part, "final": final})
    if luck.random() < 0.3:
        yield Act(_on_a_day_of_acts(at + luck.randint(1, lasts) * DAY), number, "release", {"name": name})


def _on_a_day_of_acts(moment: datetime) -> datetime:
    """That day, or the next one on which people act."""
    return moment + -moment.toordinal() % REST * DAY
