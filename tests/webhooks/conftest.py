"""What the tests of webhooks share: books that are open, and a worker that tells endpoints."""

from __future__ import annotations

import pytest

from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.store.books import OTHER, open_books
from tests.webhooks.receiver import Post


@pytest.fixture
async def post(store: Store, clock: Clock) -> Post:
    await open_books(store)
    await open_books(store, account_id=OTHER)
    return Post(store, clock)
