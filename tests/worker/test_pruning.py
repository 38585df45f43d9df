"""What the platform was answered is forgotten by itself, and not before its time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing_mcp.app import worker_on
from billing_mcp.settings import Settings
from billing_mcp.store.platform_requests import KeyedRequest
from billing_mcp.store.store import Store
from billing_mcp.worker import pruning
from tests.conftest import Clock
from tests.world import charging_on


async def keep(store: Store, clock: Clock, key: str) -> None:
    async with store.write(clock()) as tx:
        await tx.platform_requests.keep(KeyedRequest.of("platform", key, "asked"), f"answer of {key}")


async def known(store: Store, clock: Clock, *keys: str) -> list[str]:
    """Which of the keys still have their answers."""
    async with store.write(clock()) as tx:
        requests = {key: KeyedRequest.of("platform", key, "asked") for key in keys}
        return [key for key, request in requests.items() if await tx.platform_requests.answered(request)]


@pytest.mark.parametrize("at_a_time", [1, 500])
async def test_an_answer_is_kept_for_a_day_at_least_and_forgotten_after_three(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    monkeypatch.setattr(pruning, "_AT_A_TIME", at_a_time)
    worker = worker_on(store, Settings(database="unused"), clock, charging_on(store, clock))
    for key in ("first", "second"):
        await keep(store, clock, key)
    clock.now += timedelta(hours=48)
    await keep(store, clock, "third")

    await worker.run_once()
    assert await known(store, clock, "first", "second", "third") == ["first", "second", "third"]

    clock.now += timedelta(hours=24, seconds=1)
    for _ in range(2):
        await worker.run_once()
    assert await known(store, clock, "first", "second", "third") == ["third"]
