"""Owns who an account is for VAT, as the platform says it, and what is added to its payments by that.

Whether a VAT id is well-formed is checked here, its check digits included. Whether it is in force only the offices
know (VIES): that is the platform's to ask.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from stdnum.eu import vat
from stdnum.exceptions import ValidationError

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.markets import COUNTRIES
from billing_mcp.domain.money import MICROS_PER_UNIT, format_micros
from billing_mcp.domain.tax import (
    MEMBER_STATES,
    Customer,
    Tax,
    TaxBook,
    add_tax,
    country_of_vat_id,
    percent,
    same_territory,
    tax_for,
)
from billing_mcp.store.accounts import AccountRecord
from billing_mcp.store.store import Transaction

MAX_VAT_ID_CHARS = 32
_EXAMPLE_MICROS = 100 * MICROS_PER_UNIT


async def tax_of(tx: Transaction, catalog: Catalog, account_id: str) -> Tax:
    """How a payment of an account that is received today is taxed. Raises NotFound; InvalidArgument: `not_priced`."""
    account = await tx.accounts.get(account_id)
    return tax_for(account.customer, catalog.tax, tx.now.date())


async def set_customer(
    tx: Transaction, account_id: str, *, country: str | None, vat_id: str | None, exempt: bool
) -> AccountRecord:
    """Say who an account is for VAT from now on. A VAT id that comes without a country brings its own.

    Raises NotFound, and InvalidArgument for what is no country or VAT id, and for two that do not go together.
    """
    customer = customer_of(country, vat_id, exempt=exempt)
    account = await tx.accounts.get(account_id, lock=True)
    await tx.accounts.set_customer(account, customer)
    return await tx.accounts.get(account_id)


def customer_of(country: str | None, vat_id: str | None, *, exempt: bool) -> Customer:
    """Who that is. Raises InvalidArgument."""
    if country is not None:
        check_country(country)
    if vat_id is None:
        return Customer(country, None, exempt)
    normal = normal_vat_id(vat_id)
    given_in = country_of_vat_id(normal)
    if country is not None and not same_territory(country, given_in):
        raise InvalidArgument(
            f"the VAT id {normal} is of {given_in}, the country is {country}",
            field="vat_id",
            hint="Give the id that the customer has where it is established, or leave it out.",
        )
    return Customer(country or given_in, normal, exempt)


def check_country(country: str) -> None:
    """Raise InvalidArgument for what is no country's code."""
    if country not in COUNTRIES:
        message = f"{ascii(country)[:80]} is not the code of a country (ISO 3166, two capital letters)"
        raise InvalidArgument(message, field="country", hint='Such as "DE". Greece is GR, the United Kingdom GB.')


def normal_vat_id(vat_id: str) -> str:
    """A VAT id of a member state as it is stored: capital letters and digits alone. Raises InvalidArgument."""
    try:
        normal = vat.validate(vat_id if len(vat_id) <= MAX_VAT_ID_CHARS else "")
    except ValidationError as error:
        shown = ascii(vat_id[:MAX_VAT_ID_CHARS])
        message = f"{shown} is not a VAT id of a member state of the EU: {str(error)[:1].lower()}{str(error)[1:]}"
        raise InvalidArgument(message.rstrip("."), field="vat_id", hint=_HINT) from None
    if country_of_vat_id(normal) not in MEMBER_STATES:
        raise InvalidArgument(f"{normal} is not a VAT id for services within the EU", field="vat_id", hint=_HINT)
    return normal


_HINT = 'Write it with its country, such as "DE136695976". Customers outside the EU need none: leave it out.'


def shown_tax(account: AccountRecord, book: TaxBook, day: date) -> dict[str, Any]:
    """Who an account is for VAT, and what is added by that to what it pays on a day."""
    customer = account.customer
    tax = tax_for(customer, book, day)
    return {
        "country": customer.country,
        "vat_id": customer.vat_id,
        "tax_exempt": customer.exempt,
        "treatment": tax.treatment,
        "rate_percent": percent(tax.rate_basis_points),
        "rate_country": tax.country,
        "on_100": format_micros(add_tax(_EXAMPLE_MICROS, tax)),
        "note": tax.note,
    }
