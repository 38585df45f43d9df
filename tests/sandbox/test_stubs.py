"""What agents read of the functions: stubs, one-line signatures and help, all derived from the registry."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import replace
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints

import pytest

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.kernel.registry import Operation, Registry, Resource
from billing_mcp.operations import REGISTRY
from billing_mcp.sandbox.stubs import all_stubs, describe, help_text, namespace_stub, root_stub, signature_lines
from billing_mcp.sandbox.typing_text import typed_dicts

READ_ONLY = REGISTRY.without_writes()
OPERATIONS = list(REGISTRY.values())
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
every_resource = pytest.mark.parametrize("resource", REGISTRY.resources, ids=lambda resource: resource.name)


def resource_of(operation: Operation) -> Resource:
    return next(r for r in REGISTRY.resources if operation in r.operations)


def stub_of(operation: Operation) -> ast.FunctionDef:
    """The function's definition in the stub of its namespace."""
    name = operation.name.rpartition(".")[2]
    tree = ast.parse(namespace_stub(resource_of(operation)))
    (found,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return found


def classes_of(stub: str) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in ast.parse(stub).body if isinstance(node, ast.ClassDef)}


def values_in(annotation: ast.expr) -> list[Any]:
    """The values of the Literals within an annotation."""
    literals = (n for n in ast.walk(annotation) if isinstance(n, ast.Subscript) and ast.unparse(n.value) == "Literal")
    return [node.value for literal in literals for node in ast.walk(literal.slice) if isinstance(node, ast.Constant)]


def literals_of(annotation: Any) -> list[Any]:
    """The same of a type."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in literals_of(part)]


class TestFunctionsInStubs:
    @every_operation
    def test_each_has_its_parameters_by_keyword_only(self, operation: Operation) -> None:
        arguments = stub_of(operation).args
        assert [a.arg for a in arguments.kwonlyargs] == [p.name for p in operation.parameters]
        assert (arguments.args, arguments.posonlyargs, arguments.vararg, arguments.kwarg) == ([], [], None, None)

    @every_operation
    def test_each_has_its_defaults(self, operation: Operation) -> None:
        defaults = [None if d is None else ast.literal_eval(d) for d in stub_of(operation).args.kw_defaults]
        assert defaults == [None if p.required else p.default for p in operation.parameters]
        assert [d is not None for d in stub_of(operation).args.kw_defaults] == [
            not p.required for p in operation.parameters
        ]

    @every_operation
    def test_each_shows_the_values_that_an_argument_can_take(self, operation: Operation) -> None:
        for argument, parameter in zip(stub_of(operation).args.kwonlyargs, operation.parameters, strict=True):
            assert argument.annotation is not None
            assert values_in(argument.annotation) == literals_of(parameter.annotation)

    @every_operation
    def test_each_has_its_documentation_and_the_permission_it_needs(self, operation: Operation) -> None:
        text = ast.get_docstring(stub_of(operation))
        assert text == f"{operation.doc}\n\nRequires {operation.permission.value}."

    @every_operation
    def test_each_returns_a_type_of_its_stub(self, operation: Operation) -> None:
        returns = stub_of(operation).returns
        assert isinstance(returns, ast.Name)
        assert returns.id in classes_of(namespace_stub(resource_of(operation)))

    def test_the_plans_are_spelt_out_where_a_plan_is_chosen(self) -> None:
        annotation = stub_of(REGISTRY["billing.plan.change"]).args.kwonlyargs[1].annotation
        assert annotation is not None
        assert values_in(annotation) == ["smtp_per_mailbox", "smtp_per_proxy"]


class TestStubs:
    @every_resource
    def test_a_namespace_has_exactly_its_functions(self, resource: Resource) -> None:
        tree = ast.parse(namespace_stub(resource))
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert names == [o.name.rpartition(".")[2] for o in resource.operations]

    @every_resource
    def test_a_namespace_tells_what_it_is_for(self, resource: Resource) -> None:
        assert ast.get_docstring(ast.parse(namespace_stub(resource))) == resource.doc

    @every_resource
    def test_a_result_has_its_fields_their_literals_and_its_documentation(self, resource: Resource) -> None:
        classes = classes_of(namespace_stub(resource))
        expected = {c for o in resource.operations for c in typed_dicts(o.returns)}
        assert set(classes) == {c.__name__ for c in expected}
        for typed_dict in expected:
            node = classes[typed_dict.__name__]
            fields = {
                f.target.id: f for f in node.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)
            }
            hints = get_type_hints(typed_dict, include_extras=True)
            assert list(fields) == list(hints)
            assert {n: "NotRequired" in ast.unparse(f.annotation) for n, f in fields.items()} == {
                n: get_origin(hint) is NotRequired for n, hint in hints.items()
            }
            assert {n: values_in(f.annotation) for n, f in fields.items()} == {
                n: literals_of(hint) for n, hint in hints.items()
            }
            assert ast.get_docstring(node) == inspect.getdoc(typed_dict)

    @every_resource
    def test_a_class_is_written_after_those_that_it_names(self, resource: Resource) -> None:
        known: set[str] = set()
        classes = classes_of(namespace_stub(resource))
        for name, node in classes.items():
            used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & set(classes)
            assert used <= known
            known.add(name)

    def test_the_root_has_every_namespace_and_help(self) -> None:
        tree = ast.parse(root_stub(REGISTRY))
        imported = [alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
        assert imported == [r.name for r in REGISTRY.resources]
        assert [node.name for node in tree.body if isinstance(node, ast.FunctionDef)] == ["help"]

    def test_all_stubs_together_are_one_text_that_parses(self) -> None:
        text = all_stubs(REGISTRY)
        functions = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
        assert functions == ["help", *(o.name.rpartition(".")[2] for o in OPERATIONS)]
        assert [line for line in text.splitlines() if line.startswith("# billing/")] == [
            "# billing/__init__.pyi",
            *(f"# billing/{r.name}.pyi" for r in REGISTRY.resources),
        ]


class TestReadOnly:
    def test_there_is_no_manage_function_to_read_of(self) -> None:
        manage = [o.name for o in OPERATIONS if o.writes]
        texts = [all_stubs(READ_ONLY), signature_lines(READ_ONLY), help_text(READ_ONLY, None, "")]
        assert manage
        assert not [name for name in manage for text in texts if name in text or "billing.manage" in text]
        assert "plan" not in [r.name for r in READ_ONLY.resources]

    def test_every_function_that_reads_is_still_there(self) -> None:
        reading, _, _ = signature_lines(REGISTRY).partition("\nChange (")
        assert signature_lines(READ_ONLY) == reading

    @pytest.mark.parametrize("name", [o.name for o in OPERATIONS if o.writes])
    def test_help_knows_no_manage_function(self, name: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            help_text(READ_ONLY, name, "")
        assert caught.value.code == "unknown_function"


class TestSignatureLines:
    def test_every_function_has_one_line_under_the_permission_that_it_needs(self) -> None:
        permission, lines = "", {}
        for line in signature_lines(REGISTRY).splitlines():
            if line.endswith("):"):
                permission = line.partition("(")[2].removesuffix("):")
            else:
                lines[line.partition("(")[0]] = permission
        assert list(lines) == [o.name for o in sorted(OPERATIONS, key=lambda operation: operation.writes)]
        assert lines == {o.name: o.permission.value for o in OPERATIONS}

    @every_operation
    def test_the_line_names_all_parameters_but_the_account(self, operation: Operation) -> None:
        line = lines_by_name()[operation.name].partition(" -> ")[0]
        assert line.startswith(f"{operation.name}(")
        names = [re.split(r"\?|=|:", each)[0] for each in line.partition("(")[2].removesuffix(")").split(", ") if each]
        assert names == [p.name for p in operation.parameters if p.name != "account_id"]

    @every_operation
    def test_the_line_names_fields_of_the_result_and_has_dots_for_the_others(self, operation: Operation) -> None:
        lines = lines_by_name()
        told = lines[operation.name].partition(" -> ")[2]
        if told.startswith("as "):
            first, _, items = told.removeprefix("as ").partition(" ")
            told = lines[f"{operation.name.rpartition('.')[0]}.{first}"].partition(" -> ")[2]
            told = told.partition("[")[2].partition("]")[0] if items else told
        top = re.sub(r"\[.*\]", "", told).strip("{}").split(",")
        fields = [each.rstrip(":") for each in top if each != "..."]
        hints = list(get_type_hints(operation.returns))
        assert fields == [name for name in hints if name in fields]
        assert len(fields) >= min(len(hints), 2)
        assert ("..." in top) == (fields != hints)

    def test_a_result_is_told_once(self) -> None:
        results = [line.partition(" -> ")[2] for line in lines_by_name().values()]
        assert {result for result in results if results.count(result) > 1} == {"as change", "as get"}

    def test_a_line_is_as_an_agent_would_write_the_call(self) -> None:
        assert (
            "\nbilling.plan.change(plan_id: 'smtp_per_mailbox'|'smtp_per_proxy', effective_date?, billing_period?)"
            " -> {status," in signature_lines(REGISTRY)
        )

    def test_a_result_that_is_told_already_is_told_by_the_functions_name(self) -> None:
        like = REGISTRY["billing.holds.list"]
        item = get_args(get_type_hints(like.returns)["items"])[0]
        one = replace(like, name="billing.holds.get", returns=item)
        same = replace(like, name="billing.archive.list")
        lines = signature_lines(Registry([Resource("holds", "", [like, one]), Resource("archive", "", [same])]))
        assert [line.partition(" -> ")[2] for line in lines.splitlines()[2:]] == [
            "as list items",
            "as billing.holds.list",
        ]


def lines_by_name() -> dict[str, str]:
    return {line.partition("(")[0]: line for line in signature_lines(REGISTRY).splitlines() if " -> " in line}


class TestHelp:
    def test_without_a_name_it_lists_every_function_with_its_summary(self) -> None:
        text = help_text(REGISTRY, None, "Accounts: one")
        for operation in OPERATIONS:
            names = ", ".join(p.name for p in operation.parameters)
            assert f"{operation.name}({names}): {operation.summary}" in text.splitlines()
        assert "Accounts: one" in text.splitlines()

    @every_operation
    def test_with_a_name_it_shows_that_function_whole(self, operation: Operation) -> None:
        text = help_text(REGISTRY, operation.name, "Accounts: one")
        assert text == describe(operation)
        assert text.startswith(f"{operation.name}(*, account_id: str")
        assert operation.doc in text
        assert f"Requires {operation.permission.value}." in text
        assert [
            c.__name__ for c in typed_dicts(operation.returns) if f"class {c.__name__}(TypedDict):" not in text
        ] == []

    @every_operation
    def test_the_name_may_be_given_without_its_first_part(self, operation: Operation) -> None:
        assert help_text(REGISTRY, operation.name.removeprefix("billing."), "") == describe(operation)

    @pytest.mark.parametrize(
        ("name", "meant"), [("billing.plan.chnage", "billing.plan.change"), ("plan.resum", "billing.plan.resume")]
    )
    def test_an_unknown_name_is_answered_with_what_was_likely_meant(self, name: str, meant: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            help_text(REGISTRY, name, "")
        assert caught.value.code == "unknown_function"
        assert str(caught.value.hint).startswith(f"Did you mean {meant}?")

    def test_a_registry_without_functions_still_has_help(self) -> None:
        assert "billing.help(" in help_text(Registry([]), None, "There is no account yet.")
