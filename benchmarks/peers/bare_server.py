"""The floor of a cold start: a server of the MCP SDK alone, with one trivial tool."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

server = MCPServer("bare")


@server.tool()
async def execute(code: str) -> str:
    """Return the code."""
    return code


if __name__ == "__main__":
    server.run()
