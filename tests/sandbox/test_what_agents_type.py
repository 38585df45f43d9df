"""What agents really type: each script of the corpus works, or its error names the exact mend."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from billing_mcp.app import App
from billing_mcp.domain.errors import ERRORS
from tests.sandbox import corpus

CASES = {f"{file.stem}: {case.title}": case for file in corpus.FILES for case in corpus.read(file)}
FAILED = {title: case for title, case in CASES.items() if not case.answer.startswith("{")}
WORKED = {title: case for title, case in CASES.items() if title not in FAILED}
REWRITE = "read the new answer as an agent would, then run: python -m tests.generated"

_CODE = re.compile(r"\w\(|\w=|\w_\w|\w\.\w|[\"'\[]|\bTrue\b")
_INTERNAL = re.compile(r"monty|python-input|/main\.py|Traceback \(|_by_billing", re.IGNORECASE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo() -> AsyncIterator[App]:
    async with corpus.demo_app() as app:
        yield app


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
async def test_an_agent_reads_what_was_reviewed(demo: App, case: corpus.Case) -> None:
    assert await corpus.answer(demo, case.script) == case.answer, REWRITE


@pytest.mark.parametrize("case", FAILED.values(), ids=list(FAILED))
def test_a_failure_names_a_code_a_line_and_a_mend_in_code(case: corpus.Case) -> None:
    found = re.match(
        r"(?P<code>\w+): (?P<message>.+?)\nLine \d+: (?P<source>.*)\nHint: (?P<hint>.+)\nNothing was changed\.",
        case.answer,
        re.DOTALL,
    )
    assert found is not None
    assert found["code"] in ERRORS
    assert found["source"] in case.script
    assert _CODE.search(found["hint"])
    assert len(found["hint"]) < 400
    assert not _INTERNAL.search(case.answer)


@pytest.mark.parametrize("case", WORKED.values(), ids=list(WORKED))
def test_an_answer_is_json_without_names_of_ours(case: corpus.Case) -> None:
    assert json.loads(case.answer)["status"] == "previewed"
    assert not _INTERNAL.search(case.answer)


def test_the_corpus_is_large_and_no_script_is_in_it_twice() -> None:
    scripts = [case.script for case in CASES.values()]
    assert len(scripts) == len(set(scripts)) >= 75
