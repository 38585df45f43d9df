# What would a campaign cost, by text message and by RCS, and does the wallet cover it?
from decimal import Decimal

account_id = "0190c0de-0000-7000-8000-000000000004"
text = "Only this week: 20 % off all lamps, in our shops and online. Use LICHT20 at the checkout. Answer STOP to end."
customers = 1200

sms = billing.messages.quote(account_id=account_id, channel="sms", market="DE", text=text)
rcs = billing.messages.quote(account_id=account_id, channel="rcs", market="DE", text=text)
free = billing.balance.get(account_id=account_id)["free"]

offers = []
for quote in (sms, rcs):
    print(quote["why"])
    cost = customers * Decimal(quote["amount"])
    offers.append({"unit": quote["unit"], "each": quote["amount"], "campaign": str(cost), "covered": cost <= free})
offers
