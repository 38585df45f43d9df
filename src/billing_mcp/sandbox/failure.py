"""Owns explaining a failed script: a stable code, the line, and never a word of our own internals."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_monty import MontyCrashedError, MontyError, MontyRuntimeError, MontySyntaxError

from billing_mcp.domain.errors import (
    BillingError,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    ScriptFailed,
)
from billing_mcp.sandbox.pool import SandboxLimits

_MESSAGE_CHARS = 1000
_SCRIPT_FILE = "<python-input-1>"


def exception_type(error: BillingError) -> str:
    """The builtin exception as which a script can catch the error; only builtins cross over."""
    if isinstance(error, PermissionDenied):
        return "PermissionError"
    if isinstance(error, NotFound):
        return "LookupError"
    return "ValueError" if isinstance(error, InvalidArgument) else "RuntimeError"


def explain(error: MontyError, raised: Mapping[str, BillingError], limits: SandboxLimits) -> BillingError:
    """What ended the script: one of our errors that it did not catch, a limit, or its own mistake."""
    if isinstance(error, MontyRuntimeError):
        message = error.display("msg")
        return raised.get(message) or _limit(message, limits) or ScriptFailed(_short(error.display("type-msg")))
    if isinstance(error, MontySyntaxError):
        return InvalidArgument(
            f"the sandbox cannot run this: {_short(error.display('msg'))}",
            code="syntax_error",
            hint="Write it with plain functions, loops, lists and dicts.",
        )
    if isinstance(error, MontyCrashedError):
        return LimitExceeded("the script broke its sandbox and was stopped", code="sandbox_crashed")
    return ScriptFailed("the script's value cannot leave the sandbox", hint="Return dicts, lists, texts and numbers.")


def line_of(error: MontyError) -> int | None:
    """The innermost line of the script itself."""
    frames = error.traceback() if isinstance(error, MontyRuntimeError | MontySyntaxError) else []
    lines = [frame.line for frame in frames if frame.filename == _SCRIPT_FILE]
    return lines[-1] if lines else None


def _limit(message: str, limits: SandboxLimits) -> LimitExceeded | None:
    if message.startswith("feed time limit exceeded"):
        return LimitExceeded(
            f"a script may compute for {limits.execution_s:g} s", code="time_limit", hint="Do less in one script."
        )
    if message.startswith("memory limit exceeded") and f"> {limits.output_bytes} bytes" in message:
        return LimitExceeded(
            f"a script may print {limits.output_bytes} bytes", code="output_limit", hint="Print only what is needed."
        )
    if message.startswith("memory limit exceeded"):
        return LimitExceeded(
            f"a script may use {limits.memory_bytes // 2**20} MB of memory", code="memory_limit", hint="Keep less."
        )
    if "suspension" in message:
        return LimitExceeded(f"a script may make {limits.calls} calls", code="call_limit", hint="Call less often.")
    return None


def _short(text: str) -> str:
    return text if len(text) <= _MESSAGE_CHARS else f"{text[:_MESSAGE_CHARS]}… ({len(text)} characters)"
