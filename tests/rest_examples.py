"""The requests and answers that the description of REST shows: really made, of the demo's data on a fixed day."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from httpx2 import ASGITransport, AsyncClient

from billing_mcp.app import App
from billing_mcp.demo.history import STORIES, seed_demo
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.events import INVOICE_ISSUED, Event
from billing_mcp.domain.ids import derived_id
from billing_mcp.faces.health import Health
from billing_mcp.faces.http import build_http_app
from billing_mcp.faces.metrics import Metrics
from billing_mcp.faces.rates import Rates
from billing_mcp.faces.rest.functions import places
from billing_mcp.kernel.principal import Permission
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.credits import grant_credit
from billing_mcp.operations.platform import make_agent_key, make_platform_key
from billing_mcp.settings import Settings
from tests.faces.platform import whole
from tests.webhooks.receiver import receiving

ACCOUNT = STORIES[0].account_id
NOW = datetime(2026, 3, 12, 10, tzinfo=UTC)
TOPUP_ID = derived_id(datetime(2026, 3, 1, 9, 30, tzinfo=UTC), ACCOUNT, "topup", 0)
METHOD_ID = derived_id(datetime(2025, 9, 1, 9, 30, tzinfo=UTC), ACCOUNT, "payment_method", 0)
OTHER_METHOD_ID = derived_id(NOW, ACCOUNT, "payment_method", 1)
INVOICE = "INV-2026-000009"
"""Those of its last top-up, of its card, of the one that is added here; and the number of its last invoice."""
PAYMENT_ID = "pay_019ca8bb-b5c0-7d1f-a3a5-1e5801ad031f"
SCRIPT = (
    f"wallet = billing.wallet_balance.get(account_id={ACCOUNT!r})\n"
    f"change = billing.plan.change(account_id={ACCOUNT!r}, plan_id='smtp_per_proxy')\n"
    "{'net_balance': wallet['net_balance'], 'from': change['previous_plan_id']}"
)
EXECUTION_ID = "019ce17d-2100-7ac7-838b-431884db82ec"
BODIES: dict[str, dict[str, Any] | None] = {
    "billing.messages.quote": {"channel": "sms", "market": "DE", "text": "Your parcel arrives today at 14:00."},
    "billing.plan.change": {"plan_id": "smtp_per_proxy", "effective_date": "2026-04-01"},
    "billing.plan.cancel": {"cancel_at_period_end": True},
    "billing.plan.resume": {},
    "billing.payment_methods.add": {"token": "tok_mastercard"},
    "billing.topups.create": {"amount": "50.00"},
    "billing.payment_methods.list": None,
    "billing.auto_reload.set": {"enabled": True, "threshold": "50.00", "target": "250.00", "monthly_cap": "500.00"},
    "billing.auto_reload.get": None,
    "billing.alerts.set": {"amounts": ["100.00", "25.00"], "percent_of_last_topup": [20], "runway_days": [7]},
    "billing.alerts.get": None,
    "billing.credits.list": None,
}
"""What is sent to the functions that take a body, in the order in which it is sent, and to those that show it."""
NEW_ACCOUNT = "0190c0de-0000-7000-8000-0000000000a1"
HOLD_ID = "019ce17d-2100-7ec3-8d52-020000000002"
"""That of the account's second transaction."""
MESSAGE_ID, LEASE = "019ce17d-2100-7c21-8d52-0200000000b1", "0f8e4c5b7a1d4e2f9c3b6a5d8e7f0a1b"
OTHER_MESSAGE_IDS = [f"019ce17d-2100-7c21-8d52-0200000000b{number}" for number in (2, 3, 4)]
CAMPAIGN_ID = "019ce17d-2100-7c21-8d52-0200000000c1"
HOOKS = "https://hooks.example.com/billing"
ENDPOINT_ID, DELIVERY_ID = "019ce17d-2100-7c21-8d52-0200000000e1", "019ce17d-2100-7c21-8d52-0200000000e2"
EVENT_ID, TEST_ID = "019ce17d-2100-7c21-8d52-0200000000e3", "019ce17d-2100-7c21-8d52-0200000000e4"
SECRET, NEW_SECRET = "whsec_the-secret-is-shown-once", "whsec_the-new-secret-is-shown-once"
KEY, PREFIX = "bmcp_3f9a1c02_the-secret-is-shown-once", "3f9a1c02"
"""They stand for what is drawn anew each time."""
SMS: dict[str, Any] = {
    "channel": "sms",
    "to": ["+4915112345678"],
    "market": "DE",
    "text": "Your parcel is here",
    "sender": "Northwind",
}
HOLD = {"amount": "0.0065", "reference": "msg_01h455vb4pex5vsknk084sn02q"}
WEBHOOKS = f"/v1/accounts/{NEW_ACCOUNT}"
PLATFORM: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "create_account": ("POST", "/accounts", {"account_id": NEW_ACCOUNT, "name": "Northwind Mail"}),
    "list_accounts": ("GET", "/accounts?limit=2", None),
    "give_credit": (
        "POST",
        f"/accounts/{NEW_ACCOUNT}/credits",
        {"amount": "10.00", "reason": "Goodwill for the outage of 1 March", "expires_at": "2026-07-01"},
    ),
    "list_credits": ("GET", f"/accounts/{NEW_ACCOUNT}/credits", None),
    "get_account": ("GET", f"/accounts/{NEW_ACCOUNT}", None),
    "set_tax": ("PUT", f"/accounts/{NEW_ACCOUNT}/tax", {"vat_id": "FR61954506077"}),
    "set_account_details": (
        "PUT",
        f"/accounts/{NEW_ACCOUNT}/details",
        {"name": "Northwind Mail Ltd", "address": ["1 Harbour Street", "Dublin 2"], "reference": "PO 4711"},
    ),
    "get_account_details": ("GET", f"/accounts/{NEW_ACCOUNT}/details", None),
    "list_invoices": ("GET", f"/accounts/{ACCOUNT}/invoices?limit=2", None),
    "correct_invoice": (
        "POST",
        f"/accounts/{ACCOUNT}/invoices/{INVOICE}/credit-notes",
        {"reason": "Twelve mailboxes too many were counted", "lines": [{"line": 2, "amount": "4.20"}]},
    ),
    "get_invoice": ("GET", f"/accounts/{ACCOUNT}/invoices/{INVOICE}", None),
    "count_component": ("PUT", f"/accounts/{NEW_ACCOUNT}/components/mailbox", {"quantity": 12}),
    "list_components": ("GET", f"/accounts/{NEW_ACCOUNT}/components", None),
    "place_hold": ("POST", f"/accounts/{NEW_ACCOUNT}/holds", HOLD),
    "get_hold": ("GET", f"/accounts/{NEW_ACCOUNT}/holds/{HOLD_ID}", None),
    "capture_hold": ("POST", f"/accounts/{NEW_ACCOUNT}/holds/{HOLD_ID}/capture", {"amount": "0.0050"}),
    "release_hold": ("POST", f"/accounts/{NEW_ACCOUNT}/holds/{HOLD_ID}/release", None),
    "batch_of_holds": (
        "POST",
        "/holds/batch",
        {
            "items": [
                {"action": "place", "account_id": NEW_ACCOUNT, **HOLD},
                {"action": "capture", "account_id": NEW_ACCOUNT, "hold_id": HOLD_ID},
            ]
        },
    ),
    "grant_tier": ("PUT", f"/accounts/{NEW_ACCOUNT}/tiers/sms", {"commitment": "growth"}),
    "get_tier": ("GET", f"/accounts/{NEW_ACCOUNT}/tiers/sms", None),
    "send_message": ("POST", "/v1/messages", {"account_id": NEW_ACCOUNT, **SMS, "reference": "msg_1"}),
    "send_batch": (
        "POST",
        "/v1/messages/batch",
        {
            "account_id": NEW_ACCOUNT,
            "campaign_id": CAMPAIGN_ID,
            "name": "Spring sale",
            "messages": [
                {**SMS, "reference": "msg_2"},
                {"channel": "email", "to": ["ada@example.com"], "cc": ["bob@example.com"], "reference": "msg_3"},
                {"channel": "rcs", "to": SMS["to"], "market": "DE", "type": "rich_card", "sender": "northwind"},
            ],
        },
    ),
    "get_message": ("GET", f"/v1/messages/{MESSAGE_ID}?account_id={NEW_ACCOUNT}", None),
    "get_campaign": ("GET", f"/v1/campaigns/{CAMPAIGN_ID}?account_id={NEW_ACCOUNT}", None),
    "list_messages": ("GET", f"/v1/campaigns/{CAMPAIGN_ID}/messages?account_id={NEW_ACCOUNT}", None),
    "pause_campaign": ("POST", f"/v1/campaigns/{CAMPAIGN_ID}/pause", {"account_id": NEW_ACCOUNT}),
    "resume_campaign": ("POST", f"/v1/campaigns/{CAMPAIGN_ID}/resume", {"account_id": NEW_ACCOUNT}),
    "take_messages": ("POST", "/v1/messages/outbox/take", {"limit": 100, "lease_s": 60}),
    "finish_messages": (
        "POST",
        "/v1/messages/outbox/done",
        {"items": [{"account_id": NEW_ACCOUNT, "message_id": MESSAGE_ID, "lease": LEASE}]},
    ),
    "report_delivery": (
        "POST",
        f"/v1/messages/{MESSAGE_ID}/receipts",
        {"account_id": NEW_ACCOUNT, "status": "delivered", "segments": 2},
    ),
    "report_deliveries": (
        "POST",
        "/v1/messages/receipts",
        {"items": [{"account_id": NEW_ACCOUNT, "message_id": MESSAGE_ID, "status": "delivered"}]},
    ),
    "report_inbound": (
        "POST",
        "/v1/messages/inbound",
        {
            "account_id": NEW_ACCOUNT,
            "sender": "northwind",
            "user": "+4915112345678",
            "event_id": "evt_81c7",
            "kind": "suggested_reply",
            "occurred_at": "2026-03-12T09:59:00Z",
        },
    ),
    "create_webhook_endpoint": (
        "POST",
        f"{WEBHOOKS}/webhook-endpoints",
        {"url": HOOKS, "events": ["billing.invoice.issued", "billing.balance_low"]},
    ),
    "list_webhook_endpoints": ("GET", f"{WEBHOOKS}/webhook-endpoints", None),
    "get_webhook_endpoint": ("GET", f"{WEBHOOKS}/webhook-endpoints/{ENDPOINT_ID}", None),
    "test_webhook_endpoint": ("POST", f"{WEBHOOKS}/webhook-endpoints/{ENDPOINT_ID}/test", None),
    "list_webhook_deliveries": ("GET", f"{WEBHOOKS}/webhook-deliveries", None),
    "get_webhook_delivery": ("GET", f"{WEBHOOKS}/webhook-deliveries/{DELIVERY_ID}", None),
    "replay_webhook_delivery": ("POST", f"{WEBHOOKS}/webhook-deliveries/{DELIVERY_ID}/replay", None),
    "rotate_webhook_secret": ("POST", f"{WEBHOOKS}/webhook-endpoints/{ENDPOINT_ID}/rotate-secret", None),
    "change_webhook_endpoint": ("PATCH", f"{WEBHOOKS}/webhook-endpoints/{ENDPOINT_ID}", {"enabled": False}),
    "remove_webhook_endpoint": ("DELETE", f"{WEBHOOKS}/webhook-endpoints/{ENDPOINT_ID}", None),
    "list_topups": ("GET", f"/v1/accounts/{ACCOUNT}/topups?status=succeeded&limit=2", None),
    "get_topup": ("GET", f"/v1/accounts/{ACCOUNT}/topups/{TOPUP_ID}", None),
    "refund_topup": ("POST", f"/v1/accounts/{ACCOUNT}/topups/{TOPUP_ID}/refund", {"amount": "11.90"}),
    "list_payment_methods": ("GET", f"/v1/accounts/{ACCOUNT}/payment-methods", None),
    "choose_payment_method": ("POST", f"/v1/accounts/{ACCOUNT}/payment-methods/{METHOD_ID}/default", None),
    "remove_payment_method": ("DELETE", f"/v1/accounts/{ACCOUNT}/payment-methods/{OTHER_METHOD_ID}", None),
    "create_key": (
        "POST",
        "/keys",
        {"name": "Northwind's agent", "account_ids": [NEW_ACCOUNT], "permissions": ["billing.view"]},
    ),
    "list_keys": ("GET", "/keys", None),
    "revoke_key": ("DELETE", f"/keys/{PREFIX}", None),
}
"""What a server of the platform sends, in the order in which it is sent."""


async def recorded(now: str) -> str:
    """The examples, as they are kept in a file."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            database=str(Path(folder) / "billing.db"),
            now=datetime.fromisoformat(now),
            workers=1,
            webhooks_to_loopback=True,
        )
        async with App.open(settings) as app, receiving() as receiver:
            await seed_demo(app.store, app.clock(), messages=1000)
            async with app.store.write(app.clock()) as tx:
                key, _ = await make_agent_key(tx, "examples", account_ids=[ACCOUNT], permissions=list(Permission))
                platform_key, _ = await make_platform_key(tx, "examples")
            async with _client(app, key) as client:
                found = await _record(client, app)
            async with _client(app, platform_key) as client:
                found |= await _record_platform(client, app, {receiver.url: HOOKS})
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _client(app: App, key: str) -> AsyncClient:
    headers = {"Authorization": f"Bearer {key}"}
    return AsyncClient(transport=_served(app), base_url="http://localhost", headers=headers)


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


async def _record(client: AsyncClient, app: App) -> dict[str, Any]:
    found: dict[str, Any] = {}
    asked = {"code": SCRIPT, "preview": True}
    answered = await _ask(client, "POST", "/v1/executions", asked)
    found["execute"] = {"request": asked, "response": answered | {"execution_id": EXECUTION_ID}}
    found["get_execution"] = {"response": found["execute"]["response"]}
    public = {place.operation.name: place for place in places(REGISTRY) if not place.own}
    listed = await _ask(client, "GET", public["billing.transactions.list"].path.format(account_id=ACCOUNT), None)
    charge = next(item["transaction_id"] for item in listed["items"] if item["type"] == "charge")
    drawn: dict[str, str] = {}
    for name in [name for name in public if name not in BODIES] + list(BODIES):
        place = public[name]
        path = place.path.format(account_id=ACCOUNT, transaction_id=charge, topup_id=TOPUP_ID, invoice_id=INVOICE)
        body = BODIES.get(name)
        if name == "billing.credits.list":  # the last: what others show is as it was
            async with app.store.write(app.clock()) as tx:
                await grant_credit(tx, ACCOUNT, 10_000_000, reason="Welcome", expires_at=start_of(date(2026, 7, 1)))
        answered = await _ask(client, place.method, f"{path}?limit=2" if "limit" in place.parameters else path, body)
        if isinstance(items := answered.get("items"), list):
            del items[2:]
        drawn |= _drawn(name, answered)
        answered = _exchanged(answered, drawn)
        found[name] = {"request": body, "response": answered} if body is not None else {"response": answered}
    assert set(found) == {"execute", "get_execution", *REGISTRY}
    return found


async def _record_platform(client: AsyncClient, app: App, drawn: dict[str, str]) -> dict[str, Any]:
    """What is recorded of the platform's routes; `drawn` is what others stand for from the start."""
    found: dict[str, Any] = {}
    for name, (method, path, body) in PLATFORM.items():
        asked = _exchanged((path, body), {example: real for real, example in drawn.items()})
        answered = await _ask(client, method, whole(asked[0]), asked[1])
        if name == "list_topups":
            del answered["items"][1:]  # the one that is made here; the others have an id at the provider that is drawn
        drawn |= _drawn(name, answered)
        if name == "test_webhook_endpoint":
            answered["milliseconds"] = 84
            await _tell(app)
        elif name == "get_webhook_delivery":
            answered["log"][0]["milliseconds"] = 84
        if name == "list_keys":  # those of the same moment are in no order
            answered["items"] = [item for item in answered["items"] if drawn.get(item["prefix"]) == PREFIX]
        elif name in ("list_messages", "take_messages"):
            answered["items"] = sorted(answered["items"], key=lambda item: item["reference"])[1:2]
        told = {"request": body} if body is not None else {}
        found[name] = told | ({"response": _exchanged(answered, drawn)} if answered else {})
    return found


async def _tell(app: App) -> None:
    """An event happens, and is told."""
    payload = {"invoice_id": "019ce17d-2100-7c21-8d52-0200000000d1", "status": "paid", "amount": "32.50"}
    async with app.store.write(app.clock()) as tx:
        await tx.outbox.add(Event(NEW_ACCOUNT, INVOICE_ISSUED, payload, event_id=EVENT_ID))
    await app.worker().run_once()


def _drawn(name: str, answered: dict[str, Any]) -> dict[str, str]:
    """What was drawn for an answer, and what stands for it."""
    if name == "send_batch":
        ids = [item["message"]["message_id"] for item in answered["items"]]
        return dict(zip(ids, OTHER_MESSAGE_IDS, strict=True))
    told = answered | (answered["items"][0] if name in _DRAWN_IN_ITEMS else {})
    return {told[field]: example for field, example in _DRAWN.get(name, {}).items()}


_DRAWN = {
    "get_topup": {"payment_id": PAYMENT_ID},
    "list_topups": {"payment_id": PAYMENT_ID},
    "create_key": {"key": KEY, "prefix": PREFIX},
    "send_message": {"message_id": MESSAGE_ID},
    "create_webhook_endpoint": {"endpoint_id": ENDPOINT_ID, "secret": SECRET},
    "test_webhook_endpoint": {"message_id": TEST_ID},
    "list_webhook_deliveries": {"delivery_id": DELIVERY_ID},
    "rotate_webhook_secret": {"secret": NEW_SECRET},
    "take_messages": {"lease": LEASE},
}
_DRAWN_IN_ITEMS = ("list_topups", "list_webhook_deliveries", "take_messages")


def _exchanged(value: Any, by: Mapping[str, str]) -> Any:
    """The value, with other texts for those that differ from run to run."""
    text = json.dumps(value)
    for each, other in by.items():
        text = text.replace(each, other)
    return json.loads(text)


async def _ask(client: AsyncClient, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    response = await client.request(method, path, json=body)
    assert response.is_success, response.text
    answered: dict[str, Any] = response.json() if response.content else {}
    return answered
