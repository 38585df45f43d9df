"""Owns the habits of agents that are mended: their text is changed in place, and means what was meant.

Agents write `await` by habit, forget it before their own coroutines, forget an import, and leave
the result where no value is taken. Every line keeps its number.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from billing_mcp.kernel.registry import NAMESPACE
from billing_mcp.sandbox.edits import Edits
from billing_mcp.sandbox.names import Names

_RUN = "asyncio.run"
_STAND_INS = {
    "asyncio.gather": "gathered_by_billing",
    "asyncio.as_completed": "same_by_billing",
    "asyncio.create_task": "same_by_billing",
    "asyncio.ensure_future": "same_by_billing",
    "asyncio.shield": "same_by_billing",
    "asyncio.wait_for": "same_by_billing",
}
_STAND_INS_DEFINED = """async def settled_by_billing(value):
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
def same_by_billing(value, *_others, **_options):
    return value
"""
"""Billing functions answer at once; whoever awaits them, alone or gathered or as a task, gets the answer."""


def mend(tree: ast.Module, names: Names, edits: Edits) -> str:
    """Mend the script. Returns the lines that it needs before its own."""
    _mend_value(tree, edits)
    _mend_generators(names, edits)
    waits = _mend_awaits(tree, names, edits)
    imports = "".join(f"{line}\n" for line in (f"import {NAMESPACE}", *names.forgotten))
    return imports + _STAND_INS_DEFINED if waits else imports


def _mend_awaits(tree: ast.Module, names: Names, edits: Edits) -> bool:
    mended = False
    if not (names.uses("asyncio") or any(isinstance(n, ast.Await | ast.AsyncFunctionDef) for n in names.nodes)):
        return mended
    for node in names.nodes:
        called = names.called(node)
        if isinstance(node, ast.Await) and names.called(node.value).startswith(f"{NAMESPACE}."):
            edits.wrap(node, "(    ", ")", instead_of="await")
            continue
        if isinstance(node, ast.Await):
            edits.wrap(node.value, "settled_by_billing(", ")")
        elif isinstance(node, ast.Call) and called in _STAND_INS:
            edits.replace(node.func, _STAND_INS[called])
        elif isinstance(node, ast.Call) and called == _RUN and node.args:
            edits.wrap(node.args[0], "settled_by_billing(", ")")
        else:
            continue
        mended = True
    for call in _never_awaited(tree, names):
        edits.wrap(call, "(await settled_by_billing(", "))")
        mended = True
    return mended


def _never_awaited(tree: ast.Module, names: Names) -> Iterator[ast.Call]:
    """Calls of the script's own coroutines, and tasks, for which nothing waits, where `await` may stand."""
    own = {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
    kept = _kept(names)
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        match node:
            case ast.FunctionDef() | ast.ClassDef() | ast.Lambda() | ast.Await():
                pass
            case ast.Assign() | ast.AugAssign() | ast.Expr(value=ast.Call(func=ast.Attribute())) if _has(node, kept):
                pass
            case ast.Call(func=ast.Name(id=name)) if name in own:
                yield node
            case ast.Call() if names.called(node) in _STAND_INS:
                yield node
            case _ if not names.called(node).startswith("asyncio."):
                nodes += ast.iter_child_nodes(node)


def _kept(names: Names) -> set[str]:
    """The names under which the script keeps coroutines, to await them later."""
    kept: set[str] = set()
    for node in names.nodes:
        match node:
            case ast.Await(value=ast.Name(id=name)):
                kept.add(name)
            case ast.Call(args=args) if names.called(node).startswith("asyncio."):
                values = (arg.value if isinstance(arg, ast.Starred) else arg for arg in args)
                kept |= {value.id for value in values if isinstance(value, ast.Name)}
    for node in names.nodes:
        match node:
            case ast.For(target=ast.Name(id=each), iter=ast.Name(id=name)) if each in kept:
                kept.add(name)
            case ast.comprehension(target=ast.Name(id=each), iter=ast.Name(id=name)) if each in kept:
                kept.add(name)
    return kept


def _has(tree: ast.AST, names: set[str]) -> bool:
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(tree))


def _mend_generators(names: Names, edits: Edits) -> None:
    """In the sandbox a generator expression is a list, so what is stepped through with `next` needs an iterator."""
    stepped = set()
    for node in names.nodes:
        match node:
            case ast.Call(func=ast.Name(id="next"), args=[ast.Name(id=name), *_]):
                stepped.add(name)
            case ast.Call(func=ast.Name(id="next"), args=[ast.GeneratorExp() as generator, *rest]):
                # The span of an only argument is that of the call's own parentheses.
                edits.wrap(generator, *(("iter", "") if rest else ("(iter", ")")))
    for node in names.nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.GeneratorExp() as generator) if name in stepped:
                edits.wrap(generator, "iter", "")


def _mend_value(tree: ast.Module, edits: Edits) -> None:
    """Let the script's value be what it ends with, wherever the script put it."""
    for last in _ends(tree):
        outermost = last is tree.body[-1]
        match last:
            case ast.Return(value=None) if outermost:
                edits.replace(last, "None")
            case ast.Return() if outermost:
                edits.wrap(last, "(".ljust(len("return")), ")", instead_of="return")
            case ast.Expr() if not outermost:
                edits.wrap(last, "return (", ")")
            case (
                ast.Assign(targets=[target])
                | ast.AugAssign(target=target)
                | ast.AnnAssign(target=target, value=ast.expr())
            ) if _is_plain(target):
                value = ast.unparse(target)
                if outermost:
                    edits.append(f"\n{value}")
                else:
                    edits.wrap(last, "", f"; return {value}")


def _ends(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements with which the script may end: its last, or the last ones of the branches of that."""
    blocks = [tree.body]
    while blocks:
        for last in blocks.pop()[-1:]:
            match last:
                case ast.If(body=body, orelse=orelse):
                    blocks += [body, orelse]
                case ast.With(body=body):
                    blocks.append(body)
                case ast.Try(body=body, handlers=handlers, orelse=orelse):
                    blocks += [orelse or body, *(handler.body for handler in handlers)]
                case ast.Match(cases=cases):
                    blocks += [case.body for case in cases]
                case _:
                    yield last


def _is_plain(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) or (
        isinstance(target, ast.Tuple) and all(isinstance(item, ast.Name) for item in target.elts)
    )
