"""The type checker: a sure mistake stops a script before it writes, a doubt never does, and a failure gets a hint."""

from __future__ import annotations

import json

import pytest

from billing_mcp.operations import REGISTRY
from billing_mcp.sandbox.typecheck import first_mistake
from tests.sandbox.agent import ACCOUNT, OPERATION, Agent, FakeHost

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET = f"billing.wallet_balance.get(account_id='{ACCOUNT}')"
RESUME = f"billing.plan.resume(account_id='{ACCOUNT}')"
CHANGE = f"billing.plan.change(account_id='{ACCOUNT}', plan_id="


class TestSureMistakes:
    @pytest.mark.parametrize(
        ("source", "line", "said"),
        [
            (f"done = {RESUME}\ndone.status", 2, "status"),
            (f"{RESUME}\nb = {GET}\nprint(b.balance)", 3, "balance"),
            (f"{RESUME}\nprint(nowhere)", 2, "nowhere"),
            (f"print(dattime.now())\n{RESUME}", 1, "dattime"),
            (f"f = {RESUME}\nbilling.plan.chnage", 2, "chnage"),
            (f"from billing.plan import chnage\n{RESUME}", 1, "chnage"),
            ("resume = billing.plan.resume\nresume()", 2, "account_id"),
            (f"resume = billing.plan.resume\nresume(account='{ACCOUNT}')", 2, "account"),
            (f"resume = billing.plan.resume\nresume('{ACCOUNT}')", 2, "account_id"),
        ],
    )
    async def test_a_sure_mistake_stops_a_script_before_its_first_call(
        self, agent: Agent, source: str, line: int, said: str
    ) -> None:
        host = FakeHost()
        result = await agent.run(source, host)
        assert result.error is not None
        assert (result.error.code, result.line, host.calls) == ("type_error", line, [])
        assert said in result.error.message
        assert "`" not in result.error.message
        assert result.source == source.splitlines()[line - 1]

    @pytest.mark.parametrize(
        ("source", "line", "said"),
        [
            (f"{CHANGE}'gold')", 1, 'plan_id of billing.plan.change must be {PLANS}; got "gold"'),
            (f"x = 1\nplan = 'gold'\n{CHANGE}plan)", 3, 'plan_id of billing.plan.change must be {PLANS}; got "gold"'),
            (f"c = await {CHANGE}'gold')", 1, 'plan_id of billing.plan.change must be {PLANS}; got "gold"'),
            (
                "from billing import plan as p\np.resume(account_id=None)",
                2,
                "account_id of billing.plan.resume must be the account's UUID; got None",
            ),
            (
                "billing.plan.cancel(\n    account_id='a',\n    cancel_immediately='yes',\n)",
                3,
                'cancel_immediately of billing.plan.cancel must be True or False; got "yes"',
            ),
        ],
    )
    async def test_an_argument_that_is_surely_wrong_is_told_as_the_function_itself_tells_it(
        self, agent: Agent, source: str, line: int, said: str
    ) -> None:
        host = FakeHost()
        result = await agent.run(source, host)
        assert result.error is not None
        assert (result.error.code, result.line, host.calls) == ("invalid_argument", line, [])
        assert result.error.message == said.replace("{PLANS}", "'smtp_per_mailbox' or 'smtp_per_proxy'")

    async def test_an_argument_of_a_function_of_the_script_s_own_is_told_as_the_checker_tells_it(
        self, agent: Agent
    ) -> None:
        error = await agent.error(f"def f(n: int):\n    return n\nf(n='x')\n{RESUME}")
        assert (error.code, "int" in error.message) == ("type_error", True)

    async def test_a_write_that_was_not_foreseen_is_checked_when_it_comes(self, agent: Agent) -> None:
        host = FakeHost()
        source = f"call = getattr(billing.plan, 'resume')\ncall(account_id='{ACCOUNT}')\nprint(nowhere)"
        result = await agent.run(source, host)
        assert result.error is not None
        assert (result.error.code, result.line, host.calls) == ("type_error", 3, [])


class TestDoubts:
    @pytest.mark.parametrize(
        "before",
        [
            "x = list(map(int, ['1', '2']))",
            "x = list(filter(None, [0, 1]))",
            "x = getattr({}, 'get', None)",
            "try:\n    x = 1\nexcept PermissionError:\n    x = 2",
            "try:\n    x = 1\nexcept (PermissionError, LookupError, ValueError, RuntimeError) as e:\n    print(e)",
            "if len('a') > 1:\n    return 'nothing to do'",
            "for i in range(3):\n    if i > 5:\n        return i",
            f"b = {GET}\nif b['currency'] != 'EUR':\n    return 'not in EUR'",
            "if len('a') == 1:\n    x = 1\nprint(x)",
            "from decimal import Decimal\ntotal = sum(Decimal(v) for v in ['1', '2'])\ntotal.quantize(Decimal('0.01'))",
            f"done = {RESUME}\nprint(done['effective_at'].split('T')[0])",
            f"done = {RESUME}\nfloat(done.get('eligible') or 0)",
            "totals = {}\nfor kind in ['a', 'b']:\n    totals[kind] = totals.get(kind, 0) + 1.5",
            "rows = {'ok': [], 'failed': []}\nrows['ok'].append({'a': 1})\nrows['note'] = 'x'",
            "from collections import defaultdict\nby = defaultdict(list)\nby['a'].append(1)",
            (
                "def pick(rows, key):\n    for row in rows:\n        if row['id'] == key:\n            return row\n"
                "pick([{'id': 1}], 1)['id']"
            ),
            "import json\nsettings = json.loads('{\"a\": {\"b\": 1}}')\nsettings['a']['b'] += 1",
            (
                "from typing import Any, Optional\ndef f(a: Any, b: Optional[str] = None) -> dict[str, Any]:\n"
                "    return {'a': a, 'b': b}\nf(1)"
            ),
            "class Totals:\n    def __init__(self):\n        self.n = 0\nt = Totals()\nt.n += 1",
            "x = 5 if len('a') else None\nprint(x + 1)",
            "best = max([{'p': '1'}, {'p': '2'}], key=lambda row: float(row['p']))\nbest['p']",
            "print(f'{1234.5:,.2f}', '%s' % 1, '{}'.format(None), sep='|')",
            "a, *rest = [1, 2, 3]\n(lambda *args, **kw: args)(*rest, **{})",
        ],
    )
    async def test_a_correct_script_is_never_stopped(self, agent: Agent, before: str) -> None:
        result = await agent.run(f"{before}\n{RESUME}")
        assert result.error is None, (result.error, result.line)

    async def test_a_script_with_a_doubt_prints_as_any_other(self, agent: Agent) -> None:
        result = await agent.run(f"print(list(map(str, [1])))\nx = {RESUME}", FakeHost(writable=True))
        assert (result.output, result.value) == ("['1']\n", OPERATION)

    @pytest.mark.parametrize(
        "source",
        [
            f"plan = 'smtp_per_proxy'\n{CHANGE}plan)",
            f"plan = 'smtp_per_' + 'proxy'\n{CHANGE}plan)",
            f"plan = 'smtp_per_proxy' if {GET}['balance'] else 'smtp_per_mailbox'\n{CHANGE}plan)",
            f"for plan in ['smtp_per_mailbox', 'smtp_per_proxy']:\n    x = {CHANGE}plan)\nx",
            (
                f"plans = billing.plans.list(account_id='{ACCOUNT}')['items']\n"
                f"cheapest = min(plans, key=lambda p: float(p['price']))\n{CHANGE}cheapest['plan_id'])"
            ),
            (
                f"plan = billing.current_plan.get(account_id='{ACCOUNT}')['plan_id']\n"
                f"if plan != 'none':\n    x = {CHANGE}plan)\nx"
            ),
            (
                f"wanted = {{'a': '{ACCOUNT}', 'p': 'smtp_per_proxy'}}\n"
                "billing.plan.change(account_id=wanted['a'], plan_id=wanted['p'])"
            ),
            f"arguments = {{'account_id': '{ACCOUNT}', 'plan_id': 'smtp_per_proxy'}}\nbilling.plan.change(**arguments)",
            (
                "import datetime\nday = datetime.date.today() + datetime.timedelta(days=30)\n"
                f"{CHANGE}'smtp_per_proxy', effective_date=day.isoformat())"
            ),
            f"def change(account, plan):\n    return {CHANGE}plan)\nchange(1, 'smtp_per_proxy')",
        ],
    )
    async def test_a_plan_may_be_chosen_in_any_correct_way(self, agent: Agent, source: str) -> None:
        assert await agent.value(source) == OPERATION

    async def test_a_script_that_only_reads_is_not_checked_before_it_runs(self, agent: Agent) -> None:
        assert await agent.value(f"b = {GET}\nb['balance'] if b else b.nothing + nowhere") == "112.50"


class TestHints:
    @pytest.mark.parametrize(
        ("source", "hint"),
        [
            (f"b = {GET}\nb.balance", "write ['balance']"),
            (f"b = {GET}\nb['total']", "keys accrued_charges, balance, currency, net_balance."),
            (f"done = {RESUME}\ndone['plan']", "write ['previous_plan_id'] or ['target_plan_id']"),
            ("f = billing.plans.lst", "Did you mean billing.plans.list?"),
            ("print(1)\nprint(nowhere)", "Define it first"),
            ("x = 5\nx.foo", "Object of type Literal[5] has no attribute foo."),
        ],
    )
    async def test_a_script_that_failed_is_told_the_mend_or_what_the_checker_says_of_it(
        self, agent: Agent, source: str, hint: str
    ) -> None:
        error = await agent.error(source)
        assert error.code == "script_error"
        assert hint in str(error.hint)

    async def test_a_failure_that_nothing_explains_gets_no_hint(self, agent: Agent) -> None:
        assert (await agent.error("1 / 0")).hint is None

    async def test_looking_for_a_hint_calls_and_prints_nothing_again(self, agent: Agent) -> None:
        host = FakeHost()
        result = await agent.run(f"print('once')\n{GET}\n[][0]", host)
        assert (result.output, len(host.calls)) == ("once\n", 1)


def diagnostic(code: str, message: str, row: int = 1, severity: str = "error") -> dict[str, object]:
    return {
        "code": code,
        "name": code,
        "message": message,
        "severity": severity,
        "location": {"row": row, "column": 1},
        "end_location": {"row": row, "column": 2},
        "filename": "/main.py",
    }


MAP = diagnostic("unresolved-reference", "Name `map` used when not defined")
PLAN = diagnostic("unresolved-reference", "Name `plan` used when not defined", row=3)


class TestReadingDiagnostics:
    async def test_the_first_sure_mistake_is_told(self) -> None:
        later = diagnostic("unresolved-reference", "Name `later` used when not defined", row=9)
        mistake = first_mistake(json.dumps([MAP, PLAN, later]), "", REGISTRY)
        assert mistake is not None
        assert (str(mistake.error), mistake.line) == ("type_error: Name plan used when not defined", 3)

    @pytest.mark.parametrize(
        "diagnostics",
        [
            [],
            [MAP],
            [diagnostic("unresolved-reference", "Name `plan` used when not defined", severity="warning")],
            [diagnostic("invalid-syntax", "`return` statement outside of a function")],
            [diagnostic("unresolved-attribute", "Attribute `split` is not defined on `None` in union `str | None`")],
        ],
    )
    async def test_what_is_no_sure_mistake_is_passed_over(self, diagnostics: list[dict[str, object]]) -> None:
        assert first_mistake(json.dumps(diagnostics), "", REGISTRY) is None
