"""The jail of the workers: what native code in one could do, that nobody notices it, and what is said without it."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic_monty import AsyncMontySession, MontyError

from billing_mcp.domain.errors import Unavailable
from billing_mcp.kernel.limits import JailMode, SandboxLimits
from billing_mcp.sandbox.jail import PARTS, build
from billing_mcp.sandbox.pool import Sandbox
from tests.sandbox.agent import FakeHost

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is a jail on Linux only")
in_module_loop = pytest.mark.asyncio(loop_scope="module")

MEMORY = 64 * 2**20


def lacking() -> dict[str, str]:
    """What this kernel does not offer."""
    jail = build(JailMode.AUTO, memory_bytes=MEMORY)
    jail.close()
    return dict(jail.report.allowed)


LACKING = lacking() if sys.platform == "linux" else {}
whole = pytest.mark.skipif(bool(LACKING), reason=f"this kernel lacks {LACKING}")

NEEDED = {"a thread", "the binary"}
NO_LANDLOCK = "landlock_create_ruleset=ENOSYS"
NO_SECCOMP = ("seccomp=EPERM", "prctl=EPERM")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox with two workers at most, jailed as far as this kernel goes."""
    sandbox = Sandbox(SandboxLimits(workers=2))
    await sandbox.start()
    yield sandbox
    await sandbox.close()


async def session_of(sandbox: Sandbox, stack: AsyncExitStack) -> tuple[AsyncMontySession, int]:
    """A session and the process id of its worker."""
    session = await sandbox.open_session(stack, FakeHost(), type_check=False)
    assert await session.feed_run("1 + 1") == 2
    assert session.worker_pid is not None
    return session, session.worker_pid


def run(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a module of the tests. Through pipes: a jailed process writes to no file."""
    command = [sys.executable, "-m", f"tests.sandbox.{module}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def visible(pid: int) -> dict[str, int]:
    """What /proc shows of a worker's jail: `NoNewPrivs`, `Seccomp` (2: filtered), `Seccomp_filters`. Not its files."""
    status = Path(f"/proc/{pid}/status").read_text()
    rows = re.findall(r"^(NoNewPrivs|Seccomp\w*):\s+(\d+)$", status, re.MULTILINE)
    return {name: int(value) for name, value in rows}


def ended(pid: int) -> bool:
    """Whether a process has ended; the pool may reap it only when it next starts or loses a worker."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def computed(pid: int) -> int:
    """How long a process has computed, in ticks of the kernel."""
    return sum(int(ticks) for ticks in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])


def inheritance(pid: int) -> tuple[bytes, list[str], list[bytes]]:
    """The environment, open descriptors and arguments of a process."""
    process = Path(f"/proc/{pid}")
    arguments = (process / "cmdline").read_bytes().split(b"\0")
    return (process / "environ").read_bytes(), sorted(path.name for path in (process / "fd").iterdir()), arguments[1:-1]


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds, for 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_what_this_kernel_offers_is_used() -> None:
    """Asked of the kernel itself, so that a jail that stopped to work is not taken for a kernel without one."""
    libc, create_ruleset, version_flag = ctypes.CDLL(None), 444, 1
    if libc.syscall(create_ruleset, None, 0, version_flag) > 0:
        assert "files" not in LACKING
    if "Seccomp:\t0" in Path("/proc/self/status").read_text():
        assert not LACKING.keys() & {"network", "processes", "programs"}
    assert not LACKING.keys() & {"limits", "privileges", "orphans"}


class TestNativeCodeInAWorker:
    @whole
    def test_can_do_nothing_but_compute(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("kept")
        prisoner = run("prisoner", tmp_path)
        outcomes = json.loads(prisoner.stdout)
        assert {name for name, error in outcomes.items() if not error} == NEEDED
        assert set(outcomes.values()) == {"", "EACCES", "ENOSYS", "ENOMEM"}
        assert [path.name for path in tmp_path.iterdir()] == ["secret"]
        assert (tmp_path / "secret").read_text() == "kept"

    @whole
    def test_is_killed_when_it_runs_a_program(self, tmp_path: Path) -> None:
        assert run("prisoner", tmp_path).returncode == -signal.SIGSYS

    @whole
    def test_reaches_no_file_by_landlock_alone(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("kept")
        prisoner = run("prisoner", tmp_path, "files")
        outcomes = json.loads(prisoner.stdout)
        harmless = {"file in memory", "take the server's descriptors", "outlive the server"}
        assert {name for name, error in outcomes.items() if not error} <= NEEDED | harmless
        assert (tmp_path / "secret").read_text() == "kept"
        assert "PermissionError" in prisoner.stderr  # /bin/sh


@in_module_loop
class TestAWorker:
    @whole
    async def test_is_in_the_jail(self, sandbox: Sandbox) -> None:
        assert (sandbox.jail.refused, sandbox.jail.allowed) == (PARTS, {})
        async with AsyncExitStack() as stack:
            _, pid = await session_of(sandbox, stack)
            seen, own = visible(pid), visible(os.getpid())
            assert (seen["NoNewPrivs"], seen["Seccomp"]) == (1, 2)
            assert seen["Seccomp_filters"] == own["Seccomp_filters"] + 1
            assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
            assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (16, 16)
            assert resource.prlimit(pid, resource.RLIMIT_DATA)[1] > 2 * MEMORY

    async def test_inherits_nothing(self, sandbox: Sandbox, tmp_path: Path) -> None:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        os.set_inheritable(descriptor, True)
        async with AsyncExitStack() as stack:
            sessions = [await session_of(sandbox, stack) for _ in range(2)]  # one of them starts now
            for _, pid in sessions:
                assert inheritance(pid) == (b"", ["0", "1", "2"], [b"subprocess"])
        os.close(descriptor)

    async def test_that_is_killed_is_replaced(self, sandbox: Sandbox) -> None:
        async with AsyncExitStack() as stack:
            session, killed = await session_of(sandbox, stack)
            os.kill(killed, signal.SIGKILL)
            with pytest.raises(MontyError):
                await session.feed_run("1")
        async with AsyncExitStack() as stack:
            _, pid = await session_of(sandbox, stack)
            assert pid != killed
        await eventually(lambda: ended(killed))

    async def test_is_gone_when_its_caller_goes_away(self, sandbox: Sandbox) -> None:
        async with AsyncExitStack() as stack:
            session, pid = await session_of(sandbox, stack)
            before = computed(pid)
            turn = asyncio.ensure_future(session.feed_run("while True: pass"))
            await eventually(lambda: computed(pid) > before)  # sooner it might not be sent, and its worker be kept
            turn.cancel()
            with pytest.raises(asyncio.CancelledError):
                await turn
        await eventually(lambda: ended(pid))


async def test_workers_end_with_a_server_that_is_killed() -> None:
    command = [sys.executable, "-m", "tests.sandbox.busy_server"]
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    pids = [int(word) for word in (await server.stdout.readline()).split()]
    assert [ended(pid) for pid in pids] == [False, False]
    server.kill()
    await server.communicate()
    await eventually(lambda: all(ended(pid) for pid in pids))


class TestALesserKernel:
    @pytest.mark.parametrize(
        ("refusals", "allowed"),
        [
            ([], set()),
            ([NO_LANDLOCK], {"files"}),
            (["landlock_create_ruleset=EOPNOTSUPP"], {"files"}),
            (["landlock_restrict_self=EPERM"], {"files"}),
            (NO_SECCOMP, {"network", "processes"}),
            ([NO_LANDLOCK, *NO_SECCOMP], {"files", "network", "processes", "signals", "programs"}),
            (["memfd_create=EPERM"], set(PARTS)),
        ],
    )
    @whole
    def test_runs_scripts_and_says_what_is_not_refused(self, refusals: list[str], allowed: set[str]) -> None:
        answer: dict[str, Any] = json.loads(run("lesser_kernel", "auto", *refusals).stdout)
        assert answer["value"] == 42
        assert set(answer["allowed"]) == allowed
        assert all(answer["allowed"].values())
        assert set(answer["refused"]) == set(PARTS) - allowed

    @pytest.mark.parametrize("refusals", [[NO_LANDLOCK], ["landlock_restrict_self=EPERM"], NO_SECCOMP])
    def test_starts_no_sandbox_when_the_jail_is_required(self, refusals: list[str]) -> None:
        assert json.loads(run("lesser_kernel", "require", *refusals).stdout)["code"] == "jail_unavailable"

    async def test_of_another_system_has_no_jail(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        jail = build(JailMode.AUTO, memory_bytes=MEMORY)
        assert (jail.binary_path, jail.report.refused) == (None, ())
        assert set(jail.report.allowed.values()) == {"there is none on darwin"}
        with pytest.raises(Unavailable, match="jail_unavailable"):
            await Sandbox(SandboxLimits(), JailMode.REQUIRE).start()


def test_a_jail_can_be_switched_off() -> None:
    jail = build(JailMode.OFF, memory_bytes=MEMORY)
    assert (jail.binary_path, set(jail.report.allowed.values())) == (None, {"it is switched off"})
