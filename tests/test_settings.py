"""Settings: environment variables, their defaults and limits, and what is kept from view."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from billing_mcp.app import clock_of
from billing_mcp.domain.clock import system_clock
from billing_mcp.domain.document_links import Links
from billing_mcp.kernel.limits import JailMode, WorkerLimits
from billing_mcp.kernel.principal import Permission
from billing_mcp.settings import Settings, default_database, parse_permissions


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("BILLING_MCP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_the_limits_are_those_that_are_documented() -> None:
    settings = Settings()

    limits, sandbox = settings.limits(), settings.sandbox_limits()
    assert (limits.wall_s, limits.wall_after_write_s, limits.sandbox_after_write_s, limits.calls) == (15, 1, 0.1, 500)
    assert (sandbox.execution_s, sandbox.wall_s, sandbox.calls) == (5, 15, 500)
    assert (sandbox.memory_bytes, sandbox.code_bytes, sandbox.output_bytes) == (64 << 20, 64 << 10, 100 << 10)
    assert sandbox.result_chars == 24_000


def test_a_job_is_ended_well_before_its_lease_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for job_s in ("0.001", "60", "3600"):
        monkeypatch.setenv("BILLING_MCP_WORKER_JOB_S", job_s)
        limits = Settings().worker_limits()
        assert limits.lease_s - limits.job_s > 2 * 20  # what PostgreSQL may let its last statement take, and our note


def test_without_any_setting_you_may_view_and_manage_on_a_file_of_your_own() -> None:
    settings = Settings()

    assert parse_permissions(settings.permissions) == {Permission.VIEW, Permission.MANAGE}
    assert (settings.key, settings.read_only, settings.now) == (None, False, None)
    assert settings.database == default_database()
    assert settings.links() is None


def test_every_setting_is_read_from_its_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "database": "x.db", "catalog": "prices.toml", "key": "bmcp_a_b", "permissions": "view", "read_only": "true",
        "now": "2026-03-12T10:00:00Z", "invoice_logo": "logo.svg",
        "execution_s": "1.5", "wall_s": "2.5", "wall_after_write_s": "3.5", "execution_after_write_s": "4.5",
        "memory_mb": "9", "calls": "8", "code_kb": "7", "output_kb": "6", "result_chars": "555", "workers": "4",
        "host": "10.0.0.1", "port": "1234", "allowed_hosts": "a,b", "allowed_origins": "c", "json_response": "true",
        "jail": "require", "scripts_per_worker": "1", "postings_waiting": "77",
        "public_url": "https://Billing.example.com/", "oauth_issuer": "https://id.example.com/realm/",
        "oauth_jwks_url": "https://id.example.com/keys", "oauth_audience": "a, b", "oauth_algorithms": "PS256,ES384",
        "invoice_link_s": "60",
        "oauth_account_claim": "x", "oauth_default_account_claim": "y", "oauth_refresh_s": "60",
        "log_format": "json", "body_kb": "55", "rate_limit": "1/second", "platform_rate_limit": "2/minute",
        "anonymous_rate_limit": "3/hour", "rate_limit_storage": "async+redis://:geheim@cache:6379",
        "worker": "false", "worker_poll_s": "0.5", "worker_scan_s": "6", "worker_jobs": "3", "worker_job_s": "20",
        "worker_attempts": "2", "worker_grace_s": "7", "webhooks_to_loopback": "true", "followups_s": "1.5",
        "payment_provider": "stripe", "stripe_api_key": "sk_test_1", "stripe_webhook_secrets": "whsec_1, whsec_2",
        "stripe_api_base": "http://127.0.0.1:8420/", "payment_return_url": "https://app.example.com/paid",
    }  # fmt: skip
    assert set(given) == set(Settings.model_fields)
    for name, value in given.items():
        monkeypatch.setenv(f"BILLING_MCP_{name.upper()}", value)

    settings = Settings()

    assert (settings.database, settings.permissions, settings.read_only) == ("x.db", "view", True)
    assert (settings.catalog, settings.invoice_logo) == (Path("prices.toml"), Path("logo.svg"))
    assert settings.key is not None
    assert settings.key.get_secret_value() == "bmcp_a_b"
    assert settings.now == datetime(2026, 3, 12, 10, tzinfo=UTC)
    assert (settings.host, settings.port, settings.json_response) == ("10.0.0.1", 1234, True)
    assert settings.jail is JailMode.REQUIRE
    assert (settings.sandbox_limits().scripts_per_worker, settings.postings_waiting) == (1, 77)
    assert (settings.log_format, settings.body_kb) == ("json", 55)
    assert settings.payment_provider == "stripe"
    assert settings.stripe_api_key is not None
    assert (settings.stripe_api_key.get_secret_value(), settings.webhook_secrets()) == (
        "sk_test_1",
        ["whsec_1", "whsec_2"],
    )
    assert settings.stripe_api_base == "http://127.0.0.1:8420"
    assert settings.payment_return_url == "https://app.example.com/paid"
    rates = (settings.rate_limit, settings.platform_rate_limit, settings.anonymous_rate_limit)
    assert rates == ("1/second", "2/minute", "3/hour")
    assert settings.rate_limit_storage.get_secret_value() == "async+redis://:geheim@cache:6379"
    assert "geheim" not in repr(settings)
    assert (settings.allowed_hosts, settings.allowed_origins, settings.worker) == ("a,b", "c", False)
    assert settings.webhooks_to_loopback
    assert settings.links() == Links("https://billing.example.com/v1/documents", 60)
    assert settings.worker_limits() == WorkerLimits(poll_s=0.5, scan_s=6, at_a_time=3, job_s=20, attempts=2, grace_s=7)
    limits, sandbox = settings.limits(), settings.sandbox_limits()
    assert (limits.wall_s, limits.wall_after_write_s, limits.sandbox_after_write_s, limits.calls) == (2.5, 3.5, 4.5, 8)
    assert (sandbox.execution_s, sandbox.memory_bytes, sandbox.code_bytes) == (1.5, 9 << 20, 7 << 10)
    assert (sandbox.output_bytes, sandbox.result_chars, sandbox.workers) == (6 << 10, 555, 4)


def test_a_database_that_was_left_blank_is_your_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_MCP_DATABASE", "")

    assert Settings().database == Settings(database="").database == default_database()


def test_a_catalog_that_was_left_blank_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_MCP_CATALOG", "")

    assert Settings().catalog is Settings(catalog=None).catalog is None


def test_a_logo_that_was_left_blank_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_MCP_INVOICE_LOGO", "")

    assert Settings().invoice_logo is Settings(invoice_logo=None).invoice_logo is None


def test_a_key_that_was_left_blank_is_no_key_and_grants_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_MCP_KEY", "")

    key = Settings().key

    assert key is not None
    assert key.get_secret_value() == ""


def test_what_is_given_outranks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_MCP_DATABASE", "environment.db")

    assert Settings(database="given.db").database == "given.db"
    assert Settings().database == "environment.db"


def test_a_variable_of_the_environment_that_is_no_setting_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_MCP_NONSENSE", "1")
    monkeypatch.setenv("WALL_S", "1")

    assert Settings().wall_s == 15


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wall_s", "0"),
        ("wall_s", "abc"),
        ("wall_s", "nan"),
        ("wall_s", ""),
        ("permissions", ""),
        ("read_only", ""),
        ("host", ""),
        ("port", "65536"),
        ("execution_s", "-1"),
        ("wall_after_write_s", "0"),
        ("execution_after_write_s", "0"),
        ("memory_mb", "7"),
        ("calls", "0"),
        ("code_kb", "0"),
        ("output_kb", "0"),
        ("result_chars", "199"),
        ("workers", "0"),
        ("workers", "two"),
        ("read_only", "perhaps"),
        ("now", "tomorrow"),
        ("invoice_link_s", "0"),
        ("invoice_link_s", "86401"),
        ("log_format", "xml"),
        ("body_kb", "0"),
        ("rate_limit", "100"),
        ("rate_limit", "0/second"),
        ("platform_rate_limit", "100/fortnight"),
        ("anonymous_rate_limit", "-1/second"),
        ("anonymous_rate_limit", "1/second;2/minute"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_the_name_of_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"BILLING_MCP_{name.upper()}", value)

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert [problem["loc"] for problem in refused.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    "text", ["2026-03-12T10:00:00Z", "2026-03-12T10:00:00", "2026-03-12T11:00:00+01:00", "2026-03-12T04:30:00-05:30"]
)
def test_a_stopped_clock_stands_at_its_moment_in_utc(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BILLING_MCP_NOW", text)

    clock = clock_of(Settings())

    assert clock() == clock() == datetime(2026, 3, 12, 10, tzinfo=UTC)
    assert clock().utcoffset() == datetime.now(UTC).utcoffset()


def test_a_clock_that_is_not_stopped_is_the_systems() -> None:
    assert clock_of(Settings()) is system_clock


@pytest.mark.parametrize(
    ("text", "granted"),
    [
        ("view", {Permission.VIEW}),
        ("manage", {Permission.MANAGE}),
        ("view,manage", set(Permission)),
        (" manage , view ,", set(Permission)),
        ("billing.view", {Permission.VIEW}),
        ("view,view", {Permission.VIEW}),
    ],
)
def test_permissions_are_a_list_of_names(text: str, granted: set[Permission]) -> None:
    assert parse_permissions(text) == granted


@pytest.mark.parametrize("text", ["", " ", ",", "nonsense", "view,nonsense", "VIEW", "view manage", "view;manage", "*"])
def test_permissions_that_do_not_exist_are_refused_with_those_that_do(text: str) -> None:
    with pytest.raises(ValueError, match="view, manage or view,manage"):
        parse_permissions(text)


def test_the_key_does_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_MCP_KEY", "bmcp_1234_geheim")

    settings = Settings()

    assert "geheim" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_only_the_folder_of_the_default_database_is_made(tmp_path: Path) -> None:
    Settings(database=str(tmp_path / "mine" / "x.db")).ensure_database_folder()
    assert not (tmp_path / "mine").exists()

    Settings().ensure_database_folder()
    Settings().ensure_database_folder()

    assert Path(default_database()) == tmp_path / "data" / "billing-mcp" / "billing.db"
    assert Path(default_database()).parent.is_dir()
    assert not Path(default_database()).exists()


STRIPE = {
    "payment_provider": "stripe",
    "stripe_api_key": "sk_test_geheim",
    "stripe_webhook_secrets": "whsec_geheim",
    "payment_return_url": "https://app.example.com/paid",
}


def test_without_any_setting_payments_are_those_of_the_test_provider() -> None:
    assert (Settings().payment_provider, Settings().stripe_api_key, Settings().webhook_secrets()) == ("test", None, [])


@pytest.mark.parametrize("missing", ["stripe_api_key", "stripe_webhook_secrets", "payment_return_url"])
@pytest.mark.parametrize("value", [None, "", " , "])
def test_stripe_is_not_chosen_without_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, missing: str, value: str | None
) -> None:
    for name, given in STRIPE.items():
        monkeypatch.setenv(f"BILLING_MCP_{name.upper()}", given)
    assert Settings().payment_provider == "stripe"
    monkeypatch.delenv(f"BILLING_MCP_{missing.upper()}")
    if value is not None:
        monkeypatch.setenv(f"BILLING_MCP_{missing.upper()}", value)

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert missing in str(refused.value)
    assert "geheim" not in str(refused.value)


def test_the_secrets_of_stripe_are_kept_from_view(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, given in STRIPE.items():
        monkeypatch.setenv(f"BILLING_MCP_{name.upper()}", given)

    assert "geheim" not in repr(Settings()) + str(Settings().model_dump())


@pytest.mark.parametrize("base", ["http://stripe.example.com", "http://127.0.0.1.example.com", "ftp://127.0.0.1", "x"])
def test_stripe_is_reached_without_encryption_on_this_machine_alone(base: str) -> None:
    assert Settings(stripe_api_base="http://localhost:8420").stripe_api_base == "http://localhost:8420"

    with pytest.raises(ValidationError):
        Settings(stripe_api_base=base)
