"""Owns reading a script before it runs: syntax, calls checked against the registry, habits mended.

Agents write `await` by habit and end with an assignment or a `return`. The text is mended in
place, never re-printed, so every line keeps its number.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from billing_mcp.domain.errors import BillingError, InvalidArgument
from billing_mcp.kernel.invoke import unknown_function
from billing_mcp.kernel.registry import NAMESPACE, Operation, Registry

HELP = f"{NAMESPACE}.help"
_GATHER = "asyncio.gather"
_RUN = "asyncio.run"

PRELUDE = f"import {NAMESPACE}\n"
ASYNC_PRELUDE = f"""import asyncio
import {NAMESPACE}
async def settled_by_billing(value):
    return (await value) if type(value).__name__ == 'coroutine' else value
async def gathered_by_billing(*values, return_exceptions=False):
    results = []
    for value in values:
        try:
            results.append(await settled_by_billing(value))
        except Exception as error:
            if not return_exceptions:
                raise
            results.append(error)
    return results
"""
"""Billing functions answer at once; whoever awaits them, alone or gathered, gets the answer."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script that may run: its text for the sandbox, and what it is about to do."""

    prelude: str
    code: str
    names_write: bool


class RejectedError(Exception):
    """The script was refused before it ran, for `error`, at `line`."""

    def __init__(self, error: BillingError, line: int | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.line = line


def prepare(source: str, registry: Registry, *, max_bytes: int) -> Script:
    """The script, ready to run. Raises RejectedError for what cannot work."""
    text = normalized(source)
    tree = _parse(text, max_bytes)
    names = _Names(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        _check_call(call, names, registry, text)
    edits = _Edits(text)
    mended_awaits = _mend_awaits(tree, names, edits)
    _mend_generators(tree, edits)
    _mend_value(tree, edits)
    writes = any(name in registry and registry[name].writes for name in names.mentioned(tree))
    return Script(ASYNC_PRELUDE if mended_awaits else PRELUDE, edits.apply(), writes)


def normalized(source: str) -> str:
    """The script with the line ends that Python sees, and no others."""
    return source.replace("\r\n", "\n").replace("\r", "\n")


def _parse(text: str, max_bytes: int) -> ast.Module:
    size = len(text.encode("utf-8", "replace"))
    if size > max_bytes:
        error = InvalidArgument(f"the script has {size} bytes, at most {max_bytes} are taken", code="script_too_long")
        raise RejectedError(error, None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        problem = InvalidArgument(
            f"the script is not Python: {error.msg}",
            code="syntax_error",
            hint="Send a plain Python script; within an f-string use other quotes than around it.",
        )
        raise RejectedError(problem, error.lineno) from None
    except (ValueError, RecursionError, MemoryError):
        problem = InvalidArgument("the script cannot be parsed: NUL bytes or nested too deeply", code="syntax_error")
        raise RejectedError(problem, None) from None


_BINDING = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar


class _Names:
    """What the script's names stand for: modules and functions of `billing` and `asyncio`."""

    def __init__(self, tree: ast.Module) -> None:
        self._aliases = {NAMESPACE: NAMESPACE}
        rebound = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    self._aliases[name.asname or name.name.partition(".")[0]] = (
                        name.name if name.asname else name.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for name in node.names:
                    self._aliases[name.asname or name.name] = f"{node.module}.{name.name}"
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                rebound.add(node.id)
            elif isinstance(node, ast.arg):
                rebound.add(node.arg)
            elif isinstance(node, _BINDING) and node.name:
                rebound.add(node.name)
        for name_ in rebound:
            self._aliases.pop(name_, None)

    def full_name(self, node: ast.expr) -> str | None:
        """The full dotted name behind an expression such as `billing.plan.change`."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self._aliases:
            return None
        return ".".join([self._aliases[node.id], *reversed(parts)])

    def mentioned(self, tree: ast.Module) -> Iterator[str]:
        """Every full name that the script mentions, called or not."""
        for node in ast.walk(tree):
            name = self.full_name(node) if isinstance(node, ast.Attribute | ast.Name) else None
            if name:
                yield name

    def is_billing_call(self, node: ast.expr) -> bool:
        """Whether the expression is a call of a billing function."""
        name = self.full_name(node.func) if isinstance(node, ast.Call) else None
        return name is not None and name.startswith(f"{NAMESPACE}.")


def _check_call(call: ast.Call, names: _Names, registry: Registry, text: str) -> None:
    name = names.full_name(call.func)
    if name is None or not name.startswith(f"{NAMESPACE}.") or name == HELP:
        return
    operation = registry.get(name)
    if operation is None:
        raise RejectedError(unknown_function(name, registry), call.lineno)
    if call.args and not any(isinstance(arg, ast.Starred) for arg in call.args):
        raise RejectedError(_positional(operation, call, text), call.lineno)
    given = [keyword.arg for keyword in call.keywords]
    known = {parameter.name for parameter in operation.parameters}
    for keyword in given:
        if keyword is not None and keyword not in known:
            raise RejectedError(operation.arguments.unknown(keyword), call.lineno)
    if None not in given and not call.args:
        for parameter in operation.parameters:
            if parameter.required and parameter.name not in given:
                raise RejectedError(operation.arguments.missing(parameter.name), call.lineno)


def _positional(operation: Operation, call: ast.Call, text: str) -> InvalidArgument:
    edits = _Edits(text)
    named = [
        f"{parameter.name}={edits.text_of(argument)}"
        for parameter, argument in zip(operation.parameters, call.args, strict=False)
    ]
    named += [edits.text_of(keyword) for keyword in call.keywords]
    whole = ", ".join(named)
    return positional_arguments(operation.name, whole if len(whole) <= 500 else "account_id=...")


def positional_arguments(function: str, named: str) -> InvalidArgument:
    """The error for a call by position, with the call as it should be."""
    return InvalidArgument(
        f"{function} takes its arguments by name", code="positional_argument", hint=f"Write {function}({named})."
    )


def _mend_awaits(tree: ast.Module, names: _Names, edits: _Edits) -> bool:
    mended = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Await) and names.is_billing_call(node.value):
            edits.replace(node.lineno, node.col_offset, len("await"), "(    ")
            edits.insert_after(node, ")")
        elif isinstance(node, ast.Await):
            edits.wrap(node.value, "settled_by_billing(", ")")
            mended = True
        elif isinstance(node, ast.Call) and names.full_name(node.func) == _GATHER:
            edits.replace_node(node.func, "gathered_by_billing")
            mended = True
        elif isinstance(node, ast.Call) and names.full_name(node.func) == _RUN and node.args:
            edits.wrap(node.args[0], "settled_by_billing(", ")")
            mended = True
    return mended


def _mend_generators(tree: ast.Module, edits: _Edits) -> None:
    """In the sandbox a generator expression is a list, so `next(x for x in xs)` needs an iterator."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="next"), args=[ast.GeneratorExp() as generator, *rest]):
                # The span of an only argument is that of the call's own parentheses.
                edits.wrap(generator, *(("iter", "") if rest else ("(iter", ")")))


def _mend_value(tree: ast.Module, edits: _Edits) -> None:
    """Let the script's value be its last expression, wherever the script put it."""
    last = tree.body[-1] if tree.body else None
    asynchronous = {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
    match last:
        case ast.Return(value=None):
            edits.replace_node(last, "None")
        case ast.Return():
            edits.replace(last.lineno, last.col_offset, len("return"), "(".ljust(len("return")))
            edits.insert_after(last, ")")
        case ast.Assign(targets=[ast.Name() | ast.Tuple() as target]) if _is_plain(target):
            edits.append(f"\n{ast.unparse(target)}")
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()) | ast.AugAssign(target=ast.Name(id=name)):
            edits.append(f"\n{name}")
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))) if name in asynchronous:
            edits.insert_before(last, "await ")


def _is_plain(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) or (
        isinstance(target, ast.Tuple) and all(isinstance(item, ast.Name) for item in target.elts)
    )


class _Edits:
    """Small replacements at places of the syntax tree, applied at once."""

    def __init__(self, text: str) -> None:
        self._data = text.encode("utf-8", "replace")
        self._starts = [0]
        for line in self._data.split(b"\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._edits: list[tuple[int, int, int, bytes]] = []
        self._tail = ""

    def replace(self, line: int, column: int, length: int, text: str) -> None:
        """Replace `length` bytes at a place."""
        start = self._starts[line - 1] + column
        self._edits.append((start, len(self._edits), start + length, text.encode()))

    def text_of(self, node: ast.expr | ast.keyword) -> str:
        """The text of a node."""
        start, end = self._span(node)
        return self._data[start:end].decode("utf-8", "replace")

    def replace_node(self, node: ast.stmt | ast.expr, text: str) -> None:
        """Replace a node."""
        start, end = self._span(node)
        self._edits.append((start, len(self._edits), end, text.encode()))

    def insert_before(self, node: ast.stmt | ast.expr, text: str) -> None:
        """Insert text where a node starts."""
        self.replace(node.lineno, node.col_offset, 0, text)

    def insert_after(self, node: ast.stmt | ast.expr, text: str) -> None:
        """Insert text where a node ends."""
        end = self._span(node)[1]
        self._edits.append((end, len(self._edits), end, text.encode()))

    def wrap(self, node: ast.expr, before: str, after: str) -> None:
        """Put text around a node."""
        self.insert_before(node, before)
        self.insert_after(node, after)

    def append(self, text: str) -> None:
        """Put text at the very end."""
        self._tail += text

    def apply(self) -> str:
        """The text with all edits."""
        parts: list[bytes] = []
        position = 0
        for start, _, end, text in sorted(self._edits):
            parts += [self._data[position:start], text]
            position = end
        parts.append(self._data[position:])
        return b"".join(parts).decode("utf-8", "replace") + self._tail

    def _span(self, node: ast.stmt | ast.expr | ast.keyword) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[end_line - 1] + end_column
