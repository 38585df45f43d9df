"""What is true of the books of a year, worked out again from stored rows; nothing here asks the product's own rules."""

from __future__ import annotations

import json
from calendar import monthrange
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.store.books import raw_connection

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CENT = 10_000
_TAKES_BACK = ("reversal", "refund")


@dataclass
class Account:
    """What is stored of an account: its rows, in order."""

    opened: date
    anchor_day: int
    closed_through: date
    credits_used_micros: int = 0
    """By the grants."""
    credits_left_micros: int = 0
    """What of it is on no invoice yet, by the cycle."""
    transactions: list[dict[str, Any]] = field(default_factory=list)
    invoices: list[dict[str, Any]] = field(default_factory=list)

    def periods(self) -> list[tuple[date, date]]:
        """All that are closed: from the opening on, each up to the next anchored day.

        They are anchored on the day of the opening, until a first plan is chosen, which anchors them on its own first
        day, and perhaps is undone before it begins. When that was is not stored: it is when the invoices say.
        """
        billed = [(each["period_start"], each["period_end"]) for each in self.invoices if not each["corrects"]]
        ends = dict(billed)
        assert len(ends) == len(billed), f"two invoices of a period: {billed}"
        anchors = list(dict.fromkeys([self.opened.day, *(end.day for _, end in billed), self.anchor_day]))
        chain = _chain(self.opened, self.closed_through, anchors, ends)
        assert chain is not None, f"no chain of periods leads to {self.closed_through} by {billed}"
        return chain


def _chain(start: date, until: date, anchors: list[int], ends: dict[date, date]) -> list[tuple[date, date]] | None:
    """Periods from a day up to another, which go by anchors in turn, and have all that invoices are for."""
    if start >= until or not anchors:
        return [] if start == until and not ends else None
    end = next_anchored(start, anchors[0])
    if ends.get(start, end) == end:
        rest = _chain(end, until, anchors, {day: last for day, last in ends.items() if day != start})
        if rest is not None:
            return [(start, end), *rest]
    return _chain(start, until, anchors[1:], ends)


async def assert_holds(database: str, *, ended: date) -> Counter[str]:
    """All of it, for every account. Returns how often there was what, so that a test sees that it was there."""
    accounts = await _read(database)
    seen: Counter[str] = Counter()
    numbers: dict[int, list[int]] = defaultdict(list)
    for account_id, each in accounts.items():
        periods = each.periods()
        assert next_anchored(each.closed_through, each.anchor_day) > ended, f"{account_id} has a period open too long"
        _assert_invoices_have_all_revenue_once(account_id, each, periods)
        _assert_wallet_is_negative_by_reversals_alone(account_id, each)
        _assert_invoices_say_what_is_owed(account_id, each)
        for invoice in each.invoices:
            _assert_adds_up(invoice)
            series, _, number = invoice["number"].rpartition("-")
            assert int(series[-4:]) == invoice["issued_at"].year, invoice["number"]
            numbers[int(series[-4:])].append(int(number))
            seen[f"{invoice['kind']} {invoice['status']}"] += 1
            seen["29 February"] += invoice["period_end"] == date(2028, 2, 29)
        seen.update(transaction["type"] for transaction in each.transactions)
    for year, given in numbers.items():
        assert sorted(given) == list(range(1, len(given) + 1)), f"the numbers of {year} have gaps, or are not unique"
    return seen


def next_anchored(day: date, anchor_day: int) -> date:
    """The first day after another that an anchor falls on: the last of a month that is shorter."""
    for later in range(1, 64):
        candidate = day + timedelta(days=later)
        if candidate.day == min(anchor_day, monthrange(candidate.year, candidate.month)[1]):
            return candidate
    raise AssertionError(day)


def _assert_invoices_have_all_revenue_once(account_id: str, account: Account, periods: list[tuple[date, date]]) -> None:
    """What moved revenue belongs to the document that it was posted with, or else to the period of its moment."""
    posted_with = {each["posting_seq"]: each["invoice_seq"] for each in account.invoices if each["posting_seq"]}
    of_period = {(i["period_start"], i["period_end"]): i["invoice_seq"] for i in account.invoices if not i["corrects"]}
    earned: Counter[int | None] = Counter()
    for transaction in account.transactions:
        moved = sum(micros for name, micros in transaction["entries"] if name in ("revenue", "rounding"))
        day = transaction["created_at"].date()
        if transaction["seq"] in posted_with:
            earned[posted_with[transaction["seq"]]] += moved
        elif moved and day < account.closed_through:
            period = next(each for each in periods if each[0] <= day < each[1])
            earned[of_period.get(period)] += moved
    assert earned.pop(None, 0) == 0, f"{account_id} has revenue that is on no invoice"
    billed = {each["invoice_seq"]: each["amount_micros"] for each in account.invoices if each["amount_micros"]}
    assert {seq: micros for seq, micros in earned.items() if micros} == billed, account_id


def _assert_invoices_say_what_is_owed(account_id: str, account: Account) -> None:
    """What the ledger says is owed is unpaid on invoices, but for what is on none yet; and so it is with credits."""
    owed = unbilled = 0
    for transaction in account.transactions:
        moved = -sum(micros for name, micros in transaction["entries"] if name == "receivable")
        owed += moved
        if transaction["created_at"].date() >= account.closed_through and any(
            name == "revenue" for name, _ in transaction["entries"]
        ):
            unbilled += moved
    unpaid = sum(each["amount_micros"] - each["paid_micros"] for each in account.invoices)
    assert 0 <= owed - unpaid <= unbilled + CENT, f"{account_id}: {owed} is owed, {unpaid} unpaid, {unbilled} unbilled"
    billed = sum(each["credits_micros"] for each in account.invoices if not each["corrects"])
    assert account.credits_used_micros == billed + account.credits_left_micros, account_id


def _assert_adds_up(invoice: dict[str, Any]) -> None:
    """Each line is rounded once, to the even cent; net is their sum, and VAT is on what credits have not paid."""
    name = invoice["number"]
    cents = sum(round(Fraction(line["amount_micros"], CENT)) for line in invoice["lines"])
    assert invoice["amount_micros"] == cents * CENT, name
    assert 0 <= invoice["credits_micros"] <= invoice["amount_micros"] or invoice["kind"] == "credit_note", name
    rate = invoice["facts"]["tax"]["rate_basis_points"]
    if not invoice["corrects"]:  # the VAT of credit notes sums to that of their invoice
        taxed = Fraction(invoice["amount_micros"] - invoice["credits_micros"], CENT) * rate / 10_000
        away = int(abs(taxed) + Fraction(1, 2)) * CENT
        assert invoice["tax_micros"] == (away if taxed >= 0 else -away), name
    unpaid = invoice["amount_micros"] - invoice["paid_micros"]
    assert (unpaid >= CENT) == (invoice["status"] == "past_due"), name


def _assert_wallet_is_negative_by_reversals_alone(account_id: str, account: Account) -> None:
    before = 0
    for transaction in account.transactions:
        after = transaction["available_after_micros"]
        if after < 0:
            assert after >= before or transaction["type"] in _TAKES_BACK, (account_id, transaction["seq"])
        assert transaction["reserved_after_micros"] >= 0, (account_id, transaction["seq"])
        before = after


async def _read(database: str) -> dict[str, Account]:
    async with raw_connection(database) as run:
        cycles = await run(
            "SELECT a.account_id, a.created_at_us, s.anchor_day, c.closed_through, c.credits_used_micros "
            "FROM accounts a JOIN billing_cycles c ON c.account_id = a.account_id "
            "LEFT JOIN subscriptions s ON s.account_id = a.account_id"
        )
        grants = await run("SELECT account_id, amount_micros - remaining_micros - expired_micros FROM credit_grants")
        transactions = await run(
            "SELECT account_id, seq, type, created_at_us, available_after_micros, reserved_after_micros "
            "FROM ledger_transactions ORDER BY account_id, seq"
        )
        entries = await run("SELECT account_id, seq, ledger_account, amount_micros FROM ledger_entries")
        invoices = await run(
            "SELECT account_id, invoice_seq, number, kind, status, corrects, amount_micros, paid_micros, "
            "credits_micros, tax_micros, issued_at_us, period_start, period_end, posting_seq, lines_json, facts_json "
            "FROM invoices ORDER BY account_id, invoice_seq"
        )
    accounts = {}
    for account_id, created_at_us, anchor_day, closed_through, left_micros in cycles:
        opened, used = _moment(created_at_us).date(), sum(micros for name, micros in grants if name == account_id)
        accounts[account_id] = Account(opened, anchor_day or opened.day, _day(closed_through), used, left_micros)
    legs: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
    for account_id, seq, name, micros in entries:
        legs[account_id, seq].append((name, micros))
    for account_id, seq, type_, created_at_us, available, reserved in transactions:
        facts = {"seq": seq, "type": type_, "created_at": _moment(created_at_us), "entries": legs[account_id, seq]}
        after = {"available_after_micros": available, "reserved_after_micros": reserved}
        accounts[account_id].transactions.append(facts | after)
    names = ("invoice_seq", "number", "kind", "status", "corrects", "amount_micros", "paid_micros", "credits_micros")
    for account_id, *row in invoices:
        facts = dict(zip((*names, "tax_micros"), row, strict=False))
        issued_at_us, start, end, posting_seq, lines, told = row[len(names) + 1 :]
        facts |= {"issued_at": _moment(issued_at_us), "period_start": _day(start), "period_end": _day(end)}
        facts |= {"posting_seq": posting_seq, "lines": json.loads(lines), "facts": json.loads(told)}
        accounts[account_id].invoices.append(facts)
    return accounts


def _moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def _day(told: date | str) -> date:
    return date.fromisoformat(told) if isinstance(told, str) else told
