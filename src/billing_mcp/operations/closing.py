"""Owns closing billing periods: what a period used is settled, its invoice issued, and what is due next is noted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from billing_mcp.catalog.loader import Catalog
from billing_mcp.domain.clock import start_of
from billing_mcp.domain.closing import Settlement, Standing, invoice_of, settle
from billing_mcp.domain.events import INVOICE_ISSUED, Event, Json
from billing_mcp.domain.ids import derived_id
from billing_mcp.domain.invoices import Facts, Invoice
from billing_mcp.domain.ledger import LedgerTransaction
from billing_mcp.domain.money import format_micros
from billing_mcp.domain.parties import BillingDetails, Party
from billing_mcp.domain.periods import Period, period_of
from billing_mcp.domain.plans import Account
from billing_mcp.domain.tally import Tally
from billing_mcp.domain.tax import tax_for
from billing_mcp.operations.account import load_account
from billing_mcp.operations.balance_watch import look_at_balance
from billing_mcp.operations.credits import expire_credits, next_expiry, settle_credits
from billing_mcp.operations.debts import freeze

if TYPE_CHECKING:
    from billing_mcp.store.accounts import AccountRecord
    from billing_mcp.store.cycles import BillingCycle
    from billing_mcp.store.store import Transaction


@dataclass(frozen=True, slots=True)
class Drafted:
    """What was charged in the open period of a cycle, as far as it was added up before anything was locked."""

    cycle: BillingCycle
    tally: Tally


@dataclass(frozen=True, slots=True)
class Closed:
    """A period that was closed; without an invoice when nothing was used in it."""

    period: Period
    invoice: Invoice | None


@dataclass(frozen=True, slots=True)
class Expired:
    """Credits that have expired: so much left the wallet."""

    amount_micros: int


Step = Closed | Expired


async def draft(tx: Transaction, account_id: str, until: datetime) -> Drafted | None:
    """Add up what was charged in the open period, if it has ended by `until`: closing then reads only what is new.

    An account may have a million messages in a month, and is locked while its period is closed.
    """
    cycle, period = await _open_period(tx, account_id)
    if start_of(period.end) > until:
        return None
    return Drafted(cycle, await _tallied(tx, cycle, period, Tally()))


async def step(
    tx: Transaction, catalog: Catalog, account_id: str, until: datetime, *, drafted: Drafted | None = None
) -> Step | None:
    """Do what comes first of all that the account's calendar makes due by `until`: a period's end, or an expiry.

    At the same moment the period ends first: what was used in it was used before the credit expired. None when
    nothing is due. It is noted when something will be next. Raises NotFound.
    """
    account = await tx.accounts.get(account_id, lock=True)
    if account.status != "active":
        await look_at_balance(tx, catalog, account_id)  # money that nobody has seen yet pays the older debt first
    _, period = await _open_period(tx, account_id)
    ends, expires = start_of(period.end), await next_expiry(tx, account_id)
    first = ends if expires is None else min(ends, expires)
    done: Step | None = None
    if first <= until:
        if first == ends:
            done = Closed(period, await _close(tx, catalog, account_id, period, drafted))
        else:  # what expires later comes after a period that ends sooner
            done = Expired(await expire_credits(tx, account_id, until=first))
        await look_at_balance(tx, catalog, account_id)
    await schedule(tx, account_id)
    return done


async def close_ended(tx: Transaction, catalog: Catalog, account_id: str) -> list[Invoice]:
    """Close all periods that have ended, in order, and let expire what has expired. Returns the invoices.

    A change of plan settles days: it must find none of an earlier period.
    """
    issued = []
    while (done := await step(tx, catalog, account_id, tx.now)) is not None:
        if isinstance(done, Closed) and done.invoice is not None:
            issued.append(done.invoice)
    return issued


async def schedule(tx: Transaction, account_id: str) -> None:
    """Note when something is due next. The first plan of an account may end its open period sooner."""
    _, period = await _open_period(tx, account_id)
    ends, expires = start_of(period.end), await next_expiry(tx, account_id)
    await tx.cycles.due_next(account_id, ends if expires is None else min(ends, expires))


async def _open_period(tx: Transaction, account_id: str) -> tuple[BillingCycle, Period]:
    """How far the account is billed, and its open period: that ends on the next anchored day."""
    cycle = await tx.cycles.get(account_id)
    subscription = await tx.subscriptions.find(account_id)
    anchor_day = subscription.anchor_day if subscription else (await tx.accounts.get(account_id)).created_at.day
    begun = cycle.closed_through
    return cycle, Period(begun, period_of(begun, anchor_day=anchor_day).end)


async def _tallied(tx: Transaction, cycle: BillingCycle, period: Period, tally: Tally) -> Tally:
    pages = tx.ledger.charged(
        cycle.account_id,
        since=start_of(period.start),
        until=start_of(period.end),
        through_seq=cycle.through_seq,
        after_seq=tally.last_seq,
    )
    async for page in pages:
        tally.add(page)
    return tally


async def _close(
    tx: Transaction, catalog: Catalog, account_id: str, period: Period, drafted: Drafted | None
) -> Invoice | None:
    record, account = await load_account(tx, catalog, account_id)
    cycle = await tx.cycles.get(account_id)
    same = drafted is not None and (drafted.cycle.closed_through, drafted.cycle.through_seq) == (
        cycle.closed_through,
        cycle.through_seq,
    )
    tally = await _tallied(tx, cycle, period, drafted.tally if drafted and same else Tally())
    charged = tally.lines(period.start, period.end)
    owed = await _uninvoiced_micros(tx, account_id)
    settlement = settle(account, period, charged=charged, owed_micros=owed, now=tx.now)
    invoice = None
    if settlement is not None:
        posted = await tx.ledger.post([settlement.posting]) if settlement.posting else ()
        invoice = await _issue(tx, catalog, record, account, period, settlement, posted)
    subscription = await tx.subscriptions.find(account_id)
    if subscription is not None:
        await tx.subscriptions.save(subscription.settled(period.end))
    cycle = await tx.cycles.get(account_id)
    through_seq = (await tx.ledger.wallet(account_id)).last_seq
    await tx.cycles.save(replace(cycle, closed_through=period.end, through_seq=through_seq))
    return invoice


async def _issue(
    tx: Transaction,
    catalog: Catalog,
    record: AccountRecord,
    account: Account,
    period: Period,
    settlement: Settlement,
    posted: tuple[LedgerTransaction, ...],
) -> Invoice:
    account_id = record.account_id
    await settle_credits(tx, account_id)
    cycle = await tx.cycles.get(account_id)
    count = await tx.invoices.count(account_id)
    standing = Standing(
        uninvoiced_micros=await _uninvoiced_micros(tx, account_id),
        credits_micros=cycle.credits_used_micros,
        invoice_seq=count + 1,
        invoice_id=derived_id(tx.now, "invoice", account_id, count + 1),
        number=await next_number(tx, catalog),
        posting_seq=posted[-1].seq if posted else None,
    )
    facts = facts_of(record, catalog, period)
    invoice = invoice_of(account, period, settlement, standing, facts, now=tx.now)
    await tx.invoices.add(invoice)
    left = max(0, cycle.credits_used_micros - invoice.credits_micros)
    await tx.cycles.save(replace(cycle, credits_used_micros=left))
    await tx.outbox.add(issued_event(invoice))
    if invoice.status == "past_due" and record.status == "active" and posted:
        await freeze(tx, record, posted[-1])
    return invoice


async def _uninvoiced_micros(tx: Transaction, account_id: str) -> int:
    """What is owed, and on no invoice yet."""
    unpaid = sum(each.unpaid_micros for each in await tx.invoices.unpaid(account_id))
    return -await tx.ledger.receivable_micros(account_id) - unpaid


async def next_number(tx: Transaction, catalog: Catalog) -> str:
    """The next invoice number of the seller in this year (UTC)."""
    series, year = catalog.seller.series, tx.now.year
    return f"{series}{year}-{await tx.cycles.next_number(series, year):06d}"


def facts_of(record: AccountRecord, catalog: Catalog, period: Period) -> Facts:
    """What an invoice says of its parties, and of VAT: by the rate of the last day of the period."""
    seller, details = catalog.seller, record.details or BillingDetails(record.name)
    customer = record.customer
    last_day = period.end - timedelta(days=1)
    return Facts(
        seller=Party(seller.name, seller.address, seller.country, seller.vat_id, seller.contact, seller.footer),
        customer=Party(details.name, details.address, customer.country, customer.vat_id),
        language=details.language,
        reference=details.reference,
        tax=tax_for(customer, catalog.tax, last_day),
    )


def issued_event(invoice: Invoice) -> Event:
    """What the world is told of a new invoice, or credit note."""
    payload: Mapping[str, Json] = {
        "invoice_id": invoice.invoice_id,
        "number": invoice.number,
        "kind": invoice.kind,
        "corrects": invoice.corrects,
        "status": invoice.status,
        "amount": format_micros(invoice.amount_micros),
        "credits": format_micros(invoice.credits_micros),
        "tax": format_micros(invoice.tax_micros),
        "paid": format_micros(invoice.paid_micros),
        "currency": invoice.currency,
        "period_start": invoice.period_start.isoformat(),
        "period_end": invoice.period_end.isoformat(),
    }
    return Event(invoice.account_id, INVOICE_ISSUED, payload)
