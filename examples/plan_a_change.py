# Move to the other plan on the first of next month; a refusal is caught and read.
from datetime import date, timedelta

account_id = "0190c0de-0000-7000-8000-000000000002"
first = (date.today().replace(day=1) + timedelta(days=32)).replace(day=1)

try:
    billing.plan.change(account_id=account_id, plan_id="smtp_per_proxy", effective_date=first.isoformat())
except RuntimeError as error:
    print("refused:", error)

change = billing.plan.change(account_id=account_id, plan_id="smtp_per_mailbox", effective_date=first.isoformat())
change
