"""The command line as processes of their own, which start in a tenth of the time: forked off one that is warm.

Of what a command costs a test, nearly all is Python importing what it needs. One process per test session imports all
of it once (`warm.py`), and is forked for each command (`start.py`), which then does what a cold start does: it has
its own arguments, environment, folder and standard streams, and its end is the interpreter's. Tests of starting
itself, and of processes that must not outlive a kill by an instant, use `cold_command`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


def warm_command(*arguments: str) -> list[str]:
    """The words that run `billing-mcp` with these arguments."""
    return [sys.executable, "-I", "-S", str(_HERE / "start.py"), _warm_process()[0], *arguments]


def cold_command(*arguments: str) -> list[str]:
    """The same as a user's shell would run it."""
    return [sys.executable, "-m", "billing_mcp", *arguments]


@cache
def _warm_process() -> tuple[str, subprocess.Popen[bytes]]:
    """Where the session's warm process listens, and that. It ends with us, whatever ends us: its input does."""
    path = str(Path(tempfile.mkdtemp(prefix="billing-mcp-warm-")) / "socket")
    process = subprocess.Popen(
        [sys.executable, "-m", f"{__name__}.warm", path],
        cwd=_HERE.parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C at the terminal is pytest's, which then ends it
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"warm\n"
    return path, process
