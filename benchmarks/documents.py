"""What a document costs: invoices of several lengths as PDF, beside one of a single line.

Each row is the median of five rounds, every document another one. The first of all, which wakes the typesetter, is a
row of its own. A busy machine lengthens the time, but not what the processor has to do. Memory is the process's peak.

Run it with `python -m benchmarks.documents`.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count

from rich.console import Console
from rich.table import Table
from tests.documents import samples
from tests.documents.pages import texts

from billing_mcp.documents.invoice_pdf import render_invoice
from billing_mcp.domain.invoices import Invoice

ROUNDS = 5
AT_ONCE = 4
EACH = 10
KIB = 1024

_numbers = count(1)


def another(invoice: Invoice) -> Invoice:
    """The same with other texts and amounts on every line."""
    number = next(_numbers)
    lines = tuple(
        replace(
            line, description=f"{line.description}, {number}-{at}", unit_price_micros=line.unit_price_micros + number
        )
        for at, line in enumerate(invoice.lines)
    )
    return replace(invoice, lines=lines, number=f"INV-2026-{number:06d}")


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """How long it takes, and how much of a processor."""
    started, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - busy


def main() -> None:
    """Measure and print."""
    kinds = {
        "1 line": samples.many(1),
        "7 lines, English": samples.english(),
        "7 lines, German": samples.german(),
        "60 lines": samples.many(60),
        "230 lines": samples.many(230),
        "1,000 lines": samples.many(1000),
    }
    table = Table("what", "ms", "of a processor", "of one line", "pages", "KiB", title="Invoices as PDF")
    took, busy = seconds(partial(render_invoice, samples.english()))
    table.add_row("the first of the process", f"{took * 1000:.0f}", f"{busy * 1000:.0f}", "", "", "")
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, invoice in kinds.items():
            rounds[name].append(seconds(partial(render_invoice, another(invoice))))
    one_line = statistics.median(busy for _, busy in rounds["1 line"])
    for name, figures in rounds.items():
        took, busy = (statistics.median(column) for column in zip(*figures, strict=True))
        pdf = render_invoice(another(kinds[name]))
        size = f"{len(pdf) / KIB:.0f}"
        pages = str(len(texts(pdf)))
        table.add_row(name, f"{took * 1000:.0f}", f"{busy * 1000:.0f}", f"{busy / one_line:.1f}", pages, size)
    took, busy = (figure / (AT_ONCE * EACH) * 1000 for figure in seconds(together))
    table.add_row(f"7 lines, {AT_ONCE} threads, each", f"{took:.0f}", f"{busy:.0f}", "", "", "")
    Console().print(table)
    Console().print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // KIB} MiB")


def together() -> None:
    """Many documents that several threads ask for."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(render_invoice, [another(samples.english()) for _ in range(AT_ONCE * EACH)]))


if __name__ == "__main__":
    main()
