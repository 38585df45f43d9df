"""Owns carrying out instructions: what they need is read once, each is decided in order, sets are written.

A program is a generator: it yields statements, and is sent what a Read has found. So the same code
runs on any connection: a batch's own, or that of an execution's transaction. A Write that does not
write all its rows ends it: what was read is not true any more.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from billing_mcp.domain.alerts import balance_moved
from billing_mcp.domain.booking import MessageDecision
from billing_mcp.domain.errors import BillingError, InsufficientFunds, InvalidArgument, NotFound
from billing_mcp.domain.holds import CaptureHold, Decision, ExpireHold, Hold, PlaceHold, ReleaseHold, decide_hold
from billing_mcp.domain.instructions import IdempotencyKey, Instruction, Receipt
from billing_mcp.domain.ledger import (
    MAX_TOTAL_MICROS,
    LedgerTransaction,
    Posting,
    Wallet,
    decide,
    insufficient_funds,
)
from billing_mcp.domain.plans import AccountStatus
from billing_mcp.store.accounts import status_columns
from billing_mcp.store.posting import sql
from billing_mcp.store.posting.rows import (
    changed_hold_row,
    changed_wallet_row,
    entry_rows,
    event_row,
    hold_of,
    hold_row,
    key_row,
    receipt_of,
    transaction_row,
)
from billing_mcp.store.posting.sql import Change, NewRows, Read, Row, Words, Write
from billing_mcp.store.posting.traffic import MESSAGE_ACTIONS, Traffic


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

_LEAST_AT_A_TIME = 16


def carry_out(
    instructions: Sequence[Instruction], words: Words, *, wait: bool = True, together: bool = False
) -> Program:
    """Carry out each instruction for itself, in order; the outcomes are in the same order.

    With `wait` false, those on accounts that are locked have the outcome Locked. With `together` true the
    first refusal is raised, and nothing is written.
    """
    account_ids = sorted({each.account_id for each in instructions})
    found = yield words.books(account_ids, wait=wait)
    books = {row[1]: _Books(row[0], Wallet(*row[1:-2]), *row[-2:]) for row in found}
    missing = [account_id for account_id in account_ids if account_id not in books]
    locked: set[str] = set()
    if missing and not wait:
        locked = {account_id for (account_id,) in (yield words.known(missing))}
    plan = _Plan(books)
    yield from plan.read(words, [each for each in instructions if each.account_id in books])
    outcomes: list[Outcome] = []
    # A quarter is decided before it is written: a database can write it while the next one is decided.
    at_a_time = len(instructions) if together else max(_LEAST_AT_A_TIME, len(instructions) // 4)
    for number, each in enumerate(instructions):
        try:
            outcomes.append(Locked() if each.account_id in locked else plan.take(each))
        except BillingError as error:
            if together:
                refused = plan.whole_shortfall(error, instructions[number:])
                refused.item = number if refused is error else None
                raise refused from None
            outcomes.append(error)
        if len(outcomes) % at_a_time == 0:
            yield from plan.write(words)
    yield from plan.write(words)
    yield from plan.end(words, instructions[-1].now)
    return outcomes


class _Books:
    """A wallet and its account's status, as they were read and as they became; and who wants to hear of it when."""

    __slots__ = ("high_micros", "low_micros", "read_status", "read_wallet", "status", "wallet")

    def __init__(self, status: AccountStatus, wallet: Wallet, low_micros: int | None, high_micros: int | None) -> None:
        self.status = self.read_status = status
        self.wallet = self.read_wallet = wallet
        self.low_micros = low_micros
        self.high_micros = high_micros

    @property
    def is_noticed(self) -> bool:
        """Whether available has become what somebody wants to hear of, or the account past_due by what happened.

        A debt is looked at though nobody watches yet: who does has money that comes in noticed, which pays it.
        """
        available, low, high = self.wallet.available_micros, self.low_micros, self.high_micros
        left_its_span = (low is not None and available < low) or (high is not None and available >= high)
        return left_its_span or (self.status == "past_due" != self.read_status)


class _Plan:
    """What a batch of instructions comes to: the rows that it will write."""

    def __init__(self, books: dict[str, _Books]) -> None:
        self._books = books
        self._keys: dict[tuple[str, str], tuple[str, Receipt]] = {}
        self._holds: dict[tuple[str, str], Hold] = {}
        self._placed: dict[tuple[str, str], Row] = {}
        self._changed: dict[tuple[str, str], Row] = {}
        self._transactions: list[Row] = []
        self._entries: list[Row] = []
        self._new_keys: list[Row] = []
        self._events: list[Row] = []
        self._traffic = Traffic()

    def read(self, words: Words, instructions: Sequence[Instruction]) -> Generator[Read, Any, None]:
        """Read what the instructions name: keys, messages and holds."""
        keys = [(each.account_id, each.key.key_hash) for each in instructions if each.key]
        told: dict[tuple[str, str], tuple[str, str]] = {}
        if keys:
            for account_id, key_hash, request_hash, text in (yield words.asked(sql.KEYS_ASKED, keys)):
                receipt, message_id = receipt_of(account_id, text)
                self._keys[account_id, key_hash] = (request_hash, receipt)
                if message_id is not None:
                    told[account_id, key_hash] = (account_id, message_id)
        named = yield from self._traffic.read(words, instructions, told.values())
        named |= {
            (each.account_id, each.action.hold_id)
            for each in instructions
            if isinstance(each.action, CaptureHold | ReleaseHold | ExpireHold)
        }
        if named:
            for row in (yield words.asked(sql.HOLDS_ASKED, sorted(named))):
                hold = hold_of(row)
                self._holds[hold.account_id, hold.hold_id] = hold
        for key, place in told.items():
            request_hash, receipt = self._keys[key]
            message = self._traffic.messages[place]
            held = self._holds.get((place[0], message.hold_id)) if message.hold_id else None
            self._keys[key] = (request_hash, replace(receipt, message=message, hold=held))

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
            message=decision.message if isinstance(decision, MessageDecision) else None,
        )
        books.wallet, books.status = decision.wallet, decision.status
        self._note(instruction, decision, receipt)
        return Done(receipt, decision.transactions)

    def whole_shortfall(self, error: BillingError, rest: Sequence[Instruction]) -> BillingError:
        """What all that is asked together is short of, when the first of the rest was; any other error as it is.

        The plan is of no use after it.
        """
        if not isinstance(error, InsufficientFunds) or len(rest) < 2:
            return error
        books = self._books[rest[0].account_id]
        before = books.read_wallet.available_micros - books.wallet.available_micros
        rich = MAX_TOTAL_MICROS - books.wallet.reserved_micros
        books.wallet = replace(books.wallet, available_micros=rich)
        try:
            for each in rest:
                self.take(each)
        except BillingError:
            return error
        return insufficient_funds(books.read_wallet, before + rich - books.wallet.available_micros)

    def _decide(self, instruction: Instruction, books: _Books) -> Decision | MessageDecision:
        action, now = instruction.action, instruction.now
        if isinstance(action, MESSAGE_ACTIONS):
            return self._traffic.decide(instruction, books.wallet, books.status, self._holds)
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

    def _note(self, instruction: Instruction, decision: Decision | MessageDecision, receipt: Receipt) -> None:
        """The rows of what was decided."""
        for transaction in decision.transactions:
            self._transactions.append(transaction_row(transaction))
            self._entries.extend(entry_rows(transaction))
        hold, row = decision.hold, None
        if hold is not None:
            name = (hold.account_id, hold.hold_id)
            row = hold_row(hold)
            if name not in self._holds:
                self._placed[name] = row
            elif hold != self._holds.get(name):
                self._changed[name] = row
            self._holds[name] = hold
        if instruction.key is not None:
            self._keys[instruction.account_id, instruction.key.key_hash] = (instruction.key.request_hash, receipt)
            kept = None if receipt.message else row  # a message names its hold
            self._new_keys.append(key_row(instruction.key, instruction.now, receipt, kept))
        if isinstance(decision, MessageDecision):
            self._traffic.note(instruction.account_id, decision)
            self._events.extend(event_row(event, instruction.now) for event in decision.events)
        elif decision.event is not None:
            self._events.append(event_row(decision.event, instruction.now))

    def write(self, words: Words) -> Generator[Write, Any, None]:
        """Write what is decided so far."""
        new: list[NewRows] = [
            (sql.TRANSACTIONS, self._transactions),
            (sql.ENTRIES, self._entries),
            (sql.NEW_HOLDS, [self._changed.pop(name, row) for name, row in self._placed.items()]),
            (sql.NEW_KEYS, self._new_keys),
            (sql.EVENTS, self._events),
            *self._traffic.new_rows(),
        ]
        if sets := [each for each in new if each[1]]:
            yield from words.insert(sets)
        self._placed = {}
        self._transactions, self._entries, self._new_keys, self._events = [], [], [], []

    def end(self, words: Words, now: datetime) -> Generator[Write, Any, None]:
        """Write how holds, wallets and statuses are after all of it, and who wanted to hear of a wallet."""
        moved = [books for books in self._books.values() if books.wallet.last_seq != books.read_wallet.last_seq]
        statuses = [books for books in moved if books.status != books.read_status]
        noticed = [books.wallet for books in moved if books.is_noticed]
        if noticed:
            yield from words.insert([(sql.EVENTS, [event_row(balance_moved(each), now) for each in noticed])])
        changes: list[tuple[Change, list[Row]]] = [
            (sql.HOLDS, [changed_hold_row(row) for row in self._changed.values()]),
            (sql.WALLETS, [changed_wallet_row(each.wallet, each.read_wallet.last_seq) for each in moved]),
            (sql.WATCHES, [(None, None, each.account_id) for each in noticed]),
            (sql.STATUSES, [(*status_columns(each.status, now).values(), each.wallet.account_id) for each in statuses]),
            (sql.MESSAGES, self._traffic.changed_rows()),
        ]
        for change, rows in changes:
            if rows:
                yield words.update(change, rows)
        for into, rows in self._traffic.upserts():
            if rows:
                yield words.upsert(into, rows)
        if gone := self._traffic.gone_rows():
            yield words.remove(sql.EVENTS_GONE, gone)
