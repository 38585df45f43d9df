"""Invoices as PDF: what stands on them, where it is, and that it is the same each time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest

from billing_mcp.documents.invoice_pdf import render_invoice
from billing_mcp.documents.words import WORDS
from billing_mcp.domain.invoices import NO_FACTS, Invoice, InvoiceStatus
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.money import parse_micros
from billing_mcp.domain.parties import Language, Party
from billing_mcp.domain.tax import MEMBER_STATES, Customer, TaxBook, TaxRate, tax_for
from tests.documents import samples
from tests.documents.pages import DOCS, REFERENCES, Letter, letters, metadata, picture_in, pictures, texts

EDGES_MM = (25.0, 190.0)
POINTS_PER_MM = 72 / 25.4
SECOND_PAGE = range(14, 27)
"""So many lines, and what follows them, are at the end of a first page."""

_ELSEWHERE = """
import sys
from billing_mcp.documents.invoice_pdf import render_invoice
from tests.documents.pages import REFERENCES
for make in REFERENCES.values():
    sys.stdout.buffer.write(render_invoice(make()))
"""

_IN_A_ROW = """
from pathlib import Path
from billing_mcp.documents.invoice_pdf import render_invoice
from tests.documents import samples
for count in range(60, 72):
    render_invoice(samples.many(count))
    if count in (60, 71):
        print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])  # KiB at most, of this process alone
"""


def text_of(invoice: Invoice, language: Language | None = None) -> str:
    """All that can be searched."""
    return " ".join(texts(render_invoice(invoice, language=language)))


def squeezed(text: str) -> str:
    """Without white space: a text may be broken into lines."""
    return "".join(text.split())


# --- What stands on it ---


def test_an_invoice_says_who_sells_what_to_whom_and_what_it_comes_to() -> None:
    text = text_of(samples.english())

    for said in (
        "Invoice INV-2026-000123",
        "Example Messaging GmbH · Musterstraße 1 · 10115 Berlin",
        "Müller & Söhne Versand GmbH Frau Ingrid Weiß Königstraße 27a 70173 Stuttgart",
        "Date of issue 1 April 2026",
        "Service period 1\u201331 Mar 2026",
        "Your reference PO 4711-B",
        "1 SMTP per mailbox 1\u201331 Mar 2026 1 month 29.00 29.00",
        "2 Mailboxes, 11 of 31 days 1\u201311 Mar 2026 120 mailboxes 0.35 14.90",
        "4 Email to Germany, tier growth 184,300 messages 0.00075 138.22",
        "Net amount €662.36",
        "Credits used \u2212€50.00",
        "VAT 19% on €612.36 €116.35",
        "Total €728.71",
        "Settled by payments on account \u2212€728.71",
        "Nothing is due",
        "VAT of DE, due when the payment on account is received, Art. 65 of Directive 2006/112/EC",
        "VAT ID DE136695976",
        "Amtsgericht Berlin HRB 00000",
        "Page 1 of 1",
    ):
        assert said in text


def test_a_german_invoice_is_german_in_its_words_dates_and_figures() -> None:
    text = text_of(samples.german())

    for said in (
        "Rechnung INV-2026-000124",
        "69002 Lyon FRANKREICH",
        "Ausgestellt am 1. April 2026",
        "Leistungszeitraum 1.\u201331. März 2026",
        "Ihre USt-IdNr. FR61954506077",
        "2 Postfächer, 11 von 31 Tagen 1.\u201311. März 2026 120 Postfächer 0,35 14,90",
        "4 E-Mail nach Frankreich, Stufe growth 184.300 Nachrichten 0,00075 138,22",
        "Umsatzsteuer, Reverse Charge 0,00 €",
        "Steuerschuldnerschaft des Leistungsempfängers, Art. 44 und 196 der Richtlinie 2006/112/EG",
        "Gesamtbetrag 654,83 €",
        "Durch Anzahlungen beglichen \u2212654,83 €",
        "Es ist nichts zu zahlen",
        "Seite 1 von 1",
    ):
        assert said in text
    assert "Gutschrift" not in text_of(samples.credit_note(), "de")


def test_an_invoice_is_in_its_own_language_unless_another_is_asked_for() -> None:
    assert "Rechnung INV-2026-000123" in text_of(samples.english(), "de")
    assert "Invoice INV-2026-000124" in text_of(samples.german(), "en")


def test_what_is_owed_stands_out_and_says_how_it_is_paid() -> None:
    text = text_of(samples.past_due())

    assert "INV-2026-000123 Past due" in text
    assert "Settled by payments on account \u2212€585.91 Amount due €142.80" in text
    assert "What is due is taken from the next payment into the wallet." in text
    assert "Offener Betrag 142,80 €" in text_of(samples.past_due(), "de")


def test_a_credit_note_names_the_invoice_that_it_corrects_and_why() -> None:
    text = text_of(samples.credit_note())

    assert "Credit note INV-2026-000131" in text
    assert "Corrects invoice INV-2026-000123" in text
    assert "Reason: Segments of undelivered messages were charged on 14 March" in text
    assert "\u2212400 segments 0.071 \u221228.40" in text
    assert "Total \u2212€33.80 Credited to the account €33.80" in text
    assert "Rechnungskorrektur INV-2026-000131" in text_of(samples.credit_note(), "de")


@pytest.mark.parametrize(("status", "mark"), [("draft", "Draft"), ("void", "Void"), ("open", None), ("paid", None)])
def test_what_is_not_to_be_paid_is_marked(status: InvoiceStatus, mark: str | None) -> None:
    text = text_of(replace(samples.past_due(), status=status))

    marked = re.search(r"Invoice INV-2026-000123 (Draft|Void|Past due)? ?No\.", text)
    assert marked is not None
    assert marked[1] == mark
    assert ("Void: nothing is due" in text) == (status == "void")


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize(
    ("customer", "german"),
    [
        (Customer("DE"), "Umsatzsteuer 19 % 90,00 € | Umsatzsteuer (Deutschland), fällig mit Vereinnahmung"),
        (Customer("FR"), "Umsatzsteuer 20 %, Frankreich 94,74 € | erklärt im One-Stop-Shop"),
        (Customer("FR", "FR61954506077"), "Umsatzsteuer, Reverse Charge 0,00 € | Steuerschuldnerschaft"),
        (Customer("US"), "Umsatzsteuer, nicht steuerbar 0,00 € | Nicht im Anwendungsbereich der EU-Umsatzsteuer"),
        (Customer("DE", exempt=True), "Umsatzsteuer, steuerfrei 0,00 € | Von der Umsatzsteuer befreit"),
    ],
)
def test_vat_is_explained_whoever_the_customer_is(customer: Customer, german: str, language: Language) -> None:
    tax = tax_for(customer, samples.TAXES, date(2026, 4, 1))
    text = text_of(samples.invoice_of(samples.MESSAGES[:1] * 3 + samples.MESSAGES[2:], tax=tax), language)

    if language == "en":
        assert squeezed(tax.note) in squeezed(text)
        return
    for said in german.split(" | ")[1:]:
        assert said in text
    label = german.split(" | ")[0].rsplit(" ", 2)[0]
    assert re.search(re.escape(label) + r" [0-9,]+ €", text)
    assert ("0,00 €" in text) == (not tax.rate_basis_points)


def test_the_law_of_a_seller_outside_the_union_is_not_the_unions() -> None:
    assert "CH" not in MEMBER_STATES
    swiss = TaxBook("CH", {"CH": (TaxRate(date(2024, 1, 1), 810),)})
    invoice = samples.invoice_of(samples.MESSAGES, tax=tax_for(Customer("CH"), swiss, date(2026, 4, 1)))

    text = text_of(invoice, "de")

    assert "Umsatzsteuer 8,1 %" in text
    assert "(Schweiz), fällig mit Vereinnahmung der Anzahlung, nach dem Recht des Landes" in text


def test_what_was_issued_before_facts_were_kept_is_still_a_document() -> None:
    old = replace(samples.english(), facts=NO_FACTS, number="", tax_micros=0, credits_micros=0)
    text = text_of(old)

    assert "Invoice inv_0190c0de" in text
    assert f"{old.account_id} Invoice number inv_0190c0de" in text
    assert "Net amount €662.36 Total €662.36" in text
    assert "VAT" not in text


def test_an_invoice_without_lines_has_its_sums() -> None:
    text = text_of(replace(samples.english(), lines=()))

    assert "Amount (EUR) " in text
    assert "Total €728.71" in text


def test_lines_are_rounded_as_the_invoice_counts_them() -> None:
    line = LineItem("email", "Half a cent", "7", "basic", 750, parse_micros("0.005250"), "message")

    assert "7 messages 0.00075 0.01" in text_of(samples.invoice_of((line,)))


def test_it_can_be_kept_for_ten_years_and_read_aloud() -> None:
    pdf = render_invoice(samples.german())

    facts = metadata(pdf)
    assert (facts["Title"], facts["Author"]) == ("Rechnung INV-2026-000124", "Example Messaging GmbH")
    assert facts["CreationDate"] == facts["ModDate"] == "D:20260401000000Z"
    assert b"<dc:language><rdf:Bag><rdf:li>de-DE" in pdf
    assert b"<pdfaid:part>3</pdfaid:part><pdfaid:conformance>A</pdfaid:conformance>" in pdf
    assert b"<pdfuaid:part>1</pdfuaid:part>" in pdf
    assert b"/StructTreeRoot" in pdf


# --- Where it is ---


def test_a_long_invoice_repeats_the_heads_of_its_table_and_counts_its_pages() -> None:
    pages = texts(render_invoice(samples.many(230)))

    assert len(pages) > 5
    for number, page in enumerate(pages, 1):
        assert "No. Description Quantity Unit price (EUR) Amount (EUR)" in page
        assert f"Page {number} of {len(pages)}" in page
        assert "Example Messaging GmbH" in page
        assert "Invoice INV-2026-000123" in page
    text = " ".join(pages)
    for line in samples.many(230).lines:
        assert line.description in text
    assert "Total €41,210.74" in pages[-1]


def test_totals_are_never_alone_on_a_page() -> None:
    pages = {count: texts(render_invoice(samples.many(count))) for count in SECOND_PAGE}

    for count, page in pages.items():
        assert f"SMS campaign {count:03d}" in page[-1]
        assert "Total €" in page[-1]
        assert len(page) == 1 or "Total €" not in page[0]
    assert {len(page) for page in pages.values()} == {1, 2}


@pytest.mark.parametrize(
    "make", [samples.crowded, samples.english, samples.hostile, lambda: samples.hostile("W" * 90), samples.german]
)
def test_nothing_leaves_its_column_however_long_its_words_are(make: Callable[[], Invoice]) -> None:
    for page in letters(render_invoice(make())):
        least, most = (edge * POINTS_PER_MM for edge in EDGES_MM)
        assert min(letter.left for letter in page) >= least - 1
        assert max(letter.right for letter in page) <= most + 1
        assert collisions(page) == []


def collisions(page: list[Letter]) -> list[tuple[str, str]]:
    """Letters on one line of which one covers half of another, but those of a word, which may be joined."""
    lines: dict[int, list[tuple[float, int, Letter]]] = {}
    for index, letter in enumerate(page):
        lines.setdefault(round(letter.bottom), []).append((letter.left, index, letter))
    return [
        (one.text, other.text)
        for line in lines.values()
        for (_, before, one), (_, after, other) in pairwise(sorted(line, key=lambda each: each[:2]))
        if abs(after - before) > 2
        and one.right - other.left > 0.5 * min(one.right - one.left, other.right - other.left)
    ]


def test_amounts_of_twelve_digits_are_whole() -> None:
    text = text_of(samples.crowded())

    assert "1 Stück 999.999.999.999,99 999.999.999.999,99" in text
    assert "333.333.333.333,33" in text
    assert "Gesamtbetrag 1.586.666.666.666,65 €" in text


def test_the_address_is_in_the_window_of_the_envelope() -> None:
    """DIN 5008, form B: 20 mm from the left and 45 mm from the top, 85 mm by 45 mm."""
    page = letters(render_invoice(samples.german()))[0]
    text = "".join(letter.text for letter in page)
    start, end = text.index("LettresFran"), text.index("FRANKREICH") + len("FRANKREICH")

    for letter in page[start:end]:
        assert 20 <= letter.left / POINTS_PER_MM <= 105
        assert 45 + 17.7 <= 297 - letter.top / POINTS_PER_MM <= 45 + 45


def test_the_pages_in_the_documentation_are_what_is_set_now() -> None:
    for name, make in REFERENCES.items():
        kept = picture_in((DOCS / name).read_bytes())
        now = pictures(render_invoice(make()))[0]

        assert (kept.width, kept.height) == (now.width, now.height)
        if kept.pixels != now.pixels:  # fonts are drawn a little differently elsewhere
            other = sum(abs(a - b) > 64 for a, b in zip(kept.pixels, now.pixels, strict=True))
            assert other < len(now.pixels) / 500, f"python -m tests.documents.pages draws {name} anew"
        assert (DOCS / name).stat().st_size < 150_000


# --- The same each time ---


def test_the_same_invoice_is_the_same_bytes_in_another_process_zone_and_place() -> None:
    here = [render_invoice(make()) for make in REFERENCES.values()]
    elsewhere = {"TZ": "Pacific/Auckland", "LC_ALL": "tr_TR.UTF-8", "SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "7"}
    environment = os.environ | elsewhere | {"PYTHONPATH": ":".join(sys.path)}

    there = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE], env=environment, capture_output=True, cwd="/", check=True
    )

    assert there.stdout == b"".join(here)


def test_many_at_once_are_each_what_they_are_alone() -> None:
    wanted = [replace(samples.english(), number=f"INV-2026-{number:06d}") for number in range(8)]
    alone = [render_invoice(invoice) for invoice in wanted]

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(render_invoice, wanted))

    assert together == alone
    assert len(set(alone)) == len(wanted)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says so much of a process")
def test_documents_that_were_set_take_no_memory() -> None:
    done = subprocess.run([sys.executable, "-c", _IN_A_ROW], capture_output=True, text=True, check=True)

    one, twelve = map(int, done.stdout.split())
    assert twelve - one < 50 * 1024


def test_another_invoice_is_another_document() -> None:
    invoice = samples.english()
    others = [
        replace(invoice, number="INV-2026-000999"),
        replace(invoice, paid_micros=0),
        replace(invoice, facts=replace(invoice.facts, customer=Party("Someone else"))),
    ]

    assert len({render_invoice(each) for each in (invoice, *others)}) == len(others) + 1


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ("Mailboxes, 11 of 31 days", "Postfächer, 11 von 31 Tagen"),
        ("Mailboxes above 10 included, 3 of 30 days", "Postfächer über 10 enthaltene hinaus, 3 von 30 Tagen"),
        ("SMTP per proxy, yearly, 31 of 365 days", "SMTP per proxy, jährlich, 31 von 365 Tagen"),
        ("SMTP per proxy, up to the minimum fee", "SMTP per proxy, bis zum Mindestentgelt"),
        (
            "SMTP per proxy: yearly discount taken back for 59 days from 2026-01-31",
            "SMTP per proxy: Jahresrabatt zurückgenommen für 59 Tage ab 31. Januar 2026",
        ),
        ("{name}, yearly", "{name}, jährlich"),
        ("A" + ", yearly" * 1_000, "A, yearly"),
        ("Charge for campaign_autumn", "Charge for campaign_autumn"),
    ],
)
def test_what_a_plan_is_charged_for_is_said_in_german(stored: str, said: str) -> None:
    line = replace(samples.plan_lines()[0], description=stored)

    assert said in text_of(samples.invoice_of((line,)), "de")


@pytest.mark.parametrize(("language", "said"), [("en", "Email, tier growth"), ("de", "E-Mail, Stufe growth")])
def test_messages_at_the_price_of_every_country_name_none(language: Language, said: str) -> None:
    line = samples.use("Email basic, growth", 5_000, "basic", "0.00075", "email", "*")

    assert f"1 {said}" in text_of(samples.invoice_of((line,)), language)
