# Which of these accounts have invoices past due, and how does each stand?
from decimal import Decimal

account_ids = [f"0190c0de-0000-7000-8000-00000000000{number}" for number in (1, 2, 3)]
report = []
for account_id in account_ids:
    past_due = [
        invoice for invoice in billing.invoices.list(account_id=account_id)["items"] if invoice["status"] == "past_due"
    ]
    wallet = billing.wallet_balance.get(account_id=account_id)
    plan = billing.current_plan.get(account_id=account_id)
    report.append(
        {
            "account_id": account_id,
            "plan": plan["plan_id"],
            "status": plan["status"],
            "past_due": str(sum(Decimal(invoice["amount"]) for invoice in past_due)),
            "net_balance": wallet["net_balance"],
        }
    )
report
