"""Sets invoices in a process that may open nothing: `python -m tests.documents.jailed set` or `… open FILE`.

Warmed up, it gives up opening files, looking them up, sockets and processes: the kernel kills it at the first try,
whichever of its threads that is. `set` then prints a hash of each document; `open` tries that file, and dies.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from billing_mcp.documents.invoice_pdf import render_invoice
from billing_mcp.documents.words import WORDS
from tests.documents import samples

_FORBIDDEN = """
    open openat openat2 creat stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents64
    rename renameat renameat2 unlink unlinkat mkdir mkdirat link linkat symlink symlinkat truncate mount
    socket socketpair connect bind listen accept accept4 sendto sendmsg sendmmsg io_uring_setup
    execve execveat fork vfork ptrace
"""
LOGO = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 10"><rect width="30" height="9"/></svg>"""
OTHER_LOGO = LOGO.replace(b"rect", b"ellipse")


def lock() -> None:
    """From here on, each of these calls is the end of this process."""
    from seccompy import Action, Filter, FilterFlag  # there is none but on Linux

    kernel = Filter(Action.ALLOW, flags=FilterFlag.TSYNC)
    for name in _FORBIDDEN.split():
        with suppress(ValueError):  # other architectures have fewer
            kernel.kill(name)
    kernel.load()


def documents() -> Iterator[bytes]:
    """What is set in the jail: all kinds of documents, and texts that would open files and addresses as markup."""
    kinds = (samples.english, samples.german, samples.past_due, samples.credit_note, samples.hostile)
    for make in kinds:
        yield render_invoice(make())
    yield render_invoice(samples.many(60))
    yield render_invoice(samples.german(), logo=OTHER_LOGO)


def warm_up() -> None:
    """Set other documents in each language: with a logo, with letters of no font, and one that takes threads.

    Those are as many as the machine has processors, which is read from files, once.
    """
    for language in WORDS:
        render_invoice(samples.many(3), language=language, logo=LOGO)
    render_invoice(samples.hostile("你"))
    render_invoice(samples.crowded())


if __name__ == "__main__":
    warm_up()
    lock()
    if sys.argv[1] == "open":
        Path(sys.argv[2]).read_bytes()
    for pdf in documents():
        os.write(1, f"{hashlib.sha256(pdf).hexdigest()}\n".encode())
    os._exit(0)
