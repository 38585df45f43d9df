"""Months of billing come out to the cent as their texts say, on both databases; and the texts add up by themselves."""

from __future__ import annotations

import pytest

from billing_mcp.store.store import Store
from tests.scenarios.arithmetic import check
from tests.scenarios.language import MARK, NotUnderstood, acts_of
from tests.scenarios.play import play
from tests.scenarios.run import difference, scenarios, updated

TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in scenarios()}
EACH = pytest.mark.parametrize("name", TEXTS)


@EACH
async def test_a_scenario_comes_out_as_its_text_says(store: Store, name: str) -> None:
    assert difference(TEXTS[name], await play(TEXTS[name], store), name) == ""


@EACH
def test_the_figures_of_a_scenario_add_up(name: str) -> None:
    assert check(TEXTS[name]) == []


def test_there_are_twelve_scenarios() -> None:
    assert len(TEXTS) == 12


@pytest.mark.parametrize(
    ("figure", "other", "problem"),
    [
        ("available -20.645162", "available -20.645163", "do not sum to zero"),
        ("1 month x 29.00 x 10/31 = 9.354839", "1 month x 29.00 x 10/31 = 9.354842", "is not 9.354842"),
        ("in cents: 11.29", "in cents: 11.30", "11.290323 is not 11.30 in cents"),
        ("net 112.09", "net 112.10", "the lines sum to 112.09, not 112.10"),
        ("VAT 19.00 % 21.30", "VAT 19.00 % 21.31", "VAT is 21.3, not 21.31"),
        ("total 133.39", "total 133.40", "the total is 133.39, not 133.40"),
        ("settled 133.39", "settled 133.38", "what is settled and what is due are not the total"),
        ("due 0.00 | paid", "due 0.00 | past_due", "0.00 is due, and it is past_due"),
        ("wallet: available 87.91", "wallet: available 87.92", "the ledger's entries sum to 87.91"),
        ("owed: 0.00", "owed: 1.00", "owed is 1.00"),
        ("revenue 91.451613 | rounding", "receivable 91.451613 | rounding", "the ledger has earned 20.6"),
        ("36.00 x 21/31 = 24.387097", "36.00 x 21/31 = 24.38", "36.00 x 21/31 is not 24.38"),
        ("# VAT: 112.09 x 0.19 = 21.30.", "# VAT = 21.30.", "no sum that can be worked out"),
    ],
)
def test_a_figure_that_is_wrong_is_found(figure: str, other: str, problem: str) -> None:
    text = TEXTS["change_mid_month"]
    assert text.count(figure) == 1

    assert problem in " ".join(check(text.replace(figure, other)))


def test_an_outcome_that_differs_is_shown_line_by_line() -> None:
    text = TEXTS["leap_day"]
    outcome = text.partition(MARK)[2]

    shown = difference(text, outcome.replace("Mailboxes, 1 of 29 days", "Mailboxes, 2 of 29 days"), "leap_day")

    assert "-  3. Mailboxes, 1 of 29 days" in shown
    assert "+  3. Mailboxes, 2 of 29 days" in shown


def test_an_update_keeps_comments_with_their_lines_and_names_those_whose_lines_are_gone() -> None:
    text = f"2026-01-01 open\n\n{MARK}\n\n# of the first\none\n# lost\ntwo\n  # of the third\nthree\n# at the end\n"

    assert updated(text, "one\nthree\none\n") == (
        f"2026-01-01 open\n\n{MARK}\n\n# of the first\none\n  # of the third\nthree\none\n",
        ["# lost", "# at the end"],
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "begins with the opening"),
        ("2026-01-31 advance", "begins with the opening"),
        ("2026-01-31 open\n2026-02-30 advance", "day is out of range"),
        ("2026-01-31 open\n2026-01-30 advance", "is before the line above it"),
        ("2026-01-31 open\nadvance", "does not begin with its day"),
        ("2026-01-31 open\n2026-02-01 pay 10.00", "is no act"),
        ("2026-01-31 open\n2026-02-01 top up 10 by card", "is no act"),
    ],
)
def test_a_line_that_is_no_act_is_not_understood(text: str, problem: str) -> None:
    with pytest.raises((NotUnderstood, ValueError), match=problem):
        acts_of(text)


@pytest.mark.parametrize(
    ("act", "problem"),
    [("resume", "nothing_pending"), ("count mailbox 1, refused: nothing_pending", "was not refused")],
)
async def test_an_act_that_is_refused_fails_unless_it_must_be_and_then_it_has_to(
    store: Store, act: str, problem: str
) -> None:
    with pytest.raises(AssertionError, match=problem):
        await play(f"2026-01-31 open\n2026-01-31 {act}", store)
