"""`billing-mcp accounts credit` and `credits`: what one gives of one's own, until when, and what is left of it."""

from __future__ import annotations

from tests.cli.conftest import MAIL, NOBODY, Cli


def test_a_credit_is_listed_with_its_terms_and_what_is_left_of_it(cli: Cli, database: str, account: str) -> None:
    credit = ("accounts", "credit", account, "--database", database)
    listed = ("accounts", "credits", account, "--database", database)
    assert cli(*listed, "--json").json == []
    assert "billing-mcp accounts credit ACCOUNT_ID AMOUNT" in cli(*listed).words

    day = cli(*credit, "5", "--reason", "Spring [株]", "--expires", "2026-04-01", "--priority", "2", "--json").json
    moment = cli(*credit, "1", "--reason", "May", "--expires", "2026-05-01T00:00:00+02:00", "--json").json
    never = cli(*credit, "0.5", "--reason", "Goodwill", "--json").json

    told = {"used": "0.00", "expired": "0.00", "currency": "EUR", "granted_at": "2026-03-12T10:00:00Z"}
    expected = [
        (never, "0.50", 5, None, "Goodwill"),
        (moment, "1.00", 5, "2026-04-30T22:00:00Z", "May"),
        (day, "5.00", 2, "2026-04-01T00:00:00Z", "Spring [株]"),
    ]
    assert cli(*listed, "--json").json == [
        {
            **told,
            "credit_id": given["transaction_id"],
            "amount": amount,
            "remaining": amount,
            "priority": priority,
            "expires_at": expires_at,
            "reason": reason,
        }
        for given, amount, priority, expires_at, reason in expected
    ]
    people = cli(*listed).words
    assert "0.50 0.50 0.00 0.00 EUR 5 never Goodwill" in people
    assert "Spring [株]" in people


def test_a_credit_expires_later_than_now_on_a_day_or_at_a_moment(cli: Cli, database: str, account: str) -> None:
    asked = ("accounts", "credit", account, "5", "--reason", "r", "--database", database)

    for until in ("2026-03-12", "2026-03-12T10:00:00Z", "2026-04-01T10:00:00", "2026-02-30", "tomorrow"):
        cli(*asked, "--expires", until).refused("invalid_argument", 2)

    assert cli("accounts", "credits", account, "--json", "--database", database).json == []


def test_terms_are_part_of_what_a_key_stands_for(cli: Cli, sqlite: str) -> None:
    cli("accounts", "create", "Northwind Mail", "--id", MAIL, "--database", sqlite)
    asked = ("accounts", "credit", MAIL, "5", "--reason", "r", "--idempotency-key", "k", "--database", sqlite)
    first = cli(*asked, "--expires", "2026-04-01", "--json").json

    again = cli(*asked, "--expires", "2026-04-01", "--json", BILLING_MCP_NOW="2026-05-01T00:00:00Z").json

    assert again == {**first, "replayed": True}
    cli(*asked).refused("idempotency_key_reused", 2)
    assert len(cli("accounts", "credits", MAIL, "--json", "--database", sqlite).json) == 1
    assert cli(*asked, "--priority", "10").exit_code == 2
    cli("accounts", "credits", NOBODY, "--database", sqlite).refused("not_found", 3)
