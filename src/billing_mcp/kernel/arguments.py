"""Owns argument parsing: strict types in, or an error that names field, value and mend."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import PydanticCustomError

from billing_mcp.domain.errors import InvalidArgument

_SHOWN_VALUE_CHARS = 60


def _account_id(value: object) -> str:
    if isinstance(value, str) and len(value) == 36:
        try:
            return str(UUID(value))
        except ValueError:
            pass
    raise PydanticCustomError("account_id", "must be the account's UUID, such as {example}", {"example": EXAMPLE_ID})


def _day(value: object) -> object:
    if value is None or (isinstance(value, date) and type(value) is date):
        return value
    if isinstance(value, str) and len(value) == 10:
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError("day", "must be an ISO date, such as 2026-03-01")


EXAMPLE_ID = "0190c0de-0000-7000-8000-000000000001"

AccountId = Annotated[str, BeforeValidator(_account_id)]
Day = Annotated[date, BeforeValidator(_day)]
Page = Annotated[int, Field(ge=1, le=1_000_000)]
PageSize = Annotated[int, Field(ge=1, le=100)]


class ArgumentParser:
    """Checks the arguments of one function against its signature; nothing is coerced."""

    def __init__(self, function: str, parameters: Mapping[str, tuple[Any, Any]]) -> None:
        self._function = function
        self._names = list(parameters)
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
        close = difflib.get_close_matches(name, self._names, n=1, cutoff=0.4)
        hint = f"Did you mean {close[0]}? " if close else ""
        return InvalidArgument(
            f"{self._function} has no argument {_shown(name)}",
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
            hint=f"Write {self._function}({name}=...). billing.help({self._function!r}) shows it whole.",
        )

    def _explain(self, error: ValidationError) -> InvalidArgument:
        problems = error.errors(include_url=False)
        problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            return self.unknown(name)
        if problem["type"] == "missing":
            return self.missing(name)
        message = problem["msg"].replace("Input should be", "must be")
        return InvalidArgument(
            f"{name} of {self._function} {message}; got {_shown(problem['input'])}",
            field=name,
            hint=f"billing.help({self._function!r}) shows what each argument takes.",
        )


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return "an integer of more than 64 bits"
    if isinstance(value, str | int | float | bool | date) or value is None:
        text = repr(value).encode("ascii", "backslashreplace").decode()
        return text if len(text) <= _SHOWN_VALUE_CHARS else f"{text[:_SHOWN_VALUE_CHARS]}… ({len(text)} characters)"
    return f"a {type(value).__name__}"
