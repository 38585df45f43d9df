"""The billing functions, one module per namespace; REGISTRY lists them all."""

from __future__ import annotations

from billing_mcp.kernel.registry import Registry
from billing_mcp.operations.alerts import ALERTS
from billing_mcp.operations.auto_reload import AUTO_RELOAD
from billing_mcp.operations.balance import BALANCE
from billing_mcp.operations.charges import CHARGES
from billing_mcp.operations.credits import CREDITS
from billing_mcp.operations.current_plan import CURRENT_PLAN
from billing_mcp.operations.forecast import FORECAST
from billing_mcp.operations.holds import HOLDS
from billing_mcp.operations.invoices import INVOICES
from billing_mcp.operations.ledger import LEDGER
from billing_mcp.operations.messages import MESSAGES
from billing_mcp.operations.payment_methods import PAYMENT_METHODS
from billing_mcp.operations.plan import PLAN
from billing_mcp.operations.plans import PLANS
from billing_mcp.operations.tier import TIER
from billing_mcp.operations.topups import TOPUPS
from billing_mcp.operations.transactions import TRANSACTIONS
from billing_mcp.operations.usage import USAGE
from billing_mcp.operations.wallet_balance import WALLET_BALANCE

REGISTRY = Registry(
    [
        ALERTS,
        AUTO_RELOAD,
        BALANCE,
        CHARGES,
        CREDITS,
        CURRENT_PLAN,
        FORECAST,
        HOLDS,
        INVOICES,
        LEDGER,
        MESSAGES,
        PAYMENT_METHODS,
        PLAN,
        PLANS,
        TIER,
        TOPUPS,
        TRANSACTIONS,
        USAGE,
        WALLET_BALANCE,
    ]
)
