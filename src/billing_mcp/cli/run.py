"""Owns `billing-mcp run`: a script from a file, run as an agent would."""

from __future__ import annotations

from typing import Annotated

import typer

from billing_mcp.cli.common import (
    Database,
    IdempotencyKey,
    Json,
    Preview,
    errors_as_exit_codes,
    finish,
    run,
    settings_with,
)
from billing_mcp.cli.opened import open_app
from billing_mcp.domain.errors import InvalidArgument

app = typer.Typer(add_completion=False)


@app.command("run")
def run_script(
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(metavar="FILE|-", help="The script, in UTF-8; - reads standard input.")
    ],
    preview: Preview = False,
    idempotency_key: IdempotencyKey = "",
    as_json: Json = False,
    database: Database = None,
) -> None:
    """Run a script as an agent would, as one transaction."""

    async def work(source: str) -> None:
        async with open_app(database) as opened:
            principal = await opened.local_principal()
            answer = await opened.run_script(principal, source, preview=preview, idempotency_key=idempotency_key)
        finish(answer, as_json=as_json)

    with errors_as_exit_codes():
        source = read_script(file)
    run(work(source))


def read_script(file: typer.FileBinaryRead) -> str:
    """The script in a file, which is not read further than a script may be long."""
    enough = settings_with().code_kb * 1024 + 1
    data = bytearray()
    while len(data) < enough and (chunk := file.read1(enough - len(data))):  # piece by piece: Ctrl-C is heard
        data += chunk
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":  # cut off in a character: far too long anyway
            return error.object[: error.start].decode() + "?"
        raise InvalidArgument(f"the script is not UTF-8 at byte {error.start}", code="syntax_error") from None
