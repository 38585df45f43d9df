"""Owns the fields of the platform's requests and answers: how each is written, read and described."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from billing_mcp.domain.clock import start_of
from billing_mcp.domain.credits import FIRST_PRIORITY, LAST_PRIORITY
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.ids import uuid_of
from billing_mcp.domain.money import MICROS_PER_CENT, parse_micros
from billing_mcp.operations.platform import MAX_NAME_CHARS, storable_name
from billing_mcp.operations.platform_holds import MAX_REFERENCE_CHARS, check_amount, check_reference
from billing_mcp.operations.platform_money import MAX_REASON_CHARS, check_reason
from billing_mcp.operations.platform_webhooks import HEARABLE, check_event
from billing_mcp.operations.taxing import MAX_VAT_ID_CHARS, check_country, normal_vat_id

KEY_PATTERN = r"^[ -~]{1,255}$"

MAX_QUANTITY = 1_000_000_000
EXAMPLE_ID = "0190c0de-0000-7000-8000-0000000000a1"


class Given(BaseModel):
    """What a request gives: nothing that is unknown, and nothing of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Asked(BaseModel):
    """What the query of a request asks for."""

    model_config = ConfigDict(extra="forbid")


class Shown(BaseModel):
    """What an answer shows. Later versions may show more."""


def _wrong(kind: str, words: str, hint: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "Input should {words}", {"words": words, "hint": hint})


def _as_checked(check: Callable[[Any], object], kind: str, words: str) -> AfterValidator:
    """Refuse what the operation would refuse, before anything is done."""

    def checked(value: Any) -> Any:
        try:
            check(value)
        except InvalidArgument as error:
            raise _wrong(kind, words, error.hint or "Mend it.") from None
        return value

    return AfterValidator(checked)


def _amount(value: object) -> int:
    try:
        if isinstance(value, str):
            amount_micros = parse_micros(value)
            check_amount(amount_micros)
            return amount_micros
    except (ValueError, InvalidArgument):
        pass
    words = "be a positive decimal amount as text, with at most 12 digits before the point and 6 after it"
    raise _wrong("amount", words, 'Write it as text: "0.0065".')


def _cents(value: object) -> int:
    amount_micros = _amount(value)
    if amount_micros % MICROS_PER_CENT:
        raise _wrong("cents", "be a positive decimal amount as text, in whole cents", 'Write it as text: "11.90".')
    return amount_micros


def _uuid(value: object) -> str:
    found = uuid_of(value) if isinstance(value, str) else None
    if found is not None:
        return found
    raise _wrong("uuid", "be a UUID", f'Write it as "{EXAMPLE_ID}".')


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _wrong("moment", "be a moment in ISO 8601 with its time zone", 'Write it as "2030-01-31T12:00:00Z".')


def _moment_or_day(value: object) -> datetime:
    if isinstance(value, str) and len(value) == 10:
        return start_of(_day(value))
    return _moment(value)


def _day(value: object) -> date:
    try:
        if isinstance(value, str) and len(value) == 10:
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise _wrong("day", "be an ISO date", 'Write it as "2030-01-31".')


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def whole() -> BeforeValidator:
    """JSON knows one kind of numbers: 12.0 is a whole one, too."""
    return BeforeValidator(_whole)


def _text(pattern: str, example: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example], **more})


_SHOWN = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""As much of "characters that can be shown" as every language's patterns can say."""
_POSITIVE = r"^(?!0+(\.0+)?$)[0-9]{1,12}(\.[0-9]{1,6})?$"

Amount = Annotated[int, BeforeValidator(_amount), _text(_POSITIVE, "0.0065")]
"""A positive amount in the wallet's currency, as decimal text; micros once it is read."""

Cents = Annotated[int, BeforeValidator(_cents), _text(r"^(?!0+(\.0+)?$)[0-9]{1,12}(\.[0-9]{1,2})?$", "11.90")]
"""The same in whole cents, which is what a payment provider moves."""

Uuid = Annotated[
    str, BeforeValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid", "examples": [EXAMPLE_ID]})
]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2030-01-31T12:00:00Z"]}),
]
MomentOrDay = Annotated[
    datetime,
    BeforeValidator(_moment_or_day),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}],
            "examples": ["2030-01-31T12:00:00Z", "2030-01-31"],
        }
    ),
]
"""A moment; of a day its start in UTC."""
Day = Annotated[
    date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date", "examples": ["2030-01-31"]})
]
Name = Annotated[
    str,
    _as_checked(storable_name, "name", f"be 1 to {MAX_NAME_CHARS} characters that can be shown"),
    Field(
        min_length=1, json_schema_extra={"maxLength": MAX_NAME_CHARS, "pattern": _SHOWN}, examples=["Northwind Mail"]
    ),
]
Reference = Annotated[
    str,
    _as_checked(check_reference, "reference", f"be at most {MAX_REFERENCE_CHARS} characters that can be shown"),
    Field(
        description="What the work is called, for good: no personal data.",
        json_schema_extra={"maxLength": MAX_REFERENCE_CHARS, "pattern": _SHOWN},
        examples=["msg_01h455vb4pex5vsknk084sn02q"],
    ),
]
Reason = Annotated[
    str,
    _as_checked(check_reason, "reason", f"be 1 to {MAX_REASON_CHARS} characters that can be shown"),
    Field(
        description="What it is for; the ledger shows it for good: no personal data.",
        json_schema_extra={"minLength": 1, "maxLength": MAX_REASON_CHARS, "pattern": _SHOWN},
        examples=["Goodwill for the outage of 1 March"],
    ),
]
EventName = Annotated[
    str,
    _as_checked(check_event, "event", "be a type of event that endpoints can hear of"),
    WithJsonSchema({"type": "string", "enum": list(HEARABLE), "examples": ["billing.invoice.issued"]}),
]
Key = Annotated[str, Field(pattern=KEY_PATTERN, examples=["7d0c2a52-6f0b-4b9e-9d0e-3f4e8a1b2c3d"])]
"""A caller's idempotency key."""

Country = Annotated[
    str,
    _as_checked(check_country, "country", "be the code of a country (ISO 3166, two capital letters)"),
    Field(json_schema_extra={"pattern": "^[A-Z]{2}$"}, examples=["FR"]),
]
VatId = Annotated[
    str,
    _as_checked(normal_vat_id, "vat_id", "be a VAT id of a member state of the EU, with the right check digits"),
    Field(json_schema_extra={"maxLength": MAX_VAT_ID_CHARS}, examples=["FR61954506077"]),
]
DecimalText = Annotated[str, Field(pattern=r"^-?[0-9]+\.[0-9]{2,6}$", examples=["12.40"])]
Number = Annotated[
    Decimal, WithJsonSchema({"type": "number", "examples": [12.4]}), Field(description="An exact number.")
]
ShownMoment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-03-12T10:00:00Z"])]
ShownDay = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2026-03-12"])]
Quantity = Annotated[int, Field(ge=0, le=MAX_QUANTITY, examples=[12]), whole()]
"""A number of units."""
Priority = Annotated[int, Field(ge=FIRST_PRIORITY, le=LAST_PRIORITY, examples=[5]), whole()]
"""Of credits, which is used first: that of the lowest."""
Currency = Annotated[str, Field(description="ISO 4217.", examples=["EUR"])]
