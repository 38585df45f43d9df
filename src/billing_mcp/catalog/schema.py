"""Owns what a catalog's file may say: its tables, their keys, and what each value must look like by itself."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from billing_mcp.domain.markets import COUNTRIES
from billing_mcp.domain.money import parse_micros
from billing_mcp.domain.plan_terms import FIRST_VERSION
from billing_mcp.domain.pricing import ANYWHERE, RcsRule
from billing_mcp.domain.rating import Suggestion

_ISO = {"EL": "GR", "UK": "GB"}
"""What the offices of VAT call countries, and how ISO does."""
MOST = 1_000_000_000_000
"""No volume is above it: databases count in 64 bits."""


def _as_text(value: Any) -> Any:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        raise _wrong("a price is written as text", hint=f'Write it in quotes: "{value}".')
    return value


def _price(text: str) -> str:
    if re.fullmatch(r"-?[0-9]+\.[0-9]{7,}", text):
        raise _wrong("has more than 6 decimals", hint="A millionth is the smallest amount there is.")
    try:
        parse_micros(text)
    except ValueError:
        raise _wrong("is not a price", hint='A price is a decimal with a point, such as "0.0750".') from None
    if text.startswith("-"):
        raise _wrong("a price is not negative")
    return text


def _market(text: str) -> str:
    if text != ANYWHERE and text not in COUNTRIES:
        upper = text.upper()
        hint = f"Write {upper}." if upper in COUNTRIES else 'Such as DE; "*" is every country without an own price.'
        raise _wrong('is neither the code of a country (ISO 3166, two capital letters) nor "*"', hint=hint)
    return text


def _line(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise _wrong("must be printable, without blanks around it")
    return text


def _country(text: str) -> str:
    if text not in COUNTRIES:
        meant = _ISO.get(text.upper(), text.upper())
        hint = f"Write {meant}." if meant in COUNTRIES else "Such as DE."
        raise _wrong("is not the code of a country (ISO 3166, two capital letters)", hint=hint)
    return text


def _rate_as_text(value: Any) -> Any:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        raise _wrong("a rate is written as text", hint=f'Write it in quotes: "{value}".')
    return value


def _percent(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,2})?", text):
        hint = 'Such as "19" or "25.5": 0 or more, below 100, with at most 2 decimals.'
        raise _wrong("is not a rate in percent", hint=hint)
    return text


def _matching(pattern: str, wrong: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise _wrong(wrong)
        return text

    return AfterValidator(check)


def _wrong(what: str, *, hint: str = "") -> PydanticCustomError:
    return PydanticCustomError("catalog", "{what}", {"what": what, "hint": hint})


Price = Annotated[str, BeforeValidator(_as_text), AfterValidator(_price)]
Market = Annotated[str, AfterValidator(_market)]
Country = Annotated[str, AfterValidator(_country)]
Percent = Annotated[str, BeforeValidator(_rate_as_text), AfterValidator(_percent)]
Name = Annotated[
    str, _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", "must be up to 40 letters, digits, '.', '-' or '_'")
]
Currency = Annotated[str, _matching(r"[A-Z]{3}", "is not the code of a currency (ISO 4217, three capital letters)")]
Columns = Annotated[dict[Market, list[Price]], Field(min_length=1)]
"""By market, a price for each tier of the channel, lowest first."""


class Table(BaseModel):
    """A table of the file. Keys that it does not know are refused, and no value is turned into another kind."""

    model_config = ConfigDict(extra="forbid", strict=True)


Quantity = Annotated[int, Field(ge=0, le=MOST)]


class ComponentTable(Table):
    """What a plan counts."""

    component_type: Literal["mailbox", "proxy"]
    unit: str
    name: str
    unit_price: Price
    included: Quantity = 0


class ComponentChangeTable(Table):
    """What a later version of a plan has otherwise of a component."""

    component_type: Literal["mailbox", "proxy"]
    unit_price: Price | None = None
    included: Quantity | None = None


class PlanTiersTable(Table):
    """The tier that a plan grants on a channel."""

    email: str | None = None
    sms: str | None = None
    rcs: str | None = None


class PlanVersionTable(Table):
    """What a plan's prices are from a day on. What a version does not name is as in the one before."""

    version: Name
    valid_from: date
    price: Price | None = None
    yearly_price: Price | None = None
    minimum: Price | None = None
    components: list[ComponentChangeTable] = []


class PlanTable(Table):
    """A plan, and its first prices: per month, but for that of a year. Later ones are its `versions`."""

    name: str
    description: str
    price: Price
    yearly_price: Price | None = None
    minimum: Price = "0"
    components: list[ComponentTable]
    tiers: PlanTiersTable = PlanTiersTable()
    version: Name = FIRST_VERSION
    versions: list[PlanVersionTable] = []


class PlansTable(Table):
    """All plans; their names are part of the contract with agents."""

    smtp_per_mailbox: PlanTable
    smtp_per_proxy: PlanTable


class TierTable(Table):
    """A step of a channel's prices."""

    name: Name
    from_volume: Annotated[int, Field(ge=0, le=MOST)]


Tiers = Annotated[list[TierTable], Field(min_length=1)]


class TiersTable(Table):
    """The tiers of each channel, lowest first, and when one is lost."""

    missed_months: Annotated[int, Field(ge=1, le=120)]
    email: Tiers
    sms: Tiers
    rcs: Tiers


class BandTable(Table):
    """What active users of a month cost, up to one of them; the last band is without end."""

    up_to: Annotated[int, Field(ge=1, le=MOST)] | None = None
    price: Price


Bands = Annotated[list[BandTable], Field(min_length=1)]
ActiveUsers = Annotated[dict[Market, Bands], Field(min_length=1)]
Bytes = Annotated[int, Field(ge=1, le=1_000_000)]


class RegionTable(Table):
    """How RCS messages are counted in some markets."""

    rule: RcsRule
    markets: Annotated[list[Market], Field(min_length=1)]
    basic_max_bytes: Bytes | None = None
    segment_bytes: Bytes | None = None
    rich_suggestions: list[Suggestion] | None = None


class EmailTable(Table):
    """Prices of emails."""

    basic: Columns | None = None
    mau: ActiveUsers | None = None


class SmsTable(Table):
    """Prices of text messages."""

    segment: Columns | None = None
    mau: ActiveUsers | None = None


class RcsTable(Table):
    """Prices of RCS messages."""

    basic: Columns | None = None
    single: Columns | None = None
    a2p_conversation: Columns | None = None
    p2a_conversation: Columns | None = None
    rich: Columns | None = None
    rich_media: Columns | None = None
    mau: ActiveUsers | None = None


class VersionTable(Table):
    """What prices are from a day on. What a version does not name is as in the one before."""

    version: Name
    valid_from: date
    regions: dict[Name, RegionTable] | None = None
    email: EmailTable = EmailTable()
    sms: SmsTable = SmsTable()
    rcs: RcsTable = RcsTable()


class RateTable(Table):
    """A country's standard rate of VAT from a day on."""

    valid_from: date
    percent: Percent


Rates = Annotated[list[RateTable], Field(min_length=1)]


class TaxTable(Table):
    """Whose VAT is added to what customers pay, and rates by country, where they are not those of the package."""

    seller_country: Country
    rates: dict[Country, Rates] = {}


Line = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_line)]
Days = Annotated[int, Field(ge=1, le=365)]


class SellerTable(Table):
    """Who sells: what stands on invoices. Its country is that of `tax`."""

    name: Line
    address: Annotated[list[Line], Field(min_length=1, max_length=6)]
    vat_id: Line | None = None
    series: Annotated[str, _matching(r"[A-Z0-9/-]{0,12}", "must be up to 12 capital letters, digits, '-' or '/'")] = (
        "INV-"
    )
    contact: Annotated[list[Line], Field(max_length=4)] = []
    footer: Annotated[list[Line], Field(max_length=6)] = []


class DunningTable(Table):
    """When an account that owes is reminded, and when it is suspended, in days since it began to."""

    reminders_after_days: Annotated[list[Days], Field(max_length=10)]
    suspended_after_days: Days


class CatalogTable(Table):
    """The whole file."""

    currency: Currency
    plans: PlansTable
    tiers: TiersTable
    prices: Annotated[list[VersionTable], Field(min_length=1)]
    tax: TaxTable | None = None
    seller: SellerTable | None = None
    dunning: DunningTable | None = None
