"""A key is 256 random bits, shown once; what is stored of it opens nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from billing_mcp.app import App
from billing_mcp.domain.errors import Unauthenticated
from billing_mcp.kernel.keys import Keyring, mint_key
from billing_mcp.kernel.principal import Permission, Principal
from billing_mcp.settings import Settings
from tests.world import SettableClock, World


async def new_key(world: World, *account_ids: str, **options: Any) -> str:
    chosen: dict[str, Any] = {"permissions": [Permission.VIEW], "read_only": False, "expires_at": None} | options
    text, record = mint_key("test", account_ids=account_ids, now=world.clock(), **chosen)
    async with world.app.store.write(world.clock()) as tx:
        await tx.keys.add(record)
    return text


async def refusal(world: World, text: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await Keyring(world.app.store, world.clock).holder_of(text)
    return caught.value.code


async def test_a_key_grants_what_it_was_made_for(world: World) -> None:
    account_id = await world.account()
    text = await new_key(world, account_id, permissions=[Permission.MANAGE], read_only=True)

    principal = await Keyring(world.app.store, world.clock).holder_of(text)

    assert isinstance(principal, Principal)
    assert principal.permissions == {Permission.MANAGE}
    assert principal.account_ids == frozenset({account_id})
    assert principal.read_only


async def test_only_prefix_and_hash_are_stored(world: World) -> None:
    text = await new_key(world)
    secret = text.split("_", 2)[2]

    async with world.app.store.read(world.clock()) as tx:
        (stored,) = await tx.keys.all()

    assert len(secret) >= 43  # 256 bits in base64
    assert secret not in repr(stored)
    assert stored.prefix in text


@pytest.mark.parametrize("spoil", [lambda key: key + "x", lambda key: key[:-1], lambda _: "", lambda key: key.upper()])
async def test_anything_but_the_key_is_refused(world: World, spoil: Any) -> None:
    text = await new_key(world)

    assert await refusal(world, spoil(text)) == "invalid_key"


async def test_a_secret_opens_only_its_own_prefix(world: World) -> None:
    mark, prefix, _ = (await new_key(world)).split("_", 2)
    other = (await new_key(world)).split("_", 2)[2]

    assert await refusal(world, f"{mark}_{prefix}_{other}") == "invalid_key"


async def test_a_key_that_cannot_be_read_keeps_no_other_waiting(world: World) -> None:
    good, odd = await new_key(world), await new_key(world, permissions=["billing.of_another_version"])
    keyring = Keyring(world.app.store, world.clock)

    async with asyncio.timeout(30):
        refused, found = await asyncio.gather(keyring.holder_of(odd), keyring.holder_of(good), return_exceptions=True)

    assert isinstance(refused, ValueError)
    assert isinstance(found, Principal)


async def test_a_key_ends_when_it_expires(world: World) -> None:
    text = await new_key(world, expires_at=world.clock.now + timedelta(days=1))

    await Keyring(world.app.store, world.clock).holder_of(text)
    world.clock.now += timedelta(days=1)

    assert await refusal(world, text) == "key_expired"


async def test_a_revoked_key_is_refused_from_its_next_call_on(world: World, app_with_key: tuple[App, str]) -> None:
    app, prefix = app_with_key
    await app.local_principal()
    async with world.app.store.write(world.clock()) as tx:
        assert await tx.keys.revoke(prefix, world.clock())
        assert not await tx.keys.revoke(prefix, world.clock())

    with pytest.raises(Unauthenticated) as caught:
        await app.local_principal()
    assert caught.value.code == "key_revoked"


@pytest.fixture
async def app_with_key(world: World, database: str, clock: SettableClock) -> AsyncIterator[tuple[App, str]]:
    text = await new_key(world)
    settings = Settings(database=database, key=SecretStr(text))
    async with App.open(settings, clock=clock) as opened:
        yield opened, text.split("_")[1]
