"""Telling endpoints: each hears once of what it asked for, in time, again and again, and nobody waits for another."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from billing_mcp.domain.events import PUBLIC_EVENTS
from billing_mcp.domain.webhooks import JITTER, RETRY_AFTER
from billing_mcp.operations.platform_webhooks import change_endpoint, remove_endpoint, replay_delivery, rotate_secret
from billing_mcp.store.store import Store
from billing_mcp.worker.pruning import prune_webhook_deliveries
from billing_mcp.worker.receivers import Receivers
from tests.conftest import NOW, Clock
from tests.store.books import ACCOUNT, OTHER, open_books
from tests.webhooks.receiver import EVENT, Heard, Post, receiving, reply

HOURS = 3600


async def test_an_event_is_told_once_with_the_bytes_that_are_kept(post: Post) -> None:
    async with receiving() as receiver:
        endpoint = await post.endpoint(receiver.url)
        await post.event(amount="32.50", currency="EUR")
        worker = post.worker()
        await worker.run_once()
        await worker.run_once()

    (heard,) = receiver.heard
    assert json.loads(heard.body) == {
        "type": EVENT,
        "timestamp": "2026-03-12T10:00:00Z",
        "data": {"amount": "32.50", "currency": "EUR", "account_id": ACCOUNT},
    }
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["user-agent"].startswith("billing-mcp/")
    assert heard.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert not {"cookie", "authorization", "referer"} & set(heard.headers)
    (delivery,) = await post.deliveries()
    assert (delivery.status, delivery.body, delivery.event_id) == ("delivered", heard.body, heard.message_id)
    assert (delivery.endpoint_id, delivery.attempts, delivery.log[0].status_code) == (endpoint.endpoint_id, 1, 204)
    assert await post.outbox() == 0


async def test_thirty_days_of_a_receiver_that_fails_are_the_schedule_and_then_it_is_dead(post: Post) -> None:
    moments = []

    async def refuse(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        moments.append(post.clock())
        await reply(writer, 503)

    async with receiving(refuse) as receiver:
        await post.endpoint(receiver.url)
        await post.event()
        worker = post.worker(jitter=1.0)
        while post.clock() < NOW + timedelta(days=30):
            await worker.run_once()
            (delivery,) = await post.deliveries()
            # Just before it is due nothing happens; then the next moment at which anything may.
            due = delivery.due_at if delivery.status == "waiting" else NOW + timedelta(days=30)
            post.clock.now = due - timedelta(microseconds=1)
            await worker.run_once()
            post.clock.now = due

    waits = [later - earlier for earlier, later in zip([NOW, *moments], moments, strict=False)]
    documented = [0, 5, 300, 1800, 2 * HOURS, 5 * HOURS, 10 * HOURS, 14 * HOURS, 20 * HOURS, 24 * HOURS]
    assert [wait.total_seconds() for wait in waits] == pytest.approx([each * (1 + JITTER) for each in documented])
    assert (delivery.status, delivery.attempts, len(receiver.heard)) == ("dead", 10, 10)
    assert {heard.message_id for heard in receiver.heard} == {delivery.event_id}
    assert {heard.body for heard in receiver.heard} == {delivery.body}
    assert [attempt.status_code for attempt in delivery.log] == [503] * 10


async def test_the_wait_before_an_attempt_is_never_shorter_than_its_schedule(post: Post) -> None:
    async with receiving(500) as receiver:
        await post.endpoint(receiver.url)
        await post.event()
        await post.worker(jitter=0.0).run_once()
        (first,) = await post.deliveries()
        post.clock.now = first.due_at
        await post.worker(jitter=0.9).run_once()

    (second,) = await post.deliveries()
    assert first.due_at == NOW + RETRY_AFTER[1]
    assert RETRY_AFTER[2] <= second.due_at - post.clock.now <= RETRY_AFTER[2] * (1 + JITTER)


async def test_a_receiver_that_is_gone_is_told_nothing_more_and_its_fellows_hear_why(post: Post) -> None:
    async with receiving(410) as gone, receiving() as fellow:
        endpoint = await post.endpoint(gone.url)
        await post.endpoint(fellow.url, "billing.webhook.disabled")
        await post.event()
        worker = post.worker()
        await worker.run_once()
        await post.event()
        await worker.run_once()

    assert len(gone.heard) == 1
    now = await post.of(endpoint)
    assert (now.status, now.reason) == ("disabled", "gone")
    (told,) = fellow.heard
    assert json.loads(told.body)["data"] == {
        "account_id": ACCOUNT,
        "endpoint_id": endpoint.endpoint_id,
        "reason": "gone",
        "url": gone.url,
    }


async def test_an_endpoint_where_nothing_but_failures_for_days_ends_in_a_dead_letter_is_disabled(post: Post) -> None:
    async with receiving(500) as receiver:
        endpoint = await post.endpoint(receiver.url)
        worker = post.worker(jitter=0.0)
        await post.event()
        for _ in range(20):
            await worker.run_once()
            waiting = [each for each in await post.deliveries() if each.status == "waiting"]
            if not waiting:  # the first is dead after three days: too early to give the receiver up
                assert (await post.of(endpoint)).status == "enabled"
                break
            post.clock.now = min(each.due_at for each in waiting)
        await post.event()
        for _ in range(20):
            await worker.run_once()
            waiting = [each for each in await post.deliveries() if each.status == "waiting"]
            if not waiting:
                break
            post.clock.now = min(each.due_at for each in waiting)

    now = await post.of(endpoint)
    assert (now.status, now.reason, now.failing_since) == ("disabled", "failing", NOW)
    assert [each.status for each in await post.deliveries()] == ["dead", "dead"]


async def test_what_is_delivered_mends_the_standing_of_an_endpoint(post: Post) -> None:
    async with receiving(500) as receiver:
        endpoint = await post.endpoint(receiver.url)
        await post.event()
        await post.worker().run_once()
        assert (await post.of(endpoint)).failing_since == NOW
        receiver.answer = 200
        post.later(seconds=6)
        await post.worker().run_once()

    assert (await post.of(endpoint)).failing_since is None
    assert [each.status for each in await post.deliveries()] == ["delivered"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_fails_and_nobody_follows_it(post: Post, status: int) -> None:
    async with receiving() as private:

        async def elsewhere(_heard: Heard, writer: asyncio.StreamWriter) -> None:
            await reply(writer, status, f"Location: {private.url}")

        async with receiving(elsewhere) as receiver:
            await post.endpoint(receiver.url)
            await post.event()
            await post.worker().run_once()

    assert (len(receiver.heard), private.connections) == (1, 0)
    (delivery,) = await post.deliveries()
    assert (delivery.status, delivery.error, delivery.log[0].status_code) == ("waiting", "redirected", status)


async def _hang(_heard: Heard, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _drip(_heard: Heard, writer: asyncio.StreamWriter) -> None:
    for each in "HTTP/1.1 200 OK\r\n" + "X-Drip: 1\r\n" * 1000:
        writer.write(each.encode())
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [_hang, _drip])
async def test_whoever_takes_too_long_is_cut_off_though_it_says_a_little_all_the_time(
    post: Post, answer: object
) -> None:
    async with receiving(answer) as receiver:  # type: ignore[arg-type]
        await post.endpoint(receiver.url)
        await post.event()
        await post.worker(Receivers(post.clock, to_loopback=True, timeout_s=0.3)).run_once()

    (delivery,) = await post.deliveries()
    assert (delivery.status, delivery.error, delivery.log[0].status_code) == ("waiting", "timeout", None)


async def test_an_answer_of_endless_size_is_taken_by_its_status_and_not_read(post: Post) -> None:
    sent = 0

    async def flood(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in count():
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with receiving(flood) as receiver:
        await post.endpoint(receiver.url)
        await post.event()
        await post.worker().run_once()

    assert [each.status for each in await post.deliveries()] == ["delivered"]
    assert sent < 64 * 1024 * 1024


async def test_receivers_that_hang_delay_no_other(post: Post) -> None:
    async with receiving(_hang) as hanging, receiving() as good:
        for _ in range(3):
            await post.endpoint(hanging.url)
        await post.endpoint(good.url, account_id=OTHER)
        for _ in range(10):
            await post.event()
        async with post.worker().running():
            await hanging.until(3)
            for _ in range(5):
                await post.event(account_id=OTHER)
            await good.until(5)
            assert hanging.most_at_once <= 3 * 4

    assert [each.status for each in await post.deliveries(OTHER)] == ["delivered"] * 5


async def test_a_receiver_that_fails_is_told_one_thing_at_a_time_and_others_a_few_in_order(post: Post) -> None:
    async def refuse(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        await reply(writer, 500)

    async with receiving(refuse) as failing, receiving() as good:
        await post.endpoint(failing.url)
        await post.endpoint(good.url, account_id=OTHER)
        await post.event()
        await post.worker().run_once()  # now it is failing
        failing.most_at_once = 0
        for number in range(12):
            post.later(milliseconds=1)
            await post.event(number=number)
            await post.event(account_id=OTHER, number=number)
        await post.worker().run_once()

    assert failing.most_at_once == 1
    assert len(failing.heard) == 13
    assert 1 <= good.most_at_once <= 4
    begun = [json.loads(heard.body)["data"]["number"] for heard in good.heard]
    assert sorted(begun) == list(range(12))
    assert all(abs(number - place) < 4 for place, number in enumerate(begun))


async def test_an_endpoint_hears_of_the_types_it_asked_for_and_of_all_without_a_filter(post: Post) -> None:
    async with receiving() as receiver:
        some = await post.endpoint(receiver.url, "billing.plan.changed", "billing.balance_low")
        every = await post.endpoint(receiver.url)
        for event in PUBLIC_EVENTS:
            await post.event(event)
        await post.event("billing.message.accepted")
        await post.worker().run_once()

    heard = {endpoint.endpoint_id: set[str]() for endpoint in (some, every)}
    for delivery in await post.deliveries():
        heard[delivery.endpoint_id].add(delivery.event)
    assert heard[some.endpoint_id] == {"billing.plan.changed", "billing.balance_low"}
    assert heard[every.endpoint_id] == set(PUBLIC_EVENTS) - {"billing.webhook.test"}
    assert await post.outbox() == 1  # the platform's own


async def test_an_endpoint_hears_of_its_own_account_and_of_nothing_before_it_was_there(post: Post) -> None:
    async with receiving() as receiver:
        await post.event(number=0)
        post.later(seconds=1)
        await post.endpoint(receiver.url)
        await post.event(number=1)
        await post.event(account_id=OTHER, number=2)
        await post.worker().run_once()

    (heard,) = receiver.heard
    assert json.loads(heard.body)["data"] == {"account_id": ACCOUNT, "number": 1}
    assert await post.deliveries(OTHER) == []


async def test_a_replay_is_the_same_message_again_also_of_what_is_dead_or_delivered(post: Post) -> None:
    async with receiving() as receiver:
        await post.endpoint(receiver.url)
        await post.event()
        worker = post.worker()
        await worker.run_once()
        (delivered,) = await post.deliveries()
        post.later(days=1)
        async with post.store.write(post.clock()) as tx:
            await replay_delivery(tx, ACCOUNT, delivered.delivery_id)
        await worker.run_once()

    first, second = receiver.heard
    assert (first.message_id, first.body) == (second.message_id, second.body)
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    (again,) = await post.deliveries()
    assert (again.status, again.attempts, len(again.log)) == ("delivered", 1, 2)


async def test_what_waits_at_an_endpoint_that_is_switched_off_or_removed_is_told_to_nobody(post: Post) -> None:
    async with receiving() as receiver:
        off, gone = await post.endpoint(receiver.url), await post.endpoint(receiver.url)
        await post.event()
        worker = post.worker()
        async with post.store.write(post.clock()) as tx:  # they are on their way, and nobody has taken them
            (work,) = await tx.outbox.take(EVENT, lease="a", until=NOW, limit=1)
            await tx.webhooks.fan_out(ACCOUNT, work.event_id, EVENT, {}, work.created_at)
            await tx.outbox.finish(work)
        async with post.store.write(post.clock()) as tx:
            await change_endpoint(tx, ACCOUNT, off.endpoint_id, enabled=False)
            await remove_endpoint(tx, ACCOUNT, gone.endpoint_id)
        await worker.run_once()
        async with post.store.write(post.clock()) as tx:
            await change_endpoint(tx, ACCOUNT, off.endpoint_id, enabled=True)
        await worker.run_once()
        assert receiver.heard == []
        await post.event()
        await worker.run_once()

    assert len(receiver.heard) == 1
    ended = {(each.endpoint_id, each.status, each.error) for each in await post.deliveries()}
    assert ended == {
        (off.endpoint_id, "dead", "endpoint_disabled"),
        (gone.endpoint_id, "dead", "endpoint_removed"),
        (off.endpoint_id, "delivered", None),
    }


async def test_anybody_verifies_a_message_with_the_public_library_and_either_secret_of_a_rotation(
    store: Store,
) -> None:
    clock = Clock()
    clock.now = datetime.now(UTC)  # the library looks at the real time
    await open_books(store)
    post = Post(store, clock)
    async with receiving() as receiver:
        endpoint = await post.endpoint(receiver.url)
        async with store.write(clock()) as tx:
            rotated = await rotate_secret(tx, ACCOUNT, endpoint.endpoint_id)
        await post.event(note="Grüße € 10")
        await post.worker().run_once()
        clock.now += timedelta(hours=24)
        await post.event()
        await post.worker().run_once()

    both, alone = receiver.heard
    assert len(both.headers["webhook-signature"].split()) == 2
    for secret in (endpoint.secret, rotated.secret):
        assert Webhook(secret).verify(both.body, both.headers)["data"]["note"] == "Grüße € 10"
    with pytest.raises(WebhookVerificationError):
        Webhook(rotated.secret).verify(both.body.replace("10", "11"), both.headers)
    assert len(alone.headers["webhook-signature"].split()) == 1


async def test_a_delivery_can_be_read_for_thirty_days_after_it_ended_and_one_that_waits_is_never_forgotten(
    post: Post,
) -> None:
    async with receiving() as good, receiving(503) as bad:
        await post.endpoint(good.url)
        await post.endpoint(bad.url)
        await post.event()
        await post.worker().run_once()
        forget = prune_webhook_deliveries(post.store, post.clock)

        post.clock.now = NOW + timedelta(days=30)
        assert await forget() == 0
        assert [each.status for each in await post.deliveries()].count("delivered") == 1
        post.clock.now += timedelta(seconds=1)
        assert await forget() == 1

    assert [each.status for each in await post.deliveries()] == ["waiting"]
    assert await forget() == 0
