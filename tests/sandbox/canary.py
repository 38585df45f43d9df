"""Canaries: texts that only we know, and that must turn up nowhere. And a script that looks for them."""

from __future__ import annotations

import io
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stderr
from pathlib import Path

import structlog
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from billing_mcp.app import App
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.keys import mint_key
from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.logs import configure_logs
from tests.sandbox.hostile import Stopped
from tests.world import World

FOLDER = "canary-folder-b61f"
ENVIRONMENT = "canary-environment-07aa"
NAME = "Canary Name 93ce"
PASSWORD = "canary-password-4d20"
USER = "canary_user_e2b8"
DATABASE = "canary_database_5c71"
TEXT = "canary-text-of-an-exception-18fd"

SECRETS = (FOLDER, ENVIRONMENT, NAME, PASSWORD, TEXT, USER, DATABASE, "SELECT", "INSERT")
"""What no log may hold."""

INTERNALS = ("sqlite3", "asyncpg", "sqlalchemy", "billing_mcp", "Traceback")
"""What besides neither a script nor an answer may hold."""

PROBE = """
import os
def tried(action):
    try:
        print(action())
    except BaseException as error:
        print(type(error).__name__, str(error), repr(error), error.args)
tried(lambda: os.environ)
tried(lambda: os.getenv('CANARY'))
tried(lambda: open('/proc/self/environ').read())
tried(lambda: locals())
for account_id in (ACCOUNT, OTHER):
    tried(lambda: billing.wallet_balance.get(account_id=account_id))
    tried(lambda: billing.transactions.list(account_id=account_id))
    tried(lambda: billing.invoices.list(account_id=account_id))
    tried(lambda: billing.current_plan.get(account_id=account_id))
    tried(lambda: billing.plan.cancel(account_id=account_id))
print('looked everywhere')
raise ValueError('the end')
"""


class Nest:
    """An account whose principal knows no other, beside another whose name is a canary."""

    def __init__(self, account: str, other: str, key: str, principal: Principal) -> None:
        self.account = account
        self.other = other
        self.key = key
        self.principal = principal
        self.probe = PROBE.replace("ACCOUNT", repr(account)).replace("OTHER", repr(other))

    @classmethod
    async def made(cls, app: App) -> Nest:
        """One in the app's database, with a key for its account."""
        world = World(app, Stopped())
        account = await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=3)
        other = await world.account(funds="77.77", plan="smtp_per_proxy")
        key, record = mint_key(
            "an agent",
            permissions=frozenset(Permission),
            account_ids=[account],
            read_only=False,
            expires_at=None,
            now=Stopped.now,
        )
        async with app.store.write(Stopped.now) as tx:
            await tx.keys.add(record)
        principal = Principal(record.key_id, frozenset(Permission), account_ids=frozenset({account}))
        return cls(account, other, key, principal)

    def assert_silent(self, *texts: str) -> None:
        """No canary is in what a script or its caller can read."""
        told = "\n".join(texts)
        assert [canary for canary in (*SECRETS, *INTERNALS, self.key, "77.77") if canary in told] == []

    def assert_discreet(self, log: str) -> None:
        """No secret is in a log."""
        assert [canary for canary in (*SECRETS, self.key, "77.77") if canary in log] == []


def readable(answer: Answer) -> str:
    """All that a caller reads of an answer."""
    assert answer.changed is False
    return answer.to_json()


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """What is logged in the block, as the server writes it to standard error."""
    lines = io.StringIO()
    root, before = logging.getLogger(), structlog.get_config()
    handlers, root.handlers = root.handlers, []
    level = root.level
    with redirect_stderr(lines):
        configure_logs()
    try:
        yield lines
    finally:
        structlog.configure(**before)
        root.handlers = handlers
        root.setLevel(level)


def execute_sql(path: Path, statement: str, **parameters: str) -> None:
    """Do something to a SQLite file behind the app's back."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(statement), parameters)


def spoil(path: Path) -> None:
    """Overwrite a SQLite file that is open."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(b"no database" * 1000)
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
