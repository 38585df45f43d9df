"""Owns the jail of the workers: what the kernel refuses them, whatever should come to run in them.

A jail is built here once for a server, from `walls.py`; `launch.py` puts it on in each worker, which then
becomes the sandbox. What is in force is not assumed but tried, by a process that is started the same way.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_monty._binary import find_monty_binary

from billing_mcp.kernel.limits import JailMode

if sys.platform == "linux":
    from billing_mcp.sandbox import launch, walls

PARTS = ("limits", "privileges", "orphans", "files", "network", "processes", "signals", "programs")
"""Memory, cores, descriptors; setuid; outliving the server; opening; sockets; fork; kill; exec."""

_BY_FILTER = {"network", "processes", "signals", "programs"}
_TRY_S = 20.0
_SHEBANG_BYTES = 127
_MFD_EXEC = 0x10


@dataclass(frozen=True, slots=True)
class JailReport:
    """What a worker is refused, as a process in the same jail has tried; and why it is allowed the rest."""

    refused: tuple[str, ...]
    allowed: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Jail:
    """A jail, kept while workers start. The pool starts `binary_path`; None: the sandbox itself, unjailed."""

    report: JailReport
    binary_path: str | None = None
    ruleset: Any = None
    launcher: int = -1

    def close(self) -> None:
        """Let no more workers start in it; those there are stay."""
        if self.ruleset is not None:
            self.ruleset.close()
        if self.launcher >= 0:
            os.close(self.launcher)
        self.binary_path, self.ruleset, self.launcher = None, None, -1


def build(mode: JailMode, *, memory_bytes: int) -> Jail:
    """The jail for workers that may use that memory, tried out. What the kernel lacks is left out and reported."""
    if mode is JailMode.OFF:
        return _none("it is switched off")
    if sys.platform != "linux":
        return _none(f"there is none on {sys.platform}")
    binary, absent = find_monty_binary(), dict[str, str]()
    ruleset = program = None
    address = 2**32 + secrets.randbelow(2**37)
    try:
        ruleset = walls.files(binary)
    except (OSError, subprocess.SubprocessError) as error:
        absent["files"] = f"Landlock: {error}"
    try:
        program = walls.calls(address).program
    except OSError as error:
        absent["calls"] = f"seccomp: {error}"
    plan = {
        "limits": walls.limits(memory_bytes),
        "ruleset": ruleset.fileno() if ruleset else None,
        "program": program,
        "address": address,
        "strict": mode is JailMode.REQUIRE,
    }
    jail = Jail(JailReport(()), ruleset=ruleset)
    try:
        jail.launcher = _write_launcher(binary, plan)
        jail.binary_path = f"/proc/{os.getpid()}/fd/{jail.launcher}"
        jail.report = _try_out(jail.binary_path, plan, absent)
    except (OSError, subprocess.SubprocessError) as error:
        jail.close()
        return _none(f"the sandbox does not start in it: {error}")
    return jail


def _none(why: str) -> Jail:
    return Jail(JailReport((), dict.fromkeys(PARTS, why)))


def _write_launcher(binary: str, plan: Mapping[str, object]) -> int:
    """A script that calls `launch.enter`, in memory: no folder has to be writable, and none gets tidied up."""
    python, root = sys.executable, str(Path(launch.__file__).parents[2])
    arguments = ", ".join(f"{name}={value!r}" for name, value in plan.items())
    first = f"#!{python} -ISB"
    if " " in python or len(os.fsencode(first)) > _SHEBANG_BYTES:
        first = f"#!/bin/sh\n'''exec' {shlex.quote(python)} -ISB \"$0\" \"$@\"\n'''"
    text = (
        f"{first}\nimport sys\nsys.path.append({root!r})\n"
        f"from billing_mcp.sandbox.launch import enter\nenter({binary!r}, {arguments})\n"
    )
    try:
        descriptor = os.memfd_create("billing-mcp-worker", os.MFD_CLOEXEC | _MFD_EXEC)
    except OSError:  # before Linux 6.3 the flag neither was there nor had to be
        descriptor = os.memfd_create("billing-mcp-worker", os.MFD_CLOEXEC)
    os.write(descriptor, text.encode(errors="surrogateescape"))
    return descriptor


def _try_out(path: str, plan: Mapping[str, Any], absent: Mapping[str, str]) -> JailReport:
    """Let a process in the jail try what it should refuse, and see the sandbox work in another. Raises OSError."""
    probe = _run(path, plan, launch.PROBE)
    if probe.returncode not in {0, launch.ALLOWED, -signal.SIGSYS}:
        raise OSError(probe.stderr[-500:] or f"a probe ended with {probe.returncode}")
    sandbox = _run(path, plan, "-t", "-c", "x: int = 1")
    if sandbox.returncode != 0:
        raise OSError(sandbox.stderr[-500:] or f"it ended with {sandbox.returncode}")
    rows = [line.split("\t") for line in probe.stdout.splitlines()]
    why = {**absent, **{part: reason for kind, part, reason in rows if kind == "failed"}}
    allowed = {part for kind, part, _ in rows if kind == "allowed"} | (why.keys() & set(PARTS))
    if probe.returncode == launch.ALLOWED:
        allowed.add("programs")
    reasons = {part: why.get("calls" if part in _BY_FILTER else part, "it has no effect") for part in allowed}
    return JailReport(tuple(part for part in PARTS if part not in reasons), reasons)


def _run(path: str, plan: Mapping[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
    inherited = () if plan["ruleset"] is None else (plan["ruleset"],)
    return subprocess.run(  # noqa: S603
        [path, *words],
        pass_fds=inherited,
        env={},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=_TRY_S,
        check=False,
    )
