"""What must hold on a disk that gets full and then has room again, whatever it is that is full."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from billing_mcp.domain.clock import system_clock
from billing_mcp.store.store import Store
from tests.faults.ground import EUR, Crowd, assert_sound, descriptions, holds_on, outcomes, pay, placed
from tests.store.books import raw_connection

REFUSED = "database_unavailable"


async def fill_and_make_room(
    store: Store, database: str, accounts: list[str], make_room: Callable[[], Awaitable[None]]
) -> None:
    """Write until it is full, look at what is there, make room, and write again."""
    crowd = Crowd(store, accounts)
    crowd.start()
    await crowd.errors(40)
    await crowd.stop()
    assert set(crowd.codes) == {REFUSED}
    assert crowd.done

    holds = holds_on(store)
    waiting = [holds.place(accounts[n % 4], EUR, reference=f"full-{n}", idempotency_key=f"full-{n}") for n in range(8)]
    paying = [pay(store, account_id, "full") for account_id in accounts]
    assert await outcomes([*waiting, *paying]) == [REFUSED] * 12
    await assert_nothing_is_half_written(store, database)

    await make_room()
    before = await placed(database, "crowd-")
    assert before.keys() >= crowd.placed.keys()
    await crowd.assert_all_happen_once(database)
    again = [holds.place(accounts[n % 4], EUR, reference=f"full-{n}", idempotency_key=f"full-{n}") for n in range(8)]
    assert [receipt.replayed for receipt in await outcomes(again)] == [False] * 8
    await outcomes([pay(store, account_id, "room") for account_id in accounts])
    assert (await descriptions(database))["room"] == len(accounts)
    await assert_sound(store, database)


async def assert_nothing_is_half_written(store: Store, database: str) -> None:
    """Reads go on, the books are sound, and of what was refused nothing stands."""
    async with store.read(system_clock()) as tx:
        assert len(await tx.accounts.all()) == 4
    await assert_sound(store, database)
    assert await placed(database, "full-") == {}
    assert "full" not in await descriptions(database)
    async with raw_connection(database) as run:
        keys, holds = await run("SELECT COUNT(*) FROM posting_keys"), await run("SELECT COUNT(*) FROM holds")
    assert keys == holds
