"""The platform's routes in a small application of their own, and a client that talks to them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from httpx2 import ASGITransport, AsyncClient, Response
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from billing_mcp.app import App
from billing_mcp.faces.platform import add_platform
from billing_mcp.faces.rest.refusing import handlers
from billing_mcp.faces.scope import CALLER
from billing_mcp.kernel.principal import Platform

NOBODY = "0190c0de-0000-7000-8000-0000000000ff"
CREDENTIAL = "bmpk_12345678_a-secret-that-is-long-enough-to-be-one"


def platform_app(app: App) -> FastAPI:
    """The routes, and errors as problems."""
    api = FastAPI(exception_handlers=handlers(app))
    add_platform(api, app)
    return api


class SignedIn:
    """Notes whose credential a request came with, as signing in does."""

    def __init__(self, inner: ASGIApp, principal_id: str) -> None:
        self._inner = inner
        self._caller = Platform(principal_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._inner({**scope, CALLER: self._caller}, receive, send)


class PlatformClient:
    """What a server of the platform sends, and what it is answered."""

    def __init__(self, app: App, http: AsyncClient, api: FastAPI) -> None:
        self.app = app
        self.http = http
        self.api = api

    async def send(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Response:
        """Send a request; its answer has the shape that its route declares. A path is below /v1/platform, or whole."""
        path = whole(path)
        headers = {} if key is None else {"Idempotency-Key": key}
        content = None
        if body is not None:
            headers["Content-Type"], content = "application/json", json.dumps(body)  # as ASCII: any text at all
        response = await self.http.request(method, path, content=content, headers=headers)
        if response.status_code < 400 and response.content:
            known = self._declared(method, path).model_validate_json(response.content)
            assert _names(known.model_dump(exclude_unset=True)) == _names(response.json())  # and nothing else
        return response

    async def get(self, path: str) -> Any:
        """What a request shows that must work."""
        return (await must(self.send("GET", path))).json()

    async def place(self, account_id: str, amount: str = "1.00", *, key: str | None = None, **more: Any) -> Response:
        return await self.send("POST", f"/accounts/{account_id}/holds", {"amount": amount, **more}, key=key)

    async def placed(self, account_id: str, amount: str = "1.00") -> str:
        """The id of a new hold."""
        hold: dict[str, str] = (await must(self.place(account_id, amount))).json()
        return hold["hold_id"]

    async def batch(self, *items: dict[str, Any], key: str | None = None) -> Response:
        return await self.send("POST", "/holds/batch", {"items": list(items)}, key=key)

    def _declared(self, method: str, path: str) -> type[BaseModel]:
        for template, model in _models(self.api, method):
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path.partition("?")[0]):
                return model
        raise AssertionError(f"no route for {method} {path}")


def whole(path: str) -> str:
    """The path of a request as it is sent."""
    return path if path.startswith("/v1/") else f"/v1/platform{path}"


def _names(value: Any) -> Any:
    """The names in an answer, without what they stand for."""
    if isinstance(value, dict):
        return {name: _names(inner) for name, inner in value.items()}
    return [_names(inner) for inner in value] if isinstance(value, list) else None


def _models(api: FastAPI, method: str) -> list[tuple[str, type[BaseModel]]]:
    return [
        (context.path or "", context.response_model)
        for context in iter_route_contexts(api.routes)
        if method in (context.methods or ()) and getattr(context, "response_model", None)
    ]


async def must(asking: Any) -> Response:
    """The answer to a request that works."""
    response: Response = await asking
    assert response.status_code < 300, response.text
    return response


def refusal(response: Response, status: int, code: str) -> dict[str, Any]:
    """The problem that a request was refused with."""
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    return body


@asynccontextmanager
async def platform_client(
    app: App, principal_id: str = "platform_1", credential: str = CREDENTIAL
) -> AsyncIterator[PlatformClient]:
    """A client of one platform, signed in."""
    api = platform_app(app)
    transport = ASGITransport(app=SignedIn(api, principal_id))
    headers = {"Authorization": f"Bearer {credential}"}
    async with AsyncClient(transport=transport, base_url="http://billing", headers=headers) as http:
        yield PlatformClient(app, http, api)
