"""A text is counted in the parts that it is sent in, by the tables of 3GPP TS 23.038, and no pair is split."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.operations.sms_parts import MAX_PARTS, sms_facts

# The default alphabet of TS 23.038, clause 6.2.1, in rows of sixteen. 0x1B is the escape, and no character.
DEFAULT_ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\0ÆæßÉ"  # \0 stands for the escape
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
BASIC = sorted(set(DEFAULT_ALPHABET) - {"\0"})
# Clause 6.2.1.1, after the escape: 0x0A, 14, 28, 29, 2F, 3C, 3D, 3E, 40, 65.
EXTENSION = ["\f", "^", "{", "}", "\\", "[", "~", "]", "|", "€"]
# National letters, what looks like GSM and is not, a combining accent, joiners, the escape, the last of the plane.
OTHERS_OF_THE_PLANE = [*"çáâãõőığşÀŁЖы中한\u0301\u200d\ufe0f`’“–…\t\0\x1b\x7f\xa0\ue000\uffff"]  # noqa: RUF001
BEYOND_THE_PLANE = ["\U00010000", "😀", "👍", "𝄞", "\U0010ffff"]


def parts_by_the_standard(text: str) -> tuple[str, list[str]]:
    """The encoding and every part's text, character by character: as long as the next one fits, it goes in."""
    gsm = all(character in BASIC or character in EXTENSION for character in text)
    single, part_of_many = (160, 153) if gsm else (70, 67)

    def width(character: str) -> int:
        return 2 if (character in EXTENSION if gsm else ord(character) > 0xFFFF) else 1

    if sum(width(character) for character in text) <= single:
        return ("gsm7" if gsm else "ucs2"), [text]
    parts = [""]
    room = part_of_many
    for character in text:
        if width(character) > room:
            parts.append("")
            room = part_of_many
        parts[-1] += character
        room -= width(character)
    return ("gsm7" if gsm else "ucs2"), parts


def counted(text: str) -> tuple[str, int]:
    facts = sms_facts(text)
    return facts.encoding, facts.segments


def runs_of(*characters: str) -> st.SearchStrategy[str]:
    """Texts of several parts with their borders anywhere: runs of a character, each up to a part long."""
    run = st.builds(lambda character, times: character * times, st.sampled_from(characters), st.integers(1, 160))
    return st.lists(run, max_size=8).map("".join)


def mixed(*characters: str) -> st.SearchStrategy[str]:
    return st.builds(
        lambda start, rest: start + rest, runs_of(*characters), st.text(st.sampled_from(characters), max_size=90)
    )


THOROUGH = settings(max_examples=300, database=None, deadline=None)


def test_the_alphabet_has_127_characters_and_10_that_need_an_escape() -> None:
    assert (len(DEFAULT_ALPHABET), len(BASIC), len(EXTENSION)) == (128, 127, 10)


@THOROUGH
@given(mixed(*BASIC, *EXTENSION))
def test_a_text_of_the_alphabet_has_the_parts_that_the_standard_gives_it(text: str) -> None:
    encoding, parts = parts_by_the_standard(text)
    assert (encoding, len(parts)) == counted(text)
    assert encoding == "gsm7"


@THOROUGH
@given(mixed("a", "€"), st.integers(140, 165))
def test_pairs_at_the_border_of_a_part_are_not_split(text: str, first: int) -> None:
    for given_text in (text, "a" * first + text):
        encoding, parts = parts_by_the_standard(given_text)
        assert counted(given_text) == (encoding, len(parts))


@THOROUGH
@given(mixed(*BASIC[::9], *EXTENSION[::3], *OTHERS_OF_THE_PLANE, *BEYOND_THE_PLANE))
def test_any_text_has_the_parts_that_the_standard_gives_it(text: str) -> None:
    encoding, parts = parts_by_the_standard(text)
    assert counted(text) == (encoding, len(parts))


@THOROUGH
@given(mixed("ы", "😀"), st.integers(60, 72))
def test_surrogate_pairs_at_the_border_of_a_part_are_not_split(text: str, first: int) -> None:
    for given_text in ("ы" + text, "ы" * first + text):
        encoding, parts = parts_by_the_standard(given_text)
        assert counted(given_text) == (encoding, len(parts))


def test_of_all_characters_of_the_plane_those_of_the_alphabet_alone_are_septets() -> None:
    plane = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    assert {character for character in plane if counted(character)[0] == "gsm7"} == {*BASIC, *EXTENSION}


def test_a_basic_character_takes_one_septet() -> None:
    for character in BASIC:
        assert counted(character * 160) == ("gsm7", 1)
        assert counted(character * 161) == ("gsm7", 2)


@pytest.mark.parametrize("character", EXTENSION)
def test_a_character_of_the_extension_table_takes_two_septets(character: str) -> None:
    assert counted(character * 80) == ("gsm7", 1)
    assert counted(character * 81) == ("gsm7", 2)
    assert counted(character * 152) == ("gsm7", 2)  # 76 pairs are 152 septets, and the 153rd stays empty
    assert counted(character * 153) == ("gsm7", 3)


@pytest.mark.parametrize(
    ("text", "encoding", "segments"),
    [
        ("", "gsm7", 1),
        ("a" * 160, "gsm7", 1),
        ("a" * 161, "gsm7", 2),
        ("a" * 306, "gsm7", 2),
        ("a" * 307, "gsm7", 3),
        ("a" * 158 + "€", "gsm7", 1),  # 160 septets
        ("a" * 152 + "€" + "a" * 6, "gsm7", 1),  # a part of many would end within the pair, but it is one part
        ("a" * 152 + "€" + "a" * 7, "gsm7", 2),  # 161 septets
        ("a" * 152 + "€" + "a" * 151, "gsm7", 2),  # 152 and 2 + 151
        ("a" * 152 + "€" + "a" * 152, "gsm7", 3),  # 306 septets, and yet 152, 153 and 1
        ("a\n" * 80, "gsm7", 1),
        ("a" * 159 + "\n", "gsm7", 1),  # what ends with a new line has it counted
        ("a" * 160 + "\n", "gsm7", 2),
        ("ç" + "\n", "ucs2", 1),
        ("ы" * 70, "ucs2", 1),
        ("ы" * 71, "ucs2", 2),
        ("ы" * 134, "ucs2", 2),
        ("ы" * 135, "ucs2", 3),
        ("😀" * 35, "ucs2", 1),
        ("😀" * 36, "ucs2", 2),
        ("😀" * 66, "ucs2", 2),  # 33 pairs are 66 units, and the 67th stays empty
        ("😀" * 67, "ucs2", 3),
        ("a" * 70 + "ы", "ucs2", 2),  # one character makes all of them 16 bits wide
        ("{" * 69 + "ы", "ucs2", 1),  # in UCS-2 nothing needs an escape
        ("é" * 70, "gsm7", 1),
        ("e\u0301" * 35, "ucs2", 1),  # as it was given: a letter and its combining accent are two units
        ("e\u0301" * 36, "ucs2", 2),
    ],
)
def test_borders(text: str, encoding: str, segments: int) -> None:
    assert counted(text) == (encoding, segments)
    assert parts_by_the_standard(text)[0] == encoding
    assert len(parts_by_the_standard(text)[1]) == segments


def test_the_escape_is_no_character_of_the_alphabet() -> None:
    """Alone it would be read together with what follows: ESC and `e` are a euro sign to a phone."""
    assert counted("\x1be") == ("ucs2", 1)


@pytest.mark.parametrize("text", ["\ud83d", "a\ude00", "\ude00\ud83d", "ы" * 100 + "\udfff"])
def test_half_of_a_surrogate_pair_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(
        InvalidArgument, match=r"half of a surrogate pair, U\+D[0-9A-F]{3}, at character \d+"
    ) as refusal:
        sms_facts(text)
    assert refusal.value.field == "text"
    assert refusal.value.hint
    refusal.value.message.encode()  # it can be sent, unlike the text


@pytest.mark.parametrize(
    ("text", "one_more"),
    [
        ("a" * (153 * 255), "a"),
        ("ы" * (67 * 255), "ы"),
        ("€" * (76 * 255), "a€"),  # each part has one septet left
        ("😀" * (33 * 255), "😀"),
    ],
)
def test_a_message_has_255_parts_at_most(text: str, one_more: str) -> None:
    assert sms_facts(text).segments == MAX_PARTS == 255
    with pytest.raises(InvalidArgument, match="more than 255 parts") as refusal:
        sms_facts(text + one_more)
    assert refusal.value.field == "text"


@pytest.mark.parametrize("character", ["a", "€", "ы", "😀", "\ud83d"])
def test_a_text_of_100000_characters_is_refused_before_it_is_read(character: str) -> None:
    with pytest.raises(InvalidArgument, match="text of 100000 characters needs more than 255 parts"):
        sms_facts(character * 100_000)
