# What was the last charge for, line by line?
account_id = "0190c0de-0000-7000-8000-000000000001"
page = billing.transactions.list(account_id=account_id, page_size=10)
charge = next(item for item in page["items"] if item["type"] == "charge")

print(charge["effective_at"], charge["amount"], charge["currency"], charge["description"])
for line in charge["line_items"]:
    cents = line["amount_cents"]
    print(f"{cents // 100:>6}.{cents % 100:02d}  {line['description']}: {line['quantity']} {line['unit']}")
