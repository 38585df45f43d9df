"""Owns events: what the world is told of, once the change that it tells of has committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an account, such as `billing.plan.changed`; by default it gets an id of its own."""

    account_id: str
    event: str
    payload: Mapping[str, str | None]
    event_id: str | None = None
