"""A commit whose answer is lost: what it did is found again, or nobody claims to know."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.faces.mcp import failure_text
from billing_mcp.kernel import execution
from billing_mcp.store import store as store_module
from billing_mcp.store.engine import commit, outcome_unknown
from tests.world import World

CHANGE = "billing.plan.change(account_id={!r}, plan_id='smtp_per_mailbox')"


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_LOOKS_AFTER_S", (0.0, 0.0))


class Commits:
    """The first commit that changes anything loses its answer, after or before it was made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, made: bool) -> None:
        self.lost = 0
        self._made = made
        monkeypatch.setattr(store_module, "commit", self._commit)

    async def _commit(self, connection: AsyncConnection) -> None:
        if self.lost:
            return await commit(connection)
        self.lost += 1
        if self._made:
            await commit(connection)
        else:
            await connection.rollback()
        raise outcome_unknown()


async def test_an_execution_that_was_committed_is_found_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    account_id = await world.account(funds="50.00")
    commits = Commits(monkeypatch, made=True)

    answer = await world.run(CHANGE.format(account_id))

    assert (commits.lost, answer.status, answer.changed) == (1, "completed", True)
    assert answer.result["target_plan_id"] == "smtp_per_mailbox"


async def test_of_one_that_is_not_found_nobody_says_that_nothing_was_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await world.account(funds="50.00")
    Commits(monkeypatch, made=False)

    answer = await world.run(CHANGE.format(account_id), idempotency_key="k")

    assert answer.error is not None
    assert (answer.status, answer.changed, answer.error.code) == ("failed", None, "outcome_unknown")
    assert "idempotency_key" in str(answer.error.hint)
    assert "Nothing was changed" not in failure_text(answer)
    assert answer.to_dict()["changed"] is None

    again = await world.run(CHANGE.format(account_id), idempotency_key="k")
    assert (again.status, again.changed) == ("completed", True)
    assert len((await world.snapshot(account_id))["events"]) == 1
