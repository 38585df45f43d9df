"""Hostile scripts against the app: none of them changes, holds up or breaks anything, and each is answered well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from billing_mcp.kernel.principal import Permission, Principal
from tests.sandbox import hostile_computing as computing
from tests.sandbox import hostile_reaching as reaching
from tests.sandbox import hostile_texts as texts
from tests.sandbox.hostile import TIGHT, Case, Target, fails, named

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    async with Target.open(tmp_path_factory.mktemp("hostile")) as opened:
        yield opened


class TestComputing:
    @pytest.mark.parametrize(**named(computing.LOOPS))
    async def test_what_has_no_end_is_ended(self, target: Target, case: Case) -> None:
        answer = await target.attacked(case)
        if case.codes == ("time_limit",):
            assert answer.error is not None
            assert answer.error.message == "a script may compute for 0.3 s"

    @pytest.mark.parametrize(**named(computing.MEMORY))
    async def test_what_takes_too_much_memory_is_ended(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(computing.RECURSION))
    async def test_what_calls_itself_is_ended(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(computing.NUMBERS))
    async def test_giant_numbers_do_no_harm(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(computing.REGEX))
    async def test_no_pattern_takes_for_ever(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(computing.OUTPUT))
    async def test_what_is_printed_is_bounded_and_stays_in_the_answer(self, target: Target, case: Case) -> None:
        answer = await target.attacked(case)
        assert len(answer.output.encode()) <= 4 * 1024

    @pytest.mark.parametrize(**named(computing.ASYNC))
    async def test_nothing_waits_for_ever(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(computing.FLOODS))
    async def test_a_flood_of_calls_is_ended_whatever_is_caught(self, target: Target, case: Case) -> None:
        answer = await target.attacked(case)
        assert sum(call.times or 1 for call in answer.calls) <= TIGHT["calls"] + 1


class TestReaching:
    @pytest.mark.parametrize(**named(reaching.IMPORTS))
    async def test_the_machine_is_out_of_reach(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(reaching.DUNDERS))
    async def test_the_inside_of_objects_is_out_of_reach(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(reaching.FORMATS))
    async def test_formats_reach_nothing_and_are_bounded(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(reaching.NAMES))
    async def test_names_can_be_taken_but_not_the_functions_behind_them(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(reaching.HIDDEN))
    async def test_only_the_functions_for_agents_exist(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(reaching.EXCEPTIONS))
    async def test_a_hostile_exception_is_only_an_error_of_the_script(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(reaching.FALSE_CODES))
    async def test_a_code_that_a_script_makes_up_is_not_ours(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    async def test_an_account_of_others_does_not_exist_whatever_is_done_to_it(self, target: Target) -> None:
        mine = Principal("mine", frozenset(Permission), account_ids=frozenset({target.ground.account}))
        for call in (
            "wallet_balance.get(account_id=OTHER",
            "plan.cancel(account_id=OTHER",
            "plan.resume(account_id=OTHER.upper()",
        ):
            answer = await target.attacked(fails("other", f"billing.{call})", "not_found"), mine)
            assert answer.error is not None
            assert answer.error.message.endswith("does not exist")


class TestTexts:
    @pytest.mark.parametrize(**named(texts.SOURCES))
    async def test_no_source_breaks_what_reads_it(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(texts.CHECKER))
    async def test_no_source_breaks_what_checks_its_types(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(texts.ARGUMENTS))
    async def test_no_argument_is_taken_for_another(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(texts.RESULTS))
    async def test_every_value_leaves_as_json_or_not_at_all(self, target: Target, case: Case) -> None:
        await target.attacked(case)

    @pytest.mark.parametrize(**named(texts.DEEP_RESULTS))
    async def test_a_deep_value_is_cut(self, target: Target, case: Case) -> None:
        assert 10 < depth((await target.attacked(case)).result) <= 32


def depth(value: Any) -> int:
    """How deep lists and dicts are nested in a value."""
    if isinstance(value, list | dict):
        return 1 + max((depth(item) for item in (value.values() if isinstance(value, dict) else value)), default=0)
    return 0
