"""Owns the fixed words of documents, in each language, and what names of ours are called there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from billing_mcp.documents.figures import Figures
from billing_mcp.domain.booking import ACTIVE_USER, MESSAGE
from billing_mcp.domain.ledger import LineItem
from billing_mcp.domain.parties import Language
from billing_mcp.domain.pricing import ANYWHERE
from billing_mcp.domain.tax import MEMBER_STATES, Tax, Treatment

_SHAPES = {
    "of_days": re.compile(r"(?P<name>.+), (?P<days>[0-9]{1,3}) of (?P<all>[0-9]{1,3}) days", re.DOTALL),
    "yearly": re.compile(r"(?P<name>.+), yearly", re.DOTALL),
    "minimum": re.compile(r"(?P<name>.+), up to the minimum fee", re.DOTALL),
    "above": re.compile(r"(?P<name>.+) above (?P<included>[0-9]+) included", re.DOTALL),
    "charges": re.compile(r"(?P<name>[0-9]{1,15}) charges to holds"),
    "taken_back": re.compile(
        r"(?P<name>.+): yearly discount taken back for (?P<days>[0-9]{1,3}) days from (?P<day>[0-9-]{10})", re.DOTALL
    ),
}
"""How descriptions of plans are made, from the outside in: each has another one, or a name, in it."""
_DIFFERENCES, _USERS = "Differences: ", "active users"
_TO_A_COUNTRY = re.compile(r"(,| \w+) \{country\}")
_CHANNELS = {"email": "Email", "sms": "SMS", "rcs": "RCS"}


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a document in one language. Texts in braces are filled in."""

    locale: str
    """Whose dates and figures are used: a language and a country, such as `de_DE`."""
    invoice: str
    credit_note: str
    invoice_number: str
    credit_note_number: str
    issued: str
    period: str
    customer_vat_id: str
    vat_id: str
    reference: str
    corrects: str
    reason: str
    marks: Mapping[str, str]
    """What is said of an invoice's status beside its title, where anything is."""
    columns: Mapping[str, str]
    """The heads of the table's columns; those of amounts name the currency."""
    net: str
    credits_used: str
    vat: Mapping[Treatment, str]
    vat_base: str
    total: str
    settled: str
    credited: str
    due: str
    nothing_due: str
    void: str
    to_credit: str
    pays_first: str
    page: str
    shapes: Mapping[str, str]
    """Descriptions of plans by their shape; where one is missing, it stays as it is stored."""
    notes: Mapping[str, str]
    """Why VAT is charged or not; empty where the sentence that is stored with the invoice is in this language."""
    names: Mapping[str, str]
    messages: Mapping[str, str]
    """What messages are called, by how what is stored of them begins."""
    sent: str
    """What others are called, by their channel."""
    differences: str
    users: str
    of_month: str
    tier: str
    units: Mapping[str, tuple[str, str]]
    """A unit by its name on a line: of one, and of any other number."""


_EN = Words(
    locale="en_GB",
    invoice="Invoice",
    credit_note="Credit note",
    invoice_number="Invoice number",
    credit_note_number="Credit note number",
    issued="Date of issue",
    period="Service period",
    customer_vat_id="Your VAT ID",
    vat_id="VAT ID {vat_id}",
    reference="Your reference",
    corrects="Corrects invoice {number}",
    reason="Reason: {reason}",
    marks={"past_due": "Past due", "draft": "Draft", "void": "Void"},
    columns={
        "position": "No.",
        "description": "Description",
        "period": "Period",
        "quantity": "Quantity",
        "price": "Unit price ({currency})",
        "amount": "Amount ({currency})",
    },
    net="Net amount",
    credits_used="Credits used",
    vat={
        "domestic": "VAT {rate}",
        "eu_consumer": "VAT {rate}, {country}",
        "reverse_charge": "VAT, reverse charge",
        "outside_eu": "VAT, outside its scope",
        "exempt": "VAT, exempt",
    },
    vat_base=" on {amount}",
    total="Total",
    settled="Settled by payments on account",
    credited="Credited to the account",
    due="Amount due",
    nothing_due="Nothing is due",
    void="Void: nothing is due",
    to_credit="To be credited",
    pays_first="What is due is taken from the next payment into the wallet.",
    page="Page {page} of {pages}",
    shapes={},
    notes={},
    names={},
    messages={
        "Email basic": "Email to {country}",
        "SMS segment": "SMS to {country}",
        "RCS basic": "RCS Basic to {country}",
        "RCS single": "RCS Single to {country}",
        "RCS rich": "RCS Rich to {country}",
        "RCS rich media": "RCS Rich Media to {country}",
        "RCS a2p conversation": "RCS conversation begun by you, {country}",
        "RCS p2a conversation": "RCS conversation begun by a user, {country}",
    },
    sent="{name} to {country}",
    differences="Differences: {name}",
    users="Active users, {name}, {country}",
    of_month="{name}, {month}",
    tier="{name}, tier {tier}",
    units={
        "month": ("month", "months"),
        "year": ("year", "years"),
        "mailbox": ("mailbox", "mailboxes"),
        "proxy": ("proxy", "proxies"),
        "unit": ("unit", "units"),
        "charge": ("charge", "charges"),
        "part": ("part", "parts"),
        "basic": ("message", "messages"),
        "single": ("message", "messages"),
        "rich": ("segment", "segments"),
        "rich_media": ("message", "messages"),
        "segment": ("segment", "segments"),
        "a2p_conversation": ("conversation", "conversations"),
        "p2a_conversation": ("conversation", "conversations"),
        "mau": ("active user", "active users"),
    },
)

_DIRECTIVE = "der Richtlinie 2006/112/EG"

_DE = Words(
    locale="de_DE",
    invoice="Rechnung",
    credit_note="Rechnungskorrektur",
    invoice_number="Rechnungsnummer",
    credit_note_number="Nummer der Korrektur",
    issued="Ausgestellt am",
    period="Leistungszeitraum",
    customer_vat_id="Ihre USt-IdNr.",
    vat_id="USt-IdNr. {vat_id}",
    reference="Ihre Referenz",
    corrects="Korrigiert die Rechnung {number}",
    reason="Grund: {reason}",
    marks={"past_due": "Überfällig", "draft": "Entwurf", "void": "Storniert"},
    columns={
        "position": "Pos.",
        "description": "Bezeichnung",
        "period": "Zeitraum",
        "quantity": "Menge",
        "price": "Einzelpreis ({currency})",
        "amount": "Betrag ({currency})",
    },
    net="Nettobetrag",
    credits_used="Verwendetes Guthaben",
    vat={
        "domestic": "Umsatzsteuer {rate}",
        "eu_consumer": "Umsatzsteuer {rate}, {country}",
        "reverse_charge": "Umsatzsteuer, Reverse Charge",
        "outside_eu": "Umsatzsteuer, nicht steuerbar",
        "exempt": "Umsatzsteuer, steuerfrei",
    },
    vat_base=" auf {amount}",
    total="Gesamtbetrag",
    settled="Durch Anzahlungen beglichen",
    credited="Dem Konto gutgeschrieben",
    due="Offener Betrag",
    nothing_due="Es ist nichts zu zahlen",
    void="Storniert: nichts zu zahlen",
    to_credit="Noch gutzuschreiben",
    pays_first="Der offene Betrag wird der nächsten Einzahlung auf das Guthabenkonto entnommen.",
    page="Seite {page} von {pages}",
    shapes={
        "of_days": "{name}, {days} von {all} Tagen",
        "yearly": "{name}, jährlich",
        "minimum": "{name}, bis zum Mindestentgelt",
        "above": "{name} über {included} enthaltene hinaus",
        "charges": "{name} Abbuchungen von Reservierungen",
        "taken_back": "{name}: Jahresrabatt zurückgenommen für {days} Tage ab {day}",
    },
    notes={
        "domestic": "Umsatzsteuer ({country}), fällig mit Vereinnahmung der Anzahlung, {law}",
        "eu_consumer": (
            "Umsatzsteuer des Landes, in dem der Kunde ansässig ist ({country}), erklärt im One-Stop-Shop, "
            f"Art. 58 und 65 {_DIRECTIVE}"
        ),
        "reverse_charge": f"Steuerschuldnerschaft des Leistungsempfängers, Art. 44 und 196 {_DIRECTIVE}",
        "outside_eu": (
            f"Nicht im Anwendungsbereich der EU-Umsatzsteuer: Leistungsort beim Kunden, Art. 44 und 58 {_DIRECTIVE}"
        ),
        "exempt": f"Von der Umsatzsteuer befreit, Art. 151 {_DIRECTIVE}",
        "law_eu": f"Art. 65 {_DIRECTIVE}",
        "law_elsewhere": "nach dem Recht des Landes",
    },
    names={
        "Mailboxes": "Postfächer",
        "Proxies": "Proxys",
        "Rounding of the invoice to cents": "Rundung der Rechnung auf Cent",
        "Unpaid, carried as receivable": "Unbezahlt, als Forderung geführt",
        "Taken off the debt": "Von der Forderung abgezogen",
    },
    messages={
        "Email basic": "E-Mail nach {country}",
        "SMS segment": "SMS nach {country}",
        "RCS basic": "RCS Basic nach {country}",
        "RCS single": "RCS Single nach {country}",
        "RCS rich": "RCS Rich nach {country}",
        "RCS rich media": "RCS Rich Media nach {country}",
        "RCS a2p conversation": "RCS-Konversation, von Ihnen begonnen, {country}",
        "RCS p2a conversation": "RCS-Konversation, vom Nutzer begonnen, {country}",
    },
    sent="{name} nach {country}",
    differences="Differenzen: {name}",
    users="Aktive Nutzer, {name}, {country}",
    of_month="{name}, {month}",
    tier="{name}, Stufe {tier}",
    units={
        "month": ("Monat", "Monate"),
        "year": ("Jahr", "Jahre"),
        "mailbox": ("Postfach", "Postfächer"),
        "proxy": ("Proxy", "Proxys"),
        "unit": ("Stück", "Stück"),
        "charge": ("Abbuchung", "Abbuchungen"),
        "part": ("Teil", "Teile"),
        "basic": ("Nachricht", "Nachrichten"),
        "single": ("Nachricht", "Nachrichten"),
        "rich": ("Segment", "Segmente"),
        "rich_media": ("Nachricht", "Nachrichten"),
        "segment": ("Segment", "Segmente"),
        "a2p_conversation": ("Konversation", "Konversationen"),
        "p2a_conversation": ("Konversation", "Konversationen"),
        "mau": ("aktiver Nutzer", "aktive Nutzer"),
    },
)

WORDS: Mapping[Language, Words] = {"en": _EN, "de": _DE}


def describe(line: LineItem, words: Words, figures: Figures) -> str:
    """A line's description in the document's language: of messages by where they went; else as it is stored.

    Of what is stored, names of ours and counted days are put into the language.
    """
    facts = line.metadata or {}
    if facts.get("market") and (line.source in (MESSAGE, ACTIVE_USER) or line.component_type in _CHANNELS):
        text = _messages(line, facts, words, figures)
        return _filled(words.differences, name=text) if line.description.startswith(_DIFFERENCES) else text
    return _translated(line.description, words, figures)


def _translated(description: str, words: Words, figures: Figures, *, depth: int = 0) -> str:
    for shape, pattern in words.shapes.items() if depth < len(_SHAPES) else ():
        if found := _SHAPES[shape].fullmatch(description):
            parts = found.groupdict()
            if day := parts.get("day"):
                parts["day"] = figures.written_day(day)
            return _filled(pattern, **parts | {"name": _translated(parts["name"], words, figures, depth=depth + 1)})
    return words.names.get(description, description)


def _messages(line: LineItem, facts: Mapping[str, str], words: Words, figures: Figures) -> str:
    # What a credit note gives back in part has a unit and a source of its own; its words still say what was sent.
    what = line.description.removeprefix(_DIFFERENCES).partition(", ")[0]
    users = line.source == ACTIVE_USER or what.endswith(_USERS)
    pattern = words.users if users else words.messages.get(what, words.sent)
    channel = _CHANNELS.get(line.component_type, line.component_type)
    if facts["market"] == ANYWHERE:
        pattern = _TO_A_COUNTRY.sub("", pattern)
    text = _filled(pattern, name=channel, country=figures.country(facts["market"]))
    if facts.get("month"):
        text = _filled(words.of_month, name=text, month=facts["month"])
    return _filled(words.tier, name=text, tier=facts["tier"]) if facts.get("tier") else text


def _filled(pattern: str, **texts: str) -> str:
    """The pattern with texts in its braces. Braces within the texts stay."""
    return re.sub(r"\{(\w+)\}", lambda found: texts[found[1]], pattern)


def unit_of(unit: str, quantity: str, words: Words) -> str:
    """A unit as it is called beside so many of it; as it is stored where we do not know it."""
    one, many = words.units.get(unit, (unit, unit))
    return one if quantity in ("1", "-1") else many


def note_of(tax: Tax, country: str, words: Words) -> str:
    """The sentence of the law for an invoice; `country` is the name of the place where the service is supplied."""
    note = words.notes.get(tax.treatment)
    if note is None or not tax.note:
        return tax.note
    law = words.notes["law_eu" if tax.country in MEMBER_STATES else "law_elsewhere"]
    return note.replace("{law}", law).replace("{country}", country)
