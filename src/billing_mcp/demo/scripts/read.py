from decimal import Decimal

account_id = "0190c0de-0000-7000-8000-000000000001"
wallet = billing.wallet_balance.get(account_id=account_id)
plans = billing.plans.list(account_id=account_id)["items"]

current = next(plan for plan in plans if plan["current"])
cheapest = min(plans, key=lambda plan: Decimal(plan["monthly_total"]))
{
    "net_balance": wallet["net_balance"],
    "plan": current["plan_id"],
    "costs_a_month": current["monthly_total"],
    "cheapest_plan": cheapest["plan_id"],
    "saves_a_month": str(Decimal(current["monthly_total"]) - Decimal(cheapest["monthly_total"])),
}
