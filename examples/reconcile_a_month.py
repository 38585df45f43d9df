# Does February add up: opening balance, everything that moved it, closing balance?
from decimal import Decimal

account_id = "0190c0de-0000-7000-8000-000000000001"
since, until = "2026-02-01", "2026-03-01"


def all_transactions():
    page, found = 1, []
    while True:
        answer = billing.transactions.list(account_id=account_id, page=page, page_size=100)
        found += answer["items"]
        if len(found) >= answer["total"]:
            return found
        page += 1


def moved(transaction):
    amount = Decimal(transaction["amount"])
    return amount if transaction["direction"] == "credit" else -amount


wallet = billing.wallet_balance.get(account_id=account_id)
transactions = all_transactions()
later = [t for t in transactions if t["effective_at"] >= until]
month = [t for t in transactions if since <= t["effective_at"] < until]

closing = Decimal(wallet["balance"]) - sum(moved(t) for t in later)
opening = closing - sum(moved(t) for t in month)

print(f"{'opening':32} {opening:>12}")
for t in reversed(month):
    print(f"{t['effective_at'][:10]} {t['type']:8} {t['description'][:12]:12} {moved(t):>+12}")
print(f"{'closing':32} {closing:>12} {wallet['currency']}")

{"opening": str(opening), "closing": str(closing), "moved": str(closing - opening), "transactions": len(month)}
