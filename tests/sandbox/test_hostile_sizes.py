"""Small scripts whose values are huge once they are copied, and calls that pass such values."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.sandbox.hostile import ANYTHING, Case, Target, fails, harmless, named
from tests.world import MANAGER

pytestmark = pytest.mark.asyncio(loop_scope="module")

_UNKNOWN = ("unknown_function", "invalid_argument")
_FORTY = "for i in range(40):\n  try: billing.wallet_balance.get({})\n  except ValueError: pass"
_DEC = "from decimal import Decimal\n"
_CHAIN = ";".join("a" + ".b" * 2800 for _ in range(5))

HUGE: list[Case] = [
    harmless("one text many times", "s = 'x' * 10**6\n[s] * 3000", ANYTHING),
    harmless("one text in many keys", "k = 'x' * 10**6\n{(k, i): i for i in range(300)}", ANYTHING),
    harmless("one long Decimal many times", _DEC + "[Decimal('9' * 4000)] * 50000", ANYTHING),
    harmless("one text in an object many times", "class A: pass\na = A()\na.x = 'x' * 10**6\n[a] * 1000", ANYTHING),
    harmless("doubled list", "x = [0]\nfor _ in range(60): x = [x, x]\nx", ANYTHING),
    harmless("doubled dict", "x = {'a': 0}\nfor _ in range(60): x = {'a': x, 'b': x}\nx", ANYTHING),
    fails("help on 5001 digits", "billing.help(10**5000)", *_UNKNOWN),
    fails("help on a deep list", "x = []\nfor _ in range(5000): x = [x]\nbilling.help(x)", *_UNKNOWN),
    fails("help on one text many times", "s = 'x' * 10**6\nbilling.help([s] * 300)", *_UNKNOWN),
    fails("help on a long text", "billing.help('x' * 5 * 10**6)", *_UNKNOWN),
    fails("long name of an argument", "billing.wallet_balance.get(**{'x' * 5 * 10**6: 1})", "unknown_argument"),
    fails("names without end", ";".join(f"a{i}" for i in range(5000)), "script_error"),
    fails("chains of attributes", _CHAIN, "syntax_error", "script_error"),
]
HOLDS: list[Case] = [
    harmless("values", _FORTY.format("account_id='x' * (5*10**6 + i)"), None),
    harmless("names", _FORTY.format("**{'x' * (3*10**6 + i): 1}"), None),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    async with Target.open(tmp_path_factory.mktemp("sizes")) as opened:
        yield opened


@pytest.mark.parametrize(**named(HUGE))
async def test_it_does_no_harm(target: Target, case: Case) -> None:
    await target.attacked(case)


@pytest.mark.parametrize(**named(HOLDS))
async def test_the_arguments_of_calls_that_failed_are_not_kept(target: Target, case: Case) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await target.app.run_script(MANAGER, target.ground.written(case.source))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024
