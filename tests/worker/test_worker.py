"""A worker: what fails is tried again, what hangs keeps nobody waiting, and nothing ends it but a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from billing_mcp.domain.errors import Conflict, Internal, InvalidArgument, NotFound, Refused, Unavailable
from billing_mcp.store.engine import TransactionAbortedError
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store, Transaction
from billing_mcp.worker.backoff import backoff_s
from tests.conftest import Clock
from tests.faults.ground import until
from tests.store.books import ACCOUNT, OTHER, open_books
from tests.worker.desk import LIMITS, TOPIC, Desk

SECRET = "postgresql://me:hunter2@host"
BOUND_S = 30


@pytest.fixture
async def desk(store: Store, clock: Clock) -> Desk:
    await open_books(store)
    await open_books(store, account_id=OTHER)
    return Desk(store, clock)


async def nothing(_work: Work) -> None:
    """A job that is done at once."""


class Failing:
    """A job that fails, each time in the next of several ways, and then no more."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.attempts: list[int] = []

    async def __call__(self, work: Work) -> None:
        self.attempts.append(work.attempts)
        if self._errors:
            raise self._errors.pop(0)


class Hanging:
    """A job that goes on until the test says so."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ended = False

    async def __call__(self, _work: Work) -> None:
        self.began.set()
        await self.may_end.wait()
        self.ended = True


class Away(AbstractAsyncContextManager[Transaction]):
    """A transaction on a database that is away."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    async def __aenter__(self) -> Transaction:
        raise Unavailable("away", code="database_unavailable")

    async def __aexit__(self, *_: object) -> None:
        """It has never begun."""


async def test_what_is_due_is_done_once_and_leaves_the_outbox(desk: Desk) -> None:
    await desk.add(ACCOUNT, 7)
    done: list[object] = []

    async def job(work: Work) -> None:
        done.append((work.account_id, work.topic, work.payload["number"]))

    worker = desk.worker(job)
    await worker.run_once()

    assert sorted(done, key=str) == [(ACCOUNT, TOPIC, str(number)) for number in range(7)]
    assert desk.told == [(TOPIC, "done")] * 7
    assert worker.outcomes == {"done": 7}
    assert await desk.work() == []


async def test_topics_that_nobody_has_a_job_for_wait_untouched(desk: Desk) -> None:
    await desk.add(ACCOUNT, topic="billing.plan.changed")
    (before,) = await desk.work()
    await desk.add(ACCOUNT)

    await desk.worker(nothing).run_once()

    assert await desk.work() == [before]
    assert (before.attempts, before.lease) == (0, None)


async def test_what_fails_is_tried_again_at_growing_intervals_and_is_dead_in_the_end(desk: Desk, clock: Clock) -> None:
    await desk.add(ACCOUNT)
    job = Failing(*(Unavailable("away", code="database_unavailable") for _ in range(9)))
    worker = desk.worker(job)
    for attempt in range(1, LIMITS.attempts):
        await worker.run_once()
        (waiting,) = await desk.work()
        full = timedelta(seconds=2 * 2 ** (attempt - 1))
        assert full / 2 <= waiting.due_at - clock.now <= full
        assert (waiting.status, waiting.lease, waiting.last_error) == ("waiting", None, "database_unavailable")
        clock.now = waiting.due_at - timedelta(microseconds=1)
        await worker.run_once()
        assert job.attempts == [*range(1, attempt + 1)]
        clock.now = waiting.due_at

    with capture_logs() as logs:
        await worker.run_once()

    assert desk.outcomes == ["again"] * (LIMITS.attempts - 1) + ["dead"]
    (dead,) = await desk.work()
    assert (dead.status, dead.last_error, dead.attempts) == ("dead", "database_unavailable", LIMITS.attempts)
    (log,) = [log for log in logs if log["event"] == "job_dead"]
    assert (log["log_level"], log["error"], log["attempts"]) == ("error", "database_unavailable", LIMITS.attempts)
    clock.now += timedelta(days=400)
    await worker.run_once()
    assert len(job.attempts) == LIMITS.attempts


async def test_what_was_dead_is_done_once_it_is_revived(desk: Desk, clock: Clock) -> None:
    await desk.add(ACCOUNT)
    worker = desk.worker(Failing(InvalidArgument("wrong")))
    await worker.run_once()
    async with desk.store.write(clock()) as tx:
        await tx.outbox.revive()

    await worker.run_once()

    assert desk.outcomes == ["dead", "done"]


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (InvalidArgument(SECRET), "dead", "invalid_argument"),
        (NotFound(SECRET), "dead", "not_found"),
        (Refused(SECRET, code="account_not_active"), "again", "account_not_active"),
        (Conflict(SECRET), "again", "conflict"),
        (Unavailable(SECRET, code="queue_full"), "again", "queue_full"),
        (Internal(SECRET), "again", "internal_error"),
        (TransactionAbortedError(SECRET), "again", "database_busy"),
        (TimeoutError(SECRET), "again", "TimeoutError"),
        (ZeroDivisionError(SECRET), "again", "ZeroDivisionError"),
    ],
)
async def test_an_error_is_known_by_its_code_or_type_and_its_text_by_nobody(
    desk: Desk, error: Exception, outcome: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await desk.add(ACCOUNT)

    with capture_logs() as logs:
        await desk.worker(Failing(error)).run_once()

    (work,) = await desk.work()
    assert (desk.outcomes, work.last_error) == ([outcome], code)
    assert "hunter2" not in repr(logs)
    assert "hunter2" not in "".join(capsys.readouterr())


async def test_a_job_that_takes_too_long_is_cancelled_and_tried_again(desk: Desk) -> None:
    await desk.add(ACCOUNT)
    hanging = Hanging()

    await desk.worker(hanging, job_s=0.05).run_once()

    (work,) = await desk.work()
    assert (hanging.began.is_set(), hanging.ended) == (True, False)
    assert (desk.outcomes, work.last_error, work.lease) == (["again"], "time_limit", None)


async def test_work_whose_workers_never_came_back_is_dead_when_its_attempts_are_used_up(
    desk: Desk, clock: Clock
) -> None:
    await desk.add(ACCOUNT)
    for _ in range(LIMITS.attempts):
        async with desk.store.write(clock()) as tx:
            assert await tx.outbox.take(TOPIC, lease="killed", until=clock() + timedelta(minutes=1), limit=1)
        clock.now += timedelta(minutes=1)
    job = Failing()

    await desk.worker(job).run_once()

    (dead,) = await desk.work()
    assert (job.attempts, desk.outcomes, dead.status, dead.last_error) == ([], ["dead"], "dead", "worker_lost")


async def test_a_worker_that_was_late_does_not_end_what_another_has_taken_over(desk: Desk, clock: Clock) -> None:
    await desk.add(ACCOUNT)
    late = Hanging()
    async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(desk.worker(late).run_once())
        await late.began.wait()
        clock.now += timedelta(seconds=LIMITS.lease_s)
        next_one = Hanging()
        tasks.create_task(desk.worker(next_one).run_once())
        await next_one.began.wait()
        (taken,) = await desk.work()
        late.may_end.set()
        await until(lambda: desk.outcomes == ["left"], "it")
        assert await desk.work() == [taken]
        next_one.may_end.set()

    assert desk.outcomes == ["left", "done"]
    assert await desk.work() == []


async def test_a_job_that_hangs_delays_nobody_else(desk: Desk) -> None:
    await desk.add(OTHER)
    hanging = Hanging()

    async def job(work: Work) -> None:
        if work.account_id == OTHER:
            await hanging(work)

    worker = desk.worker(jobs={TOPIC: job, "second.topic": nothing})
    async with asyncio.timeout(BOUND_S), worker.running():
        await hanging.began.wait()
        await desk.add(ACCOUNT, 20)
        await desk.add(ACCOUNT, 3, topic="second.topic")
        await until(lambda: len(desk.told) == 23, "it")
        hanging.may_end.set()

    assert desk.told.count((TOPIC, "done")) == 21
    assert await desk.work() == []


async def test_so_many_jobs_run_at_a_time_and_no_more(desk: Desk) -> None:
    await desk.add(ACCOUNT, 10)
    gate = asyncio.Semaphore(0)
    running: list[int] = [0]

    async def job(_work: Work) -> None:
        running.append(running[-1] + 1)
        await gate.acquire()
        running.append(running[-1] - 1)

    async with asyncio.timeout(BOUND_S), desk.worker(job, at_a_time=3).running():
        for done in range(10):
            await until(lambda done=done: running[-1] == min(3, 10 - done), "as many as may")  # type: ignore[misc]
            gate.release()
            await until(lambda done=done: len(desk.told) == done + 1, "an end")  # type: ignore[misc]

    assert max(running) == 3
    assert await desk.work() == []


async def test_a_stop_lets_a_job_end_that_runs_and_begins_no_other(desk: Desk) -> None:
    await desk.add(ACCOUNT, 2)
    hanging = Hanging()
    worker, stop = desk.worker(hanging, at_a_time=1), asyncio.Event()
    working = asyncio.create_task(worker.run(stop))
    async with asyncio.timeout(BOUND_S):
        await hanging.began.wait()
        stop.set()
        await asyncio.sleep(0)
        assert not working.done()
        hanging.may_end.set()
        await working

    (waiting,) = await desk.work()
    assert (desk.outcomes, waiting.attempts, waiting.lease) == (["done"], 0, None)


async def test_what_does_not_end_within_the_grace_of_a_stop_is_left_to_its_lease(desk: Desk, clock: Clock) -> None:
    await desk.add(ACCOUNT)
    hanging = Hanging()
    async with asyncio.timeout(BOUND_S):
        async with desk.worker(hanging, grace_s=0.01).running():
            await hanging.began.wait()

    (left,) = await desk.work()
    assert (hanging.ended, left.lease is None, left.due_at) == (
        False, False, clock.now + timedelta(seconds=LIMITS.lease_s),
    )  # fmt: skip
    clock.now = left.due_at
    await desk.worker(nothing).run_once()
    assert await desk.work() == []


async def test_errors_of_the_database_make_it_wait_and_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    away: list[Exception] = [
        Unavailable("away", code="database_unavailable"), TransactionAbortedError(), ZeroDivisionError(SECRET)
    ]  # fmt: skip
    write = desk.store.write

    @asynccontextmanager
    async def flaky(now: datetime) -> AsyncIterator[Transaction]:
        if away:
            raise away.pop(0)
        async with write(now) as tx:
            yield tx

    await desk.add(ACCOUNT)
    monkeypatch.setattr(desk.store, "write", flaky)
    monkeypatch.setattr("billing_mcp.worker.worker.backoff_s", lambda *_, **__: 0.001)

    with capture_logs() as logs:
        async with asyncio.timeout(BOUND_S), desk.worker(nothing).running():
            await until(lambda: desk.outcomes == ["done"], "it")

    waits = [(log["log_level"], log.get("error")) for log in logs if log["event"] == "worker_waits"]
    assert waits == [("warning", "database_unavailable"), ("warning", "database_busy"), ("error", None)]


async def test_what_cannot_be_noted_is_left_to_its_lease_and_done_again(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.add(ACCOUNT)
    write = desk.store.write

    async def breaks(_work: Work) -> None:
        monkeypatch.setattr(desk.store, "write", Away)

    await desk.worker(breaks).run_once()
    monkeypatch.setattr(desk.store, "write", write)
    assert desk.outcomes == ["left"]
    await desk.worker(nothing).run_once()
    assert desk.outcomes == ["left"]

    clock.now += timedelta(seconds=LIMITS.lease_s)
    await desk.worker(nothing).run_once()

    assert desk.outcomes == ["left", "done"]


async def test_doing_it_once_says_that_the_database_is_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.store, "read", Away)
    with pytest.raises(Unavailable):
        await desk.worker(nothing).run_once()


def test_the_wait_doubles_up_to_a_cap_and_half_of_it_is_chance() -> None:
    for attempt in range(1, 200):
        full = min(3600.0, 2.0 * 2.0 ** (attempt - 1))
        waits = {backoff_s(attempt) for _ in range(50)}
        assert len(waits) > 40
        assert full / 2 <= min(waits) <= max(waits) <= full
    assert backoff_s(3, first_s=0.5, cap_s=1.0) <= 1.0
