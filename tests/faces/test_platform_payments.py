"""The platform's routes of payments: top-ups, refunds that happen once, and payment methods."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from billing_mcp.app import App
from billing_mcp.domain.errors import Refused, Unavailable
from billing_mcp.payments.embedded import EmbeddedProvider
from tests.conftest import Clock
from tests.faces.platform import NOBODY, PlatformClient, must, refusal
from tests.world import World, leaving_events


class Payer:
    """An account that pays, as its agent and the platform see it."""

    def __init__(self, platform: PlatformClient, world: World, account_id: str) -> None:
        self.platform = platform
        self.world = world
        self.account_id = account_id
        self.path = f"/v1/accounts/{account_id}"

    async def add(self, token: str = "tok_visa") -> str:  # noqa: S107 - a test token
        """The id of a new payment method; those of one moment are in no order."""
        self.world.clock.now += timedelta(seconds=1)
        call = f"billing.payment_methods.add(account_id={self.account_id!r}, token={token!r})['payment_method_id']"
        return str(await self.world.must(call))

    async def top_up(self, amount: str = "100.00") -> str:
        """The id of a new top-up."""
        call = f"billing.topups.create(account_id={self.account_id!r}, amount={amount!r})['topup_id']"
        return str(await self.world.must(call))

    async def topup(self, topup_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = await self.platform.get(f"{self.path}/topups/{topup_id}")
        return shown

    async def refund(self, topup_id: str, amount: str | None = None, *, key: str | None = None) -> Any:
        body = None if amount is None else {"amount": amount}
        return await self.platform.send("POST", f"{self.path}/topups/{topup_id}/refund", body, key=key)

    async def work(self) -> None:
        """All that is due is done."""
        await leaving_events(self.platform.app.worker()).run_once()

    async def events(self) -> list[str]:
        async with self.platform.app.store.read(self.world.clock()) as tx:
            return [each.event for each in await tx.outbox.of(self.account_id)]

    async def reload(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.world.must(f"billing.auto_reload.get(account_id={self.account_id!r})")
        return found


@pytest.fixture
async def payer(platform: PlatformClient, world: World) -> Payer:
    return Payer(platform, world, await world.account())


async def test_a_refund_gives_back_the_wallets_part_and_the_tax_after_the_answer(payer: Payer) -> None:
    await payer.add()
    topup_id = await payer.top_up("100.00")

    asked = await must(payer.refund(topup_id, "59.50"))

    assert (asked.status_code, asked.json()["status"], asked.json()["amount"]) == (202, "pending", "59.50")
    assert await payer.world.balance(payer.account_id) == "100.00"
    await payer.work()
    shown = await payer.topup(topup_id)
    assert (shown["status"], shown["refunded"], shown["refundable"]) == ("succeeded", "59.50", "59.50")
    assert [each["status"] for each in shown["refunds"]] == ["succeeded"]
    assert await payer.world.balance(payer.account_id) == "50.00"
    await must(payer.refund(topup_id))
    await payer.work()
    shown = await payer.topup(topup_id)
    assert (shown["status"], shown["refunded"], shown["refundable"]) == ("refunded", "119.00", "0.00")
    assert await payer.world.balance(payer.account_id) == "0.00"
    assert (await payer.world.audit()).findings == ()
    assert (await payer.events()).count("billing.topup.refunded") == 2


async def test_what_was_asked_for_cannot_be_asked_for_again(
    payer: Payer, elsewhere: PlatformClient, world: World
) -> None:
    await payer.add()
    topup_id = await payer.top_up("100.00")
    other = Payer(elsewhere, world, payer.account_id)

    answers = await asyncio.gather(*[each.refund(topup_id, "80.00") for each in (payer, other) * 3])

    assert sorted(each.status_code for each in answers) == [202, 409, 409, 409, 409, 409]
    assert (await payer.topup(topup_id))["refundable"] == "39.00"
    refusal(await payer.refund(topup_id, "39.01"), 409, "not_refundable")
    await must(payer.refund(topup_id))
    refusal(await payer.refund(topup_id), 409, "not_refundable")
    await payer.work()
    assert (await payer.topup(topup_id))["refunded"] == "119.00"


async def test_under_a_key_a_refund_is_asked_for_once(payer: Payer) -> None:
    await payer.add()
    topup_id = await payer.top_up("100.00")

    first, again = [await must(payer.refund(topup_id, "10.00", key="r-1")) for _ in range(2)]

    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    assert len((await payer.topup(topup_id))["refunds"]) == 1


@pytest.mark.parametrize(("token", "status"), [("tok_declined", "failed"), ("tok_sepa", "processing")])
async def test_only_what_has_been_received_is_refunded(payer: Payer, token: str, status: str) -> None:
    await payer.add(token)
    topup_id = await payer.top_up()
    assert (await payer.topup(topup_id))["status"] == status

    refusal(await payer.refund(topup_id), 409, "not_refundable")
    refusal(await payer.refund(topup_id, "0.005"), 422, "invalid_argument")
    refusal(await payer.refund(NOBODY), 404, "not_found")


async def test_what_the_wallet_has_spent_does_not_go_back(payer: Payer) -> None:
    await payer.add()
    topup_id = await payer.top_up("100.00")
    hold_id = await payer.platform.placed(payer.account_id, "70.00")
    await must(payer.platform.send("POST", f"/accounts/{payer.account_id}/holds/{hold_id}/capture", {}))

    missing = refusal(await payer.refund(topup_id), 402, "insufficient_funds")

    assert (missing["shortfall"], missing["free"]) == (70, 30)
    await must(payer.refund(topup_id, "35.70"))
    refusal(await payer.refund(topup_id, "0.02"), 402, "insufficient_funds")


async def test_a_refund_that_the_provider_refuses_has_failed_and_can_be_asked_for_again(
    payer: Payer, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await payer.add()
    topup_id = await payer.top_up("100.00")
    await must(payer.refund(topup_id))

    async def refuses(*_: Any, **__: Any) -> None:
        raise Refused("no", code="not_refundable")

    with monkeypatch.context() as patch:
        patch.setattr(app.provider, "refund", refuses)
        await payer.work()

    shown = await payer.topup(topup_id)
    assert [(each["status"], each["failure_code"]) for each in shown["refunds"]] == [("failed", "not_refundable")]
    assert (shown["refundable"], await payer.world.balance(payer.account_id)) == ("119.00", "100.00")
    assert "billing.topup.refund_failed" in await payer.events()


async def test_a_refund_whose_answer_is_lost_is_done_once(
    payer: Payer, app: App, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(app.provider, EmbeddedProvider)
    await payer.add()
    topup_id = await payer.top_up("100.00")
    await must(payer.refund(topup_id, "11.90"))
    refund = app.provider.refund

    async def loses(*asked: Any, **key: Any) -> None:
        await refund(*asked, **key)
        raise Unavailable("no answer", code="provider_unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(app.provider, "refund", loses)
        await payer.work()
    shown = await payer.topup(topup_id)
    assert shown["refunds"][0]["status"] == "pending"

    clock.now += timedelta(hours=1)
    await payer.work()
    shown = await payer.topup(topup_id)
    assert (shown["refunds"][0]["status"], shown["refunded"], shown["refundable"]) == ("succeeded", "11.90", "107.10")
    assert await payer.world.balance(payer.account_id) == "90.00"


async def test_top_ups_are_listed_newest_first_each_once_and_by_status(payer: Payer, clock: Clock) -> None:
    good, bad = await payer.add(), await payer.add("tok_declined")
    made = []
    for number in range(5):
        clock.now += timedelta(minutes=number % 2)  # some are of one moment
        named = f", payment_method_id={(good if number % 2 else bad)!r}"
        call = f"billing.topups.create(account_id={payer.account_id!r}, amount='10.00'{named})['topup_id']"
        made.append(await payer.world.must(call))
    seen: list[str] = []
    cursor = ""

    while True:
        page = await payer.platform.get(f"{payer.path}/topups?limit=2{cursor}")
        seen += [each["topup_id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert sorted(seen) == sorted(made)
    moments = [(await payer.topup(each))["created_at"] for each in seen]
    assert moments == sorted(moments, reverse=True)
    failed = (await payer.platform.get(f"{payer.path}/topups?status=failed"))["items"]
    assert {each["topup_id"] for each in failed} == set(made[::2])
    refusal(await payer.platform.send("GET", f"{payer.path}/topups?status=gone"), 422, "invalid_argument")
    refusal(await payer.platform.send("GET", f"{payer.path}/topups?cursor=abc-{'f' * 20}-x"), 422, "invalid_argument")
    refusal(await payer.platform.send("GET", f"/v1/accounts/{NOBODY}/topups"), 404, "not_found")


async def test_a_method_that_is_removed_is_charged_no_more_and_the_provider_forgets_it(payer: Payer, app: App) -> None:
    first, second = await payer.add(), await payer.add("tok_mastercard")

    removed = await must(payer.platform.send("DELETE", f"{payer.path}/payment-methods/{first}"))

    assert (removed.status_code, removed.content) == (204, b"")
    refusal(await payer.platform.send("DELETE", f"{payer.path}/payment-methods/{first}"), 404, "not_found")
    listed = (await payer.world.must(f"billing.payment_methods.list(account_id={payer.account_id!r})"))["items"]
    assert [(each["payment_method_id"], each["is_default"]) for each in listed] == [(second, False)]
    statuses = [each["status"] for each in (await payer.platform.get(f"{payer.path}/payment-methods"))["items"]]
    assert statuses == ["removed", "active"]
    answer = await payer.world.run(f"billing.topups.create(account_id={payer.account_id!r}, amount='10')")
    assert answer.error is not None
    assert answer.error.code == "no_payment_method"
    assert "billing.payment_method.removed" in await payer.events()
    await payer.work()
    async with app.store.read(payer.world.clock()) as tx:
        reference = (await tx.payments.method(payer.account_id, first)).known.reference
        assert reference is not None
        assert await tx.provider_books.find(reference, "method") is None


async def test_a_method_that_is_removed_while_it_is_being_added_is_forgotten_too(
    payer: Payer, app: App, clock: Clock
) -> None:
    call = f"billing.payment_methods.add(account_id={payer.account_id!r})['payment_method_id']"
    method_id = await payer.world.must(call)
    await must(payer.platform.send("DELETE", f"{payer.path}/payment-methods/{method_id}"))

    clock.now += timedelta(minutes=5)
    await payer.work()

    (shown,) = (await payer.platform.get(f"{payer.path}/payment-methods"))["items"]
    assert (shown["status"], shown["setup_url"]) == ("removed", None)
    async with app.store.read(clock()) as tx:
        reference = (await tx.payments.method(payer.account_id, method_id)).known.reference
        assert reference is not None
        assert await tx.provider_books.find(reference, "method") is None


@pytest.mark.parametrize("named", [True, False], ids=["it names the method", "it takes the default"])
async def test_a_reload_whose_method_is_removed_is_disabled_and_says_so(payer: Payer, named: bool) -> None:
    first, second = await payer.add(), await payer.add("tok_mastercard")
    await payer.top_up("100.00")
    which = f", payment_method_id={first!r}" if named else ""
    call = f"billing.auto_reload.set(account_id={payer.account_id!r}, enabled=True, threshold='20', amount='50'{which})"
    await payer.world.must(call)

    await must(payer.platform.send("DELETE", f"{payer.path}/payment-methods/{first}"))

    reload = await payer.reload()
    assert (reload["enabled"], reload["state"], reload["last_failure"]) == (
        False,
        "disabled",
        "payment_method_removed",
    )
    assert reload["payment_method_id"] is None
    assert "billing.auto_reload.disabled" in await payer.events()
    await must(payer.platform.send("POST", f"{payer.path}/payment-methods/{second}/default"))
    await payer.world.must(f"billing.auto_reload.set(account_id={payer.account_id!r}, enabled=True)")
    assert (await payer.reload())["state"] == "armed"


async def test_a_reload_with_another_method_goes_on(payer: Payer) -> None:
    first, second = await payer.add(), await payer.add("tok_mastercard")
    await payer.top_up("100.00")
    which = f"payment_method_id={second!r}"
    call = (
        f"billing.auto_reload.set(account_id={payer.account_id!r}, enabled=True, threshold='20', amount='50', {which})"
    )
    await payer.world.must(call)

    await must(payer.platform.send("DELETE", f"{payer.path}/payment-methods/{first}"))

    assert (await payer.reload())["state"] == "armed"


async def test_the_default_is_the_one_that_was_chosen_last_and_no_other(payer: Payer) -> None:
    first, second, failed = await payer.add(), await payer.add("tok_sepa"), await payer.add("tok_attach_declined")

    for chosen in (second, second, first):
        shown = (await must(payer.platform.send("POST", f"{payer.path}/payment-methods/{chosen}/default"))).json()
        assert shown["is_default"]
        listed = (await payer.platform.get(f"{payer.path}/payment-methods"))["items"]
        assert [each["payment_method_id"] for each in listed if each["is_default"]] == [chosen]

    refused = await payer.platform.send("POST", f"{payer.path}/payment-methods/{failed}/default")
    refusal(refused, 409, "payment_method_not_active")
    assert (await payer.events()).count("billing.payment_method.updated") == 2
