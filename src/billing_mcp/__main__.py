"""`python -m billing_mcp` is the `billing-mcp` command."""

from billing_mcp.cli import main

if __name__ == "__main__":
    main()
