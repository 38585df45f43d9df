"""Owns the platform's routes of accounts: opening them, what they use, and what they are given."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.responses import Response

from billing_mcp.domain.accrual import ComponentCount
from billing_mcp.domain.clock import iso, to_epoch_us
from billing_mcp.domain.credits import Grant
from billing_mcp.domain.ids import new_id
from billing_mcp.domain.ledger import Wallet
from billing_mcp.domain.money import decimal_of, format_micros
from billing_mcp.faces.platform.desk import PREFIX, AccountId, AtDesk, Desk, Keyed, Reply
from billing_mcp.faces.platform.direct import hot_router
from billing_mcp.faces.platform.models import (
    Account,
    Accounts,
    AccountTax,
    Component,
    Components,
    Credit,
    GivenCredits,
    NewAccount,
    NewCredit,
    NewTax,
    PageAsked,
    Quantity,
)
from billing_mcp.operations.credits import as_of_now, shown_credit
from billing_mcp.operations.paging import cut, id_of, moment_and_id
from billing_mcp.operations.platform import ComponentType, count_components, open_account
from billing_mcp.operations.taxing import set_customer, shown_tax
from billing_mcp.store.accounts import AccountRecord
from billing_mcp.store.store import Transaction

router = hot_router()


@router.post("/accounts", status_code=201, response_model=Account)
async def create_account(given: NewAccount, asking: Keyed) -> Response:
    """Open an account with an empty wallet, in the catalog's currency.

    Errors: account_exists.
    """

    async def work(tx: Transaction) -> Reply:
        account_id = given.account_id or new_id(tx.now)
        account = await open_account(tx, account_id, given.name, asking.desk.currency)
        shown = _account(account, await tx.ledger.wallet(account_id), asking.desk)
        return Reply.of(shown, status=201, location=f"{PREFIX}/accounts/{account_id}")

    return await asking.in_one_transaction(given, work)


@router.get("/accounts", response_model=Accounts)
async def list_accounts(asked: Annotated[PageAsked, Query()], desk: AtDesk) -> dict[str, Any]:
    """All accounts with their balances, some at a time.

    Give `next_cursor` of an answer as `cursor` to go on, in the same order: no account is skipped or repeated.
    """
    beyond = None if asked.cursor is None else moment_and_id(asked.cursor)
    newest_first = asked.order == "newest"
    found = await desk.read(
        lambda tx: tx.accounts.page(beyond=beyond, newest_first=newest_first, limit=asked.limit + 1)
    )
    shown, next_cursor = cut(found, asked.limit, lambda last: _cursor(last[0]))
    return {"items": [_account(*each, desk) for each in shown], "next_cursor": next_cursor}


@router.get("/accounts/{account_id}", response_model=Account)
async def get_account(account_id: AccountId, desk: AtDesk) -> dict[str, Any]:
    """An account and what its wallet has.

    Errors: not_found.
    """
    state = await desk.read(lambda tx: tx.states.get(account_id))
    return _account(state.record, state.wallet, desk)


@router.put("/accounts/{account_id}/tax", response_model=AccountTax)
async def set_tax(account_id: AccountId, given: NewTax, asking: Keyed) -> Response:
    """Say who an account is for VAT from now on: VAT is added to what it pays into its wallet.

    In the seller's country it is that country's, in another member state of the EU the customer's, and none for a
    business there that has a VAT id (reverse charge), outside the EU, and where exempt.
    Errors: not_found.
    """

    async def work(tx: Transaction) -> Reply:
        account = await set_customer(
            tx, account_id, country=given.country, vat_id=given.vat_id, exempt=given.tax_exempt
        )
        return Reply.of(shown_tax(account, asking.desk.tax, tx.now.date()))

    return await asking.in_one_transaction(given, work)


@router.put("/accounts/{account_id}/components/{component_type}", response_model=Component)
async def count_component(
    account_id: AccountId,
    component_type: Annotated[ComponentType, Path(description="What plans charge by.")],
    given: Quantity,
    asking: Keyed,
) -> Response:
    """Say how many units an account has, from a day on. The last count of a day is the one that counts.

    Errors: not_found, period_settled.
    """

    async def work(tx: Transaction) -> Reply:
        day = given.effective_on or tx.now.date()
        await count_components(tx, account_id, component_type, given.quantity, day)
        return Reply.of(_component(ComponentCount(component_type, day, given.quantity)))

    return await asking.in_one_transaction(given, work)


@router.get("/accounts/{account_id}/components", response_model=Components)
async def list_components(account_id: AccountId, desk: AtDesk) -> dict[str, Any]:
    """Every count of an account with the day that it holds from, oldest first.

    Errors: not_found.
    """
    state = await desk.read(lambda tx: tx.states.get(account_id))
    return {"items": [_component(each) for each in state.counts]}


@router.post("/accounts/{account_id}/credits", status_code=201, response_model=Credit)
async def give_credit(account_id: AccountId, given: NewCredit, asking: Keyed) -> Response:
    """Give an account money of your own, such as for an outage. A key is for one account.

    It is used before the account's own money, and pays what is spent from then on. What is left of it at `expires_at`
    leaves the wallet.
    Errors: not_found, amount_too_large.
    """
    receipt = await asking.desk.money.credit(
        account_id,
        given.amount,
        reason=given.reason,
        priority=given.priority,
        expires_at=given.expires_at,
        **asking.under_key,
    )
    (transaction_id,) = receipt.transaction_ids
    shown = {
        "transaction_id": transaction_id,
        "account_id": account_id,
        "type": "credit",
        "amount": format_micros(given.amount),
        "currency": receipt.currency,
        "reason": given.reason,
        **_balances(receipt.available_micros, receipt.reserved_micros),
    }
    return Reply.of(shown, status=201).response(replayed=receipt.replayed)


@router.get("/accounts/{account_id}/credits", response_model=GivenCredits)
async def list_credits(account_id: AccountId, asked: Annotated[PageAsked, Query()], desk: AtDesk) -> dict[str, Any]:
    """The credits of an account with what is left of each, some at a time.

    Give `next_cursor` of an answer as `cursor` to go on, in the same order.
    Errors: not_found.
    """
    beyond = None if asked.cursor is None else id_of(asked.cursor)
    newest_first = asked.order == "newest"

    async def work(tx: Transaction) -> tuple[str, list[Grant]]:
        currency = (await tx.ledger.wallet(account_id)).currency
        found = await tx.credits.page(account_id, beyond=beyond, newest_first=newest_first, limit=asked.limit + 1)
        return currency, await as_of_now(tx, account_id, found)

    currency, found = await desk.read(work)
    shown, next_cursor = cut(found, asked.limit, lambda last: last.grant_id)
    return {"items": [shown_credit(each, currency) for each in shown], "next_cursor": next_cursor}


def _account(account: AccountRecord, wallet: Wallet, desk: Desk) -> dict[str, Any]:
    return {
        "account_id": account.account_id,
        "name": account.name,
        "status": account.status,
        "currency": wallet.currency,
        **_balances(wallet.available_micros, wallet.reserved_micros),
        "tax": shown_tax(account, desk.tax, desk.clock().date()),
        "created_at": iso(account.created_at),
    }


def _balances(available_micros: int, reserved_micros: int) -> dict[str, Decimal]:
    return {
        "free": decimal_of(available_micros),
        "reserved": decimal_of(reserved_micros),
        "total": decimal_of(available_micros + reserved_micros),
    }


def _component(count: ComponentCount) -> dict[str, Any]:
    return {
        "component_type": count.component_type,
        "quantity": count.quantity,
        "effective_on": count.effective_on.isoformat(),
    }


def _cursor(account: AccountRecord) -> str:
    return f"{to_epoch_us(account.created_at):x}-{account.account_id}"
