"""Owns the answer to an execution: one compact JSON, the same on every face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from billing_mcp.kernel.invoke import JournalEntry

MAX_CALLS_SHOWN = 50


class CallRecord(BaseModel):
    """A call that the script made; `times` when the same line made it again and again."""

    function: str
    line: int | None = None
    error: str | None = None
    times: int | None = None


class WalletEffect(BaseModel):
    """How a wallet differs afterwards, as signed decimal amounts."""

    account_id: str
    currency: str
    available: str
    reserved: str
    total: str


class SettingEffect(BaseModel):
    """How a setting differs afterwards."""

    account_id: str
    setting: str
    before: str | None
    after: str | None


class Effects(BaseModel):
    """What the execution changed, or would change, net."""

    wallets: list[WalletEffect] = Field(default_factory=list)
    settings: list[SettingEffect] = Field(default_factory=list)


class AnswerError(BaseModel):
    """Why it failed, where, and how to mend it."""

    code: str
    message: str
    line: int | None = None
    source: str | None = None
    hint: str | None = None


class Answer(BaseModel):
    """What an execution did and returned."""

    status: Literal["completed", "previewed", "failed"]
    changed: bool = Field(description="Whether anything was changed for good.")
    execution_id: str
    result: Any = None
    output: str = ""
    effects: Effects = Field(default_factory=Effects)
    calls: list[CallRecord] = Field(default_factory=list)
    error: AnswerError | None = None

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
