"""Owns the limits of an execution, of the script in it, and of the jobs of a worker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_LEASE_MARGIN_S = 45.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an execution may take, and how often it may call."""

    wall_s: float = 15.0
    wall_after_write_s: float = 1.0
    sandbox_after_write_s: float = 0.1
    calls: int = 500


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one script may use, and how many may run at a time."""

    execution_s: float = 5.0
    wall_s: float = 15.0
    memory_bytes: int = 64 * 1024 * 1024
    calls: int = 500
    code_bytes: int = 64 * 1024
    output_bytes: int = 100 * 1024
    result_chars: int = 24_000
    workers: int = 4
    scripts_per_worker: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How a worker goes about its jobs. `at_a_time` is for each kind of job."""

    poll_s: float = 1.0
    scan_s: float = 5.0
    at_a_time: int = 4
    job_s: float = 60.0
    attempts: int = 12
    grace_s: float = 10.0

    @property
    def lease_s(self) -> float:
        """How long a job is ours: longer than it may take, by what its last statement and our note of it may take."""
        return self.job_s + _LEASE_MARGIN_S


class JailMode(StrEnum):
    """Jail workers as far as the kernel goes; wholly, or start none; or not at all."""

    AUTO = "auto"
    REQUIRE = "require"
    OFF = "off"
