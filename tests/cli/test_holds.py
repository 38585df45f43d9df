"""`billing-mcp holds`: money set aside, charged and given back by people and by programs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import MAIL, NOBODY, Cli

NO_HOLD = "0190c0de-0000-7000-8000-0000000000aa"
WEEK_LATER = "2026-03-19T10:00:00Z"


@pytest.fixture
def place(cli: Cli, database: str, account: str) -> str:
    """A hold of 40.00 on an account with 100.00."""
    return str(_placed(cli, database, account, "40.00", "--reference", "msg_1")["hold_id"])


def _placed(cli: Cli, database: str, *arguments: str) -> Any:
    done = cli("holds", "place", *arguments, "--json", "--database", database)
    assert done.exit_code == 0, done
    return done.json


def _wallet(cli: Cli, database: str) -> tuple[str, str]:
    (row,) = cli("accounts", "list", "--json", "--database", database).json
    return row["available"], row["reserved"]


def _audit(cli: Cli, database: str) -> int:
    return cli("audit", "verify", "--database", database).exit_code


def test_a_hold_takes_from_free_to_reserved_and_says_so_in_json(cli: Cli, database: str, account: str) -> None:
    placed = _placed(cli, database, account, "40", "--reference", "msg_1", "--expires", "2026-03-13T12:00:00+02:00")

    (transaction_id,) = placed.pop("transaction_ids")
    assert transaction_id == placed["hold_id"]
    assert placed == {
        "hold_id": transaction_id,
        "reference": "msg_1",
        "status": "open",
        "currency": "EUR",
        "amount": "40.00",
        "captured": "0.00",
        "released": "0.00",
        "remaining": "40.00",
        "created_at": "2026-03-12T10:00:00Z",
        "expires_at": "2026-03-13T10:00:00Z",
        "closed_at": None,
        "free": "60.00",
        "reserved": "40.00",
        "replayed": False,
    }
    assert _wallet(cli, database) == ("60.00", "40.00")
    assert _audit(cli, database) == 0


def test_people_are_told_the_hold_and_what_is_left(cli: Cli, database: str, account: str) -> None:
    placed = cli("holds", "place", account, "40.00", "--reference", "[red]msg[/red]", "--database", database)

    assert placed.exit_code == 0
    hold_id = placed.words.split()[1]
    assert placed.words == (
        f"Hold {hold_id} is open. amount 40.00, captured 0.00, released 0.00 free 60.00 EUR, reserved 40.00 EUR"
    )
    (listed,) = cli("holds", "list", account, "--json", "--database", database).json
    assert (listed["hold_id"], listed["reference"], listed["expires_at"]) == (hold_id, "[red]msg[/red]", WEEK_LATER)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("2026-03-13", "2026-03-13T00:00:00Z"), ("2026-03-13T10:00", "2026-03-13T10:00:00Z")],
)
def test_a_moment_without_a_time_zone_is_utc(cli: Cli, database: str, account: str, given: str, meant: str) -> None:
    assert _placed(cli, database, account, "1.00", "--expires", given)["expires_at"] == meant


def test_a_hold_is_charged_in_parts_and_the_last_gives_back_the_rest(cli: Cli, database: str, place: str) -> None:
    options = ("--json", "--database", database)
    part = cli("holds", "capture", MAIL, place, "10.50", *options).json
    assert (part["status"], part["captured"], part["remaining"], part["free"]) == ("open", "10.50", "29.50", "60.00")

    final = cli("holds", "capture", MAIL, place, "9.50", "--final", "--database", database)

    assert final.words == (
        f"Hold {place} is captured. amount 40.00, captured 20.00, released 20.00 free 80.00 EUR, reserved 0.00 EUR"
    )
    assert _wallet(cli, database) == ("80.00", "0.00")
    assert _audit(cli, database) == 0


def test_without_an_amount_all_that_remains_is_charged(cli: Cli, database: str, place: str) -> None:
    done = cli("holds", "capture", MAIL, place, "--json", "--database", database).json

    assert (done["status"], done["captured"], done["released"]) == ("captured", "40.00", "0.00")
    assert _wallet(cli, database) == ("60.00", "0.00")


def test_a_charge_beyond_all_that_is_there_makes_the_account_past_due(cli: Cli, database: str, place: str) -> None:
    options = ("--database", database)
    assert cli("holds", "capture", MAIL, place, "100.01", *options).exit_code == 0

    (row,) = cli("accounts", "list", "--json", *options).json
    assert (row["status"], row["available"], row["reserved"]) == ("past_due", "0.00", "0.00")
    cli("holds", "place", MAIL, "1.00", *options).refused("account_not_active", 3)


def test_a_release_gives_back_and_a_hold_ends_once(cli: Cli, database: str, place: str) -> None:
    options = ("--database", database)
    released = cli("holds", "release", MAIL, place, *options)

    assert released.words.startswith(f"Hold {place} is released.")
    assert _wallet(cli, database) == ("100.00", "0.00")
    for command in ("release", "capture"):
        refused = cli("holds", command, MAIL, place, *options).refused("hold_not_open", 3)
        assert "released at 2026-03-12T10:00:00Z" in refused.stderr


def test_with_the_same_key_it_happens_once(cli: Cli, database: str, account: str) -> None:
    asked = (account, "40.00", "--idempotency-key", "k1")
    first = _placed(cli, database, *asked)
    options = ("--database", database)

    assert _placed(cli, database, *asked) == first | {"replayed": True}
    told = cli("holds", "place", *asked, *options)
    assert told.words.startswith(f"Hold {first['hold_id']} is open. Done before, under the same key.")
    for other in ((account, "41.00"), (account, "40.00", "--reference", "msg_2")):
        reused = cli("holds", "place", *other, "--idempotency-key", "k1", *options)
        reused.refused("idempotency_key_reused", 2)
    for command in ("capture", "release"):
        done = cli("holds", command, account, first["hold_id"], "--idempotency-key", "k1", *options)
        done.refused("idempotency_key_reused", 2)
    assert _wallet(cli, database) == ("60.00", "40.00")


@pytest.mark.parametrize("command", ["capture", "release"])
def test_an_ending_with_the_same_key_happens_once(cli: Cli, database: str, place: str, command: str) -> None:
    asked = ("holds", command, MAIL, place, "--idempotency-key", "k1", "--json", "--database", database)
    first = cli(*asked).json
    after = _wallet(cli, database)

    assert cli(*asked).json == first | {"replayed": True}
    assert _wallet(cli, database) == after


def test_what_is_past_its_time_expires_and_the_rest_stays(cli: Cli, database: str, place: str) -> None:
    options = ("--database", database)
    _placed(cli, database, MAIL, "5.00", "--expires", "2026-03-19T10:00:01Z")
    assert cli("holds", "expire", *options).words == "0 holds expired."

    assert cli("holds", "expire", *options, BILLING_MCP_NOW=WEEK_LATER).words == "1 hold expired."
    assert cli("holds", "expire", "--json", *options, BILLING_MCP_NOW=WEEK_LATER).json == {"expired": 0}

    assert _wallet(cli, database) == ("95.00", "5.00")
    (expired,) = cli("holds", "list", MAIL, "--status", "expired", "--json", *options).json
    assert (expired["hold_id"], expired["closed_at"]) == (place, WEEK_LATER)
    assert cli("holds", "expire", "--json", *options, BILLING_MCP_NOW="2026-04-01").json == {"expired": 1}
    assert _audit(cli, database) == 0


@pytest.mark.usefixtures("place")
def test_people_see_the_holds_in_a_table_with_what_is_reserved(cli: Cli, database: str) -> None:
    _placed(cli, database, MAIL, "2.50", "--reference", "Zoë [b]")
    listed = cli("holds", "list", MAIL, "--database", database)

    assert listed.exit_code == 0
    assert listed.words.startswith("Holds, EUR")
    assert listed.words.endswith("Reserved in all: 42.50 EUR")
    assert "msg_1" in listed.words
    assert "Zoë" in listed.words
    assert "[b]" in listed.words
    assert "40.00" in listed.words
    assert "\x1b" not in listed.stdout


def test_holds_are_listed_newest_first_by_their_status(cli: Cli, database: str, place: str) -> None:
    options = ("--json", "--database", database)
    newer = _placed(cli, database, MAIL, "1.00")["hold_id"]
    cli("holds", "capture", MAIL, place, *options)

    def listed(*arguments: str) -> list[str]:
        return [row["hold_id"] for row in cli("holds", "list", MAIL, *arguments, *options).json]

    assert listed() == [newer]
    assert listed("--status", "all") == [newer, place]
    assert listed("--status", "all", "--limit", "1") == [newer]
    assert listed("--status", "captured") == [place]
    assert listed("--status", "released") == []


def test_an_account_without_holds_has_none(cli: Cli, database: str, account: str) -> None:
    assert cli("holds", "list", account, "--json", "--database", database).json == []
    assert cli("holds", "list", account, "--database", database).words == "No hold. Reserved in all: 0.00 EUR"


@pytest.mark.parametrize(
    "amount", ["0", "0.00", "-5", "abc", "", "1.1234567", "1e3", "NaN", "1,50", " 5", "9" * 13, "0x10"]
)
def test_an_amount_is_a_positive_decimal(cli: Cli, sqlite: str, amount: str) -> None:
    cli("accounts", "create", "Northwind Mail", "--id", MAIL, "--database", sqlite)
    cli("accounts", "topup", MAIL, "100.00", "--database", sqlite)
    hold_id = _placed(cli, sqlite, MAIL, "1.00")["hold_id"]

    cli("holds", "place", "--database", sqlite, "--", MAIL, amount).refused("invalid_argument", 2)
    cli("holds", "capture", "--database", sqlite, "--", MAIL, hold_id, amount).refused("invalid_argument", 2)

    assert _wallet(cli, sqlite) == ("99.00", "1.00")


@pytest.mark.parametrize(
    "moment",
    [
        "tomorrow",
        "2026-02-30",
        "13.03.2026",
        "",
        "2026-03-12T10:00:00Z",
        "2026-03-12T11:00:00+02:00",
        "2027-03-13T10:00:01Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_an_expiry_is_a_moment_within_a_year_from_now(cli: Cli, sqlite: str, moment: str) -> None:
    cli("accounts", "create", "Northwind Mail", "--id", MAIL, "--database", sqlite)
    cli("accounts", "topup", MAIL, "100.00", "--database", sqlite)

    refused = cli("holds", "place", MAIL, "1.00", "--expires", moment, "--database", sqlite)

    assert "expires" in refused.refused("invalid_argument", 2).stderr
    assert _wallet(cli, sqlite) == ("100.00", "0.00")


@pytest.mark.parametrize(
    "options", [("--reference", "a\x1b[2Jb"), ("--reference", "r" * 256), ("--idempotency-key", "k" * 256)]
)
def test_a_reference_and_a_key_have_their_limits(cli: Cli, lived: str, options: tuple[str, ...]) -> None:
    before = cli("accounts", "list", "--json", "--database", lived).json

    refused = cli("holds", "place", MAIL, "1.00", *options, "--database", lived).refused("invalid_argument", 2)

    assert "\x1b" not in refused.stderr
    assert cli("accounts", "list", "--json", "--database", lived).json == before


@pytest.mark.usefixtures("place")
def test_more_than_is_free_is_refused_with_what_is_missing(cli: Cli, database: str) -> None:
    refused = cli("holds", "place", MAIL, "60.01", "--database", database).refused("insufficient_funds", 3)

    assert "only 60.00 is available" in refused.stderr
    assert "0.01 EUR" in refused.stderr


def test_an_account_or_a_hold_that_does_not_exist_is_refused(cli: Cli, database: str, place: str) -> None:
    options = ("--database", database)
    for arguments in (("place", NOBODY, "1.00"), ("list", NOBODY), ("release", NOBODY, place)):
        assert NOBODY in cli("holds", *arguments, *options).refused("not_found", 3).stderr
    for command in ("capture", "release"):
        assert NO_HOLD in cli("holds", command, MAIL, NO_HOLD, *options).refused("not_found", 3).stderr
    assert _wallet(cli, database) == ("60.00", "40.00")


@pytest.mark.parametrize(
    "arguments",
    [
        ("place", "not-a-uuid", "5.00"),
        ("place", MAIL),
        ("capture", MAIL, "not-a-uuid"),
        ("release", MAIL),
        ("list", MAIL, "--status", "closed"),
        ("list", MAIL, "--limit", "0"),
        ("expire", MAIL),
    ],
)
def test_arguments_that_make_no_sense_are_a_usage_error(cli: Cli, lived: str, arguments: tuple[str, ...]) -> None:
    command, *rest = arguments

    outcome = cli("holds", command, "--database", lived, *rest)

    assert (outcome.exit_code, outcome.stdout) == (2, "")


def test_it_is_a_program_of_its_own(program: Cli, cli: Cli, database: str, place: str) -> None:
    released = program("holds", "release", MAIL, place, "--json", "--database", database)

    assert (released.exit_code, released.stderr) == (0, "")
    assert released.json["status"] == "released"
    assert program("holds", "release", MAIL, place, "--database", database).refused("hold_not_open", 3)
    assert _wallet(cli, database) == ("100.00", "0.00")
