"""The requests and answers that the description of REST shows: really made, of the demo's data on a fixed day."""

from __future__ import annotations

import json
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from httpx2 import ASGITransport, AsyncClient

from billing_mcp.app import App
from billing_mcp.demo.history import STORIES, seed_demo
from billing_mcp.faces.health import Health
from billing_mcp.faces.http import build_http_app
from billing_mcp.faces.metrics import Metrics
from billing_mcp.faces.rates import Rates
from billing_mcp.faces.rest.functions import places
from billing_mcp.kernel.principal import Permission
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.platform import make_agent_key
from billing_mcp.settings import Settings

ACCOUNT = STORIES[0].account_id
SCRIPT = (
    f"wallet = billing.wallet_balance.get(account_id={ACCOUNT!r})\n"
    f"change = billing.plan.change(account_id={ACCOUNT!r}, plan_id='smtp_per_proxy')\n"
    "{'net_balance': wallet['net_balance'], 'from': change['previous_plan_id']}"
)
EXECUTION_ID = "019ce17d-2100-7ac7-838b-431884db82ec"
BODIES: dict[str, dict[str, Any]] = {
    "billing.plan.change": {"plan_id": "smtp_per_proxy", "effective_date": "2026-04-01"},
    "billing.plan.cancel": {"cancel_at_period_end": True},
    "billing.plan.resume": {},
}
"""What is sent to the functions that change something, in the order in which it is sent."""


async def recorded(now: str) -> str:
    """The examples, as they are kept in a file."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database=str(Path(folder) / "billing.db"), now=datetime.fromisoformat(now), workers=1)
        async with App.open(settings) as app:
            await seed_demo(app.store, app.clock())
            async with app.store.write(app.clock()) as tx:
                key, _ = await make_agent_key(tx, "examples", account_ids=[ACCOUNT], permissions=list(Permission))
            headers = {"Authorization": f"Bearer {key}"}
            async with AsyncClient(transport=_served(app), base_url="http://localhost", headers=headers) as client:
                found = await _record(client)
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _served(app: App) -> ASGITransport:
    return ASGITransport(build_http_app(app, Metrics(REGISTRY), Health(app), Rates(app.settings)))


async def document() -> str:
    """The description of REST itself."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            App.open(Settings(database=str(Path(folder) / "billing.db"), workers=1)) as app,
            AsyncClient(transport=_served(app), base_url="http://localhost") as client,
        ):
            found = (await client.get("/openapi.json")).json()
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


async def _record(client: AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = {}
    asked = {"code": SCRIPT, "preview": True}
    answered = await _ask(client, "POST", "/v1/executions", asked)
    found["execute"] = {"request": asked, "response": answered | {"execution_id": EXECUTION_ID}}
    public = {place.operation.name: place for place in places(REGISTRY) if not place.own}
    for name in [name for name in public if not REGISTRY[name].writes] + list(BODIES):
        place = public[name]
        path = place.path.replace("{account_id}", ACCOUNT)
        body = BODIES.get(name)
        answered = await _ask(client, place.method, f"{path}?limit=2" if "limit" in place.parameters else path, body)
        if isinstance(items := answered.get("items"), list):
            del items[2:]
        found[name] = {"request": body, "response": answered} if body is not None else {"response": answered}
    assert set(found) == {"execute", *REGISTRY}
    return found


async def _ask(client: AsyncClient, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    response = await client.request(method, path, json=body)
    assert response.status_code == 200, response.text
    answered: dict[str, Any] = response.json()
    return answered
