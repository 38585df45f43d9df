"""The bundle: the server as one `.mcpb` file, which Claude Desktop installs and asks its settings for."""
