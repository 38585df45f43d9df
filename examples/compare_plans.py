# Which plan suits this account best, at what it has today?
from decimal import Decimal

account_id = "0190c0de-0000-7000-8000-000000000001"
plans = billing.plans.list(account_id=account_id)["items"]

for plan in sorted(plans, key=lambda plan: Decimal(plan["monthly_total"])):
    units = ", ".join(f"{c['quantity']} x {c['unit']} at {c['unit_price']}" for c in plan["components"])
    mark = "  <- current" if plan["current"] else ""
    print(f"{plan['monthly_total']:>8} {plan['currency']}  {plan['name']}: {plan['price']} + {units}{mark}")

min(plans, key=lambda plan: Decimal(plan["monthly_total"]))["plan_id"]
