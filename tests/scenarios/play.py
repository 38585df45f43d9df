"""Playing a scenario: each act is done by those who do it in life, and time passes in between as a worker sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.messages import Message
from billing_mcp.domain.money import parse_micros
from billing_mcp.operations.drafts import MAX_RECIPIENTS, Draft
from billing_mcp.store.store import Store
from tests.scenarios.language import Act, acts_of
from tests.scenarios.outcome import outcome_of
from tests.stage import NotDone, Stage

ACCOUNT = "0190c0de-0000-7000-8000-000000000001"
_TOKENS = {
    "card": "tok_visa",
    "SEPA": "tok_sepa",
    "SEPA that fails": "tok_sepa_fails",
    "SEPA that is returned": "tok_sepa_returned",
}
_SEPA = {"settled": "succeeded", "failed": "failed", "returned": "reversed"}


async def play(text: str, store: Store) -> str:
    """What comes out of a scenario on an empty database: the text of its lower half."""
    acts = acts_of(text)
    stage = await Stage.open(store, acts[0].at)
    cast = _Cast(stage)
    for act in acts:
        await stage.until(act.at)
        await cast.do(act)
    await stage.assert_sound()
    return await outcome_of(stage, ACCOUNT)


class _Cast:
    """Those who act."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._holds: dict[str, str] = {}

    async def do(self, act: Act) -> None:
        """Do it. Raises AssertionError where it should be refused and is not, or with another code."""
        doing: Callable[..., Awaitable[None]] = getattr(self, f"_{act.name}")
        try:
            await doing(**act.parts)
        except (BillingError, NotDone) as error:
            if error.code != act.refused:
                raise AssertionError(f"{act.line}: {error}") from error
        else:
            assert act.refused is None, f"{act.line}: it was not refused"

    async def _open(self, country: str | None = None, vat_id: str | None = None, exempt: str = "") -> None:
        await self._stage.account(ACCOUNT, "Scenario", country=country, vat_id=vat_id, exempt=bool(exempt))

    async def _top_up(self, amount: str, by: str) -> None:
        if by == "bank transfer":
            await self._stage.receive(ACCOUNT, amount)
        else:
            await self._stage.top_up(ACCOUNT, amount, _TOKENS[by])

    async def _sepa(self, what: str) -> None:
        """It has happened by now: the provider does it by itself."""
        async with self._stage.store.read(self._stage.clock()) as tx:
            last = (await tx.payments.topups(ACCOUNT))[0]
        assert (last.status, last.changed_at) == (_SEPA[what], self._stage.clock()), f"it is {last.status}"

    async def _plan(self, plan_id: str, billing_period: str | None = None, on: str | None = None) -> None:
        named = {"plan_id": plan_id, "billing_period": billing_period, "effective_date": on}
        await self._must("plan.change", **named)

    async def _cancel(self, now: str = "") -> None:
        await self._must("plan.cancel", cancel_immediately=bool(now))

    async def _resume(self) -> None:
        await self._must("plan.resume")

    async def _count(self, component: Any, quantity: str) -> None:
        await self._stage.count(ACCOUNT, component, int(quantity))

    async def _emails(self, number: str) -> None:
        """They are delivered at once, in as few messages as can be."""
        people = [f"reader{each}@example.com" for each in range(int(number))]
        parts = [people[start : start + MAX_RECIPIENTS] for start in range(0, len(people), MAX_RECIPIENTS)]
        await self._delivered([Draft("email", to=each) for each in parts])

    async def _sms(self, number: str, market: str, segments: str = "1") -> None:
        """They are delivered at once."""
        phones = [f"+49151{each:08d}" for each in range(int(number))]
        await self._delivered([Draft("sms", to=[each], market=market, segments=int(segments)) for each in phones])

    async def _delivered(self, drafts: list[Draft]) -> None:
        sent = []
        for told in await self._stage.send(ACCOUNT, drafts):
            if isinstance(told, BillingError):
                raise told
            sent.append(told)
        reported = await self._stage.report(sent, "delivered")
        assert all(isinstance(each, Message) for each in reported), reported

    async def _hold(self, amount: str, name: str) -> None:
        receipt = await self._stage.app.holds.place(ACCOUNT, parse_micros(amount), reference=name)
        assert receipt.hold is not None
        self._holds[name] = receipt.hold.hold_id

    async def _capture(self, amount: str, name: str, final: str = "") -> None:
        await self._stage.app.holds.capture(ACCOUNT, self._holds[name], parse_micros(amount), final=bool(final))

    async def _release(self, name: str) -> None:
        await self._stage.app.holds.release(ACCOUNT, self._holds[name])

    async def _credit(self, amount: str, reason: str, expires: str | None = None) -> None:
        until = None if expires is None else date.fromisoformat(expires)
        await self._stage.credit(ACCOUNT, amount, reason=reason, expires=until)

    async def _correct(self, invoice: str, reason: str, line: str | None = None, amount: str | None = None) -> None:
        amounts = None if line is None or amount is None else {int(line): parse_micros(amount)}
        await self._stage.correct(ACCOUNT, invoice, amounts, reason=reason)

    async def _advance(self) -> None:
        """Time has passed up to here."""

    async def _must(self, function: str, **arguments: Any) -> None:
        given = {name: value for name, value in arguments.items() if value is not None}
        await self._stage.must(function, ACCOUNT, **given)
