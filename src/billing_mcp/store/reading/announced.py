"""Owns that who has announced a single statement makes no other: without a transaction they were of two moments."""

from __future__ import annotations

import math


class Announced:
    """What a snapshot may still be asked."""

    def __init__(self, *, single: bool) -> None:
        self._left = 1 if single else math.inf

    def spend(self, statements: int = 1) -> None:
        """Note that so many statements are made. Raises RuntimeError for a second one where one was announced."""
        self._left -= statements
        if self._left < 0:
            raise RuntimeError("there was to be a single statement")
