#!/usr/bin/env python3
"""Verify an audit export of billing-mcp, without its database and without its code.

Of every account: transactions are numbered without a gap, entries sum to zero, balances are the sums of the
entries, each transaction has the hash of the one before, the wallet is what the ledger ends with, and every
hold is what the ledger says of it. And the file is whole: its last line has the SHA-256 of all before it.
Nothing needs to be installed but Python 3.9 or newer; docs/audit-export.md describes the format.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

EXPORT, CHECKPOINT, VERSION = "billing-mcp audit export", "billing-mcp audit checkpoint", 1
GENESIS = "0" * 64
CANNOT_BE_READ = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)

MORE = """\
How to: billing-mcp audit export books.jsonl, then python3 verify.py books.jsonl. Whoever can rewrite the
database can recompute all of its hashes: keep a checkpoint (billing-mcp audit checkpoint) where they cannot
reach it, and give it with --checkpoint.

Exit code: 0 sound; 1 not sound, with the first wrong line of each account; 2 a file cannot be read.
"""


class UnreadableError(Exception):
    """A file that is not there, or not what it should be."""


def canonical(value: object) -> str:
    """JSON as all hashes are made of it: keys sorted, no spaces, ASCII alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


class Account:
    """One account, re-added from its first transaction on."""

    def __init__(self, about: dict[str, Any], line: int, checkpoint: tuple[int, str] | None) -> None:
        self.id: str = about["account"]["account_id"]
        self.stored, self.wallet = about["stored"], about["wallet"]
        self.line, self.checkpoint = line, checkpoint
        self.transactions = self.entries = self.hold_lines = self.open_reserved = 0
        self.available = self.reserved = self.txn_seq = 0
        self.hash, self.currency = GENESIS, None
        # What the ledger says of each hold: amount, captured, released, reserved still.
        self.holds: dict[str, list[int]] = {}

    def transaction(self, hash_: str, previous_hash: str, facts: dict[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the next transaction."""
        self.transactions += 1
        self.entries += len(facts["entries"])
        sums: dict[str, int] = defaultdict(int)
        legs: dict[str, int] = defaultdict(int)
        for name, amount, currency in facts["entries"]:
            sums[currency] += amount
            legs[name] += amount
        self.available += legs["available"]
        self.reserved += legs["reserved"]
        delta = legs["available"] + legs["reserved"]
        shown = delta or legs["available"]
        self.txn_seq += 1 if delta else 0
        self.currency = self.currency or facts["currency"]
        after = (facts["available_after_micros"], facts["reserved_after_micros"], facts["balance_after_micros"])
        hashed = hashlib.sha256(f"{previous_hash}\n{canonical(facts)}".encode("ascii")).hexdigest()
        for holds, problem in (
            (facts["account_id"] == self.id, "it belongs to another account"),
            (facts["seq"] == self.transactions, "a transaction before it is missing, or it is out of order"),
            (len(facts["entries"]) > 1, "it has less than two entries"),
            (not any(sums.values()), "its entries do not sum to zero"),
            (facts["txn_seq"] == (self.txn_seq if delta else None), "txn_seq is not the next one"),
            (after == (self.available, self.reserved, self.available + self.reserved), "balances are not the sums"),
            (previous_hash == self.hash, "previous_hash is not the hash of the one before"),
            (hash_ == hashed, "its hash does not match what it says"),
            (facts["amount_micros"] == abs(shown), "its amount is not that of its entries"),
            (facts["direction"] == ("credit" if shown > 0 else "debit"), "its direction is not that of its entries"),
            (facts["currency"] == self.currency, "its currency is not that of the ones before"),
        ):
            if not holds:
                yield problem
        if self.checkpoint and facts["seq"] == self.checkpoint[0] and hash_ != self.checkpoint[1]:
            yield "history was rewritten: the checkpoint has another hash here"
        self.hash = hash_
        if "hold_id" in facts:
            self.add_to_hold(facts["hold_id"], facts["type"], legs["reserved"], legs["revenue"])

    def add_to_hold(self, hold_id: str, type_: str, reserved: int, revenue: int) -> None:
        """Add what a transaction did to its hold."""
        sums = self.holds.setdefault(hold_id, [0, 0, 0, 0])
        sums[0] += reserved if type_ == "hold" else 0
        sums[1] += revenue
        sums[2] -= reserved if type_ == "release" else 0
        sums[3] += reserved

    def hold(self, hold: dict[str, Any]) -> Iterator[str]:
        """Yield what is wrong with a stored hold."""
        self.hold_lines += 1
        is_open = hold["status"] == "open"
        amount, captured, released = hold["amount_micros"], hold["captured_micros"], hold["released_micros"]
        remaining = amount - captured - released if is_open else 0
        self.open_reserved += remaining
        said = self.holds.pop(hold["hold_id"], None)
        name = f"hold {hold['hold_id']}"
        if hold["account_id"] != self.id:
            yield f"{name} belongs to another account"
        elif said is None:
            yield f"{name} is not in the ledger, or stands here twice"
        elif said != [amount, captured, released, remaining] or is_open != (said[3] > 0):
            yield f"{name} is not what the ledger says of it"

    def end(self) -> Iterator[str]:
        """Yield what is wrong with the account as a whole."""
        names = ("available_micros", "reserved_micros", "last_seq", "last_txn_seq", "head_hash")
        ends = (self.available, self.reserved, self.transactions, self.txn_seq, self.hash)
        if self.wallet is None:
            yield "the account has no wallet"
        else:
            if self.wallet["account_id"] != self.id or self.currency not in (None, self.wallet["currency"]):
                yield "the wallet is another account's, or of another currency"
            for name, value in zip(names, ends):  # noqa: B905 - strict is not known to Python 3.9
                if self.wallet[name] != value:
                    yield f"the wallet's {name} is not that of the ledger"
        yield from (f"hold {hold_id} is in the ledger, but not among the holds" for hold_id in self.holds)
        if self.open_reserved != self.reserved:
            yield "the open holds are not what is reserved"
        if self.stored != {"entries": self.entries, "holds": self.hold_lines}:
            yield "there are entries or holds stored that the ledger does not know"
        if self.checkpoint and self.transactions < self.checkpoint[0]:
            yield f"the ledger ends before seq {self.checkpoint[0]}, which the checkpoint has"


class Verification:
    """An export, read line by line; memory does not grow with it."""

    def __init__(self, checkpoint: dict[str, tuple[int, str]] | None) -> None:
        self.counts = dict.fromkeys(("accounts", "transactions", "entries", "holds"), 0)
        self.findings: list[tuple[str, int, str]] = []
        self.unseen = dict(checkpoint or {})
        self.last_id = ""
        self.account: Account | None = None

    def find(self, line: int, problem: str, account_id: str = "") -> None:
        """Keep the first problem of each account, and of the file itself."""
        if not self.findings or self.findings[-1][0] != account_id:
            self.findings.append((account_id, line, problem))

    def read(self, file: BinaryIO) -> None:
        """Read a whole export. Raises UnreadableError for what is none."""
        pending = file.readline()
        header = first_object(pending, EXPORT)
        digest, number = hashlib.sha256(), 1
        for line in file:
            digest.update(pending)
            if number > 1:
                self.read_line(pending, number)
            pending, number = line, number + 1
        self.end_account()
        try:
            end = json.loads(pending)["end"]
        except CANNOT_BE_READ:
            self.find(number, "the file is cut off: its last line is not the end")
            return
        if end != {**self.counts, "sha256": digest.hexdigest()} or pending != f"{canonical({'end': end})}\n".encode():
            self.find(number, "the last line does not match the lines before it: its counts or its SHA-256")
        for account_id in self.unseen if header.get("complete") else ():
            self.find(number, "the account of the checkpoint is not here", account_id)

    def read_line(self, line: bytes, number: int) -> None:
        """Read one line between the first and the last."""
        name = self.account.id if self.account else ""
        try:
            value = json.loads(line)
            if line != f"{canonical(value)}\n".encode():
                self.find(number, "the line is not canonical JSON", name)
            if "account" in value:
                self.end_account()
                self.begin_account(value, number)
                return
            if self.account is None:
                raise ValueError("before the first account")
            if "transaction" in value:
                problems = self.account.transaction(value["hash"], value["previous_hash"], value["transaction"])
            else:
                problems = self.account.hold(value["hold"])
            for problem in problems:
                self.find(number, problem, name)
        except CANNOT_BE_READ as error:
            self.find(number, f"the line cannot be read: {error!r}", name)

    def begin_account(self, about: dict[str, Any], number: int) -> None:
        """Begin the next account."""
        account_id = about["account"]["account_id"]
        self.account = Account(about, number, self.unseen.pop(account_id, None))
        if account_id <= self.last_id:
            self.find(number, "the account stands here twice, or out of order", account_id)
        self.last_id = account_id
        self.counts["accounts"] += 1

    def end_account(self) -> None:
        """Check what can be known only at the end of an account."""
        done = self.account
        if done is None:
            return
        try:
            for problem in done.end():
                self.find(done.line, problem, done.id)
        except CANNOT_BE_READ as error:
            self.find(done.line, f"its line cannot be read: {error!r}", done.id)
        self.counts["transactions"] += done.transactions
        self.counts["entries"] += done.entries
        self.counts["holds"] += done.hold_lines
        self.account = None


def first_object(text: bytes, format_: str) -> dict[str, Any]:
    """The JSON object of a file of ours. Raises UnreadableError for another format or version."""
    try:
        value = json.loads(text)
        found = (value["format"], value["version"])
    except CANNOT_BE_READ:
        raise UnreadableError(f"it is no {format_}") from None
    if found != (format_, VERSION):
        raise UnreadableError(f"it is {found[0]!r}, version {found[1]!r}, not {format_!r}, version {VERSION}")
    return dict(value)


def read_checkpoint(path: Path) -> tuple[dict[str, tuple[int, str]], str]:
    """Account, seq and hash of a checkpoint, and its digest. Raises UnreadableError."""
    value = first_object(path.read_bytes(), CHECKPOINT)
    digest = value.pop("sha256", None)
    if digest != hashlib.sha256(canonical(value).encode("ascii")).hexdigest():
        raise UnreadableError("its sha256 is not that of what it says: it was changed")
    return {each["account_id"]: (each["seq"], each["hash"]) for each in value["accounts"]}, digest


def main() -> int:
    """Verify, print, and return the exit code."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, epilog=MORE, formatter_class=raw)
    parser.add_argument("export", type=Path, help="what `billing-mcp audit export` has written")
    parser.add_argument("--checkpoint", type=Path, help="what `billing-mcp audit checkpoint` has written before")
    given = parser.parse_args()
    path = given.checkpoint
    try:
        checkpoint, digest = read_checkpoint(path) if path else (None, "")
        verification = Verification(checkpoint)
        path = given.export
        with path.open("rb") as file:
            verification.read(file)
    except (OSError, UnreadableError) as error:
        print(f"error: {path}: {error}", file=sys.stderr)
        return 2
    counted = ", ".join(f"{count} {what}" for what, count in verification.counts.items())
    print(f"{'Not sound' if verification.findings else 'Sound'}: {counted}.")
    if checkpoint is not None:
        print(f"Compared with the checkpoint {digest}: {len(checkpoint)} accounts.")
    for account_id, line, problem in verification.findings:
        where = f"account {account_id}, " if account_id else ""
        print(printable(f"  {where}line {line}: {problem}"))
    return 1 if verification.findings else 0


def printable(text: str) -> str:
    """The text without what could command the reader's terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


if __name__ == "__main__":
    sys.exit(main())
