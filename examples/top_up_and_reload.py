# Fill the wallet from the card, and keep it filled; what came of the charge is told after the script has committed.
account_id = "0190c0de-0000-7000-8000-000000000001"

for method in billing.payment_methods.list(account_id=account_id)["items"]:
    print(method["brand"] or method["type"], method["last4"], method["status"], "default" * method["is_default"])

topup = billing.topups.create(account_id=account_id, amount="50.00")
print(f"{topup['total']} {topup['currency']} is asked for, {topup['tax']} of it VAT: {topup['status']}")

reload = billing.auto_reload.set(
    account_id=account_id, enabled=True, threshold="60.00", target="300.00", monthly_cap="600.00"
)
alerts = billing.alerts.set(account_id=account_id, amounts=["100.00"], percent_of_last_topup=[20])
{
    "reload": {name: reload[name] for name in ("state", "threshold", "target", "monthly_cap", "reloaded_this_month")},
    "alerts": [{name: each[name] for name in ("type", "value", "level", "low")} for each in alerts["thresholds"]],
}
