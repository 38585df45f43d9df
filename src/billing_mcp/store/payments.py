"""Owns stored payment methods and top-ups, within one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Row, Select, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing_mcp.domain.clock import from_epoch_us, to_epoch_us
from billing_mcp.domain.errors import NotFound
from billing_mcp.domain.payments import Facts, Method, PaymentMethod, PaymentStatus
from billing_mcp.domain.topups import UNSETTLED, Origin, Refund, RefundStatus, TopUp, TopUpStatus
from billing_mcp.store.among import Only, among
from billing_mcp.store.changes import ChangeLog, PaymentChange, SettingChange
from billing_mcp.store.payment_tables import PaymentCustomerRow, PaymentMethodRow, RefundRow, TopUpRow
from billing_mcp.store.reading.fetch import fetch
from billing_mcp.store.tables import AccountRow, table

_ACCOUNTS = table(AccountRow)
_CUSTOMERS = table(PaymentCustomerRow)
_METHODS = table(PaymentMethodRow)
_TOPUPS = table(TopUpRow)
_REFUNDS = table(RefundRow)
_ACCOUNT_ID: Any = bindparam("account_id")
METHODS = select(_METHODS).where(_METHODS.c.account_id == _ACCOUNT_ID).order_by(_METHODS.c.payment_method_id)
"""All payment methods of an account, oldest first, by `account_id`."""
_METHODS_OF_ACCOUNT = (
    select(_ACCOUNTS.c.account_id, *[each for each in _METHODS.c if each.name != "account_id"])
    .outerjoin_from(_ACCOUNTS, _METHODS, _METHODS.c.account_id == _ACCOUNTS.c.account_id)
    .where(_ACCOUNTS.c.account_id == _ACCOUNT_ID)
    .order_by(_METHODS.c.payment_method_id)
)
_TOPUP = select(_TOPUPS).where((_TOPUPS.c.account_id == _ACCOUNT_ID) & (_TOPUPS.c.topup_id == bindparam("topup_id")))
_SAME = ("payment_method_id", "provider", "origin", "currency", "net_micros", "tax_micros", "tax_rate_bp",
         "tax_treatment", "payment_id", "answered", "transaction_id")  # fmt: skip
_METHOD_FACTS = ("status", "type", "reference", "brand", "last4", "exp_month", "exp_year", "mandate", "failure_code",
                 "setup_id", "setup_url")  # fmt: skip
_SUMS = ("received_micros", "refunded_micros", "withdrawn_micros", "reinstated_micros")


class Payments:
    """How accounts pay, and what they have paid."""

    def __init__(self, connection: AsyncConnection, changes: ChangeLog, only: Only = None) -> None:
        self._connection = connection
        self._changes = changes
        self._only = only

    async def customer(self, account_id: str, provider: str) -> str | None:
        """Who an account is at a provider."""
        c = _CUSTOMERS.c
        found = select(c.customer).where((c.account_id == account_id) & (c.provider == provider))
        customer: str | None = (await self._connection.execute(found)).scalar_one_or_none()
        return customer

    async def set_customer(self, account_id: str, provider: str, customer: str) -> None:
        """Remember who an account is at a provider."""
        values = {"account_id": account_id, "provider": provider, "customer": customer}
        await self._connection.execute(insert(_CUSTOMERS).values(**values))

    async def methods(self, account_id: str) -> list[PaymentMethod]:
        """All payment methods of an account, oldest first."""
        (rows,) = await fetch(self._connection, METHODS, account_id=account_id)
        return [method_of(row) for row in rows]

    async def methods_of_account(self, account_id: str) -> list[PaymentMethod]:
        """The same, in a single statement that tells an account without any from none. Raises NotFound."""
        (rows,) = await fetch(self._connection, _METHODS_OF_ACCOUNT, account_id=account_id)
        if not rows:
            raise NotFound(f"account {account_id} does not exist", field="account_id")
        return [method_of(row) for row in rows if row.payment_method_id is not None]

    async def method(self, account_id: str, payment_method_id: str) -> PaymentMethod:
        """One payment method. Raises NotFound."""
        for each in await self.methods(account_id):
            if each.payment_method_id == payment_method_id:
                return each
        raise NotFound(
            f"payment method {payment_method_id} does not exist",
            field="payment_method_id",
            hint="billing.payment_methods.list lists those of the account.",
        )

    async def methods_of_setup(self, provider: str, setup_id: str) -> list[PaymentMethod]:
        """The payment method that a set-up at the provider makes, if it is ours."""
        c = _METHODS.c
        found = select(_METHODS).where((c.provider == provider) & (c.setup_id == setup_id))
        return [method_of(row) for row in await self._connection.execute(found)]

    async def add_method(self, method: PaymentMethod) -> None:
        """Store a new payment method."""
        await self._connection.execute(insert(_METHODS).values(**_method_row(method)))
        self._changes.add(SettingChange(method.account_id, "payment_method", None, _told(method)))

    async def save_method(self, before: PaymentMethod, method: PaymentMethod) -> None:
        """Store what a payment method is now."""
        c = _METHODS.c
        named = (c.account_id == method.account_id) & (c.payment_method_id == method.payment_method_id)
        await self._connection.execute(update(_METHODS).where(named).values(**_method_row(method)))
        self._changes.add(SettingChange(method.account_id, "payment_method", _told(before), _told(method)))

    async def make_default(self, method: PaymentMethod, now: datetime) -> None:
        """What is charged when nothing else is said: this one, and no other."""
        for each in await self.methods(method.account_id):
            chosen = each.payment_method_id == method.payment_method_id
            if each.is_default != chosen:
                await self.save_method(each, replace(each, is_default=chosen, changed_at=now))

    async def add_topup(self, topup: TopUp, method: PaymentMethod, *, check_at: datetime) -> None:
        """Store a new top-up by a method; the provider is asked about it at `check_at` unless it has told by then."""
        values = _topup_row(topup) | {"check_at_us": to_epoch_us(check_at)}
        await self._connection.execute(insert(_TOPUPS).values(**values))
        change = PaymentChange(
            account_id=topup.account_id,
            payment_method_id=topup.payment_method_id,
            method=method.name,
            currency=topup.currency,
            amount_micros=topup.gross_micros,
            credit_micros=topup.net_micros,
        )
        self._changes.add(change)

    async def save_topup(self, topup: TopUp, *, check_at: datetime | None) -> None:
        """Store what a top-up is now."""
        c = _TOPUPS.c
        named = (c.account_id == topup.account_id) & (c.topup_id == topup.topup_id)
        at_us = None if check_at is None else to_epoch_us(check_at)
        await self._connection.execute(update(_TOPUPS).where(named).values(**_topup_row(topup), check_at_us=at_us))

    async def topup(self, account_id: str, topup_id: str) -> TopUp:
        """One top-up. Raises NotFound."""
        (rows,) = await fetch(self._connection, _TOPUP, account_id=account_id, topup_id=topup_id)
        for row in rows:
            return topup_of(row)
        raise NotFound(f"top-up {topup_id} does not exist", field="topup_id")

    async def topups_of_payment(self, provider: str, payment_id: str) -> list[TopUp]:
        """The top-up that a payment at the provider is for, if it is one of ours."""
        c = _TOPUPS.c
        return await self._topups(select(_TOPUPS).where((c.provider == provider) & (c.payment_id == payment_id)))

    async def topups(
        self,
        account_id: str,
        *,
        status: TopUpStatus | None = None,
        beyond: tuple[int, str] | None = None,
        limit: int | None = None,
    ) -> list[TopUp]:
        """The top-ups of an account, newest first; `beyond` is the last that was seen, by moment and id."""
        c = _TOPUPS.c
        found = select(_TOPUPS).where(c.account_id == account_id)
        if status is not None:
            found = found.where(c.status == status)
        if beyond is not None:
            at_us, topup_id = beyond
            found = found.where((c.created_at_us < at_us) | ((c.created_at_us == at_us) & (c.topup_id < topup_id)))
        return await self._topups(found.order_by(c.created_at_us.desc(), c.topup_id.desc()).limit(limit))

    async def add_refund(self, refund: Refund) -> None:
        """Store a refund that is asked for."""
        await self._connection.execute(insert(_REFUNDS).values(**_refund_row(refund)))

    async def save_refund(self, refund: Refund) -> None:
        """Store what a refund is now."""
        c = _REFUNDS.c
        named = (c.account_id == refund.account_id) & (c.refund_id == refund.refund_id)
        await self._connection.execute(update(_REFUNDS).where(named).values(**_refund_row(refund)))

    async def refund(self, account_id: str, refund_id: str) -> Refund:
        """One refund. Raises NotFound."""
        c = _REFUNDS.c
        found = select(_REFUNDS).where((c.account_id == account_id) & (c.refund_id == refund_id))
        for row in await self._connection.execute(found):
            return _refund_of(row)
        raise NotFound(f"refund {refund_id} does not exist", field="refund_id")

    async def refunds(self, account_id: str, topup_id: str | None = None) -> list[Refund]:
        """The refunds that were asked for of one top-up, or of all of an account, oldest first."""
        c = _REFUNDS.c
        found = select(_REFUNDS).where(c.account_id == account_id)
        if topup_id is not None:
            found = found.where(c.topup_id == topup_id)
        return [_refund_of(row) for row in await self._connection.execute(found.order_by(c.refund_id))]

    async def created_in(self, provider: str, since: datetime, until: datetime) -> list[TopUp]:
        """The top-ups of all accounts that were created in a half-open span, oldest first."""
        c = _TOPUPS.c
        within = (c.created_at_us >= to_epoch_us(since)) & (c.created_at_us < to_epoch_us(until))
        found = select(_TOPUPS).where((c.provider == provider) & within)
        return await self._topups(found.order_by(c.created_at_us, c.topup_id))

    async def count_created_at(self, account_id: str, moment: datetime) -> int:
        """How many top-ups of an account were created at a moment."""
        c = _TOPUPS.c
        then = (c.account_id == account_id) & (c.created_at_us == to_epoch_us(moment))
        return int((await self._connection.execute(select(func.count()).where(then))).scalar_one())

    async def pending_micros(self, account_id: str) -> int:
        """What is on its way to the wallet, net."""
        c = _TOPUPS.c
        unsettled = (c.account_id == account_id) & c.status.in_(sorted(UNSETTLED))
        found = select(func.coalesce(func.sum(c.net_micros), 0)).where(unsettled)
        return int((await self._connection.execute(found)).scalar_one())

    async def reloaded_micros(self, account_id: str, since: datetime) -> int:
        """What automatic reloads since a moment come to, net; those that failed do not count."""
        c = _TOPUPS.c
        made = (c.account_id == account_id) & (c.created_at_us >= to_epoch_us(since)) & (c.origin == "auto_reload")
        found = select(func.coalesce(func.sum(c.net_micros), 0)).where(made & (c.status != "failed"))
        return int((await self._connection.execute(found)).scalar_one())

    async def last_topup_micros(self, account_id: str) -> int | None:
        """What the last top-up that succeeded has credited, net."""
        c = _TOPUPS.c
        good = (c.account_id == account_id) & c.status.in_(["succeeded", "refunded"])
        found = select(c.net_micros).where(good).order_by(c.created_at_us.desc(), c.topup_id.desc()).limit(1)
        micros: int | None = (await self._connection.execute(found)).scalar_one_or_none()
        return micros

    async def unchecked_account_ids(self, provider: str, now: datetime) -> list[str]:
        """The accounts with top-ups of which a provider should have told by now."""
        due = _unchecked(provider, now) & among(_TOPUPS.c.account_id, self._only)
        found = select(_TOPUPS.c.account_id).where(due).distinct()
        return sorted((await self._connection.execute(found.limit(500))).scalars())

    async def unchecked(self, account_id: str, provider: str, now: datetime) -> list[TopUp]:
        """The top-ups of an account that are due to be asked about."""
        due = (_TOPUPS.c.account_id == account_id) & _unchecked(provider, now)
        return await self._topups(select(_TOPUPS).where(due).order_by(_TOPUPS.c.check_at_us))

    async def _topups(self, found: Select[Any]) -> list[TopUp]:
        return [topup_of(row) for row in await self._connection.execute(found)]


def _unchecked(provider: str, now: datetime) -> ColumnElement[bool]:
    c = _TOPUPS.c
    return c.check_at_us.is_not(None) & (c.check_at_us <= to_epoch_us(now)) & (c.provider == provider)


def method_of(row: Row[Any]) -> PaymentMethod:
    """The payment method of a row."""
    return PaymentMethod(
        account_id=row.account_id,
        payment_method_id=row.payment_method_id,
        provider=row.provider,
        known=Method(**{name: getattr(row, name) for name in _METHOD_FACTS}),
        is_default=bool(row.is_default),
        created_at=from_epoch_us(row.created_at_us),
        changed_at=from_epoch_us(row.changed_at_us),
        token=row.token,
    )


def topup_of(row: Row[Any]) -> TopUp:
    """The top-up of a row."""
    return TopUp(
        account_id=row.account_id,
        topup_id=row.topup_id,
        **{name: getattr(row, name) for name in _SAME if name not in ("origin", "answered")},
        origin=cast("Origin", row.origin),
        answered=bool(row.answered),
        created_at=from_epoch_us(row.created_at_us),
        changed_at=from_epoch_us(row.changed_at_us),
        facts=Facts(
            cast("PaymentStatus", row.stage),
            **{name: getattr(row, name) for name in _SUMS},
            failure_code=row.failure_code,
            action_url=row.action_url,
        ),
    )


def _refund_of(row: Row[Any]) -> Refund:
    return Refund(
        account_id=row.account_id,
        refund_id=row.refund_id,
        topup_id=row.topup_id,
        amount_micros=row.amount_micros,
        created_at=from_epoch_us(row.created_at_us),
        changed_at=from_epoch_us(row.changed_at_us),
        status=cast("RefundStatus", row.status),
        failure_code=row.failure_code,
    )


def _refund_row(refund: Refund) -> dict[str, Any]:
    same = ("account_id", "refund_id", "topup_id", "amount_micros", "status", "failure_code")
    return {
        **{name: getattr(refund, name) for name in same},
        "created_at_us": to_epoch_us(refund.created_at),
        "changed_at_us": to_epoch_us(refund.changed_at),
    }


def _method_row(method: PaymentMethod) -> dict[str, Any]:
    return {
        "account_id": method.account_id,
        "payment_method_id": method.payment_method_id,
        "provider": method.provider,
        **{name: getattr(method.known, name) for name in _METHOD_FACTS},
        "token": method.token,
        "is_default": method.is_default,
        "created_at_us": to_epoch_us(method.created_at),
        "changed_at_us": to_epoch_us(method.changed_at),
    }


def _topup_row(topup: TopUp) -> dict[str, Any]:
    return {
        "account_id": topup.account_id,
        "topup_id": topup.topup_id,
        **{name: getattr(topup, name) for name in _SAME},
        **{name: getattr(topup.facts, name) for name in _SUMS},
        "created_at_us": to_epoch_us(topup.created_at),
        "changed_at_us": to_epoch_us(topup.changed_at),
        "status": topup.status,
        "stage": topup.facts.status,
        "failure_code": topup.facts.failure_code,
        "action_url": topup.facts.action_url,
    }


def _told(method: PaymentMethod) -> str:
    """A payment method as a person reads it among effects: ids are left out, which no two runs share."""
    return " ".join([method.name, method.known.status] + (["default"] if method.is_default else []))
