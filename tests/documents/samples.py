"""Invoices to set: a usual one in each language, a correction, a long one, and one of a customer who owes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

from billing_mcp.domain.accrual import ComponentCount, PlanSpan, accrue
from billing_mcp.domain.invoices import Facts, Invoice, line_amount
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.money import MICROS_PER_UNIT, parse_micros
from billing_mcp.domain.parties import Party
from billing_mcp.domain.plan_terms import Component, Plan, PlanBook
from billing_mcp.domain.tax import Customer, Tax, TaxBook, TaxRate, add_tax, tax_for

SELLER = Party(
    "Example Messaging GmbH",
    ("Musterstraße 1", "10115 Berlin"),
    country="DE",
    vat_id="DE136695976",
    contact=("billing@example.com", "www.example.com", "+49 30 1234567"),
    footer=(
        "Amtsgericht Berlin HRB 00000",
        "Managing director: Erika Mustermann",
        "IBAN DE02 1203 0000 0000 2020 51",
        "BIC BYLADEM1001",
    ),
)
GERMAN = Party("Müller & Söhne Versand GmbH", ("Frau Ingrid Weiß", "Königstraße 27a", "70173 Stuttgart"), country="DE")
FRENCH = Party(
    "Lettres Françaises SARL",
    ("À l'attention de Mme Élise Lefèvre", "12 rue de l'Œuvre", "69002 Lyon"),
    country="FR",
    vat_id="FR61954506077",
)
TAXES = TaxBook("DE", {"DE": (TaxRate(date(2020, 1, 1), 1900),), "FR": (TaxRate(date(2020, 1, 1), 2000),)})
PER_MAILBOX = Plan(
    "smtp_per_mailbox",
    "SMTP per mailbox",
    "",
    "EUR",
    parse_micros("29.00"),
    (Component("mailbox", "mailbox", "Mailboxes", parse_micros("0.35")),),
)
COUNTS = (ComponentCount("mailbox", date(2026, 1, 1), 120), ComponentCount("mailbox", date(2026, 3, 12), 1250))
LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitänspatentprüfungsgebühr"
MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)


def use(description: str, quantity: int, unit: str, price: str, channel: str = "sms", market: str = "") -> LineItem:
    """A line of messages; to a market, it is as a period's close makes it."""
    micros = parse_micros(price)
    facts = {"market": market, "tier": "growth" if quantity > 1000 else "standard"} if market else None
    return LineItem(channel, description, str(quantity), unit, micros, quantity * micros, "message", metadata=facts)


MESSAGES = (
    use("Email basic, DE, growth", 184_300, "basic", "0.00075", "email", "DE"),
    use("SMS segment, DE, growth", 2_418, "segment", "0.071", "sms", "DE"),
    use("SMS segment, US, standard", 960, "segment", "0.0079", "sms", "US"),
    use("RCS single, FR, standard", 312, "single", "0.06", "rcs", "FR"),
)
GERMAN_MESSAGES = (
    use("Email basic, FR, growth", 184_300, "basic", "0.00075", "email", "FR"),
    use("SMS segment, FR, growth", 2_418, "segment", "0.0585", "sms", "FR"),
    use("Einrichtung einer eigenen Absenderdomain mit SPF, DKIM und DMARC", 1, "unit", "49.00", "email"),
)


def plan_lines(plan: Plan = PER_MAILBOX) -> tuple[LineItem, ...]:
    """A month of a plan whose mailboxes grew on the 12th."""
    return accrue([PlanSpan(plan.plan_id, MARCH, APRIL)], COUNTS, PlanBook.of([plan]), anchor_day=1)


def invoice_of(
    lines: tuple[LineItem, ...], customer: Party = GERMAN, tax: Tax | None = None, credits_micros: int = 0
) -> Invoice:
    """A paid invoice of March 2026 with these lines, taxed as its customer is."""
    tax = tax or tax_for(Customer(customer.country, customer.vat_id), TAXES, APRIL)
    amount = sum(map(line_amount, lines))
    return Invoice(
        account_id="0190c0de-0000-7000-8000-000000000001",
        invoice_seq=3,
        invoice_id="inv_0190c0de",
        status="paid",
        currency="EUR",
        amount_micros=amount,
        paid_micros=amount,
        issued_at=datetime(2026, 4, 1, tzinfo=UTC),
        period_start=MARCH,
        period_end=APRIL,
        lines=lines,
        number="INV-2026-000123",
        credits_micros=credits_micros,
        tax_micros=add_tax(amount - credits_micros, tax),
        facts=Facts(SELLER, customer, "en", reference="PO 4711-B", tax=tax),
    )


def english() -> Invoice:
    """To a German customer, in English: German VAT, credits used, all settled."""
    return invoice_of((*plan_lines(), *MESSAGES), credits_micros=parse_micros("50.00"))


def german() -> Invoice:
    """To a French business, in German: reverse charge."""
    lines = plan_lines(replace(PER_MAILBOX, name="SMTP je Postfach"))
    invoice = invoice_of((*lines, *GERMAN_MESSAGES), FRENCH)
    return replace(invoice, facts=replace(invoice.facts, language="de"), number="INV-2026-000124")


def past_due() -> Invoice:
    """What the wallet could not pay in full."""
    invoice = english()
    return replace(invoice, status="past_due", paid_micros=invoice.amount_micros - parse_micros("120.00"))


def credit_note() -> Invoice:
    """Some of the segments of another invoice are given back."""
    back = use("SMS to Germany, tier growth", 400, "segment", "0.071")
    invoice = invoice_of((replace(back, quantity="-400", amount_micros=-back.amount_micros),))
    facts = replace(
        invoice.facts,
        corrects_number="INV-2026-000123",
        reason="Segments of undelivered messages were charged on 14 March",
    )
    return replace(invoice, kind="credit_note", corrects="inv_0190c0de", number="INV-2026-000131", facts=facts)


def many(count: int = 230) -> Invoice:
    """So many lines, all of them different."""
    return invoice_of(
        tuple(
            use(f"SMS campaign {number:03d}, Germany, tier growth", 1000 + 7 * number, "segment", f"0.0{700 + number}")
            for number in range(1, count + 1)
        )
    )


def crowded() -> Invoice:
    """Words longer than any column, and amounts of twelve digits."""
    most = 999_999_999_999 * MICROS_PER_UNIT + 990_000
    first = use(LONG_WORD * 2, 1, "unit", "999999999999.99")
    second = use("https://example.com/" + "a" * 150 + " and the rest", 1, "Rückerstattungsbetragseinheit", "123.456789")
    lines = (
        replace(first, period_start="2026-03-01", period_end="2026-04-01"),
        replace(second, quantity="123456789012.5", amount_micros=most // 3),
    )
    customer = replace(GERMAN, name=f"{LONG_WORD}gesellschaft mbH & Co. KG", vat_id="DE" + "1" * 60)
    invoice = invoice_of(lines, customer)
    return replace(invoice, facts=replace(invoice.facts, reference="Bestellung-" + "4711-" * 20, language="de"))


MARKUP = (
    '#read("/etc/passwd") #image("/etc/passwd") #sys.inputs $x^2$ \\n *b* <l> @r `c` //d /* e */ "f" {g} [h] &lt; %i'
)
"""What a template would make something of, were it a part of it."""


def hostile(text: str = MARKUP) -> Invoice:
    """The text in every field, each after the name of the field."""
    seller = Party(
        f"seller:{text}",
        (f"street:{text}", f"town:{text}"),
        country="DE",
        vat_id=f"seller-vat:{text}",
        contact=(f"contact:{text}",),
        footer=(f"register:{text}", f"bank:{text}"),
    )
    customer = replace(seller, name=f"customer:{text}", address=(f"to:{text}",), vat_id=f"vat:{text}")
    line = LineItem(
        component_type=text,
        description=f"description:{text}",
        quantity=f"quantity:{text}",
        unit=f"unit:{text}",
        unit_price_micros=350_000,
        amount_micros=350_000,
        source=text,
        period_start=f"start:{text}",
        period_end=f"end:{text}",
        metadata={text: text},
    )
    sent = [
        replace(line, description="", source="message", metadata={"market": "DE", name: f"{name}:{text}"})
        for name in ("market", "tier", "month")
    ]
    tax = Tax("domestic", 1900, text, f"note:{text}")
    facts = Facts(seller, customer, "en", f"reference:{text}", tax, f"reason:{text}", f"corrects:{text}")
    invoice = invoice_of((line, *sent[:2], line, sent[2]), GERMAN, tax)
    return replace(
        invoice, kind="credit_note", facts=facts, number=f"number:{text}", currency=text, account_id=text, corrects=text
    )


HOSTILE_FIELDS = (
    "seller street town seller-vat contact register bank customer to vat description quantity unit start end note "
    "reference reason corrects number market tier month"
)
"""The fields of `hostile` that are said in full somewhere."""
