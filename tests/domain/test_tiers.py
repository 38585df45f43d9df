"""A tier is gained at once and lost one step at a time, and what a month was is judged when it has ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from billing_mcp.domain.pricing import Tier
from billing_mcp.domain.tiers import (
    ChannelState,
    TierSource,
    month_of,
    month_text,
    qualified,
    rolled,
    standing,
    tier_events,
    used,
)
from tests.domain.builders import PROPERTY

TIERS = (Tier("pay as you go", 0), Tier("growth", 100), Tier("scale", 1000), Tier("top", 5000))
NAMES = [tier.name for tier in TIERS]
JUNE = month_of(date(2026, 6, 15))
FRESH = ChannelState("account", "sms", month=JUNE)


def after(state: ChannelState, *volumes: int, missed_months: int = 2) -> ChannelState:
    """The state in the month after months of these volumes."""
    for volume in volumes:
        state = rolled(used(state, volume, TIERS), state.month + 1, TIERS, missed_months)
    return state


def told(state: ChannelState, plan_tier: int | None = None) -> tuple[int, TierSource, int]:
    found = standing(state, plan_tier, TIERS)
    return found.tier, found.source, state.missed_months


def test_months_are_counted_and_written_as_people_do() -> None:
    assert month_of(date(2027, 1, 1)) - month_of(date(2026, 12, 31)) == 1
    assert [month_text(JUNE + n) for n in (0, 6, 7)] == ["2026-06", "2026-12", "2027-01"]


def test_the_unit_that_reaches_a_threshold_is_the_last_at_the_old_price() -> None:
    paid = []
    state = replace(FRESH, volume=98)
    for _ in range(3):  # the 99th, the 100th, the 101st
        paid.append(standing(state, None, TIERS).tier)
        state = used(state, 1, TIERS)
    assert paid == [0, 0, 1]


@pytest.mark.parametrize(("volume", "tier"), [(-5, 0), (0, 0), (99, 0), (100, 1), (999, 1), (1000, 2), (5000, 3)])
def test_a_threshold_is_reached_exactly(volume: int, tier: int) -> None:
    assert qualified(TIERS, volume) == tier
    assert told(used(FRESH, volume, TIERS)) == (tier, "current_month" if tier else "previous_month", 0)


def test_several_steps_up_are_taken_at_once() -> None:
    assert told(used(FRESH, 5000, TIERS)) == (3, "current_month", 0)


def test_what_was_gained_is_kept_in_the_month_after_as_earned_before() -> None:
    assert told(after(FRESH, 100)) == (1, "previous_month", 0)


def test_a_step_is_lost_after_missed_months_in_a_row_and_one_alone() -> None:
    assert [told(after(FRESH, 5000, *[0] * n)) for n in range(1, 7)] == [
        (3, "previous_month", 1),
        (2, "previous_month", 0),
        (2, "previous_month", 1),
        (1, "previous_month", 0),
        (1, "previous_month", 1),
        (0, "previous_month", 0),
    ]


@pytest.mark.parametrize("missed_months", [1, 2, 3, 6])
def test_the_catalog_says_how_many_missed_months_lose_a_step(missed_months: int) -> None:
    tiers = [after(FRESH, 1000, *[0] * n, missed_months=missed_months).tier for n in range(missed_months + 1)]
    assert tiers == [2] * missed_months + [1]


def test_a_qualifying_month_resets_the_counter() -> None:
    assert told(after(FRESH, 1000, 0, 1000, 0)) == (2, "previous_month", 1)
    assert told(after(FRESH, 1000, 0, 1000, 0, 1000, 0)) == (2, "previous_month", 1)


def test_a_month_that_qualifies_for_a_lower_tier_is_missed_all_the_same() -> None:
    assert told(after(FRESH, 1000, 999)) == (2, "previous_month", 1)


def test_the_lowest_tier_is_never_missed() -> None:
    assert told(after(FRESH, 0, 0, 0, -5)) == (0, "previous_month", 0)


def test_what_is_reversed_takes_no_tier_at_once_but_may_make_the_month_a_missed_one() -> None:
    reversed_again = used(used(FRESH, 100, TIERS), -1, TIERS)
    assert told(reversed_again) == (1, "current_month", 0)
    assert told(rolled(reversed_again, JUNE + 1, TIERS, 2)) == (1, "previous_month", 1)


def test_an_override_is_above_and_below_all_and_freezes_the_counter() -> None:
    missed_once = after(FRESH, 1000, 0)
    frozen = replace(missed_once, override=1)
    assert told(frozen, plan_tier=3) == (1, "override", 1)
    assert told(after(frozen, 0, 0, 0)) == (1, "override", 1)
    assert told(after(frozen, 1000)) == (1, "override", 1)
    assert told(replace(after(frozen, 0, 0), override=None)) == (2, "previous_month", 1)
    assert told(after(replace(after(frozen, 0, 0), override=None), 0)) == (1, "previous_month", 0)


def test_what_is_earned_under_an_override_is_kept() -> None:
    assert told(replace(after(replace(FRESH, override=0), 1000), override=None)) == (2, "previous_month", 0)


@pytest.mark.parametrize(
    ("volume", "commitment", "plan", "expected"),
    [
        (0, None, None, (0, "previous_month")),
        (0, 1, None, (1, "commitment")),
        (0, None, 1, (1, "plan")),
        (0, 1, 1, (1, "commitment")),
        (0, 1, 2, (2, "plan")),
        (0, 2, 1, (2, "commitment")),
        (100, 1, 1, (1, "current_month")),
        (1000, 1, 1, (2, "current_month")),
        (100, 2, None, (2, "commitment")),
        (0, 0, 0, (0, "previous_month")),
    ],
)
def test_the_highest_of_volume_commitment_and_plan_is_in_force_and_told(
    volume: int, commitment: int | None, plan: int | None, expected: tuple[int, TierSource]
) -> None:
    found = standing(replace(used(FRESH, volume, TIERS), commitment=commitment), plan, TIERS)
    assert (found.tier, found.source) == expected


def test_a_grant_neither_earns_a_tier_nor_stops_the_counter() -> None:
    granted = replace(after(FRESH, 1000), commitment=2)
    assert told(after(granted, 0)) == (2, "previous_month", 1)
    assert told(after(granted, 0, 0)) == (2, "commitment", 0)
    assert told(replace(after(granted, 0, 0), commitment=None)) == (1, "previous_month", 0)


def test_a_catalog_that_has_fewer_tiers_now_gives_its_highest() -> None:
    fewer = TIERS[:2]
    high = after(FRESH, 5000)
    assert standing(high, 3, fewer).tier == 1
    assert standing(replace(high, override=3), None, fewer).tier == 1
    assert rolled(used(high, 100, fewer), JUNE + 2, fewer, 2).tier == 1


def test_a_state_is_its_own_in_its_month_and_before() -> None:
    state = used(FRESH, 120, TIERS)
    assert rolled(state, JUNE, TIERS, 2) is state
    assert rolled(state, JUNE - 1, TIERS, 2) is state


def test_a_new_month_begins_with_nothing_used() -> None:
    begun = rolled(replace(used(FRESH, 120, TIERS), active_users=7), JUNE + 1, TIERS, 2)
    assert (begun.month, begun.volume, begun.active_users, begun.earned_this_month) == (JUNE + 1, 0, 0, False)


STATES = st.builds(
    ChannelState,
    account_id=st.just("account"),
    channel=st.just("rcs"),
    month=st.just(JUNE),
    volume=st.integers(-50, 6000),
    active_users=st.integers(0, 5),
    tier=st.integers(0, 3),
    earned_this_month=st.booleans(),
    missed_months=st.integers(0, 1),
    commitment=st.none() | st.integers(0, 3),
    override=st.none() | st.integers(0, 3),
)


@PROPERTY
@given(STATES, st.integers(0, 30), st.integers(2, 4))
def test_many_months_at_once_are_as_month_by_month(state: ChannelState, months: int, missed_months: int) -> None:
    step_by_step = state
    for nth in range(1, months + 1):
        step_by_step = rolled(step_by_step, JUNE + nth, TIERS, missed_months)
    assert rolled(state, JUNE + months, TIERS, missed_months) == step_by_step


class Diary:
    """The rules read as a diary: every month's volume and whether it was under an override, judged from the start."""

    def __init__(self, missed_months: int) -> None:
        self.missed_months = missed_months
        self.ended: list[tuple[list[int], bool]] = []
        self.steps: list[int] = []

    def end_month(self, overridden: bool) -> None:
        self.ended.append((self.steps, overridden))
        self.steps = []

    def earned(self) -> tuple[int, int, bool]:
        """The tier by volume, the counter, and whether it was reached in this month."""
        tier, missed, before = 0, 0, 0
        for steps, overridden in [*self.ended, (self.steps, True)]:
            before = tier
            tier = max([tier, *(place_of(sum(steps[: n + 1])) for n in range(len(steps)))])
            met = sum(steps) >= TIERS[tier].from_volume or tier == 0
            if overridden:
                continue
            missed = 0 if met else missed + 1
            if missed == self.missed_months:
                tier, missed = tier - 1, 0
        return tier, missed, tier > before


def place_of(volume: int) -> int:
    place = 0
    while place + 1 < len(TIERS) and volume >= TIERS[place + 1].from_volume:
        place += 1
    return place


class TierHistory(RuleBasedStateMachine):
    """Anything that can happen to a channel, in any order, beside its diary."""

    state = FRESH
    plan_tier: int | None = None

    @initialize(missed_months=st.integers(1, 4))
    def begin(self, missed_months: int) -> None:
        self.diary = Diary(missed_months)

    @rule(quantity=st.sampled_from([1, 40, 60, 99, 100, 500, 900, 999, 1000, 4000, 5000]))
    def use(self, quantity: int) -> None:
        self.state = used(self.state, quantity, TIERS)
        self.diary.steps.append(quantity)

    @rule(quantity=st.sampled_from([1, 30, 100, 1000]))
    def reverse(self, quantity: int) -> None:
        self.state = used(self.state, -quantity, TIERS)
        self.diary.steps.append(-quantity)

    @rule(months=st.sampled_from([1, 1, 1, 2, 3, 7]))
    def months_pass(self, months: int) -> None:
        self.state = rolled(self.state, self.state.month + months, TIERS, self.diary.missed_months)
        for _ in range(months):
            self.diary.end_month(self.state.override is not None)

    @rule(tier=st.none() | st.integers(0, 3))
    def set_override(self, tier: int | None) -> None:
        self.state = replace(self.state, override=tier)

    @rule(tier=st.none() | st.integers(0, 3))
    def commit(self, tier: int | None) -> None:
        self.state = replace(self.state, commitment=tier)

    @rule(tier=st.none() | st.integers(0, 3))
    def change_plan(self, tier: int | None) -> None:
        self.plan_tier = tier

    @invariant()
    def the_tier_is_what_the_diary_says(self) -> None:
        tier, missed, just_reached = self.diary.earned()
        assert (self.state.tier, self.state.missed_months) == (tier, missed)
        if self.state.override is not None:
            expected: tuple[int, TierSource] = (self.state.override, "override")
        else:
            claims: list[tuple[int, TierSource]] = [(tier, "current_month" if just_reached else "previous_month")]
            if self.state.commitment is not None:
                claims.append((self.state.commitment, "commitment"))
            if self.plan_tier is not None:
                claims.append((self.plan_tier, "plan"))
            highest = max(place for place, _ in claims)
            expected = next(claim for claim in claims if claim[0] == highest)
        found = standing(self.state, self.plan_tier, TIERS)
        assert (found.tier, found.source) == expected

    @invariant()
    def the_volume_is_that_of_the_month(self) -> None:
        assert self.state.volume == sum(self.diary.steps)


def test_any_history_leads_to_the_tier_that_its_diary_says() -> None:
    run_state_machine_as_test(
        TierHistory, settings=settings(max_examples=150, stateful_step_count=30, database=None, deadline=None)
    )


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 6000)), min_size=1, max_size=12), st.data())
def test_what_is_told_leads_from_state_to_state_whoever_stores_one_in_between(
    months: list[tuple[int, int]], data: st.DataObject
) -> None:
    states = [FRESH]
    for later, volume in months:
        judged = rolled(states[-1], states[-1].month + later, TIERS, 2)
        states.append(used(judged, volume, TIERS))
    before, *_, last = states
    idle = rolled(last, last.month + data.draw(st.integers(0, 8)), TIERS, 2)
    between = rolled(last, data.draw(st.integers(last.month, idle.month)), TIERS, 2)

    every = [event for pair in pairwise(states) for event in tier_events(*pair, TIERS, 2)]

    places = [(NAMES.index(str(e.payload["previous"])), NAMES.index(str(e.payload["tier"]))) for e in every]
    at = before.tier
    for event, (previous, tier) in zip(every, places, strict=True):
        assert previous == at != tier
        assert (event.payload["reason"] == "volume") == (tier > previous)
        at = tier
    assert at == last.tier
    whole = list(tier_events(last, idle, TIERS, 2))
    assert whole == [*tier_events(last, between, TIERS, 2), *tier_events(between, idle, TIERS, 2)]
