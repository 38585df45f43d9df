"""billing-mcp: a billing server that AI agents operate and finance teams trust."""

__version__ = "0.1.0"
