"""What is read of a script before it runs: its syntax, and its calls against the registry."""

from __future__ import annotations

import pytest

from billing_mcp.domain.errors import BillingError
from billing_mcp.operations import REGISTRY
from billing_mcp.sandbox.source import RejectedError, Script, normalized, prepare

MAX_BYTES = 64 * 1024
CHANGE = "account_id='a', plan_id='smtp_per_proxy'"


def read(source: str) -> Script:
    return prepare(source, REGISTRY, max_bytes=MAX_BYTES)


def rejected(source: str) -> tuple[BillingError, int | None]:
    with pytest.raises(RejectedError) as caught:
        read(source)
    return caught.value.error, caught.value.line


def code_of(source: str) -> str:
    return rejected(source)[0].code


class TestCallsThatAreFine:
    @pytest.mark.parametrize(
        "source",
        [
            "billing.wallet_balance.get(account_id='a')",
            "import billing\nbilling.wallet_balance.get(account_id='a')",
            "billing.invoices.list(account_id='a', page=2, page_size=100)",
            f"billing.plan.change({CHANGE})",
            f"billing.plan.change({CHANGE}, effective_date='2026-05-01')",
            "billing.plan.change(**arguments)",
            "billing.plan.change(account_id='a', **rest)",
            "billing.help()",
            "billing.help('plan.change')",
            "billing.help(name='plan.change')",
            "print(billing.plan.change)",
            "[billing.plan.resume, billing.plan.cancel]",
            "getattr(billing.plan, 'change')(account_id='a')",
            "my.billing.plan.chnage('a')",
            "self.plan.change('a')",
            "print('billing.plan.chnage(1)')  # billing.plan.chnage(1)",
        ],
    )
    def test_a_call_that_fits_its_function_is_left_as_it_is(self, source: str) -> None:
        assert read(source).code == source

    @pytest.mark.parametrize(
        "source",
        [
            "def f(billing):\n    return billing.plan('a')\nf(x)",
            "billing = client()\nbilling.plan('a')",
            "for billing in bills:\n    billing.pay('a')",
            "with open_book() as billing:\n    billing.pay('a')\n0",
            "[billing.pay('a') for billing in bills]",
            "if (billing := client()):\n    billing.pay('a')\n0",
            "class billing:\n    pass\nbilling.pay('a')",
            "def billing():\n    return 1\nbilling.pay('a')",
            "billing, other = pair\nbilling.pay('a')",
            "from billing import plan\nfor plan in plans:\n    plan.get('name')",
            "from billing import plans\ndef f(plans):\n    return plans.get('name')\nf({})",
            "from billing import plan as p\np = {}\np.get('name')",
        ],
    )
    def test_a_name_that_the_script_binds_itself_is_not_ours(self, source: str) -> None:
        assert read(source).code == source

    def test_a_call_with_unpacked_positions_is_left_to_the_call_itself(self) -> None:
        source = "billing.plan.change(*arguments)"
        assert read(source).code == source


class TestFunctionsThatDoNotExist:
    @pytest.mark.parametrize(
        ("source", "meant"),
        [
            ("billing.plan.chnage(account_id='a')", "billing.plan.change"),
            ("billing.walletBalance.get(account_id='a')", "billing.wallet_balance.get"),
            ("billing.wallet.get(account_id='a')", "billing.wallet_balance.get"),
            ("billing.Plans.List(account_id='a')", "billing.plans.list"),
            ("billing.current_plans.get(account_id='a')", "billing.current_plan.get"),
            ("billing.invoice.list(account_id='a')", "billing.invoices.list"),
            ("billing.plan.cancel_plan(account_id='a')", "billing.plan.cancel"),
        ],
    )
    def test_the_error_names_the_function_that_was_likely_meant(self, source: str, meant: str) -> None:
        error, line = rejected(source)
        assert (error.code, line) == ("unknown_function", 1)
        assert error.hint == f"Did you mean {meant}?"

    def test_without_anything_similar_the_error_names_all_namespaces(self) -> None:
        error, _ = rejected("billing.xyzzy()")
        assert error.message == "billing.xyzzy does not exist"
        assert error.hint == f"billing has {', '.join(resource.name for resource in REGISTRY.resources)}."

    def test_what_is_as_likely_to_read_as_to_change_is_not_chosen_for_the_agent(self) -> None:
        error, _ = rejected("billing.plan.upgrade(account_id='a')")
        assert error.hint == (
            "Did you mean billing.current_plan.get, billing.plan.change, billing.plan.cancel or billing.plan.resume?"
        )

    def test_a_namespace_cannot_be_called(self) -> None:
        assert code_of("billing.plan(account_id='a')") == "unknown_function"

    def test_the_line_is_that_of_the_call(self) -> None:
        assert rejected("x = 1\n\nprint(\n    x,\n    billing.plan.chnage(),\n)")[1] == 5

    def test_a_very_long_name_is_not_repeated_whole(self) -> None:
        error, _ = rejected(f"billing.{'x' * 50_000}()")
        assert len(str(error)) < 200

    def test_in_a_read_only_registry_a_manage_function_does_not_exist(self) -> None:
        with pytest.raises(RejectedError) as caught:
            prepare(f"billing.plan.change({CHANGE})", REGISTRY.without_writes(), max_bytes=MAX_BYTES)
        assert caught.value.error.code == "unknown_function"


class TestAliases:
    @pytest.mark.parametrize(
        "source",
        [
            "import billing as b\nb.plan.chnage()",
            "from billing import plan\nplan.chnage()",
            "from billing import plan as p\np.chnage()",
            "import billing.plan\nbilling.plan.chnage()",
            "import billing.plan as p\np.chnage()",
            "from billing.plan import chnage\nchnage()",
            "from billing.plan import chnage as c\nc()",
            "def f():\n    import billing as b\n    return b.plan.chnage()",
        ],
    )
    def test_a_call_is_checked_under_whatever_name_it_was_imported(self, source: str) -> None:
        error, _ = rejected(source)
        assert (error.code, error.message) == ("unknown_function", "billing.plan.chnage does not exist")

    def test_the_error_of_an_aliased_call_uses_the_full_name(self) -> None:
        error, line = rejected("from billing.plan import change as c\nc('a', 'smtp_per_proxy')")
        assert line == 2
        assert error.hint == "Write billing.plan.change(account_id='a', plan_id='smtp_per_proxy')."

    def test_help_is_help_under_any_name(self) -> None:
        source = "from billing import help as h\nh('plan.change')"
        assert read(source).code == source


class TestArguments:
    @pytest.mark.parametrize(
        ("call", "mended"),
        [
            ("billing.wallet_balance.get('a')", "billing.wallet_balance.get(account_id='a')"),
            (
                "billing.plan.change(account, 'smtp_' + kind, effective_date=None)",
                "billing.plan.change(account_id=account, plan_id='smtp_' + kind, effective_date=None)",
            ),
            ("billing.invoices.list(ids[0], f(1, 2))", "billing.invoices.list(account_id=ids[0], page=f(1, 2))"),
            ("billing.plan.cancel('é', **options)", "billing.plan.cancel(account_id='é', **options)"),
            ("print('é', billing.plan.resume('ü'))", "billing.plan.resume(account_id='ü')"),
            ("x = '日本'; billing.plan.resume('語')", "billing.plan.resume(account_id='語')"),
            ("f'é {billing.plan.resume(account)} é'", "billing.plan.resume(account_id=account)"),
            ("billing.plan.resume((\n  'a'\n))", "billing.plan.resume(account_id='a')"),
            ("billing.plan.resume({'account_id': 'a'})", "billing.plan.resume(account_id='a')"),
            ("billing.plan.change({account_id: a, plan_id: p})", "billing.plan.change(account_id=a, plan_id=p)"),
            ("billing.plan.change({'account_id': a, **rest})", "billing.plan.change(**{'account_id': a, **rest})"),
            ("billing.plan.change(arguments)", "billing.plan.change(**arguments)"),
        ],
    )
    def test_a_positional_call_is_answered_with_the_call_as_it_should_be(self, call: str, mended: str) -> None:
        error, line = rejected(call)
        assert (error.code, error.hint, line) == ("positional_argument", f"Write {mended}.", 1)

    def test_an_unknown_keyword_is_answered_with_the_one_that_was_meant(self) -> None:
        error, line = rejected("x = 1\nbilling.plan.change(account_id='a', plan='smtp_per_proxy')")
        assert (error.code, line) == ("unknown_argument", 2)
        assert error.message == "billing.plan.change has no argument 'plan'"
        assert (
            error.hint == "Did you mean plan_id? Its arguments are account_id, plan_id, effective_date, billing_period."
        )

    def test_an_unknown_keyword_is_named_before_a_missing_one(self) -> None:
        assert code_of("billing.wallet_balance.get(accountId='a')") == "unknown_argument"

    def test_a_missing_argument_is_named(self) -> None:
        error, line = rejected("\nbilling.plan.change(account_id='a')")
        assert (error.code, error.message, line) == (
            "missing_argument",
            "billing.plan.change needs the argument plan_id",
            2,
        )

    def test_a_call_within_the_arguments_of_another_is_checked_too(self) -> None:
        assert code_of("print(max([billing.plans.list(account='a')]))") == "unknown_argument"


class TestTheTextItself:
    @pytest.mark.parametrize("source", ["", "   \n\n", "# nothing to do"])
    def test_an_empty_script_may_run(self, source: str) -> None:
        assert read(source).code == source

    def test_a_syntax_error_names_its_line(self) -> None:
        error, line = rejected("x = 1\nif x\n    y = 2")
        assert (error.code, line) == ("syntax_error", 2)
        assert error.message == "the script is not Python: expected ':'"

    @pytest.mark.parametrize(
        "source",
        [
            "x = 1\0",
            "'\0'",
            "x = '\ud800'",
            "(" * 300 + ")" * 300,
            "x = " + "+".join(["1"] * 20_000),
            "".join(" " * depth + "if 1:\n" for depth in range(120)),
            "x = " + "9" * 5000,
            "SELECT * FROM wallets",
            '{"code": "billing.help()"',
            "await",
        ],
    )
    def test_what_cannot_be_parsed_is_a_syntax_error(self, source: str) -> None:
        assert code_of(source) == "syntax_error"

    def test_a_script_may_be_as_long_as_the_limit(self) -> None:
        source = "#" * MAX_BYTES
        assert read(source).code == source

    @pytest.mark.parametrize("source", ["#" * (MAX_BYTES + 1), "#" + "é" * (MAX_BYTES // 2), "(" * (MAX_BYTES + 1)])
    def test_a_longer_one_is_refused_by_its_bytes(self, source: str) -> None:
        error, line = rejected(source)
        assert (error.code, line) == ("script_too_long", None)
        assert str(MAX_BYTES) in error.message

    def test_a_doubtful_escape_warns_nobody(self) -> None:
        source = r"print('\d')"
        assert read(source).code == source

    @pytest.mark.parametrize("end", ["\r\n", "\r"])
    def test_lines_may_end_as_on_any_system(self, end: str) -> None:
        source = end.join(["x = 1", "y = 2", "billing.plan.chnage()"])
        assert rejected(source)[1] == 3

    @pytest.mark.parametrize(
        "source",
        [
            "```python\nx = 1\nbilling.plan.chnage()\n```",
            "```\nx = 1\nbilling.plan.chnage()\n```\n\n",
            "    \n  x = 1\n  billing.plan.chnage()\n",
            "\n\tx = 1\n\tbilling.plan.chnage()",
            "\ufeff\nx = 1\nbilling.plan.chnage()",
        ],
    )
    def test_what_is_around_the_whole_script_is_no_part_of_it_and_lines_keep_their_numbers(self, source: str) -> None:
        assert rejected(source)[1] == 3

    @pytest.mark.parametrize(
        "source",
        [
            "x = '''\n```python\n1\n```\n'''",
            "  # a comment that is indented\nx = '''\n  \n  a'''",
            "'''```'''",
        ],
    )
    def test_a_script_that_is_python_as_it_stands_is_left_as_it_is(self, source: str) -> None:
        assert normalized(source) == source


class TestImports:
    @pytest.mark.parametrize(
        ("source", "module", "line"),
        [
            ("import requests", "requests", 1),
            ("import json, uuid", "uuid", 1),
            ("x = 1\nfrom dateutil.parser import parse", "dateutil.parser", 2),
            ("def f():\n    import numpy as np\n    return np\nf()", "numpy", 2),
            ("billing.plan.resume(account_id='a')\nfrom . import billing", ".", 2),
        ],
    )
    def test_a_module_that_is_not_there_is_told_before_anything_runs(self, source: str, module: str, line: int) -> None:
        error, at = rejected(source)
        assert (error.message, at) == (f"ModuleNotFoundError: No module named {module!r}", line)

    @pytest.mark.parametrize(
        "source",
        [
            "try:\n    import numpy\nexcept ImportError:\n    numpy = None\n0",
            "import asyncio, collections.abc, json as j\nfrom decimal import Decimal",
            "from __future__ import annotations",
            "import billing.plan",
        ],
    )
    def test_an_import_that_may_work_is_left_to_the_sandbox(self, source: str) -> None:
        assert read(source).code == source


class TestNothingRuns:
    @pytest.mark.parametrize(
        ("source", "call", "line"),
        [
            ("def main():\n    return 42", "main()", 1),
            ("import json\nLIMIT = 5\nasync def main(account_id, plan='a'):\n    pass", "main(account_id=...)", 3),
            ("def f():\n    pass\n\ndef main(a, /, b, *, c=1):\n    f()", "main(a=..., b=...)", 4),
        ],
    )
    def test_a_script_that_defines_and_never_calls_is_told_its_last_line(
        self, source: str, call: str, line: int
    ) -> None:
        error, at = rejected(source)
        assert (error.code, error.hint, at) == ("script_error", f"Add a last line: {call}", line)

    @pytest.mark.parametrize(
        "source", ["print(1)\ndef f():\n    pass", "def f():\n    pass\nf()", "class A:\n    pass", "x = 1"]
    )
    def test_a_script_that_does_something_is_let_run(self, source: str) -> None:
        read(source)


class TestForesight:
    @pytest.mark.parametrize(
        "source",
        [
            f"billing.plan.change({CHANGE})",
            "f = billing.plan.cancel",
            "import billing as b\nb.plan.resume(account_id='a')",
            "from billing.plan import resume\nresume(account_id='a')",
            "async def f():\n    await billing.plan.resume(account_id='a')\nf()",
        ],
    )
    def test_a_script_that_names_a_manage_function_is_about_to_write(self, source: str) -> None:
        assert read(source).names_write

    @pytest.mark.parametrize(
        "source",
        [
            "billing.plans.list(account_id='a')",
            "print('billing.plan.change')",
            "def f(billing):\n    return billing.plan.change\nf(x)",
            "from billing import plan",
        ],
    )
    def test_a_script_that_names_none_is_not(self, source: str) -> None:
        assert not read(source).names_write
