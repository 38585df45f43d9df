"""Owns what foreign text becomes before it is set: the same to read, and nothing in it that hides or turns the rest."""

from __future__ import annotations

import re
import unicodedata

REPLACEMENT = "\ufffd"
"""Stands, for everyone to see, where something was that has no look of its own."""

_MARKS_AT_MOST = 4
"""So many accents and the like on one letter; more would be drawn over the lines above."""
_UNSEEN = frozenset("\u00ad\ufeff")
"""A place where a word may break, and the mark of an encoding: what is left without them reads the same."""
_BLANKS = re.compile("[ \u00a0]{2,}")
_ELLIPSIS = "…"


def plain(text: str) -> str:
    """The text in one line, with single blanks.

    Controls, characters of no width and halves of characters become a replacement that is seen.
    """
    if text.isascii() and text.isprintable():
        return _BLANKS.sub(" ", text)
    shown: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if character in _UNSEEN or marks > _MARKS_AT_MOST + 1:
            continue
        if marks == _MARKS_AT_MOST + 1:
            shown.append(REPLACEMENT)
        elif category in ("Zl", "Zp", "Zs") or character in "\t\n\v\f\r\x85":
            shown.append("\u00a0" if character in "\u00a0\u202f" else " ")
        elif category in ("Cc", "Cf", "Cs", "Co", "Cn"):
            shown.append(REPLACEMENT)
        else:
            shown.append(character)
    return _BLANKS.sub(" ", "".join(shown))


def short(text: str, most: int) -> str:
    """The text with at most so many characters, for a place where it is said again."""
    return text if len(text) <= most else text[: most - 1].rstrip() + _ELLIPSIS
