"""What the engine compares when it writes a hold: nobody else has ended it meanwhile."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from billing_mcp.domain.errors import Internal
from billing_mcp.domain.holds import CaptureHold, PlaceHold
from billing_mcp.domain.instructions import Instruction
from billing_mcp.operations.platform_holds import DEFAULT_LIFE
from billing_mcp.store.store import Store
from tests.store.books import ACCOUNT, NOW, eur, history, open_books, topup, wallet


async def test_a_hold_that_changes_under_a_capture_stops_it(store: Store) -> None:
    await open_books(store, topup("10.00"))
    placed = await store.submit(Instruction(ACCOUNT, PlaceHold(eur("4.00"), "", NOW + DEFAULT_LIFE), NOW))
    assert placed.hold is not None
    capture = Instruction(ACCOUNT, CaptureHold(placed.hold.hold_id), NOW)
    before = await history(store), await wallet(store)

    def intrude(_connection: object, cursor: object, statement: str, *_: object) -> None:
        if "INSERT INTO ledger_entries" in statement:
            cursor.execute("UPDATE holds SET status = 'released'")  # type: ignore[attr-defined]

    engine = store._writer.sync_engine
    event.listen(engine, "before_cursor_execute", intrude)
    with pytest.raises(Internal, match="holds changed under a posting"):
        async with store.write(NOW) as tx:
            await tx.ledger.carry_out([capture])
    event.remove(engine, "before_cursor_execute", intrude)

    assert (await history(store), await wallet(store)) == before
    assert (await store.submit(capture)).hold != placed.hold
