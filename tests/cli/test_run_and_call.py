"""`billing-mcp run` and `call`: an execution from the command line, by the same rules as an agent's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from billing_mcp.operations import REGISTRY
from tests.cli.conftest import MAIL, NOBODY, STUDIO, Cli

CHANGE = f"billing.plan.change(account_id={MAIL!r}, plan_id='smtp_per_proxy')['status']"
CANCEL = f"billing.plan.cancel(account_id={MAIL!r})['status']"


def _books(cli: Cli, database: str) -> list[Any]:
    """What an agent sees of the accounts: plan, balance, transactions and invoices."""
    script = f"""
[
    billing.current_plan.get(account_id={MAIL!r}),
    billing.wallet_balance.get(account_id={MAIL!r}),
    billing.transactions.list(account_id={MAIL!r}),
    billing.invoices.list(account_id={MAIL!r}),
]"""
    found: list[Any] = cli("run", "-", "--json", "--database", database, stdin=script).json["result"]
    return found


def test_a_script_from_a_file_answers_in_json(cli: Cli, database: str, account: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"print('hello')\nbilling.wallet_balance.get(account_id={account!r})", "utf-8")

    answered = cli("run", str(script), "--json", "--database", database)

    assert (answered.exit_code, answered.stderr) == (0, "")
    answer = answered.json
    assert answer.pop("execution_id")
    assert answer == {
        "status": "completed",
        "changed": False,
        "output": "hello\n",
        "result": {"accrued_charges": "0.00", "balance": "100.00", "currency": "EUR", "net_balance": "100.00"},
        "calls": [{"function": "billing.wallet_balance.get", "line": 2}],
    }


def test_a_script_from_standard_input_changes_what_it_says(cli: Cli, database: str, account: str) -> None:
    script = CHANGE.replace(MAIL, account)

    answer = cli("run", "-", "--json", "--database", database, stdin=script).json

    assert (answer["status"], answer["changed"], answer["result"]) == ("completed", True, "completed")
    assert answer["effects"]["settings"] == [
        {"account_id": account, "setting": "plan", "before": None, "after": "smtp_per_proxy"}
    ]
    assert _books(cli, database)[0]["plan_id"] == "smtp_per_proxy"


def test_a_program_of_its_own_reads_standard_input_and_says_only_the_answer(program: Cli, lived: str) -> None:
    answered = program("run", "-", "--json", "--database", lived, stdin="print('é')\n'→ ☃'")

    assert (answered.exit_code, answered.stderr) == (0, "")
    assert (answered.json["output"], answered.json["result"]) == ("é\n", "→ ☃")


def test_people_read_status_result_and_effects(cli: Cli, lived: str) -> None:
    answered = cli("run", "-", "--database", lived, stdin=f"print('so far')\n{CHANGE}")

    assert answered.exit_code == 0
    assert "✔ completed, changed" in answered.words
    assert "so far" in answered.words
    assert "It changed account what effect" in answered.words
    assert f"{MAIL} plan smtp_per_mailbox → smtp_per_proxy" in answered.words
    assert f"{MAIL} available EUR -" in answered.words
    assert "\x1b" not in answered.stdout


def test_a_preview_answers_as_the_commit_would_and_changes_nothing(cli: Cli, lived: str) -> None:
    before = _books(cli, lived)

    previewed = cli("run", "-", "--preview", "--json", "--database", lived, stdin=CHANGE)

    assert (previewed.exit_code, previewed.json["status"], previewed.json["changed"]) == (0, "previewed", False)
    assert _books(cli, lived) == before
    committed = cli("run", "-", "--json", "--database", lived, stdin=CHANGE).json
    assert committed["effects"] == previewed.json["effects"]
    assert committed["result"] == previewed.json["result"]


def test_people_read_of_a_preview_what_it_would_change(cli: Cli, lived: str) -> None:
    words = cli("call", "billing.plan.cancel", f"account_id={MAIL}", "--preview", "--database", lived).words

    assert "◌ previewed, nothing was changed" in words
    assert "It would change" in words
    assert "none from 2026-04-01" in words


@pytest.mark.parametrize(
    ("script", "code", "exit_code"),
    [
        ("raise ValueError('no')", "script_error", 1),
        ("1 / 0", "script_error", 1),
        ("change the plan", "syntax_error", 2),
        ("billing.plan.chnge(account_id='x')", "unknown_function", 2),
        ("billing.wallet_balance.get('x')", "positional_argument", 2),
        ("billing.wallet_balance.get(account_id='x')", "invalid_argument", 2),
        (f"billing.wallet_balance.get(account_id={NOBODY!r})", "not_found", 3),
        (f"billing.plan.change(account_id={MAIL!r}, plan_id='smtp_per_mailbox')", "plan_unchanged", 3),
        (f"billing.plan.change(account_id={STUDIO!r}, plan_id='smtp_per_proxy')", "account_not_active", 3),
    ],
)
def test_a_script_that_fails_says_why_and_its_exit_code_says_of_what_kind(
    cli: Cli, lived: str, script: str, code: str, exit_code: int
) -> None:
    answered = cli("run", "-", "--json", "--database", lived, stdin=script)

    assert (answered.exit_code, answered.stderr) == (exit_code, "")
    answer = answered.json
    assert (answer["status"], answer["changed"], answer["error"]["code"]) == ("failed", False, code)
    words = cli("run", "-", "--database", lived, stdin=script).words
    assert "✘ failed, nothing was changed" in words
    assert f"{code}: " in words


def test_a_script_that_changes_and_then_fails_has_changed_nothing(cli: Cli, lived: str) -> None:
    before = _books(cli, lived)

    answered = cli("run", "-", "--json", "--database", lived, stdin=f"{CHANGE}\nprint('done')\nraise KeyError('x')")

    assert (answered.exit_code, answered.json["error"]["line"], answered.json["output"]) == (1, 3, "done\n")
    assert _books(cli, lived) == before


@pytest.mark.parametrize(
    ("setting", "value", "script", "code"),
    [
        ("BILLING_MCP_EXECUTION_S", "0.2", "while True:\n    pass", "time_limit"),
        ("BILLING_MCP_WALL_S", "0.3", "while True:\n    pass", "time_limit"),
        ("BILLING_MCP_CALLS", "2", f"[billing.plans.list(account_id={MAIL!r}) for _ in range(3)]", "call_limit"),
        ("BILLING_MCP_CODE_KB", "1", f"{'#' * 1024}\n1", "script_too_long"),
        ("BILLING_MCP_OUTPUT_KB", "1", "print('x' * 1025)", "output_limit"),
        ("BILLING_MCP_MEMORY_MB", "8", "x = 'x' * 10_000_000", "memory_limit"),
    ],
)
def test_a_script_is_held_to_the_limit_that_is_set(
    cli: Cli, lived: str, setting: str, value: str, script: str, code: str
) -> None:
    answered = cli("run", "-", "--json", "--database", lived, stdin=script, **{setting: value})

    assert (answered.exit_code, answered.json["error"]["code"]) == (2 if code == "script_too_long" else 3, code)


def test_the_same_idempotency_key_makes_it_happen_once(cli: Cli, database: str, account: str) -> None:
    script = CHANGE.replace(MAIL, account)
    arguments = ("run", "-", "--json", "--idempotency-key", "change-1", "--database", database)

    first, again = (cli(*arguments, stdin=script) for _ in range(2))

    assert first.json["changed"]
    assert (again.exit_code, again.json) == (0, first.json)
    other = cli(*arguments, stdin=script + "\n")
    assert (other.exit_code, other.json["error"]["code"]) == (2, "idempotency_key_reused")


def test_a_preview_does_not_use_up_an_idempotency_key(cli: Cli, lived: str) -> None:
    arguments = ("call", "billing.plan.cancel", f"account_id={MAIL}", "--json", "--database", lived)
    key = ("--idempotency-key", "cancel-1")

    previewed = cli(*arguments, *key, "--preview").json
    committed = cli(*arguments, *key).json
    again = cli(*arguments, *key).json

    assert [previewed["status"], committed["status"]] == ["previewed", "completed"]
    assert again == committed


def test_a_failed_execution_releases_its_idempotency_key(cli: Cli, lived: str) -> None:
    arguments = ("run", "-", "--json", "--idempotency-key", "k", "--database", lived)
    assert cli(*arguments, stdin="raise ValueError").exit_code == 1

    assert cli(*arguments, stdin=CANCEL).json["changed"]


def test_an_idempotency_key_has_a_limit_and_says_so(cli: Cli, lived: str) -> None:
    answered = cli("run", "-", "--json", "--idempotency-key", "k" * 256, "--database", lived, stdin=CANCEL)

    assert (answered.exit_code, answered.json["error"]["code"]) == (2, "invalid_argument")


@pytest.mark.parametrize("function", [name for name, operation in REGISTRY.items() if not operation.writes])
def test_every_function_that_reads_can_be_called(cli: Cli, lived: str, function: str) -> None:
    def call(name: str, *arguments: str) -> Any:
        return cli("call", name, f"account_id={MAIL}", *arguments, "--json", "--database", lived).json["result"]

    listed, topup = call("billing.transactions.list"), ""
    if function == "billing.topups.get":
        call("billing.payment_methods.add", "token=tok_visa")
        topup = call("billing.topups.create", "amount=50.00")["topup_id"]
    more = {
        "billing.charges.explain": [f"transaction_id={listed['items'][0]['transaction_id']}"],
        "billing.topups.get": [f"topup_id={topup}"],
        "billing.invoices.get": [f"invoice_id={call('billing.invoices.list')['items'][0]['id']}"],
        "billing.messages.quote": ["channel=rcs", "text=Hello", "suggestions=reply,dial"],
        "billing.usage.detailed": ["group_by=day,channel"],
    }

    answered = cli("call", function, f"account_id={MAIL}", *more.get(function, []), "--json", "--database", lived)

    assert (answered.exit_code, answered.stderr) == (0, "")
    assert answered.json["calls"] == [{"function": function}]
    assert answered.json["result"]


def test_people_read_what_is_paid_and_what_came_of_it(cli: Cli, database: str, account: str) -> None:
    def call(function: str, *arguments: str) -> str:
        return cli("call", function, f"account_id={account}", *arguments, "--database", database).stdout

    added = call("billing.payment_methods.add", "token=tok_visa")
    begun = call("billing.payment_methods.add", "type=sepa_debit")
    previewed = call("billing.topups.create", "amount=50", "--preview")
    paid = call("billing.topups.create", "amount=50")
    declined = call("billing.payment_methods.add", "token=tok_attach_declined")

    assert "none → card pending" in added
    assert added.endswith("  since then: payment method visa ••4242 active, default\n")
    assert re.search(
        r"\n  since then: payment method sepa_debit requires_action, https://\S+/seti_[0-9a-f-]{36}\n$", begun
    )
    for shown in (previewed, paid):
        assert re.search(r"│ payment visa ••4242 │ -[0-9]{2}\.[0-9]{2} EUR → \+50\.00 EUR │", shown)
    assert "since then" not in previewed
    assert re.search(r"\n  since then: top-up of 50\.00 EUR \([0-9.]+ with VAT\) succeeded\n$", paid)
    assert declined.endswith("  since then: payment method visa ••0341 failed, card_declined\n")


def test_lists_and_amounts_of_a_call_are_texts(cli: Cli, database: str, account: str) -> None:
    def call(function: str, *arguments: str) -> Any:
        return cli("call", function, f"account_id={account}", *arguments, "--json", "--database", database).json

    put = call("billing.alerts.set", "amounts=50,20.5", "percent_of_last_topup=20", "cooldown_hours=3")["result"]
    ended = call("billing.alerts.set", "amounts=")["result"]
    wrong = call("billing.alerts.set", "amounts=50,much")["error"]
    small = call("billing.topups.create", "amount=9.99")["error"]

    assert [each["value"] for each in put["thresholds"]] == ["50.00", "20.50", "20"]
    assert [each["value"] for each in ended["thresholds"]] == ["20"]
    assert (wrong["code"], wrong["field"]) == ("invalid_argument", "amounts")
    assert (small["code"], small["field"]) == ("invalid_argument", "amount")


def test_a_call_is_an_execution_that_changes_what_it_says(cli: Cli, database: str, account: str) -> None:
    arguments = (f"account_id={account}", "plan_id=smtp_per_mailbox", "effective_date=2026-03-20")

    answer = cli("call", "billing.plan.change", *arguments, "--json", "--database", database).json

    assert (answer["changed"], answer["result"]["status"]) == (True, "scheduled")
    assert answer["result"]["effective_at"] == "2026-03-20T00:00:00Z"
    resumed = cli("call", "billing.plan.resume", f"account_id={account}", "--json", "--database", database)
    assert (resumed.exit_code, resumed.json["changed"]) == (0, True)


def test_the_arguments_of_a_call_are_numbers_booleans_and_null_where_the_function_wants_them(
    cli: Cli, lived: str
) -> None:
    def call(function: str, *arguments: str) -> dict[str, Any]:
        answered = cli("call", function, f"account_id={MAIL}", *arguments, "--preview", "--json", "--database", lived)
        found: dict[str, Any] = answered.json["result"]
        return found

    page = call("billing.transactions.list", "page=2", "page_size=1")
    assert (page["page"], page["page_size"], len(page["items"])) == (2, 1, 1)
    assert call("billing.plan.cancel", "cancel_immediately=true")["status"] == "completed"
    assert call("billing.plan.cancel", "cancel_immediately=False")["status"] == "scheduled"
    changed = call("billing.plan.change", "plan_id=smtp_per_proxy", "effective_date=null")
    assert changed["status"] == "completed"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("billing.wallet_balance.gett", f"account_id={MAIL}"), "unknown_function", "billing.wallet_balance.get"),
        (("wallet_balance.get", f"account_id={MAIL}"), "unknown_function", "billing.wallet_balance.get"),
        (("billing.wallet_balance.get",), "missing_argument", "account_id"),
        (("billing.wallet_balance.get", f"acount_id={MAIL}"), "unknown_argument", "account_id"),
        (("billing.wallet_balance.get", "account_id=7"), "invalid_argument", "UUID"),
        (("billing.transactions.list", f"account_id={MAIL}", "page=0"), "invalid_argument", "page"),
        (("billing.transactions.list", f"account_id={MAIL}", "page=two"), "invalid_argument", "page"),
        (("billing.transactions.list", f"account_id={MAIL}", "page=1.5"), "invalid_argument", "page"),
        (("billing.transactions.list", f"account_id={MAIL}", f"page={10**30}"), "invalid_argument", "page"),
        (("billing.transactions.list", f"account_id={MAIL}", "page_size=101"), "invalid_argument", "page_size"),
        (("billing.plan.change", f"account_id={MAIL}", "plan_id=rocket"), "invalid_argument", "smtp_per_mailbox"),
        (
            ("billing.plan.cancel", f"account_id={MAIL}", "cancel_immediately=true", "cancel_at_period_end=true"),
            "invalid_argument",
            "cancel_at_period_end",
        ),
        (
            ("billing.plan.change", f"account_id={MAIL}", "plan_id=smtp_per_proxy", "effective_date=2026-03-11"),
            "effective_date_in_past",
            "2026-03-11",
        ),
    ],
)
def test_a_call_that_makes_no_sense_says_what_to_write_instead(
    cli: Cli, lived: str, arguments: tuple[str, ...], code: str, says: str
) -> None:
    answered = cli("call", *arguments, "--json", "--database", lived)

    assert (answered.exit_code, answered.json["error"]["code"]) == (2, code)
    assert says in f"{answered.json['error']['message']} {answered.json['error'].get('hint')}"


def test_an_argument_without_a_name_is_refused_before_anything_is_opened(cli: Cli, tmp_path: Path) -> None:
    database = tmp_path / "none.db"

    refused = cli("call", "billing.wallet_balance.get", MAIL, "--database", str(database))

    assert MAIL in refused.refused("invalid_argument", 2).stderr
    assert not database.exists()


@pytest.mark.parametrize(
    ("setting", "value", "code", "exit_code"),
    [
        ("BILLING_MCP_PERMISSIONS", "view", "permission_denied", 3),
        ("BILLING_MCP_READ_ONLY", "1", "unknown_function", 2),
    ],
)
def test_without_a_key_the_settings_say_what_you_may_do(
    cli: Cli, lived: str, setting: str, value: str, code: str, exit_code: int
) -> None:
    answered = cli("run", "-", "--json", "--database", lived, stdin=CANCEL, **{setting: value})

    assert (answered.exit_code, answered.json["error"]["code"]) == (exit_code, code)
    assert cli("run", "-", "--database", lived, stdin="1", **{setting: value}).exit_code == 0


def test_a_script_that_does_not_exist_is_a_usage_error(cli: Cli, lived: str, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.py", tmp_path):
        outcome = cli("run", str(path), "--database", lived, COLUMNS="500")
        assert (outcome.exit_code, outcome.stdout) == (2, "")
        assert str(path) in outcome.stderr
