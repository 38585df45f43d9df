"""Owns writing types as text: for stubs in full, for one-line signatures in short."""

from __future__ import annotations

import inspect
import types
from collections.abc import Set
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

from typing_extensions import is_typeddict

from billing_mcp.kernel.registry import Operation, Parameter

NAMES_OF_A_RESULT = 6
NAMES_OF_AN_ITEM = 3
NAMES_IN_ALL = 7
"""How many names a line tells of a result, at least of the records in its lists, and of both where it has some."""


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
    if annotation in (str, int, float, bool, Decimal) or is_typeddict(annotation):
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


def item_of(annotation: Any) -> Any:
    """The type of the `items` of a list's result, or None."""
    items = get_type_hints(annotation).get("items") if is_typeddict(annotation) else None
    return get_args(items)[0] if get_origin(items) is list else None


def signature(operation: Operation, *, prefix: str) -> str:
    """The signature as a stub writes it: `prefix(*, account_id: str) -> CurrentPlan`."""
    parameters = ", ".join(["*", *(_parameter(p) for p in operation.parameters)])
    return f"{prefix}({parameters}) -> {type_text(operation.returns)}"


def short_signature(operation: Operation) -> str:
    """The call in one line for people in a hurry, without the account, and the first names of its result.

    What repeats an argument that has a default is left out, as a page's number. Dots stand for fields without a name.
    """
    others = [p for p in operation.parameters if p.name != operation.resource_id_field]
    repeated = {p.name for p in others if not p.required}
    arguments = ", ".join(_short_parameter(p) for p in others)
    return f"{operation.name}({arguments}) -> {_shape(operation.returns, known=repeated)}"


def _parameter(parameter: Parameter) -> str:
    text = f"{parameter.name}: {type_text(parameter.annotation)}"
    return text if parameter.required else f"{text} = {parameter.default!r}"


def _short_parameter(parameter: Parameter) -> str:
    if not parameter.required:
        return f"{parameter.name}?" if parameter.default is None else f"{parameter.name}={parameter.default!r}"
    values = get_args(parameter.annotation) if get_origin(parameter.annotation) is Literal else ()
    return f"{parameter.name}: {'|'.join(repr(v) for v in values)}" if values else parameter.name


def _shape(
    annotation: Any, *, known: Set[str] = frozenset(), room: int = NAMES_OF_A_RESULT, nested: bool = False
) -> str:
    """A record by its first names that are not known already; those of records in its lists take the room it leaves."""
    if get_origin(annotation) is list:
        return f"[{_shape(get_args(annotation)[0], known=known, room=room, nested=nested)}]"
    if not is_typeddict(annotation):
        return type_text(annotation)
    hints = get_type_hints(annotation)
    named = [name for name in hints if name not in known][:room]
    left = 0 if nested else max(NAMES_OF_AN_ITEM, NAMES_IN_ALL - len(named))
    fields = [_field(name, hints[name], known=hints.keys(), room=left) for name in named]
    return "{" + ",".join(fields if len(named) == len(hints) else [*fields, "..."]) + "}"


def _field(name: str, annotation: Any, *, known: Set[str], room: int) -> str:
    records = get_origin(annotation) is list and is_typeddict(get_args(annotation)[0])
    return f"{name}:{_shape(annotation, known=known, room=room, nested=True)}" if records and room else name


def doc_of(typed_dict: type) -> str:
    """The documentation of a TypedDict."""
    return inspect.getdoc(typed_dict) or ""
