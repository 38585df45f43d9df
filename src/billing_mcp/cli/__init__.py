"""The command line: `billing-mcp`, one module for each group of commands."""

from __future__ import annotations

from billing_mcp.cli.main import main

__all__ = ["main"]
