"""An instruction that no database can store fails alone; what was in its batch is carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from billing_mcp.domain.clock import system_clock
from billing_mcp.domain.holds import CaptureHold, HoldAction, PlaceHold
from billing_mcp.domain.instructions import IdempotencyKey, Instruction
from billing_mcp.domain.ledger import Posting
from billing_mcp.operations.platform_holds import DEFAULT_LIFE
from billing_mcp.store.posting.program import Outcome
from billing_mcp.store.store import Store
from tests.faults.ground import EUR, account, assert_sound, holds_on, open_accounts, outcomes, placed, topup

NUL, SURROGATE = "a\0b", "a\ud800b"
SEPARATOR, NULL = "a\x1fb", "\x1e"
NOW = system_clock()


def hold(reference: str) -> PlaceHold:
    return PlaceHold(EUR, reference, NOW + DEFAULT_LIFE)


def described(description: str) -> Posting:
    return replace(topup(account(0), ""), description=description)


def watch_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches from now on."""
    batches = store._postings._batches
    sizes: list[int] = []
    commit = batches.commit

    async def watched(instructions: Sequence[Instruction]) -> list[Outcome]:
        sizes.append(len(instructions))
        return await commit(instructions)

    monkeypatch.setattr(batches, "commit", watched)
    return sizes


POISON: dict[str, tuple[str, HoldAction | Posting, IdempotencyKey | None]] = {
    "an account with a NUL": (NUL, hold(""), None),
    "an account with half a character": (SURROGATE, hold(""), None),
    "a description with a NUL": (account(0), described(NUL), None),
    "a description with half a character": (account(0), described(SURROGATE), None),
    "a description with what separates texts": (account(0), described(SEPARATOR), None),
    "a description that says NULL": (account(0), described(NULL), None),
    "a reference with a NUL": (account(0), hold(NUL), None),
    "a hold with a NUL": (account(0), CaptureHold(NUL), None),
    "a hold with half a character": (account(0), CaptureHold(SURROGATE), None),
    "a key with half a character": (account(0), hold(""), IdempotencyKey(SURROGATE, "asked")),
}


@pytest.mark.parametrize("wrong", [NUL, SURROGATE])
async def test_an_id_that_cannot_be_stored_is_not_found_and_spoils_no_batch(
    store: Store, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    await open_accounts(store, 1)
    sizes = watch_batches(store, monkeypatch)
    holds = holds_on(store)
    asked = [holds.place(wrong, EUR), holds.capture(account(0), wrong), holds.release(account(0), wrong)]

    told = await outcomes([*asked, holds.expire(account(0), wrong), *(holds.place(account(0), EUR) for _ in range(3))])

    assert told[:4] == ["not_found"] * 4
    assert [receipt.account_id for receipt in told[4:]] == [account(0)] * 3
    assert sizes == [3]


@pytest.mark.parametrize("poison", POISON)
async def test_an_instruction_that_cannot_be_stored_spoils_no_other_one(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch, poison: str
) -> None:
    await open_accounts(store, 3)
    sizes = watch_batches(store, monkeypatch)
    account_id, action, key = POISON[poison]
    good = [Instruction(account(n % 3), hold(f"good-{n}"), NOW, IdempotencyKey(f"k{n}", "asked")) for n in range(6)]
    bad = Instruction(account_id, action, NOW, key)

    with capture_logs():
        told = await outcomes([store.submit(each) for each in [*good[:3], bad, *good[3:]]])

    assert sizes[0] == 7
    spoiled = told.pop(3)
    stored_by_sqlite = any(word in poison for word in ("NUL", "separates"))
    assert spoiled in ("internal_error", "not_found") or stored_by_sqlite
    assert [receipt.hold.reference for receipt in told] == [f"good-{n}" for n in range(6)]
    assert await placed(database, "good-") == {f"good-{n}": 1 for n in range(6)}
    await asyncio.wait_for(holds_on(store).place(account(0), EUR), 20)
    await assert_sound(store, database)
