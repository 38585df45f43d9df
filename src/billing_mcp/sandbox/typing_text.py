"""Owns writing types as text: for stubs in full, for one-line signatures in short."""

from __future__ import annotations

import inspect
import types
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from billing_mcp.kernel.registry import Operation, Parameter


def type_text(annotation: Any) -> str:
    """A type as a stub writes it; a day is the ISO text that crosses the sandbox."""
    origin = get_origin(annotation)
    if origin is Annotated or origin is NotRequired:
        return type_text(get_args(annotation)[0])
    if origin is Literal:
        return f"Literal[{', '.join(repr(value) for value in get_args(annotation))}]"
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(part) for part in get_args(annotation))
    if origin in (list, dict):
        return f"{'List' if origin is list else 'dict'}[{', '.join(type_text(part) for part in get_args(annotation))}]"
    if annotation is type(None):
        return "None"
    if annotation is date:
        return "date | str"
    if annotation in (str, int, bool, Decimal) or is_typeddict(annotation):
        return str(annotation.__name__)
    raise TypeError(f"a billing function cannot take or return {annotation!r}")


def typed_dicts(annotation: Any) -> list[type]:
    """The TypedDicts within a type, each after those that it needs."""
    found: list[type] = []
    if is_typeddict(annotation):
        for hint in get_type_hints(annotation, include_extras=True).values():
            found += typed_dicts(hint)
        found.append(annotation)
    else:
        for part in get_args(annotation):
            found += typed_dicts(part)
    return list(dict.fromkeys(found))


def signature(operation: Operation, *, prefix: str) -> str:
    """The signature as a stub writes it: `prefix(*, account_id: str) -> CurrentPlan`."""
    parameters = ", ".join(["*", *(_parameter(p) for p in operation.parameters)])
    return f"{prefix}({parameters}) -> {type_text(operation.returns)}"


def short_signature(operation: Operation) -> str:
    """The signature in one line for people in a hurry, with the names of the result's fields and of its records'."""
    parameters = ", ".join(_short_parameter(p) for p in operation.parameters)
    return f"{operation.name}({parameters}) -> {_shape(operation.returns, levels=2)}"


def _parameter(parameter: Parameter) -> str:
    text = f"{parameter.name}: {type_text(parameter.annotation)}"
    return text if parameter.required else f"{text} = {parameter.default!r}"


def _short_parameter(parameter: Parameter) -> str:
    if not parameter.required:
        return f"{parameter.name}={parameter.default!r}"
    values = get_args(parameter.annotation) if get_origin(parameter.annotation) is Literal else ()
    return f"{parameter.name}: {'|'.join(repr(v) for v in values)}" if values else parameter.name


def _shape(annotation: Any, *, levels: int) -> str:
    """The fields of a record, and of the records in its lists; what lies deeper is dots."""
    if get_origin(annotation) is list:
        return f"[{_shape(get_args(annotation)[0], levels=levels)}]"
    if not is_typeddict(annotation):
        return type_text(annotation)
    if not levels:
        return "..."
    fields = (_field(name, hint, levels=levels - 1) for name, hint in get_type_hints(annotation).items())
    return "{" + ", ".join(fields) + "}"


def _field(name: str, annotation: Any, *, levels: int) -> str:
    if get_origin(annotation) is list and is_typeddict(get_args(annotation)[0]):
        return f"{name}: {_shape(annotation, levels=levels)}"
    return f"{name}: {{...}}" if is_typeddict(annotation) else name


def doc_of(typed_dict: type) -> str:
    """The documentation of a TypedDict."""
    return inspect.getdoc(typed_dict) or ""
