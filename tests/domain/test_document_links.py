"""Links to documents: one opens what it names for as long as it says, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from billing_mcp.domain.document_links import LinkedInvoice, Links, open_link
from billing_mcp.domain.errors import PermissionDenied
from billing_mcp.domain.invoices import Invoice

NOW = datetime(2026, 3, 12, 10, 0, 0, 999_999, tzinfo=UTC)
KEY, OTHER = b"k" * 32, b"o" * 32
LINKS = Links("https://billing.example.com/v1/documents", 900)
ACCOUNT = "0190c0de-0000-7000-8000-0000000000ff"


def invoice(seq: int = 7, account_id: str = ACCOUNT) -> Invoice:
    day = date(2026, 3, 1)
    return Invoice(account_id, seq, "i", "paid", "EUR", 1_000_000, 1_000_000, NOW, day, day, ())


def signed(seq: int = 7, account_id: str = ACCOUNT, *, now: datetime = NOW, key: bytes = KEY) -> str:
    url = LINKS.signer(key, now).url(invoice(seq, account_id))
    return url.removeprefix("https://billing.example.com/v1/documents/").removesuffix(".pdf")


def refused(text: str, *, key: bytes | None = KEY, now: datetime = NOW) -> str:
    with pytest.raises(PermissionDenied) as refusal:
        open_link(key, text, now)
    return refusal.value.code


def test_a_link_names_its_invoice_and_is_the_same_at_the_same_second() -> None:
    assert open_link(KEY, signed(), NOW) == LinkedInvoice(ACCOUNT, 7)
    assert signed() == signed(now=NOW.replace(microsecond=0))
    assert (
        len({signed(), signed(8), signed(account_id=ACCOUNT[:-1] + "e"), signed(now=NOW + timedelta(seconds=1))}) == 4
    )


def test_a_link_is_good_for_as_long_as_the_settings_say_and_no_longer() -> None:
    text, begun = signed(), NOW.replace(microsecond=0)
    last, over = begun + timedelta(seconds=899, microseconds=999_999), begun + timedelta(seconds=900)

    assert open_link(KEY, text, last) == LinkedInvoice(ACCOUNT, 7)
    assert refused(text, now=over) == "link_expired"


def test_links_reach_as_far_as_clocks_do() -> None:
    far = datetime(2200, 12, 31, tzinfo=UTC)

    assert open_link(KEY, signed(2**31, now=far), far) == LinkedInvoice(ACCOUNT, 2**31)


def test_who_changes_any_character_has_a_link_that_nobody_signed() -> None:
    text = signed()
    for place, character in enumerate(text):
        for other in "A_0z":
            if other != character:
                assert refused(text[:place] + other + text[place + 1 :]) == "invalid_link", place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "A" * 75,
        "A" * 77,
        "A" * 76,
        "=" * 76,
        "é" * 76,
        " " * 76,
        f"{signed()}\n",
        f"{signed()[:-1]}+",
        signed() * 2,
    ],
)
def test_what_is_no_link_is_refused_as_one_that_nobody_signed(text: str) -> None:
    assert refused(text) == "invalid_link"


def test_an_expired_link_that_was_never_good_is_not_called_expired() -> None:
    assert refused(signed(key=OTHER), now=NOW + timedelta(days=1)) == "invalid_link"


@pytest.mark.parametrize("key", [OTHER, KEY[:-1], b"", None])
def test_with_another_key_or_none_no_link_is_good(key: bytes | None) -> None:
    assert refused(signed(), key=key) == "invalid_link"


def test_a_signature_of_one_link_is_none_of_another() -> None:
    assert refused(signed(7)[:34] + signed(8)[34:]) == "invalid_link"
