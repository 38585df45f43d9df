"""`billing-mcp plans`: the platform moves accounts to other prices; `billing-mcp catalog` shows which there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from billing_mcp.catalog.loader import default_text
from tests.cli.conftest import NOBODY, Cli

VERSION = """
[[plans.smtp_per_mailbox.versions]]
version = "2027"
valid_from = 2026-06-01
price = "35.00"
minimum = "40.00"
components = [{ component_type = "mailbox", included = 5 }]

[plans.smtp_per_proxy]
"""


@pytest.fixture
def catalog(tmp_path: Path) -> str:
    """The package's prices, and a version of a plan to come."""
    file = tmp_path / "prices.toml"
    file.write_text(default_text().replace("[plans.smtp_per_proxy]\n", VERSION, 1), "utf-8")
    return str(file)


def change(cli: Cli, database: str, account: str, plan_id: str, *more: str) -> None:
    done = cli(
        "call", "billing.plan.change", f"account_id={account}", f"plan_id={plan_id}", *more, "--database", database
    )
    assert done.exit_code == 0, done


def test_accounts_are_moved_once_and_a_dry_run_moves_none(cli: Cli, database: str, account: str, catalog: str) -> None:
    change(cli, database, account, "smtp_per_mailbox")
    command = ("plans", "migrate", "smtp_per_mailbox", "--to", "2027", "--database", database)
    item = {"account_id": account, "on": "2026-04-12", "previous_version": "1"}

    dry, made, again = (
        cli(*command, "--json", *more, BILLING_MCP_CATALOG=catalog).json for more in (("--dry-run",), (), ())
    )

    assert dry == {"dry_run": True, "items": [item | {"status": "migrated"}]}
    assert made == {"dry_run": False, "items": [item | {"status": "migrated"}]}
    assert again == {"dry_run": False, "items": [item | {"status": "already", "previous_version": "2027"}]}
    shown = cli(*command, "--on", "2026-03-20", BILLING_MCP_CATALOG=catalog)
    assert shown.exit_code == 0
    assert shown.words.startswith("Moved 1 of 1 account to smtp_per_mailbox 2027.")
    assert f"{account} 1 moved 2026-03-20" in shown.words


def test_one_account_may_be_moved_alone_and_people_are_told_what_became_of_it(
    cli: Cli, database: str, account: str, catalog: str
) -> None:
    change(cli, database, account, "smtp_per_mailbox")
    change(cli, database, account, "smtp_per_proxy", "effective_date=2026-04-01")

    shown = cli(
        "plans", "migrate", "smtp_per_mailbox", "--to", "2027", "--account", account, "--database", database,
        BILLING_MCP_CATALOG=catalog,
    )  # fmt: skip

    assert shown.words.startswith("Moved 0 of 1 account to smtp_per_mailbox 2027.")
    assert f"{account} not on the plan by then 2026-04-12" in shown.words


def test_a_version_a_day_or_an_account_that_is_none_is_refused(
    cli: Cli, database: str, account: str, catalog: str
) -> None:
    command = ("plans", "migrate", "smtp_per_mailbox", "--database", database, "--to")
    cli(*command, "2028", BILLING_MCP_CATALOG=catalog).refused("invalid_argument", 2)
    cli(*command, "2027", "--on", "soon", BILLING_MCP_CATALOG=catalog).refused("invalid_argument", 2)
    cli(*command, "2027", "--on", "2026-03-11", BILLING_MCP_CATALOG=catalog).refused("effective_date_in_past", 2)
    cli(*command, "2027", "--account", NOBODY, BILLING_MCP_CATALOG=catalog).refused("not_found", 3)
    nobody = cli(*command, "2027", BILLING_MCP_CATALOG=catalog)
    assert (nobody.exit_code, nobody.stdout) == (0, "Moved 0 of 0 accounts to smtp_per_mailbox 2027.\n")
    assert account not in nobody.stdout


def test_the_catalog_shows_the_versions_of_a_plan_and_what_each_costs(cli: Cli, catalog: str) -> None:
    shown = cli("catalog", "show", catalog, "--on", "2026-07-01")

    assert "smtp_per_mailbox 35.00 290.00 40.00 0.35 a mailbox above 5" in shown.words
    assert "smtp_per_mailbox 1 ended 29.00 290.00 0.35 a mailbox" in shown.words
    assert "smtp_per_mailbox 2027 2026-06-01 in force 35.00 290.00 40.00 0.35 a mailbox above 5" in shown.words
    assert "coming" in cli("catalog", "show", catalog, "--on", "2026-05-31").words
    assert "2 plans (smtp_per_mailbox 1, 2027 from 2026-06-01)" in cli("catalog", "check", catalog).words
    (plan, _) = cli("catalog", "show", catalog, "--on", "2026-07-01", "--json").json["plans"]
    assert (plan["version"], plan["minimum"], plan["included"]) == ("2027", "40.00", {"mailbox": 5})
    assert [each["price"] for each in plan["versions"]] == ["29.00", "35.00"]
