"""`billing-mcp topups`, `payments` and `reconcile`: money that customers have paid in, for people."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from billing_mcp.app import App
from billing_mcp.domain.payments import Facts
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.port import Payment
from billing_mcp.payments.tokens import TOKENS
from billing_mcp.settings import Settings
from tests.cli.conftest import NOBODY, NOW, Cli

PAYER = "0190c0de-0000-7000-8000-0000000000a1"
MARCH = ("--from", "2026-03-01", "--to", "2026-04-01")


def at_the_provider(database: str, act: Callable[[EmbeddedProvider, str], Awaitable[Any]]) -> Any:
    """What somebody does at the test provider, who knows the id of the payer's last payment."""

    async def work() -> Any:
        async with App.open(Settings(database=database, workers=1)) as app:
            assert isinstance(app.provider, EmbeddedProvider)
            async with app.store.read(app.clock()) as tx:
                (topup, *_) = await tx.payments.topups(PAYER)
            return await act(app.provider, str(topup.payment_id))

    return asyncio.run(work())


@pytest.fixture
def paid(cli: Cli, database: str) -> str:
    """The top-up of an account that paid 119.00 by card."""
    cli("accounts", "create", "Payer", "--id", PAYER, "--database", database)
    _call(cli, database, "billing.payment_methods.add", "token=tok_visa")
    return str(_call(cli, database, "billing.topups.create", "amount=100.00")["topup_id"])


def _call(cli: Cli, database: str, function: str, *arguments: str) -> Any:
    done = cli("call", function, f"account_id={PAYER}", *arguments, "--json", "--database", database)
    assert done.exit_code == 0, done
    return done.json["result"]


def test_top_ups_are_listed_and_shown(cli: Cli, database: str, paid: str) -> None:
    listed = cli("topups", "list", PAYER, "--database", database)
    assert listed.words.startswith("Top-ups, EUR topup_id created_at status total amount tax")
    assert f"{paid} 2026-03-12 10:00 succeeded 119.00 100.00 19.00" in listed.words
    (item,) = cli("topups", "list", PAYER, "--status", "succeeded", "--json", "--database", database).json
    assert (item["topup_id"], item["provider"]) == (paid, "test")
    assert cli("topups", "list", PAYER, "--status", "failed", "--database", database).words == "No top-up."
    cli("topups", "list", NOBODY, "--database", database).refused("not_found", 3)

    shown = cli("topups", "show", PAYER, paid, "--json", "--database", database).json
    assert (shown["refundable"], shown["refunds"]) == ("119.00", [])
    assert "refundable 119.00" in cli("topups", "show", PAYER, paid, "--database", database).words
    cli("topups", "show", PAYER, NOBODY, "--database", database).refused("not_found", 3)


def test_a_refund_is_asked_for_once_under_its_key_and_done_by_a_worker(cli: Cli, database: str, paid: str) -> None:
    command = ("topups", "refund", PAYER, paid, "59.50", "--idempotency-key", "r-1", "--database", database)
    first, again = cli(*command), cli(*command, "--json")

    assert "of 59.50 EUR is pending." in first.words
    assert "billing-mcp worker --once" in first.words
    assert (again.json["replayed"], again.json["refund_id"]) == (True, first.words.split()[1])
    cli("topups", "refund", PAYER, paid, "60.00", "--database", database).refused("not_refundable", 3)
    cli("topups", "refund", PAYER, paid, "a lot", "--database", database).refused("invalid_argument", 2)
    assert cli("worker", "--once", "--database", database).exit_code == 0
    shown = cli("topups", "show", PAYER, paid, "--database", database).words
    assert "refunded 59.50" in shown
    assert "succeeded 59.50" in shown


def test_the_tokens_of_the_test_provider_are_told(cli: Cli) -> None:
    told = cli("payments", "tokens")
    assert all(token in told.words for token in TOKENS)
    assert [each["token"] for each in cli("payments", "tokens", "--json").json] == list(TOKENS)


def test_payment_methods_are_listed_without_a_number(cli: Cli, database: str, paid: str) -> None:
    assert paid
    assert "visa ...4242 12/2034 active default" in cli("payments", "methods", PAYER, "--database", database).words
    (item,) = cli("payments", "methods", PAYER, "--json", "--database", database).json
    assert (item["last4"], item["is_default"]) == ("4242", True)
    cli("accounts", "create", "Other", "--id", NOBODY, "--database", database)
    assert cli("payments", "methods", NOBODY, "--database", database).words == "No payment method."


def test_books_that_agree_are_said_to(cli: Cli, database: str, paid: str) -> None:
    assert paid
    done = cli("reconcile", *MARCH, "--database", database)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.words == "Agrees: 1 payments, 1 top-ups, 1 ledger transactions, 0 differences."
    other_days = ("--from", "2026-04-01", "--to", "2026-05-01")
    assert cli("reconcile", *other_days, "--json", "--database", database).json["payments"] == 0


def test_every_difference_is_listed_and_what_can_be_learned_is(cli: Cli, database: str, paid: str) -> None:
    stray = Payment("pay_x", None, None, 23_800_000, "EUR", datetime.fromisoformat(NOW), Facts("succeeded", 23_800_000))

    async def plant(provider: EmbeddedProvider, payment_id: str) -> None:
        await provider.refund(payment_id, 11_900_000, key="by hand")
        await provider.plant(stray)

    at_the_provider(database, plant)
    first = cli("reconcile", *MARCH, "--database", database)
    assert first.exit_code == 1
    assert "2 differences" in first.words
    assert "missing_in_ledger payment pay_x received 0.00 23.80" in first.words
    assert f"status_differs account {PAYER} refunded 0.00 11.90" in first.words
    (of_account,) = cli("reconcile", *MARCH, "--account", PAYER, "--json", "--database", database).json["differences"]
    assert (of_account["topup_id"], of_account["theirs"]) == (paid, "11.90")

    mended = cli("reconcile", *MARCH, "--mend", "--json", "--database", database)

    assert (mended.exit_code, mended.json["learned"]) == (1, 1)
    assert [each["payment_id"] for each in mended.json["differences"]] == ["pay_x"]
    assert cli("reconcile", *MARCH, "--account", PAYER, "--database", database).exit_code == 0
    balance = _call(cli, database, "billing.wallet_balance.get")["balance"]
    assert balance == "90.00"


def test_a_span_that_is_none_is_refused(cli: Cli, sqlite: str) -> None:
    for span in (("2026-03-01", "2026-03-01"), ("2026-03-02", "2026-03-01"), ("March", "2026-03-01")):
        said = cli("reconcile", "--from", span[0], "--to", span[1], "--database", sqlite)
        said.refused("invalid_argument", 2)
    cli("reconcile", *MARCH, "--account", NOBODY, "--database", sqlite).refused("not_found", 3)
