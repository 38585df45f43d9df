"""Owns what is told and stored of an execution that has a card number in it: all but the number.

A script can put one together that its text does not show.
"""

from __future__ import annotations

from collections.abc import Iterable

from billing_mcp.domain.card_numbers import MARK, contains, redacted, without, without_digits
from billing_mcp.kernel.answer import Answer
from billing_mcp.kernel.invoke import JournalEntry


def without_card_numbers(answer: Answer) -> Answer:
    """The answer as it may be told and stored."""
    error = answer.error
    told = (answer.result, answer.output, error and error.model_dump(), [call.function for call in answer.calls])
    given = error is not None and (error.code == "card_number" or MARK in error.message)
    if not given and not contains(told):
        return answer
    shown = Answer.model_validate(without(answer.model_dump()))
    if shown.error is not None and shown.error.source is not None and MARK not in shown.error.source:
        shown.error.source = without_digits(shown.error.source)  # the line may have it in pieces
    return shown


def recorded_script(source: str, answer_json: str, journal: Iterable[JournalEntry]) -> str:
    """The text of a program as it may be stored: without any digit if it has put a card number together."""
    script = redacted(source)
    given = any(entry.error == "card_number" for entry in journal)
    told = script == source and MARK in answer_json
    return without_digits(script) if given or told else script
