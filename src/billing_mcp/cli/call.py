"""Owns `billing-mcp call`: a single billing function."""

from __future__ import annotations

from typing import Annotated

import typer

from billing_mcp.cli.common import Database, IdempotencyKey, Json, Preview, finish, run
from billing_mcp.cli.opened import open_app
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.kernel.arguments import from_text
from billing_mcp.kernel.registry import Operation
from billing_mcp.operations import REGISTRY

app = typer.Typer(add_completion=False)


@app.command()
def call(
    function: Annotated[str, typer.Argument(metavar="FUNCTION", help="For example billing.wallet_balance.get.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE")] = None,
    preview: Preview = False,
    idempotency_key: IdempotencyKey = "",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Call one billing function: an execution of a single call."""

    async def work() -> None:
        parsed = parse_arguments(function, arguments or [])
        async with open_app(database) as opened:
            principal = await opened.local_principal()
            answer = await opened.call(principal, function, parsed, preview=preview, idempotency_key=idempotency_key)
        finish(answer, as_json=as_json)

    run(work())


def parse_arguments(function: str, arguments: list[str]) -> dict[str, object]:
    """The arguments in texts such as `page=2`, by the function's own types. Raises InvalidArgument."""
    operation = REGISTRY.get(function)
    parsed: dict[str, object] = {}
    for argument in arguments:
        name, separator, text = argument.partition("=")
        if not separator:
            raise InvalidArgument(f"{argument!r} is not of the form name=value", field=argument)
        if name in parsed:
            raise InvalidArgument(f"{name} is given twice", field=name)
        parsed[name] = _value(operation, name, text)
    return parsed


def _value(operation: Operation | None, name: str, text: str) -> object:
    found = [p for p in operation.parameters if p.name == name] if operation else []
    if not found:
        return text
    return None if text == "null" and found[0].default is None else from_text(found[0].annotation, text)
