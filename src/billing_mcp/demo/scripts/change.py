account_id = "0190c0de-0000-7000-8000-000000000001"
plans = billing.plans.list(account_id=account_id)["items"]
other = next(plan for plan in plans if not plan["current"])

change = billing.plan.change(account_id=account_id, plan_id=other["plan_id"])
wallet = billing.wallet_balance.get(account_id=account_id)
print(change["previous_plan_id"], "->", change["target_plan_id"])
print(wallet["balance"], wallet["currency"], "left")
change
