"""Scripts in real workers: their values, their output, their errors, and that they always do the same."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import Any

import pytest

from billing_mcp.domain.errors import (
    BillingError,
    Conflict,
    InsufficientFunds,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Refused,
    Unavailable,
)
from billing_mcp.operations import REGISTRY
from billing_mcp.sandbox.stubs import describe
from tests.sandbox.agent import ACCOUNT, BALANCE, NOW, OPERATION, Agent, FakeHost

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET = f"billing.wallet_balance.get(account_id='{ACCOUNT}')"
RESUME = f"billing.plan.resume(account_id='{ACCOUNT}')"


class TestResults:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            (GET, BALANCE),
            (f"{GET}['balance']", "112.50"),
            ("None", None),
            ("", None),
            ("[1, 2.5, True, None, 'é', {'a': (1, 2)}]", [1, 2.5, True, None, "é", {"a": [1, 2]}]),
            ("{3, 1, 2} == {1, 2, 3}", True),
            ("sorted({'b', 'a'})", ["a", "b"]),
            ("from decimal import Decimal\nDecimal('10.50') + Decimal('0.10')", "10.60"),
            ("from datetime import date, timedelta\ndate(2026, 2, 28) + timedelta(days=1)", "2026-03-01"),
            ("from datetime import datetime\n[datetime(2026, 3, 1, 12, 30)]", ["2026-03-01T12:30:00"]),
            ("float('nan'), float('inf')", ["nan", "inf"]),
            ("2**53 - 1, 2**53", [2**53 - 1, str(2**53)]),
            ("10**5000", "<integer of 16610 bits>"),
            ("{1: 'a', None: 'b', (1, 2): 'c'}", {"1": "a", "null": "b", "[1, 2]": "c"}),
            ("x = []\nx.append(x)\nlen(x)", 1),
            ("map(str, [1, 2])", ["1", "2"]),
            ("(x * x for x in range(3))", [0, 1, 4]),
            ("import json\njson.loads('{\"a\": [1.5]}')", {"a": [1.5]}),
            ("if __name__ == '__main__':\n    x = 1\nx", 1),
        ],
    )
    async def test_a_value_leaves_as_json(self, agent: Agent, source: str, value: Any) -> None:
        assert await agent.value(source) == value

    async def test_a_cyclic_value_leaves_too(self, agent: Agent) -> None:
        assert "..." in str(await agent.value("x = []\nx.append(x)\nx"))

    async def test_no_lone_surrogate_leaves(self, agent: Agent) -> None:
        result = await agent.run("print('a\\ud800')\n{'k\\udfff': 'v\\ud800'}")
        text = result.output + json.dumps(result.value, ensure_ascii=False)
        assert text.startswith("a")
        assert [c for c in text if "\ud800" <= c <= "\udfff"] == []

    async def test_a_long_result_is_cut_by_its_structure(self, agent: Agent) -> None:
        value = await agent.value("list(range(50_000))")
        assert value == [*range(200), {"_omitted": "49800 of 50000 items"}]


class TestOutput:
    async def test_what_is_printed_is_returned_beside_the_value(self, agent: Agent) -> None:
        result = await agent.run("print('é', 1, sep='-', end='!')\nprint([None])\n42")
        assert (result.output, result.value) == ("é-1![None]\n", 42)

    async def test_what_was_printed_before_a_failure_is_returned(self, agent: Agent) -> None:
        result = await agent.run("print('before')\n1/0\nprint('after')")
        assert (result.output, result.line) == ("before\n", 2)

    async def test_a_run_that_starts_again_prints_once(self, agent: Agent) -> None:
        result = await agent.run(f"print('once')\n{RESUME}")
        assert (result.output, result.value) == ("once\n", OPERATION)


class TestCalls:
    @pytest.mark.parametrize(
        "source",
        [
            GET,
            f"import billing\n{GET}",
            f"import billing as b\nb.wallet_balance.get(account_id='{ACCOUNT}')",
            f"from billing import wallet_balance as w\nw.get(account_id='{ACCOUNT}')",
            f"from billing.wallet_balance import get\nget(account_id='{ACCOUNT}')",
            f"import billing.wallet_balance\n{GET}",
            f"arguments = {{'account_id': '{ACCOUNT}'}}\nbilling.wallet_balance.get(**arguments)",
            f"f = billing.wallet_balance.get\nf(account_id='{ACCOUNT}')",
            f"getattr(billing.wallet_balance, 'get')(account_id='{ACCOUNT}')",
            f"from functools import partial\npartial(billing.wallet_balance.get, account_id='{ACCOUNT}')()",
            f"[f(account_id='{ACCOUNT}') for f in (billing.wallet_balance.get,)][0]",
        ],
    )
    async def test_a_function_can_be_reached_in_every_way_of_python(self, agent: Agent, source: str) -> None:
        host = FakeHost()
        assert await agent.value(source, host) == BALANCE
        assert [(name, arguments) for name, arguments, _ in host.calls] == [
            ("billing.wallet_balance.get", {"account_id": ACCOUNT})
        ]

    async def test_each_call_has_the_line_where_it_starts(self, agent: Agent) -> None:
        host = FakeHost()
        source = f"""\
            # é
            def get(a):
                return billing.wallet_balance.get(
                    account_id=a,
                )

            x = [get('{ACCOUNT}') for _ in range(2)]; y = {GET}
            z = (
                '日本', {GET}
            )"""
        await agent.value(dedent(source), host)
        assert host.lines == [3, 3, 7, 9]

    async def test_help_needs_no_host(self, agent: Agent) -> None:
        host = FakeHost()
        assert await agent.value("billing.help('plan.change')", host) == describe(REGISTRY["billing.plan.change"])
        assert "Accounts: none" in await agent.value("billing.help()", host)
        assert host.calls == []

    async def test_help_on_an_unknown_function_can_be_caught(self, agent: Agent) -> None:
        source = "try:\n    billing.help('plan.chnage')\nexcept ValueError as e:\n    said = str(e)\nsaid"
        assert await agent.value(source) == "unknown_function: plan.chnage does not exist"

    @pytest.mark.parametrize("arguments", [f"*['{ACCOUNT}']", f"*('{ACCOUNT}',)"])
    async def test_a_call_with_unpacked_positions_is_refused_when_it_is_made(
        self, agent: Agent, arguments: str
    ) -> None:
        host = FakeHost()
        code, line, _ = await agent.failure(f"x = 1\nbilling.wallet_balance.get({arguments})", host)
        assert (code, line, host.calls) == ("positional_argument", 2, [])


ERRORS: list[tuple[BillingError, str]] = [
    (NotFound("no such account"), "LookupError"),
    (PermissionDenied("not yours", code="read_only"), "PermissionError"),
    (InvalidArgument("bad date", code="effective_date_in_past"), "ValueError"),
    (InsufficientFunds("too little"), "RuntimeError"),
    (Refused("same plan", code="plan_unchanged"), "RuntimeError"),
    (Conflict("busy"), "RuntimeError"),
    (Unavailable("away"), "RuntimeError"),
    (Internal("broken"), "RuntimeError"),
]
each_error = pytest.mark.parametrize(("error", "caught_as"), ERRORS, ids=[error.code for error, _ in ERRORS])


class TestErrorsOfCalls:
    @each_error
    async def test_an_error_can_be_caught_and_the_script_goes_on(
        self, agent: Agent, error: BillingError, caught_as: str
    ) -> None:
        host = FakeHost({"billing.plan.resume": error})
        source = f"try:\n    {RESUME}\nexcept {caught_as} as e:\n    said = [type(e).__name__, str(e)]\n[*said, {GET}]"
        assert await agent.value(source, host) == [caught_as, f"{error.code}: {error.message}", BALANCE]

    @each_error
    async def test_an_error_that_is_not_caught_ends_the_script_as_it_is(
        self, agent: Agent, error: BillingError, caught_as: str
    ) -> None:
        host = FakeHost({"billing.wallet_balance.get": error})
        result = await agent.run(f"x = 1\ny = {GET}  # {caught_as}", host)
        assert result.error is error
        assert (result.line, result.source) == (2, f"y = {GET}  # {caught_as}")

    async def test_an_error_raised_again_keeps_its_code(self, agent: Agent) -> None:
        host = FakeHost({"billing.plan.resume": InsufficientFunds("too little", hint="Top up.")})
        error = await agent.error(f"try:\n    {RESUME}\nexcept RuntimeError:\n    print('no')\n    raise", host)
        assert (error.code, error.hint) == ("insufficient_funds", "Top up.")

    async def test_another_exception_after_a_caught_one_is_its_own(self, agent: Agent) -> None:
        host = FakeHost({"billing.wallet_balance.get": NotFound("no such account")})
        source = f"try:\n    {GET}\nexcept LookupError:\n    pass\nraise KeyError('mine')"
        assert str(await agent.error(source, host)) == "script_error: KeyError: mine"

    async def test_the_text_of_an_argument_error_reaches_the_script(self, agent: Agent) -> None:
        source = "try:\n    billing.wallet_balance.get(account_id='me')\nexcept ValueError as e:\n    x = str(e)\nx"
        said = await agent.value(source)
        assert said.startswith("invalid_argument: account_id of billing.wallet_balance.get must be the account's UUID")

    async def test_what_is_no_billing_error_passes_through_untouched(self, agent: Agent) -> None:
        class LostError(Exception):
            pass

        host = FakeHost({"billing.wallet_balance.get": LostError("dsn=secret")})
        with pytest.raises(LostError):
            await agent.run(f"try:\n    {GET}\nexcept BaseException:\n    pass", host)
        assert await agent.value("1") == 1


class TestOwnFailures:
    @pytest.mark.parametrize(
        ("source", "message", "line"),
        [
            ("1/0", "ZeroDivisionError: division by zero", 1),
            ("x = {}\nx['a']", "KeyError: a", 2),
            ("raise ValueError('mine')", "ValueError: mine", 1),
            ("raise RuntimeError('insufficient_funds: poor')", "RuntimeError: insufficient_funds: poor", 1),
            ("assert 1 == 1\nassert False, 'none'", "AssertionError: none", 2),
            ("nowhere(1)", "NameError: name 'nowhere' is not defined", 1),
            ("\nprint(nowhere)", "NameError: name 'nowhere' is not defined", 2),
            ("input('password?')", "NameError: name 'input' is not defined", 1),
            ("import numpy", "ModuleNotFoundError: No module named 'numpy'", 1),
            ("def f():\n    return f()\nf()", "RecursionError: maximum recursion depth exceeded", 2),
            (
                "def f(x):\n    return 1 / x\n\ndef g():\n    return [\n        f(0)\n    ]\n\ng()",
                "ZeroDivisionError: division by zero",
                2,
            ),
            ("x = sorted([3, 1],\n    key=lambda v: v / 0)", "ZeroDivisionError: division by zero", 2),
            ("class A:\n    def go(self):\n        raise ValueError('x')\n\nA().go()", "ValueError: x", 3),
        ],
    )
    async def test_an_exception_of_its_own_is_told_with_its_line(
        self, agent: Agent, source: str, message: str, line: int
    ) -> None:
        result = await agent.run(source)
        assert result.error is not None
        assert (result.error.code, result.error.message, result.line) == ("script_error", message, line)
        assert result.source == source.splitlines()[line - 1].strip()

    @pytest.mark.parametrize("source", ["break", "x = 1\nnonlocal x", "f(a=1, a=2)", "del (1)"])
    async def test_what_only_a_compiler_refuses_is_a_syntax_error(self, agent: Agent, source: str) -> None:
        assert (await agent.error(source)).code == "syntax_error"

    async def test_a_hostile_text_is_shortened_and_stays_a_text(self, agent: Agent) -> None:
        source = "raise ValueError('\\x1b[31m</error> `rm` \\ud800\\n' + 'A' * 1_000_000)"
        error = await agent.error(source)
        assert error.code == "script_error"
        assert len(error.message) < 1100
        assert error.message.endswith("characters)")
        assert error.message.encode("utf-8").startswith(b"ValueError: \x1b[31m</error> `rm` ")

    async def test_a_long_line_of_source_is_shortened(self, agent: Agent) -> None:
        _, _, source = await agent.failure("1/0  # " + "x" * 5000)
        assert source == "1/0  # " + "x" * 193

    @pytest.mark.parametrize(
        "source",
        [
            "open('/etc/passwd').read()",
            "import os\nos.listdir('/')",
            "import os\nos.environ['PATH']",
            "import os\nos.getenv('HOME')",
            "from pathlib import Path\nPath('/etc/passwd').read_text()",
            "import socket",
            "import subprocess",
            "__import__('os')",
            "().__class__.__bases__",
            "billing.plan.change.__globals__",
        ],
    )
    async def test_nothing_outside_can_be_reached(self, agent: Agent, source: str) -> None:
        result = await agent.run(source)
        assert result.error is not None
        assert result.error.code == "script_error"
        assert "root" not in str(result.error)


class TestTheSameAgain:
    async def test_the_clock_stands_still(self, agent: Agent) -> None:
        source = """
            import time
            from datetime import date, datetime, timezone
            first = [datetime.now(timezone.utc).isoformat(), date.today().isoformat(), time.time()]
            time.sleep(60)
            first, first == [datetime.now(timezone.utc).isoformat(), date.today().isoformat(), time.time()]
        """
        shown = ["2026-03-12T10:30:00+00:00", "2026-03-12", NOW.timestamp()]
        assert await agent.value(dedent(source)) == [shown, True]

    async def test_the_same_execution_draws_the_same_numbers(self, agent: Agent) -> None:
        source = "import random\n[random.random(), random.randint(1, 10**9), random.sample(range(1000), 5)]"
        assert await agent.value(source) == await agent.value(source)

    async def test_another_execution_draws_others(self, agent: Agent) -> None:
        source = "import random\nrandom.random()"
        assert await agent.value(source) != await agent.value(source, FakeHost(execution_id="another"))

    async def test_nothing_stays_from_one_script_to_the_next(self, agent: Agent) -> None:
        await agent.value("left = 1")
        assert (await agent.error("left")).message == "NameError: name 'left' is not defined"
