"""Seeding that was interrupted is told from seeding that is whole."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from billing_mcp.demo.history import seed_demo
from billing_mcp.domain.errors import Refused
from billing_mcp.store.store import Store

NOW = datetime(2026, 3, 12, 10, tzinfo=UTC)
FEW = 50


@pytest.mark.parametrize("cut", [1, 5, 30, 70])
async def test_a_past_that_was_cut_off_is_not_taken_for_a_whole_one(sqlite: str, cut: int) -> None:
    def interrupt(done: int, _of: int) -> None:
        if done == cut:
            raise KeyboardInterrupt

    store = await Store.open(sqlite)
    try:
        with pytest.raises(KeyboardInterrupt):
            await seed_demo(store, NOW, messages=FEW, progress=interrupt)
        with pytest.raises(Refused) as caught:
            await seed_demo(store, NOW, messages=FEW)
    finally:
        await store.close()
    assert caught.value.code == "demo_incomplete"
    assert caught.value.hint == "Give another --database."
