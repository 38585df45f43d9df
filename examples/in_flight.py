# What is set aside for work in flight, and what became of the money of one month, page by page.
account_id = "0190c0de-0000-7000-8000-000000000001"

balance = billing.balance.get(account_id=account_id)
in_flight = {}
page = billing.holds.list(account_id=account_id, limit=1)
while True:
    for hold in page["items"]:
        in_flight[hold["reference"]] = hold["remaining"]
    if page["next_cursor"] is None:
        break
    page = billing.holds.list(account_id=account_id, limit=1, cursor=page["next_cursor"])

month = billing.ledger.list(account_id=account_id, from_date="2026-02-01", to_date="2026-03-01")
{
    "free": balance["free"],
    "reserved": balance["reserved"],
    "free_share_percent": round(100 * balance["free"] / balance["total"], 1),
    "in_flight": in_flight,
    "february": {item["created_at"]: f"{item['type']} {item['amount']}" for item in month["items"]},
}
