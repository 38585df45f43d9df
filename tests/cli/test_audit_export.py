"""`billing-mcp audit export`, and `audit/verify.py`, which proves an export with nothing but Python."""

from __future__ import annotations

import ast
import asyncio
import copy
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from billing_mcp.store.store import Store
from tests.cli.conftest import MAIL, NOBODY, STUDIO, Cli
from tests.cli.test_backup import crippled
from tests.store.books import NOW, forger, topup

VERIFIER = Path(__file__).parents[2] / "audit" / "verify.py"
ZEROS = "0" * 64
FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""
INTERRUPTED = """
import os, signal
from rich.progress import Progress
Progress.update = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)
"""

Line = dict[str, Any]


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def offline(export: Path, *options: str | Path) -> tuple[int, str]:
    """What the verifier says, in a process of its own that finds no package of ours."""
    command = [sys.executable, "-I", str(VERIFIER), str(export), *map(str, options)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def busy(cli: Cli, account: str, database: str) -> str:
    """A database with two accounts, one of which has holds of every kind."""

    def held(*arguments: str) -> dict[str, Any]:
        done = cli("holds", *arguments, "--json", "--database", database)
        assert done.exit_code == 0, done
        return dict(done.json)

    def place(amount: str) -> str:
        found = held("place", account, amount, "--reference", "Überweisung")
        return str((found.get("hold") or found)["hold_id"])

    held("capture", account, place("10.00"), "6.00", "--final")
    held("release", account, place("3.00"))
    held("capture", account, place("4.00"))
    held("capture", account, place("5.00"), "1.50")
    place("2.00")
    for arguments in (
        ("create", "Quill & Crane", "--id", STUDIO),
        ("topup", STUDIO, "7.00"),
        ("topup", STUDIO, "0.01"),
    ):
        assert cli("accounts", *arguments, "--database", database).exit_code == 0
    return database


@pytest.fixture
def exported(cli: Cli, busy: str, tmp_path: Path) -> Path:
    """The export of it."""
    file = tmp_path / "books.jsonl"
    assert cli("audit", "export", str(file), "--database", busy).exit_code == 0
    return file


def test_an_export_is_proved_sound_without_the_program_that_made_it(
    cli: Cli, busy: str, exported: Path, tmp_path: Path
) -> None:
    counted = "Sound: 2 accounts, 13 transactions, 26 entries, 5 holds."
    assert cli("audit", "verify", "--database", busy).words == counted

    assert offline(exported) == (0, f"{counted}\n")

    alone = shutil.copy(VERIFIER, tmp_path / "v.py")
    done = subprocess.run([sys.executable, "-I", "-S", alone, exported], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done
    assert exported.stat().st_mode & 0o777 == 0o600


def test_an_export_says_what_is_in_it_and_where_it_is(cli: Cli, lived: str, tmp_path: Path) -> None:
    file = tmp_path / "books.jsonl"
    made = cli("audit", "export", str(file), "--json", "--database", lived).json

    head, _, last = file.read_bytes().rstrip(b"\n").rpartition(b"\n")
    assert made["sha256"] == hashlib.sha256(head + b"\n").hexdigest() == json.loads(last)["end"]["sha256"]
    assert (made["accounts"], made["path"]) == (4, str(file))
    said = cli("audit", "export", str(file), "--force", "--database", lived)
    assert f"Exported 4 accounts, {made['transactions']} transactions" in said.words
    assert made["sha256"] in said.words


def test_an_export_of_some_accounts_has_nothing_of_the_others(cli: Cli, lived: str, tmp_path: Path) -> None:
    file = tmp_path / "books.jsonl"

    assert cli("audit", "export", str(file), "--account", MAIL, "--database", lived).exit_code == 0

    assert offline(file)[0] == 0
    assert STUDIO not in file.read_text()
    assert not json.loads(file.read_text().partition("\n")[0])["complete"]
    cli("audit", "export", str(tmp_path / "x"), "--account", NOBODY, "--database", lived).refused("not_found", 3)
    assert not (tmp_path / "x").exists()


def test_a_file_is_replaced_only_by_force_and_never_the_database(cli: Cli, lived: str, tmp_path: Path) -> None:
    file = tmp_path / "books.jsonl"
    file.write_text("mine")
    before = Path(lived).read_bytes()

    for command in ("export", "checkpoint"):
        cli("audit", command, str(file), "--database", lived).refused("file_exists", 3)
        for itself in (lived, f"{lived}-wal"):
            cli("audit", command, itself, "--force", "--database", lived).refused("invalid_argument", 2)
        cli("audit", command, str(tmp_path / "none" / "x"), "--database", lived).refused("unavailable", 4)

    assert file.read_text() == "mine"
    assert Path(lived).read_bytes() == before
    assert cli("audit", "export", str(file), "--force", "--database", lived).exit_code == 0
    assert offline(file)[0] == 0


@pytest.mark.parametrize(("happens", "code"), [(FULL_DISK, 4), (INTERRUPTED, 130)], ids=["full", "interrupted"])
def test_what_stops_an_export_half_way_leaves_nothing_behind(
    cli: Cli, sqlite: str, tmp_path: Path, happens: str, code: int
) -> None:
    cli("accounts", "create", "Northwind Mail", "--id", MAIL, "--database", sqlite)

    async def fill() -> None:
        store = await Store.open(sqlite)
        async with store.write(NOW) as tx:
            await tx.ledger.post([topup("1.00", MAIL)] * 300)
        await store.close()

    asyncio.run(fill())
    shelf = tmp_path / "shelf"
    shelf.mkdir()

    ended, said = crippled(happens, "audit", "export", str(shelf / "x"), "--database", sqlite)

    assert (ended, len(said.splitlines())) == (code, 1 if code == 4 else 0), said
    assert list(shelf.iterdir()) == []


def lines_of(file: Path) -> list[Line]:
    return [json.loads(line) for line in file.read_text("ascii").splitlines()]


def sealed_again(file: Path, lines: list[Line]) -> Path:
    """The lines with counts and a digest that fit them, as somebody makes them who knows how."""
    body = "".join(f"{canonical(line)}\n" for line in lines[:-1]).encode()
    counts = {f"{what}s": sum(what in line for line in lines) for what in ("account", "transaction", "hold")}
    counts["entries"] = sum(len(line["transaction"]["entries"]) for line in lines if "transaction" in line)
    end = {"end": counts | {"sha256": hashlib.sha256(body).hexdigest()}}
    file.write_bytes(body + f"{canonical(end)}\n".encode())
    return file


def chained_again(lines: list[Line]) -> None:
    """Every hash from the first transaction on, and the wallets' heads, recomputed."""
    about: Line = {}
    head = ZEROS
    for line in lines:
        if "account" in line:
            about, head = line, ZEROS
        if "transaction" in line:
            line["previous_hash"] = head
            head = line["hash"] = hashlib.sha256(f"{head}\n{canonical(line['transaction'])}".encode()).hexdigest()
            about["wallet"]["head_hash"] = head


def transactions(lines: list[Line]) -> list[Line]:
    return [line["transaction"] for line in lines if "transaction" in line]


def holds(lines: list[Line]) -> dict[str, Line]:
    """One hold of each status."""
    return {line["hold"]["status"]: line["hold"] for line in lines if "hold" in line}


def _one_entry(lines: list[Line]) -> None:
    transactions(lines)[2]["entries"][1][1] += 1


def _both_entries(lines: list[Line]) -> None:
    for entry in transactions(lines)[2]["entries"]:
        entry[1] *= 2


def _ledger_account(lines: list[Line]) -> None:
    transactions(lines)[0]["entries"][1][0] = "cash:other"


def _one_currency(lines: list[Line]) -> None:
    transactions(lines)[1]["entries"][0][2] = "USD"


def _no_entries(lines: list[Line]) -> None:
    transactions(lines)[1]["entries"] = []


def _description(lines: list[Line]) -> None:
    transactions(lines)[3]["description"] = "Something else"


def _hash(lines: list[Line]) -> None:
    [line for line in lines if "transaction" in line][3]["hash"] = "f" * 64


def _one_hash_recomputed(lines: list[Line]) -> None:
    _description(lines)
    line = [line for line in lines if "transaction" in line][3]
    under = f"{line['previous_hash']}\n{canonical(line['transaction'])}"
    line["hash"] = hashlib.sha256(under.encode()).hexdigest()


def _balance(lines: list[Line]) -> None:
    transactions(lines)[4]["balance_after_micros"] += 1
    chained_again(lines)


def _txn_seq(lines: list[Line]) -> None:
    transactions(lines)[0]["txn_seq"] = 2
    chained_again(lines)


def _amount(lines: list[Line]) -> None:
    transactions(lines)[0]["amount_micros"] += 1
    chained_again(lines)


def _direction(lines: list[Line]) -> None:
    transactions(lines)[0]["direction"] = "debit"
    chained_again(lines)


def _currency(lines: list[Line]) -> None:
    transactions(lines)[1]["currency"] = "USD"
    chained_again(lines)


def _another_account(lines: list[Line]) -> None:
    transactions(lines)[1]["account_id"] = STUDIO
    chained_again(lines)


def _number_as_text(lines: list[Line]) -> None:
    transactions(lines)[1]["entries"][0][1] = "1"


def _removed(kind: str, nth: int) -> Callable[[list[Line]], None]:
    def remove(lines: list[Line]) -> None:
        lines.remove([line for line in lines if kind in line][nth])

    return remove


def _swapped(lines: list[Line]) -> None:
    lines[3], lines[4] = lines[4], lines[3]


def _twice(kind: str) -> Callable[[list[Line]], None]:
    def repeat(lines: list[Line]) -> None:
        at = next(n for n, line in enumerate(lines) if kind in line)
        lines.insert(at + 1, copy.deepcopy(lines[at]))

    return repeat


def _hold(which: str, **changes: Any) -> Callable[[list[Line]], None]:
    return lambda lines: holds(lines)[which].update(changes)


def _wallet(**changes: Any) -> Callable[[list[Line]], None]:
    return lambda lines: lines[1]["wallet"].update(changes)


def _no_wallet(lines: list[Line]) -> None:
    lines[1]["wallet"] = None


def _stored(lines: list[Line]) -> None:
    lines[1]["stored"]["holds"] += 1


def _unknown_line(lines: list[Line]) -> None:
    lines.insert(3, {"note": "nothing"})


def _reserved_without_a_hold(lines: list[Line]) -> None:
    hold_id = holds(lines)["open"]["hold_id"]
    lines.remove(next(line for line in lines if "hold" in line and line["hold"]["hold_id"] == hold_id))
    lines[1]["stored"]["holds"] -= 1
    for facts in transactions(lines):
        if facts.get("hold_id") == hold_id:
            del facts["hold_id"]
            facts["version"] = 1
    chained_again(lines)


def _account_repeated(lines: list[Line]) -> None:
    last = [n for n, line in enumerate(lines) if "account" in line][1]
    lines[-1:-1] = copy.deepcopy(lines[last:-1])


TAMPERINGS = [
    (_reserved_without_a_hold, "open holds are not what is reserved"),
    (_account_repeated, "stands here twice"),
    (_one_entry, "do not sum to zero"),
    (_both_entries, "balances are not the sums"),
    (_ledger_account, "hash does not match"),
    (_one_currency, "do not sum to zero"),
    (_no_entries, "less than two entries"),
    (_description, "hash does not match"),
    (_hash, "hash does not match"),
    (_one_hash_recomputed, "previous_hash is not the hash of the one before"),
    (_balance, "balances are not the sums"),
    (_txn_seq, "txn_seq is not the next one"),
    (_amount, "amount is not that of its entries"),
    (_direction, "direction is not that of its entries"),
    (_currency, "currency is not that of the ones before"),
    (_another_account, "belongs to another account"),
    (_number_as_text, "cannot be read"),
    (_removed("transaction", 0), "is missing"),
    (_removed("transaction", 3), "is missing"),
    (_removed("transaction", -1), "wallet's"),
    (_swapped, "out of order"),
    (_twice("transaction"), "out of order"),
    (_removed("hold", 0), "not among the holds"),
    (_twice("hold"), "stands here twice"),
    (_hold("open", amount_micros=1), "is not what the ledger says of it"),
    (_hold("open", status="captured"), "is not what the ledger says of it"),
    (_hold("open", account_id=STUDIO), "belongs to another account"),
    (_hold("open", hold_id="x"), "is not in the ledger"),
    (_hold("captured", captured_micros=1), "is not what the ledger says of it"),
    (_hold("captured", status="open"), "is not what the ledger says of it"),
    (_hold("released", released_micros=1), "is not what the ledger says of it"),
    (_wallet(available_micros=1), "wallet's available_micros"),
    (_wallet(reserved_micros=1), "wallet's reserved_micros"),
    (_wallet(last_seq=1), "wallet's last_seq"),
    (_wallet(last_txn_seq=1), "wallet's last_txn_seq"),
    (_wallet(head_hash=ZEROS), "wallet's head_hash"),
    (_wallet(currency="USD"), "of another currency"),
    (_no_wallet, "has no wallet"),
    (_stored, "that the ledger does not know"),
    (_twice("account"), "wallet's"),
    (_removed("account", 1), "another account"),
    (_unknown_line, "cannot be read"),
]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_each_kind_of_tampering_with_an_export_is_found_offline(exported: Path) -> None:
    sound = lines_of(exported)
    assert offline(sealed_again(exported, copy.deepcopy(sound)))[0] == 0
    for tamper, problem in TAMPERINGS:
        lines = copy.deepcopy(sound)
        tamper(lines)
        assert lines != sound

        code, said = offline(sealed_again(exported, lines))

        assert (code, "Not sound" in said) == (1, True), (tamper, said)
        assert f"account {MAIL}, line " in said or f"account {STUDIO}, line " in said, (tamper, said)
        assert problem in said, (tamper, said)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_bytes_that_were_changed_without_a_new_digest_are_found(exported: Path, tmp_path: Path) -> None:
    whole = exported.read_bytes()
    body, _, end = whole.rstrip(b"\n").rpartition(b"\n")
    for name, changed, problem in (
        ("name", whole.replace(b"Northwind Mail", b"Southwind Mail"), "SHA-256"),
        ("header", whole.replace(b'"complete":true', b'"complete":false'), "SHA-256"),
        ("count", whole.replace(b'{"end":{"accounts":2', b'{"end":{"accounts":3'), "counts"),
        ("spaces", body.replace(b'{"hold":', b'{ "hold":') + b"\n" + end + b"\n", "not canonical"),
        ("cut off", body + b"\n", "cut off"),
        ("in the line", whole[:-100], "cut off"),
        ("more", whole + b'{"hold":{}}\n', "cannot be read"),
        ("no JSON", whole.replace(b'{"hold":', b'{"hold"', 1), "cannot be read"),
    ):
        assert changed != whole
        file = tmp_path / "changed.jsonl"
        file.write_bytes(changed)
        code, said = offline(file)
        assert (code, problem in said) == (1, True), (name, said)


def test_the_verifier_is_one_file_for_python_3_9_and_imports_the_standard_library_alone() -> None:
    tree = ast.parse(VERIFIER.read_text("utf-8"), feature_version=(3, 9))

    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert modules
    assert {str(module).partition(".")[0] for module in modules} <= sys.stdlib_module_names


def test_what_is_no_export_is_told_and_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "x"
    for content in (
        b"",
        b"years of work\n",
        b"[]\n",
        b"\xff\n",
        b'{"format":"billing-mcp audit export","version":2}\n',
    ):
        file.write_bytes(content)
        assert offline(file)[0] == 2
    assert "no such file" in offline(tmp_path / "none")[1].lower()
    code, said = offline(file, "--help")
    assert (code, "--checkpoint" in said, "Exit code" in said) == (0, True, True)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_could_command_a_terminal_is_not_printed(exported: Path) -> None:
    lines = lines_of(exported)
    holds(lines)["open"]["hold_id"] = "\x1b[2J"

    _, said = offline(sealed_again(exported, lines))

    assert "?[2J" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_chain_that_was_recomputed_whole_is_caught_by_a_checkpoint_alone(
    cli: Cli, busy: str, exported: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.json"
    assert cli("audit", "checkpoint", str(kept), "--database", busy).exit_code == 0
    assert offline(exported, "--checkpoint", kept)[0] == 0
    lines = lines_of(exported)
    transactions(lines)[3]["description"] = "Something else"
    chained_again(lines)
    sealed_again(exported, lines)

    assert offline(exported)[0] == 0
    code, said = offline(exported, "--checkpoint", kept)

    assert code == 1
    assert "history was rewritten: the checkpoint has another hash here" in said
    assert json.loads(kept.read_text())["sha256"] in said


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_account_of_a_checkpoint_is_missed_where_all_were_exported(
    cli: Cli, busy: str, exported: Path, tmp_path: Path
) -> None:
    kept, some = tmp_path / "kept.json", tmp_path / "some.jsonl"
    cli("audit", "checkpoint", str(kept), "--database", busy)
    cli("audit", "export", str(some), "--account", MAIL, "--database", busy)
    assert offline(some, "--checkpoint", kept)[0] == 0
    lines = lines_of(exported)
    del lines[[n for n, line in enumerate(lines) if "account" in line][1] : -1]

    code, said = offline(sealed_again(exported, lines), "--checkpoint", kept)

    assert (code, f"account {STUDIO}, " in said, "is not here" in said) == (1, True, True)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_ledger_that_ends_before_its_checkpoint_is_found_offline(
    cli: Cli, busy: str, exported: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.json"
    cli("accounts", "topup", MAIL, "1.00", "--database", busy)
    cli("audit", "checkpoint", str(kept), "--database", busy)

    code, said = offline(exported, "--checkpoint", kept)

    assert (code, "the ledger ends before seq" in said) == (1, True)


def test_a_checkpoint_that_was_changed_is_no_checkpoint(cli: Cli, lived: str, tmp_path: Path) -> None:
    kept, export = tmp_path / "kept.json", tmp_path / "books.jsonl"
    cli("audit", "checkpoint", str(kept), "--database", lived)
    cli("audit", "export", str(export), "--database", lived)
    printed = cli("audit", "checkpoint", "--database", lived).json
    assert printed == json.loads(kept.read_text())
    said = {name: value for name, value in printed.items() if name != "sha256"}
    assert printed["sha256"] == hashlib.sha256(canonical(said).encode()).hexdigest()

    other = copy.deepcopy(printed)
    other["accounts"][0]["seq"] -= 1
    wrongs: list[Any] = [other, {**printed, "version": 2}, {**printed, "accounts": [{"seq": 1}]}, [], "x"]
    for wrong in wrongs:
        kept.write_text(json.dumps(wrong))
        assert offline(export, "--checkpoint", kept)[0] == 2
        cli("audit", "compare", str(kept), "--database", lived).refused("unreadable_file", 2)
    cli("audit", "compare", str(tmp_path / "none"), "--database", lived).refused("unreadable_file", 2)


def test_compare_says_which_accounts_grew_and_which_are_new(
    cli: Cli, account: str, database: str, tmp_path: Path
) -> None:
    kept = str(tmp_path / "kept.json")
    made = cli("audit", "checkpoint", kept, "--database", database)
    assert "Checkpoint of 1 accounts at 2026-03-12T10:00:00Z" in made.words
    assert (
        "Matches: 1 accounts unchanged, 0 grown, 0 new" in cli("audit", "compare", kept, "--database", database).words
    )
    cli("accounts", "topup", account, "1.00", "--database", database)
    cli("accounts", "create", "Quill & Crane", "--id", STUDIO, "--database", database)

    compared = cli("audit", "compare", kept, "--database", database)

    assert compared.exit_code == 0
    assert "Matches: 0 accounts unchanged, 1 grown, 1 new" in compared.words
    assert f"account {account} grew from seq 1 to 2" in compared.words
    assert f"account {STUDIO} is new" in compared.words
    digest = json.loads(Path(kept).read_text())["sha256"]
    assert digest in made.words
    assert digest in compared.words


def test_compare_tells_a_hash_that_changed_by_its_exit_code(
    cli: Cli, account: str, database: str, tmp_path: Path
) -> None:
    kept = str(tmp_path / "kept.json")
    cli("audit", "checkpoint", kept, "--database", database)

    async def forge() -> None:
        async with forger(database) as run:
            await run("UPDATE ledger_transactions SET hash = 'x' WHERE seq = 1")

    asyncio.run(forge())

    compared = cli("audit", "compare", kept, "--json", "--database", database)

    assert (compared.exit_code, compared.json["matches"]) == (1, False)
    (finding,) = compared.json["findings"]
    assert (finding["account_id"], finding["seq"]) == (account, 1)
    assert "history was rewritten" in finding["problem"]
    said = cli("audit", "compare", kept, "--database", database)
    assert f"Does not match: 0 accounts unchanged, 0 grown, 0 new, 1 wrong. account {account}" in said.words


@pytest.mark.parametrize("column", ["description", "created_at_us", "effective_at_us"])
def test_what_was_changed_in_the_database_is_exported_as_it_is_and_found_offline(
    cli: Cli, busy: str, tmp_path: Path, column: str
) -> None:
    file = tmp_path / "books.jsonl"
    value = "x" if column == "description" else 0

    async def forge() -> None:
        async with forger(busy) as run:
            await run(f"UPDATE ledger_transactions SET {column} = $1 WHERE seq = 2", value)  # noqa: S608 - constants
            await run("DELETE FROM holds WHERE status = 'open'")

    asyncio.run(forge())
    assert cli("audit", "export", str(file), "--database", busy).exit_code == 0

    code, said = offline(file)

    assert code == 1
    assert said.count("hash does not match") == 2


def test_a_row_that_cannot_be_written_down_is_refused_with_what_to_run(cli: Cli, busy: str, tmp_path: Path) -> None:
    async def forge() -> None:
        async with forger(busy) as run:
            await run("UPDATE ledger_transactions SET created_at_us = $1 WHERE seq = 2", 2**62)

    asyncio.run(forge())

    refused = cli("audit", "export", str(tmp_path / "x"), "--database", busy).refused("books_not_sound", 3)

    assert "billing-mcp audit verify" in refused.stderr
    assert not (tmp_path / "x").exists()
