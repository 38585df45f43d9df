"""Invoices as PDF: for whom may see them by a credential, by a link for a short time, and for nobody else."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from httpx2 import ASGITransport, AsyncClient, Response
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import BlobResourceContents

from billing_mcp.app import App
from billing_mcp.documents import invoice_pdf
from billing_mcp.documents.press import MOST_WAITING
from billing_mcp.domain.invoices import Invoice
from billing_mcp.faces.health import Health
from billing_mcp.faces.http import build_http_app
from billing_mcp.faces.metrics import Metrics
from billing_mcp.faces.rates import Rates
from billing_mcp.kernel.principal import Permission
from billing_mcp.operations import REGISTRY
from billing_mcp.operations.platform import make_agent_key
from billing_mcp.settings import Settings
from tests.conftest import NOW, Clock
from tests.faces.server import ACCOUNT, billing_mcp, connected, make_key, plain_http, serving
from tests.faces.test_mcp import served
from tests.operations.test_invoices import run_sql
from tests.worker.closing import invoices
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUBLIC_URL = "https://billing.example.com"
NUMBER = "INV-2026-000009"
"""The demo's account has it."""


@dataclass(frozen=True)
class Door:
    """A server with a public address, an account with an invoice, and who may ask for it."""

    world: World
    app: App
    account_id: str
    invoice: Invoice
    keys: dict[str, str]
    client: AsyncClient

    @property
    def path(self) -> str:
        return f"/v1/public/accounts/{self.account_id}/billing/invoices/{self.invoice.invoice_id}/pdf"

    async def get(self, path: str, key: str | None = None, *, method: str = "GET") -> Response:
        return await self.client.request(method, path, headers=self.bearer(key))

    def bearer(self, key: str | None) -> dict[str, str]:
        return {} if key is None else {"Authorization": f"Bearer {self.keys[key]}"}

    async def link(self) -> str:
        """The path of a new link."""
        script = (
            f"billing.invoices.get(account_id={self.account_id!r}, invoice_id={self.invoice.number!r})['download_url']"
        )
        url: str = await self.world.must(script)
        assert url.startswith(f"{PUBLIC_URL}/v1/documents/")
        return url.removeprefix(PUBLIC_URL)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _opened(lasting_database: str) -> AsyncIterator[Door]:
    clock = Clock()
    ample = "1000000/second"
    settings = Settings(
        database=lasting_database, workers=1, public_url=PUBLIC_URL, rate_limit=ample, anonymous_rate_limit=ample,
        execution_after_write_s=5, wall_after_write_s=10,
    )  # fmt: skip
    async with App.open(settings, clock=clock) as app:
        world = World(app, clock)
        account_id, other = [await world.account(funds="100.00", plan="smtp_per_mailbox", mailbox=7) for _ in "ab"]
        clock.now = NOW + timedelta(days=31)
        for each in (account_id, other):
            await world.close_period(each)
        granted: dict[str, dict[str, Any]] = {
            "viewer": {"permissions": [Permission.VIEW]},
            "manager alone": {"permissions": [Permission.MANAGE]},
            "other account's": {"account_ids": [other]},
            "both accounts'": {"account_ids": [account_id, other]},
        }
        keys = {}
        async with app.store.write(clock.now) as tx:
            for name, options in granted.items():
                usual: dict[str, Any] = {"account_ids": [account_id], "permissions": [Permission.VIEW]}
                keys[name], _ = await make_agent_key(tx, name, **(usual | options))
        (invoice,) = await invoices(world, account_id)
        async with client_of(app, settings) as client:
            yield Door(world, app, account_id, invoice, keys, client)


def client_of(app: App, settings: Settings, address: str = "10.0.0.1") -> AsyncClient:
    """A client of all that is served over HTTP."""
    asgi = build_http_app(app, Metrics(REGISTRY), Health(app), Rates(settings))
    return AsyncClient(transport=ASGITransport(asgi, client=(address, 1)), base_url=PUBLIC_URL)


@pytest.fixture
def door(_opened: Door) -> Door:
    _opened.world.clock.now = NOW + timedelta(days=31)
    return _opened


def refused(response: Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_link_is_all_that_is_needed_and_the_file_is_named_by_the_number(door: Door) -> None:
    response = await door.get(await door.link())

    assert response.status_code == 200, response.text
    assert response.content.startswith(b"%PDF-")
    assert response.headers["content-type"] == "application/pdf"
    assert response.headers["content-disposition"] == f'attachment; filename="{door.invoice.number}.pdf"'
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_asking_for_the_head_tells_the_same_without_the_file(door: Door) -> None:
    for path, key in ((await door.link(), None), (door.path, "viewer")):
        got, head = await door.get(path, key), await door.get(path, key, method="HEAD")

        told = ("content-type", "content-length", "content-disposition", "cache-control")
        assert (head.status_code, [head.headers[name] for name in told]) == (200, [got.headers[name] for name in told])


async def test_a_link_expires_by_the_clock_of_the_server(door: Door) -> None:
    path = await door.link()

    door.world.clock.now += timedelta(seconds=899)
    assert (await door.get(path)).status_code == 200
    door.world.clock.now += timedelta(seconds=1)
    refused(await door.get(path), 403, "link_expired")
    assert (await door.get(await door.link())).status_code == 200


async def test_a_link_that_was_changed_anywhere_is_none(door: Door) -> None:
    path = await door.link()
    text = path.removeprefix("/v1/documents/").removesuffix(".pdf")
    parts = {"account": 2, "invoice": 26, "moment": 33, "signature": 40, "end": 75}
    changed = {name: text[:at] + ("B" if text[at] != "B" else "C") + text[at + 1 :] for name, at in parts.items()}

    for forged in (*changed.values(), text[:-1], text + "A", "x"):
        refused(await door.get(f"/v1/documents/{forged}.pdf"), 403, "invalid_link")
    for elsewhere in (
        f"/v1/documents/{text}",
        f"/v1/documents/{text}.pdf/x",
        "/v1/documents/",
        f"/v1/documents/x/{text}.pdf",
    ):
        refused(await door.get(elsewhere), 404, "route_not_found")
    refused(await door.get(path, method="DELETE"), 405, "method_not_allowed")


async def test_a_link_of_another_database_or_of_a_key_that_is_gone_is_none(door: Door) -> None:
    path = await door.link()
    listing = f"billing.invoices.list(account_id={door.account_id!r})['items'][0]['download_url']"
    async with door.app.store.read(door.app.clock()) as tx:
        before = (await tx.secrets.get("documents")).hex()

    await run_sql(door.world, "UPDATE secrets SET value = :v WHERE name = 'documents'", v="00" * 32)
    refused(await door.get(path), 403, "invalid_link")
    await run_sql(door.world, "DELETE FROM secrets WHERE name = 'documents'")
    refused(await door.get(path), 403, "invalid_link")
    without = await door.world.must(listing)
    await run_sql(door.world, "INSERT INTO secrets (name, value) VALUES ('documents', :v)", v=before)

    assert without is None
    assert (await door.get(path)).status_code == 200
    assert await door.world.must(listing) == PUBLIC_URL + path


async def test_a_script_has_the_same_link_each_time_and_in_a_preview(door: Door) -> None:
    script = f"billing.invoices.list(account_id={door.account_id!r})"

    first, again, previewed = [await door.world.must(script, preview=preview) for preview in (False, False, True)]
    door.world.clock.now += timedelta(seconds=1)
    later = await door.world.must(script)

    assert first == again == previewed
    assert later["items"][0].pop("download_url") != first["items"][0].pop("download_url")
    assert later == first


async def test_with_a_credential_there_is_the_same_document_by_id_by_number_and_as_ones_own(door: Door) -> None:
    by_number = door.path.replace(door.invoice.invoice_id, door.invoice.number)
    own = f"/v1/billing/invoices/{door.invoice.number}/pdf"

    found = [await door.get(path, "viewer") for path in (door.path, by_number, own)]
    linked = await door.get(await door.link())

    assert [each.status_code for each in found] == [200] * 3
    assert {each.content for each in (*found, linked)} == {linked.content}
    assert {each.headers["content-disposition"] for each in found} == {linked.headers["content-disposition"]}
    assert all("ratelimit" in each.headers for each in found)


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 401, "key_missing"),
        ("manager alone", 403, "permission_denied"),
        ("other account's", 404, "not_found"),
    ],
)
async def test_who_may_not_see_an_invoice_may_not_have_it_as_pdf(
    door: Door, key: str | None, status: int, code: str
) -> None:
    told, document = await door.get(door.path.removesuffix("/pdf"), key), await door.get(door.path, key)

    refused(document, status, code)
    assert [document.json()[name] for name in ("code", "detail")] == [told.json()[name] for name in ("code", "detail")]
    assert document.headers.get("www-authenticate") == told.headers.get("www-authenticate")


@pytest.mark.parametrize(
    ("path", "key", "status", "code"),
    [
        ("/v1/billing/invoices/INV-2026-999999/pdf", "viewer", 404, "not_found"),
        ("/v1/billing/invoices/INV_1/pdf", "viewer", 422, "invalid_argument"),
        ("/v1/billing/invoices/4242424242424242/pdf", "viewer", 422, "card_number"),
        ("/v1/billing/invoices/INV-2026-000001/pdf?language=de", "viewer", 422, "unknown_argument"),
        ("/v1/billing/invoices/INV-2026-000001/pdf", "both accounts'", 400, "account_not_named"),
        ("/v1/public/accounts/x/billing/invoices/INV-2026-000001/pdf", "viewer", 404, "not_found"),
    ],
)
async def test_what_names_no_invoice_is_refused(door: Door, path: str, key: str, status: int, code: str) -> None:
    refused(await door.get(path, key), status, code)


async def test_following_links_is_bounded_by_address_good_ones_too_and_bad_ones_are_failed_sign_ins(door: Door) -> None:
    path = await door.link()
    guess = {"Authorization": "Bearer bmcp_12345678_guessed"}
    async with client_of(door.app, door.app.settings.model_copy(update={"anonymous_rate_limit": "2/minute"})) as client:
        opened = [(await client.get(path)).status_code for _ in range(3)]
        guessed = [(await client.get("/v1/billing/balance", headers=guess)).status_code for _ in range(3)]
        known = (await client.get(door.path, headers=door.bearer("viewer"))).status_code
    async with client_of(door.app, door.app.settings.model_copy(update={"anonymous_rate_limit": "2/minute"})) as client:
        forged = (await client.get(path.replace(".pdf", "x.pdf"))).status_code
        guessed_after = [(await client.get("/v1/billing/balance", headers=guess)).status_code for _ in range(2)]

    assert (opened, guessed, known) == ([200, 200, 429], [401, 401, 429], 429)
    assert (forged, guessed_after) == (403, [401, 429])


class Slow:
    """A typesetter that takes as long as the test likes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun, self._go_on = threading.Event(), threading.Event()
        monkeypatch.setattr(invoice_pdf, "render_invoice", self._render)

    def _render(self, *_: object, **__: object) -> bytes:
        self._begun.set()
        assert self._go_on.wait(30)
        return b"%PDF-slow"

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        self._go_on.set()

    async def begun(self) -> bool:
        """Wait until it is at its first document."""
        return await asyncio.to_thread(self._begun.wait, 30)


async def test_a_document_that_takes_long_keeps_nobody_from_the_database(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    asked = [asyncio.create_task(door.get(door.path, "viewer")) for _ in range(10)]  # more than read at once
    async with slow:
        assert await slow.begun()
        balance = await door.get("/v1/billing/balance", "viewer")
        charged = await door.world.run(f"billing.plan.cancel(account_id={door.account_id!r})", preview=True)

    assert (balance.status_code, charged.error) == (200, None)
    assert {each.content for each in await asyncio.gather(*asked)} == {b"%PDF-slow"}


async def test_only_so_many_documents_may_wait_to_be_set(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    asked = [asyncio.create_task(door.app.press.invoice(door.invoice)) for _ in range(MOST_WAITING)]
    async with slow:
        assert await slow.begun()  # the others wait for it
        for path, key in ((door.path, "viewer"), (await door.link(), None)):
            refused(await door.get(path, key), 503, "server_busy")
    await asyncio.gather(*asked)

    assert (await door.get(door.path, "viewer")).content == b"%PDF-slow"


async def test_the_bytes_are_the_same_by_link_by_key_over_mcp_and_on_the_command_line(
    demo: str, tmp_path: Path
) -> None:
    uri = f"billing://accounts/{ACCOUNT}/invoices/{NUMBER}.pdf"
    key, _ = make_key(demo)
    blind, _ = make_key(demo, "--permissions", "manage")
    stranger, _ = make_key(demo, account="0190c0de-0000-7000-8000-000000000002")
    async with serving(demo, BILLING_MCP_PUBLIC_URL=PUBLIC_URL) as server, plain_http() as http:
        bearer = {"Authorization": f"Bearer {key}"}
        at = f"http://{server.address}/v1/public/accounts/{ACCOUNT}/billing/invoices/{NUMBER}"
        url = (await http.get(at, headers=bearer)).json()["download_url"]
        link = url.replace(PUBLIC_URL, f"http://{server.address}")
        found = [(await http.get(link)).content, (await http.get(f"{at}/pdf", headers=bearer)).content]
        head = await http.head(link)
        async with connected(server, key) as client:
            found.append(await resource(client, uri))
            with pytest.raises(MCPError, match="not_found"):
                await client.read_resource(uri.replace(NUMBER, "INV-2026-999999"))
        for other, code in ((blind, "permission_denied"), (stranger, "not_found")):
            async with connected(server, other) as client:
                with pytest.raises(MCPError, match=code):
                    await client.read_resource(uri)
    async with served(demo) as client:
        found.append(await resource(client, uri))
        templates = (await client.list_resource_templates()).resource_templates
    file = tmp_path / "invoice.pdf"
    billing_mcp("invoices", "render", NUMBER, "--output", str(file), "--database", demo)

    assert file.read_bytes().startswith(b"%PDF-")
    assert found == [file.read_bytes()] * 4
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(found[0])))
    assert {each.uri_template: each.mime_type for each in templates}[
        "billing://accounts/{account_id}/invoices/{invoice_id}.pdf"
    ] == "application/pdf"
    signed = link.rpartition("/")[2].removesuffix(".pdf")
    assert [line for line in server.log if signed[:20] in line or signed[-20:] in line] == []
    assert any("/v1/documents/{signed}.pdf" in line for line in server.log)


async def resource(client: Client, uri: str) -> bytes:
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, BlobResourceContents)
    assert content.mime_type == "application/pdf"
    return base64.b64decode(content.blob)
