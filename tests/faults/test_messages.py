"""Messages under crowds and kills: each is charged once, and what is added up is what there is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from billing_mcp.domain.clock import system_clock
from billing_mcp.domain.messages import Message
from billing_mcp.operations.drafts import Draft
from billing_mcp.store.store import Store
from tests.faults import SOAK
from tests.faults.ground import OpenStore, account, assert_sound, open_accounts, outcomes
from tests.faults.senders import ACCOUNTS, SENDERS, Errand, messages_on
from tests.faults.test_killed import Victim
from tests.store.recount import assert_counted

KILLS = 20 if SOAK else 4
LATEST = 400
"""By then so many steps at most are acknowledged when the kill comes, on purpose."""
ROUNDS = 60 if SOAK else 6


async def assert_in_step(store: Store, database: str, *, accounts: int = ACCOUNTS) -> list[Message]:
    """The books are sound, and so is all that was added up beside them; all messages."""
    await assert_sound(store, database)
    async with store.read(system_clock()) as tx:
        return [each for number in range(accounts) for each in await assert_counted(tx, account(number))]


async def test_a_hundred_copies_of_a_receipt_are_one_charge(store: Store, database: str) -> None:
    await open_accounts(store, 1)
    messages = messages_on(store)
    sent = (await messages.send(account(0), Draft("sms", to=["+4915112345678"], market="DE", segments=2))).message
    assert sent is not None
    copies = [await messages.reporting(account(0), sent.message_id, "delivered", segments=3) for _ in range(100)]
    told = await outcomes([messages.submit(each) for each in copies])
    assert [each.message for each in told] == [told[0].message] * 100
    assert told[0].message.charged_quantity == 3
    assert sorted(len(each.transaction_ids) for each in told) == [0] * 99 + [1]
    await assert_in_step(store, database, accounts=1)


async def test_two_servers_send_and_report_on_the_same_accounts_and_no_update_is_lost(
    database: str, open_store: OpenStore
) -> None:
    stores = [await open_store(database), await open_store(database)]
    await open_accounts(stores[0], ACCOUNTS)
    one, other = (messages_on(each) for each in stores)
    for turn in range(ROUNDS):
        errands = [Errand(f"turn{turn}", number, turn + number) for number in range(2 * SENDERS)]
        sent = await outcomes([each.send((one, other)[each.sender % 2]) for each in errands])
        names = [receipt.message.message_id for receipt in sent]
        # Each is reported to both at once, and the other half of the users writes at the same time.
        reports = [e.report(to, name) for e, name in zip(errands, names, strict=True) for to in (one, other)]
        answers = [each.answer((other, one)[each.sender % 2]) for each in errands]
        told = await outcomes([*reports, *answers])
        assert [each for each in told if isinstance(each, str)] == []
    found = await assert_in_step(stores[0], database)
    assert len(found) == ROUNDS * 2 * SENDERS
    assert {each.status for each in found} == {"delivered", "failed"}


async def send_again(store: Store, victim: Victim) -> None:
    """What was acknowledged is there; all of it is sent and reported again, and nothing happens twice."""
    messages = messages_on(store)
    known = victim.steps()
    last = {sender: max((n for s, n, _ in known if s == sender), default=-1) for sender in range(SENDERS)}
    errands = [Errand(victim.run, sender, n) for sender in range(SENDERS) for n in range(last[sender] + 2)]
    sent = await outcomes([each.send(messages) for each in errands])
    for errand, receipt in zip(errands, sent, strict=True):
        told = known.get((errand.sender, errand.number, "send"))
        assert told is None or (receipt.replayed, receipt.message.message_id) == (True, told), errand.name
        reported = known.get((errand.sender, errand.number, "report"))
        assert reported in (None, receipt.message.status), errand.name
    names = [receipt.message.message_id for receipt in sent]
    await outcomes([each.report(messages, name) for each, name in zip(errands, names, strict=True)])
    again = await outcomes([each.report(messages, name) for each, name in zip(errands, names, strict=True)])
    assert [receipt.transaction_ids for receipt in again] == [()] * len(again)


@pytest.mark.timeout(300)
async def test_a_kill_between_sends_and_receipts_leaves_all_that_is_added_up_in_step(
    database: str, tmp_path: Path
) -> None:
    store = await Store.open(database)
    await open_accounts(store, ACCOUNTS)
    await store.close()
    moments = random.Random(system_clock().toordinal() if SOAK else 5)  # noqa: S311 - it need not be a secret
    for kill in range(KILLS):
        victim = await Victim.start(database, tmp_path, f"run{kill}", module="tests.faults.senders")
        await victim.killed_after(moments.randrange(1, LATEST))
        store = await Store.open(database)
        try:
            await assert_in_step(store, database)
            await send_again(store, victim)
            found = await assert_in_step(store, database)
            assert len({each.reference for each in found}) == len(found)
        finally:
            await store.close()
