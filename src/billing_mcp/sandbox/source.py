"""Owns reading a script before it runs: its text, its syntax, and its calls against the registry."""

from __future__ import annotations

import ast
import textwrap
import warnings
from dataclasses import dataclass

from billing_mcp.domain.card_numbers import find
from billing_mcp.domain.errors import BillingError, InvalidArgument, ScriptFailed
from billing_mcp.domain.no_card_numbers import card_number
from billing_mcp.kernel.invoke import unknown_function
from billing_mcp.kernel.registry import NAMESPACE, Operation, Registry
from billing_mcp.sandbox.edits import Edits
from billing_mcp.sandbox.mending import mend
from billing_mcp.sandbox.names import IMPORTABLE, Names

HELP = f"{NAMESPACE}.help"

_JOINED_CHARS = 4000
_FENCE = "```"


@dataclass(frozen=True, slots=True)
class Script:
    """A script that may run: its text for the sandbox, and what it is about to do."""

    prelude: str
    code: str
    names_write: bool
    joined: str | None = None
    """Prelude and text in one, the lines of the text where they were, if that can be."""


class RejectedError(Exception):
    """The script was refused before it ran, for `error`, at `line`."""

    def __init__(self, error: BillingError, line: int | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.line = line


def prepare(source: str, registry: Registry, *, max_bytes: int) -> Script:
    """The script, ready to run. Raises RejectedError for what cannot work."""
    text = normalized(source)
    _check_size(text, max_bytes)
    _check_card_numbers(text)
    tree = parse(text)
    names = Names(tree)
    _check_imports(names)
    for call in (node for node in names.nodes if isinstance(node, ast.Call)):
        _check_call(call, names, registry, text)
    _check_that_something_runs(tree)
    edits = Edits(text)
    prelude = mend(tree, names, edits)
    writes = any(name in registry and registry[name].writes for name in names.mentioned())
    code = edits.apply()
    return Script(prelude, code, writes, _joined(prelude, code))


def normalized(source: str) -> str:
    """The script itself: its lines end as Python sees it, and no fence or indentation is around the whole."""
    lines = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    written = [number for number, line in enumerate(lines) if line.strip()]
    if len(written) > 1 and lines[written[0]].lstrip().startswith(_FENCE) and lines[written[-1]].strip() == _FENCE:
        lines[written[0]] = lines[written[-1]] = ""
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    text = "\n".join(lines)
    return textwrap.dedent(text) if first.startswith((" ", "\t")) else text


def parse(text: str) -> ast.Module:
    """The tree of a script. Raises RejectedError for what is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        problem = InvalidArgument(f"the script is not Python: {error.msg}", code="syntax_error")
        raise RejectedError(problem, error.lineno) from None
    except (ValueError, RecursionError, MemoryError):
        problem = InvalidArgument("the script cannot be parsed: NUL bytes or nested too deeply", code="syntax_error")
        raise RejectedError(problem, None) from None


def _joined(prelude: str, code: str) -> str | None:
    """What the sandbox is fed takes a round trip each time, so the imports go on the script's own first line."""
    lines = prelude.splitlines()
    if len(code) > _JOINED_CHARS or "__future__" in code or any(line.startswith((" ", "async ")) for line in lines):
        return None
    joined = "".join(f"{line}; " for line in lines) + code
    try:
        ast.parse(joined)
    except (SyntaxError, ValueError):  # the first line begins a block
        return None
    return joined


def _check_size(text: str, max_bytes: int) -> None:
    size = len(text.encode("utf-8", "replace"))
    if size > max_bytes:
        error = InvalidArgument(f"the script has {size} bytes, at most {max_bytes} are taken", code="script_too_long")
        raise RejectedError(error, None)


def _check_card_numbers(text: str) -> None:
    """Before anything else looks at it, be it in a comment: errors show what they are about."""
    found = find(text)
    if found:
        raise RejectedError(card_number("code"), text.count("\n", 0, found[0].start) + 1)


def _check_imports(names: Names) -> None:
    """A module that is not there is told first, unless the script is prepared for it."""
    imports = [node for node in names.nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    missing = [(node, name) for node in imports for name in _modules(node) if name.partition(".")[0] not in IMPORTABLE]
    if missing:
        tried = {id(node) for each in names.nodes if isinstance(each, ast.Try) for node in ast.walk(each)}
        for node, name in missing:
            if id(node) not in tried:
                error = ScriptFailed(f"ModuleNotFoundError: No module named {name[:100]!r}")
                raise RejectedError(error, node.lineno)


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [name.name for name in node.names] if isinstance(node, ast.Import) else [node.module or "."]


def _check_that_something_runs(tree: ast.Module) -> None:
    """A script that ends in a definition, and calls nothing before, has forgotten its last line."""
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    last = tree.body[-1] if tree.body else None
    others = (node for statement in tree.body if not isinstance(statement, definitions) for node in ast.walk(statement))
    if isinstance(last, ast.FunctionDef | ast.AsyncFunctionDef) and not any(isinstance(n, ast.Call) for n in others):
        positional = [*last.args.posonlyargs, *last.args.args]
        needed = positional[: len(positional) - len(last.args.defaults)]
        call = f"{last.name}({', '.join(f'{argument.arg}=...' for argument in needed)})"
        error = ScriptFailed(f"nothing runs: {last.name} is defined and not called", hint=f"Add a last line: {call}")
        raise RejectedError(error, last.lineno)


def _check_call(call: ast.Call, names: Names, registry: Registry, text: str) -> None:
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
    edits = Edits(text)
    required = sum(parameter.required for parameter in operation.parameters)
    match call:
        case ast.Call(args=[ast.Dict(keys=keys, values=values)], keywords=[]) if all(_key(key) for key in keys):
            named = [f"{_key(key)}={edits.text_of(value)}" for key, value in zip(keys, values, strict=True)]
        case ast.Call(args=[arguments], keywords=[]) if required > 1:
            named = [f"**{edits.text_of(arguments)}"]
        case _:
            known = zip(operation.parameters, call.args, strict=False)
            named = [f"{parameter.name}={edits.text_of(argument)}" for parameter, argument in known]
            named += [edits.text_of(keyword) for keyword in call.keywords]
    whole = ", ".join(named)
    return positional_arguments(operation.name, whole if len(whole) <= 500 else "account_id=...")


def _key(key: ast.expr | None) -> str | None:
    """The argument that a key of a dict names, in Python or in JavaScript."""
    match key:
        case ast.Constant(value=str() as name) | ast.Name(id=name):
            return name
    return None


def positional_arguments(function: str, named: str) -> InvalidArgument:
    """The error for a call by position, with the call as it should be."""
    return InvalidArgument(
        f"{function} takes its arguments by name", code="positional_argument", hint=f"Write {function}({named})."
    )
