"""Owns what the parts report of their work, for whoever watches. Here nobody does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.instructions import Instruction
from billing_mcp.store.posting.program import Outcome


class Observer:
    """Hears what happened, after it has. Whoever watches overrides what it wants to hear.

    All is told on the event loop, while somebody waits: a method must be quick, and must not raise.
    """

    def batch_ended(self, instructions: Sequence[Instruction], outcomes: Sequence[Outcome], seconds: float) -> None:
        """A batch of instructions ended, each with an outcome. Those that are Locked come in a later one."""

    def instruction_refused(self, instruction: Instruction, error: BillingError) -> None:
        """An instruction came into no batch."""

    def execution_ended(self, status: str, seconds: float, code: str | None) -> None:
        """An execution ended: as its answer says, `replayed` when it was a stored one, or `abandoned`."""

    def calls_ended(self, calls: Iterable[tuple[str, str | None]]) -> None:
        """Billing functions were called: the name, as it was given, and the code of its error if it had one."""

    def refused(self, code: str) -> None:
        """A request was refused before it became an execution, a call or an instruction."""

    def job_ended(self, topic: str, outcome: str, seconds: float) -> None:
        """The worker ended a job of a topic. Both names are of small, closed sets."""

    def webhook_ended(self, provider: str, outcome: str) -> None:
        """A payment provider's webhook was `recorded`, or refused with a code."""


NOBODY = Observer()
"""Watches nothing."""
