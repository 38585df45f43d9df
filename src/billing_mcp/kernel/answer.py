"""Owns the answer to an execution: one compact JSON, the same on every face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from billing_mcp.domain.errors import ERRORS, BillingError
from billing_mcp.kernel.invoke import JournalEntry

MAX_CALLS_SHOWN = 50


def _slim(schema: dict[str, Any]) -> None:
    """Leave out of a schema what only repeats the names: agents pay for every byte of it.

    What an answer has only where it is not empty has neither a default nor a null in it.
    """
    schema.pop("title", None)
    schema.pop("description", None)
    for name, field in schema.get("properties", {}).items():
        field.pop("title", None)
        optional = name not in schema.get("required", ())
        if optional:
            field.pop("default", None)
        for kind in field.pop("anyOf", ()):
            if kind != {"type": "null"}:
                field.update(kind if optional else {"type": [kind["type"], "null"]})


class _Part(BaseModel):
    model_config = ConfigDict(json_schema_extra=_slim)


class CallRecord(_Part):
    """A call that the script made; `times` when the same line made it again and again."""

    function: str
    line: int | None = None
    error: str | None = None
    times: int | None = None


class WalletEffect(_Part):
    """How a wallet differs afterwards, as signed decimal amounts."""

    account_id: str
    currency: str
    available: str
    reserved: str
    total: str


class SettingEffect(_Part):
    """How a setting differs afterwards."""

    account_id: str
    setting: str
    before: str | None
    after: str | None


class PaymentEffect(_Part):
    """What is asked of a payment method: an amount with VAT, of which the wallet is credited the rest."""

    account_id: str
    payment_method_id: str
    method: str
    currency: str
    amount: str
    credit: str


class Effects(_Part):
    """What the execution changed, or would change, net."""

    wallets: list[WalletEffect] = Field(default_factory=list)
    settings: list[SettingEffect] = Field(default_factory=list)
    payments: list[PaymentEffect] = Field(default_factory=list)


class AnswerError(_Part):
    """Why it failed, where, and how to mend it."""

    code: str
    message: str
    line: int | None = None
    source: str | None = None
    hint: str | None = None
    field: str | None = None
    amounts: dict[str, str] = Field(default_factory=dict)
    currency: str | None = None

    @classmethod
    def of(cls, error: BillingError, *, line: int | None = None, source: str | None = None) -> AnswerError:
        """What an answer tells of an error."""
        told = {"hint": error.hint, "field": error.field, "amounts": error.amounts, "currency": error.currency}
        return cls(code=error.code, message=error.message, line=line, source=source, **told)

    def as_error(self) -> BillingError:
        """The error itself, for a face that raises it."""
        kind = ERRORS[self.code]
        return kind(
            self.message, code=self.code, hint=self.hint, field=self.field, amounts=self.amounts, currency=self.currency
        )


class Answer(_Part):
    """What an execution did and returned."""

    status: Literal["completed", "previewed", "failed"]
    changed: bool | None = Field(description="Whether anything was changed for good; null when nobody knows.")
    execution_id: str
    result: Any = None
    output: str = ""
    effects: Effects = Field(default_factory=Effects)
    calls: list[CallRecord] = Field(default_factory=list)
    followups: list[dict[str, Any]] = Field(default_factory=list)
    error: AnswerError | None = None
    _replayed: bool = PrivateAttr(default=False)

    @property
    def replayed(self) -> bool:
        """Whether it is that of an earlier execution, under the same idempotency key."""
        return self._replayed

    @classmethod
    def stored(cls, text: str) -> Answer:
        """The answer of an earlier execution, from its JSON text."""
        answer = cls.model_validate_json(text)
        answer._replayed = True  # noqa: SLF001 - of its own class
        return answer

    def to_json(self) -> str:
        """The compact JSON text, without what is empty."""
        return self.model_dump_json(exclude_defaults=True)

    def to_dict(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return self.model_dump(mode="json", exclude_defaults=True)


def summarize_calls(journal: Sequence[JournalEntry]) -> list[CallRecord]:
    """The journal, with repetitions folded and at most MAX_CALLS_SHOWN entries."""
    records: list[CallRecord] = []
    for entry in journal:
        last = records[-1] if records else None
        if last and (last.function, last.line, last.error) == (entry.function, entry.line, entry.error):
            last.times = (last.times or 1) + 1
        else:
            records.append(CallRecord(function=entry.function, line=entry.line, error=entry.error))
    if len(records) <= MAX_CALLS_SHOWN:
        return records
    rest = sum(record.times or 1 for record in records[MAX_CALLS_SHOWN:])
    return [*records[:MAX_CALLS_SHOWN], CallRecord(function="and more", times=rest)]
