"""`billing-mcp keys`: what agents are granted, and that `run` and `call` hold them to it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.cli.conftest import LOGISTICS, MAIL, NOBODY, NOW, Cli, Outcome

BALANCE = "billing.wallet_balance.get(account_id={0!r})['currency']"
CANCEL = "billing.plan.cancel(account_id={0!r})['status']"


def _key(cli: Cli, database: str, *options: str, account: str = MAIL) -> dict[str, Any]:
    created = cli("keys", "create", "agent", "--account", account, *options, "--json", "--database", database)
    assert created.exit_code == 0, created
    found: dict[str, Any] = created.json
    return found


def _run(cli: Cli, database: str, key: str, script: str, *options: str, now: str = NOW) -> Outcome:
    arguments = ("run", "-", "--json", "--database", database, *options)
    return cli(*arguments, stdin=script, BILLING_MCP_KEY=key, BILLING_MCP_NOW=now)


def _error(answered: Outcome) -> tuple[int, str]:
    return answered.exit_code, answered.json["error"]["code"]


def test_a_key_is_listed_with_what_it_grants_and_without_its_secret(cli: Cli, database: str, account: str) -> None:
    options = ("--permissions", "view,manage", "--read-only", "--expires-in-days", "30")
    created = _key(cli, database, *options, account=account)

    listed = cli("keys", "list", "--json", "--database", database)

    assert listed.json == [
        {
            "prefix": created["prefix"],
            "name": "agent",
            "kind": "agent",
            "permissions": ["billing.manage", "billing.view"],
            "read_only": True,
            "accounts": [account],
            "default_account": None,
            "created_at": NOW,
            "expires_at": "2026-04-11T10:00:00Z",
            "revoked_at": None,
        }
    ]
    assert re.fullmatch(rf"bmcp_{created['prefix']}_[\w-]{{43}}", created["key"])
    secret = created["key"][-43:]
    assert secret not in listed.stdout
    assert secret not in cli("keys", "list", "--database", database).stdout


def test_the_secret_of_a_key_is_in_no_file_of_a_sqlite_database(cli: Cli, lived: str) -> None:
    created = _key(cli, lived)
    _run(cli, lived, created["key"], BALANCE.format(MAIL))

    stored = b"".join(path.read_bytes() for path in Path(lived).parent.glob("lived.db*"))

    assert created["prefix"].encode() in stored
    assert created["key"][-43:].encode() not in stored


def test_the_secret_of_a_key_is_in_no_row_of_postgresql(cli: Cli, postgresql: str) -> None:
    cli("accounts", "create", "Northwind Mail", "--id", MAIL, "--database", postgresql)
    created = _key(cli, postgresql)

    async def stored() -> list[Any]:
        connection = await asyncpg.connect(postgresql)
        rows: list[Any] = await connection.fetch("SELECT * FROM keys")
        await connection.close()
        return rows

    (row,) = asyncio.run(stored())
    assert row["prefix"] == created["prefix"]
    assert created["key"][-43:] not in str(dict(row))


def test_people_see_the_secret_once_in_a_line_of_its_own(cli: Cli, lived: str) -> None:
    created = cli("keys", "create", "agent", "--account", MAIL, "--database", lived)

    key, advice = created.stdout.splitlines()
    assert advice == f"It is not shown again. Revoke it by its prefix {key.split('_')[1]}."
    assert _run(cli, lived, key, BALANCE.format(MAIL)).json["result"] == "EUR"
    assert f"{key.split('_')[1]} agent billing.view {MAIL}" in cli("keys", "list", "--database", lived).words


def test_without_keys_the_list_is_empty_and_says_how_to_create_one(cli: Cli, lived: str) -> None:
    assert cli("keys", "list", "--json", "--database", lived).json == []
    assert "billing-mcp keys create NAME --account ACCOUNT_ID" in cli("keys", "list", "--database", lived).words


def test_every_key_is_another_one(cli: Cli, lived: str) -> None:
    keys = [_key(cli, lived)["key"] for _ in range(5)]

    assert len(set(keys)) == 5


def test_a_key_is_revoked_once_and_refused_from_then_on(cli: Cli, database: str, account: str) -> None:
    created = _key(cli, database, account=account)
    assert _run(cli, database, created["key"], BALANCE.format(account)).exit_code == 0

    revoked = cli("keys", "revoke", created["prefix"], "--database", database)
    assert (revoked.exit_code, revoked.words) == (0, f"Revoked {created['prefix']}.")

    _run(cli, database, created["key"], BALANCE.format(account)).refused("key_revoked", 3)
    cli("keys", "revoke", created["prefix"], "--database", database).refused("not_found", 3)
    assert cli("keys", "list", "--json", "--database", database).json[0]["revoked_at"] == NOW


@pytest.mark.parametrize("prefix", ["", "nope", "%", "________", "[/x]"])
def test_a_key_that_does_not_exist_cannot_be_revoked(cli: Cli, lived: str, prefix: str) -> None:
    _key(cli, lived)

    cli("keys", "revoke", prefix, "--database", lived).refused("not_found", 3)

    assert cli("keys", "list", "--json", "--database", lived).json[0]["revoked_at"] is None


def test_a_key_knows_only_the_accounts_it_is_granted(cli: Cli, lived: str) -> None:
    key = _key(cli, lived, "--permissions", "view,manage")["key"]

    assert _run(cli, lived, key, BALANCE.format(MAIL)).exit_code == 0
    foreign = _run(cli, lived, key, BALANCE.format(LOGISTICS))
    missing = _run(cli, lived, key, BALANCE.format(NOBODY))
    assert _error(foreign) == _error(missing) == (3, "not_found")
    said = [answered.json["error"]["message"] for answered in (foreign, missing)]
    assert said[0].replace(LOGISTICS, "x") == said[1].replace(NOBODY, "x")


def test_the_help_of_a_script_names_only_the_accounts_of_its_key(cli: Cli, lived: str) -> None:
    key = _key(cli, lived, "--account", LOGISTICS)["key"]

    shown = _run(cli, lived, key, "billing.help()").json["result"]

    assert all(name in shown for name in (MAIL, "Northwind Mail", LOGISTICS, "Heron Logistics"))
    assert "Quill" not in shown


def test_a_key_that_may_view_cannot_manage(cli: Cli, database: str, account: str) -> None:
    key = _key(cli, database, account=account)["key"]

    assert _error(_run(cli, database, key, CANCEL.format(account))) == (3, "permission_denied")
    assert _error(_run(cli, database, key, CANCEL.format(account), "--preview")) == (3, "permission_denied")
    call = ("call", "billing.plan.cancel", f"account_id={account}", "--json", "--database", database)
    assert _error(cli(*call, BILLING_MCP_KEY=key)) == (3, "permission_denied")


def test_a_key_that_may_manage_does_not_view_by_that(cli: Cli, lived: str) -> None:
    key = _key(cli, lived, "--permissions", "manage")["key"]

    assert _error(_run(cli, lived, key, BALANCE.format(MAIL))) == (3, "permission_denied")
    assert _run(cli, lived, key, CANCEL.format(MAIL)).json["result"] == "scheduled"


def test_for_a_read_only_key_no_manage_function_exists(cli: Cli, lived: str) -> None:
    key = _key(cli, lived, "--permissions", "view,manage", "--read-only")["key"]

    assert _run(cli, lived, key, BALANCE.format(MAIL)).exit_code == 0
    assert _error(_run(cli, lived, key, CANCEL.format(MAIL))) == (2, "unknown_function")
    assert "billing.plan.cancel" not in _run(cli, lived, key, "billing.help()").json["result"]


def test_a_key_expires_at_its_moment(cli: Cli, database: str, account: str) -> None:
    key = _key(cli, database, "--expires-in-days", "1", account=account)["key"]

    last = _run(cli, database, key, BALANCE.format(account), now="2026-03-13T09:59:59.999999Z")
    assert last.exit_code == 0
    _run(cli, database, key, BALANCE.format(account), now="2026-03-13T10:00:00Z").refused("key_expired", 3)
    call = ("call", "billing.wallet_balance.get", f"account_id={account}", "--database", database)
    cli(*call, BILLING_MCP_KEY=key, BILLING_MCP_NOW="2027-01-01T00:00:00Z").refused("key_expired", 3)


@pytest.mark.parametrize(
    "spoil", ["", "nonsense", "{0}x", "x{0}", " {0}", "bmcp_{1}", "bmcp_{1}_", "bmcp_{1}_{2}", "%"]
)
def test_a_text_that_is_no_key_is_refused(cli: Cli, lived: str, spoil: str) -> None:
    created = _key(cli, lived)
    wrong = spoil.format(created["key"], created["prefix"], "A" * 43)

    refused = _run(cli, lived, wrong, BALANCE.format(MAIL)).refused("invalid_key", 3)

    assert "BILLING_MCP_KEY" in refused.stderr
    assert created["key"] not in refused.stderr


def test_two_keys_do_not_share_idempotency_keys_or_executions(cli: Cli, lived: str) -> None:
    one, two = (_key(cli, lived, "--permissions", "view,manage")["key"] for _ in range(2))
    option = ("--idempotency-key", "k-1")

    first = _run(cli, lived, one, CANCEL.format(MAIL), *option).json
    other = _run(cli, lived, two, f"billing.plan.resume(account_id={MAIL!r})['status']", *option).json
    again = _run(cli, lived, one, CANCEL.format(MAIL), *option).json

    assert (first["changed"], other["changed"]) == (True, True)
    assert again == first
    assert other["execution_id"] != first["execution_id"]


@pytest.mark.parametrize(
    ("options", "code", "exit_code"),
    [
        (("--account", NOBODY), "not_found", 3),
        (("--account", MAIL, "--account", NOBODY), "not_found", 3),
        (("--account", MAIL, "--permissions", "nonsense"), "invalid_argument", 2),
        (("--account", MAIL, "--permissions", ""), "invalid_argument", 2),
        (("--account", MAIL, "--permissions", "view,view.all"), "invalid_argument", 2),
        ((), "invalid_argument", 2),
        (("--account", MAIL, "--default-account", NOBODY), "invalid_argument", 2),
        (("--platform", "--account", MAIL), "invalid_argument", 2),
        (("--platform", "--permissions", "view"), "invalid_argument", 2),
        (("--platform", "--read-only"), "invalid_argument", 2),
    ],
)
def test_a_key_that_cannot_be_granted_is_not_created(
    cli: Cli, lived: str, options: tuple[str, ...], code: str, exit_code: int
) -> None:
    cli("keys", "create", "agent", *options, "--database", lived).refused(code, exit_code)

    assert cli("keys", "list", "--json", "--database", lived).json == []


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--account", "not-a-uuid"),
        ("--account", MAIL, "--expires-in-days", "0"),
        ("--account", MAIL, "--expires-in-days", "3651"),
        ("--account", MAIL, "--expires-in-days", "soon"),
    ],
)
def test_options_of_a_key_that_make_no_sense_are_a_usage_error(cli: Cli, lived: str, options: tuple[str, ...]) -> None:
    outcome = cli("keys", "create", "agent", *options, "--database", lived)

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert cli("keys", "list", "--json", "--database", lived).json == []


@pytest.mark.parametrize(
    "permissions", ["view,manage", " manage , view ", "billing.view,billing.manage", "view,manage,view"]
)
def test_permissions_are_a_list_in_any_order_and_writing(cli: Cli, lived: str, permissions: str) -> None:
    created = _key(cli, lived, "--permissions", permissions)

    assert created["permissions"] == ["billing.manage", "billing.view"]
