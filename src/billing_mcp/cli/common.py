"""Owns what all commands share: options, settings, and errors as one line and an exit code.

Exit codes: 1 failed, 2 usage, 3 refused, 4 unavailable, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from billing_mcp import terminal
from billing_mcp.domain.errors import (
    ERRORS,
    BillingError,
    Conflict,
    Internal,
    InvalidArgument,
    RateLimited,
    ScriptFailed,
    Unavailable,
)
from billing_mcp.kernel.answer import Answer
from billing_mcp.settings import Settings

T = TypeVar("T")

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="BILLING_MCP_DATABASE",
        metavar="URL",
        help="A SQLite file, or postgresql://user@host/name. Default: a file of your own.",
        rich_help_panel="Database",
    ),
]
CatalogFile = Annotated[
    Path | None,
    typer.Option(
        "--catalog",
        envvar="BILLING_MCP_CATALOG",
        metavar="FILE",
        help="Your own prices, as billing-mcp catalog check finds them sound. Default: those that come with us.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Preview = Annotated[bool, typer.Option("--preview", help="Run it, show what it would change, and roll back.")]
IdempotencyKey = Annotated[
    str, typer.Option("--idempotency-key", metavar="KEY", help="With the same key it happens once.")
]


def settings_with(**overrides: Any) -> Settings:
    """Settings from the environment, with the command's options on top. Raises InvalidArgument."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = f"BILLING_MCP_{'.'.join(str(part) for part in problem['loc']).upper()}"
        raise InvalidArgument(f"{name}: {problem['msg']}; got {problem['input']!r}", field=name) from None


def day_of(text: str, option: str) -> date:
    """The day that an option was given. Raises InvalidArgument."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"--{option} must be an ISO date, such as 2026-03-01; got {ascii(text)[:40]}"
        raise InvalidArgument(message, field=option) from None


def run(work: Coroutine[Any, Any, T], *, loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """Run a command's work; what goes wrong ends in one line on standard error and an exit code."""
    if not gc.isenabled():  # all is imported now, and stays
        gc.freeze()
        gc.enable()
    # closed: an interrupt may come before it has started
    with errors_as_exit_codes(), closing(work), asyncio.Runner(loop_factory=loop) as runner:
        with _uninterrupted():
            runner.get_loop()
        return runner.run(work)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """An interrupt waits for the end of the block: one in the middle of making a loop leaves half of it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Turn errors into one line and an exit code."""
    try:
        yield
    except BaseExceptionGroup as group:
        found = group.subgroup(BillingError)
        if found is None:
            raise
        _leave(_first(found))
    except BillingError as error:
        _leave(error)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def finish(answer: Answer, *, as_json: bool) -> None:
    """Print the answer to an execution, and exit with what it means."""
    if as_json:
        terminal.print_json(answer.to_dict())
    else:
        terminal.console().print(*terminal.answer(answer), sep="\n")
        for line in terminal.followups(answer):
            terminal.say(line)
    if answer.error is not None:
        raise typer.Exit(exit_code(ERRORS[answer.error.code]))


def exit_code(kind: type[BillingError]) -> int:
    """The exit code of a kind of error."""
    if issubclass(kind, InvalidArgument):
        return 2
    if issubclass(kind, Unavailable | Conflict | RateLimited):
        return 4
    return 1 if issubclass(kind, ScriptFailed | Internal) else 3


def _leave(error: BillingError) -> None:
    terminal.print_error(error.code, error.message, error.hint)
    raise typer.Exit(exit_code(type(error)))


def _first(group: BaseExceptionGroup[BillingError]) -> BillingError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
