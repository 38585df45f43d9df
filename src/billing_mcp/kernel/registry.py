"""Owns the description of billing functions. Each is described once, by its own signature.

The signature is the schema, the docstring the documentation, the decorator gives permission
and route. Sandbox namespace, stubs, tool description, command line and README derive from it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, get_type_hints

from billing_mcp.kernel.arguments import ArgumentParser
from billing_mcp.kernel.context import Context
from billing_mcp.kernel.likeness import meant
from billing_mcp.kernel.principal import Permission

P = ParamSpec("P")
R = TypeVar("R")
Handler = Callable[Concatenate[Context, P], Awaitable[R]]

NAMESPACE = "billing"


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of a billing function. `default` is `inspect.Parameter.empty` when required."""

    name: str
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether a call must give it."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Operation:
    """A billing function: everything that any face needs to know of it."""

    name: str
    permission: Permission
    route: str
    own_route: str | None
    handler: Callable[..., Awaitable[Any]]
    parameters: tuple[Parameter, ...]
    returns: Any
    doc: str
    arguments: ArgumentParser
    reads_once: bool = False
    execution_mode: Literal["sync"] = "sync"
    resource_type: str = "account"
    resource_id_field: str = "account_id"

    @property
    def capability(self) -> str:
        """What a credential needs, as the reference calls it."""
        return self.permission.value

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.permission is Permission.MANAGE

    @property
    def summary(self) -> str:
        """The first sentence of its documentation."""
        return self.doc.partition("\n")[0]


@dataclass(slots=True)
class Resource:
    """A namespace such as `billing.plan`, and its functions."""

    name: str
    doc: str
    operations: list[Operation] = field(default_factory=list)

    def operation(
        self, *, requires: Permission, route: str, own_route: str | None = None, reads_once: bool = False
    ) -> Callable[[Handler[P, R]], Handler[P, R]]:
        """Declare a handler as a function of this namespace, under the handler's own name (`list_` is `list`).

        `route` is its place below an account's billing, `own_route` that below the credential's own account.
        One that `reads_once` makes a single statement, which needs no transaction around it.
        """

        def declare(handler: Handler[P, R]) -> Handler[P, R]:
            hints = get_type_hints(handler, include_extras=True)
            signature = list(inspect.signature(handler).parameters.values())[1:]
            parameters = tuple(Parameter(p.name, hints[p.name], p.default) for p in signature)
            name = f"{NAMESPACE}.{self.name}.{getattr(handler, '__name__', '').rstrip('_')}"
            self.operations.append(
                Operation(
                    name=name,
                    permission=requires,
                    route=route,
                    own_route=own_route,
                    handler=handler,
                    parameters=parameters,
                    returns=hints["return"],
                    doc=inspect.getdoc(handler) or "",
                    arguments=ArgumentParser(name, {p.name: (p.annotation, p.default) for p in parameters}),
                    reads_once=reads_once,
                )
            )
            return handler

        return declare


class Registry(Mapping[str, Operation]):
    """All billing functions by full name, in the order of their namespaces."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources = tuple(resources)
        self._operations = {o.name: o for resource in self.resources for o in resource.operations}

    def __getitem__(self, name: str) -> Operation:
        return self._operations[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._operations)

    def __len__(self) -> int:
        return len(self._operations)

    def without_writes(self) -> Registry:
        """The functions that only read; in it, no manage function exists."""
        reading = ((r, [o for o in r.operations if not o.writes]) for r in self.resources)
        return Registry(Resource(r.name, r.doc, operations) for r, operations in reading if operations)

    def closest(self, name: str) -> list[str]:
        """The functions that a name which does not exist may have meant."""
        names = meant(name.removeprefix(f"{NAMESPACE}."), (known.removeprefix(f"{NAMESPACE}.") for known in self))
        return [f"{NAMESPACE}.{each}" for each in names]
