"""Two server processes on one PostgreSQL database behave as one server."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import asyncpg
import pytest
from httpx2 import Response, TransportError

from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.operations.platform_holds import PlatformHolds
from billing_mcp.store.store import Store
from tests.conftest import fresh_database
from tests.contract.pair import Pair, Running, assert_clean_books, kinds, ledger, pair_of, running_pair
from tests.store.books import NOW

EUR = 1_000_000
BILLING = "/v1/public/accounts/{}/billing"
DUE = [f"0190c0de-0000-7000-8000-{number:012d}" for number in range(3)]
PLANS = ("smtp_per_mailbox", "smtp_per_proxy")


@pytest.fixture(scope="module")
def running(postgresql_server: str) -> Iterator[Running]:
    with running_pair(asyncio.run(database_with_due_holds(postgresql_server))) as opened:
        yield opened


async def database_with_due_holds(server: str) -> str:
    """A database where the workers of both, as they start, find holds whose time has passed."""
    database, past = await fresh_database(server), NOW - timedelta(days=8)
    store = await Store.open(database)
    try:
        async with store.write(past) as tx:
            for account_id in DUE:
                await open_account(tx, account_id, "Due", "EUR")
                await receive_payment(tx, account_id, 100 * EUR, provider="test")
        holds = PlatformHolds(store, lambda: past)
        await asyncio.gather(*(holds.place(account_id, EUR) for account_id in DUE for _ in range(100)))
    finally:
        await store.close()
    return database


@pytest.fixture
async def pair(running: Running) -> AsyncIterator[Pair]:
    async with pair_of(running) as opened:
        yield opened


@pytest.mark.parametrize("maker", [0, 1])
async def test_a_key_that_one_makes_or_revokes_is_good_or_refused_at_the_next_request_to_the_other(
    pair: Pair, maker: int
) -> None:
    account_id = await pair.account()
    path = f"{BILLING.format(account_id)}/balance"
    for _ in range(5):
        key = await pair.agent(account_id, to=maker)
        answers = [await pair.send("GET", path, by=key, to=to) for to in (1 - maker, maker)]
        await pair.platform("DELETE", f"/keys/{key.split('_')[1]}", to=maker)
        refused = [await pair.send("GET", path, by=key, to=to) for to in (1 - maker, maker)]

        assert [answer.status_code for answer in answers] == [200, 200]
        assert [answer.json()["code"] for answer in refused] == ["key_revoked"] * 2


@pytest.mark.parametrize("maker", [0, 1])
async def test_an_execution_that_one_makes_the_other_shows_and_replays_byte_for_byte(pair: Pair, maker: int) -> None:
    account_id = await pair.account()
    key = await pair.agent(account_id)
    change = {"code": f"billing.plan.change(account_id={account_id!r}, plan_id={PLANS[0]!r})"}

    made = await pair.send("POST", "/v1/executions", change, by=key, key="once", to=maker)
    shown = await pair.send("GET", f"/v1/executions/{made.headers['execution-id']}", by=key, to=1 - maker)
    again = await pair.send("POST", "/v1/executions", change, by=key, key="once", to=1 - maker)
    async with pair.agent_client(key, 1 - maker) as agent:
        resource = await agent.read_resource(f"billing://executions/{made.headers['execution-id']}")

    assert made.json()["changed"] is True
    assert shown.content == made.content
    assert [getattr(content, "text", None) for content in resource.contents] == [made.text]
    assert "idempotent-replayed" not in made.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert without_replayed(again) == without_replayed(made)


async def test_what_one_has_done_over_mcp_the_other_replays_over_rest(pair: Pair) -> None:
    account_id = await pair.account()
    key = await pair.agent(account_id)
    code = f"billing.plan.change(account_id={account_id!r}, plan_id={PLANS[0]!r})"

    made = await pair.script(key, code, to=0, idempotency_key="once")
    again = await pair.send("POST", "/v1/executions", {"code": code}, by=key, key="once", to=1)

    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() | {"replayed": False} == made | {"replayed": False}


def without_replayed(answer: Response) -> bytes:
    return answer.content.replace(b'"replayed":true', b'"replayed":false')


Sent = tuple[str, str, Any]


def of_an_execution(account_id: str, plan_id: str) -> Sent:
    code = f"billing.plan.change(account_id={account_id!r}, plan_id={plan_id!r})"
    return "POST", "/v1/executions", {"code": code}


def of_a_plan_change(account_id: str, plan_id: str) -> Sent:
    return "POST", f"{BILLING.format(account_id)}/change-plan", {"plan_id": plan_id}


@pytest.mark.parametrize("request_of", [of_an_execution, of_a_plan_change], ids=["execution", "plan change"])
async def test_a_change_that_an_agent_asks_of_both_at_once_under_one_key_happens_once(
    pair: Pair, request_of: Callable[[str, str], Sent]
) -> None:
    account_id = await pair.account()
    key = await pair.agent(account_id)
    ids = set()
    for number in range(4):
        sent = request_of(account_id, PLANS[number % 2])
        twins = await pair.twins(*sent, by=key, key=f"change-{number}")
        again = [await pair.send(*sent, by=key, key=f"change-{number}", to=to) for to in (0, 1)]
        assert_once(twins, again)
        ids.add(again[0].headers["execution-id"])
        assert {each.headers["execution-id"] for each in (*twins, *again) if each.status_code == 200} <= ids

    assert len(ids) == 4
    await assert_clean_books(pair.running)


def assert_once(twins: list[Response], again: list[Response]) -> None:
    """One has done it, none twice; the others were told to wait or got its answer, as does everybody later."""
    done = [each for each in twins if each.is_success and "idempotent-replayed" not in each.headers]
    replayed = [each for each in twins if each.is_success and "idempotent-replayed" in each.headers]
    waiting = [each for each in twins if not each.is_success]
    assert len(done) == 1, [each.text for each in twins]
    assert {(each.status_code, each.json()["code"]) for each in waiting} <= {(409, "idempotency_key_in_use")}
    assert {each.headers.get("idempotent-replayed") for each in again} == {"true"}
    assert {without_replayed(each) for each in (*replayed, *again)} == {without_replayed(done[0])}


@pytest.mark.parametrize("what", ["credit", "hold"])
async def test_money_that_both_are_asked_to_move_at_once_under_one_key_moves_once(pair: Pair, what: str) -> None:
    account_id = await pair.account()
    bodies = {"credit": {"amount": "1.00", "reason": "Outage"}, "hold": {"amount": "1.00", "reference": "msg_1"}}
    for number in range(4):
        sent = "POST", f"/v1/platform/accounts/{account_id}/{what}s", bodies[what]
        twins = await pair.twins(*sent, key=f"{what}-{number}")
        assert_once(twins, [await pair.send(*sent, key=f"{what}-{number}", to=to) for to in (0, 1)])

    assert await pair.balances(account_id) == ((104.0, 0) if what == "credit" else (96.0, 4.0))
    assert await kinds(pair.running, account_id) == ({"credit": 5} if what == "credit" else {"credit": 1, "hold": 4})


async def test_an_account_that_both_are_asked_to_open_at_once_under_one_key_is_opened_once(pair: Pair) -> None:
    for number in range(4):
        sent = "POST", "/v1/platform/accounts", {"name": f"Twin {number}"}
        twins = await pair.twins(*sent, key=f"account-{number}")
        assert_once(twins, [await pair.send(*sent, key=f"account-{number}", to=to) for to in (0, 1)])

    listed = await pair.platform("GET", "/accounts?limit=100")
    assert Counter(each["name"] for each in listed["items"] if each["name"].startswith("Twin")) == {
        f"Twin {number}": 1 for number in range(4)
    }


async def test_a_batch_that_both_are_sent_at_once_under_one_key_happens_once(pair: Pair) -> None:
    account_id = await pair.account()
    for number in range(4):
        items = [{"action": "place", "account_id": account_id, "amount": "0.10"}] * 50
        sent = "POST", "/v1/platform/holds/batch", {"items": items}
        twins = await pair.twins(*sent, key=f"batch-{number}")
        assert_once(twins, [await pair.send(*sent, key=f"batch-{number}", to=to) for to in (0, 1)])

    assert await pair.balances(account_id) == (80.0, 20.0)
    assert (await kinds(pair.running, account_id))["hold"] == 200


async def test_64_who_want_holds_of_both_at_once_get_as_many_as_the_money_is_for(pair: Pair) -> None:
    account_id = await pair.account("40.00")

    holds = [pair.send("POST", f"/v1/platform/accounts/{account_id}/holds", {"amount": "1.00"}) for _ in range(64)]
    answers = await asyncio.gather(*holds)

    assert Counter(answer.status_code for answer in answers) == {201: 40, 402: 24}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 402} == {"insufficient_funds"}
    assert await pair.balances(account_id) == (0, 40.0)
    await assert_clean_books(pair.running)


async def test_a_hold_that_one_places_and_both_end_in_different_ways_ends_once(pair: Pair) -> None:
    account_id = await pair.account()
    where = f"/v1/platform/accounts/{account_id}/holds"
    wins: Counter[str] = Counter()
    for number in range(20):
        placed = (await pair.send("POST", where, {"amount": "1.00"}, to=number % 2)).json()
        ends = ("capture", "release") if number % 4 < 2 else ("release", "capture")
        race = [pair.send("POST", f"{where}/{placed['hold_id']}/{end}", to=to) for to, end in enumerate(ends)]
        answers = await asyncio.gather(*race)
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        for end, answer in zip(ends, answers, strict=True):
            if answer.status_code == 200:
                wins[end] += 1
            else:
                assert answer.json()["code"] == "hold_not_open"

    assert await pair.balances(account_id) == (100.0 - wins["capture"], 0)
    assert await kinds(pair.running, account_id) == Counter(
        credit=1, hold=20, charge=wins["capture"], release=wins["release"]
    )


async def test_scripts_calls_and_holds_on_one_account_through_both_leave_books_that_add_up(pair: Pair) -> None:
    account_id = await pair.account("1000.00")
    key = await pair.agent(account_id)
    where = f"/v1/platform/accounts/{account_id}"
    done: Counter[str] = Counter()

    async def messages(number: int) -> None:
        for turn in range(10):
            hold = await pair.platform("POST", f"/accounts/{account_id}/holds", {"amount": "1.00"})
            end = "capture" if (number + turn) % 2 else "release"
            await pair.platform("POST", f"/accounts/{account_id}/holds/{hold['hold_id']}/{end}")
            done[end] += 1

    async def credits_given() -> None:
        for _ in range(10):
            assert (await pair.send("POST", f"{where}/credits", {"amount": "0.50", "reason": "x"})).status_code == 201
            done["credit"] += 1

    async def plans_over_rest() -> None:
        for turn in range(10):
            body = {"plan_id": PLANS[turn % 2]}
            changed = await pair.send("POST", f"{BILLING.format(account_id)}/change-plan", body, by=key)
            assert changed.status_code == 200 or changed.json()["code"] == "plan_unchanged"

    async def plans_over_mcp(to: int) -> None:
        async with pair.agent_client(key, to) as agent:
            for turn in range(10):
                code = f"billing.plan.change(account_id={account_id!r}, plan_id={PLANS[turn % 2]!r})"
                result = await agent.call_tool("execute", {"code": code})
                answer = getattr(result, "structured_content", None) or {}
                assert answer["status"] == "completed" or answer["error"]["code"] == "plan_unchanged"

    work: list[Awaitable[None]] = [messages(number) for number in range(8)]
    await asyncio.gather(*work, credits_given(), plans_over_rest(), plans_over_mcp(0), plans_over_mcp(1))

    assert await pair.balances(account_id) == (1000.0 + 0.5 * done["credit"] - done["capture"], 0)
    assert done == {"capture": 40, "release": 40, "credit": 10}
    assert await kinds(pair.running, account_id) == Counter(credit=11, hold=80, charge=40, release=40)
    await assert_clean_books(pair.running)


async def test_holds_that_are_due_expire_once_though_the_workers_of_both_look_after_them(pair: Pair) -> None:
    for account_id in DUE:
        await pair.until_free(account_id, 100.0)
        released = Counter(each.hold_id for each in await ledger(pair.running, account_id) if each.type == "release")
        assert (len(released), set(released.values())) == (100, {1})
    await assert_clean_books(pair.running)


@pytest.fixture
def database_of_its_own(postgresql_server: str) -> str:
    return asyncio.run(fresh_database(postgresql_server))


class Load:
    """Requests under keys to both, each sent to the other one when it has no answer, until it has one."""

    def __init__(self, pair: Pair, account_id: str, agent: str) -> None:
        self.pair = pair
        self.account_id = account_id
        self.agent = agent
        self.answered: dict[str, Response] = {}
        self.lost: list[str] = []
        self.refused: Counter[str] = Counter()
        self.half_way = asyncio.Event()
        self.first_lost = asyncio.Event()
        self._count = 0

    async def run(self, callers: int, each: int) -> None:
        """All of it, and all of it answered."""
        self._count = callers * each
        await asyncio.gather(*(self._caller(number, each) for number in range(callers)))

    async def _caller(self, caller: int, each: int) -> None:
        for turn in range(each):
            kind = ("hold", "credit", "account", "script")[turn % 4]
            await self._until_answered(f"{kind}-{caller}-{turn}", to=(caller + turn // 4) % 2)

    async def _until_answered(self, key: str, *, to: int) -> None:
        while key not in self.answered:
            try:
                response = await self._send(key, to)
            except TransportError:
                self.lost.append(key)
                self.first_lost.set()
                to = 1 - to
                continue
            if response.is_success:
                self.answered[key] = response
            else:
                code = response.json()["code"]
                self.refused[code] += 1
                assert code in ("idempotency_key_in_use", "database_busy"), response.text
                await asyncio.sleep(0.02)
        if len(self.answered) >= self._count // 3:
            self.half_way.set()

    async def _send(self, key: str, to: int) -> Response:
        platform = f"/v1/platform/accounts/{self.account_id}"
        match key.partition("-")[0]:
            case "hold":
                body = {"amount": "0.10", "reference": key}
                return await self.pair.send("POST", f"{platform}/holds", body, key=key, to=to)
            case "credit":
                body = {"amount": "0.10", "reason": key}
                return await self.pair.send("POST", f"{platform}/credits", body, key=key, to=to)
            case "account":
                return await self.pair.send("POST", "/v1/platform/accounts", {"name": key}, key=key, to=to)
        code = (
            f"billing.plan.cancel(account_id={self.account_id!r}); billing.plan.resume(account_id={self.account_id!r})"
        )
        return await self.pair.send("POST", "/v1/executions", {"code": code}, by=self.agent, key=key, to=to)

    async def assert_each_happened_once(self) -> None:
        """What was ever sent stands once in the books, and is answered the same by whoever is left."""
        sent = Counter(key.partition("-")[0] for key in self.answered)
        posted = await ledger(self.pair.running, self.account_id)
        credited = Counter(each.description for each in posted if each.description.startswith("Credit: credit-"))
        assert (len(credited), set(credited.values())) == (sent["credit"], {1})
        assert Counter(each.type for each in posted)["hold"] == sent["hold"]
        ids = {key: self.answered[key].json()["account_id"] for key in self.answered if key.startswith("account-")}
        assert len(set(ids.values())) == sent["account"]
        assert await names_like(self.pair.running.database, "account-") == dict.fromkeys(ids, 1)
        executions = {each.headers["execution-id"] for key, each in self.answered.items() if key.startswith("script-")}
        assert len(executions) == sent["script"]
        await assert_clean_books(self.pair.running)


async def names_like(database: str, beginning: str) -> Counter[str]:
    store = await Store.open(database)
    try:
        async with store.read(NOW) as tx:
            return Counter(each.name for each in await tx.accounts.all() if each.name.startswith(beginning))
    finally:
        await store.close()


async def loaded(pair: Pair) -> Load:
    """A load on an account with a plan."""
    account_id = await pair.account("1000.00")
    agent = await pair.agent(account_id)
    sent = of_a_plan_change(account_id, PLANS[0])
    assert (await pair.send(*sent, by=agent)).status_code == 200
    return Load(pair, account_id, agent)


def test_when_one_is_killed_under_load_the_other_goes_on_and_what_was_under_way_happens_once(
    database_of_its_own: str,
) -> None:
    async def survive(running: Running) -> None:
        async with pair_of(running) as pair:
            load = await loaded(pair)
            async with asyncio.TaskGroup() as group:
                group.create_task(load.run(callers=24, each=16))
                await load.half_way.wait()
                running.processes[0].kill()
            assert load.lost
            await load.assert_each_happened_once()

    with running_pair(database_of_its_own) as running:
        asyncio.run(survive(running))
        assert running.processes[0].wait() == -signal.SIGKILL
        assert running.processes[1].poll() is None


_BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE $1::int = ANY(pg_blocking_pids(pid))"


@asynccontextmanager
async def locked(database: str, account_id: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Keep all others from changing an account for the block, which can wait until one of them waits."""
    connection, watcher = await asyncpg.connect(database), await asyncpg.connect(database)

    async def somebody_waits() -> None:
        async with asyncio.timeout(30):
            for _ in count():
                if await watcher.fetchval(_BLOCKED, connection.get_server_pid()):
                    return

    async with connection.transaction():
        await connection.execute("SELECT 1 FROM accounts WHERE account_id = $1 FOR UPDATE", account_id)
        yield somebody_waits
    await connection.close()
    await watcher.close()


def test_one_that_is_told_to_end_under_load_answers_what_it_has_accepted_and_the_other_takes_the_rest(
    database_of_its_own: str,
) -> None:
    async def hand_over(running: Running) -> None:
        async with pair_of(running, keep_alive=False) as pair:
            load = await loaded(pair)
            account_id = await pair.account()
            change = of_an_execution(account_id, PLANS[0])
            agent = await pair.agent(account_id)
            async with asyncio.TaskGroup() as group:
                group.create_task(load.run(callers=24, each=16))
                await load.half_way.wait()
                async with locked(running.database, account_id) as somebody_waits:
                    begun = group.create_task(pair.send(*change, by=agent, to=0))
                    await somebody_waits()
                    running.processes[0].terminate()
                    await load.first_lost.wait()
            assert begun.result().json()["changed"] is True
            # What has no answer was not begun: the other one was the first to do it.
            assert [key for key in load.lost if "idempotent-replayed" in load.answered[key].headers] == []
            await load.assert_each_happened_once()

    with running_pair(database_of_its_own) as running:
        asyncio.run(hand_over(running))
        assert running.processes[0].wait() == 0
        assert running.processes[1].poll() is None
