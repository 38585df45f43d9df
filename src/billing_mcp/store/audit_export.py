"""Owns audit exports: the books in one file that proves itself without the database, and without us.

The format is documented in docs/audit-export.md; `audit/verify.py` reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import NotFound, Refused
from billing_mcp.domain.holds import Hold
from billing_mcp.domain.ledger import RESERVED
from billing_mcp.store.audit import all_account_ids
from billing_mcp.store.files import written_whole
from billing_mcp.store.pages import Page, facts_of
from billing_mcp.store.store import Transaction

FORMAT = "billing-mcp audit export"
VERSION = 1
_HOLDS_AT_A_TIME = 500
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


@dataclass(frozen=True, slots=True)
class Export:
    """What was exported. `sha256` is that of all lines but the last, which says it too."""

    accounts: int
    transactions: int
    entries: int
    holds: int
    sha256: str


async def export_books(
    tx: Transaction,
    file: Path,
    *,
    account_ids: Sequence[str] = (),
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Export:
    """Write the books of these accounts, or of all, as they are at the moment of the transaction.

    `progress` hears how many transactions are done, of how many. Memory grows with the open holds of one
    account, and with nothing else. Raises NotFound for an account that is not there; Refused when `file`
    exists, and with code `books_not_sound` when a row cannot be written down; Unavailable when the disk
    refuses.
    """
    for account_id in account_ids:
        await tx.accounts.get(account_id)
    heads = {account_id: seq for account_id, seq, _ in await tx.ledger.heads()}
    wanted = sorted(set(account_ids)) or await all_account_ids(tx)
    expected = sum(heads.get(account_id, 0) for account_id in wanted)
    with written_whole(file, replace=force) as handle:
        lines = _Lines(handle)
        lines.write(
            _encode({"complete": not account_ids, "format": FORMAT, "made_at": iso(tx.now), "version": VERSION})
        )
        for account_id in wanted:
            await _write_account(tx, account_id, lines)
            async for page in tx.ledger.pages(account_id):
                ended = lines.write_transactions(account_id, page)
                if ended:
                    stored = await tx.holds.named(account_id, ended)
                    lines.write_holds(stored[hold_id] for hold_id in ended if hold_id in stored)
                if progress is not None:
                    progress(lines.transactions, max(lines.transactions, expected))
            await _write_open_holds(tx, account_id, lines)
        return lines.end(len(wanted))


_FACTS = ("account_id", "name", "status", "currency")
"""What an export tells of an account: nothing of who its invoices are addressed to."""


async def _write_account(tx: Transaction, account_id: str, lines: _Lines) -> None:
    try:
        record = await tx.accounts.get(account_id)
        account: dict[str, Any] = {name: getattr(record, name) for name in _FACTS}
        account["created_at"] = iso(record.created_at)
        wallet: dict[str, Any] | None = asdict(await tx.ledger.wallet(account_id))
    except NotFound:
        account, wallet = {"account_id": account_id}, None
    stored = {"entries": await tx.ledger.count_entries(account_id), "holds": await tx.holds.count(account_id)}
    lines.write(_encode({"account": account, "stored": stored, "wallet": wallet}))
    lines.begin_account()


async def _write_open_holds(tx: Transaction, account_id: str, lines: _Lines) -> None:
    last = None
    while page := await tx.holds.older(account_id, than=last, status="open", limit=_HOLDS_AT_A_TIME):
        last = page[-1].hold_id
        lines.write_holds(page)


class _Lines:
    """The file that is being written, line by line."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._digest = hashlib.sha256()
        self._reserved: dict[str, int] = {}
        self.transactions = self._entries = self._holds = 0

    def begin_account(self) -> None:
        """Forget the open holds of the one before."""
        self._reserved.clear()

    def write(self, line: str) -> None:
        """Write a line, which is ASCII."""
        data = f"{line}\n".encode("ascii")
        self._digest.update(data)
        self._handle.write(data)

    def write_transactions(self, account_id: str, page: Page) -> list[str]:
        """Write a page of transactions; returns the holds that ended in it."""
        ended: dict[str, None] = {}
        for row in page.transactions:
            legs = page.legs_of(row.seq)
            try:
                facts = facts_of(account_id, row, legs)
                hashes = f'"hash":{_encode(row.hash)},"previous_hash":{_encode(row.previous_hash)}'
            except (TypeError, ValueError, OverflowError) as error:
                raise Refused(
                    f"a transaction of account {account_id} at seq {row.seq} cannot be read",
                    code="books_not_sound",
                    hint="Run: billing-mcp audit verify",
                ) from error
            self.write(f'{{{hashes},"transaction":{facts}}}')
            self.transactions += 1
            self._entries += len(legs)
            if row.hold_id is not None and self._ends(row.hold_id, legs):
                ended[row.hold_id] = None
        return list(ended)

    def _ends(self, hold_id: str, legs: Iterable[tuple[str, int, str]]) -> bool:
        reserved = self._reserved.pop(hold_id, 0) + sum([amount for name, amount, _ in legs if name == RESERVED])
        if reserved:
            self._reserved[hold_id] = reserved
        return not reserved

    def write_holds(self, holds: Iterable[Hold]) -> None:
        """Write holds as they are stored."""
        for hold in holds:
            facts = asdict(hold)
            for name in ("expires_at", "created_at", "closed_at"):
                facts[name] = facts[name] and iso(facts[name])
            self.write(_encode({"hold": facts}))
            self._holds += 1

    def end(self, accounts: int) -> Export:
        """Write the last line."""
        made = Export(accounts, self.transactions, self._entries, self._holds, self._digest.hexdigest())
        self.write(_encode({"end": asdict(made)}))
        return made
