"""What a result looks like when it leaves: always JSON, never longer than the limit, cut only by structure."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing_mcp.sandbox.shape import OMITTED, fit, to_json_value

SAFE_INTEGER = 2**53 - 1
property_test = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class TestJsonValues:
    @pytest.mark.parametrize(
        "value",
        [None, True, False, 0, -1, SAFE_INTEGER, -SAFE_INTEGER, 1.5, -0.0, 1e308, "", "é\n\0", [], {}, {"a": [1, {}]}],
    )
    def test_what_json_can_say_stays_as_it_is(self, value: Any) -> None:
        assert to_json_value(value) == value
        assert type(to_json_value(value)) is type(value)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (float("nan"), "nan"),
            (float("inf"), "inf"),
            (float("-inf"), "-inf"),
            (SAFE_INTEGER + 1, "9007199254740992"),
            (-SAFE_INTEGER - 1, "-9007199254740992"),
            (2**1024 - 1, str(2**1024 - 1)),
            (2**1024, "<integer of 1025 bits>"),
            (Decimal("10.50"), "10.50"),
            (Decimal("1E+1000000"), "1E+1000000"),
            (Decimal("NaN"), "NaN"),
            (date(2026, 3, 1), "2026-03-01"),
            (datetime(2026, 3, 1, 12, 30, tzinfo=UTC), "2026-03-01T12:30:00+00:00"),
            (b"bytes", "<bytes>"),
            (object(), "<object>"),
            (1j, "<complex>"),
        ],
    )
    def test_what_json_cannot_say_becomes_text(self, value: Any, text: str) -> None:
        assert to_json_value(value) == text

    def test_an_integer_too_long_to_write_is_described(self) -> None:
        assert to_json_value([10**5000, -(10**5000)]) == ["<integer of 16610 bits>"] * 2

    @pytest.mark.parametrize("value", [(1, 2), [1, 2], {1, 2}, frozenset({1, 2})])
    def test_every_collection_becomes_a_list(self, value: Any) -> None:
        assert to_json_value(value) == [1, 2]

    def test_a_lone_surrogate_becomes_a_question_mark(self) -> None:
        assert to_json_value(["a\ud800b", {"\udfff": "\U0001f600"}]) == ["a?b", {"?": "\U0001f600"}]

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            ("é", "é"),
            (1, "1"),
            (None, "null"),
            (True, "true"),
            (1.5, "1.5"),
            (float("nan"), "nan"),
            (Decimal("1.50"), "1.50"),
            (date(2026, 3, 1), "2026-03-01"),
            ((1, "a"), '[1, "a"]'),
            (2**60, "1152921504606846976"),
        ],
    )
    def test_every_key_becomes_text(self, key: Any, text: str) -> None:
        assert to_json_value({key: 0}) == {text: 0}

    def test_values_are_converted_at_any_depth(self) -> None:
        value = {"days": [(date(2026, 3, 1), Decimal("0.10"))], "by": {date(2026, 3, 2): {2**70}}}
        assert to_json_value(value) == {
            "days": [["2026-03-01", "0.10"]],
            "by": {"2026-03-02": ["1180591620717411303424"]},
        }

    def test_a_cycle_ends(self) -> None:
        cycle: list[Any] = []
        cycle.append(cycle)
        text = compact(to_json_value(cycle))
        assert text.count("[") == 31
        assert OMITTED in text

    def test_a_cycle_through_a_dict_ends(self) -> None:
        cycle: dict[str, Any] = {}
        cycle["self"] = {"again": cycle}
        assert OMITTED in compact(to_json_value(cycle))

    def test_thirty_levels_stay_and_what_is_deeper_is_named(self) -> None:
        value: Any = "bottom"
        for _ in range(30):
            value = [value]
        assert "bottom" in compact(to_json_value(value))
        assert "bottom" not in compact(to_json_value([value]))
        assert "nested deeper than 30" in compact(to_json_value([value]))


texts = st.text(st.characters(exclude_categories=()), max_size=20)
atoms = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.decimals() | st.dates() | st.binary()
keys = texts | st.integers() | st.floats() | st.booleans() | st.none() | st.tuples(st.integers(), texts)
anything = st.recursive(
    atoms, lambda inner: st.lists(inner) | st.dictionaries(keys, inner) | st.tuples(inner, inner), max_leaves=30
)


@given(value=anything)
@property_test
def test_any_value_becomes_json_that_reads_back_the_same(value: Any) -> None:
    shaped = to_json_value(value)
    assert json.loads(compact(shaped).encode("utf-8")) == shaped


words = st.text("abé☃ ", max_size=8)
long_texts = st.builds(lambda unit, times: unit * times, words, st.integers(0, 2000))
long_lists = st.builds(
    lambda items, times: items * times, st.lists(st.integers() | words, max_size=5), st.integers(0, 80)
)
wide_dicts = st.builds(
    lambda size, value: {f"key {i}": value for i in range(size)}, st.integers(0, 300), st.integers() | words
)
large = st.recursive(
    st.none() | st.integers(-9, 9) | words | long_texts | long_lists | wide_dicts,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(words, inner, max_size=6),
    max_leaves=8,
)
limits = st.integers(100, 5000)


def check_cut(original: Any, cut: Any) -> None:
    """Every part of `cut` is a part of `original`, or says truthfully what was left out."""
    if cut == original:
        return
    if isinstance(original, str):
        assert cut == {OMITTED: f"a string of {len(original)} characters"}
        return
    assert type(original) is type(cut)
    if isinstance(original, list):
        kept, rest = _split(cut, len(original), "items")
        assert len(kept) + rest == len(original)
        for before, after in zip(original, kept, strict=False):
            check_cut(before, after)
    else:
        assert isinstance(original, dict)
        marks = [cut[OMITTED]] if OMITTED in cut else []
        names = [name for name in cut if name != OMITTED]
        assert names == list(original)[: len(names)]
        assert len(names) + (_left(marks[0], len(original), "keys") if marks else 0) == len(original)
        for name in names:
            check_cut(original[name], cut[name])


def _split(cut: list[Any], whole: int, noun: str) -> tuple[list[Any], int]:
    last = cut[-1] if cut else None
    mark = last.get(OMITTED) if isinstance(last, dict) else None
    if mark is None or not str(mark).endswith(noun):
        return cut, 0
    return cut[:-1], _left(mark, whole, noun)


def _left(mark: str, whole: int, noun: str) -> int:
    match = re.fullmatch(rf"(\d+) of (\d+) {noun}", mark)
    assert match is not None, mark
    assert int(match[2]) == whole
    return int(match[1])


class TestFit:
    @given(value=large, limit=limits)
    @property_test
    def test_the_text_is_valid_and_never_longer_than_the_limit(self, value: Any, limit: int) -> None:
        text = compact(fit(value, limit))
        assert len(text) <= limit
        assert json.loads(text) == fit(value, limit)

    @given(value=large, limit=limits)
    @property_test
    def test_a_value_that_fits_is_not_touched(self, value: Any, limit: int) -> None:
        assert (fit(value, limit) == value) == (len(compact(value)) <= limit)

    @given(value=large, limit=limits)
    @property_test
    def test_what_is_left_is_true_of_the_whole(self, value: Any, limit: int) -> None:
        cut = fit(value, limit)
        if isinstance(cut, dict) and str(cut.get(OMITTED, "")).startswith("the result has"):
            size = len(compact(value))
            assert cut == {OMITTED: f"the result has {size} characters, at most {limit} are returned"}
        else:
            check_cut(value, cut)

    def test_a_long_list_keeps_its_head_and_counts_its_tail(self) -> None:
        assert fit(list(range(100_000)), 1000) == [*range(200), {OMITTED: "99800 of 100000 items"}]

    def test_a_wide_object_keeps_its_first_keys_and_counts_the_rest(self) -> None:
        cut = fit({f"k{i}": i for i in range(1000)}, 500)
        assert list(cut) == [*(f"k{i}" for i in range(50)), OMITTED]
        assert cut[OMITTED] == "950 of 1000 keys"

    def test_a_page_keeps_its_fields_when_its_items_are_cut(self) -> None:
        page = {"page": 1, "total": 5000, "items": [{"id": "x" * 30, "amount": "1.00"}] * 5000}
        cut = fit(page, 5000)
        assert (cut["page"], cut["total"]) == (1, 5000)
        assert cut["items"][-1] == {OMITTED: f"{5000 - (len(cut['items']) - 1)} of 5000 items"}

    def test_a_long_string_is_left_out_whole(self) -> None:
        assert fit(["a" * 50_000, "short"], 1000) == [{OMITTED: "a string of 50000 characters"}, "short"]

    def test_length_is_counted_in_characters(self) -> None:
        value = "☃" * 998
        assert fit(value, 1000) == value
        assert fit(value, 999) != value

    def test_when_nothing_helps_only_the_size_is_told(self) -> None:
        value = {"k" * 500: 1}
        assert fit(value, 100) == {OMITTED: "the result has 506 characters, at most 100 are returned"}
