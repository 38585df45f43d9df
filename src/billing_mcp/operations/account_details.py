"""Owns who an account's invoices are addressed to, as the platform says it."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import TypedDict

from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.parties import BillingDetails, Language
from billing_mcp.operations.platform import storable_name
from billing_mcp.store.accounts import AccountRecord
from billing_mcp.store.store import Transaction

MAX_ADDRESS_LINES = 6
MAX_LINE_CHARS = 100


class AccountDetails(TypedDict):
    """Who the next invoices are addressed to. Until it is said, that is the account by its name."""

    name: str
    address: list[str]
    language: Language
    reference: str | None


async def set_details(
    tx: Transaction, account_id: str, *, name: str, address: Sequence[str], language: Language, reference: str | None
) -> AccountDetails:
    """Say who an account's invoices are addressed to from now on. Those that are issued stay as they are.

    Raises NotFound, and InvalidArgument for what cannot be printed, or does not fit on an invoice.
    """
    if len(address) > MAX_ADDRESS_LINES:
        raise InvalidArgument(
            f"an address has at most {MAX_ADDRESS_LINES} lines; got {len(address)}",
            field="address",
            hint="Leave out the country: it is that of the account's VAT.",
        )
    lines = tuple(check_line(line, field="address") for line in address)
    if reference is not None:
        reference = check_line(reference, field="reference")
    account = await tx.accounts.get(account_id, lock=True)
    await tx.accounts.set_details(account, BillingDetails(storable_name(name), lines, language, reference))
    return shown_details(await tx.accounts.get(account_id))


def check_line(text: str, *, field: str) -> str:
    """A line of an invoice, without what surrounds it. Raises InvalidArgument."""
    clean = text.encode("utf-8", "replace").decode().strip()
    if not clean or not clean.isprintable() or len(clean) > MAX_LINE_CHARS:
        raise InvalidArgument(
            f"{field} takes lines of 1 to {MAX_LINE_CHARS} characters that can be shown; got {ascii(text)[:80]}",
            field=field,
            hint="Give each line for itself.",
        )
    return clean


def shown_details(account: AccountRecord) -> AccountDetails:
    """Who its next invoices are addressed to."""
    details = account.details or BillingDetails(account.name)
    return {
        "name": details.name,
        "address": list(details.address),
        "language": details.language,
        "reference": details.reference,
    }
