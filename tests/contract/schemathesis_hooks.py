"""What schemathesis cannot know of this server: which refusals are documented, and which are rules of the house."""

from __future__ import annotations

import os
from itertools import count
from typing import Any

import schemathesis
from schemathesis.generation.meta import CoveragePhaseData, CoverageScenario

_KEY = "Idempotency-Key"
_OF_HTTP = {"content-type", "content-length", "date"}
_NOBODY = "0190c0de-0000-7000-8000-0000000000ff"
_numbers = count(1)

RULES = {
    "insufficient_funds": None,
    "effective_date_in_past": None,
    "not_priced": None,
    "webhook_url_refused": None,
    "invalid_argument": {
        "cursor",  # what it is made of is not told
        *("to", "cancel_immediately", "default_account_id", "idempotency_key"),  # bound to another field
        *("text", "type", "recipients"),  # bound to the channel
        "recipient",  # what an address is, no pattern can say
        "month",  # bound to the day
        "expires_at",  # bound to the day
        *("name", "reason", "reference"),  # that all can be shown, no pattern can say that every language reads
        *("sender", "event_id"),
        *("to", "cc", "bcc", "recipient", "user"),  # written in many ways
        *("text", "text_bytes", "segments"),  # bound to each other
        *("occurred_at", "started_at"),  # bound to the day
        *("commitment", "override"),  # named by the catalog
        *("country", "vat_id"),  # which codes there are, and which digits check, no pattern can say
        *("amount", "threshold", "target", "monthly_cap"),  # bound to each other, and in whole cents
        *("address", "line", "lines"),  # that all can be shown; which lines the invoice has, each once
        *("amounts", "percent_of_last_topup", "runway_days"),  # bound to each other in number
    },
}
"""With which codes, about which fields, what a schema allows may be refused with 402 and 422."""


@schemathesis.hook
def before_call(context: Any, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    """Bring a key of its own, where the same few are drawn again and again; ask now and then of nobody's account.

    What is drawn as an invoice's name is nobody's: every other time it is one that there is.
    """
    number = next(_numbers)
    if not (case.meta and case.meta.generation.mode.is_positive):
        return
    if case.headers and _KEY in case.headers:
        case.headers[_KEY] = f"contract-{number}"
    if number % 2 == 0 and "invoice_id" in case.path_parameters:
        case.path_parameters["invoice_id"] = os.environ["INVOICE_ID"]
    if number % 5 == 0 and "account_id" in case.path_parameters:
        case.path_parameters["account_id"] = _NOBODY


@schemathesis.check
def refused_as_documented(_ctx: schemathesis.CheckContext, response: Any, case: schemathesis.Case[Any]) -> None:
    """A refusal has a code that the document lists for it; what is well-formed is refused by a rule alone."""
    if response.status_code < 400 or _wrong_method(case):
        return
    code, field = response.json()["code"], response.json().get("field", "").rpartition(".")[2]
    listed = case.operation.definition.raw["responses"][str(response.status_code)]["description"]
    assert f"`{code}`" in listed, f"{response.status_code} lists no {code}: {listed}"
    if case.meta and case.meta.generation.mode.is_positive and response.status_code in (402, 422):
        assert code in RULES, f"{code} refuses what the schema allows: {response.text}"
        assert field in (RULES[code] or {field}), f"{code} of {field} refuses what the schema allows: {response.text}"


@schemathesis.check
def headers_as_documented(_ctx: schemathesis.CheckContext, response: Any, case: schemathesis.Case[Any]) -> None:
    """An answer has no header that the document does not know."""
    if _wrong_method(case):
        return
    declared = case.operation.definition.raw["responses"][str(response.status_code)]["headers"]
    unknown = set(response.headers) - {name.lower() for name in declared} - _OF_HTTP
    assert not unknown, f"the document knows no {unknown} of {response.status_code}"


def _wrong_method(case: schemathesis.Case[Any]) -> bool:
    data = case.meta.phase.data if case.meta else None
    return isinstance(data, CoveragePhaseData) and data.scenario is CoverageScenario.UNSPECIFIED_HTTP_METHOD
