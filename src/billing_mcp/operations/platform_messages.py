"""Owns messages as the platform uses them, and agents never do: sending, receipts, campaigns, and what is to leave.

What is sent and what receipts tell are instructions, committed together with others that wait. A campaign is
paused and resumed in a transaction of its own, all of it or nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from billing_mcp.domain.clock import Clock, iso
from billing_mcp.domain.conversations import InboundKind
from billing_mcp.domain.errors import BillingError, InvalidArgument, NotFound, Refused
from billing_mcp.domain.ids import new_id
from billing_mcp.domain.instructions import Instruction, Receipt
from billing_mcp.domain.messages import (
    ACCEPTED_EVENT,
    DeliveryStatus,
    MessageAction,
    PauseMessage,
    ReportDelivery,
    ReportInbound,
    ResumeMessage,
    SendMessage,
)
from billing_mcp.domain.pricing import Channel, PriceBook
from billing_mcp.operations.drafts import MAX_SEGMENTS, Draft, addresses, check_sender, facts_of
from billing_mcp.operations.platform import storable_name
from billing_mcp.operations.platform_holds import check_reference
from billing_mcp.operations.platform_keys import posting_key
from billing_mcp.operations.recipients import RecipientHash, normalised, recipient_hash
from billing_mcp.store.messages import Campaign
from billing_mcp.store.outbox import Work
from billing_mcp.store.store import Store, Transaction

MAX_EVENT_ID_CHARS = 100
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
Conversation = tuple[Literal["a2p", "p2a"], datetime]


class PlatformMessages:
    """The platform's messages on one store, at the prices of one book.

    Every method raises NotFound for an account or a message that is not there, InvalidArgument for what is
    malformed or has no price (`not_priced`), and Unavailable as holds do.
    """

    def __init__(self, store: Store, clock: Clock, book: PriceBook, *, ids: Callable[[datetime], str] = new_id) -> None:
        self._store = store
        self._clock = clock
        self._book = book
        self._new_id = ids
        self._hashes: RecipientHash | None = None

    async def hashes(self) -> RecipientHash:
        """The hashes of this server's recipients."""
        if self._hashes is None:
            async with self._store.read(self._clock()) as tx:
                self._hashes = await recipient_hash(tx)
        return self._hashes

    async def send(
        self, account_id: str, draft: Draft, *, idempotency_key: str = "", principal_id: str = ""
    ) -> Receipt:
        """Rate a message, hold its price and store it; it leaves through the outbox.

        Raises InsufficientFunds; Refused with code `account_not_active` or `campaign_paused`.
        """
        key = {"idempotency_key": idempotency_key, "principal_id": principal_id}
        return await self._store.submit(self.sending(account_id, draft, await self.hashes(), **key))

    def sending(
        self,
        account_id: str,
        draft: Draft,
        hashes: RecipientHash,
        *,
        idempotency_key: str = "",
        principal_id: str = "",
    ) -> Instruction:
        """What `send` carries out."""
        now = self._clock()
        check_reference(draft.reference)
        check_sender(draft.sender)
        if draft.campaign_id is not None:
            _checked_id(draft.campaign_id, "campaign_id")
        to = addresses(draft)
        recipients = tuple([hashes.recipient(account_id, draft.channel, each) for each in to])
        facts = facts_of(draft, recipients=len(to))
        thread = hashes.thread(account_id, draft.sender, to[0]) if draft.conversational else None
        action = SendMessage(
            message_id=self._new_id(now),
            book=self._book,
            facts=facts,
            market=draft.market,
            recipients=recipients,
            sender=draft.sender,
            thread=thread,
            reference=draft.reference,
            campaign_id=draft.campaign_id,
        )
        if not idempotency_key:
            return _instruction(account_id, action, now)
        text = hashes.content(draft.text) if draft.text is not None else None
        said = (draft.channel, draft.type, text, draft.segments, draft.text_bytes, *draft.suggestions)
        who = (draft.market, draft.sender, draft.conversational, draft.reference, draft.campaign_id)
        asked = ("message", *said, *who, *recipients)
        key = posting_key(idempotency_key, asked, principal_id)
        return Instruction(_checked_id(account_id, "account_id"), action, now, key)

    async def carry_out(self, instructions: Sequence[Instruction]) -> list[Receipt | BillingError]:
        """Carry out each for itself, all together: what `send` and `report` return or raise, in order."""
        return await self._store.submit_many(instructions)

    async def send_all(
        self, tx: Transaction, account_id: str, campaign: Campaign, drafts: Sequence[Draft]
    ) -> list[Receipt]:
        """Accept all of a campaign's messages in this transaction, or none: the first that is refused raises.

        InsufficientFunds says what all of them are short of; the `item` of any other error is the draft's number.
        """
        hashes = await self.hashes()
        await tx.accounts.get(account_id, lock=True)
        await tx.messages.open_campaign(campaign)
        instructions = []
        for number, draft in enumerate(drafts):
            try:
                instructions.append(self.sending(account_id, draft, hashes))
            except BillingError as error:
                error.item = number
                raise
        return [done.receipt for done in await tx.ledger.carry_out(instructions)]

    async def begin(self, tx: Transaction, campaign: Campaign) -> None:
        """Store a campaign, unless it is there already; messages can belong to it then."""
        await tx.accounts.get(campaign.account_id)
        await tx.messages.open_campaign(campaign)

    async def reporting(
        self,
        account_id: str,
        message_id: str,
        status: DeliveryStatus,
        *,
        occurred_at: datetime | None = None,
        recipient: str | None = None,
        segments: int | None = None,
        conversation: Conversation | None = None,
    ) -> Instruction:
        """What a delivery receipt carries out: it is for one `recipient`, or for all of them."""
        now = self._clock()
        _check_moment(occurred_at, "occurred_at")
        if conversation is not None:
            _check_moment(conversation[1], "started_at")
        if segments is not None and not 1 <= segments <= MAX_SEGMENTS:
            raise InvalidArgument(f"segments must be 1 to {MAX_SEGMENTS}; got {segments}", field="segments")
        who = None
        if recipient is not None:
            channel: Channel = "email" if "@" in recipient else "sms"
            address = normalised(channel, recipient, field="recipient")
            who = (await self.hashes()).recipient(account_id, channel, address)
        action = ReportDelivery(
            _checked_id(message_id, "message_id"),
            self._book,
            status,
            occurred_at or now,
            recipient=who,
            segments=segments,
            conversation=conversation,
        )
        return _instruction(account_id, action, now)

    async def hearing(
        self,
        account_id: str,
        *,
        sender: str,
        user: str,
        event_id: str,
        kind: InboundKind,
        occurred_at: datetime | None = None,
    ) -> Instruction:
        """What it carries out that a user wrote to a conversational agent, or tapped."""
        now = self._clock()
        _check_moment(occurred_at, "occurred_at")
        check_sender(sender)
        if not 1 <= len(event_id) <= MAX_EVENT_ID_CHARS or not event_id.isprintable():
            raise InvalidArgument(
                f"event_id is 1 to {MAX_EVENT_ID_CHARS} printable characters; got {ascii(event_id)[:80]}",
                field="event_id",
                hint="Use the provider's own id, so that the same event counts once.",
            )
        thread = (await self.hashes()).thread(account_id, sender, normalised("rcs", user, field="user"))
        action = ReportInbound(thread, self._book, f"user:{event_id}", kind, occurred_at or now)
        return _instruction(account_id, action, now)

    async def submit(self, instruction: Instruction) -> Receipt:
        """Carry out one instruction. Raises what it raises."""
        return await self._store.submit(instruction)

    async def pause(self, tx: Transaction, account_id: str, campaign_id: str) -> Campaign:
        """Hold back what of a campaign has not left, and give back what was held for it.

        What the platform has taken from the outbox goes on. Pausing again changes nothing.
        """
        await tx.accounts.get(account_id, lock=True)
        campaign = await tx.messages.campaign(account_id, campaign_id)
        if campaign.status == "running":
            waiting = await tx.outbox.withdraw_messages(account_id, campaign_id)
            pauses = [Instruction(account_id, PauseMessage(each), tx.now) for each in waiting]
            await tx.ledger.carry_out(pauses)
            await tx.messages.set_campaign_status(campaign, "paused", tx.now)
        return await tx.messages.campaign(account_id, campaign_id)

    async def resume(self, tx: Transaction, account_id: str, campaign_id: str) -> Campaign:
        """Accept again what was held back, at the prices of now: all of it, or nothing.

        Raises InsufficientFunds, with what all of it is short of, and Refused with code `campaign_not_paused`.
        """
        await tx.accounts.get(account_id, lock=True)
        campaign = await tx.messages.campaign(account_id, campaign_id)
        if campaign.status != "paused":
            raise Refused(f"campaign {campaign_id} is not paused", code="campaign_not_paused", field="campaign_id")
        held_back = [m for m in await tx.messages.of_campaign(account_id, campaign_id) if m.status == "paused"]
        again = [Instruction(account_id, ResumeMessage(each.message_id, self._book), tx.now) for each in held_back]
        await tx.ledger.carry_out(again)
        await tx.messages.set_campaign_status(campaign, "running", tx.now)
        return await tx.messages.campaign(account_id, campaign_id)

    async def take(self, tx: Transaction, *, limit: int, lease_s: int) -> list[Work]:
        """Lease up to `limit` accepted messages that are to leave, those that waited longest first.

        Whoever has delivered them says so with `done` before the lease ends; else others may take them.
        """
        until = tx.now + timedelta(seconds=lease_s)
        return await tx.outbox.take(ACCEPTED_EVENT, lease=secrets.token_hex(16), until=until, limit=limit)


def new_campaign(account_id: str, campaign_id: str, name: str, now: datetime) -> Campaign:
    """A campaign that runs. Raises InvalidArgument for what is no name."""
    return Campaign(account_id, campaign_id, storable_name(name) if name else "", "running", now, now)


def _check_moment(moment: datetime | None, field: str) -> None:
    """Raise InvalidArgument for what was before there were any messages: windows reach back from it."""
    if moment is not None and moment < _EARLIEST:
        raise InvalidArgument(
            f"{field} must not be before {iso(_EARLIEST)}; got {iso(moment)}",
            field=field,
            hint="Give the provider's own moment of it, in UTC.",
        )


def _instruction(account_id: str, action: MessageAction, now: datetime) -> Instruction:
    return Instruction(_checked_id(account_id, "account_id"), action, now)


def _checked_id(given: str, field: str) -> str:
    """The id. Raises NotFound for what no database can store: it would spoil the batch of all that wait with it."""
    if not given.isprintable():
        raise NotFound(f"{field} {ascii(given)[:80]} does not exist", field=field)
    return given


def describe(work: Work) -> dict[str, object]:
    """A message that is to leave, as it is shown to whoever took it."""
    named = {"account_id": work.account_id, "message_id": work.event_id, "campaign_id": None, "reference": ""}
    return {**named, **work.payload, "lease": work.lease, "leased_until": iso(work.due_at)}
