"""Owns the demo's messages: half a year of them in three channels, with receipts, conversations and tiers.

As in the rest of the past nothing is drawn by chance: who is written to, what is said and what fails follows from
the number of the message. A day is one transaction; everything in it happens at its own moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import count

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.ids import derived_id
from billing_mcp.domain.instructions import Instruction
from billing_mcp.domain.messages import DeliveryStatus, SendMessage
from billing_mcp.domain.money import MICROS_PER_UNIT
from billing_mcp.operations.drafts import Draft
from billing_mcp.operations.platform import open_account, receive_payment
from billing_mcp.operations.platform_messages import PlatformMessages, new_campaign
from billing_mcp.store.store import Store, Transaction

MESSAGES = 50_000
"""About how many messages the past has, unless fewer are wanted."""


@dataclass(frozen=True, slots=True)
class Sender:
    """An account that sends messages: how many in each month of the past, and in the one that runs."""

    account_id: str
    name: str
    emails: tuple[int, ...]
    sms: tuple[int, ...]
    rcs: tuple[int, ...]
    topup_eur: int


SENDER = Sender(
    account_id="0190c0de-0000-7000-8000-000000000004",
    name="Lantern Market",
    emails=(4_600, 6_000, 6_200, 6_600, 7_000, 7_400, 7_600),
    sms=(1_300, 1_150, 700, 650, 600, 600, 620),
    rcs=(300, 420, 620, 700, 800, 850, 900),
    topup_eur=220,
)
"""By email it gains the growth tier in its second month, by RCS in the third, and by SMS at once; but there its volume
falls, and after two missed months the tier is lost."""

_SMS = (
    "Your order has left our house. You get it tomorrow.",
    "Your code is 402 118. It is good for ten minutes.",
    "Ihr Paket ist da: Abholung bis 19 Uhr. Danke für Ihren Einkauf.",
    "Last day: 20 % off all lamps, in our shops and online. Use LICHT20 at the checkout. " * 2,
    "Дякуємо за замовлення! Воно вже в дорозі.",
)
_CHAT = "Hello! Your lamp is ready. Shall we send it, or do you come by?"
_MARKETS = ("DE", "DE", "AT", "DE", "FR", "DE", "GB")
_CARE, _NEWS = "lantern-care", "lantern-news"
_USERS = 700
_WEEK = (10, 11, 10, 15, 12, 6, 5)
"""How much a day weighs, from Monday on: offers go out on Thursdays."""
_DAY_STARTS, _DAY_LASTS = timedelta(hours=8), timedelta(hours=10)


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the past: how many messages by email, SMS and RCS, and the number of the first."""

    day: date
    number: int
    volumes: tuple[int, int, int]


def days_of(sender: Sender, months: list[date], until: datetime, messages: int) -> Iterator[Day]:
    """The days up to a moment, each with its share of the month that starts on one of these days."""
    number = 0
    for month, first in enumerate(months):
        following = (first + timedelta(days=31)).replace(day=1)
        weights = [_WEEK[(first + timedelta(days=past)).weekday()] for past in range((following - first).days)]
        for past in range(len(weights)):
            day = first + timedelta(days=past)
            if start_of(day) > until:
                return
            emails, sms, rcs = (
                _share(channel[month] * messages // MESSAGES, past, weights)
                for channel in (sender.emails, sender.sms, sender.rcs)
            )
            if emails or sms or rcs:
                yield Day(day, number, (emails, sms, rcs))
            number += emails + sms + rcs


async def open_sender(store: Store, sender: Sender, currency: str, now: datetime) -> None:
    """Open the account."""
    async with store.write(now) as tx:
        await open_account(tx, sender.account_id, sender.name, currency)


async def pay_sender(store: Store, sender: Sender, now: datetime) -> None:
    """Money for a month's messages comes in."""
    async with store.write(now) as tx:
        await receive_payment(tx, sender.account_id, sender.topup_eur * MICROS_PER_UNIT, provider="bank_transfer")


async def live_day(store: Store, catalog: Catalog, sender: Sender, day: Day, *, until: datetime) -> None:
    """Send a day's messages, with all that comes of them, up to a moment."""
    told = _Told(store, catalog, sender, day)
    number = day.number
    for tell, volume in zip((told.email, told.sms, told.rcs), day.volumes, strict=True):
        for index in range(volume):
            await tell(number + index, start_of(day.day) + _DAY_STARTS + _DAY_LASTS * index / volume)
        number += volume
    asked = sorted((each for each in told.asked if each.now <= until), key=lambda each: each.now)
    async with store.write(min(until, start_of(day.day + timedelta(days=1)))) as tx:
        await tx.ledger.carry_out(asked)


async def pause_a_campaign(store: Store, catalog: Catalog, sender: Sender, now: datetime, *, size: int) -> None:
    """Somebody sends an offer to some customers, sees a mistake in it, and holds it back."""
    ids = count(1)
    platform = PlatformMessages(
        store, lambda: now, catalog.book, ids=lambda now: derived_id(now, sender.account_id, "offer", next(ids))
    )
    campaign_id = derived_id(now, sender.account_id, "campaign")
    campaign = new_campaign(sender.account_id, campaign_id, "Offer for regular customers", now)
    drafts = [_sms(number, campaign_id) for number in range(size)]

    async def work(tx: Transaction) -> None:
        await platform.send_all(tx, sender.account_id, campaign, drafts)
        await platform.pause(tx, sender.account_id, campaign_id)

    async with store.write(now) as tx:
        await work(tx)


class _Told:
    """What is asked for a day, in the making: every instruction at its own moment."""

    def __init__(self, store: Store, catalog: Catalog, sender: Sender, day: Day) -> None:
        self.asked: list[Instruction] = []
        self._now = start_of(day.day)
        self._account_id = sender.account_id
        self._made = count(1)
        self._platform = PlatformMessages(store, lambda: self._now, catalog.book, ids=self._id)

    async def email(self, number: int, at: datetime) -> None:
        """Most go to one customer, some to a whole office."""
        office = [f"office{number % 40}-{desk}@example.com" for desk in range(3)] if number % 40 == 7 else []
        to, cc, bcc = (
            (office[:1], office[1:2], office[2:]) if office else ([f"user{number % 4000}@example.com"], [], [])
        )
        draft = Draft("email", to=to, cc=cc, bcc=bcc, sender="hello@lantern.example", reference=f"mail-{number}")
        await self._send(draft, number, at)

    async def sms(self, number: int, at: datetime) -> None:
        """In some languages and countries."""
        await self._send(_sms(number), number, at)

    async def rcs(self, number: int, at: datetime) -> None:
        """News to look at, and talks: some customers answer, and some write first."""
        to = _phone(number)
        market = _MARKETS[number % len(_MARKETS)]
        if number % 4 == 0:
            card = Draft("rcs", to=[to], market=market, type="rich_card", suggestions=["open_url"], sender=_NEWS)
            await self._send(card, number, at)
            return
        chat = Draft("rcs", to=[to], market=market, text=_CHAT, sender=_CARE, conversational=True)
        if number % 17 == 3:
            await self._hear(to, f"asks-{number}", at - timedelta(minutes=10))
        await self._send(chat, number, at)
        if number % 5 == 1:
            await self._hear(to, f"answers-{number}", at + timedelta(minutes=40))
            await self._send(chat, number, at + timedelta(minutes=45))

    async def _send(self, draft: Draft, number: int, at: datetime) -> None:
        platform = self._at(at)
        sending = platform.sending(self._account_id, draft, await platform.hashes())
        self.asked.append(sending)
        if not isinstance(sending.action, SendMessage):
            raise TypeError("what is sent is a message")
        message_id, delivered_at = sending.action.message_id, at + timedelta(seconds=20)
        status: DeliveryStatus = "failed" if number % 53 == 0 else "delivered"
        heard_at = at + timedelta(hours=6) if number % 29 == 0 else delivered_at
        for heard in [heard_at, heard_at + timedelta(minutes=1)] if number % 31 == 0 else [heard_at]:
            receipt = await self._at(heard).reporting(self._account_id, message_id, status, occurred_at=delivered_at)
            self.asked.append(receipt)

    async def _hear(self, user: str, event_id: str, at: datetime) -> None:
        platform = self._at(at)
        self.asked.append(
            await platform.hearing(self._account_id, sender=_CARE, user=user, event_id=event_id, kind="text")
        )

    def _at(self, moment: datetime) -> PlatformMessages:
        self._now = moment
        return self._platform

    def _id(self, now: datetime) -> str:
        return derived_id(now, self._account_id, "message", next(self._made))


def _share(total: int, past: int, weights: list[int]) -> int:
    """What of a month's total falls on a day that has so many days before it; each has its weight."""
    before, whole = sum(weights[:past]), sum(weights)
    return total * (before + weights[past]) // whole - total * before // whole


def _sms(number: int, campaign_id: str | None = None) -> Draft:
    return Draft(
        "sms",
        to=[_phone(number)],
        market=_MARKETS[number % len(_MARKETS)],
        text=_SMS[number % len(_SMS)],
        sender="LANTERN",
        reference=f"text-{number}",
        campaign_id=campaign_id,
    )


def _phone(number: int) -> str:
    return f"+4915155{number * 37 % _USERS:06d}"
