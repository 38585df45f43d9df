"""The process that commands are forked off: `python -m tests.processes.warm SOCKET`."""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import select
import shutil
import signal
import socket
import sys
import threading
from importlib import import_module
from pathlib import Path

import billing_mcp
from billing_mcp.cli import main

_LATER = (
    "aiosqlite",
    "alembic.command",
    "anyio._backends._asyncio",
    "asyncpg",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.h11_impl",
)
"""What libraries import when they are first used."""


def import_all() -> None:
    """Import whatever a command may need, so that none has to."""
    for module in pkgutil.walk_packages(billing_mcp.__path__, "billing_mcp."):
        if not module.name.startswith(("billing_mcp.__main__", "billing_mcp.store.migrations")):
            import_module(module.name)
    for name in _LATER:
        import_module(name)
    assert threading.active_count() == 1  # a fork takes one along
    gc.freeze()


def wait_for_a_command(path: str) -> None:
    """Fork for each that is asked for, and return in its process."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(100)
        print("warm", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who watches is not watched
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                shutil.rmtree(Path(path).parent)
                os._exit(0)
            starter, _ = listener.accept()
            if not os.fork():
                break
            starter.close()
    with starter:
        _become(starter)


def _become(starter: socket.socket) -> None:
    """Return in the command's process; stay in the one that watches it, and end with it or with who asked for it."""
    size, streams, _, _ = socket.recv_fds(starter, 4, 3)
    wanted = json.loads(starter.makefile("rb").read(int.from_bytes(size, "big")))
    died, dies = os.pipe()
    os.set_blocking(dies, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(dies)
    command = os.fork()
    if command:
        for stream in streams:
            os.close(stream)
        starter.sendall(command.to_bytes(4, "big"))
        ready, _, _ = select.select([starter.fileno(), died], [], [])
        abandoned = starter.fileno() in ready
        if abandoned:
            os.kill(command, signal.SIGKILL)
        _, status = os.waitpid(command, 0)
        if not abandoned:
            starter.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
        os._exit(0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    for end in (died, dies):
        os.close(end)
    sys.stdin = open(0)  # noqa: SIM115 - as the interpreter does
    sys.stdout = open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv[1:] = wanted["arguments"]


if __name__ == "__main__":
    import_all()
    wait_for_a_command(sys.argv[1])
    main()
