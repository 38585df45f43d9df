"""Owns argument parsing: strict types in, or an error that names field, value and mend."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.ids import uuid_of
from billing_mcp.domain.money import format_micros, parse_micros
from billing_mcp.kernel.likeness import either, meant

_SHOWN_VALUE_CHARS = 60
_INTEGER = re.compile("-?[0-9]{1,20}")
_INVOICE = re.compile("[A-Za-z0-9/-]{1,64}")
_MAX_DIGITS = 20
"""A Decimal of few digits can stand for more zeros than there is memory for."""
_CENTS = re.compile("-?[0-9]{1,12}\\.[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class Takes:
    """What an argument takes, in words, and how it is written."""

    words: str
    written: tuple[str, ...]


def _uuid(value: object) -> str:
    found = uuid_of(value) if isinstance(value, str) else None
    if found is not None:
        return found
    raise PydanticCustomError("uuid", "no UUID")


def _invoice(value: object) -> str:
    if isinstance(value, str) and _INVOICE.fullmatch(value):
        return uuid_of(value) or value
    raise PydanticCustomError("invoice", "no invoice")


def _day(value: object) -> object:
    if value is None or (isinstance(value, date) and type(value) is date):
        return value
    if isinstance(value, str) and len(value) == 10:
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError("day", "no day")


def _money(value: object) -> str:
    """Exact decimal text. A float is taken as it is written, and only in whole cents: 0.1 + 0.2 is no amount."""
    if isinstance(value, float):
        text = repr(value) if _CENTS.fullmatch(repr(value)) else ""
    elif isinstance(value, Decimal):
        text = format(value, "f") if value.is_finite() and abs(value.adjusted()) < _MAX_DIGITS else ""
    elif isinstance(value, str | int) and not isinstance(value, bool):
        text = str(value)
    else:
        text = ""
    try:
        return format_micros(parse_micros(text))
    except ValueError:
        raise PydanticCustomError("money", "no amount") from None


AccountId = Annotated[
    str,
    BeforeValidator(_uuid),
    Takes("the account's UUID", ("'0190c0de-…'",)),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]
TransactionId = Annotated[
    str,
    BeforeValidator(_uuid),
    Takes("the transaction_id of a list", ("item['transaction_id']",)),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]
InvoiceId = Annotated[
    str,
    BeforeValidator(_invoice),
    Takes("the id of an invoice, or its number", ("item['id']", "'INV-2026-000001'")),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$"}),
]
"""A number may have a slash, too; in a path nothing can be named by that."""
PaymentMethodId = Annotated[
    str,
    BeforeValidator(_uuid),
    Takes("the payment_method_id of billing.payment_methods.list", ("item['payment_method_id']",)),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]
TopUpId = Annotated[
    str,
    BeforeValidator(_uuid),
    Takes("the topup_id of billing.topups.create", ("topup['topup_id']",)),
    WithJsonSchema({"type": "string", "format": "uuid"}),
]
Amount = Annotated[
    str | int | float | Decimal,
    BeforeValidator(_money),
    Takes("a decimal amount as text", ("'50.00'",)),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,6})?$"}, {"type": "number", "minimum": 0}]}
    ),
]
Token = Annotated[
    str, Field(pattern="^[A-Za-z0-9_-]{1,255}$"), Takes("a token that the payment provider gave", ("'tok_visa'",))
]
Day = Annotated[date, BeforeValidator(_day), Takes("an ISO date", ("'2030-01-31'",))]
Month = Annotated[str, Field(pattern="^[1-9][0-9]{3}-(0[1-9]|1[0-2])$"), Takes("a month as YYYY-MM", ("'2030-01'",))]
Page = Annotated[int, Field(ge=1, le=1_000_000), Takes("a whole number from 1 to 1000000", ("1",))]
PageSize = Annotated[int, Field(ge=1, le=100), Takes("a whole number from 1 to 100", ("100",))]

Limit = Annotated[int, Field(ge=1, le=100), Takes("a whole number from 1 to 100", ("100",))]
Cursor = Annotated[
    str, Field(pattern=r"^[0-9a-f-]{1,64}$"), Takes("the next_cursor of an answer", ("page['next_cursor']",))
]


def micros_of(amount: Amount) -> int:
    """The micros of an amount that was parsed."""
    return parse_micros(str(amount))


_ON_THE_WHOLE = {"preview": "preview", "dry_run": "preview", "idempotency_key": "idempotency_key"}
"""What is said of an execution as a whole is tried as an argument of a function."""


class ArgumentParser:
    """Checks the arguments of one function against its signature; nothing is coerced."""

    def __init__(self, function: str, parameters: Mapping[str, tuple[Any, Any]]) -> None:
        self._function = function
        self._names = list(parameters)
        self._takes = {name: _takes(annotation) for name, (annotation, _) in parameters.items()}
        required = [name for name, (_, default) in parameters.items() if default is inspect.Parameter.empty]
        self.usage = f"{function}({', '.join(f'{name}=...' for name in required)})"
        fields: dict[str, Any] = {
            name: (annotation, ... if default is inspect.Parameter.empty else default)
            for name, (annotation, default) in parameters.items()
        }
        self._model = create_model(function, __config__=ConfigDict(strict=True, extra="forbid"), **fields)

    def parse(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The checked arguments, defaults filled in. Raises InvalidArgument."""
        try:
            model = self._model.model_validate(dict(arguments))
        except ValidationError as error:
            raise self._explain(error) from None
        return {name: getattr(model, name) for name in self._names}

    def unknown(self, name: str) -> InvalidArgument:
        """The error for an argument that the function does not have."""
        close = meant(name, self._names)
        if name in _ON_THE_WHOLE:
            hint = f"{_ON_THE_WHOLE[name]} is for the script as a whole: give it beside the code. "
        else:
            hint = f"Did you mean {either(close)}? " if close else ""
        return InvalidArgument(
            f"{self._function} has no argument {shown(name)}",
            code="unknown_argument",
            field=name[:_SHOWN_VALUE_CHARS],
            hint=f"{hint}Its arguments are {', '.join(self._names)}.",
        )

    def missing(self, name: str) -> InvalidArgument:
        """The error for a required argument that was left out."""
        return InvalidArgument(
            f"{self._function} needs the argument {name}",
            code="missing_argument",
            field=name,
            hint=f"Write {self.usage}; {name} is {self._takes[name].words}.",
        )

    def invalid(self, name: str, given: str) -> InvalidArgument:
        """The error for an argument that cannot have the value that is shown."""
        takes = self._takes[name]
        return InvalidArgument(
            f"{name} of {self._function} must be {takes.words}; got {given}",
            field=name,
            hint=f"Write {either([f'{name}={value}' for value in takes.written])}.",
        )

    def _explain(self, error: ValidationError) -> InvalidArgument:
        problems = error.errors(include_url=False)
        problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            return self.unknown(name)
        if problem["type"] == "missing":
            return self.missing(name)
        return self.invalid(name, shown(problem["input"]))


def from_text(annotation: Any, text: str) -> object:
    """What a text is as an argument of a type, as far as that is clear; else the text, for the parser to refuse."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated or origin in (Union, types.UnionType):
        return from_text(parts[0], text)
    if origin is list:
        return [from_text(parts[0], part.strip()) for part in text.split(",")] if text.strip() else []
    if annotation is int and _INTEGER.fullmatch(text):
        return int(text)
    if annotation is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text


def from_json(annotation: Any, value: object) -> object:
    """What a JSON value is as an argument of a type: there, 2.0 is the integer 2."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated or origin in (Union, types.UnionType):
        return from_json(parts[0], value)
    if origin is list and isinstance(value, list):
        return [from_json(parts[0], each) for each in value]
    return int(value) if annotation is int and isinstance(value, float) and value.is_integer() else value


def _takes(annotation: Any) -> Takes:
    """What the type takes; one that may be left out is spoken of as if it were given."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _takes(parts[0])
    if origin is Literal:
        values = tuple(repr(value) for value in parts)
        return Takes(either(values), values)
    if annotation is bool:
        return Takes("True or False", ("True", "False"))
    if origin is list:
        each = _takes(parts[0])
        return Takes(f"a list, each item {each.words}", (f"[{each.written[0]}]",))
    told = [part for part in parts if isinstance(part, Takes)]
    return told[0] if told else Takes("of another type", ("...",))


def shown(value: object) -> str:
    """What was given, in few characters that can be printed."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return "an integer of more than 64 bits"
    if isinstance(value, str) and len(value) > _SHOWN_VALUE_CHARS:
        return f"{shown(value[: _SHOWN_VALUE_CHARS - 2])}… ({len(value)} characters)"
    if isinstance(value, str | int | float | bool | date) or value is None:
        text = repr(value).encode("ascii", "backslashreplace").decode()
        return text if len(text) <= _SHOWN_VALUE_CHARS else f"{text[:_SHOWN_VALUE_CHARS]}… ({len(text)} characters)"
    return f"a {type(value).__name__}"
