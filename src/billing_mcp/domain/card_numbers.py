"""Owns telling card numbers from other numbers: finding them in any text or value, and taking them out.

A card number (PAN, ISO/IEC 7812-1) has a prefix and a length that its issuer uses, and ends in a check digit by
Luhn's formula. One in ten of all numbers passes the formula, so what surely is something else is left alone: UUIDs,
IBANs, parts of ids, decimal numbers, and phone numbers with their plus.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Any, NamedTuple

MIN_DIGITS, MAX_DIGITS = 13, 19
_LEAST, _MOST = 10 ** (MIN_DIGITS - 1), 10**MAX_DIGITS
MAX_DEPTH = 100
MARK = "[card …"
"""What stands in a text where a card number was, before its last four digits."""

# Most texts are done with the first, which takes half a microsecond. With characters beyond ASCII there may be more
# between two digits than one separator.
_LONG = re.compile(r"[0-9 \t._-]{13}")
_SUSPECT = re.compile(
    r"(?<![0-9])(?:2(?=[ \t._-]?[2-7])|[3-6]|8(?=[ \t._-]?[126])|9(?=[ \t._-]?[78]))(?:[ \t._-]?[0-9]){12}"
)
_SUSPECT_ABROAD = re.compile(r"(?:\d[\W_]{0,8}){12}\d")

_RUN = re.compile(r"\d+(?:[ \t._-]\d+)*")
_DIGIT = re.compile(r"\d")
_GROUP = re.compile(r"\d+")

_ISSUED = re.compile(
    r"""
      4 \d{12} (?:\d{3}){0,2} (?<!^491[5-7]\d{9})         # Visa. With 13 digits 4915 begins German mobile numbers
    | (?: 5[1-5]\d\d | 222[1-9] | 22[3-9]\d | 2[3-6]\d\d | 27[01]\d | 2720 ) \d{12}                    # Mastercard
    | 3[47] \d{13}                                                                               # American Express
    | (?: 30[0-5]\d | 3095 | 3[689]\d\d ) \d{10,15}                                                   # Diners Club
    | (?: 352[89] | 35[3-8]\d ) \d{12,15}                                                                     # JCB
    | (?: 50\d\d | 5[6-9]\d\d ) \d{12,15}                                                          # Maestro, Verve
    | 6 \d{15,18}                                                       # Discover, UnionPay, RuPay, Maestro, Troy
    | (?: 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 676[1-3] ) \d{9,11}                      # Maestro, shorter ones
    | 8[12] \d{14,17}                                                                            # UnionPay, RuPay
    | 220[0-5] \d{12,15}                                                                               # Mir, Borica
    | (?: 8600 | 9704 | 9792 | 9860 ) \d{12} (?:\d{3})?                               # Uzcard, Napas, Troy, Humo
    """,
    re.VERBOSE | re.ASCII,
)
"""The first digits of issuers, and how many follow. Not those that begin with 1 (UATP): so do moments and counters."""

_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_OTHER = re.compile(rf"{_UUID.pattern}|\+[0-9]{{1,15}}")
"""What is known at a glance: a UUID, or a phone number as E.164 writes it."""
_MAX_OTHER_CHARS = 36
_IBAN = re.compile(r"(?<![^\W_])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{1,4}){3,8}")
_MIN_IBAN_CHARS = 15
_E164_DIGITS = 15


class CardNumber(NamedTuple):
    """Where a text has a card number, and what may be shown of it."""

    start: int
    end: int
    last4: str


def find(text: str) -> list[CardNumber]:
    """The card numbers in a text, in order, however they are written.

    Their digits may be of any script, with single spaces, hyphens, dots or underscores and any invisible characters
    between them. What overlaps is one.
    """
    if not _suspect(text):
        return []
    plain, places = _plain(text)
    found = [span for run in _RUN.finditer(plain) for span in _in_run(plain, run)]
    if not found:
        return []
    others = [each.span() for each in _UUID.finditer(plain)] + list(_ibans(plain))
    numbers: list[CardNumber] = []
    for start, end in _merged(span for span in found if not any(_overlap(span, other) for other in others)):
        digits = "".join(_GROUP.findall(plain[start:end]))
        numbers.append(CardNumber(places[start], places[end - 1] + 1, digits[-4:]))
    return numbers


def path_to(value: object, *, but: frozenset[str] = frozenset(), depth: int = 0) -> tuple[str | int, ...] | None:
    """Where in a JSON-like value the first card number is, by names and places; None for nowhere.

    A name that holds one itself is in the path as it may be shown. Nothing is looked at under the names in `but`,
    or deeper than MAX_DEPTH, from where nothing is taken or kept.
    """
    if isinstance(value, str):
        return () if len(value) >= MIN_DIGITS and find(value) else None
    if isinstance(value, int | float | Decimal):  # True and False are integers, and small ones
        return () if _is_card_number(value) else None
    if depth >= MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        return _path_in_object(value, but, depth + 1)
    if isinstance(value, list | tuple | set | frozenset):
        for place, item in enumerate(value):
            within = path_to(item, but=but, depth=depth + 1)
            if within is not None:
                return (place, *within)
    return None


def _path_in_object(value: Mapping[Any, object], but: frozenset[str], depth: int) -> tuple[str | int, ...] | None:
    for name, item in value.items():
        if not (name.__class__ is str and len(name) < MIN_DIGITS) and path_to(name, depth=depth) is not None:
            return (redacted(str(name)),)
        if name in but or (item.__class__ is str and len(item) < MIN_DIGITS):
            continue
        within = path_to(item, but=but, depth=depth)
        if within is not None:
            return (str(name), *within)
    return None


def contains(value: object) -> bool:
    """Whether a text, a number, or anything in a list or an object, be it a name, is or has a card number."""
    return path_to(value) is not None


def redacted(text: str) -> str:
    """The text, with no more of its card numbers than the last four digits of each."""
    found = find(text)
    for number in reversed(found):
        text = f"{text[: number.start]}{MARK}{number.last4}]{text[number.end :]}"
    return text


def without(value: Any) -> Any:
    """The JSON value, redacted in the same way: names, texts and numbers."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {without(name): without(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without(item) for item in value]
    if isinstance(value, int | float | Decimal) and _is_card_number(value):
        return f"{MARK}{str(int(value))[-4:]}]"
    return value


def without_digits(text: str) -> str:
    """The text without any digit: a card number may be in it in pieces."""
    return _DIGIT.sub("#", text)


def _suspect(text: str) -> bool:
    if not text.isascii():
        return _SUSPECT_ABROAD.search(text) is not None
    if _LONG.search(text) is None or _SUSPECT.search(text) is None:
        return False
    return len(text) > _MAX_OTHER_CHARS or _OTHER.fullmatch(text) is None


def _is_card_number(value: float | Decimal) -> bool:
    if isinstance(value, Decimal):
        if not value.is_finite():
            return False
        number: float | Decimal = value.copy_abs()
    else:
        number = abs(value)
    return _LEAST <= number < _MOST and number == int(number) and _is_issued(str(int(number)))


def _is_issued(digits: str) -> bool:
    return _ISSUED.fullmatch(digits) is not None and _is_luhn_valid(digits)


def _is_luhn_valid(digits: str) -> bool:
    code = digits.encode()
    return (sum(code[-1::-2]) + sum(code[-2::-2].translate(_DOUBLED)) - ord("0") * len(code)) % 10 == 0


class _Plain(dict[int, int]):
    """Each character as one of ASCII: digits, spaces, hyphens and dots of all scripts; what nobody sees is NUL."""

    def __missing__(self, code: int) -> int:
        self[code] = known = ord(self._plain(chr(code)))
        return known

    def _plain(self, char: str) -> str:
        kind = unicodedata.category(char)
        if kind == "Nd":
            return str(unicodedata.decimal(char))
        if kind in ("Cf", "Mn", "Me"):
            return "\0"
        kinds = {"Zs": " ", "Pd": "-"}
        return kinds.get(kind) or _LOOKALIKES.get(char, char)


_LOOKALIKES = {"\u2212": "-", "\uff0e": ".", "\u00b7": ".", "\u2022": ".", "\u2024": ".", "\uff0b": "+", "\uff3f": "_"}
_AS_ASCII = _Plain()


def _plain(text: str) -> tuple[str, Sequence[int]]:
    """The text in ASCII as far as numbers go, and where in the text each character of it is."""
    if text.isascii():
        return text, range(len(text))
    plain = text.translate(_AS_ASCII)
    places = [place for place, char in enumerate(plain) if char != "\0"]
    return plain.replace("\0", ""), places


def _in_run(plain: str, run: re.Match[str]) -> Iterator[tuple[int, int]]:
    """All card numbers that begin and end with a group of digits of a run."""
    groups = [each.span() for each in _GROUP.finditer(plain, *run.span())]
    digits = "".join([plain[start:end] for start, end in groups])
    ends = list(accumulate(end - start for start, end in groups))  # counted in digits
    nearest = begin = 0
    for (start, _), next_begin in zip(groups, ends, strict=True):
        while nearest < len(ends) and ends[nearest] - begin < MIN_DIGITS:
            nearest += 1
        for last in range(nearest, len(ends)):
            length = ends[last] - begin
            if length > MAX_DIGITS:
                break
            end = groups[last][1]
            if _is_issued(digits[begin : begin + length]) and _stands_alone(plain, start, end, length):
                yield start, end
        begin = next_begin


def _stands_alone(plain: str, start: int, end: int, digits: int) -> bool:
    """Whether it is a number of its own: no decimal number, no phone number, and no part of an id."""
    dots = plain.count(".", start, end)
    if dots:
        separators = end - start - digits
        if dots == 1 or dots < separators:
            return False
    elif start >= 2 and plain[start - 1] == "." and plain[start - 2].isdigit():
        return False
    if digits <= _E164_DIGITS and _follows_plus(plain, start):
        return False
    return not (_has_digit_before(plain, start) or _has_digit_after(plain, end))


def _follows_plus(plain: str, start: int) -> bool:
    """Whether it begins with the plus of a phone number, which is not that of a sum."""
    return start > 0 and plain[start - 1] == "+" and not (start > 1 and plain[start - 2].isalnum())


def _has_digit_before(plain: str, start: int) -> bool:
    """Whether letters before it lead to another digit: then both are parts of an id. Letters alone are its label."""
    for place in range(start - 1, -1, -1):
        if not plain[place].isalnum():
            return False
        if plain[place].isdigit():
            return True
    return False


def _has_digit_after(plain: str, end: int) -> bool:
    for place in range(end, len(plain)):
        if not plain[place].isalnum():
            return False
        if plain[place].isdigit():
            return True
    return False


def _ibans(plain: str) -> Iterator[tuple[int, int]]:
    """Where bank accounts are (ISO 13616): what follows one may look like a part of it."""
    for each in _IBAN.finditer(plain):
        start, end = each.span()
        while end - start >= _MIN_IBAN_CHARS:
            if _is_iban(plain[start:end].replace(" ", "")):
                yield start, end
                break
            end -= 1


def _is_iban(text: str) -> bool:
    number = "".join(str(int(char, 36)) for char in text[4:] + text[:4])
    return int(number) % 97 == 1


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _merged(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
