"""Owns explaining a failed script: a stable code, the line, and never a word of our own internals."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic_monty import MontyCrashedError, MontyError, MontyRuntimeError, MontySyntaxError

from billing_mcp.domain.card_numbers import redacted
from billing_mcp.domain.errors import (
    BillingError,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    ScriptFailed,
)
from billing_mcp.kernel.limits import SandboxLimits

_MESSAGE_CHARS = 1000
_UNSUPPORTED = re.compile(r"NotImplementedError: The monty syntax parser does not yet support (.*)")


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
        return raised.get(error.display("msg")) or _own_mistake(error.display("type-msg"), limits)
    if isinstance(error, MontySyntaxError):
        return InvalidArgument(f"the sandbox cannot run this: {_short(error.display('msg'))}", code="syntax_error")
    if isinstance(error, MontyCrashedError) and error.timed_out:  # in an operation that cannot be interrupted
        return _too_long(limits)
    if isinstance(error, MontyCrashedError):
        return LimitExceeded("the script broke its sandbox and was stopped", code="sandbox_crashed")
    return ScriptFailed("the script's value cannot leave the sandbox", hint="Return dicts, lists, texts and numbers.")


def line_of(error: MontyError, *, fed_before: int) -> int | None:
    """The innermost line of the script itself, before which so many other pieces were fed."""
    frames = error.traceback() if isinstance(error, MontyRuntimeError | MontySyntaxError) else []
    file = f"<python-input-{fed_before}>"
    lines = [frame.line for frame in frames if frame.filename == file]
    return lines[-1] if lines else None


def _own_mistake(text: str, limits: SandboxLimits) -> BillingError:
    """The error for an exception such as `KeyError: price`; limits arrive as exceptions too."""
    if text.startswith("TimeoutError: feed time limit exceeded"):
        return _too_long(limits)
    if text.startswith("MemoryError: ") and f"> {limits.output_bytes} bytes" in text:
        message = f"a script may print {limits.output_bytes} bytes"
        return LimitExceeded(message, code="output_limit", hint="Print only what is needed.")
    if text.startswith("MemoryError: "):
        message = f"a script may use {limits.memory_bytes // 2**20} MB of memory"
        return LimitExceeded(message, code="memory_limit", hint="Keep less.")
    if text.startswith("RuntimeError: suspension limit"):
        return LimitExceeded(f"a script may make {limits.calls} calls", code="call_limit", hint="Call less often.")
    unsupported = _UNSUPPORTED.match(text)
    if unsupported:
        return InvalidArgument(f"the sandbox does not support {unsupported[1]}", code="syntax_error")
    if "cannot suspend in this synchronous context" in text:
        return ScriptFailed("a billing function cannot be called from within map, filter, sorted or a key function")
    return ScriptFailed(_short(text))


def _too_long(limits: SandboxLimits) -> LimitExceeded:
    message = f"a script may compute for {limits.execution_s:g} s"
    return LimitExceeded(message, code="time_limit", hint="Do less in one script.")


def _short(text: str) -> str:
    text = redacted(text)  # a piece of a card number would not be known for one
    return text if len(text) <= _MESSAGE_CHARS else f"{text[:_MESSAGE_CHARS]}… ({len(text)} characters)"
