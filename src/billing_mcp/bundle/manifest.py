"""Owns the manifest of the bundle, by MCPB 0.4: what Claude Desktop shows, asks for and starts."""

from __future__ import annotations

from typing import Any

LAUNCHER = "src/main.py"

_TOOL = "Run a short Python script over the billing functions, as one transaction."


def manifest(*, name: str, version: str, description: str, python: str) -> dict[str, Any]:
    """The manifest. Version 0.4 allows no fields but its own."""
    return {
        "manifest_version": "0.4",
        "name": name,
        "display_name": "Billing",
        "version": version,
        "description": description,
        "author": {"name": name},
        "server": {"type": "uv", "entry_point": LAUNCHER, "mcp_config": _command()},
        "tools": [{"name": "execute", "description": _TOOL}],
        "keywords": ["billing", "wallet", "ledger"],
        "compatibility": {"platforms": ["darwin", "linux", "win32"], "runtimes": {"python": python}},
        "user_config": {
            "database": _text(
                "Database",
                "A SQLite file, or postgresql://user@host/name. A path that is not full starts in your home folder. "
                "Empty: a file of your own.",
            ),
            "key": _text(
                "API key",
                "Bounds the agent to what the key was granted. Empty: all accounts of the database.",
            ),
            "read_only": {
                "type": "boolean",
                "title": "Read only",
                "description": "For the agent, no function exists that changes anything.",
                "required": False,
                "default": False,
            },
        },
    }


def _command() -> dict[str, Any]:
    """What the client starts. The launcher refuses fields without their sign: they got lost."""
    return {
        "command": "uv",
        "args": ["run", "--directory", "${__dirname}", LAUNCHER, "--read-only=${user_config.read_only}"],
        "env": {
            "BILLING_MCP_BUNDLE_DATABASE": "=${user_config.database}",
            "BILLING_MCP_BUNDLE_KEY": "=${user_config.key}",
        },
    }


def _text(title: str, description: str) -> dict[str, Any]:
    """A field that may hold a secret; without a default, its placeholder would stay when it is left empty."""
    return {
        "type": "string",
        "title": title,
        "description": description,
        "required": False,
        "default": "",
        "sensitive": True,
    }
