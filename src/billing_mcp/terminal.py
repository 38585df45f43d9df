"""Owns what people read in a terminal: answers, tables and errors. Machines read JSON instead."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, Literal

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from billing_mcp.kernel.answer import Answer, Effects

_INDENT = (0, 0, 0, 2)
_PLAIN_WIDTH = 110
_CHANGED = {True: "changed", False: "nothing was changed", None: "nobody knows whether anything was changed"}
_MARKS = {"completed": "[green]✔[/]", "previewed": "[cyan]◌[/]", "failed": "[red]✘[/]"}


def console() -> Console:
    """The console for standard output; of a steady width where nobody's window decides."""
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)


def error_console() -> Console:
    """The console for standard error."""
    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def printable(text: str) -> str:
    """The text without control characters, which could command the reader's terminal."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "\N{REPLACEMENT CHARACTER}" for c in text)


def print_json(value: Any) -> None:
    """A JSON document on standard output."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=not unicode) + "\n")


def print_error(code: str, message: str, hint: str | None) -> None:
    """An error in one line on standard error."""
    line = Text.assemble(("error", "bold red"), f" {code}: {' '.join(printable(message).split())}")
    if hint:
        line.append(f" ({' '.join(printable(hint).split())})", style="dim")
    error_console().print(line)


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> Table:
    """A table with a title; columns named in `right` hold figures, those in `whole` what is copied in one piece."""
    result = Table(title=title, title_justify="left", header_style="bold", border_style="dim")
    for column in columns:
        side: Literal["right", "left"] = "right" if column in right else "left"
        result.add_column(column, justify=side, overflow="fold", no_wrap=column in whole)
    for row in rows:
        result.add_row(*(Text(printable(cell)) for cell in row))
    return result


def progress(description: str) -> Progress:
    """A progress bar on standard error with an estimate of the time left, gone when it is done."""
    columns = (TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=error_console(), transient=True, disable=not sys.stderr.isatty())


@contextmanager
def counting(description: str, *, after_s: float = 0) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for the block that hears how much is done, of how much; shown if that takes longer."""
    bar = progress(description)
    task = bar.add_task("")
    begun = monotonic()

    def count(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if monotonic() - begun >= after_s:
            bar.start()

    try:
        if not after_s:
            bar.start()
        yield count
    finally:
        bar.stop()


def say(line: str) -> None:
    """A line on standard output, in one piece."""
    console().print(printable(line), markup=False, soft_wrap=True)


def script(source: str) -> RenderableType:
    """A script, with line numbers."""
    return Padding(Syntax(source.rstrip(), "python", line_numbers=True, background_color="default"), _INDENT)


def answer(value: Answer) -> Iterable[RenderableType]:
    """An answer: what it says, what it printed, what it changed, and why it failed."""
    changed = _CHANGED[value.changed]
    yield Text.from_markup(f"{_MARKS[value.status]} [bold]{value.status}[/], {changed}  [dim]{value.execution_id}[/]")
    if value.output:
        yield Padding(Text(printable(value.output.rstrip()), style="italic"), _INDENT)
    if value.result is not None:
        text = value.result if isinstance(value.result, str) else json.dumps(value.result, indent=2, ensure_ascii=False)
        yield Padding(Text(printable(text)), _INDENT)
    if value.effects.wallets or value.effects.settings or value.effects.payments:
        yield Padding(_effects(value.effects, would=value.status == "previewed"), _INDENT)
    if value.error is not None:
        yield Padding(_error(value), _INDENT)


def followups(value: Answer) -> Iterable[str]:
    """What came of it after its commit, in lines of any length: a URL that is to be followed stays in one piece."""
    for followup in value.followups:
        for kind, thing in followup.items():
            yield f"  since then: {_FOLLOWUPS[kind](thing)}"


def _effects(effects: Effects, *, would: bool) -> Table:
    rows = [
        (wallet.account_id, f"{bucket} {wallet.currency}", amount)
        for wallet in effects.wallets
        for bucket, amount in (("available", wallet.available), ("reserved", wallet.reserved))
        if amount != "0.00"
    ]
    rows += [
        (p.account_id, f"payment {_masked(p.method)}", f"-{p.amount} {p.currency} → +{p.credit} {p.currency}")
        for p in effects.payments
    ]
    rows += [(s.account_id, s.setting, f"{s.before or 'none'} → {s.after or 'none'}") for s in effects.settings]
    return table("It would change" if would else "It changed", ("account", "what", "effect"), rows, right=("effect",))


def _topup(topup: Mapping[str, Any]) -> str:
    paid = f"top-up of {topup['amount']} {topup['currency']} ({topup['total']} with VAT)"
    return _told(f"{paid} {topup['status']}", topup["action_url"], topup["failure_code"])


def _payment_method(method: Mapping[str, Any]) -> str:
    name = _masked(" ".join(filter(None, (method["brand"] or method["type"], method["last4"]))))
    more = "default" if method["is_default"] else None
    return _told(f"payment method {name} {method['status']}", method["setup_url"], method["failure_code"], more)


_FOLLOWUPS: dict[str, Callable[[Mapping[str, Any]], str]] = {"topup": _topup, "payment_method": _payment_method}
"""How each kind of followup is told in a line."""


def _told(*parts: str | None) -> str:
    return ", ".join(filter(None, parts))


def _masked(method: str) -> str:
    """A payment method's name as it stands on a receipt: `visa ••4242`."""
    name, _, last4 = method.partition(" ")
    return f"{name} ••{last4}" if last4 else name


def _error(value: Answer) -> Text:
    text = Text()
    if value.error is not None:
        text.append(f"{value.error.code}: ", style="bold red").append(printable(value.error.message))
        if value.error.line is not None:
            text.append(f"\nline {value.error.line}: {printable(value.error.source or '')}")
        if value.error.hint:
            text.append(f"\n{value.error.hint}", style="dim")
    return text
