"""Owns the start of the bundle, where this file is `src/main.py`: `serve`, as its form was filled in.

Each field arrives behind a sign, so that one left empty differs from one that the client lost on
the way: without its key, or `read only`, an agent would have more power than its user gave it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from billing_mcp import terminal
from billing_mcp.cli import main
from billing_mcp.cli.common import exit_code
from billing_mcp.domain.errors import BillingError, Unavailable

_SIGN = "="
_READ_ONLY: dict[tuple[str, ...], list[str]] = {("--read-only=true",): ["--read-only"], ("--read-only=false",): []}


def start() -> None:
    """Serve an agent on standard input and output."""
    try:
        options = take_form(sys.argv[1:], os.environ)
    except BillingError as error:
        terminal.print_error(error.code, error.message, error.hint)
        sys.exit(exit_code(type(error)))
    sys.argv[1:] = ["serve", *options]
    main()


def take_form(arguments: Sequence[str], environment: MutableMapping[str, str]) -> list[str]:
    """Put the form's fields where settings are read, and return the options of `serve`.

    A field left empty changes nothing. Raises Unavailable when the client passed on less than all.
    """
    read_only = _READ_ONLY.get(tuple(arguments))
    database = _field(environment, "BILLING_MCP_BUNDLE_DATABASE")
    key = _field(environment, "BILLING_MCP_BUNDLE_KEY")
    if read_only is None or database is None or key is None:
        raise Unavailable(
            "this client did not pass on the settings of the bundle",
            code="settings_lost",
            hint="Save its settings again, or update the client.",
        )
    if database:  # the folder we are started in is the bundle's own, and goes when it is updated
        environment["BILLING_MCP_DATABASE"] = database if "://" in database else _from_home(database)
    if key:
        environment["BILLING_MCP_KEY"] = key
    return read_only


def _field(environment: MutableMapping[str, str], name: str) -> str | None:
    """What was filled in, or None if it did not arrive."""
    value = environment.pop(name, "")
    if not value.startswith(_SIGN) or "${user_config." in value:
        return None
    return value.removeprefix(_SIGN).strip()


def _from_home(path: str) -> str:
    return str(Path.home() / Path(path).expanduser())


if __name__ == "__main__":
    start()
