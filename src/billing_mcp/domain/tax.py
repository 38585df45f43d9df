"""Owns VAT on money that comes in: who the customer is for it, which rate is in force, and what is added.

Prices and the wallet are net. A top-up is a payment on account: VAT is chargeable when it is received, on what is
received (Art. 65 of Directive 2006/112/EC, "the Directive"), at the rate of that day. What is sold is supplied
electronically, so the place of supply is where the customer is, and five cases are all there are:

| The customer is                        | treatment        | rate                  | the Directive     |
|----------------------------------------|------------------|-----------------------|-------------------|
| exempt, as the platform has found      | `exempt`         | none                  | Art. 151          |
| in the seller's country                | `domestic`       | the seller's country  | Art. 44, 58, 65   |
| in another member state, with a VAT id | `reverse_charge` | none, the customer's  | Art. 44, 196      |
| in another member state, without one   | `eu_consumer`    | the customer's (OSS)  | Art. 58, 65       |
| anywhere else                          | `outside_eu`     | none                  | Art. 44, 58       |

A seller is taken to be in the One-Stop Shop: the threshold of Art. 59c, below which a consumer abroad pays the
seller's own rate, is not applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.money import MICROS_PER_CENT

Treatment = Literal["domestic", "reverse_charge", "eu_consumer", "outside_eu", "exempt"]

BASIS_POINTS = 10_000
"""So many are the whole: 1900 basis points are 19 %."""

MEMBER_STATES = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905
)
"""The European Union, by ISO 3166."""

_TREATED_AS = {"MC": "FR"}
"""Art. 7: what is supplied to Monaco is supplied to France. Other territories with a code of their own are outside."""

_DIRECTIVE = "of Directive 2006/112/EC"


@dataclass(frozen=True, slots=True)
class Customer:
    """Who pays, for VAT. Without a country it is the seller's; who has a VAT id of the Union is a business."""

    country: str | None = None
    vat_id: str | None = None
    exempt: bool = False


@dataclass(frozen=True, slots=True)
class TaxRate:
    """A country's standard rate from a day on."""

    valid_from: date
    basis_points: int


@dataclass(frozen=True, slots=True)
class TaxBook:
    """Where the seller is, and the rates of each country, oldest first."""

    seller_country: str
    rates: Mapping[str, tuple[TaxRate, ...]]

    def rate_on(self, country: str, day: date) -> int:
        """The rate in force on a day, in basis points. Raises InvalidArgument with code `not_priced` before all."""
        rates = self.rates[country]
        for rate in reversed(rates):
            if rate.valid_from <= day:
                return rate.basis_points
        raise InvalidArgument(
            f"the catalog has no VAT rate of {country} before {rates[0].valid_from.isoformat()}",
            code="not_priced",
            hint=f"Add the rate of then to [tax.rates] {country}.",
        )


@dataclass(frozen=True, slots=True)
class Tax:
    """What is added to a customer's payment on a day: why, at which rate, of which country.

    `country` is where the service is supplied; `note` is the sentence for an invoice.
    """

    treatment: Treatment
    rate_basis_points: int
    country: str
    note: str


def tax_for(customer: Customer, book: TaxBook, day: date) -> Tax:
    """How a payment that is received on a day is taxed. Raises InvalidArgument: `not_priced`."""
    seller = _territory(book.seller_country)
    place = _territory(customer.country or seller)
    if customer.exempt:
        return Tax("exempt", 0, place, f"Exempt from VAT, Art. 151 {_DIRECTIVE}")
    if place == seller:
        law = f"Art. 65 {_DIRECTIVE}" if seller in MEMBER_STATES else "the law of the country"
        note = f"VAT of {place}, due when the payment on account is received, {law}"
        return Tax("domestic", book.rate_on(place, day), place, note)
    if place not in MEMBER_STATES:
        note = f"Outside the scope of EU VAT: supplied where the customer is, Art. 44 and 58 {_DIRECTIVE}"
        return Tax("outside_eu", 0, place, note)
    if customer.vat_id is not None:
        note = f"Reverse charge: the customer accounts for VAT, Art. 44 and 196 {_DIRECTIVE}"
        return Tax("reverse_charge", 0, place, note)
    note = f"VAT of {place}, where the customer is, declared in the One-Stop Shop, Art. 58 and 65 {_DIRECTIVE}"
    return Tax("eu_consumer", book.rate_on(place, day), place, note)


def country_of_vat_id(vat_id: str) -> str:
    """The country that a VAT id of the Union was given in, by ISO 3166; Greece writes EL."""
    return "GR" if vat_id.startswith("EL") else vat_id[:2]


def same_territory(one: str, other: str) -> bool:
    """Whether two countries are one for VAT."""
    return _territory(one) == _territory(other)


def add_tax(net_micros: int, tax: Tax) -> int:
    """The tax on a net amount, in micros: whole cents, half a cent away from zero."""
    return _whole_cents(net_micros * tax.rate_basis_points, BASIS_POINTS)


def tax_within(gross_micros: int, net_micros: int, tax_micros: int) -> int:
    """The tax within so much of a payment of `net_micros` and `tax_micros`, counted from its start: whole cents.

    What moves is taxed by the difference of two of these: so parts of whatever size and order, and money that goes
    back and comes again, sum to net and tax of the whole. Beyond the whole, and below nothing, all is net.
    """
    whole_micros = net_micros + tax_micros
    if gross_micros <= 0:
        return 0
    return tax_micros if gross_micros >= whole_micros else _whole_cents(tax_micros * gross_micros, whole_micros)


def percent(basis_points: int) -> str:
    """A rate in percent, as decimal text: `25.50`."""
    return f"{basis_points // 100}.{basis_points % 100:02d}"


def _whole_cents(numerator: int, denominator: int) -> int:
    """`numerator / denominator` micros in whole cents, half a cent away from zero."""
    divisor = denominator * MICROS_PER_CENT
    cents = (2 * abs(numerator) + divisor) // (2 * divisor)
    return (cents if numerator >= 0 else -cents) * MICROS_PER_CENT


def _territory(country: str) -> str:
    return _TREATED_AS.get(country, country)
