"""Owns what a name that does not exist may have meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_TYPO = 0.8


def meant(name: str, known: Iterable[str]) -> list[str]:
    """The known names that are spelt much like it, or else share most words with it; first those that have them all.

    The words decide, and what is equally likely is all told: a name that only looks alike may be
    that of a function which changes something.
    """
    name = name[:100]
    folded = {_folded(each): each for each in known}
    words = _words(name)
    shared = {each: len(words & _words(each)) for each in folded.values()}
    most = max(shared.values(), default=0)
    spelt_alike = difflib.get_close_matches(_folded(name), folded, n=1, cutoff=_TYPO)
    if spelt_alike and (most < len(words) or shared[folded[spelt_alike[0]]] == most):
        return [folded[spelt_alike[0]]]
    return [each for each, count in shared.items() if count == most] if most else []


def either(names: Sequence[str]) -> str:
    """Names as alternatives: `a, b or c`."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(name)}
