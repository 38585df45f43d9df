"""The providers: the embedded one on each kind of database, and Stripe's library before localstripe."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.store.store import Store
from tests.conftest import Clock
from tests.payments.benches import Bench, embedded, over_localstripe

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def localstripe() -> Iterator[str]:
    """The URL of a localstripe that lives as long as the test session."""
    command = [sys.executable, "-m", "tests.payments.localstripe_process"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.communicate()


@pytest.fixture(params=["sqlite", "postgresql", "localstripe"])
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Where a provider is to be found: the embedded one in each kind of database, Stripe at localstripe."""
    return request.param, request.getfixturevalue(request.param)


@pytest.fixture
async def bench(place: tuple[str, str], clock: Clock) -> AsyncIterator[Bench]:
    """Each provider in turn."""
    kind, where = place
    async with over_localstripe(where) if kind == "localstripe" else embedded(where, clock) as opened:
        yield opened


@pytest.fixture
async def provider(store: Store, clock: Clock) -> EmbeddedProvider:
    """The test provider on each kind of database in turn."""
    return await EmbeddedProvider.open(store, clock)
