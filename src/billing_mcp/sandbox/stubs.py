"""Owns what agents read of the functions: stubs, the tool's one-line signatures, and help."""

from __future__ import annotations

import textwrap
from typing import Any, NotRequired, get_origin, get_type_hints

from billing_mcp.kernel.invoke import unknown_function
from billing_mcp.kernel.principal import Permission
from billing_mcp.kernel.registry import NAMESPACE, Operation, Registry, Resource
from billing_mcp.sandbox.typing_text import doc_of, item_of, short_signature, signature, type_text, typed_dicts

_IMPORTS = """from datetime import date
from decimal import Decimal
from typing import List, Literal, NotRequired, TypedDict"""
_HEADINGS = {Permission.VIEW: "Read", Permission.MANAGE: "Change"}
HELP_DOC = "All functions, a line each; with the name of one, that one whole."


def root_stub(registry: Registry) -> str:
    """The stub of the module `billing`."""
    imports = "".join(f"from . import {r.name} as {r.name}\n" for r in registry.resources)
    return f'{imports}\ndef help(name: str | None = None) -> str:\n    """{HELP_DOC}"""\n'


def namespace_stub(resource: Resource) -> str:
    """The stub of one namespace: its result types, and its functions with their documentation."""
    classes = dict.fromkeys(c for o in resource.operations for c in typed_dicts(o.returns))
    parts = [
        f'"""{resource.doc}"""',
        _IMPORTS,
    ]
    parts += [_class_stub(c) for c in classes]
    parts += [_function_stub(o) for o in resource.operations]
    return "\n\n".join(parts) + "\n"


def all_stubs(registry: Registry) -> str:
    """The stubs of every module, one after the other."""
    parts = [f"# {NAMESPACE}/__init__.pyi\n{root_stub(registry)}"]
    parts += [f"# {NAMESPACE}/{r.name}.pyi\n{namespace_stub(r)}" for r in registry.resources]
    return "\n".join(parts)


def signature_lines(registry: Registry) -> str:
    """Every function in one line, under the permission that it needs.

    A result that is told already, whole or as what a list has, is told by the name of the function that told it.
    """
    told: dict[Any, str] = {}
    lines: list[str] = []
    for permission, heading in _HEADINGS.items():
        functions = [o for o in registry.values() if o.permission is permission]
        lines += [f"{heading} ({permission.value}):"] if functions else []
        for operation in functions:
            lines.append(_line(operation, told.get(operation.returns)))
            told.setdefault(operation.returns, operation.name)
            told.setdefault(item_of(operation.returns), f"{operation.name} items")
    return "\n".join(lines)


def _line(operation: Operation, told: str | None) -> str:
    line = short_signature(operation)
    if told is None:
        return line
    namespace = f"{operation.name.rpartition('.')[0]}."
    return f"{line.partition(' -> ')[0]} -> as {told.removeprefix(namespace)}"


def help_text(registry: Registry, name: str | None, accounts: str) -> str:
    """What `billing.help(name)` answers. Raises unknown_function."""
    if name is None:
        lines = [f"{o.name}({', '.join(p.name for p in o.parameters)}): {o.summary}" for o in registry.values()]
        footer = f'billing.help("{next(iter(registry), NAMESPACE)}") shows one whole.'
        return "\n".join([*lines, accounts, footer])
    operation = registry.get(name) or registry.get(f"{NAMESPACE}.{name}")
    if operation is None:
        raise unknown_function(name, registry)
    return describe(operation)


def describe(operation: Operation) -> str:
    """One function whole: signature, permission, documentation, and the types of its result."""
    classes = "\n\n".join(_class_stub(c) for c in typed_dicts(operation.returns))
    head = signature(operation, prefix=operation.name)
    return f"{head}\n\nRequires {operation.permission.value}.\n{operation.doc}\n\n{classes}"


def _function_stub(operation: Operation) -> str:
    head = signature(operation, prefix=operation.name.rpartition(".")[2])
    doc = textwrap.indent(f'"""{operation.doc}\n\nRequires {operation.permission.value}.\n"""', "    ")
    return f"def {head}:\n{doc}"


def _class_stub(typed_dict: type) -> str:
    lines = [f"class {typed_dict.__name__}(TypedDict):", f'    """{doc_of(typed_dict)}"""']
    for name, hint in get_type_hints(typed_dict, include_extras=True).items():
        text = type_text(hint)
        lines.append(f"    {name}: {f'NotRequired[{text}]' if get_origin(hint) is NotRequired else text}")
    return "\n".join(lines)
