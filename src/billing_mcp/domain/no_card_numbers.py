"""Owns the refusal of card numbers: none passes through us, whatever it is given as."""

from __future__ import annotations

from billing_mcp.domain.card_numbers import path_to
from billing_mcp.domain.errors import InvalidArgument


def refuse_card_numbers(given: object, *, field: str = "", but: frozenset[str] = frozenset()) -> None:
    """Raise InvalidArgument with code `card_number` for a JSON-like value that has one anywhere, names included.

    The error names the field, `field` or what is within it, and nothing of the number. Under the names in `but`
    nothing is looked at.
    """
    path = path_to(given, but=but)
    if path is not None:
        raise card_number(".".join(map(str, (field, *path) if field else path)))


def card_number(field: str) -> InvalidArgument:
    """The error for a field that has a card number."""
    return InvalidArgument(
        f"{field} holds a card number, or what looks like one",
        code="card_number",
        field=field,
        hint="Give the payment provider's token for the card, never its number. Nothing of it was stored.",
    )
