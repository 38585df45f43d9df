"""`billing-mcp export`: books that bean-check accepts, whole files, clean ends, and errors that say what to mend."""

from __future__ import annotations

import csv
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from billing_mcp import terminal
from billing_mcp.exports.csv_rows import COLUMNS
from tests.cli.conftest import MAIL, NOBODY, STUDIO, Cli
from tests.cli.test_backup import crippled
from tests.processes import warm_command

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "exports.md"
BEAN_CHECK = Path(sys.executable).parent / "bean-check"
INTERRUPTED = """
import os, signal
from billing_mcp.exports import csv_rows
signal.signal(signal.SIGINT, signal.default_int_handler)
csv_rows.rows = lambda *_: os.kill(os.getpid(), signal.SIGINT) or "x"
"""
FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
"""


def test_bean_check_accepts_the_demos_books_and_refuses_them_with_one_digit_changed(
    cli: Cli, lived: str, tmp_path: Path
) -> None:
    file = tmp_path / "books.beancount"

    exported = cli("export", "--format", "beancount", "--output", str(file), "--database", lived)

    assert (exported.exit_code, exported.stderr) == (0, "")
    assert exported.words.startswith("Exported ")
    assert exported.words.endswith(f"transactions of 4 accounts to {file}.")
    assert _bean_check(file) == (0, "")
    text = file.read_text("utf-8")
    assert file.stat().st_mode & 0o777 == 0o600
    changed = text.replace("  -50.000000 EUR", "  -50.000001 EUR", 1)
    assert changed != text
    file.write_text(changed, "utf-8")
    code, said = _bean_check(file)
    assert (code, "Transaction does not balance" in said) == (1, True)


def _bean_check(file: Path) -> tuple[int, str]:
    done = subprocess.run([BEAN_CHECK, file], capture_output=True, encoding="utf-8", timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_month_is_printed_as_a_table_of_its_entries(cli: Cli, lived: str, tmp_path: Path) -> None:
    file = tmp_path / "february.csv"
    asked = ("export", "--format", "csv", "--from", "2026-02-01", "--to", "2026-03-01", "--database", lived)

    printed = cli(*asked, "--account", MAIL)
    cli(*asked, "--account", MAIL.upper(), "--output", str(file))

    rows = list(csv.DictReader(io.StringIO(printed.stdout, newline=""), strict=True))
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert file.read_bytes().decode().replace("\r\n", "\n") == printed.stdout
    assert file.read_bytes().count(b"\r\n") == len(rows) + 1
    assert tuple(rows[0]) == COLUMNS
    assert {row["account_name"] for row in rows} == {"Northwind Mail"}
    assert [(row["date"], row["ledger_account"], row["debit"], row["credit"]) for row in rows] == [
        ("2026-02-01", "available", "155.00", ""),
        ("2026-02-01", "revenue", "", "155.00"),
        ("2026-02-01", "available", "", "200.00"),
        ("2026-02-01", "tax", "", "38.00"),
        ("2026-02-01", "cash:test", "238.00", ""),
    ]


def test_the_documentation_names_every_column_and_its_example_adds_up_the_revenue(
    cli: Cli, lived: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = DOCUMENTATION.read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    asked = ("export", "--format", "csv", "--from", "2026-02-01", "--to", "2026-03-01", "--account", MAIL)
    assert cli(*asked, "--output", str(tmp_path / "february.csv"), "--database", lived).exit_code == 0
    monkeypatch.chdir(tmp_path)

    exec(example, {})  # noqa: S102 - ours

    assert capsys.readouterr().out == "{'EUR': Decimal('155.00')}\n"
    table = "".join(line for line in page.splitlines() if line.startswith("| `"))
    assert [name for name in COLUMNS if f"`{name}`" not in table] == []


@pytest.mark.parametrize(
    ("options", "code", "exit_code", "mend"),
    [
        (("--account", NOBODY), "not_found", 3, NOBODY),
        (("--from", "2026-03-01", "--to", "2026-02-01"), "invalid_argument", 2, "--to must be later than --from"),
        (("--from", "2026-03-01", "--to", "2026-03-01"), "invalid_argument", 2, "the day after the last"),
        (("--from", "March"), "invalid_argument", 2, "such as 2026-03-01"),
        (("--to", "2026-02-30"), "invalid_argument", 2, "--to must be an ISO date"),
    ],
)
@pytest.mark.parametrize("format_", ["csv", "beancount"])
def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    cli: Cli, lived: str, tmp_path: Path, format_: str, options: tuple[str, ...], code: str, exit_code: int, mend: str
) -> None:
    file = tmp_path / "books"
    for output in ((), ("--output", str(file))):
        asked = ("export", "--format", format_, *options, *output, "--database", lived)
        assert mend in " ".join(cli(*asked).refused(code, exit_code).stderr.split())
    assert not file.exists()


def test_what_stands_there_stays_unless_it_may_be_replaced(cli: Cli, lived: str, tmp_path: Path) -> None:
    file = tmp_path / "books.csv"
    file.write_text("mine")
    asked = ("export", "--format", "csv", "--account", STUDIO, "--database", lived, "--output")

    cli(*asked, str(file)).refused("file_exists", 3)
    cli(*asked, lived, "--force").refused("invalid_argument", 2)

    assert file.read_text() == "mine"
    assert cli(*asked, str(file), "--force").exit_code == 0
    assert file.read_text("utf-8").startswith("date,account_id,")


@pytest.mark.parametrize(("prelude", "exit_code"), [(INTERRUPTED, 130), (FULL_DISK, 4)])
def test_an_export_that_is_cut_off_leaves_nothing_behind(
    lived: str, tmp_path: Path, prelude: str, exit_code: int
) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()

    code, said = crippled(prelude, "export", "--format", "csv", "--output", str(folder / "x.csv"), "--database", lived)

    assert (code, "Traceback" in said, list(folder.iterdir())) == (exit_code, False, [])


def test_a_reader_that_leaves_ends_it_without_a_word(lived: str) -> None:
    command = warm_command("export", "--format", "csv", "--database", lived)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"date,account_id")
        process.stdout.close()
        _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (1, b"")


def test_ctrl_c_while_nobody_reads_on_ends_it_without_a_word(lived: str) -> None:
    command = warm_command("export", "--format", "csv", "--database", lived)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"date,account_id")
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (130, b"")


class _Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_shown_after_two_seconds_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Screen()
    moments = iter([100.0, 101.9, 102.0])
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(terminal, "monotonic", lambda: next(moments))

    with terminal.counting("Exporting transactions", after_s=2) as progress:
        progress(1, 10)
        assert screen.getvalue() == ""
        progress(5, 10)
        assert "Exporting transactions" in screen.getvalue()


def test_a_short_export_shows_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Screen()
    monkeypatch.setattr(sys, "stderr", screen)

    with terminal.counting("Exporting transactions", after_s=3600) as progress:
        progress(1, 10)

    assert screen.getvalue() == ""
