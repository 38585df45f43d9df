"""What can be done to stored books, and which row the audit must name for it."""

from __future__ import annotations

from dataclasses import dataclass

from billing_mcp.domain.ledger import LineItem, line_items_to_json
from tests.store.books import ACCOUNT


@dataclass(frozen=True)
class Forgery:
    """What somebody did to the books of ACCOUNT, and which row must be named for it."""

    name: str
    seq: int | None
    problem: str
    statements: tuple[str, ...]


MINE = f"account_id = '{ACCOUNT}'"


def forgery(name: str, seq: int | None, problem: str, *statements: str) -> Forgery:
    """`MINE` in a statement stands for the rows of ACCOUNT."""
    return Forgery(name, seq, problem, tuple(statement.replace("MINE", MINE) for statement in statements))


# LIFE is: 1 top-up 100.00, 2 hold 10.00, 3 capture 6.00, 4 release 4.00, 5 charge 20.50, 6 top-up 5.25.
FORGERIES = (
    forgery(
        "an amount of an entry is changed",
        3,
        "do not sum to zero",
        "UPDATE ledger_entries SET amount_micros = -1 WHERE seq = 3 AND line = 1 AND MINE",
    ),
    forgery(
        "both amounts of a transaction are changed",
        5,
        "balances after it are not the sum",
        "UPDATE ledger_entries SET amount_micros = amount_micros / 2 WHERE seq = 5 AND MINE",
    ),
    forgery(
        "all amounts of a transaction are changed, with the balances after it",
        5,
        "hash does not match",
        "UPDATE ledger_entries SET amount_micros = amount_micros / 2 WHERE seq = 5 AND MINE",
        "UPDATE ledger_transactions SET amount_micros = 10250000, balance_after_micros = 83750000, "
        "available_after_micros = 83750000 WHERE seq = 5 AND MINE",
    ),
    forgery(
        "money is moved between two ledger accounts",
        3,
        "hash does not match",
        "UPDATE ledger_entries SET ledger_account = 'credits' WHERE seq = 3 AND line = 2 AND MINE",
    ),
    forgery(
        "the currency of both entries is changed",
        6,
        "hash does not match",
        "UPDATE ledger_entries SET currency = 'USD' WHERE seq = 6 AND MINE",
    ),
    forgery(
        "the currency of one entry is changed",
        6,
        "do not sum to zero",
        "UPDATE ledger_entries SET currency = 'USD' WHERE seq = 6 AND line = 2 AND MINE",
    ),
    forgery(
        "an entry is deleted",
        1,
        "do not sum to zero",
        "DELETE FROM ledger_entries WHERE seq = 1 AND line = 2 AND MINE",
    ),
    forgery(
        "all entries of a hold are deleted",
        2,
        "it has no entries",
        "DELETE FROM ledger_entries WHERE seq = 2 AND MINE",
    ),
    forgery(
        "all entries of a charge are deleted",
        5,
        "it has no entries",
        "DELETE FROM ledger_entries WHERE seq = 5 AND MINE",
    ),
    forgery(
        "two entries that cancel out are added",
        4,
        "hash does not match",
        "INSERT INTO ledger_entries SELECT account_id, seq, line + 2, 'tax', amount_micros, currency "
        "FROM ledger_entries WHERE seq = 4 AND MINE",
    ),
    forgery(
        "the first transaction is deleted",
        2,
        "seq 1 is missing",
        "DELETE FROM ledger_entries WHERE seq = 1 AND MINE",
        "DELETE FROM ledger_transactions WHERE seq = 1 AND MINE",
    ),
    forgery(
        "a transaction in the middle is deleted",
        4,
        "seq 3 is missing",
        "DELETE FROM ledger_entries WHERE seq = 3 AND MINE",
        "DELETE FROM ledger_transactions WHERE seq = 3 AND MINE",
    ),
    forgery(
        "the last transaction is deleted",
        None,
        "available is not the sum of the ledger",
        "DELETE FROM ledger_entries WHERE seq = 6 AND MINE",
        "DELETE FROM ledger_transactions WHERE seq = 6 AND MINE",
    ),
    forgery(
        "the last transaction is deleted and the balance set to match",
        None,
        "the ledger ends at seq 5, not 6",
        "DELETE FROM ledger_entries WHERE seq = 6 AND MINE",
        "DELETE FROM ledger_transactions WHERE seq = 6 AND MINE",
        "UPDATE wallets SET available_micros = 73500000 WHERE MINE",
    ),
    forgery(
        "the whole ledger is deleted",
        None,
        "available is not the sum of the ledger",
        "DELETE FROM ledger_entries WHERE MINE",
        "DELETE FROM ledger_transactions WHERE MINE",
    ),
    forgery(
        "two hashes are swapped",
        2,
        "hash does not match",
        "UPDATE ledger_transactions SET hash = CASE seq "
        "WHEN 2 THEN (SELECT t.hash FROM ledger_transactions t WHERE t.seq = 5 AND MINE) "
        "ELSE (SELECT t.hash FROM ledger_transactions t WHERE t.seq = 2 AND MINE) END "
        "WHERE seq IN (2, 5) AND MINE",
    ),
    forgery(
        "a previous hash is changed",
        4,
        "previous_hash is not the hash of the one before",
        "UPDATE ledger_transactions SET previous_hash = hash WHERE seq = 4 AND MINE",
    ),
    forgery(
        "a hold is counted as a transaction",
        2,
        "txn_seq is not the next one",
        "UPDATE ledger_transactions SET txn_seq = 99 WHERE seq = 2 AND MINE",
    ),
    forgery(
        "the balance after a transaction is changed",
        4,
        "are not its balance_after",
        "UPDATE ledger_transactions SET balance_after_micros = 1 WHERE seq = 4 AND MINE",
    ),
    forgery(
        "money is moved from available to reserved",
        None,
        "available is not the sum of the ledger",
        "UPDATE wallets SET available_micros = available_micros - 1, reserved_micros = reserved_micros + 1 WHERE MINE",
    ),
    forgery(
        "available grows",
        None,
        "available is not the sum of the ledger",
        "UPDATE wallets SET available_micros = available_micros + 1 WHERE MINE",
    ),
    forgery(
        "reserved grows",
        None,
        "reserved is not the sum of the ledger",
        "UPDATE wallets SET reserved_micros = reserved_micros + 1 WHERE MINE",
    ),
    forgery(
        "the wallet's seq is changed",
        None,
        "the ledger ends at seq 6, not 7",
        "UPDATE wallets SET last_seq = 7 WHERE MINE",
    ),
    forgery(
        "a hold is deleted",
        None,
        "is in the ledger alone",
        "DELETE FROM holds WHERE MINE",
    ),
    forgery(
        "a hold that has ended is open again",
        None,
        "is not what the ledger says of it",
        "UPDATE holds SET status = 'open', released_micros = 0 WHERE MINE",
    ),
    forgery(
        "what was captured of a hold is changed",
        None,
        "is not what the ledger says of it",
        "UPDATE holds SET captured_micros = captured_micros - 1, released_micros = released_micros + 1 WHERE MINE",
    ),
    forgery(
        "a hold is added",
        None,
        "there are holds that the ledger does not know",
        "INSERT INTO holds SELECT account_id, 'x', reference, amount_micros, captured_micros, released_micros, status, "
        "expires_at_us, created_at_us, closed_at_us FROM holds WHERE MINE",
    ),
    forgery(
        "an open hold is added",
        None,
        "hold x is stored alone",
        "INSERT INTO holds SELECT account_id, 'x', reference, 1, 0, 0, 'open', expires_at_us, created_at_us, NULL "
        "FROM holds WHERE MINE",
    ),
    forgery(
        "the wallet's txn_seq is changed",
        None,
        "last_txn_seq is not that of the ledger",
        "UPDATE wallets SET last_txn_seq = 3 WHERE MINE",
    ),
    forgery(
        "the wallet's hash is changed",
        None,
        "head_hash is not the hash of the last transaction",
        "UPDATE wallets SET head_hash = 'f' WHERE MINE",
    ),
)

ANOTHER_LINE = LineItem("message", "Nothing", "1", "message", 1, 1, "usage")
FACTS = {
    "hold_id": "0190c0de-0000-7000-8000-000000000fff",
    "transaction_id": "0190c0de-0000-7000-8000-000000000fff",
    "type": "adjustment",
    "direction": "credit",
    "amount_micros": 1,
    "currency": "USD",
    "status": "failed",
    "description": "Nothing",
    "effective_at_us": 0,
    "created_at_us": 0,
    "line_items_json": line_items_to_json([ANOTHER_LINE]),
}
