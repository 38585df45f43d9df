"""Owns how long to wait before another try: twice as long each time up to a cap, and never all at once."""

from __future__ import annotations

import random

FIRST_S = 2.0
CAP_S = 3600.0
_RANDOM = random.SystemRandom()


def backoff_s(attempt: int, *, first_s: float = FIRST_S, cap_s: float = CAP_S) -> float:
    """Seconds to wait after the given attempt, which counts from 1.

    Half of it is certain and half a matter of chance, so that what failed together does not come back together.
    """
    full = min(cap_s, first_s * 2.0 ** min(attempt - 1, 64))
    return full / 2 + _RANDOM.uniform(0, full / 2)
