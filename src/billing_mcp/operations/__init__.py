"""The billing functions, one module per namespace; REGISTRY lists them all."""

from __future__ import annotations

from billing_mcp.kernel.registry import Registry
from billing_mcp.operations.balance import BALANCE
from billing_mcp.operations.charges import CHARGES
from billing_mcp.operations.current_plan import CURRENT_PLAN
from billing_mcp.operations.holds import HOLDS
from billing_mcp.operations.invoices import INVOICES
from billing_mcp.operations.ledger import LEDGER
from billing_mcp.operations.messages import MESSAGES
from billing_mcp.operations.plan import PLAN
from billing_mcp.operations.plans import PLANS
from billing_mcp.operations.tier import TIER
from billing_mcp.operations.transactions import TRANSACTIONS
from billing_mcp.operations.usage import USAGE
from billing_mcp.operations.wallet_balance import WALLET_BALANCE

REGISTRY = Registry(
    [
        BALANCE,
        CHARGES,
        CURRENT_PLAN,
        HOLDS,
        INVOICES,
        LEDGER,
        MESSAGES,
        PLAN,
        PLANS,
        TIER,
        TRANSACTIONS,
        USAGE,
        WALLET_BALANCE,
    ]
)
