"""`billing-mcp catalog`: what is wrong with a price catalog, what it charges, and who refuses to start with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from billing_mcp.catalog.loader import default_text
from tests.catalog.texts import CATALOG, line_of, spoilt
from tests.cli.conftest import Cli

WRONG = (('price = "29.00"', 'price = "-29.00"'), ('FR = ["0.05", "0.04"', 'FR = ["0.05", 0.0400'))
QUOTES = 'Write it in quotes: "0.0400".'
SAYS = 'line 7: plans.smtp_per_mailbox.price: a price is not negative; got "-29.00"'


@pytest.fixture
def sound(tmp_path: Path) -> str:
    """A catalog of one's own, in dollars."""
    file = tmp_path / "sound.toml"
    file.write_text(CATALOG)
    return str(file)


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    """A catalog with two problems."""
    file = tmp_path / "wrong.toml"
    file.write_text(spoilt(*WRONG))
    return str(file)


def test_a_sound_catalog_is_said_to_be_with_what_it_holds(cli: Cli, sound: str) -> None:
    checked = cli("catalog", "check", sound)

    assert (checked.exit_code, checked.stderr) == (0, "")
    assert checked.stdout.strip() == (
        f"{sound} is sound: 2 plans, 6 tiers, 19 prices of messages in the newest of 3 versions "
        "(first from 2024-01-01, second from 2024-02-29, third from 2025-01-01), "
        "VAT by a seller in DE, as the package has it."
    )
    assert cli("catalog", "check", sound, "--json").json == {"sound": True, "problems": []}


def test_the_catalog_of_the_package_is_sound(cli: Cli) -> None:
    checked = cli("catalog", "check")
    assert checked.exit_code == 0
    assert checked.stdout.startswith("The catalog of the package is sound: 2 plans, 9 tiers, ")


def test_every_problem_is_a_line_with_its_line_and_the_command_fails(cli: Cli, wrong: str) -> None:
    checked = cli("catalog", "check", wrong)

    line = line_of(spoilt(*WRONG), "0.0400")
    assert checked.stdout.splitlines() == [
        SAYS,
        f"line {line}: prices.0.sms.segment.FR.1: a price is written as text; got 0.0400 ({QUOTES})",
    ]
    assert (checked.exit_code, checked.stderr) == (2, f"error invalid_catalog: {wrong} has 2 problems\n")


def test_machines_get_the_problems_as_json(cli: Cli, wrong: str) -> None:
    checked = cli("catalog", "check", wrong, "--json")

    first, second = checked.json["problems"]
    assert (checked.exit_code, checked.json["sound"]) == (2, False)
    assert first == {"line": 7, "field": "plans.smtp_per_mailbox.price", "message": SAYS, "hint": None}
    assert second["hint"] == QUOTES


def test_one_problem_is_one(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text("currency = EUR")
    checked = cli("catalog", "check", str(file))
    assert checked.stdout == "line 1: the catalog is not TOML: invalid value\n"
    assert checked.stderr == f"error invalid_catalog: {file} has 1 problem\n"


@pytest.mark.parametrize("command", ["check", "show"])
def test_a_file_that_is_not_there_is_refused(cli: Cli, tmp_path: Path, command: str) -> None:
    cli("catalog", command, str(tmp_path / "none.toml")).refused("unreadable_file", 2)
    cli("catalog", command, str(tmp_path)).refused("unreadable_file", 2)


def test_nothing_in_a_file_commands_the_terminal_or_breaks_its_line(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(spoilt(('name = "Proxies"', 'name = "Proxies"\n"a\\nb\\u001b[31m" = "\\u001b[2J"')))
    checked = cli("catalog", "check", str(file))
    assert checked.exit_code == 2
    assert len(checked.stdout.splitlines()) == 1
    assert "\x1b" not in checked.stdout


def test_people_see_plans_tiers_prices_bands_regions_and_versions(cli: Cli, sound: str) -> None:
    shown = cli("catalog", "show", sound, "--on", "2024-06-01")

    assert shown.exit_code == 0, shown
    for words in (
        f"{sound}, USD, as of 2024-06-01",
        "first 2024-01-01 ended",
        "second 2024-02-29 in force sms segment DE, AT",
        "third 2025-01-01 coming sms mau GB; regions",
        "smtp_per_proxy 99.00 email more",
        "smtp_per_mailbox 29.00 0.355 a mailbox",
        "3 missed months",
        "sms few 0 sms some 500 sms many 5,000",
        "unit market few some many",
        "segment DE 0.09 0.08 0.07",
        "segment FR 0.05 0.04 0.03",
        "basic * 0.0010 0.0009",
        "* 1 10 0.10 * 11 20 0.05 * 21 0.00",
        "world standard * basic_max_bytes 100",
        "america us US, PR segment_bytes 200, rich_suggestions reply",
    ):
        assert words in shown.words, words


def test_people_see_whose_vat_is_added_at_which_rates_and_what_is_coming(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(f'{CATALOG}\n[tax]\nseller_country = "FI"\n')

    shown = cli("catalog", "show", str(file), "--on", "2024-08-31")

    assert "VAT on what customers pay, sold from FI" in shown.words
    assert "FI 24.00 2020-01-01 25.50 from 2024-09-01" in shown.words
    assert "EE 22.00 2024-01-01 24.00 from 2025-07-01" in shown.words
    tax = cli("catalog", "show", str(file), "--on", "2024-09-01", "--json").json["tax"]
    assert (tax["seller_country"], tax["rates"]["FI"], len(tax["rates"])) == ("FI", "25.50", 27)
    assert cli("catalog", "check", str(file)).stdout.endswith("VAT by a seller in FI.\n")


def test_another_day_has_other_prices(cli: Cli, sound: str) -> None:
    def de(*options: str) -> Any:
        return cli("catalog", "show", sound, "--json", *options).json["channels"]["sms"]["prices"]["segment"]["DE"]

    assert de("--on", "2024-02-28") == {"few": "0.08", "some": "0.07", "many": "0.06"}
    assert de("--on", "2024-02-29") == {"few": "0.09", "some": "0.08", "many": "0.07"}
    assert de() == de("--on", "2026-03-12")


def test_a_day_before_the_first_prices_and_no_day_are_refused(cli: Cli, sound: str) -> None:
    cli("catalog", "show", sound, "--on", "2023-12-31").refused("not_priced", 2)
    cli("catalog", "show", sound, "--on", "yesterday").refused("invalid_argument", 2)


def test_one_channel_is_shown_alone(cli: Cli, sound: str) -> None:
    shown = cli("catalog", "show", sound, "--channel", "email")
    assert "email, USD a unit" in shown.words
    assert "sms" not in shown.words.partition("Tiers")[2]
    assert "rcs" not in shown.words.partition("Tiers")[2]
    assert list(cli("catalog", "show", sound, "--channel", "email", "--json").json["channels"]) == ["email"]


def test_machines_get_the_catalog_as_json(cli: Cli, sound: str) -> None:
    shown = cli("catalog", "show", sound, "--on", "2024-01-01", "--json").json

    assert (shown["currency"], shown["on"], shown["version"]) == ("USD", "2024-01-01", "first")
    assert [each["valid_from"] for each in shown["versions"]] == ["2024-01-01", "2024-02-29", "2025-01-01"]
    terms: dict[str, Any] = {
        "plan_id": "smtp_per_proxy", "version": "1", "valid_from": None, "price": "99.00", "yearly_price": None,
        "minimum": "0.00", "components": {}, "included": {},
    }  # fmt: skip
    assert shown["plans"][1] == {**terms, "tiers": {"email": "more"}, "versions": [terms]}
    assert shown["missed_months"] == 3
    assert shown["channels"]["rcs"]["tiers"] == [{"name": "flat", "from_volume": 0}]
    assert shown["channels"]["rcs"]["prices"]["single"] == {"*": {"flat": "0.07"}, "DE": {"flat": "0.08"}}
    assert shown["channels"]["email"]["mau"]["*"][1:] == [
        {"up_to": 20, "price": "0.05"},
        {"up_to": None, "price": "0.00"},
    ]
    assert shown["regions"] == {
        "world": {"rule": "standard", "markets": ["*"], "basic_max_bytes": 100},
        "america": {"rule": "us", "markets": ["US", "PR"], "segment_bytes": 200, "rich_suggestions": ["reply"]},
    }


def test_the_setting_names_the_file_for_all_commands(cli: Cli, sound: str, tmp_path: Path) -> None:
    database = str(tmp_path / "own.db")

    assert cli("catalog", "check", BILLING_MCP_CATALOG=sound).stdout.startswith(f"{sound} is sound")
    assert cli("catalog", "show", "--json", BILLING_MCP_CATALOG=sound).json["currency"] == "USD"
    opened = cli("accounts", "create", "Own", "--json", "--database", database, BILLING_MCP_CATALOG=sound)
    assert opened.json["currency"] == "USD"
    plans = cli(
        "call", "billing.plans.list", f"account_id={opened.json['id']}", "--database", database,
        BILLING_MCP_CATALOG=sound,
    )  # fmt: skip
    assert "29.00" in plans.stdout
    assert "By the mailbox." in plans.stdout
    assert "By the mailbox." not in default_text()


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_server_refuses_to_start_with_a_wrong_catalog(
    program: Cli, wrong: str, tmp_path: Path, transport: str
) -> None:
    database = str(tmp_path / "none.db")
    options = ("--transport", transport, "--port", "0", "--database", database)

    for served in (
        program("serve", *options, "--catalog", wrong),
        program("serve", *options, BILLING_MCP_CATALOG=wrong),
    ):
        assert (served.exit_code, served.stdout) == (2, "")
        assert f"error invalid_catalog: {SAYS} (It is in {wrong}." in served.stderr
        assert f"1 more: billing-mcp catalog check {wrong})" in served.stderr
    assert not Path(database).exists()


@pytest.mark.parametrize(
    "arguments", [("worker", "--once"), ("accounts", "create", "Own"), ("run", "-"), ("call", "billing.plans.list")]
)
def test_no_command_that_charges_runs_with_a_wrong_catalog(
    cli: Cli, wrong: str, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    refused = cli(*arguments, "--database", str(tmp_path / "x.db"), BILLING_MCP_CATALOG=wrong)
    assert refused.refused("invalid_catalog", 2).stderr.startswith(f"error invalid_catalog: {SAYS}")


def test_the_doctor_tells_which_prices_are_used_and_what_is_wrong_with_them(
    cli: Cli, sound: str, wrong: str, tmp_path: Path
) -> None:
    def found(**env: str) -> Any:
        shown = cli("doctor", "--json", "--database", str(tmp_path / "x.db"), **env).json
        (finding,) = (each for each in shown if each["what"] == "catalog")
        return finding

    assert found()["found"].startswith("of the package, EUR: 2020-01 from 2020-01-01")
    assert found(BILLING_MCP_CATALOG=sound)["verdict"] == "ok"
    broken = found(BILLING_MCP_CATALOG=wrong)
    assert (broken["verdict"], broken["found"]) == ("wrong", SAYS)
    assert "billing-mcp catalog check" in broken["mend"]


def test_a_client_starts_the_server_with_the_same_prices(cli: Cli, sound: str) -> None:
    for shown in (
        cli("config", "claude-desktop", "--catalog", sound),
        cli("config", "claude-desktop", BILLING_MCP_CATALOG=sound),
    ):
        arguments = shown.json["mcpServers"]["billing"]["args"]
        assert arguments[-2:] == ["--catalog", sound]


@pytest.mark.parametrize("command", ["check", "show"])
def test_help_teaches(cli: Cli, command: str) -> None:
    told = cli("catalog", command, "--help").words
    assert "BILLING_MCP_CATALOG" in told
    assert "TOML" in told
