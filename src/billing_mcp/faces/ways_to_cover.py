"""Owns the ways there are to cover what is missing in a wallet, as a machine can go them."""

from __future__ import annotations

import shlex
from decimal import Decimal
from typing import Any
from urllib.parse import quote


def ways_to_cover(
    *, account_id: str, shortfall: Decimal, reserved: Decimal = Decimal(0), currency: str | None = None
) -> list[dict[str, Any]]:
    """Each way: its name, by whom it can be gone, how, and the amount of the shortfall that it covers.

    A way over HTTP has a `method` and a `path`, a way on the server's machine a `command`. Where the account is
    not known, its place in them is left to be filled in, as is that of the hold to release.
    """
    account_path = f"/v1/platform/accounts/{quote(account_id, safe='') or '{account_id}'}"
    account_word = shlex.quote(account_id) if account_id else "ACCOUNT_ID"
    ways: list[dict[str, Any]] = [
        {"way": "credit", "by": "platform", "method": "POST", "path": f"{account_path}/credits", "amount": shortfall},
        {
            "way": "topup",
            "by": "operator",
            "command": f"billing-mcp accounts topup {account_word} {shortfall}",
            "amount": shortfall,
        },
    ]
    if reserved > 0:
        path = f"{account_path}/holds/{{hold_id}}/release"
        covered = min(reserved, shortfall)
        ways.append({"way": "release", "by": "platform", "method": "POST", "path": path, "amount": covered})
    return [way | ({"currency": currency} if currency else {}) for way in ways]
