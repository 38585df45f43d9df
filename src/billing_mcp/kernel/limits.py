"""Owns the limits of an execution, and of the script in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


class JailMode(StrEnum):
    """Jail workers as far as the kernel goes; wholly, or start none; or not at all."""

    AUTO = "auto"
    REQUIRE = "require"
    OFF = "off"
