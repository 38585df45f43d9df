"""Owns who is on an invoice: the seller, and who it is addressed to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "de"]


@dataclass(frozen=True, slots=True)
class Seller:
    """Who sells, as the catalog says it. `series` is what the numbers of its invoices begin with."""

    name: str
    address: tuple[str, ...]
    country: str
    vat_id: str | None = None
    series: str = "INV-"
    contact: tuple[str, ...] = ()
    """How to reach it: lines such as an email address."""
    footer: tuple[str, ...] = ()
    """What the law wants on letters: the register, who manages it, a bank account."""


@dataclass(frozen=True, slots=True)
class BillingDetails:
    """Who an account's invoices are addressed to, and in which language they are."""

    name: str
    address: tuple[str, ...] = ()
    language: Language = "en"
    reference: str | None = None
    """What the customer wants on its invoices, such as a purchase order."""


@dataclass(frozen=True, slots=True)
class Party:
    """One of the two on an invoice, as it was when that was issued."""

    name: str
    address: tuple[str, ...] = ()
    country: str | None = None
    vat_id: str | None = None
    contact: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()
