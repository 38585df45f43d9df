# Why was I charged? The last charge of a conversation, from the message to the cent.
account_id = "0190c0de-0000-7000-8000-000000000004"


def last_conversation():
    for page in range(1, 6):
        for item in billing.transactions.list(account_id=account_id, page=page, page_size=100)["items"]:
            if any(line["unit"].endswith("_conversation") for line in item["line_items"]):
                return item
    return None


charge = last_conversation()
told = billing.charges.explain(account_id=account_id, transaction_id=charge["transaction_id"])
for number, step in enumerate(told["steps"], start=1):
    print(f"{number}. {step}")
{"amount": told["amount"], "recomputed": told["recomputed"], "matches": told["matches"]}
