"""`billing-mcp accounts`: opening accounts, and what the platform does with them."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.cli.conftest import LOGISTICS, MAIL, NOBODY, NOW, Cli


def test_an_account_that_is_opened_is_listed_with_an_empty_wallet(cli: Cli, database: str) -> None:
    opened = cli("accounts", "create", "Northwind Mail", "--json", "--database", database).json

    assert cli("accounts", "list", "--json", "--database", database).json == [
        {
            "id": opened["id"],
            "name": "Northwind Mail",
            "status": "active",
            "currency": "EUR",
            "available": "0.00",
            "reserved": "0.00",
            "created_at": NOW,
        }
    ]
    assert opened == {"id": str(UUID(opened["id"])), "name": "Northwind Mail", "currency": "EUR"}


def test_people_are_told_the_id_of_the_account_they_opened(cli: Cli, sqlite: str) -> None:
    opened = cli("accounts", "create", "Northwind Mail", "--id", MAIL, "--database", sqlite)

    assert (opened.exit_code, opened.words) == (0, f"Opened Northwind Mail: {MAIL}")


def test_accounts_are_listed_oldest_first(cli: Cli, database: str) -> None:
    cli("accounts", "create", "Later", "--database", database)
    cli("accounts", "create", "Earlier", "--database", database, BILLING_MCP_NOW="2026-03-11T10:00:00Z")

    listed = cli("accounts", "list", "--json", "--database", database).json

    assert [row["name"] for row in listed] == ["Earlier", "Later"]


def test_people_see_a_table_of_all_accounts_with_their_balances(cli: Cli, lived: str) -> None:
    listed = cli("accounts", "list", "--database", lived)

    assert listed.exit_code == 0
    assert f"{MAIL} Northwind Mail active EUR" in listed.words
    assert f"{LOGISTICS} Heron Logistics active EUR" in listed.words
    assert "Quill & Crane Studio suspended EUR 0.00 0.00" in listed.words
    assert "\x1b" not in listed.stdout


def test_people_see_who_owes_what_since_when_and_what_is_done_next(cli: Cli, database: str, account: str) -> None:
    options = ("--database", database)
    assert cli("accounts", "owing", *options).words == "Nobody owes anything."
    hold = cli("holds", "place", account, "100.00", "--json", *options).json["hold_id"]
    assert cli("holds", "capture", account, hold, "120.50", *options).exit_code == 0

    def owing(now: str) -> tuple[dict[str, object], str]:
        at = {"BILLING_MCP_NOW": now}
        assert cli("worker", "--once", *options, **at).exit_code == 0
        (row,) = cli("accounts", "owing", "--json", *options, **at).json
        return row, cli("accounts", "owing", *options, **at).words

    row, words = owing("2026-03-16T10:00:00Z")
    assert row == {
        "account_id": account,
        "name": "Northwind Mail",
        "status": "past_due",
        "owed": "20.50",
        "currency": "EUR",
        "since": NOW,
        "invoices": [],
        "reminders": 1,
        "next_step": "reminder 2",
        "next_at": "2026-03-19T10:00:00Z",
    }
    assert f"Northwind Mail 20.50 EUR past_due reminder 2 {account} 2026-03-12 2026-03-19 1 reminder" in words
    row, words = owing("2026-04-01T10:00:00Z")
    assert (row["status"], row["since"], row["next_step"], row["next_at"]) == ("suspended", NOW, None, None)
    assert cli("accounts", "topup", account, "21.00", *options).exit_code == 0
    assert cli("worker", "--once", *options).exit_code == 0
    assert cli("accounts", "owing", "--json", *options).json == []


def test_a_database_without_accounts_lists_none_and_says_how_to_open_one(cli: Cli, database: str) -> None:
    assert cli("accounts", "list", "--json", "--database", database).json == []
    assert "billing-mcp accounts create NAME" in cli("accounts", "list", "--database", database).words


@pytest.mark.parametrize("name", ["Zoë & Søn 株式会社", "[red]Ltd[/red]", "'; DROP TABLE accounts; --", '"x"\\n'])
def test_a_name_is_kept_and_shown_as_it_was_given(cli: Cli, sqlite: str, name: str) -> None:
    cli("accounts", "create", name, "--json", "--database", sqlite)

    assert [row["name"] for row in cli("accounts", "list", "--json", "--database", sqlite).json] == [name]
    assert name in cli("accounts", "list", "--database", sqlite).words


@pytest.mark.parametrize("name", ["", "   ", "\t\n"])
def test_an_account_has_a_name(cli: Cli, sqlite: str, name: str) -> None:
    cli("accounts", "create", name, "--database", sqlite).refused("invalid_argument", 2)

    assert cli("accounts", "list", "--json", "--database", sqlite).json == []


@pytest.mark.parametrize(
    ("amount", "balance"),
    [("25", "125.00"), ("0.01", "100.01"), ("0.000001", "100.000001"), ("999999999999.999999", "1000000000099.999999")],
)
def test_a_topup_credits_the_wallet_to_the_micro(
    cli: Cli, database: str, account: str, amount: str, balance: str
) -> None:
    credited = cli("accounts", "topup", account, amount, "--database", database)

    assert (credited.exit_code, credited.words) == (0, f"Credited. The balance is {balance} EUR.")
    assert cli("accounts", "list", "--json", "--database", database).json[0]["available"] == balance


@pytest.mark.parametrize(
    "amount", ["0", "0.00", "-5", "abc", "", "1.1234567", "1e3", "NaN", "Infinity", "1,50", " 5", "9" * 13, "0x10"]
)
def test_a_topup_is_a_positive_decimal_amount(cli: Cli, lived: str, amount: str) -> None:
    before = cli("accounts", "list", "--json", "--database", lived).json

    cli("accounts", "topup", "--database", lived, "--", MAIL, amount).refused("invalid_argument", 2)

    assert cli("accounts", "list", "--json", "--database", lived).json == before


def test_a_topup_of_an_account_that_does_not_exist_is_refused(cli: Cli, database: str) -> None:
    refused = cli("accounts", "topup", NOBODY, "5.00", "--database", database).refused("not_found", 3)

    assert NOBODY in refused.stderr


def _quantity(cli: Cli, database: str, component: str, now: str = NOW) -> int:
    arguments = ("billing.plans.list", f"account_id={MAIL}", "--json", "--database", database)
    answer = cli("call", *arguments, BILLING_MCP_NOW=now).json
    (found,) = [
        each["quantity"]
        for plan in answer["result"]["items"]
        for each in plan["components"]
        if each["component_type"] == component
    ]
    return int(found)


def test_a_count_holds_from_today_on(cli: Cli, database: str, account: str) -> None:
    counted = cli("accounts", "count", account, "mailbox", "12", "--database", database)

    assert (counted.exit_code, "2026-03-12" in counted.words) == (0, True)
    assert _quantity(cli, database, "mailbox") == 12
    assert _quantity(cli, database, "mailbox", "2026-03-11T23:59:59Z") == 0


def test_a_count_may_be_dated_ahead(cli: Cli, sqlite: str) -> None:
    cli("accounts", "create", "Northwind Mail", "--id", MAIL, "--database", sqlite)
    cli("accounts", "count", MAIL, "proxy", "3", "--from", "2026-04-01", "--database", sqlite)

    assert _quantity(cli, sqlite, "proxy") == 0
    assert _quantity(cli, sqlite, "proxy", "2026-04-01T00:00:00Z") == 3


def test_the_last_count_of_a_day_is_the_one_that_counts(cli: Cli, sqlite: str) -> None:
    cli("accounts", "create", "Northwind Mail", "--id", MAIL, "--database", sqlite)
    for quantity in ("5", "7"):
        cli("accounts", "count", MAIL, "mailbox", quantity, "--database", sqlite)

    assert _quantity(cli, sqlite, "mailbox") == 7


def test_a_day_that_is_charged_cannot_be_counted_again(cli: Cli, lived: str) -> None:
    refused = cli("accounts", "count", MAIL, "mailbox", "1", "--from", "2026-02-28", "--database", lived)

    assert "2026-03-01" in refused.refused("period_settled", 3).stderr
    assert cli("accounts", "count", MAIL, "mailbox", "1", "--from", "2026-03-01", "--database", lived).exit_code == 0


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "12.03.2026", "2026-3-1"])
def test_a_count_is_dated_with_an_iso_day(cli: Cli, lived: str, day: str) -> None:
    refused = cli("accounts", "count", MAIL, "mailbox", "1", "--from", day, "--database", lived)

    assert day in refused.refused("invalid_argument", 2).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("topup", "not-a-uuid", "5.00"),
        ("topup", MAIL),
        ("topup", MAIL, "5.00", "EUR"),
        ("count", MAIL, "rocket", "1"),
        ("count", MAIL, "mailbox", "many"),
        ("count", MAIL, "mailbox", "1000000001"),
        ("count", "--", MAIL, "mailbox", "-1"),
        ("create", "Name", "--id", "not-a-uuid"),
        ("create",),
    ],
)
def test_arguments_that_make_no_sense_are_a_usage_error(cli: Cli, lived: str, arguments: tuple[str, ...]) -> None:
    before = cli("accounts", "list", "--json", "--database", lived).json
    command, *rest = arguments

    outcome = cli("accounts", command, "--database", lived, *rest)

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert cli("accounts", "list", "--json", "--database", lived).json == before


def test_a_credit_is_money_of_ones_own_and_tells_why(cli: Cli, database: str, account: str) -> None:
    options = ("--reason", "Goodwill [for] 株", "--database", database)
    credited = cli("accounts", "credit", account, "0.0065", *options)

    assert (credited.exit_code, credited.words) == (0, "Credited. The balance is 100.0065 EUR.")
    listed = cli("call", "billing.ledger.list", f"account_id={account}", "--json", "--database", database).json
    newest = listed["result"]["items"][0]
    assert (newest["type"], newest["amount"]) == ("credit", "0.0065")
    assert newest["description"] == "Credit: Goodwill [for] 株"


@pytest.mark.parametrize("command", ["topup", "credit"])
def test_money_under_a_key_arrives_once(cli: Cli, database: str, account: str, command: str) -> None:
    reason = ("--reason", "r") if command == "credit" else ()
    options = (*reason, "--idempotency-key", "k", "--database", database)
    first = cli("accounts", command, account, "5", *options, "--json").json
    again = cli("accounts", command, account, "5.00", *options)

    assert (first["free"], first["reserved"], first["replayed"]) == ("105.00", "0.00", False)
    assert again.words == "Done before, under the same key: the balance was 105.00 EUR."
    assert cli("accounts", command, account, "5", *options, "--json").json == {**first, "replayed": True}
    cli("accounts", command, account, "6", *options).refused("idempotency_key_reused", 2)
    assert cli("accounts", "list", "--json", "--database", database).json[0]["available"] == "105.00"


@pytest.mark.parametrize(
    ("amount", "reason"), [("0", "r"), ("-5", "r"), ("1e3", "r"), ("5", ""), ("5", " "), ("5", "a\nb")]
)
def test_a_credit_is_a_positive_amount_with_a_reason(cli: Cli, lived: str, amount: str, reason: str) -> None:
    before = cli("accounts", "list", "--json", "--database", lived).json
    options = ("--reason", reason, "--database", lived)

    cli("accounts", "credit", *options, "--", MAIL, amount).refused("invalid_argument", 2)
    cli("accounts", "credit", *options[:1], "r", *options[2:], "--", NOBODY, "5").refused("not_found", 3)

    assert cli("accounts", "list", "--json", "--database", lived).json == before


def test_the_platform_grants_tiers_by_name_and_takes_them_back(cli: Cli, database: str, account: str) -> None:
    tier = ("accounts", "tier", account, "sms")
    told = {"account_id": account, "channel": "sms", "volume": 0, "missed_months": 0}
    earned = told | {"tier": "standard", "source": "previous_month", "commitment": None, "override": None}
    committed = told | {"tier": "growth", "source": "commitment", "commitment": "growth", "override": None}
    both = committed | {"tier": "scale", "source": "override", "override": "scale"}

    for options, expected in [
        ([], earned),
        (["--commitment", "growth"], committed),
        (["--override", "scale"], both),
        ([], both),
        (["--override", "none"], committed),
        (["--commitment", "none", "--override", "none"], earned),
    ]:
        assert cli(*tier, *options, "--json", "--database", database).json == expected


def test_people_are_told_the_tier_that_is_in_force_and_what_is_granted(cli: Cli, database: str, account: str) -> None:
    granted = cli("accounts", "tier", account, "rcs", "--commitment", "growth", "--database", database)

    assert granted.words == "The tier on rcs is growth, by commitment; commitment growth, override none."


def test_a_tier_that_there_is_not_is_refused_with_the_names_of_those_there_are(
    cli: Cli, database: str, account: str
) -> None:
    refused = cli("accounts", "tier", account, "sms", "--override", "gold", "--database", database)

    refused.refused("invalid_argument", 2)
    assert "standard, growth, scale" in refused.stderr
    cli("accounts", "tier", NOBODY, "sms", "--database", database).refused("not_found", 3)


def test_the_platform_says_who_an_account_is_for_vat_and_sees_what_is_added(
    cli: Cli, database: str, account: str
) -> None:
    tax = ("accounts", "tax", account, "--json", "--database", database)
    told = ("country", "vat_id", "tax_exempt", "treatment", "rate_country", "rate_percent", "on_100")
    for options, expected in [
        ([], (None, None, False, "domestic", "DE", "19.00", "19.00")),
        (["--country", "FI"], ("FI", None, False, "eu_consumer", "FI", "25.50", "25.50")),
        (["--exempt"], ("FI", None, True, "exempt", "FI", "0.00", "0.00")),
        ([], ("FI", None, True, "exempt", "FI", "0.00", "0.00")),
        (["--country", "EE"], ("EE", None, True, "exempt", "EE", "0.00", "0.00")),
        (["--not-exempt"], ("EE", None, False, "eu_consumer", "EE", "24.00", "24.00")),
        (
            ["--country", "none", "--vat-id", "fr 61 954 506 077"],
            ("FR", "FR61954506077", False, "reverse_charge", "FR", "0.00", "0.00"),
        ),
        (["--vat-id", "none"], ("FR", None, False, "eu_consumer", "FR", "20.00", "20.00")),
        (["--country", "US"], ("US", None, False, "outside_eu", "US", "0.00", "0.00")),
        (["--country", "none"], (None, None, False, "domestic", "DE", "19.00", "19.00")),
    ]:
        shown = cli(*tax, *options).json
        assert tuple(shown[name] for name in told) == expected


def test_people_are_told_what_is_added_to_100_and_why(cli: Cli, database: str, account: str) -> None:
    told = cli("accounts", "tax", account, "--country", "EE", "--database", database, BILLING_MCP_NOW="2025-06-30")

    assert told.words == (
        "To 100.00 is added 22.00: eu consumer, 22.00 % of EE (country EE, VAT id none). VAT of EE, where the "
        "customer is, declared in the One-Stop Shop, Art. 58 and 65 of Directive 2006/112/EC."
    )


@pytest.mark.parametrize(
    "options", [["--country", "EL"], ["--vat-id", "DE136695977"], ["--country", "BE", "--vat-id", "FR61954506077"]]
)
def test_what_is_no_country_or_vat_id_is_refused_and_changes_nothing(
    cli: Cli, database: str, account: str, options: list[str]
) -> None:
    tax = ("accounts", "tax", account, "--database", database)
    cli(*tax, *options).refused("invalid_argument", 2)
    assert cli(*tax, "--json").json["country"] is None
    cli("accounts", "tax", NOBODY, "--database", database).refused("not_found", 3)
    cli("accounts", "tax", NOBODY, "--exempt", "--database", database).refused("not_found", 3)
