"""Owns explaining a ledger transaction: what it was for, by which rule, and what that comes to, computed again.

Nothing of what was charged is believed: prices are looked up again, messages rated again, conversations judged
again from their events. Whoever changed a stored amount is contradicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from billing_mcp.domain.booking import ACTIVE_USER, MESSAGE
from billing_mcp.domain.clock import iso
from billing_mcp.domain.conversations import ThreadEvent
from billing_mcp.domain.holds import Hold
from billing_mcp.domain.ledger import (
    AVAILABLE,
    RECEIVABLE,
    RESERVED,
    REVENUE,
    ROUNDING,
    LedgerTransaction,
    LineItem,
    TransactionType,
)
from billing_mcp.domain.messages import Message
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.plan_lines_again import PlanHistory, plan_line_again, stored_number
from billing_mcp.domain.plans import ADJUSTMENT
from billing_mcp.domain.pricing import PriceBook, graduated_micros
from billing_mcp.domain.rating_again import Again, again
from billing_mcp.domain.tiers import month_of, month_text

Kind = Literal["message", "active_user", "plan", "debt", "hold", "release", "capture", "topup", "credit", "other"]
_KINDS: Mapping[TransactionType, Kind] = {"hold": "hold", "release": "release", "topup": "topup", "credit": "credit"}
_OF_PLANS = ("plan", "component_count")


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is stored around a transaction."""

    transaction: LedgerTransaction
    book: PriceBook
    plans: PlanHistory
    hold: Hold | None = None
    message: Message | None = None
    thread: tuple[ThreadEvent, ...] = ()
    """All events of the message's thread."""
    nth: frozenset[int] = frozenset()
    """As which active users of the month the message's recipients were counted."""


@dataclass(frozen=True, slots=True)
class LineAgain:
    """A line of the transaction, what it comes to, and how."""

    line: LineItem
    amount_micros: int
    why: str


@dataclass(slots=True)
class Explained:
    """What a transaction was for, in sentences, and what it comes to."""

    kind: Kind
    amount_micros: int = 0
    lines: list[LineAgain] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What is not as it should be."""
    again: Again | None = None

    def check(self, *, what: str, stored: int, computed: int) -> None:
        """Note that two amounts differ."""
        if stored != computed:
            self.problems.append(f"{what} is {format_micros(stored)}, computed again {format_micros(computed)}")


def kind_of(transaction: LedgerTransaction) -> Kind:
    """What a transaction was for."""
    sources = {line.source for line in transaction.line_items}
    if MESSAGE in sources:
        return "message"
    if ACTIVE_USER in sources:
        return "active_user"
    if sources == {ADJUSTMENT} and _on(transaction, RECEIVABLE) > 0 and not _on(transaction, ROUNDING):
        return "debt"
    if sources & {*_OF_PLANS, ADJUSTMENT}:
        return "plan"
    if transaction.type == "charge" and transaction.hold_id is not None:
        return "capture"
    return _KINDS.get(transaction.type, "other")


def explain(evidence: Evidence) -> Explained:
    """What the transaction was for, and what it comes to."""
    transaction = evidence.transaction
    found = Explained(kind_of(transaction))
    found.steps.append(f"{iso(transaction.created_at)}: {transaction.type}, {transaction.description}.")
    if evidence.message is not None:
        found.again = again(evidence.message, evidence.book, evidence.thread)
        found.steps += found.again.steps
    if transaction.line_items:
        _explain_lines(evidence, found)
    else:
        _EXPLAINERS.get(found.kind, _explain_other)(evidence, found)
    _check_entries(evidence, found)
    if found.problems:
        found.steps.append(f"This does not match: {'; '.join(found.problems)}.")
    else:
        amount = format_micros(found.amount_micros)
        found.steps.append(f"Computed again it is {amount} {transaction.currency}, as it was posted.")
    return found


def _explain_lines(evidence: Evidence, found: Explained) -> None:
    """What each line comes to, and all of them together."""
    for line in evidence.transaction.line_items:
        amount, why = _line_again(evidence, line, found)
        found.lines.append(LineAgain(line, amount, why))
        found.check(what=f"the line {line.description!r}", stored=line.amount_micros, computed=amount)
        found.steps.append(f"{line.description}: {why}.")
    found.amount_micros = abs(sum(each.amount_micros for each in found.lines))
    if found.kind == "debt":
        found.steps.append("Money that comes in pays what the account owes first; it buys nothing new.")
    if found.again is not None and found.kind == MESSAGE:
        charged, due = found.again.stored.charged_micros, found.again.due.amount_micros
        found.steps.append(f"Of the message {format_micros(charged)} is charged by now, and {format_micros(due)} due.")
        found.problems += found.again.problems


def _line_again(evidence: Evidence, line: LineItem, found: Explained) -> tuple[int, str]:
    if line.source == ADJUSTMENT:
        amount = _on(evidence.transaction, line.component_type)
        return amount, f"{format_micros(amount)} on {line.component_type}, as the entries have it"
    if line.source in _OF_PLANS:
        return _plan_line(evidence, line, found)
    if line.source == ACTIVE_USER:
        return _active_line(evidence, line, found)
    if line.source == MESSAGE and found.again is not None:
        return found.again.line(line, reversed_=evidence.transaction.type == "reversal")
    if line.source == MESSAGE:
        found.problems.append("the message is not stored")
    return _product(line)


def _plan_line(evidence: Evidence, line: LineItem, found: Explained) -> tuple[int, str]:
    """The days that a plan was used, or what leaving it takes back."""
    if line.period_start is None or line.period_end is None:
        return _product(line)
    try:
        start, end = date.fromisoformat(line.period_start), date.fromisoformat(line.period_end)
    except ValueError:
        found.problems.append(f"the days of {line.description!r} are none")
        return 0, "it is for no days"
    again = plan_line_again(line, start, end, evidence.plans)
    if again.note:
        found.steps.append(again.note)
    if again.problem:
        found.problems.append(again.problem)
    return again.amount_micros, again.why


def _active_line(evidence: Evidence, line: LineItem, found: Explained) -> tuple[int, str]:
    """The price of the nth active user of a month."""
    told = line.metadata or {}
    nth, name, market = stored_number(told.get("nth", "")), told.get("catalog_version", ""), told.get("market", "")
    if month_text(month_of(evidence.transaction.created_at.date())) != told.get("month"):
        found.problems.append(f"it was posted in another month than {told.get('month')}")
    if evidence.message is not None and nth not in evidence.nth:
        found.problems.append(f"no recipient of the message is stored as active user {nth} of the month")
    version = evidence.book.version_named(name)
    if version is None or evidence.message is None:
        found.steps.append(_no_version(name) if version is None else "The message is not stored.")
        return line.unit_price_micros, f"1 active user x {format_micros(line.unit_price_micros)}, as it was posted"
    price = graduated_micros(version.bands(evidence.message.channel, market), nth)
    return price, (
        f"the recipient's first billable event of {told.get('month')} makes active user {nth}: "
        f"1 x {format_micros(price)} by catalog version {name}"
    )


def _explain_hold(evidence: Evidence, found: Explained) -> None:
    hold, transaction = evidence.hold, evidence.transaction
    if hold is None:
        found.problems.append("the hold is not stored")
        return
    found.amount_micros = hold.amount_micros
    waits = f"until a receipt of message {hold.reference}" if evidence.message else "until it is captured or released"
    found.steps.append(
        f"Hold {hold.hold_id} sets it aside {waits}, or {iso(hold.expires_at)}; now it is {hold.status}."
    )
    if found.again is not None and evidence.message is not None and evidence.message.hold_id == hold.hold_id:
        held = found.again.held_micros
        found.steps.append(f"Held is the price, and what an active user may cost: {format_micros(held)}.")
        found.check(what="the hold of the message", stored=transaction.amount_micros, computed=held)


def _explain_release(evidence: Evidence, found: Explained) -> None:
    hold = evidence.hold
    if hold is None:
        found.problems.append("the hold is not stored")
        return
    found.amount_micros = max(0, hold.amount_micros - hold.captured_micros)
    held, charged, rest = map(format_micros, (hold.amount_micros, hold.captured_micros, found.amount_micros))
    found.steps.append(f"Of hold {hold.hold_id} {held} was held, {charged} charged, and {rest} left to give back.")


def _explain_capture(evidence: Evidence, found: Explained) -> None:
    _explain_other(evidence, found)
    if evidence.hold is not None:
        of = f" for {evidence.hold.reference}" if evidence.hold.reference else ""
        found.steps.append(f"The platform charged it to hold {evidence.hold.hold_id}{of}, and named no unit or price.")


def _explain_other(evidence: Evidence, found: Explained) -> None:
    others = [e for e in evidence.transaction.entries if e.ledger_account not in (AVAILABLE, RESERVED)]
    found.amount_micros = abs(sum(entry.amount_micros for entry in others))
    for entry in others:
        sense = "out of" if entry.amount_micros < 0 else "into"
        amount = format_micros(abs(entry.amount_micros))
        found.steps.append(f"{amount} {entry.currency} went {sense} {entry.ledger_account}.")


_EXPLAINERS: Mapping[Kind, Callable[[Evidence, Explained], None]] = {
    "hold": _explain_hold,
    "release": _explain_release,
    "capture": _explain_capture,
}


def _check_entries(evidence: Evidence, found: Explained) -> None:
    """What was computed is what moved the money, and what the transaction says that it moved."""
    transaction = evidence.transaction
    available, reserved = _on(transaction, AVAILABLE), _on(transaction, RESERVED)
    moved = abs(available + reserved or available)
    found.check(what="the amount", stored=transaction.amount_micros, computed=found.amount_micros)
    found.check(what="what the entries move", stored=moved, computed=found.amount_micros)
    used = [each.amount_micros for each in found.lines if each.line.source != ADJUSTMENT]
    if used:
        found.check(what="the revenue", stored=_on(transaction, REVENUE), computed=sum(used))


def _on(transaction: LedgerTransaction, ledger_account: str) -> int:
    """What the entries move on a ledger account."""
    return sum(entry.amount_micros for entry in transaction.entries if entry.ledger_account == ledger_account)


def _product(line: LineItem) -> tuple[int, str]:
    amount = stored_number(line.quantity) * line.unit_price_micros
    return amount, f"{line.quantity} {line.unit} x {format_micros(line.unit_price_micros)} = {format_micros(amount)}"


def _no_version(name: str) -> str:
    return f"The catalog has no version {name} any more."
