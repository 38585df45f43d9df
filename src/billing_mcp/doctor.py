"""Owns the check-up of an installation: each finding is fine, or says how to mend it."""

from __future__ import annotations

import platform
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from billing_mcp import __version__
from billing_mcp.app import App
from billing_mcp.catalog.loader import load_catalog
from billing_mcp.domain.clock import iso, system_clock
from billing_mcp.domain.errors import BillingError
from billing_mcp.faces.http import listen
from billing_mcp.sandbox.jail import PARTS, JailReport
from billing_mcp.sandbox.pool import Sandbox
from billing_mcp.settings import Settings
from billing_mcp.store.engine import parse_database_url
from billing_mcp.store.health import Health, look
from billing_mcp.store.migrate import HEAD

Verdict = Literal["ok", "note", "wrong"]

_PACKAGES = ("mcp", "pydantic-monty", "sqlalchemy", "sqlmodel", "aiosqlite", "asyncpg")
_TOLERATED_SKEW = timedelta(seconds=5)
_WANTED_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
# https://www.sqlite.org/wal.html#walresetbug: two connections may corrupt a file, very rarely.
_SOUND_SQLITE = (3, 51, 3)
_ALSO_SOUND_SQLITE = ((3, 44, 6), (3, 50, 7))


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and how to mend it. A note does not keep the server from serving."""

    what: str
    verdict: Verdict
    found: str
    mend: str = ""


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Look at everything that serving needs, one thing after the other."""
    yield _versions()
    yield sqlite_finding(sqlite3.sqlite_version_info)
    async for finding in _database(settings):
        yield finding
    yield _catalog(settings)
    async for finding in _sandbox(settings):
        yield finding
    yield _port(settings)
    yield _own_clock(settings)


def _versions() -> Finding:
    packages = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    system = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("versions", "ok", f"billing-mcp {__version__}, {system}, {packages}")


def sqlite_finding(installed: tuple[int, ...]) -> Finding:
    """Whether this SQLite may be trusted with a file that several connections use."""
    shown = f"SQLite {'.'.join(map(str, installed))}"
    if installed >= _SOUND_SQLITE or installed in _ALSO_SOUND_SQLITE:
        return Finding("sqlite", "ok", shown)
    mend = "Use a Python with SQLite 3.51.3 or newer, or PostgreSQL; until then keep to one server per file."
    return Finding("sqlite", "note", f"{shown} has a rare bug that can corrupt a file in WAL mode", mend)


async def _database(settings: Settings) -> AsyncIterator[Finding]:
    try:
        url = parse_database_url(settings.database)
        file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        if file is not None and not file.exists() and (file.parent.is_dir() or settings.has_own_database):
            yield Finding("database", "ok", f"{file} is not there yet: serving makes it")
            return
        health = await look(settings.database)
    except BillingError as error:
        yield Finding("database", "wrong", error.message, error.hint or "")
        return
    yield _place(health, file)
    if file is not None:
        yield _pragmas(health)
    yield _schema(health, upgrades_itself=file is not None)
    yield _time(health)
    if settings.key is not None and health.revision == HEAD:
        yield await _key(settings)


def _place(health: Health, file: Path | None) -> Finding:
    if file is None:
        return Finding("database", "ok", f"PostgreSQL {health.server}, {health.place}")
    if sys.platform != "win32" and file.stat().st_mode & 0o007:
        mend = f"If that is not meant: chmod o-rwx '{file}'"
        return Finding("database", "note", f"{file}, which every user of this machine can open", mend)
    return Finding("database", "ok", str(file))


def _pragmas(health: Health) -> Finding:
    shown = ", ".join(f"{name}={value}" for name, value in health.settings.items())
    if health.settings == _WANTED_PRAGMAS:
        return Finding("pragmas", "ok", shown)
    return Finding("pragmas", "wrong", shown, "Keep the file on a disk of this machine: WAL needs one.")


def _schema(health: Health, *, upgrades_itself: bool) -> Finding:
    if health.revision == HEAD:
        return Finding("migrations", "ok", f"at {HEAD}, as this version needs it")
    shown = f"at {health.revision or 'nothing'}, and this version needs {HEAD}"
    if upgrades_itself:
        return Finding("migrations", "note", shown, "Back the file up; the next start upgrades it.")
    return Finding("migrations", "wrong", shown, "Back it up, then: billing-mcp db upgrade")


def _time(health: Health) -> Finding:
    now = system_clock()
    if health.clock is not None and abs(health.clock - now) > _TOLERATED_SKEW:
        skew_s = (health.clock - now).total_seconds()
        shown = f"the database's clock is {skew_s:+.0f} s off this machine's"
        return Finding("clock", "note", shown, "Set both by NTP.")
    if health.newest_posting is None:
        return Finding("clock", "ok", f"{iso(now)}, and nothing is posted yet")
    if health.newest_posting > now + _TOLERATED_SKEW:
        shown = f"{iso(now)}, but the newest posting is of {iso(health.newest_posting)}"
        return Finding("clock", "note", shown, "Set this machine's clock, or see whether BILLING_MCP_NOW was set then.")
    return Finding("clock", "ok", f"{iso(now)}, after the newest posting")


async def _key(settings: Settings) -> Finding:
    try:
        async with App.open(settings) as app:
            principal = await app.local_principal()
    except BillingError as error:
        return Finding("key", "wrong", error.message, error.hint or "")
    granted = " and ".join(sorted(principal.permissions)) or "nothing"
    return Finding("key", "ok", f"BILLING_MCP_KEY grants {granted} on {len(principal.account_ids or ())} account(s)")


def _catalog(settings: Settings) -> Finding:
    try:
        book = load_catalog(settings.catalog).book
    except BillingError as error:
        return Finding("catalog", "wrong", error.message, error.hint or "")
    versions = ", ".join(f"{each.version} from {each.valid_from}" for each in book.versions)
    return Finding("catalog", "ok", f"{settings.catalog or 'of the package'}, {book.currency}: {versions}")


async def _sandbox(settings: Settings) -> AsyncIterator[Finding]:
    sandbox = Sandbox(settings.sandbox_limits(), settings.jail)
    try:
        await sandbox.start()
    except BillingError as error:
        yield Finding("sandbox", "wrong", error.message, error.hint or "")
        return
    try:
        yield Finding("sandbox", "ok", f"starts, for {settings.workers} scripts at a time")
        yield jail_finding(sandbox.jail)
    finally:
        await sandbox.close()


def jail_finding(report: JailReport) -> Finding:
    """What the operating system refuses the workers, should a script break out of the sandbox."""
    refused = f"workers are refused: {', '.join(report.refused) or 'nothing'}"
    if not report.allowed:
        return Finding("jail", "ok", refused)
    reasons = "; ".join(f"{part}: {why}" for part, why in report.allowed.items())
    if len(set(report.allowed.values())) == 1 and len(report.allowed) == len(PARTS):
        reasons = next(iter(report.allowed.values()))
    mend = (
        "Scripts still run in the sandbox only. For strangers' agents, serve on Linux 6.12 or newer, or in a container."
    )
    return Finding("jail", "note", f"{refused} ({reasons})", mend)


def _port(settings: Settings) -> Finding:
    try:
        with closing(listen(settings.host, settings.port)):
            return Finding("port", "ok", f"{settings.host} port {settings.port} is free to serve over HTTP")
    except BillingError as error:
        mend = f"{error.hint} Over standard input and output none is needed."
        return Finding("port", "note", error.message, mend)


def _own_clock(settings: Settings) -> Finding:
    if settings.now is None:
        return Finding("time", "ok", "the system's clock is used")
    mend = "Unset BILLING_MCP_NOW: it is for demos and tests."
    return Finding("time", "note", f"the clock stands still at {iso(settings.now)}", mend)
