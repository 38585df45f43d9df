"""Owns the errors of the product. Each has a stable `code`; only faces know HTTP statuses.

What each code means to people is in `error_meanings.py`.

BillingError
├── InvalidArgument     an argument, script or request is malformed
├── Unauthenticated     no key, or none that is good (any more)
├── PermissionDenied    granted the account, but not this kind of call
├── NotFound            no such thing, or none that this principal may know of
├── Refused             well-formed and permitted, but the state of the account forbids it
│   └── InsufficientFunds
├── Conflict            another request is in the way; the same one may succeed later
├── RateLimited         too many requests; the same one may succeed later
├── LimitExceeded       a script used more time, memory, calls or output than allowed
├── ScriptFailed        the script itself raised an exception
├── Unavailable         a part of the system is out of reach or not ready
└── Internal            a defect of ours; the details are in the log, never in the answer
"""

from __future__ import annotations

from collections.abc import Mapping

from billing_mcp.domain.card_numbers import redacted


class BillingError(Exception):
    """Something a caller can read: a stable code, what is wrong, and how to mend it.

    `field` names what is wrong of what was sent; `amounts` are those to compute with, as decimal texts,
    all of one `currency`. `item` is which of those that were to be done together it is about, counted from 0.
    It may name what was given, but never a card number: of one its texts show the last four digits.
    """

    code = "internal_error"
    item: int | None = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        field: str | None = None,
        amounts: Mapping[str, str] | None = None,
        currency: str | None = None,
    ) -> None:
        self.message = redacted(message)
        super().__init__(self.message)
        self.hint = None if hint is None else redacted(hint)
        self.field = None if field is None else redacted(field)
        self.amounts = dict(amounts or {})
        self.currency = currency
        if code is not None:
            self.code = code
        if not isinstance(self, ERRORS[self.code]):
            raise TypeError(f"{self.code} is no code of {type(self).__name__}")

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class InvalidArgument(BillingError):
    """An argument, script or request is malformed."""

    code = "invalid_argument"


class Unauthenticated(BillingError):
    """Nobody knows who is calling: there is no key, or none that is good (any more)."""

    code = "key_missing"


class PermissionDenied(BillingError):
    """The principal may see the account but not make this call."""

    code = "permission_denied"


class NotFound(BillingError):
    """There is no such thing, or none that this principal may know of."""

    code = "not_found"


class Refused(BillingError):
    """A rule of the account forbids it now. Always given a specific code."""

    code = "refused"


class InsufficientFunds(Refused):
    """The wallet's available balance does not cover the amount."""

    code = "insufficient_funds"


class Conflict(BillingError):
    """Another request is in the way."""

    code = "conflict"


class RateLimited(BillingError):
    """The caller has made as many requests as it may, for now."""

    code = "rate_limited"


class LimitExceeded(BillingError):
    """A script used more than it may."""

    code = "limit_exceeded"


class ScriptFailed(BillingError):
    """The script raised an exception of its own."""

    code = "script_error"


class Unavailable(BillingError):
    """A part of the system is out of reach or not ready."""

    code = "unavailable"


class Internal(BillingError):
    """A defect of ours."""

    code = "internal_error"


ERRORS: dict[str, type[BillingError]] = {
    "invalid_argument": InvalidArgument,
    "account_not_named": InvalidArgument,
    "credential_in_query": InvalidArgument,
    "missing_argument": InvalidArgument,
    "unknown_argument": InvalidArgument,
    "positional_argument": InvalidArgument,
    "unknown_function": InvalidArgument,
    "body_timeout": InvalidArgument,
    "body_too_large": InvalidArgument,
    "card_number": InvalidArgument,
    "effective_date_in_past": InvalidArgument,
    "not_sold_yearly": InvalidArgument,
    "idempotency_key_reused": InvalidArgument,
    "invalid_catalog": InvalidArgument,
    "invalid_database": InvalidArgument,
    "invalid_logo": InvalidArgument,
    "method_not_allowed": InvalidArgument,
    "not_json": InvalidArgument,
    "not_priced": InvalidArgument,
    "script_too_long": InvalidArgument,
    "syntax_error": InvalidArgument,
    "unreadable_file": InvalidArgument,
    "type_error": InvalidArgument,
    "unsupported_media_type": InvalidArgument,
    "webhook_url_refused": InvalidArgument,
    "key_missing": Unauthenticated,
    "invalid_key": Unauthenticated,
    "key_expired": Unauthenticated,
    "key_revoked": Unauthenticated,
    "invalid_token": Unauthenticated,
    "token_expired": Unauthenticated,
    "permission_denied": PermissionDenied,
    "agent_credential": PermissionDenied,
    "no_account_granted": PermissionDenied,
    "platform_credential": PermissionDenied,
    "host_not_allowed": PermissionDenied,
    "origin_not_allowed": PermissionDenied,
    "invalid_link": PermissionDenied,
    "invalid_signature": PermissionDenied,
    "link_expired": PermissionDenied,
    "read_only": PermissionDenied,
    "not_found": NotFound,
    "route_not_found": NotFound,
    "refused": Refused,
    "account_exists": Refused,
    "hold_not_due": Refused,
    "hold_not_open": Refused,
    "amount_too_large": Refused,
    "books_not_sound": Refused,
    "database_damaged": Refused,
    "demo_incomplete": Refused,
    "account_not_active": Refused,
    "campaign_not_paused": Refused,
    "campaign_paused": Refused,
    "already_canceling": Refused,
    "currency_mismatch": Refused,
    "file_exists": Refused,
    "insufficient_funds": Refused,
    "invoice_not_correctable": Refused,
    "no_payment_method": Refused,
    "no_plan": Refused,
    "not_a_test_database": Refused,
    "not_refundable": Refused,
    "nothing_pending": Refused,
    "payment_method_not_active": Refused,
    "payment_refused": Refused,
    "period_settled": Refused,
    "plan_unchanged": Refused,
    "server_exists": Refused,
    "too_many_payment_methods": Refused,
    "too_many_webhooks": Refused,
    "webhook_disabled": Refused,
    "conflict": Conflict,
    "database_busy": Conflict,
    "database_in_use": Conflict,
    "idempotency_key_in_use": Conflict,
    "server_busy": Conflict,
    "rate_limited": RateLimited,
    "limit_exceeded": LimitExceeded,
    "call_limit": LimitExceeded,
    "memory_limit": LimitExceeded,
    "output_limit": LimitExceeded,
    "sandbox_crashed": LimitExceeded,
    "time_limit": LimitExceeded,
    "write_time_limit": LimitExceeded,
    "script_error": ScriptFailed,
    "unavailable": Unavailable,
    "address_unavailable": Unavailable,
    "database_unavailable": Unavailable,
    "issuer_unavailable": Unavailable,
    "jail_unavailable": Unavailable,
    "outcome_unknown": Unavailable,
    "provider_refused_us": Unavailable,
    "provider_unavailable": Unavailable,
    "queue_full": Unavailable,
    "schema_outdated": Unavailable,
    "settings_lost": Unavailable,
    "internal_error": Internal,
}
"""Every code there is, and its class: what a face needs to choose a status or an exit code."""
