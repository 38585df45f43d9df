"""Owns the platform's routes of agents' keys: making, listing and revoking them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from billing_mcp.domain.clock import iso
from billing_mcp.domain.errors import NotFound
from billing_mcp.faces.platform.desk import AtDesk, Keyed, Reply
from billing_mcp.faces.platform.direct import hot_router
from billing_mcp.faces.platform.models import Keys, NewKey, NewKeyShown, PageAsked
from billing_mcp.operations.paging import cut, id_of
from billing_mcp.operations.platform import make_agent_key
from billing_mcp.store.keys import KeyRecord
from billing_mcp.store.store import Transaction

router = hot_router()


@router.post("/keys", status_code=201, response_model=NewKeyShown)
async def create_key(given: NewKey, asking: Keyed) -> Response:
    """Make a key for an agent. Its text is in this answer alone; the platform's own are made by the command line.

    The same request under the same `Idempotency-Key` has the text again: it is kept encrypted, and only your
    credential opens it.
    Errors: not_found.
    """

    async def work(tx: Transaction) -> Reply:
        text, record = await make_agent_key(
            tx,
            given.name,
            account_ids=given.account_ids,
            permissions=set(given.permissions),
            read_only=given.read_only,
            default_account_id=given.default_account_id,
            expires_at=given.expires_at,
        )
        return Reply.of({"key": text, **_key(record)}, status=201)

    return await asking.in_one_transaction(given, work, sealed=True)


@router.get("/keys", response_model=Keys)
async def list_keys(asked: Annotated[PageAsked, Query()], desk: AtDesk) -> dict[str, Any]:
    """All keys of agents, without their secrets, some at a time.

    Give `next_cursor` of an answer as `cursor` to go on, in the same order.
    """
    beyond = None if asked.cursor is None else id_of(asked.cursor)
    newest_first = asked.order == "newest"
    found = await desk.read(lambda tx: tx.keys.page(beyond=beyond, newest_first=newest_first, limit=asked.limit + 1))
    shown, next_cursor = cut(found, asked.limit, lambda last: last.key_id)
    return {"items": [_key(each) for each in shown], "next_cursor": next_cursor}


@router.delete("/keys/{prefix}", status_code=204, response_class=Response)
async def revoke_key(
    prefix: Annotated[str, Path(pattern=r"^[0-9a-f]{8}$", description="As the list of keys shows it.")], desk: AtDesk
) -> Response:
    """Revoke a key of an agent; it is refused from its next call on.

    What is revoked already is not found. The platform's own keys are revoked by the command line.
    Errors: not_found.
    """
    if not await desk.revoke(prefix):
        raise NotFound(
            f"there is no live key {prefix} of an agent", field="prefix", hint="GET /v1/platform/keys lists all."
        )
    return Response(status_code=204)


def _key(key: KeyRecord) -> dict[str, Any]:
    return {
        "prefix": key.prefix,
        "name": key.name,
        "account_ids": key.account_ids,
        "permissions": key.permissions,
        "read_only": key.read_only,
        "default_account_id": key.default_account_id,
        "created_at": iso(key.created_at),
        "expires_at": iso(key.expires_at) if key.expires_at else None,
        "revoked_at": iso(key.revoked_at) if key.revoked_at else None,
    }
