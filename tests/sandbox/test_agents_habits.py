"""Scripts as agents write them: they run, they write once, and no honest one is stopped."""

from __future__ import annotations

import asyncio
import json
from textwrap import dedent
from typing import Any

import pytest

from billing_mcp.kernel.limits import SandboxLimits
from billing_mcp.operations import REGISTRY
from billing_mcp.sandbox.pool import Sandbox
from billing_mcp.sandbox.shape import OMITTED, to_json_value
from billing_mcp.sandbox.source import RejectedError, prepare
from tests.sandbox.agent import ACCOUNT, OPERATION, Agent, FakeHost

pytestmark = pytest.mark.asyncio(loop_scope="module")
GET = f"billing.wallet_balance.get(account_id='{ACCOUNT}')"
RESUME = f"billing.plan.resume(account_id='{ACCOUNT}')"
CHANGE = f"billing.plan.change(account_id='{ACCOUNT}', plan_id="


class TestAwait:
    async def test_an_awaited_call_stays_in_its_own_block(self, agent: Agent) -> None:
        host = FakeHost()
        await agent.value(f"for x in [1, 2]:\n      print(x)\nawait {RESUME}\nprint('end')", host)
        assert len(host.calls) == 1
        host = FakeHost()
        await agent.value(f"if 0:\n  if 0:\n    if 0:\n      print(1)\nawait {RESUME}\nprint('end')", host)
        assert len(host.calls) == 1

    @pytest.mark.parametrize(
        "source",
        [
            f"await {GET}",
            f"x = 1\nawait {GET}",
            f"await {GET}; 1",
            f"if 1:\n    x = 1\n    await {GET}",
            f"await (\n    {GET}\n)",
            f"def f():\n    pass\nawait({GET})",
            f"async def main():\n    await {GET}\n    x = 1\n    return x\nmain()",
        ],
    )
    async def test_await_may_begin_a_statement(self, agent: Agent, source: str) -> None:
        host = FakeHost()
        await agent.value(source, host)
        assert len(host.calls) == 1

    @pytest.mark.parametrize(
        "source",
        [
            f"async def main():\n    return await {RESUME}\nawait main()",
            f"async def main():\n    return await {RESUME}\nx = await main()",
            f"import asyncio\nasync def main():\n    return await {RESUME}\nasyncio.run(main())",
            f"import asyncio\nx = (await asyncio.gather({GET}, {RESUME}))[1]",
            f"import asyncio\nasync def one(a):\n    return await billing.plan.resume(account_id=a)\nx = (await asyncio.gather(*[one('{ACCOUNT}')]))[0]",
            f"resume = billing.plan.resume\nx = await resume(account_id='{ACCOUNT}')",
        ],
    )
    async def test_a_script_with_coroutines_may_write(self, agent: Agent, source: str) -> None:
        assert await agent.value(source) == OPERATION

    async def test_gather_returns_exceptions_when_asked_to(self, agent: Agent) -> None:
        source = """
            import asyncio
            async def one(x):
                return 1 / x
            x = await asyncio.gather(one(1), one(0), return_exceptions=True)
            [type(v).__name__ for v in x]
        """
        assert await agent.value(dedent(source)) == ["float", "ZeroDivisionError"]

    async def test_no_name_of_ours_is_taken_from_the_script(self, agent: Agent) -> None:
        source = "import asyncio\ndef _gather(x):\n    return 1\ndef _settled(x):\n    return 2\nasync def f():\n    return 3\nawait asyncio.gather(f())"
        assert await agent.value(source) == [3]


class TestTypes:
    @pytest.mark.parametrize(
        "before",
        [
            "def f(a: str) -> dict:\n    return billing.wallet_balance.get(account_id=a)\nf('" + ACCOUNT + "')",
            f"rows: list[dict] = []\nrows.append({GET})",
            f"b = {GET}\nb['note'] = 'x'",
            f"b = {GET}\nfor k, v in b.items():\n    if k != 'currency':\n        float(v)",
            f"b = {GET}\nfor k in b:\n    print(b[k])",
            f"plans = billing.plans.list(account_id='{ACCOUNT}')['items']\nt = next((p for p in plans if p['plan_id'] == 'smtp_per_proxy'), None)\nprint(t['price'])",
            f"best = None\nfor p in billing.plans.list(account_id='{ACCOUNT}')['items']:\n    if best is None or float(p['price']) < float(best['price']):\n        best = p\nprint(best['plan_id'])",
            f"done = {RESUME}\nprint(done['effective_at'][:10])",
            f"done = {RESUME}\nprint(done['effective_at'] + '!')",
            f"arguments = dict(account_id='{ACCOUNT}', cancel_immediately=True)\nbilling.plan.cancel(**arguments)",
            "x = hasattr({}, 'get') and format(1.5, '.2f')",
            "try:\n    import numpy\nexcept ImportError:\n    numpy = None",
            "from __future__ import annotations",
            f"if {GET}:\n    print('yes')",
            "def f(x: int = None):\n    return x\nf()",
            "class A:\n    pass\na = A()\na.x = 1",
            "from billing import plan\nfor plan in [1]:\n    pass\nimport billing",
        ],
    )
    async def test_a_correct_script_is_never_stopped(self, agent: Agent, before: str) -> None:
        result = await agent.run(f"{before}\n{RESUME}")
        assert result.error is None, (result.error, result.line)

    @pytest.mark.parametrize(
        "source",
        [
            f"def switch(account_id: str, plan_id: str):\n    return billing.plan.change(account_id=account_id, plan_id=plan_id)\nswitch('{ACCOUNT}', 'smtp_per_proxy')",
            f"for account, plan in [('{ACCOUNT}', 'smtp_per_proxy')]:\n    x = billing.plan.change(account_id=account, plan_id=plan)\nx",
            f"current = billing.current_plan.get(account_id='{ACCOUNT}')\n{CHANGE}current['plan_id'])",
            f"{CHANGE}'SMTP_PER_PROXY'.lower())",
            f"from datetime import date\n{CHANGE}'smtp_per_proxy', effective_date=date(2026, 5, 1))",
        ],
    )
    async def test_a_plan_may_be_chosen_in_any_correct_way(self, agent: Agent, source: str) -> None:
        assert await agent.value(source) == OPERATION

    async def test_a_module_that_does_not_exist_is_named(self, agent: Agent) -> None:
        result = await agent.run(f"x = 1\nimport uuid\n{RESUME}")
        assert result.error is not None
        assert (result.line, "uuid" in result.error.message) == (2, True)

    async def test_the_items_of_a_list_have_their_type(self, agent: Agent) -> None:
        error = await agent.error(f"p = billing.plans.list(account_id='{ACCOUNT}')['items'][0]\n{RESUME}\np.price")
        assert error.code == "type_error"


class TestLimits:
    @pytest.mark.parametrize(
        "source",
        [
            "raise ValueError('the account is in suspension')",
            "raise ValueError('feed time limit exceeded')",
            "raise TypeError('memory limit exceeded')",
        ],
    )
    async def test_an_own_error_is_never_taken_for_a_limit(self, agent: Agent, source: str) -> None:
        assert (await agent.error(source)).code == "script_error"

    @pytest.mark.parametrize("source", ["list(range(1_000_000))", "{i: [i] for i in range(200_000)}"])
    async def test_a_result_too_large_for_the_memory_is_a_memory_limit(self, agent: Agent, source: str) -> None:
        assert (await agent.error(source)).code == "memory_limit"

    async def test_a_failed_script_keeps_its_error_while_all_workers_are_busy(self) -> None:
        sandbox = Sandbox(SandboxLimits(workers=1, wall_s=9, execution_s=30))  # waits 3 s for a worker
        await sandbox.start()
        try:
            agent = Agent(sandbox)
            failing = asyncio.create_task(agent.run("sum(range(100_000))\n1/0"))
            busy = asyncio.create_task(agent.run("while True: pass"))
            failed = await failing
            assert not busy.done()
            busy.cancel()
        finally:
            await sandbox.close()
        assert failed.error is not None
        assert failed.error.code == "script_error"


class TestShape:
    async def test_a_value_that_shares_its_parts_is_bounded(self) -> None:
        value: Any = 0
        for _ in range(30):
            value = [value, value]
        assert OMITTED in json.dumps(to_json_value(value))

    async def test_a_positional_call_with_thousands_of_arguments_is_answered_shortly(self) -> None:
        source = f"billing.plans.list(1, {', '.join(f'a{i}=1' for i in range(300))})"
        with pytest.raises(RejectedError) as caught:
            prepare(source, REGISTRY, max_bytes=65536)
        assert len(caught.value.error.hint or "") < 1000

    async def test_the_source_of_a_line_is_python_s_line(self, agent: Agent) -> None:
        assert await agent.failure("x = 'a\u2028b\x0c'\n1/0") == ("script_error", 2, "1/0")

    async def test_an_object_of_the_sandbox_leaves_without_names_of_ours(self, agent: Agent) -> None:
        value = await agent.value(
            "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n[P(1), print, billing]"
        )
        assert "Monty" not in json.dumps(value)
        assert "External" not in json.dumps(value)

    async def test_keys_that_look_alike_lose_nothing(self) -> None:
        assert len(to_json_value({1: "a", "1": "b"})) == 2

    async def test_what_the_sandbox_cannot_run_is_told_without_names_of_ours(self, agent: Agent) -> None:
        error = await agent.error("class A(Exception):\n    pass")
        assert "monty" not in str(error)
