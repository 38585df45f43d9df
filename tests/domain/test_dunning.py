"""What is done about a debt depends on its age and on what was done before, and on nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing_mcp.domain.dunning import DunningTerms, Step, due_step, next_step, steps
from tests.domain.builders import moment

TERMS = DunningTerms((3, 7), 14)
SINCE = moment("2026-03-12T10:00")


def test_reminders_come_in_their_order_and_the_suspension_last() -> None:
    assert steps(TERMS, SINCE) == (
        Step(moment("2026-03-15T10:00"), 1),
        Step(moment("2026-03-19T10:00"), 2),
        Step(moment("2026-03-26T10:00"), None),
    )
    assert [next_step(TERMS, SINCE, sent).reminder for sent in (0, 1, 2)] == [1, 2, None]


@pytest.mark.parametrize(
    ("days", "sent", "taken"),
    [
        (2, 0, "nothing"),
        (3, 0, 1),
        (6, 0, 1),
        (7, 0, 2),  # the first was missed: nobody gets two letters at once
        (7, 1, 2),
        (8, 2, "nothing"),
        (14, 0, None),
        (14, 2, None),
        (400, 1, None),
    ],
)
def test_of_several_steps_that_are_due_the_last_is_taken(days: int, sent: int, taken: int | str | None) -> None:
    found = due_step(TERMS, SINCE, sent, SINCE + timedelta(days=days))
    assert (found.reminder if found else "nothing") == taken


def test_terms_that_have_no_reminders_or_fewer_than_were_sent_go_on_with_the_suspension() -> None:
    for terms in (DunningTerms((), 14), DunningTerms((3,), 14)):
        assert next_step(terms, SINCE, 2) == Step(SINCE + timedelta(days=14), None)
        assert due_step(terms, SINCE, 2, SINCE + timedelta(days=13)) is None
