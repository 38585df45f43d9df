# How do messages go this month, and what would the next tiers bring?
account_id = "0190c0de-0000-7000-8000-000000000004"

usage = billing.usage.get(account_id=account_id)
print(f"{usage['month']}: {usage['delivered']} delivered for {usage['amount']} {usage['currency']}")
for row in billing.usage.detailed(account_id=account_id, group_by="channel,unit")["items"]:
    counted = row["quantity"] + row["active_users"]
    print(f"  {row['channel']:<6} {row['unit']:<17} {counted:>6}  {row['amount']:>9}")

{
    tier["channel"]: {
        "tier": f"{tier['tier']}, by {tier['source']}",
        "missed": f"{tier['downgrade_counter']} of {tier['drops_after']} months",
        "next": tier["next_tier"] and f"{tier['next_tier']['name']}: {tier['next_tier']['missing']} units to go",
        "would_save": tier["next_tier"] and tier["next_tier"]["would_save"],
    }
    for tier in billing.tier.get(account_id=account_id)["items"]
}
