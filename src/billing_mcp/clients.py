"""Owns what MCP clients need to start us: where each keeps its servers, and adding ours there.

Where the files are, by each client's own documentation: Claude Desktop's `claude_desktop_config.json`
(on Windows also inside the package folder of the Store's version), Claude Code's `.mcp.json` of a
project, Cursor's `mcp.json`, and the `mcp.json` of VS Code's user profile.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from billing_mcp.domain.errors import InvalidArgument, Refused, Unavailable

Client = Literal["claude-desktop", "claude-code", "cursor", "vscode"]


@dataclass(frozen=True, slots=True)
class Place:
    """The file of a client, the key under which its servers are, and what it wants done afterwards."""

    file: Path
    servers: str
    then: str


def place_of(client: Client, *, project: bool, folder: Path) -> Place:
    """Where a client keeps its servers: for the user, or for the project in `folder`.

    Raises InvalidArgument for a client that has no servers of a project.
    """
    if client == "claude-code":  # its file of the user holds state that a running session writes
        return Place(folder / ".mcp.json", "mcpServers", "Start `claude` in this folder and approve the server.")
    if client == "cursor":
        home = folder if project else Path.home()
        return Place(home / ".cursor" / "mcp.json", "mcpServers", "Open Cursor's settings, MCP, and switch it on.")
    if client == "vscode":
        file = folder / ".vscode" / "mcp.json" if project else _applications() / "Code" / "User" / "mcp.json"
        return Place(file, "servers", "Run the command `MCP: List Servers` and start it.")
    if project:
        raise InvalidArgument("Claude Desktop knows no projects", field="project", hint="Leave --project out.")
    return Place(_claude_desktop() / "claude_desktop_config.json", "mcpServers", "Quit Claude Desktop, and start it.")


def entry(client: Client, arguments: list[str]) -> dict[str, Any]:
    """The server as a client describes one; the command is where it is on this machine.

    A client that people start from a menu has another PATH than their shell.
    """
    script = Path(sys.executable).with_name("billing-mcp.exe" if sys.platform == "win32" else "billing-mcp")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "billing_mcp"]
    kind = {"type": "stdio"} if client in ("claude-code", "vscode") else {}
    return {**kind, "command": command[0], "args": [*command[1:], "serve", *arguments]}


def add_server(place: Place, name: str, server: Mapping[str, Any], *, replace: bool, now: datetime) -> Path | None:
    """Add a server to a client's file, and keep all else in it. Returns the backup, if there was a file.

    Raises InvalidArgument for a file that is not plain JSON: what we cannot read we would destroy.
    Raises Refused when another server has this name, and Unavailable when the file cannot be written.
    """
    file = place.file.resolve()
    try:
        text = file.read_text("utf-8-sig") if file.exists() else ""
        content = _parsed(text, place)
        servers = content.setdefault(place.servers, {})
        if not isinstance(servers, dict):
            raise _unreadable(place, f"its {place.servers!r} is no object")
        if name in servers and servers[name] != server and not replace:
            raise Refused(
                f"{place.file} has another server named {name}",
                code="server_exists",
                hint="Give ours another --name, or take its place with --force.",
            )
        servers[name] = dict(server)
        return _write(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n", now)
    except OSError as error:
        message = f"{place.file} cannot be written: {error.strerror}"
        raise Unavailable(message, hint="Paste the snippet there yourself.") from error


def _parsed(text: str, place: Place) -> dict[str, Any]:
    try:
        content = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise _unreadable(place, str(error)) from None
    if not isinstance(content, dict):
        raise _unreadable(place, "it is no object")
    return content


def _unreadable(place: Place, why: str) -> InvalidArgument:
    return InvalidArgument(
        f"{place.file} is not plain JSON ({why}), and was left as it is",
        code="unreadable_file",
        field="file",
        hint="Comments would be lost: paste the snippet there yourself.",
    )


def _write(file: Path, text: str, now: datetime) -> Path | None:
    """Replace the file in one step; the one that was there is kept beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    backup = None
    if file.exists():
        if file.read_text("utf-8-sig") == text:
            return None
        backup = file.with_name(f"{file.name}.{now:%Y%m%d-%H%M%S}.bak")
        shutil.copy2(file, backup)
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        new.write_text(text, "utf-8")
        new.chmod(file.stat().st_mode & 0o777 if backup else 0o600)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    return backup


def _applications() -> Path:
    """Where applications keep what belongs to a user."""
    if sys.platform == "win32":
        return Path(os.environ["APPDATA"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def _claude_desktop() -> Path:
    if sys.platform == "win32":  # the Store's version looks nowhere else
        packages = Path(os.environ["LOCALAPPDATA"]) / "Packages"
        found = list(packages.glob("Claude_*/LocalCache/Roaming/Claude"))
        if len(found) == 1:
            return found[0]
    return _applications() / "Claude"
