"""Changes of a text nest as the nodes of its tree do, in whatever order they are made."""

from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st

from billing_mcp.sandbox.edits import Edits

TEXT = "é = await f(\n  g(1)(2), [h(x) for x in y], 'ü', (z)\n)['ö']\nf(k)(g(h))"


@given(st.permutations(range(40)), st.integers(1, 40))
def test_nodes_that_are_wrapped_in_any_order_stay_within_each_other(order: list[int], count: int) -> None:
    expressions = [node for node in ast.walk(ast.parse(TEXT)) if isinstance(node, ast.expr)]
    loaded = [node for node in expressions if not isinstance(getattr(node, "ctx", None), ast.Store)]
    nodes = [loaded[index] for index in order[:count] if index < len(loaded)]
    edits = Edits(TEXT)
    for node in nodes:
        edits.wrap(node, "same(", ")")
    edited = edits.apply()

    assert edited.count("same(") == len(nodes)
    assert ast.dump(_Unwrapped().visit(ast.parse(edited))) == ast.dump(ast.parse(TEXT))
    assert edited.count("\n") == TEXT.count("\n")


class _Unwrapped(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        return node.args[0] if isinstance(node.func, ast.Name) and node.func.id == "same" else node


def test_a_keyword_is_replaced_within_what_is_put_around_its_node() -> None:
    text = "await f()"
    (statement,) = ast.parse(text).body
    assert isinstance(statement, ast.Expr)
    edits = Edits(text)
    edits.wrap(statement, "return (", ")")
    edits.wrap(statement.value, "(    ", ")", instead_of="await")
    assert edits.apply() == "return ((     f()))"


def test_what_is_replaced_opens_after_what_is_around_it() -> None:
    text = "f(x).y"
    (statement,) = ast.parse(text).body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Attribute)
    call = statement.value.value
    assert isinstance(call, ast.Call)
    edits = Edits(text)
    edits.replace(call.func, "g")
    edits.wrap(statement.value, "h(", ")")
    edits.append("\n1")
    assert edits.apply() == "h(g(x).y)\n1"
