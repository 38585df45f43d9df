"""What a card number is, in any writing; and what looks like one and is none."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing_mcp.domain.card_numbers import contains, find, path_to, redacted, without
from billing_mcp.domain.errors import InvalidArgument, NotFound
from billing_mcp.domain.ids import ledger_id, new_id
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.no_card_numbers import refuse_card_numbers

CARDS = {
    "Visa": "4242424242424242",
    "Visa, 13": "4222222222222",
    "Visa, 19": "4000000000000000006",
    "Mastercard": "5555555555554444",
    "Mastercard, 2": "2223003122003222",
    "American Express": "378282246310005",
    "Discover": "6011111111111117",
    "Diners Club": "30569309025904",
    "Diners Club, 36": "36227206271667",
    "JCB": "3566002020360505",
    "UnionPay": "6200000000000005",
    "UnionPay, 19": "6205500000000000004",
    "Maestro": "6759649826438453",
}
"""Numbers that issuers and providers publish for tests."""

VISA = CARDS["Visa"]

PREFIXES = {
    **dict.fromkeys(("4", "51", "55", "2221", "2300", "2720"), (16,)),
    **dict.fromkeys(("34", "37"), (15,)),
    **dict.fromkeys(("300", "305", "3095", "36", "38", "39"), (14, 16, 19)),
    **dict.fromkeys(("3528", "3589", "6011", "622126", "644", "65", "62", "50", "56", "58", "81"), (16, 17, 18, 19)),
    **dict.fromkeys(("5018", "6304", "6761", "6763"), (13, 14, 15, 16)),
    **dict.fromkeys(("2200", "9792"), (16,)),
    "40": (13, 16, 19),
}
"""What issuers' numbers begin with, and how long they are."""

SEPARATORS = ["", " ", "-", "_", "\t", "\u00a0", "\u2009", "\u202f", "\u2010", "\u2011", "\u2013", "\u2212"]
INVISIBLE = ["", "", "\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\ufe0f\u20e3"]
ZEROS = [ord(zero) for zero in "0\uff10\u0660\u06f0\u0966\U0001d7ce"]
"""The digit 0 of some scripts: nine others follow each."""


def checked(body: str) -> str:
    """The digits with their check digit."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return body + str(-total % 10)


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    """Any number that an issuer of the table could have given."""
    prefix = draw(st.sampled_from(sorted(PREFIXES)))
    rest = draw(st.sampled_from(PREFIXES[prefix])) - len(prefix) - 1
    return checked(prefix + draw(st.text("0123456789", min_size=rest, max_size=rest)))


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str]:
    """A card number, and how somebody may write it: in groups, in any script, with what nobody sees."""
    number = draw(card_numbers())
    zero, separator = draw(st.sampled_from(ZEROS)), draw(st.sampled_from(SEPARATORS))
    groups = draw(st.lists(st.booleans(), min_size=len(number) - 1, max_size=len(number) - 1))
    text = ""
    for digit, ends in zip(number, [*groups, False], strict=True):
        text += chr(zero + int(digit)) + draw(st.sampled_from(INVISIBLE)) + (separator if ends else "")
    return number, text


@pytest.mark.parametrize("brand", CARDS)
def test_the_numbers_that_issuers_publish_are_found(brand: str) -> None:
    number = CARDS[brand]

    assert checked(number[:-1]) == number
    assert redacted(f"Pay with {number}, please.") == f"Pay with [card …{number[-4:]}], please."
    assert contains(number)
    assert contains(int(number))


@pytest.mark.parametrize(
    "text",
    [
        "4242 4242 4242 4242",
        "4242-4242-4242-4242",
        "4242.4242.4242.4242",
        "4242_4242_4242_4242",
        "4242 424242 42424 2",
        "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
        "4242\t4242\t4242\t4242",
        "4242\u00a04242\u20094242\u202f4242",
        "4242\u200b4242\u200b4242\u200b4242",
        "4242 4242 4242 4242".translate({48 + n: 0xFF10 + n for n in range(10)}),
        "\u0664\u0662" * 8,
        "4242 4242 4242 4242 12/27 123",
        "12 4242 4242 4242 4242 123",
        "card4242424242424242",
        "PAN:4242424242424242EUR",
        "order_4242424242424242",
        "+4242424242424242",
        "a+4242424242424242",
        "4242424242424242.00",
        "%B4242424242424242^DOE/JANE^2712",
        ";4242424242424242=2712",
        '{"number":"4242424242424242"}',
        "0190c0de-0000-7000-8000-000000000001 4242 4242 4242 4242",
        "AT611904300234573201 4242 4242 4242 4242",
        "Grüße: 4242424242424242",
    ],
)
def test_a_card_number_is_found_however_it_is_written(text: str) -> None:
    shown = redacted(text)

    assert "[card …" in shown
    assert "424242" not in "".join(str(int(c)) for c in shown if c.isdecimal())
    assert not find(shown)


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241",
        "1772000000000",
        "1772000000000007",
        "0190c0de-0000-7000-8000-0000000000a1",
        "42424242-4242-4242-8242-424242424242",
        "hold_0190c0de-0000-7000-4242-424242424242/capture",
        "msg_01h455vb4pex5vsknk084sn02q",
        "01h4242424242424242sn02q",
        "0x4242424242424242",
        "x1-9f4242424242424242",
        "42424242424242424242",
        "+4222222222222",
        "tel:+378282246310005",
        "0.4242424242424242",
        "4222222.222222",
        "-4222222.222222",
        "4.222222222222e12",
        "DE65 3683 1831 6499 4685 41",
        "Debit DE80 6041 3039 6728 9428 57 EUR",
        "AT611904300234573201 and more",
        "4915112345673",
        "4242, 4242, 4242, 4242",
        "4242\n4242\n4242\n4242",
        "4242  4242  4242  4242",
        "2026-03-12 10:00:00.424242",
        "20260312100000",
    ],
)
def test_what_only_looks_like_one_is_left_alone(text: str) -> None:
    assert redacted(text) == text


@given(written())
@example(("4242424242424242", "4242 4242 4242 4242"))
def test_any_number_of_a_brand_in_any_writing_is_found(case: tuple[str, str]) -> None:
    number, text = case

    (found,) = find(f"Take {text}!")

    assert found.last4 == number[-4:]
    assert redacted(f"Take {text}!").startswith(f"Take [card …{number[-4:]}]")
    assert contains({"a": [text]})


@given(st.uuids())
def test_a_uuid_is_never_one(value: uuid.UUID) -> None:
    assert not contains(str(value))
    assert not contains(f"key-{value}/{value}")


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.uuids(),
    st.integers(0, 10**12),
)
def test_our_own_ids_moments_and_amounts_are_never_one(now: datetime, account: uuid.UUID, number: int) -> None:
    moment = int(now.timestamp() * 1_000_000)
    ids = [new_id(now), ledger_id(now, str(account), number), f"{moment:x}-{account}", account.hex]

    assert path_to([*ids[:3], now.isoformat(), format_micros(number * 1000)]) is None
    assert now.year >= 2033 or path_to([moment, moment // 1000, moment * 1000]) is None  # then they begin with 2


@given(st.text())
def test_a_text_without_one_stays_as_it_is(text: str) -> None:
    assert redacted(text) == text or find(text)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {"b": VISA}]}, ("a", 1, "b")),
        ({"a": [1, int(VISA)]}, ("a", 1)),
        ({"a": float(VISA)}, ("a",)),
        ({"a": Decimal(VISA)}, ("a",)),
        ({"a": -int(VISA)}, ("a",)),
        ({"a": (VISA,)}, ("a", 0)),
        ({VISA: 1}, ("[card …4242]",)),
        ({int(VISA): 1}, ("[card …4242]",)),
        (VISA, ()),
    ],
)
def test_it_is_found_anywhere_in_a_value_and_the_place_is_told(value: Any, path: tuple[str | int, ...]) -> None:
    assert path_to(value) == path
    assert not contains(without(value))


@pytest.mark.parametrize(
    "value",
    [None, True, 12, 10**400, 1.5, float("nan"), float("inf"), Decimal("sNaN"), Decimal("1E+999999999"), b"", object()],
)
def test_other_values_hold_none(value: object) -> None:
    assert not contains([value])
    assert not contains({"a": value})


def test_a_value_that_is_nested_without_end_is_no_danger() -> None:
    value: Any = VISA
    for _ in range(5000):
        value = [value]

    assert not contains(value)


def test_some_names_can_be_left_out() -> None:
    given = {"items": [{"text": VISA, "reference": "a"}, {"text": "b", "reference": VISA}]}

    assert path_to(given, but=frozenset({"text"})) == ("items", 1, "reference")


def test_a_refusal_names_the_field_and_nothing_of_the_number() -> None:
    with pytest.raises(InvalidArgument) as refused:
        refuse_card_numbers({"items": [{"reference": f"order {VISA}"}]})

    error = refused.value
    assert (error.code, error.field) == ("card_number", "items.0.reference")
    assert "token" in (error.hint or "")
    assert "4242" not in f"{error} {error.hint} {error.field}"


def test_no_error_shows_a_card_number() -> None:
    error = NotFound(f"account {VISA} does not exist", hint=f"Not {VISA}.", field=VISA)

    assert str(error) == "not_found: account [card …4242] does not exist"
    assert (error.hint, error.field) == ("Not [card …4242].", "[card …4242]")
    assert error.args == (error.message,)
