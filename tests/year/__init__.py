"""A year in the life of 20 accounts, from a seed: lived in several ways, it always comes to the same books.

BILLING_MCP_SOAK=1 makes it 200 accounts. Everything that makes something due happens at midnight (UTC), where a worker
that runs once a day does it at the same moment as one that never rests.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

SOAK = os.environ.get("BILLING_MCP_SOAK") == "1"
ACCOUNTS = 200 if SOAK else 20
SEED = 2027
BEGINS = datetime(2027, 3, 26, tzinfo=UTC)
ENDS = datetime(2028, 4, 2, tzinfo=UTC)
"""The year has a 29 February: that of 2028."""


def account(number: int) -> str:
    """The id of an account of the year."""
    return f"0190ea20-0000-7000-8000-{number:012d}"
