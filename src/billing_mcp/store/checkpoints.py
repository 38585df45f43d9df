"""Owns checkpoints: how far each ledger went at a moment, and with which hash, to be compared later.

Whoever can rewrite the database can recompute every hash in it, but not those in a checkpoint that is
kept where they cannot reach it. The format is documented in docs/audit-export.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.store.audit import Finding
from billing_mcp.store.store import Transaction

FORMAT = "billing-mcp audit checkpoint"
VERSION = 1
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


@dataclass(frozen=True, slots=True)
class Head:
    """The last transaction of an account; of one without any, `seq` is 0."""

    account_id: str
    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The heads of all accounts at one moment."""

    made_at: str
    accounts: tuple[Head, ...]

    @property
    def sha256(self) -> str:
        """One digest over all of it."""
        return hashlib.sha256(_encode(self._said()).encode("ascii")).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The document."""
        return {**self._said(), "sha256": self.sha256}

    def _said(self) -> dict[str, Any]:
        heads = [asdict(head) for head in self.accounts]
        return {"format": FORMAT, "version": VERSION, "made_at": self.made_at, "accounts": heads}


@dataclass(frozen=True, slots=True)
class Growth:
    """An account whose ledger went on from the checkpoint's `seq` to another one."""

    account_id: str
    since: int
    seq: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of each account of a checkpoint."""

    unchanged: int
    grown: tuple[Growth, ...]
    new: tuple[str, ...]
    findings: tuple[Finding, ...]


async def take_checkpoint(tx: Transaction) -> Checkpoint:
    """The heads of all accounts, as their wallets say."""
    return Checkpoint(iso(tx.now), tuple([Head(*head) for head in await tx.ledger.heads()]))


def read_checkpoint(file: Path) -> Checkpoint:
    """The checkpoint in a file.

    Raises InvalidArgument with code `unreadable_file` when it is not there, not a checkpoint, or not what
    was written.
    """
    hint = "Give a file that billing-mcp audit checkpoint has written."
    try:
        value = json.loads(file.read_bytes())
        if (value["format"], value["version"]) != (FORMAT, VERSION):
            raise ValueError  # noqa: TRY301 - as whatever else is no checkpoint
        checkpoint = Checkpoint(value["made_at"], tuple([_head(**head) for head in value["accounts"]]))
        digest = value["sha256"]
    except OSError as error:
        raise InvalidArgument(
            f"{file} cannot be read: {error.strerror}", code="unreadable_file", field="file", hint=hint
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        message = f"{file} is no checkpoint of version {VERSION}"
        raise InvalidArgument(message, code="unreadable_file", field="file", hint=hint) from error
    if digest != checkpoint.sha256:
        raise InvalidArgument(
            f"{file} was changed: its sha256 is not that of what it says",
            code="unreadable_file",
            field="file",
            hint="Use the copy that was kept where nobody could reach it.",
        )
    return checkpoint


def _head(*, account_id: str, seq: int, hash: str) -> Head:  # noqa: A002 - as in the file
    if not (isinstance(account_id, str) and type(seq) is int and 0 <= seq < 2**63):
        raise ValueError("no head of an account")
    return Head(account_id, seq, hash)


async def compare(
    tx: Transaction, checkpoint: Checkpoint, *, progress: Callable[[int, int], None] | None = None
) -> Comparison:
    """Look for each hash of a checkpoint where it was.

    That a hash is there proves what came before it only if the chain up to it is sound: the audit
    verifies that.
    """
    now = {account_id: seq for account_id, seq, _ in await tx.ledger.heads()}
    findings, grown, unchanged = [], [], 0
    for done, head in enumerate(checkpoint.accounts, start=1):
        seq = now.pop(head.account_id, None)
        if seq is None:
            findings.append(Finding(head.account_id, None, "it is gone, but the checkpoint has it"))
        elif problem := await _rewritten(tx, head):
            findings.append(Finding(head.account_id, head.seq, problem))
        elif seq == head.seq:
            unchanged += 1
        else:
            grown.append(Growth(head.account_id, head.seq, seq))
        if progress is not None:
            progress(done, len(checkpoint.accounts))
    return Comparison(unchanged, tuple(grown), tuple(now), tuple(findings))


async def _rewritten(tx: Transaction, head: Head) -> str | None:
    if not head.seq:
        return None
    found = await tx.ledger.hash_at(head.account_id, head.seq)
    if found is None:
        return "it is missing, but the checkpoint has it"
    return None if found == head.hash else "history was rewritten: the checkpoint has another hash here"
