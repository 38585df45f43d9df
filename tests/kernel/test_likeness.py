"""What a name that does not exist may have meant."""

from __future__ import annotations

import pytest

from billing_mcp.kernel.invoke import unknown_function
from billing_mcp.kernel.likeness import either, meant
from billing_mcp.operations import REGISTRY

KNOWN = [
    *("alerts.get", "current_plan.get", "plan.change", "plan.cancel", "plan.resume", "plans.list"),
    "wallet_balance.get",
]


@pytest.mark.parametrize(
    ("name", "likely"),
    [
        ("plan.chnage", ["plan.change"]),
        ("walletBalance.get", ["wallet_balance.get"]),
        ("Plans.List", ["plans.list"]),
        ("get_balance", ["wallet_balance.get"]),
        ("wallet.get", ["wallet_balance.get"]),  # though alerts.get is spelt more like it
        ("alert.get", ["alerts.get"]),
        ("alerts.list", ["alerts.get", "plans.list"]),
        ("wallet.balance", ["wallet_balance.get"]),
        ("change_plan", ["plan.change"]),
        ("getCurrentPlan", ["current_plan.get"]),
        ("plan.get", ["current_plan.get"]),
        ("subscription.cancel", ["plan.cancel"]),
        ("plan.upgrade", ["current_plan.get", "plan.change", "plan.cancel", "plan.resume"]),
        ("topups.create", []),
        ("xyzzy", []),
        ("", []),
    ],
)
def test_words_decide_and_what_is_equally_likely_is_all_told(name: str, likely: list[str]) -> None:
    assert meant(name, KNOWN) == likely


def test_a_very_long_name_is_answered_soon() -> None:
    assert meant("x" * 1_000_000, KNOWN) == []


@pytest.mark.parametrize(("names", "text"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")])
def test_alternatives_read_as_a_sentence(names: list[str], text: str) -> None:
    assert either(names) == text


@pytest.mark.parametrize("name", ["billing.xyzzy", "billing.plan.chnage"])
def test_an_unknown_function_is_answered_without_what_only_a_script_can_call(name: str) -> None:
    assert "billing.help" not in str(unknown_function(name, REGISTRY).hint)
