"""Owns accepting messages: what one would cost now, and that its price is held; holding it back, and letting it go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, cast

from billing_mcp.domain import holds
from billing_mcp.domain.booking import Booking, MessageDecision, Scene, Usage, named, state_now, usage_key
from billing_mcp.domain.conversations import MOMENT, Place, expected, state_before
from billing_mcp.domain.errors import NotFound, Refused
from billing_mcp.domain.events import Event
from billing_mcp.domain.holds import PlaceHold
from billing_mcp.domain.ledger import LedgerTransaction
from billing_mcp.domain.messages import (
    ACCEPTED_EVENT,
    HOLD_LIFE,
    WAITING,
    Message,
    PauseMessage,
    ResumeMessage,
    SendMessage,
)
from billing_mcp.domain.pricing import PriceVersion, graduated_micros
from billing_mcp.domain.rating import EmailFacts, Facts, Rated, RcsFacts, SmsFacts, rate
from billing_mcp.domain.tiers import Standing, standing


@dataclass(frozen=True, slots=True)
class Quote:
    """What a message would be accepted at now."""

    message: Message
    why: str
    standing: Standing


def quote(scene: Scene, action: SendMessage, *, now: datetime) -> Quote:
    """What a message would be accepted at: the same rules that accept it.

    Raises InvalidArgument with code `not_priced`, and Refused with code `currency_mismatch`.
    """
    terms = _terms(scene, action, now)
    return Quote(_message(scene, action, terms, now, hold_id=None), terms.rated.why, terms.standing)


def send(scene: Scene, action: SendMessage, *, now: datetime) -> MessageDecision:
    """Accept a message: its price is held, and it leaves through the outbox."""
    if action.campaign_id is not None and scene.campaign is None:
        raise NotFound(
            f"campaign {action.campaign_id} does not exist",
            field="campaign_id",
            hint="A batch of messages begins one. Leave it out for a message that belongs to none.",
        )
    if scene.campaign == "paused":
        raise Refused(
            f"campaign {action.campaign_id} is paused",
            code="campaign_paused",
            field="campaign_id",
            hint="Resume it, or send the message outside of it.",
        )
    return _accept(scene, action, now, created_at=now)


class _Terms(NamedTuple):
    """What a message is accepted at."""

    version: PriceVersion
    standing: Standing
    rated: Rated
    thread: str | None
    place: Place
    a2p_micros: int | None
    p2a_micros: int | None
    mau_micros: int

    @property
    def amount_micros(self) -> int:
        """What is held: its price, and that of its recipient as an active user."""
        prices = {"alone": self.rated.amount_micros, "p2a_conversation": self.p2a_micros or 0}
        return prices.get(self.place, 0) + self.mau_micros


def _terms(scene: Scene, action: SendMessage, now: datetime) -> _Terms:
    book, facts = action.book, action.facts
    if book.currency != scene.wallet.currency:
        raise Refused(
            f"messages are priced in {book.currency}, the account's wallet is in {scene.wallet.currency}",
            code="currency_mismatch",
        )
    version = book.version_on(now.date())
    state = state_now(scene, facts.channel, book, now)
    stands = standing(state, scene.plan_tiers.get(facts.channel), book.tiers[facts.channel])
    rated = rate(version, facts, market=action.market, tier=stands.tier)
    bands = version.bands(facts.channel, action.market)
    thread = action.thread if _forms_conversations(version, facts, action.market) else None
    place: Place = "alone"
    a2p = p2a = None
    if thread is not None:
        place = expected(state_before(scene.thread, now + MOMENT), now)
        a2p = version.price_micros("rcs", "a2p_conversation", action.market, stands.tier)
        p2a = version.price_micros("rcs", "p2a_conversation", action.market, stands.tier)
    is_new = bands and place != "covered" and _is_new(scene, action.recipients)
    mau = graduated_micros(bands, state.active_users + 1) if is_new else 0
    return _Terms(version, stands, rated, thread, place, a2p, p2a, mau)


def _message(scene: Scene, action: SendMessage, terms: _Terms, now: datetime, *, hold_id: str | None) -> Message:
    facts, rated = action.facts, terms.rated
    return Message(
        account_id=scene.wallet.account_id,
        message_id=action.message_id,
        campaign_id=action.campaign_id,
        reference=action.reference,
        channel=facts.channel,
        message_type=facts.message_type,
        sender=action.sender,
        market=action.market,
        thread=terms.thread,
        facts=_told(facts),
        recipients=action.recipients,
        catalog_version=terms.version.version,
        tier=action.book.tiers[facts.channel][terms.standing.tier].name,
        rule_id=rated.rule_id,
        unit=rated.unit,
        quantity=rated.quantity,
        unit_price_micros=rated.unit_price_micros,
        a2p_micros=terms.a2p_micros,
        p2a_micros=terms.p2a_micros,
        expected=terms.place,
        mau_micros=terms.mau_micros,
        hold_id=hold_id,
        created_at=now,
        status="accepted",
        outcomes=WAITING * len(action.recipients),
    )


def pause(scene: Scene, action: PauseMessage, *, now: datetime) -> MessageDecision:
    """Hold a message back: what was held for it is given back. One that is on its way or settled stays as it is."""
    message = named(scene, action.message_id)
    booking = Booking(scene, None, now)
    if message.status != "accepted" or WAITING * len(message.outcomes) != message.outcomes:
        return booking.decision(message)
    booking.release(scene.hold, "released")
    paused = message._replace(status="paused", hold_id=None)
    booking.changed[message.message_id] = paused
    booking.add(paused.unit, paused, Usage(accepted=-len(paused.recipients)))
    return booking.decision(paused)


def resume(scene: Scene, action: ResumeMessage, *, now: datetime) -> MessageDecision:
    """Accept a message again at the prices of now: it is held anew, and leaves through the outbox."""
    message = named(scene, action.message_id)
    if message.status != "paused":
        return Booking(scene, None, now).decision(message)
    again = SendMessage(
        message_id=message.message_id,
        book=action.book,
        facts=facts_of(message),
        market=message.market,
        recipients=message.recipients,
        sender=message.sender,
        thread=message.thread,
        reference=message.reference,
        campaign_id=message.campaign_id,
    )
    return _accept(scene, again, now, created_at=message.created_at)


def facts_of(message: Message) -> Facts:
    """What a stored message was rated by."""
    facts = message.facts
    if message.channel == "email":
        return EmailFacts(len(message.recipients))
    if message.channel == "sms":
        encoding = cast("Literal['gsm7', 'ucs2', 'given']", facts["encoding"])
        return SmsFacts(encoding, int(facts["segments"]))
    suggestions = tuple(str(facts.get("suggestions", "")).split())
    return RcsFacts(
        cast("Literal['text', 'rich_card', 'carousel', 'media']", message.message_type),
        text_bytes=int(facts["text_bytes"]),
        suggestions=suggestions,
        conversational=bool(facts["conversational"]),
    )


def _told(facts: Facts) -> Mapping[str, str | int]:
    """What is stored of the facts: no content."""
    if isinstance(facts, EmailFacts):
        return {}
    if isinstance(facts, SmsFacts):
        return {"encoding": facts.encoding, "segments": facts.segments}
    told: dict[str, str | int] = {"text_bytes": facts.text_bytes, "conversational": int(facts.conversational)}
    return told | {"suggestions": " ".join(facts.suggestions)} if facts.suggestions else told


def _accept(scene: Scene, action: SendMessage, now: datetime, *, created_at: datetime) -> MessageDecision:
    """Hold what a message costs now, and let it leave."""
    terms = _terms(scene, action, now)
    if scene.status != "active":
        raise holds.not_active(scene.status)
    wallet, hold, held = scene.wallet, None, terms.amount_micros
    transactions: tuple[LedgerTransaction, ...] = ()
    if held:
        placed = holds.place(wallet, scene.status, PlaceHold(held, action.message_id, now + HOLD_LIFE), now=now)
        wallet, transactions, hold = placed.wallet, placed.transactions, placed.hold
    message = _message(scene, action, terms, created_at, hold_id=hold.hold_id if hold else None)
    named = {"campaign_id": message.campaign_id, "channel": message.channel, "reference": message.reference}
    payload = {name: each for name, each in named.items() if each}
    return MessageDecision(
        wallet=wallet,
        status=scene.status,
        transactions=transactions,
        message=message,
        hold=hold,
        messages=(message,),
        usage=((usage_key(message, message.unit, now), Usage(accepted=len(message.recipients))),),
        events=(Event(message.account_id, ACCEPTED_EVENT, payload, event_id=message.message_id),),
    )


def _forms_conversations(version: PriceVersion, facts: Facts, market: str) -> bool:
    return isinstance(facts, RcsFacts) and facts.conversational and version.region(market).rule == "standard"


def _is_new(scene: Scene, recipients: Sequence[str]) -> bool:
    return len(recipients) == 1 and recipients[0] not in scene.active
