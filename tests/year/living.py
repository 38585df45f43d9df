"""Living the year: its acts are done, time passes in between, and what was refused is remembered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from billing_mcp.domain.clock import start_of
from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.messages import Message
from billing_mcp.operations.drafts import Draft
from billing_mcp.store.store import Store
from tests.stage import NotDone, Stage
from tests.year import BEGINS, ENDS, account
from tests.year.script import Act

Passing = Callable[[Stage, datetime], Awaitable[None]]
"""Lets time pass on a stage up to a moment: what is due then is done, too."""


async def live(store: Store, acts: list[Act], passing: Passing) -> list[tuple[str, str]]:
    """The year, on an empty database. Returns what came of each act: "done", or the code that refused it."""
    stage = await Stage.open(store, BEGINS)
    people = _People(stage)
    told: list[tuple[str, str]] = []
    for at, some in groupby(acts, key=lambda act: act.at):
        await passing(stage, at)
        told += [(act.name, await people.do(act)) for act in some]
    await passing(stage, ENDS)
    return told


class _People:
    """Those who act, and what they remember."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._sent: dict[tuple[str, int], Message] = {}
        self._holds: dict[str, str] = {}

    async def do(self, act: Act) -> str:
        """Try it: "done", or why not."""
        doing: Callable[..., Awaitable[str | None]] = getattr(self, f"_{act.name}")
        try:
            return await doing(account(act.account), **act.args) or "done"
        except (BillingError, NotDone) as error:
            return error.code

    async def _open(self, account_id: str, **vat: Any) -> None:
        await self._stage.account(account_id, f"Account {account_id[-3:]}", **vat)

    async def _receive(self, account_id: str, amount: str) -> None:
        await self._stage.receive(account_id, amount)

    async def _top_up(self, account_id: str, amount: str, token: str) -> None:
        await self._stage.top_up(account_id, amount, token)

    async def _reload(self, account_id: str, threshold: str, amount: str) -> None:
        await self._stage.method(account_id, "tok_visa")
        await self._stage.must("auto_reload.set", account_id, enabled=True, threshold=threshold, amount=amount)

    async def _count(self, account_id: str, component: Any, quantity: int) -> None:
        await self._stage.count(account_id, component, quantity)

    async def _plan(self, account_id: str, **asked: Any) -> None:
        await self._stage.must("plan.change", account_id, **asked)

    async def _cancel(self, account_id: str, **asked: Any) -> None:
        await self._stage.must("plan.cancel", account_id, **asked)

    async def _resume(self, account_id: str) -> None:
        await self._stage.must("plan.resume", account_id)

    async def _send(self, account_id: str, batch: str, drafts: list[dict[str, Any]]) -> str | None:
        refused = None
        for place, told in enumerate(await self._stage.send(account_id, [Draft(**each) for each in drafts])):
            if isinstance(told, BillingError):
                refused = told.code
            else:
                self._sent[batch, place] = told
        return refused

    async def _report(self, account_id: str, batch: str, place: int, status: str) -> str | None:
        assert account_id
        message = self._sent.get((batch, place))
        if message is None:
            return "never_sent"
        (told,) = await self._stage.report([message], status)
        return told.code if isinstance(told, BillingError) else None

    async def _hold(self, account_id: str, name: str, micros: int, days: int) -> None:
        until = self._stage.clock() + timedelta(days=days)
        receipt = await self._stage.app.holds.place(account_id, micros, reference=name, expires_at=until)
        assert receipt.hold is not None
        self._holds[name] = receipt.hold.hold_id

    async def _capture(self, account_id: str, name: str, micros: int, *, final: bool) -> str | None:
        if name not in self._holds:
            return "never_held"
        await self._stage.app.holds.capture(account_id, self._holds[name], micros, final=final)
        return None

    async def _release(self, account_id: str, name: str) -> str | None:
        if name not in self._holds:
            return "never_held"
        await self._stage.app.holds.release(account_id, self._holds[name])
        return None

    async def _credit(self, account_id: str, amount: str, days: int | None, priority: int) -> None:
        today: date = self._stage.clock().date()
        expires = None if days is None else start_of(today + timedelta(days=days)).date()
        await self._stage.credit(account_id, amount, reason="Goodwill", expires=expires, priority=priority)

    async def _correct(self, account_id: str, line: int | None, micros: int) -> str | None:
        """The last invoice."""
        async with self._stage.store.read(self._stage.clock()) as tx:
            newest, _ = await tx.invoices.page(account_id, page=1, page_size=100)
        invoice = next((each for each in newest if each.kind == "invoice"), None)
        if invoice is None:
            return "never_invoiced"
        amounts = None if line is None else {line: micros}
        await self._stage.correct(account_id, invoice.invoice_id, amounts, reason="Goodwill")
        return None
