"""A test's own server leaves nothing behind, or another test would pay for it."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from contextlib import suppress

import pytest

from tests.sockets import listening


async def test_who_connects_as_a_server_ends_is_hung_up_on() -> None:
    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    clients = []
    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always")
        for turns in range(6):
            async with listening(serve) as port:
                clients.append(socket.create_connection(("127.0.0.1", port)))
                for _ in range(turns):
                    await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()

    assert [str(each.message) for each in left] == []
    for client in clients:
        with client, suppress(ConnectionResetError):
            client.settimeout(10)
            assert client.recv(1) == b""


async def test_an_assertion_that_fails_in_a_server_fails_the_test() -> None:
    async def serve(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise AssertionError("not what was asked for")

    async def ask() -> None:
        async with listening(serve) as port:
            with socket.create_connection(("127.0.0.1", port)):
                await asyncio.sleep(10)

    with pytest.raises(ExceptionGroup) as failed:
        await ask()

    assert failed.group_contains(AssertionError, match="not what was asked for")
