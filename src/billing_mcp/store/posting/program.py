"""Owns carrying out instructions: what they need is read once, each is decided in order, sets are written.

A program is a generator: it yields statements, and is sent what a Read has found. So the same code
runs on any connection: a batch's own, or that of an execution's transaction. A Write that does not
write all its rows ends it: what was read is not true any more.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from json.encoder import encode_basestring_ascii
from typing import Any, cast

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.errors import BillingError, InvalidArgument, NotFound
from billing_mcp.domain.events import Event
from billing_mcp.domain.holds import Decision, Hold, PlaceHold, decide_hold
from billing_mcp.domain.ids import new_id
from billing_mcp.domain.instructions import IdempotencyKey, Instruction, Receipt
from billing_mcp.domain.ledger import LedgerTransaction, Posting, Wallet, decide, line_items_to_json
from billing_mcp.domain.plans import AccountStatus
from billing_mcp.store.posting import sql
from billing_mcp.store.posting.sql import Change, NewRows, Read, Row, Words, Write


@dataclass(frozen=True, slots=True)
class Done:
    """An instruction that was carried out; a replay posted nothing."""

    receipt: Receipt
    transactions: tuple[LedgerTransaction, ...]


@dataclass(frozen=True, slots=True)
class Locked:
    """An instruction that was not looked at: others have its account locked."""


Outcome = Done | Locked | BillingError
Program = Generator[Read | Write, Any, list[Outcome]]

_AT_A_TIME = 64
"""So many are decided before they are written: a database can write these while others are decided."""


def carry_out(
    instructions: Sequence[Instruction], words: Words, *, wait: bool = True, together: bool = False
) -> Program:
    """Carry out each instruction for itself, in order; the outcomes are in the same order.

    With `wait` false, those on accounts that are locked have the outcome Locked. With `together` true the
    first refusal is raised, and nothing is written.
    """
    account_ids = sorted({each.account_id for each in instructions})
    found = yield words.books(account_ids, wait=wait)
    books = {row[1]: _Books(row[0], Wallet(*row[1:])) for row in found}
    missing = [account_id for account_id in account_ids if account_id not in books]
    locked: set[str] = set()
    if missing and not wait:
        locked = {account_id for (account_id,) in (yield words.known(missing))}
    plan = _Plan(books)
    yield from plan.read(words, [each for each in instructions if each.account_id in books])
    outcomes: list[Outcome] = []
    for each in instructions:
        try:
            outcomes.append(Locked() if each.account_id in locked else plan.take(each))
        except BillingError as error:
            if together:
                raise
            outcomes.append(error)
        if len(outcomes) % _AT_A_TIME == 0 and not together:
            yield from plan.write(words)
    yield from plan.write(words)
    yield from plan.end(words)
    return outcomes


class _Books:
    """A wallet and its account's status, as they were read and as they became."""

    __slots__ = ("read_seq", "read_status", "status", "wallet")

    def __init__(self, status: AccountStatus, wallet: Wallet) -> None:
        self.status = self.read_status = status
        self.wallet = wallet
        self.read_seq = wallet.last_seq


class _Plan:
    """What a batch of instructions comes to: the rows that it will write."""

    def __init__(self, books: dict[str, _Books]) -> None:
        self._books = books
        self._keys: dict[tuple[str, str], tuple[str, Receipt]] = {}
        self._holds: dict[tuple[str, str], Hold] = {}
        self._placed: set[tuple[str, str]] = set()
        self._changed: set[tuple[str, str]] = set()
        self._transactions: list[Row] = []
        self._entries: list[Row] = []
        self._new_keys: list[Row] = []
        self._events: list[Row] = []

    def read(self, words: Words, instructions: Sequence[Instruction]) -> Generator[Read, Any, None]:
        """Read what the instructions name: keys and holds."""
        keys = [(each.account_id, each.key.key_hash) for each in instructions if each.key]
        if keys:
            for account_id, key_hash, request_hash, receipt in (yield words.keys(keys)):
                self._keys[account_id, key_hash] = (request_hash, _receipt_from(account_id, receipt))
        named = {
            (each.account_id, each.action.hold_id)
            for each in instructions
            if not isinstance(each.action, PlaceHold | Posting)
        }
        if named:
            for row in (yield words.holds(sorted(named))):
                hold = hold_of(row)
                self._holds[hold.account_id, hold.hold_id] = hold

    def take(self, instruction: Instruction) -> Done:
        """Decide one instruction on what the ones before have left. Raises BillingError."""
        books = self._books.get(instruction.account_id)
        if books is None:
            raise NotFound(f"account {instruction.account_id} does not exist", field="account_id")
        if instruction.key is not None:
            replayed = self._replay(instruction.account_id, instruction.key)
            if replayed is not None:
                return Done(replayed, ())
        decision = self._decide(instruction, books)
        receipt = Receipt(
            account_id=instruction.account_id,
            transaction_ids=tuple([each.transaction_id for each in decision.transactions]),
            currency=decision.wallet.currency,
            available_micros=decision.wallet.available_micros,
            reserved_micros=decision.wallet.reserved_micros,
            hold=decision.hold,
        )
        books.wallet, books.status = decision.wallet, decision.status
        self._note(instruction, decision, receipt)
        return Done(receipt, decision.transactions)

    def _decide(self, instruction: Instruction, books: _Books) -> Decision:
        action, now = instruction.action, instruction.now
        if isinstance(action, Posting):
            wallet, transaction = decide(books.wallet, action, now=now)
            return Decision(wallet, books.status, (transaction,))
        hold = None if isinstance(action, PlaceHold) else self._holds.get((instruction.account_id, action.hold_id))
        return decide_hold(books.wallet, books.status, action, hold, now=now)

    def _replay(self, account_id: str, key: IdempotencyKey) -> Receipt | None:
        request_hash, receipt = self._keys.get((account_id, key.key_hash), (None, None))
        if receipt is not None and request_hash != key.request_hash:
            raise InvalidArgument(
                "this idempotency_key belongs to another request",
                code="idempotency_key_reused",
                field="idempotency_key",
                hint="Send the same request again, or use a new key for a new one.",
            )
        return replace(receipt, replayed=True) if receipt is not None else None

    def _note(self, instruction: Instruction, decision: Decision, receipt: Receipt) -> None:
        """The rows of what was decided."""
        for transaction in decision.transactions:
            self._transactions.append(_transaction_row(transaction))
            self._entries.extend(
                (
                    transaction.account_id,
                    transaction.seq,
                    line,
                    entry.ledger_account,
                    entry.amount_micros,
                    entry.currency,
                )
                for line, entry in enumerate(transaction.entries, start=1)
            )
        hold = decision.hold
        if hold is not None:
            name = (hold.account_id, hold.hold_id)
            self._holds[name] = hold
            (self._placed if isinstance(instruction.action, PlaceHold) else self._changed).add(name)
        if instruction.key is not None:
            key = instruction.key
            self._keys[instruction.account_id, key.key_hash] = (key.request_hash, receipt)
            row = (instruction.account_id, key.key_hash, key.request_hash, _receipt_to(receipt))
            self._new_keys.append((*row, to_epoch_us(instruction.now)))
        if decision.event is not None:
            self._events.append(_event_row(decision.event, instruction))

    def write(self, words: Words) -> Generator[Write, Any, None]:
        """Write what is decided so far."""
        new: list[NewRows] = [
            (sql.TRANSACTIONS, self._transactions),
            (sql.ENTRIES, self._entries),
            (sql.NEW_HOLDS, [_hold_row(self._holds[name]) for name in self._placed]),
            (sql.NEW_KEYS, self._new_keys),
            (sql.EVENTS, self._events),
        ]
        if sets := [each for each in new if each[1]]:
            yield from words.insert(sets)
        self._changed -= self._placed
        self._placed = set()
        self._transactions, self._entries, self._new_keys, self._events = [], [], [], []

    def end(self, words: Words) -> Generator[Write, Any, None]:
        """Write how holds, wallets and statuses are after all of it."""
        holds = [self._holds[name] for name in self._changed]
        moved = [books for books in self._books.values() if books.wallet.last_seq != books.read_seq]
        statuses = [books for books in moved if books.status != books.read_status]
        changes: list[tuple[Change, list[Row]]] = [
            (sql.HOLDS, [(*_state(hold), hold.account_id, hold.hold_id, "open") for hold in holds]),
            (sql.WALLETS, [(*_balances(each.wallet), each.wallet.account_id, each.read_seq) for each in moved]),
            (sql.STATUSES, [(each.status, each.wallet.account_id) for each in statuses]),
        ]
        for change, rows in changes:
            if rows:
                yield words.update(change, rows)


def hold_of(row: Row) -> Hold:
    """The hold of a stored row."""
    account_id, hold_id, reference, amount, captured, released, status, expires_us, created_us, closed_us = row
    return Hold(
        account_id=account_id,
        hold_id=hold_id,
        reference=reference,
        amount_micros=amount,
        captured_micros=captured,
        released_micros=released,
        status=status,
        expires_at=from_epoch_us(expires_us),
        created_at=from_epoch_us(created_us),
        closed_at=None if closed_us is None else from_epoch_us(closed_us),
    )


def _hold_row(hold: Hold) -> Row:
    captured, released, status, closed_us = _state(hold)
    expires_us, created_us = to_epoch_us(hold.expires_at), to_epoch_us(hold.created_at)
    whole = (hold.account_id, hold.hold_id, hold.reference, hold.amount_micros, captured, released, status)
    return (*whole, expires_us, created_us, closed_us)


def _state(hold: Hold) -> tuple[int, int, str, int | None]:
    closed_us = None if hold.closed_at is None else to_epoch_us(hold.closed_at)
    return hold.captured_micros, hold.released_micros, hold.status, closed_us


def _balances(wallet: Wallet) -> Row:
    balances = (wallet.available_micros, wallet.reserved_micros)
    return (*balances, wallet.last_seq, wallet.last_txn_seq, wallet.head_hash)


def _transaction_row(t: LedgerTransaction) -> Row:
    return (
        t.account_id,
        t.seq,
        t.txn_seq,
        t.transaction_id,
        t.type,
        t.direction,
        t.amount_micros,
        t.currency,
        t.status,
        t.description,
        to_epoch_us(t.effective_at),
        to_epoch_us(t.created_at),
        t.balance_after_micros,
        t.available_after_micros,
        t.reserved_after_micros,
        line_items_to_json(t.line_items),
        t.previous_hash,
        t.hash,
        t.hold_id,
    )


def _event_row(event: Event, instruction: Instruction) -> Row:
    payload = json.dumps(dict(event.payload), sort_keys=True)
    return (event.account_id, new_id(instruction.now), event.event, payload, to_epoch_us(instruction.now))


def _receipt_to(receipt: Receipt) -> str:
    # Formatted by hand, in a third of the time: only the reference can hold what must be escaped.
    ids = '","'.join(receipt.transaction_ids)
    hold = "null" if receipt.hold is None else _hold_to(receipt.hold)
    return f'[["{ids}"],"{receipt.currency}",{receipt.available_micros},{receipt.reserved_micros},{hold}]'


def _hold_to(hold: Hold) -> str:
    captured, released, status, closed_us = _state(hold)
    amounts = f"{hold.amount_micros},{captured},{released}"
    moments = f"{to_epoch_us(hold.expires_at)},{to_epoch_us(hold.created_at)},{closed_us or 'null'}"
    return f'["{hold.hold_id}",{encode_basestring_ascii(hold.reference)},{amounts},"{status}",{moments}]'


def _receipt_from(account_id: str, text: str) -> Receipt:
    transaction_ids, currency, available_micros, reserved_micros, hold = json.loads(text)
    return Receipt(
        account_id=account_id,
        transaction_ids=tuple(cast("list[str]", transaction_ids)),
        currency=currency,
        available_micros=available_micros,
        reserved_micros=reserved_micros,
        hold=hold_of((account_id, *hold)) if hold else None,
    )
