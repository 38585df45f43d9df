"""Owns the names under which the parts of the HTTP server leave word for each other in a request's scope."""

from __future__ import annotations

CALLER = "billing_mcp.caller"
"""Whose credential it came with: a Principal, or the Platform."""
ACCOUNT_ID = "billing_mcp.account_id"
"""The account that a body was about."""
EXECUTION_ID = "billing_mcp.execution_id"
"""The id of the execution that it became."""
REQUEST_ID = "billing_mcp.request_id"
"""Its id."""
PUBLIC_URL = "billing_mcp.public_url"
"""The address that the world knows the server by, without a slash at its end."""
