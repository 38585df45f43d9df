"""`billing-mcp invoices`, and `accounts details`: seeing invoices, setting them as PDF, and correcting them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import LOGISTICS, MAIL, NOBODY, STUDIO, Cli
from tests.processes import warm_command

NUMBER = "INV-2026-000009"
"""Of MAIL: 29.00 for the plan, and 147.00 for mailboxes."""
OWED = "INV-2026-000008"
"""Of STUDIO, which has not paid all of it."""


@pytest.fixture
def db(lived: str) -> list[str]:
    return ["--database", lived]


def test_invoices_are_listed_by_account_and_without_one_those_that_are_past_due(cli: Cli, db: list[str]) -> None:
    of_account = cli("invoices", "list", MAIL, "--json", *db).json
    due = cli("invoices", "list", "--json", *db).json
    shown = cli("invoices", "list", *db)

    assert [each["number"] for each in of_account[:2]] == [NUMBER, "INV-2026-000005"]
    assert {(each["account_id"], each["status"]) for each in of_account} == {(MAIL, "paid")}
    assert [(each["account_id"], each["number"], each["due"]) for each in due] == [(STUDIO, OWED, "63.67")]
    for word in ("Past due", STUDIO, OWED, "63.67"):
        assert word in shown.words
    assert NUMBER not in shown.stdout
    assert [each["number"] for each in cli("invoices", "list", MAIL, "--limit", "1", "--json", *db).json] == [NUMBER]
    cli("invoices", "list", NOBODY, *db).refused("not_found", 3)


def test_an_invoice_reads_like_a_letter(cli: Cli, db: list[str]) -> None:
    shown = cli("invoices", "show", NUMBER, *db)

    for words in (
        f"Invoice {NUMBER} paid",
        "issued 2026-03-01 for 2026-02-01 to 2026-03-01",
        "Northwind Mail",
        "2 Mailboxes 2026-02-01 to 2026-03-01 420 mailbox 0.35 147.00",
        "Net 176.00 EUR",
        "VAT 19.00 % (domestic) 33.44 EUR",
        "Total 209.44 EUR",
        "Due 0.00 EUR",
    ):
        assert words in shown.words, shown.stdout


def test_an_invoice_is_shown_by_its_number_or_its_id_and_of_its_account_alone(cli: Cli, db: list[str]) -> None:
    by_number = cli("invoices", "show", NUMBER, "--json", *db).json
    by_id = cli("invoices", "show", by_number["id"].upper(), "--account", MAIL, "--json", *db).json
    called = cli("call", "billing.invoices.get", f"account_id={MAIL}", f"invoice_id={NUMBER}", "--json", *db).json

    assert by_number == by_id == called["result"] == cli("invoices", "show", by_number["id"], "--json", *db).json
    for arguments in ([NUMBER, "--account", LOGISTICS], ["INV-2026-999999"], [NOBODY]):
        cli("invoices", "show", *arguments, *db).refused("not_found", 3)


def test_an_invoice_is_set_into_a_file_by_its_number_or_onto_standard_output(
    cli: Cli, db: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    said = cli("invoices", "render", NUMBER, *db)
    german = cli("invoices", "render", NUMBER, "--language", "de", "--output", "deutsch.pdf", *db)

    pdf = (tmp_path / f"{NUMBER}.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert said.stdout == f"{NUMBER}.pdf: {len(pdf):,} bytes.\n"
    assert german.exit_code == 0
    assert (tmp_path / "deutsch.pdf").read_bytes() != pdf
    cli("invoices", "render", NUMBER, "-o", "no/folder.pdf", *db).refused("invalid_argument", 2)
    assert cli("invoices", "render", NUMBER, "--language", "fr", *db).exit_code == 2


def test_on_standard_output_there_is_the_pdf_and_nothing_else(cli: Cli, db: list[str], tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    assert cli("invoices", "render", NUMBER, "-o", str(file), *db).exit_code == 0

    command = warm_command("invoices", "render", NUMBER, "--output", "-", *db)
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)

    assert (done.stdout, done.stderr) == (file.read_bytes(), b"")


def test_a_correction_is_previewed_issued_and_issued_once_under_its_key(cli: Cli, db: list[str]) -> None:
    correct = ["invoices", "correct", NUMBER, "--reason", "Two mailboxes too many", "--line", "2", "--amount", "0.70"]
    before = cli("invoices", "list", MAIL, "--json", *db).json

    previewed = cli(*correct, "--preview", "--json", *db).json
    between = cli("invoices", "list", MAIL, "--json", *db).json
    issued = cli(*correct, "--idempotency-key", "k", "--json", *db).json
    again = cli(*correct, "--idempotency-key", "k", *db)

    assert between == before
    assert issued == previewed
    assert (issued["amount"], issued["tax"], issued["corrects_number"]) == ("-0.70", "-0.13", NUMBER)
    assert again.words.startswith(f"Issued before, under the same key: Credit note {issued['number']}")
    assert [each["number"] for each in cli("invoices", "list", MAIL, "--json", *db).json] == [
        issued["number"],
        *[each["number"] for each in before],
    ]
    shown = cli("invoices", "show", NUMBER, *db)
    assert f"Credit note {issued['number']} of 2026-03-12: -0.83" in shown.words


def test_what_is_owed_is_lowered_and_a_void_invoice_cannot_be_corrected(cli: Cli, db: list[str]) -> None:
    issued = cli("invoices", "correct", OWED, "--reason", "Never used", *db)

    assert f"of invoice {OWED}" in issued.words
    assert cli("invoices", "list", "--json", *db).json == []
    assert cli("invoices", "show", OWED, "--json", *db).json["status"] == "void"
    cli("invoices", "correct", OWED, "--reason", "Again", *db).refused("invoice_not_correctable", 3)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--line", "1"],
        ["--amount", "1.00"],
        ["--line", "1", "--amount", "1.00", "--line", "1", "--amount", "1.00"],
        ["--line", "9", "--amount", "1.00"],
        ["--line", "1", "--amount", "much"],
        ["--line", "1", "--amount", "0.001"],
        ["--line", "1", "--amount", "29.01"],
    ],
)
def test_a_correction_that_makes_no_sense_is_refused(cli: Cli, db: list[str], wrong: list[str]) -> None:
    cli("invoices", "correct", NUMBER, "--reason", "x", *wrong, *db).refused("invalid_argument", 2)


def test_a_card_number_is_no_reason_and_no_address(cli: Cli, db: list[str]) -> None:
    card = "4242 4242 4242 4242"
    cli("invoices", "correct", NUMBER, "--reason", card, *db).refused("card_number", 2)
    cli("accounts", "details", MAIL, "--address", card, *db).refused("card_number", 2)


def test_who_invoices_are_addressed_to_is_said_piece_by_piece(cli: Cli, database: str, account: str) -> None:
    db = ["--database", database]
    address = ["--address", "Hafenstraße 1", "--address", "20457 Hamburg"]
    cli("accounts", "details", account, "--name", "Northwind AG", *address, "--reference", "PO 7", *db)

    changed = cli("accounts", "details", account, "--language", "de", "--reference", "none", "--json", *db).json
    shown = cli("accounts", "details", account, *db)

    assert changed == {
        "name": "Northwind AG",
        "address": ["Hafenstraße 1", "20457 Hamburg"],
        "language": "de",
        "reference": None,
    }
    assert shown.stdout.splitlines() == [
        "Northwind AG",
        "Hafenstraße 1",
        "20457 Hamburg",
        "Invoices are in de, with no reference.",
    ]
    cli("accounts", "details", NOBODY, *db).refused("not_found", 3)
    cli("accounts", "details", account, "--name", " ", *db).refused("invalid_argument", 2)
    cli("accounts", "details", account, *["--address", "x"] * 7, *db).refused("invalid_argument", 2)
    assert json.loads(cli("accounts", "details", account, "--json", *db).stdout) == changed
