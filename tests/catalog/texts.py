"""A small catalog's text, and the ways to spoil it."""

from __future__ import annotations

CATALOG = """
currency = "USD"

[plans.smtp_per_mailbox]
name = "Mailboxes"
description = "By the mailbox."
price = "29.00"
components = [{component_type = "mailbox", unit = "mailbox", name = "Mailboxes", unit_price = "0.355"}]

[plans.smtp_per_proxy]
name = "Proxies"
description = "By the proxy."
price = "99"
components = []
tiers = {email = "more"}

[tiers]
missed_months = 3
email = [{name = "little", from_volume = 0}, {name = "more", from_volume = 1_000}]
sms = [
    {name = "few", from_volume = 0},
    {name = "some", from_volume = 500},
    {name = "many", from_volume = 5_000},
]
rcs = [{name = "flat", from_volume = 0}]

[[prices]]
version = "first"
valid_from = 2024-01-01

[prices.regions.world]
rule = "standard"
markets = ["*"]
basic_max_bytes = 100

[prices.regions.america]
rule = "us"
markets = ["US", "PR"]
segment_bytes = 200
rich_suggestions = ["reply"]

[prices.email]
basic = {"*" = ["0.001", "0.0009"]}
mau = {"*" = [{up_to = 10, price = "0.1"}, {up_to = 20, price = "0.05"}, {price = "0"}]}

[prices.sms.segment]
DE = ["0.08", "0.07", "0.06"]
FR = ["0.05", "0.04", "0.03"]

[prices.rcs]
basic = {"*" = ["0.05"]}
single = {"*" = ["0.07"], DE = ["0.08"]}
a2p_conversation = {"*" = ["0.10"]}
p2a_conversation = {"*" = ["0.09"]}
rich = {US = ["0.01"], PR = ["0.02"]}
rich_media = {"*" = ["0.03"]}

[[prices]]
version = "second"
valid_from = 2024-02-29

[prices.sms.segment]
DE = ["0.09", "0.08", "0.07"]
AT = ["0.11", "0.10", "0.09"]

[[prices]]
version = "third"
valid_from = 2025-01-01

[prices.regions.everywhere]
rule = "standard"
markets = ["*"]

[prices.sms.mau]
GB = [{price = "0.000001"}]
"""


def spoilt(*changes: tuple[str, str]) -> str:
    """The catalog with texts replaced, each of which stands in it once."""
    text = CATALOG
    for right, wrong in changes:
        assert text.count(right) == 1, right
        text = text.replace(right, wrong)
    return text


def line_of(text: str, part: str) -> int:
    """The line on which a part stands, which is there once."""
    assert text.count(part) == 1, part
    return text[: text.index(part)].count("\n") + 1
