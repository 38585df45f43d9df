"""Owns what the names in a script stand for, and which it uses without having them."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator

from billing_mcp.kernel.registry import NAMESPACE

_BINDING = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar

IMPORTABLE = frozenset(
    {
        NAMESPACE,
        "__future__",
        "asyncio",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "copy",
        "csv",
        "dataclasses",
        "datetime",
        "decimal",
        "functools",
        "hashlib",
        "itertools",
        "json",
        "math",
        "os",
        "pathlib",
        "posixpath",
        "random",
        "re",
        "sys",
        "time",
        "tomllib",
        "typing",
        "unicodedata",
    }
)
"""The modules that there are in the sandbox."""

_MODULES = ("asyncio", "collections", "itertools", "json", "math", "re", "time")
_BUILTINS = frozenset(dir(builtins))
_MAX_PARTS = 4
_PARTS = {
    "collections": ("Counter", "defaultdict"),
    "dataclasses": ("dataclass",),
    "datetime": ("date", "datetime", "timedelta", "timezone"),
    "decimal": ("ROUND_DOWN", "ROUND_HALF_EVEN", "ROUND_HALF_UP", "ROUND_UP", "Decimal"),
    "typing": ("Any", "Dict", "List", "Optional"),
}
"""What scripts use and forget to import."""


class Names:
    """What a script's names stand for: modules and functions of `billing` and of the standard library."""

    def __init__(self, tree: ast.Module) -> None:
        self.nodes = list(ast.walk(tree))
        """The whole tree, walked once."""
        self._aliases = {NAMESPACE: NAMESPACE}
        for node in self.nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._aliases |= _imported(node)
        bound = set(_bound(self.nodes))
        missing = self._used() - bound - self._aliases.keys() - _BUILTINS
        self.forgotten = [line for name in sorted(missing) for line in self._import_of(name)]
        """The imports that the script needs and has left out."""
        for name in bound:
            self._aliases.pop(name, None)
        for line in self.forgotten:
            self._aliases |= _imported(ast.parse(line).body[0])

    def full_name(self, node: ast.expr) -> str | None:
        """The full dotted name behind an expression such as `billing.plan.change`."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            if len(parts) == _MAX_PARTS:
                return None
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self._aliases:
            return None
        return ".".join([self._aliases[node.id], *reversed(parts)])

    def uses(self, module: str) -> bool:
        """Whether the script imports the module, or something of it, or should have."""
        return any(name.partition(".")[0] == module for name in self._aliases.values())

    def mentioned(self) -> Iterator[str]:
        """Every full name that the script mentions, called or not."""
        for node in self.nodes:
            name = self.full_name(node) if isinstance(node, ast.Attribute | ast.Name) else None
            if name:
                yield name

    def called(self, node: ast.AST) -> str:
        """The full name of what the node calls; nothing if it is no call, or of a name of the script's own."""
        return (self.full_name(node.func) or "") if isinstance(node, ast.Call) else ""

    def _used(self) -> set[str]:
        return {node.id for node in self.nodes if isinstance(node, ast.Name)}

    def _import_of(self, name: str) -> Iterator[str]:
        if name in _MODULES or self._is_used_as_module(name):
            yield f"import {name}"
        else:
            yield from (f"from {module} import {name}" for module, parts in _PARTS.items() if name in parts)

    def _is_used_as_module(self, name: str) -> bool:
        """Whether parts of it are used: `datetime.timedelta`, and not `datetime.now`."""
        parts = _PARTS.get(name)
        if parts is None:
            return False
        used = (node.value for node in self.nodes if isinstance(node, ast.Attribute) and node.attr in parts)
        return any(isinstance(value, ast.Name) and value.id == name for value in used)


def _bound(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The names that the script binds otherwise than by an import."""
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, _BINDING) and node.name:
            yield node.name


def _imported(node: ast.AST) -> dict[str, str]:
    """The names that a statement imports, and their full names."""
    if isinstance(node, ast.Import):
        roots = {name.name.partition(".")[0] for name in node.names if not name.asname}
        return {root: root for root in roots} | {name.asname: name.name for name in node.names if name.asname}
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return {}
