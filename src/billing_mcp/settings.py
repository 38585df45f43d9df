"""Owns settings: environment variables `BILLING_MCP_*`, which options of the command override."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from billing_mcp.domain.document_links import Links
from billing_mcp.domain.errors import Unavailable
from billing_mcp.kernel.limits import JailMode, Limits, SandboxLimits, WorkerLimits
from billing_mcp.kernel.principal import Permission
from billing_mcp.logs import LogFormat

_RATE = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")
EARLIEST_YEAR, LATEST_YEAR = 1970, 2200
"""What any clock here may show."""

RESOURCE_PATHS = ("", "/mcp", "/v1")
"""What is a protected resource of its own, below the public URL: a token may be for one of them, or for all."""

DOCUMENTS_PATH = "/v1/documents"
"""Links to documents lead below it: they are signed, and need no credential."""

SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Algorithms whose keys can be published. With a shared secret whoever verifies tokens could make them."""

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


def default_database() -> str:
    """The embedded database of this user; its folder is created when it is opened."""
    return str(user_data_path("billing-mcp") / "billing.db")


def parse_permissions(text: str) -> frozenset[Permission]:
    """The permissions in a list such as `view,manage`. Raises ValueError."""
    known = {p.value.rpartition(".")[2]: p for p in Permission}
    names = [name.removeprefix("billing.") for name in parse_list(text)]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise ValueError(f"{text!r} is not a list of permissions; give view, manage or view,manage")
    return frozenset(known[name] for name in names)


def parse_list(text: str) -> list[str]:
    """The items of a list such as `billing.example.com, localhost`."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _permissions(text: str) -> str:
    parse_permissions(text)
    return text


def _https(text: str) -> str:
    try:
        url = urlsplit(text)
        bare = not (url.username or url.password or url.fragment) and (url.port or 443) > 0
    except ValueError:
        raise ValueError("it is no URL") from None
    plain = text.isascii() and text.isprintable() and not set(text) & set('"\\ ')
    if text and not (url.scheme == "https" and url.hostname and bare and plain):
        raise ValueError("it must be a URL that begins with https:// and has no user, password or fragment")
    return text


def _origin(text: str) -> str:
    url = urlsplit(_https(text))
    if url.path not in ("", "/") or url.query:
        raise ValueError("it must be a scheme and a host alone, such as https://billing.example.com")
    return text.rstrip("/").lower()


def _with_issuer(text: str, info: ValidationInfo) -> str:
    if text and not info.data.get("oauth_issuer", "?"):
        raise ValueError("alone it means nothing: set BILLING_MCP_OAUTH_ISSUER, too")
    return _https(text)


def _needed_for_oauth(text: str, info: ValidationInfo) -> str:
    if not text and info.data.get("oauth_issuer"):
        raise ValueError("it is needed because BILLING_MCP_OAUTH_ISSUER is set")
    return text


_NeededForOAuth = AfterValidator(_needed_for_oauth)


def _signatures(text: str) -> str:
    wrong = [name for name in parse_list(text) if name not in SIGNATURES]
    if wrong or not parse_list(text):
        raise ValueError(f"only these can be chosen: {', '.join(SIGNATURES)}")
    return text


def _https_or_here(text: str) -> str:
    """What is on this machine may do without encryption: a proxy of one's own, or a test."""
    try:
        url = urlsplit(text)
        here = url.scheme == "http" and url.hostname in ("127.0.0.1", "::1", "localhost")
    except ValueError:
        raise ValueError("it is no URL") from None
    _https(text.replace("http:", "https:", 1) if here else text)
    return text.rstrip("/")


def _needed_for_stripe(value: SecretStr | str | None, info: ValidationInfo) -> SecretStr | str | None:
    given = value.get_secret_value() if isinstance(value, SecretStr) else value
    if info.data.get("payment_provider") == "stripe" and not parse_list(given or ""):
        raise ValueError("it is needed because BILLING_MCP_PAYMENT_PROVIDER is stripe")
    return value


_NeededForStripe = AfterValidator(_needed_for_stripe)


def _rate(text: str) -> str:
    if text and not _RATE.fullmatch(text):
        raise ValueError(
            "give a rate such as 100/second, 5000/minute, 10000/hour or 100000/day, or nothing for no limit"
        )
    return text


def _utc(moment: datetime) -> datetime:
    if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        raise ValueError(f"the year must be {EARLIEST_YEAR} to {LATEST_YEAR}")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Rate = Annotated[str, AfterValidator(_rate)]


class Settings(BaseSettings):
    """All settings. Times are seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="BILLING_MCP_", extra="ignore")

    database: Annotated[str, AfterValidator(lambda text: text or default_database()), Field(validate_default=True)] = ""
    catalog: Annotated[Path | None, BeforeValidator(lambda file: file or None)] = None
    """The file with one's own prices. Without one, or blank, those of the package are in force."""
    invoice_logo: Annotated[Path | None, BeforeValidator(lambda file: file or None)] = None
    """The file with the seller's logo, for invoices: PNG or SVG. Without one, or blank, its name is set."""
    key: SecretStr | None = None
    permissions: Annotated[str, AfterValidator(_permissions)] = "view,manage"
    read_only: bool = False
    now: Annotated[datetime, AfterValidator(_utc)] | None = None
    """Stops the clock, for demos and tests whose output must not change."""

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8000, ge=0, le=65_535)
    allowed_hosts: str = ""
    allowed_origins: str = ""
    json_response: bool = False
    log_format: LogFormat | None = None
    body_kb: int = Field(1024, ge=1, le=102_400)
    rate_limit: Rate = "100/second"
    platform_rate_limit: Rate = "20000/second"
    anonymous_rate_limit: Rate = "20/second"
    rate_limit_storage: SecretStr = SecretStr("async+memory://")

    oauth_issuer: Annotated[str, AfterValidator(_https)] = ""
    """The authorization server whose tokens are good. Blank: only our own keys are."""
    public_url: Annotated[str, AfterValidator(_origin), _NeededForOAuth] = Field("", validate_default=True)
    """Where clients reach us; it names us to the authorization server, too."""
    invoice_link_s: int = Field(900, ge=1, le=86_400)
    """How long a link to an invoice is good."""
    oauth_jwks_url: Annotated[str, AfterValidator(_with_issuer), _NeededForOAuth] = Field("", validate_default=True)
    oauth_audience: str = ""
    oauth_algorithms: Annotated[str, AfterValidator(_signatures)] = "RS256,ES256"
    oauth_account_claim: str = Field("billing_accounts", min_length=1)
    oauth_default_account_claim: str = Field("billing_default_account", min_length=1)
    oauth_refresh_s: Seconds = 300
    """How long keys of the authorization server are used before they are fetched again."""

    payment_provider: Literal["test", "stripe"] = "test"
    """Who takes payments: Stripe, or the provider for tests, which moves no real money."""
    stripe_api_key: Annotated[SecretStr | None, _NeededForStripe] = Field(None, validate_default=True)
    stripe_webhook_secrets: Annotated[SecretStr, _NeededForStripe] = Field(SecretStr(""), validate_default=True)
    """What Stripe signs its webhooks with; several while they are changed, with commas between them."""
    stripe_api_base: Annotated[str, AfterValidator(_https_or_here)] = ""
    """Where Stripe is reached; blank is its own address."""
    payment_return_url: Annotated[str, AfterValidator(_https_or_here), _NeededForStripe] = Field(
        "", validate_default=True
    )
    """Where customers come back to from a page of the provider's, or of their bank."""

    execution_s: Seconds = 5.0
    wall_s: Seconds = 15.0
    wall_after_write_s: Seconds = 1.0
    execution_after_write_s: Seconds = 0.1
    followups_s: Seconds = 3.0
    """How long an answer waits for what payments come to after its commit."""
    memory_mb: int = Field(64, ge=8, le=65_536)
    calls: int = Field(500, ge=1, le=1_000_000)
    code_kb: int = Field(64, ge=1, le=1024)
    output_kb: int = Field(100, ge=1, le=10_240)
    result_chars: int = Field(24_000, ge=200, le=10_000_000)
    workers: int = Field(4, ge=1, le=256)
    scripts_per_worker: int | None = Field(None, ge=1)
    jail: JailMode = JailMode.AUTO
    postings_waiting: int = Field(10_000, ge=1, le=1_000_000)

    worker: bool = True
    """Whether a server works off what is due, besides serving."""
    worker_poll_s: Seconds = 1.0
    worker_scan_s: Seconds = 5.0
    worker_jobs: int = Field(4, ge=1, le=256)
    worker_job_s: Seconds = 60.0
    worker_attempts: int = Field(12, ge=1, le=100)
    worker_grace_s: Seconds = 10.0

    webhooks_to_loopback: bool = False
    """Whether accounts may be told of events on this machine itself, by http too: for development alone."""

    def audiences(self) -> list[str]:
        """What a token may be for: the public URL, or what is below it, unless others are named."""
        given = parse_list(self.oauth_audience)
        # A URL without a path is written with and without a slash; some clients ask for one, some for the other.
        return given or [f"{self.public_url}/", *(self.public_url + path for path in RESOURCE_PATHS)]

    def links(self) -> Links | None:
        """Where links to documents lead; None where clients have no address of ours."""
        return Links(self.public_url + DOCUMENTS_PATH, self.invoice_link_s) if self.public_url else None

    def webhook_secrets(self) -> list[str]:
        """The secrets that Stripe's webhooks may be signed with."""
        return parse_list(self.stripe_webhook_secrets.get_secret_value())

    def scopes(self) -> list[Permission]:
        """The permissions that agents can have here at all."""
        granted = parse_permissions(self.permissions)
        return [p for p in Permission if p in granted and not (self.read_only and p is not Permission.VIEW)]

    def limits(self) -> Limits:
        """The limits of an execution."""
        return Limits(self.wall_s, self.wall_after_write_s, self.execution_after_write_s, self.calls)

    def sandbox_limits(self) -> SandboxLimits:
        """The limits of a script."""
        return SandboxLimits(
            execution_s=self.execution_s,
            wall_s=self.wall_s,
            memory_bytes=self.memory_mb * 1024 * 1024,
            calls=self.calls,
            code_bytes=self.code_kb * 1024,
            output_bytes=self.output_kb * 1024,
            result_chars=self.result_chars,
            workers=self.workers,
            scripts_per_worker=self.scripts_per_worker,
        )

    def worker_limits(self) -> WorkerLimits:
        """The limits of a worker's jobs."""
        return WorkerLimits(
            poll_s=self.worker_poll_s,
            scan_s=self.worker_scan_s,
            at_a_time=self.worker_jobs,
            job_s=self.worker_job_s,
            attempts=self.worker_attempts,
            grace_s=self.worker_grace_s,
        )

    @property
    def has_own_database(self) -> bool:
        """Whether the database is the user's own, whose folder we make."""
        return self.database == default_database()

    def ensure_database_folder(self) -> None:
        """Create the folder of the default database. Raises Unavailable when that is refused."""
        if self.has_own_database:
            try:
                Path(self.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise Unavailable(
                    "the folder of your database cannot be created",
                    code="database_unavailable",
                    hint="Give a file elsewhere with --database.",
                ) from error
