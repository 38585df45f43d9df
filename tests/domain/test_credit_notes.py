"""Credit notes: whatever is given back, no line goes below zero, and the parts add up to the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.domain.credit_notes import LINE, Correction, correct
from billing_mcp.domain.errors import InvalidArgument, Refused
from billing_mcp.domain.invoices import Facts, Invoice, line_amount
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.money import MICROS_PER_CENT
from billing_mcp.domain.tax import Tax, add_tax

NOW = datetime(2026, 4, 1, tzinfo=UTC)
VAT = Tax("domestic", 1900, "DE", "")


def line(micros: int) -> LineItem:
    return LineItem("base", "Base fee", "1", "month", micros, micros, "plan")


def issued(micros: Sequence[int], *, credits_micros: int = 0, unpaid_micros: int = 0, tax: Tax = VAT) -> Invoice:
    lines = tuple(line(each) for each in micros)
    amount = sum(line_amount(each) for each in lines)
    return Invoice(
        account_id="a",
        invoice_seq=1,
        invoice_id="i",
        status="past_due" if unpaid_micros >= MICROS_PER_CENT else "paid",
        currency="EUR",
        amount_micros=amount,
        paid_micros=amount - unpaid_micros,
        issued_at=NOW,
        period_start=date(2026, 3, 1),
        period_end=date(2026, 4, 1),
        lines=lines,
        number="INV-2026-000001",
        credits_micros=credits_micros,
        tax_micros=add_tax(amount - credits_micros, tax),
        facts=Facts(tax=tax),
    )


def corrected(invoice: Invoice, earlier: Sequence[Invoice], wanted: dict[int, int] | None) -> Correction:
    return correct(invoice, earlier, wanted, reason="r", note_seq=2, note_id="n", number="N", posting_seq=9, now=NOW)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Invoice, list[dict[int, int] | None]]:
    """An invoice, and what is asked back of it, some of it too much; in the end all that is left."""
    micros = draw(st.lists(st.integers(1, 500_000_000), min_size=1, max_size=4))
    invoice = issued(micros, tax=replace(VAT, rate_basis_points=draw(st.sampled_from([0, 550, 1900, 2550]))))
    cents = invoice.amount_micros // MICROS_PER_CENT
    invoice = issued(
        micros,
        credits_micros=draw(st.integers(0, cents)) * MICROS_PER_CENT,
        unpaid_micros=draw(st.integers(0, invoice.amount_micros)),
        tax=invoice.facts.tax,
    )
    places = st.integers(1, len(micros))
    asked = st.dictionaries(places, st.integers(1, 60_000).map(lambda n: n * MICROS_PER_CENT), min_size=1)
    return invoice, [*draw(st.lists(asked, max_size=5)), None]


def carried_out(invoice: Invoice, asked: Sequence[dict[int, int] | None]) -> Iterator[tuple[Invoice, Correction]]:
    """Each correction that is accepted, with the invoice as it stood before it."""
    notes: list[Invoice] = []
    for wanted in asked:
        try:
            done = corrected(invoice, notes, wanted)
        except (InvalidArgument, Refused):
            continue
        yield invoice, done
        notes.append(done.note)
        invoice = replace(invoice, status=done.status, paid_micros=done.paid_micros)


@given(histories())
def test_the_notes_of_an_invoice_add_up_to_it_and_no_line_gives_back_more_than_it_was(
    history: tuple[Invoice, list[dict[int, int] | None]],
) -> None:
    invoice, asked = history
    left = {place: line_amount(each) for place, each in enumerate(invoice.lines, start=1)}
    notes = []

    for _, done in carried_out(invoice, asked):
        notes.append(done.note)
        for each in done.note.lines:
            left[int((each.metadata or {})[LINE])] += each.amount_micros
        assert min(left.values()) >= 0
        assert done.note.amount_micros == sum(line_amount(each) for each in done.note.lines)
        assert (done.status == "void") == (not any(left.values()))

    assert not any(left.values())
    for name in ("amount_micros", "credits_micros", "tax_micros", "gross_micros"):
        assert sum(getattr(note, name) for note in notes) == -getattr(invoice, name), name


@given(histories())
def test_what_is_owed_is_lowered_first_and_only_the_rest_reaches_the_wallet(
    history: tuple[Invoice, list[dict[int, int] | None]],
) -> None:
    for before, done in carried_out(*history):
        moved = {entry.ledger_account: entry.amount_micros for entry in done.posting.entries}
        given_back = -done.note.amount_micros
        off_debt = min(max(0, before.unpaid_micros), given_back)
        assert sum(moved.values()) == 0
        assert moved["revenue"] == -given_back
        assert moved.get("receivable", 0) == off_debt
        assert moved.get("available", 0) == given_back - off_debt
        assert done.paid_micros == before.paid_micros + off_debt <= before.amount_micros


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({0: 10_000}, "lines"),
        ({3: 10_000}, "lines"),
        ({1: 0}, "amount"),
        ({1: -10_000}, "amount"),
        ({1: 5_000}, "amount"),
        ({1: 10_010_000}, "amount"),
        ({1: 10_000_000, 2: 10_000}, "amount"),
    ],
)
def test_what_the_invoice_does_not_have_cannot_be_given_back(wanted: dict[int, int], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        corrected(issued([10_000_000, 4_999]), (), wanted)

    assert refused.value.field == field


def test_a_credit_note_is_not_corrected_nor_an_invoice_of_which_nothing_is_left() -> None:
    invoice = issued([10_000_000])
    note = corrected(invoice, (), None).note

    for each, earlier, wanted in ((note, (), None), (invoice, [note], None), (invoice, (), {})):
        with pytest.raises(Refused) as refused:
            corrected(each, earlier, wanted)
        assert refused.value.code == "invoice_not_correctable"


def test_a_credit_note_says_what_it_corrects_and_why() -> None:
    done = corrected(issued([10_000_000, 5_000_000]), (), {2: 1_250_000})

    (given_back,) = done.note.lines
    assert (done.note.kind, done.note.corrects, done.note.number) == ("credit_note", "i", "N")
    assert (done.note.facts.corrects_number, done.note.facts.reason) == ("INV-2026-000001", "r")
    assert (given_back.description, given_back.quantity, given_back.unit) == ("Base fee", "-1", "part")
    assert (given_back.amount_micros, done.note.amount_micros, done.note.tax_micros) == (
        -1_250_000,
        -1_250_000,
        -240_000,
    )
    assert done.note.posting_seq == 9
