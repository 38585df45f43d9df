"""Texts on documents that would do harm: each is shown as it is, and nothing is opened by it."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from billing_mcp.documents.invoice_pdf import render_invoice
from billing_mcp.documents.plain import REPLACEMENT, plain
from billing_mcp.domain.invoices import Facts
from billing_mcp.domain.ledger import LineItem
from tests.documents import jailed, samples
from tests.documents.pages import texts

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has seccomp")


def shown(text: str) -> str:
    """A document with the text in every field, as it can be searched, without white space."""
    return "".join("".join(texts(render_invoice(samples.hostile(text)))).split())


@pytest.mark.parametrize(
    "text",
    [
        samples.MARKUP,
        '"}, "x": #panic() \\u{41} $ integral_0^1 $ = Title\\',
        "// comment /* and */ ```typ #eval(\"1\")``` @label <label> ~ --- ... 'q' https://x",
        "<script>alert(1)</script> &amp; %PDF-1.7 endobj (a) \\(b\\)",
        "Żółć Łódź Ελλάδα Привіт Тернопіль Çağdaş ß ẞ € ₴ Nguyễn",
        "",
    ],
)
def test_a_text_is_shown_as_it_is_in_every_field(text: str) -> None:
    document = shown(text)

    for field in samples.HOSTILE_FIELDS.split():
        assert f"{field}:{text}".replace(" ", "") in document


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("one\u202etwo\u2066three\u2069", "one\ufffdtwo\ufffdthree\ufffd"),
        ("zero\u200bwidth\u200djoined\u2060", "zero\ufffdwidth\ufffdjoined\ufffd"),
        ("a\x00b\x1b[31mc\x7f\x9b", "a\ufffdb\ufffd[31mc\ufffd\ufffd"),
        ("half\ud800a\udfffletter", "half\ufffda\ufffdletter"),
        ("tag\U000e0041\ue000\uffff", "tag\ufffd\ufffd\ufffd"),
        ("lines\r\nand\ttabs\u2028and\u2029more", "lines and tabs and more"),
        ("blanks  \u00a0 \u3000here\u00a0\u20ac", "blanks here\u00a0\u20ac"),
        ("soft\u00adhyphen\ufeff", "softhyphen"),
        ("Z" + "\u0301" * 10_000, "\u0179" + "\u0301" * 4 + REPLACEMENT),
        ("cafe\u0301", "café"),
        ("Ω العربية עברית हिन्दी", "Ω العربية עברית हिन्दी"),
    ],
)
def test_what_would_hide_or_turn_a_text_becomes_a_mark_that_is_seen(text: str, seen: str) -> None:
    assert plain(text) == seen
    assert plain(seen) == seen


def test_such_marks_stand_in_every_field() -> None:
    document = shown("a\u202eb\u200bc\x00d\ud800e")

    for field in samples.HOSTILE_FIELDS.split():
        assert f"{field}:a\ufffdb\ufffdc\ufffdd\ufffde" in document


LINE = replace(samples.MESSAGES[0], metadata=None)
FACTS = samples.credit_note().facts
ENDLESS = "x" * 10_000


@pytest.mark.parametrize(
    ("letter", "line"),
    [
        ("x", replace(LINE, description=ENDLESS)),
        ("W", replace(LINE, unit="W" * 10_000)),
        ("-", replace(LINE, quantity="-" * 10_000)),
    ],
)
def test_ten_thousand_characters_are_set_over_as_many_pages_as_they_need(letter: str, line: LineItem) -> None:
    invoice = samples.english()

    pages = texts(render_invoice(replace(invoice, lines=(*invoice.lines, line))))

    assert sum(page.count(letter) for page in pages) >= 10_000
    assert "Total €728.71" in pages[-1]
    assert all(f"Page {number} of {len(pages)}" in page for number, page in enumerate(pages, 1))


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, seller=replace(FACTS.seller, name=ENDLESS)),
        replace(FACTS, customer=replace(FACTS.customer, name=ENDLESS)),
        replace(FACTS, reference=ENDLESS),
        replace(FACTS, tax=replace(FACTS.tax, note=ENDLESS)),
    ],
    ids=["seller", "customer", "reference", "note"],
)
def test_the_sums_are_there_whoever_has_an_endless_name(facts: Facts) -> None:
    pages = texts(render_invoice(replace(samples.credit_note(), facts=facts)))

    assert sum(page.count("x") for page in pages) >= 10_000
    assert "Total \u2212€33.80" in " ".join(pages)


@pytest.mark.parametrize("text", ["你好世界", "🙂🧾", "ไทย", "한국어"])
def test_letters_that_no_font_has_are_boxes_and_the_sums_are_there(text: str) -> None:
    invoice = samples.english()
    pdf = render_invoice(replace(invoice, facts=replace(invoice.facts, reference=text)))

    assert "Total €728.71" in texts(pdf)[0]
    assert b"pdfaid" not in pdf, "it would claim to be kept as it is read"
    assert len(pdf) > 20_000


# --- Nothing is opened ---


def in_jail(*words: str) -> subprocess.CompletedProcess[str]:
    # What libraries look up of the machine itself, whatever is set: its time zone, and how it lends memory to threads.
    machine = {"TZ": "UTC", "MALLOC_ARENA_MAX": "1"}
    environment = {"PYTHONPATH": ":".join(sys.path), **machine}
    program = [sys.executable, "-m", "tests.documents.jailed", *words]
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)


@linux
def test_nothing_is_opened_and_nobody_is_called_to_set_a_document() -> None:
    done = in_jail("set")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [hashlib.sha256(pdf).hexdigest() for pdf in jailed.documents()]


@linux
def test_whoever_opens_a_file_there_dies_of_it() -> None:
    assert in_jail("open", "/etc/passwd").returncode == -signal.SIGSYS
