"""Owns reading the price catalog: TOML in, plans out, or an error that names the field."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from billing_mcp.domain.accrual import Component, Plan, PlanId
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.money import parse_micros


def _price(text: str) -> str:
    if parse_micros(text) < 0:
        raise ValueError("a price is not negative")
    return text


Price = Annotated[str, AfterValidator(_price)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Component(_Strict):
    component_type: Literal["mailbox", "proxy"]
    unit: str
    name: str
    unit_price: Price


class _Plan(_Strict):
    name: str
    description: str
    price: Price
    components: list[_Component]

    @model_validator(mode="after")
    def _each_component_once(self) -> Self:
        types = [component.component_type for component in self.components]
        if len(set(types)) < len(types):
            raise ValueError("each component_type is priced once")
        return self


class _Catalog(_Strict):
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    plans: dict[PlanId, _Plan]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The prices in force."""

    currency: str
    plans: Mapping[str, Plan]


def parse_catalog(text: str) -> Catalog:
    """The catalog in a TOML text. Raises InvalidArgument with code `invalid_catalog`."""
    try:
        raw = _Catalog.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"the catalog is not TOML: {error}", code="invalid_catalog") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {first['msg']}"
        raise InvalidArgument(message, code="invalid_catalog", field=where) from error
    missing = set(get_args(PlanId)) - set(raw.plans)
    if missing:
        raise InvalidArgument(f"plans: {', '.join(sorted(missing))} missing", code="invalid_catalog", field="plans")
    return Catalog(raw.currency, {plan_id: _plan(plan_id, plan, raw.currency) for plan_id, plan in raw.plans.items()})


@cache
def default_catalog() -> Catalog:
    """The catalog that comes with the package."""
    return parse_catalog(files("billing_mcp.catalog").joinpath("catalog.toml").read_text("utf-8"))


def _plan(plan_id: PlanId, plan: _Plan, currency: str) -> Plan:
    components = tuple(Component(c.component_type, c.unit, c.name, parse_micros(c.unit_price)) for c in plan.components)
    return Plan(plan_id, plan.name, plan.description, currency, parse_micros(plan.price), components)
