"""What one script may use: time, memory, output, calls. Whatever it does, the next script works."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from pydantic_monty import AsyncMontySession

from billing_mcp.domain.errors import Conflict
from billing_mcp.kernel.limits import Limits, SandboxLimits
from billing_mcp.kernel.programs import Host
from billing_mcp.sandbox.pool import Sandbox
from tests.sandbox.agent import ACCOUNT, BALANCE, Agent, FakeHost

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET = f"billing.wallet_balance.get(account_id='{ACCOUNT}')"
RESUME = f"billing.plan.resume(account_id='{ACCOUNT}')"
LIMITS = SandboxLimits(
    execution_s=0.2, memory_bytes=8 * 2**20, code_bytes=2000, output_bytes=1000, result_chars=500, workers=1
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bounded() -> AsyncIterator[Agent]:
    """An agent with little of everything, and one worker."""
    sandbox = Sandbox(LIMITS)
    await sandbox.start()
    yield Agent(sandbox)
    await sandbox.close()


@pytest_asyncio.fixture(loop_scope="module")
async def next_works(bounded: Agent) -> AsyncIterator[None]:
    """After the test, the next script works as if nothing had been."""
    yield
    assert await bounded.value(GET) == BALANCE


harmless = pytest.mark.usefixtures("next_works")


@harmless
class TestTime:
    @pytest.mark.parametrize(
        "source",
        [
            "while True: pass",
            "try:\n    while True: pass\nexcept BaseException:\n    pass",
            "while True:\n    try:\n        while True: pass\n    except TimeoutError:\n        pass",
            "import time\nwhile True: time.sleep(60)",
            "sum(range(10**12))",
        ],
    )
    async def test_a_script_that_computes_too_long_is_ended(self, bounded: Agent, source: str) -> None:
        error = await bounded.error(source)
        assert (error.code, error.message) == ("time_limit", "a script may compute for 0.2 s")

    async def test_after_a_change_it_is_ended_sooner(self, bounded: Agent) -> None:
        host = FakeHost(limits=Limits(sandbox_after_write_s=0.05))
        result = await bounded.run(f"x = 1\n{RESUME}\nwhile True: pass", host)
        assert result.error is not None
        assert (result.error.code, result.line) == ("write_time_limit", 2)
        assert result.error.message == "after its first change a script may compute for 0.05 s"

    async def test_the_time_after_a_change_is_one_budget_for_all_turns(self, bounded: Agent) -> None:
        host = FakeHost(limits=Limits(sandbox_after_write_s=0.05))
        source = f"for i in range(10_000):\n    {RESUME}\n    sum(range(100_000))"
        assert (await bounded.error(source, host)).code == "write_time_limit"
        assert 0 < len(host.calls) < 10_000

    async def test_before_a_change_it_has_all_its_time(self, bounded: Agent) -> None:
        host = FakeHost(limits=Limits(sandbox_after_write_s=0.0001))
        assert await bounded.value(f"for i in range(50):\n    {GET}\n{GET}", host) == BALANCE


@harmless
class TestMemory:
    @pytest.mark.parametrize(
        "source",
        [
            "'x' * 10**9",
            "[0] * 10**9",
            "x = []\nwhile True: x.append('x' * 1000)",
            "x = 'x'\nfor _ in range(60): x += x",
            "10 ** 10**9",
            "try:\n    x = 'x' * 10**9\nexcept MemoryError:\n    x = 1",
        ],
    )
    async def test_a_script_that_takes_too_much_memory_is_ended(self, bounded: Agent, source: str) -> None:
        error = await bounded.error(source)
        assert (error.code, error.message) == ("memory_limit", "a script may use 8 MB of memory")


@harmless
class TestOutput:
    @pytest.mark.parametrize(
        "source",
        [
            "print('x' * 2000)",
            "while True: print('é')",
            "try:\n    print('x' * 2000)\nexcept BaseException:\n    pass",
        ],
    )
    async def test_a_script_that_prints_too_much_is_ended(self, bounded: Agent, source: str) -> None:
        result = await bounded.run(source)
        assert result.error is not None
        assert (result.error.code, result.error.message) == ("output_limit", "a script may print 1000 bytes")
        assert len(result.output.encode()) <= 1000

    async def test_it_may_print_up_to_the_limit(self, bounded: Agent) -> None:
        result = await bounded.run("print('x' * 999)")
        assert (result.error, result.output) == (None, "x" * 999 + "\n")


@harmless
class TestCalls:
    @pytest.mark.parametrize(
        "source",
        [
            f"\nwhile True:\n    {GET}",
            f"\nwhile True:\n  try:\n    while True:\n      {GET}\n  except BaseException:\n    pass",
            f"\nfor i in range(9):\n    x = [{RESUME}]",
        ],
    )
    async def test_a_script_cannot_catch_the_limit_of_its_calls(self, bounded: Agent, source: str) -> None:
        host = FakeHost(max_calls=5)
        result = await bounded.run(source, host)
        assert result.error is not None
        assert (result.error.code, result.error.message) == ("call_limit", "a script may make 5 calls")
        assert result.source is not None
        assert "billing." in result.source
        assert len(host.calls) == 5

    @pytest.mark.parametrize("call", ["billing.help()", "import os\n        os.getenv('HOME')", "nowhere", "nowhere()"])
    async def test_what_the_host_does_not_count_is_bounded_too(self, bounded: Agent, call: str) -> None:
        source = f"while True:\n    try:\n        {call}\n    except Exception:\n        pass"
        assert (await bounded.error(source)).code in ("call_limit", "time_limit")


@harmless
class TestSize:
    async def test_a_script_that_is_too_long_is_refused(self, bounded: Agent) -> None:
        host = FakeHost()
        assert (await bounded.failure(f"{GET}  # {'x' * 2000}", host))[0] == "script_too_long"
        assert host.calls == []

    async def test_a_long_result_is_cut(self, bounded: Agent) -> None:
        assert await bounded.value("['x' * 1000, 1]") == [{"_omitted": "a string of 1000 characters"}, 1]


@dataclass
class _Killer(FakeHost):
    """A host that kills the worker while it waits for an answer."""

    sandbox: WatchedSandbox | None = None

    async def call(self, name: str, arguments: dict[str, Any], *, line: int | None = None) -> Any:
        assert self.sandbox is not None
        assert self.sandbox.worker_pid is not None
        os.kill(self.sandbox.worker_pid, signal.SIGKILL)
        return await super().call(name, arguments, line=line)


class WatchedSandbox(Sandbox):
    """A pool that remembers the worker of its last session."""

    worker_pid: int | None = None

    async def open_session(self, stack: AsyncExitStack, host: Host, *, type_check: bool) -> AsyncMontySession:
        session = await super().open_session(stack, host, type_check=type_check)
        self.worker_pid = session.worker_pid
        return session


@pytest_asyncio.fixture(loop_scope="module")
async def watched() -> AsyncIterator[WatchedSandbox]:
    sandbox = WatchedSandbox(SandboxLimits(workers=1))
    await sandbox.start()
    yield sandbox
    await sandbox.close()


class TestTheWorkers:
    async def test_a_worker_that_dies_ends_its_script_and_no_other(self, watched: WatchedSandbox) -> None:
        agent = Agent(watched)
        error = await agent.error(f"print('x')\n{GET}\n1", _Killer(sandbox=watched))
        assert (error.code, error.message) == ("sandbox_crashed", "the script broke its sandbox and was stopped")
        assert await agent.value(GET) == BALANCE

    async def test_a_deep_recursion_hurts_no_one(self, watched: WatchedSandbox) -> None:
        agent = Agent(watched)
        source = "def f(x):\n    return [f([x])]\nf(1)"
        assert (await agent.failure(source))[:2] == ("script_error", 2)
        assert await agent.value(GET) == BALANCE

    async def test_with_all_workers_busy_a_script_is_refused(self) -> None:
        sandbox = Sandbox(SandboxLimits(workers=1, wall_s=0.1))
        await sandbox.start()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(sandbox.close)
            await sandbox.open_session(stack, FakeHost(), type_check=False)
            with pytest.raises(Conflict) as caught:
                await Agent(sandbox).run(GET)
        assert caught.value.code == "server_busy"


async def test_a_worker_may_be_given_one_script_only() -> None:
    for limit, processes in ((1, 3), (None, 1)):
        sandbox = Sandbox(SandboxLimits(workers=1, scripts_per_worker=limit))
        await sandbox.start()
        seen = set()
        for _ in range(3):
            async with AsyncExitStack() as stack:
                session = await sandbox.open_session(stack, FakeHost(), type_check=False)
                await session.feed_run("1")
                seen.add(session.worker_pid)
        await sandbox.close()
        assert len(seen) == processes
