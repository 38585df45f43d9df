"""Habits that are mended: `await` where nothing waits, `gather`, `asyncio.run`, `next`, and the value at the end.

Every script here runs in a real worker, so it is its meaning that is tested, not its text.
"""

from __future__ import annotations

import sys
from textwrap import dedent
from typing import Any

import pytest

from billing_mcp.domain.errors import NotFound
from billing_mcp.operations import REGISTRY
from billing_mcp.sandbox.names import IMPORTABLE
from billing_mcp.sandbox.source import prepare
from tests.sandbox.agent import ACCOUNT, BALANCE, CURRENT_PLAN, OTHER, Agent, FakeHost

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET = f"billing.wallet_balance.get(account_id='{ACCOUNT}')"
PLAN = f"billing.current_plan.get(account_id='{ACCOUNT}')"
RESUME = f"billing.plan.resume(account_id='{ACCOUNT}')"
CONTEXT = "class Context:\n    def __enter__(self):\n        pass\n    def __exit__(self, *e):\n        pass\n"
ASYNC = "async def twice(x):\n    return x * 2\n"


class TestAwaitedBillingCalls:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            (f"b = await {GET}", BALANCE),
            (f"(await {GET})['balance']", "112.50"),
            (f"b = await ({GET})", BALANCE),
            (f"b = await  (\n    {GET}\n)\nb['currency']", "EUR"),
            (f"b = (\n    await\n    {GET}\n)", BALANCE),
            (f"[await {GET}, await {PLAN}]", [BALANCE, CURRENT_PLAN]),
            (f"'é' + (await {GET})['currency'] + 'ü' + (await {GET})['currency']", "éEURüEUR"),
            ('f"日本 {(await ' + GET + ")['balance']} é\"", "日本 112.50 é"),
            (f"{{'é': (await {GET})['balance'], 'ü': (await {PLAN})['price']}}", {"é": "112.50", "ü": "99.00"}),
            ("[(await billing.wallet_balance.get(account_id=a))['balance'] for a in ids]", ["112.50"] * 2),
            (
                "{a[-1]: (await billing.wallet_balance.get(account_id=a))['balance'] for a in ids}",
                {"1": "112.50", "2": "112.50"},
            ),
            (f"x = 1; await {GET}", BALANCE),
            (f"0 if not await {GET} else (await {PLAN})['price']", "99.00"),
            (f"return await {GET}", BALANCE),
            (f"return (await {GET})['balance']  # done", "112.50"),
        ],
    )
    async def test_await_before_a_billing_call_changes_nothing(self, agent: Agent, source: str, value: Any) -> None:
        assert await agent.value(f"ids = ['{ACCOUNT}', '{OTHER}']\n{ASYNC}{source}") == value

    async def test_an_aliased_function_may_be_awaited(self, agent: Agent) -> None:
        source = f"from billing.wallet_balance import get as read\nb = await read(account_id='{ACCOUNT}')"
        assert await agent.value(source) == BALANCE

    async def test_a_function_held_in_a_variable_may_be_awaited(self, agent: Agent) -> None:
        assert (
            await agent.value(f"read = billing.wallet_balance.get\nb = await read(account_id='{ACCOUNT}')") == BALANCE
        )

    async def test_an_awaited_write_happens_once(self, agent: Agent) -> None:
        host = FakeHost()
        await agent.value(f"done = await {RESUME}", host)
        assert host.calls == [("billing.plan.resume", {"account_id": ACCOUNT}, 1)]

    async def test_an_awaited_call_can_be_caught(self, agent: Agent) -> None:
        host = FakeHost({"billing.wallet_balance.get": NotFound("no such account")})
        source = f"try:\n    await {GET}\nexcept LookupError as e:\n    caught = str(e)\ncaught"
        assert await agent.value(source, host) == "not_found: no such account"


class TestOwnCoroutines:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("await twice(2)", 4),
            ("await twice(await twice(await twice(1)))", 8),
            ("(await twice(3)) ** 2 + await twice(1)", 38),
            ("await twice(\n    # a comment\n    2\n)", 4),
            ("x = [\n    await twice(1), await\n    twice(2),\n]", [2, 4]),
            ("[await twice(x) for x in (1, 2, 3)]", [2, 4, 6]),
            ("'é', await twice('ü'), 'ö', await twice('ä')", ["é", "üü", "ö", "ää"]),
            ("f'é{await twice(1)}ü{await twice(2)}'", "é2ü4"),
            ("f'''é\n{await twice(1)}\n  {await twice(2)}'''", "é\n2\n  4"),
            ("'é' f'{await twice(1)}' \\\n  f'ü{await twice(2)}'", "é2ü4"),
            ("len([await twice(1), 'await twice(1)'])", 2),
            ("async def main():\n    return await twice(21)\nmain()", 42),
            ("async def main():\n    return await twice(21)\nawait main()", 42),
            ("async def main():\n    return await twice(21)\nreturn await main()", 42),
            ("async def main():\n    return await twice(21)\nx = await main()", 42),
            ("import asyncio\nasync def main():\n    return await twice(21)\nasyncio.run(main())", 42),
            ("import asyncio\nx = asyncio.run(twice(21))", 42),
            ("from asyncio import run\nrun(twice(21))", 42),
            (f"import asyncio\nasyncio.run({GET})['balance']", "112.50"),
            ("import asyncio\nawait asyncio.sleep(5)\n1", 1),
            ("class Client:\n    async def get(self):\n        return await twice(4)\nc = Client()\nawait c.get()", 8),
        ],
    )
    async def test_coroutines_mean_what_they_mean_in_python(self, agent: Agent, source: str, value: Any) -> None:
        assert await agent.value(ASYNC + source) == value

    async def test_a_plain_function_that_is_awaited_gives_its_value(self, agent: Agent) -> None:
        assert await agent.value("def one():\n    return 1\nx = await one()") == 1

    async def test_billing_calls_within_a_coroutine_are_made_in_order(self, agent: Agent) -> None:
        host = FakeHost()
        source = f"""
            async def main():
                balance = await {GET}
                plan = await {PLAN}
                return [balance["balance"], plan["price"]]

            main()
        """
        assert await agent.value(dedent(source).strip(), host) == ["112.50", "99.00"]
        assert host.lines == [2, 3]


class TestForgottenAwaits:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("x = twice(21)", 42),
            ("x = twice(21)\nx + 1", 43),
            ("[twice(1), twice(2)]", [2, 4]),
            ("{'a': twice(1)}['a'] + twice(2)", 6),
            ("f'é{twice(1)}'", "é2"),
            ("[twice(i) for i in (1, 2)]", [2, 4]),
            ("async def main():\n    x = twice(4)\n    return x + 1\nx = main()", 9),
            ("async def main():\n    return twice(4)\nmain()", 8),
            ("if __name__ == '__main__':\n    twice(21)", 42),
            ("x = twice(21) if 1 else None", 42),
            ("x = asyncio.create_task(twice(21))\nx", 42),
            ("x = asyncio.gather(twice(1), twice(2))", [2, 4]),
            ("async def main():\n    return asyncio.gather(twice(1))\nx = asyncio.run(main())", [2]),
        ],
    )
    async def test_a_coroutine_for_which_nothing_waits_is_awaited(self, agent: Agent, source: str, value: Any) -> None:
        assert await agent.value(ASYNC + source) == value

    @pytest.mark.parametrize(
        ("source", "output"),
        [
            ("a = say(1)\nprint(0)\nawait a", "0 1"),
            ("a, b = say(1), say(2)\nprint(0)\nawait asyncio.gather(b, a)", "0 2 1"),
            ("tasks = [say(i) for i in (1, 2)]\nprint(0)\nfor t in tasks:\n    await t", "0 1 2"),
            ("tasks = []\ntasks.append(say(1))\nprint(0)\nawait asyncio.gather(*tasks)", "0 1"),
            ("tasks = []\ntasks += [say(1)]\nprint(0)\nawait asyncio.gather(*tasks)", "0 1"),
            ("t = asyncio.create_task(say(1))\nprint(0)\nawait t", "0 1"),
            ("a = say(1)\nprint(0)\nasyncio.run(a)", "0 1"),
            ("f = lambda: say(1)\nprint(0)\nawait f()", "0 1"),
            ("def f():\n    return say(1)\nx = f()\nprint(0)\nawait x", "0 1"),
        ],
    )
    async def test_a_coroutine_that_is_kept_for_later_runs_when_it_is_awaited(
        self, agent: Agent, source: str, output: str
    ) -> None:
        result = await agent.run(f"import asyncio\nasync def say(x):\n    print(x)\n    return x\n{source}")
        assert (result.error, result.output.split()) == (None, output.split())

    async def test_a_task_for_which_nobody_waits_runs(self, agent: Agent) -> None:
        host = FakeHost()
        source = f"import asyncio\nasync def main():\n    await {RESUME}\nasyncio.create_task(main())\nprint('end')"
        await agent.value(source, host)
        assert len(host.calls) == 1

    async def test_a_write_in_a_coroutine_that_is_only_called_happens_once(self, agent: Agent) -> None:
        host = FakeHost()
        await agent.value(f"async def main():\n    return await {RESUME}\nresult = main()\nresult", host)
        assert host.calls == [("billing.plan.resume", {"account_id": ACCOUNT}, 2)]


class TestTasks:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("t = asyncio.create_task(twice(1))\nawait t", 2),
            ("ts = [asyncio.create_task(twice(i)) for i in (1, 2)]\nx = await asyncio.gather(*ts)", [2, 4]),
            (f"x = await asyncio.wait_for({GET}, timeout=5)", BALANCE),
            ("x = await asyncio.wait_for(twice(1), 5)", 2),
            ("x = await asyncio.shield(asyncio.ensure_future(twice(1)))", 2),
            ("[await t for t in asyncio.as_completed([twice(1), twice(2)])]", [2, 4]),
        ],
    )
    async def test_a_task_is_its_coroutine(self, agent: Agent, source: str, value: Any) -> None:
        assert await agent.value(f"import asyncio\n{ASYNC}{source}") == value


class TestForgottenImports:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("str(Decimal('1.10') + 1)", "2.10"),
            ("datetime.now().year", 2026),
            ("datetime.date.today().year", 2026),
            ("(datetime.datetime.now() + datetime.timedelta(days=1)).day", 13),
            ("(date.today() + timedelta(days=1)).isoformat()", "2026-03-13"),
            ("json.loads('[1]')", [1]),
            ("dict(Counter('aab'))", {"a": 2, "b": 1}),
            ("collections.Counter('aa')['a']", 2),
            ("x: Optional[int] = 1", 1),
            ("decimal.Decimal('1') == 1", True),
            ("f'{math.floor(1.5)}'", "1"),
            ("x = await asyncio.gather(twice(1))", [2]),
            ("Decimal = float\nDecimal('1.5')", 1.5),
            ("def date(x):\n    return x\ndate(1)", 1),
            ("def f(json):\n    return json\nf(1)", 1),
        ],
    )
    async def test_what_is_used_without_an_import_is_there(self, agent: Agent, source: str, value: Any) -> None:
        assert await agent.value(ASYNC + source) == value

    async def test_a_script_that_may_write_is_type_checked_with_what_it_forgot(self, agent: Agent) -> None:
        source = f"{RESUME}\nx = str(Decimal('1') + 1), timedelta(days=1).days"
        assert await agent.value(source) == ["2", 1]

    async def test_a_script_that_forgets_nothing_needs_nothing(self) -> None:
        script = prepare("from decimal import Decimal\nDecimal(1)", REGISTRY, max_bytes=1000)
        assert script.prelude == "import billing\n"

    async def test_the_modules_that_are_said_to_be_there_are_all_there_are(self, agent: Agent) -> None:
        tried = sorted(sys.stdlib_module_names - {"__future__"})
        lines = [
            f"try:\n    import {name}\n    found.append('{name}')\nexcept ImportError:\n    pass" for name in tried
        ]
        found = await agent.value("\n".join(["found = []", *lines, "found"]))
        assert set(found) == IMPORTABLE - {"__future__", "billing"}


class TestGather:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            (f"a, b = await asyncio.gather({GET}, {PLAN})", [BALANCE, CURRENT_PLAN]),
            ("x = await asyncio.gather(*[billing.wallet_balance.get(account_id=i) for i in ids])", [BALANCE] * 2),
            ("x = await asyncio.gather(*(billing.wallet_balance.get(account_id=i) for i in ids))", [BALANCE] * 2),
            ("tasks = [twice(i) for i in range(3)]\nx = await asyncio.gather(*tasks)", [0, 2, 4]),
            (f"x = await asyncio.gather(twice(1), {GET}, twice(2))", [2, BALANCE, 4]),
            ("x = await asyncio.gather()", []),
            ("x = await asyncio.gather(twice(1), twice(2), return_exceptions=True)", [2, 4]),
            ("async def main():\n    return await asyncio.gather(twice(1), twice(2))\nasyncio.run(main())", [2, 4]),
            ("x = (await asyncio.gather(\n    twice(1),\n    twice(2),\n))[1]", 4),
        ],
    )
    async def test_gather_gives_all_values_in_order(self, agent: Agent, source: str, value: Any) -> None:
        assert await agent.value(f"import asyncio\nids = ['{ACCOUNT}', '{OTHER}']\n{ASYNC}{source}") == value

    async def test_gather_is_known_under_other_names(self, agent: Agent) -> None:
        source = f"from asyncio import gather as together\nimport asyncio as aio\nx = await together({GET})\n"
        assert await agent.value(f"{source}y = await aio.gather({GET})\nx == y") is True

    async def test_an_error_in_gather_can_be_caught(self, agent: Agent) -> None:
        source = """
            import asyncio
            async def fails():
                raise ValueError("no")
            try:
                await asyncio.gather(fails())
            except ValueError as e:
                said = str(e)
            said
        """
        assert await agent.value(dedent(source)) == "no"


class TestNext:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("next(x for x in xs)", 1),
            ("next((x for x in xs))", 1),
            ("next((x for x in xs if x > 9), 'none')", "none"),
            ("next((x for x in xs if x > 1), None)", 2),
            ("'é', next(\n    x\n    for x in xs\n)", ["é", 1]),
            ("next(next(y for y in (x, 0)) for x in xs)", 1),
            ("f'é {next(x for x in xs)}'", "é 1"),
            ("[next((y for y in xs if y > x), None) for x in xs]", [2, 3, None]),
            ("await twice(next(await twice(x) for x in xs))", 4),
            ("next(iter(xs))", 1),
            ("g = (x for x in xs)\n[next(g), next(g), next(g, None), next(g, None)]", [1, 2, 3, None]),
            ("g = (\n    x * 2 for x in xs)\nnext(g)\nsum(g)", 10),
            ("g = (x for x in xs)\nsum(g)", 6),
        ],
    )
    async def test_next_takes_the_first_of_a_generator_expression(self, agent: Agent, source: str, value: Any) -> None:
        assert await agent.value(f"xs = [1, 2, 3]\n{ASYNC}{source}") == value


class TestTheValue:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("40 + 2", 42),
            ("40 + 2  # a comment", 42),
            ("(\n    40\n    + 2\n)", 42),
            ("'é', 'ü'", ["é", "ü"]),
            ("x = 42", 42),
            ("x = 42;", 42),
            ("x = 42  # no newline follows", 42),
            ("x = 42\n\n# the end\n", 42),
            ("a, b = 1, 2", [1, 2]),
            ("(a, b) = [1, 2]", [1, 2]),
            ("x: int = 42", 42),
            ("x = 40\nx += 2", 42),
            ("(x := 42)", 42),
            ("return 42", 42),
            ("return 40, 2", [40, 2]),
            ("return (\n    42\n)", 42),
            ("return(42)", 42),
            ("return {'é': 1}  # é", {"é": 1}),
            ("x = 1; return x", 1),
            ("return", None),
            ("return 42\n\n# the end\n", 42),
            ("if 1:\n    return 42\nreturn 0", 42),
            ("for i in range(9):\n    if i == 4:\n        return i", 4),
            ("def f():\n    return 42\nf()", 42),
            ("if 1:\n    40 + 2", 42),
            ("if 0:\n    1\nelif 1:\n    x = 42\nelse:\n    3", 42),
            ("if 0:\n    1", None),
            ("if 1: x = 40; x += 2", 42),
            ("if 1:\n    a, b = 1, 2  # both\n", [1, 2]),
            ("if 1:\n    (\n        40\n        + 2\n    )", 42),
            ("try:\n    x = [][0]\nexcept IndexError as e:\n    str(e)", "list index out of range"),
            ("try:\n    x = 1\nexcept ValueError:\n    2\nelse:\n    42", 42),
            ("said = []\ntry:\n    42\nfinally:\n    said.append(1)", 42),
            ("match 5:\n    case 5:\n        'é'\n    case _:\n        0", "é"),
            (f"{CONTEXT}with Context():\n    42", 42),
            ("for x in (1, 2):\n    x", None),
            ("if 1:\n    print('x')", None),
            ("if 1:\n    return 42", 42),
            ("if 1:\n    pass\nelse:\n    1", None),
            ("async def f():\n    return 42\nif __name__ == '__main__':\n    await f()", 42),
            ("async def f():\n    return 42\nif __name__ == '__main__':\n    x = await f()", 42),
            ("print('x')", None),
            ("d = {}\nd['a'] = 1", None),
            ("'''only\ntext'''", "only\ntext"),
        ],
    )
    async def test_the_value_is_what_the_script_ends_with(self, agent: Agent, source: str, value: Any) -> None:
        assert await agent.value(source) == value

    async def test_a_final_assignment_is_evaluated_once(self, agent: Agent) -> None:
        host = FakeHost()
        await agent.value(f"done = {RESUME}", host)
        assert len(host.calls) == 1


class TestLines:
    @pytest.mark.parametrize(
        "source",
        [
            "import asyncio\nx = await asyncio.gather(\n    f(1),\n    *[f(2)],\n)\ny = 1",
            "return (\n    1\n)",
            "async def main():\n    return (await\n        f(1))\nmain()",
            "x = f'''\n{await f(1)}\n'''\nreturn x",
        ],
    )
    async def test_mending_adds_no_line_before_the_end(self, source: str) -> None:
        script = prepare(source, REGISTRY, max_bytes=1000)
        assert script.code != source
        assert script.code.count("\n") - source.count("\n") in (0, 1)

    @pytest.mark.parametrize(
        ("source", "line"),
        [
            ("import asyncio\nx = await asyncio.gather(\n    twice(1),\n)\n1/0", 7),
            ("x = await (\n    twice(1)\n)\n\n1/0", 7),
            ("async def main():\n    await twice(1)\n    1/0\n\nmain()", 5),
            ("async def main():\n    await twice(1)\n    1/0\n\nimport asyncio\nasyncio.run(main())", 5),
            ("x = [await twice(i) for i in (1, 2)]\nfor i in x:\n    y = await twice(i)\n    1/0", 6),
            ("'é'; await twice('ü'); 1/0", 3),
            ("await twice(1)\nreturn (\n    1/0\n)", 5),
            ("x = f'''\n\n{await twice(1)}\n'''; 1/0", 6),
            ("await twice(1)\n\nx = 1/0", 5),
            ("c = twice(1)\nawait c\n\nawait c", 6),
        ],
    )
    async def test_an_error_after_mending_has_the_line_of_the_script(
        self, agent: Agent, source: str, line: int
    ) -> None:
        whole = ASYNC + source
        code, got, text = await agent.failure(whole)
        assert (code, got) == ("script_error", line)
        assert text == whole.splitlines()[line - 1].strip()

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    async def test_lines_may_end_as_on_any_system(self, agent: Agent, end: str) -> None:
        host = FakeHost()
        source = end.join([ASYNC, "x = 'é'", f"y = await {GET}", "z = await twice(x)", "return y, z"])
        assert await agent.value(source, host) == [BALANCE, "éé"]
        assert host.lines == [5]

    async def test_calls_are_journaled_with_the_lines_of_the_script(self, agent: Agent) -> None:
        host = FakeHost()
        await agent.value(
            f"import asyncio\n'é'; x = await {GET}\ny = await asyncio.gather(\n    {GET},\n    {PLAN},\n)\n"
            f"async def f():\n    return (\n        await {GET}\n    )\nz = await f()",
            host,
        )
        assert host.lines == [2, 4, 5, 9]
