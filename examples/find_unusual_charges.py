# Which charges are far from what the account usually pays?
from decimal import Decimal

account_ids = [
    "0190c0de-0000-7000-8000-000000000001",
    "0190c0de-0000-7000-8000-000000000002",
    "0190c0de-0000-7000-8000-000000000003",
]
unusual = []
for account_id in account_ids:
    items = billing.transactions.list(account_id=account_id, page_size=100)["items"]
    charges = [item for item in items if item["type"] == "charge"]
    amounts = sorted(Decimal(charge["amount"]) for charge in charges)
    if len(amounts) < 3:
        continue
    usual = amounts[len(amounts) // 2]
    for charge in charges:
        amount = Decimal(charge["amount"])
        if abs(amount - usual) * 4 > usual:
            unusual.append(
                {
                    "account_id": account_id,
                    "when": charge["effective_at"][:10],
                    "amount": charge["amount"],
                    "usual": str(usual),
                    "what": charge["description"],
                }
            )

print(len(unusual), "charges differ by more than a quarter from the median of their account")
unusual
