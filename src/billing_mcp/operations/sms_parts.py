"""Owns counting the parts of a text message."""

from __future__ import annotations

import smsutil

from billing_mcp.domain.rating import SmsFacts


def sms_facts(text: str) -> SmsFacts:
    """What a text counts as."""
    found = smsutil.split(text)
    return SmsFacts("gsm7" if found.encoding == "gsm0338" else "ucs2", len(found.parts))
