"""A commit whose answer is lost: what it did is found again, or nobody claims to know."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.faces.mcp import failure_text
from billing_mcp.kernel import execution
from billing_mcp.store import store as store_module
from billing_mcp.store.engine import commit, outcome_unknown
from tests.world import MANAGER, World

CHANGE = "billing.plan.change(account_id={!r}, plan_id='smtp_per_mailbox')"


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_LOOKS_AFTER_S", (0.0, 0.0))


class Commits:
    """The first commits lose their answers, after or before they were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, made: bool, number: int = 1) -> None:
        self.left = number
        self._made = made
        monkeypatch.setattr(store_module, "commit", self._commit)

    async def _commit(self, connection: AsyncConnection) -> None:
        if not self.left:
            return await commit(connection)
        self.left -= 1
        if self._made:
            await commit(connection)
        else:
            await connection.rollback()
        raise outcome_unknown()


async def test_an_execution_that_was_committed_is_found_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    account_id = await world.account(funds="50.00")
    commits = Commits(monkeypatch, made=True)

    answer = await world.run(CHANGE.format(account_id))

    assert (commits.left, answer.status, answer.changed) == (0, "completed", True)
    assert answer.result["target_plan_id"] == "smtp_per_mailbox"


async def test_one_that_was_not_committed_has_failed_for_good(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    account_id = await world.account(funds="50.00")
    Commits(monkeypatch, made=False)

    answer = await world.run(CHANGE.format(account_id), idempotency_key="k")

    assert answer.error is not None
    assert (answer.status, answer.changed, answer.error.code) == ("failed", False, "database_unavailable")
    assert await world.app.executor.stored_answer(MANAGER, answer.execution_id) == answer.to_json()
    assert (await world.snapshot(account_id))["events"] == []


async def test_while_the_database_stays_away_nobody_says_that_nothing_was_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await world.account(funds="50.00")
    Commits(monkeypatch, made=False, number=3)

    answer = await world.run(CHANGE.format(account_id), idempotency_key="k")

    assert answer.error is not None
    assert (answer.status, answer.changed, answer.error.code) == ("failed", None, "outcome_unknown")
    assert "idempotency_key" in str(answer.error.hint)
    assert "Nothing was changed" not in failure_text(answer)
    assert answer.to_dict()["changed"] is None

    again = await world.run(CHANGE.format(account_id), idempotency_key="k")
    assert (again.status, again.changed) == ("completed", True)
    assert len((await world.snapshot(account_id))["events"]) == 1
