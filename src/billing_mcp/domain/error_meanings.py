"""Owns what each error code means, how to mend it, and whether to send the same again.

`errors.py` has the class of each code; here is what people read of it, on every face the same. What an
error says of its own occasion, with its values, is its message and hint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Retry = Literal["unchanged", "mended", "new_key"]

RETRIES: dict[Retry, str] = {
    "unchanged": "Yes, as it is: it happens once.",
    "mended": "Yes, once it is mended.",
    "new_key": "No: give what is new an idempotency key of its own.",
}
"""Whether to send it again under the same idempotency key. What was refused has used up none."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means: `title` names it in a few words, which never change.

    `served` is false for what only the command line meets.
    """

    title: str
    meaning: str
    mend: str
    retry: Retry = "mended"
    served: bool = True


MEANINGS: dict[str, Meaning] = {
    "account_exists": Meaning(
        "Account exists",
        "An account with this id is open already.",
        "Use the account that is there, or open one under another id.",
    ),
    "account_not_active": Meaning(
        "Account not active",
        "The account is past due, suspended or closed, so nothing new can be held on it and its plan cannot change.",
        "Settle what it owes first. What is held already can still be captured or released, and a plan be canceled.",
    ),
    "account_not_named": Meaning(
        "Account not named",
        "The credential is for several accounts, none of them is its default, and the request names none.",
        "Name the account in the path, or use a key with a default account.",
    ),
    "address_unavailable": Meaning(
        "Address unavailable",
        "The server cannot listen on this host and port: they are taken, or not of this machine.",
        "Choose others with --host and --port.",
        served=False,
    ),
    "agent_credential": Meaning(
        "Agent's credential",
        "What only the platform does was asked for with an agent's credential.",
        "Use a platform key. Agents are never given one.",
    ),
    "already_canceling": Meaning(
        "Already canceling",
        "The plan is canceled already, and ends with its billing period.",
        "Nothing needs to be done. billing.plan.resume undoes the cancel; cancel_immediately ends the plan now.",
    ),
    "amount_too_large": Meaning(
        "Amount too large",
        "With this amount a wallet or a hold would come to more than can be kept.",
        "Check the amount: it is in units of the currency, not in cents or micros.",
    ),
    "body_timeout": Meaning(
        "Body timeout",
        "The body of the request did not arrive in time.",
        "Send it again, all at once.",
        retry="unchanged",
    ),
    "body_too_large": Meaning(
        "Body too large",
        "The body of the request is larger than the server takes.",
        "Send less in one request.",
    ),
    "books_not_sound": Meaning(
        "Books not sound",
        "The hashes, sums or balances of the books do not agree with each other.",
        "Run `billing-mcp audit verify` to see where, and restore a backup that is sound.",
        served=False,
    ),
    "call_limit": Meaning(
        "Too many calls",
        "The script makes more calls than one script may.",
        "Ask for larger pages, or split the work into several scripts.",
    ),
    "campaign_not_paused": Meaning(
        "Campaign not paused",
        "Only a paused campaign can be resumed, and this one runs.",
        "Nothing needs to be done: its messages leave as they are accepted.",
    ),
    "campaign_paused": Meaning(
        "Campaign paused",
        "The campaign is paused: what it has not sent is held back, and nothing is added to it.",
        "Resume it, or send the message outside of it.",
    ),
    "card_number": Meaning(
        "Card number",
        "Something that was sent holds what is, or looks like, a payment card's number. None passes through this "
        "server: it was refused before anything was done, and is neither stored nor logged.",
        "Give the payment provider's token for the card instead. If it is no card number, write it so that none can "
        "be seen in it: a UUID, or letters between its digits.",
    ),
    "conflict": Meaning(
        "Conflict",
        "Another request is in the way of this one.",
        "Send the same again shortly.",
        retry="unchanged",
    ),
    "credential_in_query": Meaning(
        "Credential in the URL",
        "A credential was sent in the URL, where logs and histories keep it.",
        "Revoke it, and send its successor as the header `Authorization: Bearer …`.",
    ),
    "currency_mismatch": Meaning(
        "Currency mismatch",
        "The plan, or the message, is priced in another currency than the account's wallet is in.",
        "Choose a plan in the wallet's currency, which billing.plans.list tells; messages need a catalog in it.",
    ),
    "database_busy": Meaning(
        "Database busy",
        "The accounts or the database stayed busy with other changes for as long as a request may wait.",
        "Send the same again shortly.",
        retry="unchanged",
    ),
    "database_damaged": Meaning(
        "Database damaged",
        "The database's file is damaged.",
        "Move it away with its -wal and -shm files, and restore a backup.",
        served=False,
    ),
    "database_in_use": Meaning(
        "Database in use",
        "The database is open in a server or another command, and must not be replaced under it.",
        "Stop what uses it first.",
        served=False,
    ),
    "database_unavailable": Meaning(
        "Database unavailable",
        "The database cannot be reached or used right now. Nothing was changed.",
        "Send the same again shortly. Whoever runs the server checks the database, and its address in the settings.",
        retry="unchanged",
    ),
    "demo_incomplete": Meaning(
        "Demo incomplete",
        "Filling this database with the demo's past was interrupted.",
        "Give the demo another database.",
        served=False,
    ),
    "effective_date_in_past": Meaning(
        "Date in the past",
        "The day from which the change is to hold has passed. Days are those of UTC.",
        "Name today or a later day, or none: then it holds from now on.",
    ),
    "file_exists": Meaning(
        "File exists",
        "A file is there already, where the command would write one.",
        "Name another file, or give the option that replaces it.",
        served=False,
    ),
    "hold_not_due": Meaning(
        "Hold not due",
        "The hold is to expire, and its time has not come.",
        "Release it to give the money back now.",
    ),
    "hold_not_open": Meaning(
        "Hold not open",
        "The hold has been captured, was released, or has expired. A hold ends once.",
        "Place a new hold for more work.",
    ),
    "host_not_allowed": Meaning(
        "Host not allowed",
        "The server does not go by the name in the request's Host header.",
        "Use the server's own name. Whoever runs the server adds names with --allowed-hosts.",
    ),
    "idempotency_key_in_use": Meaning(
        "Idempotency key in use",
        "A request with this idempotency key is still running.",
        "Wait a second and send the same again: it gets the answer of the one that runs.",
        retry="unchanged",
    ),
    "idempotency_key_reused": Meaning(
        "Idempotency key reused",
        "The idempotency key belongs to another request, which has been carried out.",
        "Send that same request to get its answer again, or give a new one a key of its own.",
        retry="new_key",
    ),
    "insufficient_funds": Meaning(
        "Insufficient funds",
        "What is free in the wallet does not cover the amount. Nothing was charged or held.",
        "Put at least the shortfall into the wallet, then send the same again under the same idempotency key.",
    ),
    "internal_error": Meaning(
        "Internal error",
        "The server failed on this request. Its log says why.",
        "Send the same again under the same idempotency key. If it keeps failing, tell whoever runs the server "
        "the id of the request or execution.",
        retry="unchanged",
    ),
    "invalid_argument": Meaning(
        "Invalid argument",
        "An argument is not of its type, out of its range, or not one of the values that it may have.",
        "Correct the argument that is named. The documentation of the call says what it takes.",
    ),
    "invalid_catalog": Meaning(
        "Invalid catalog",
        "The price catalog is not TOML, or does not say what it must.",
        "Correct it on the line that is named; billing-mcp catalog check FILE lists all that is wrong.",
        served=False,
    ),
    "invalid_database": Meaning(
        "Invalid database",
        "This names no database that can be used: neither a SQLite file of billing-mcp nor PostgreSQL.",
        "Give the path of a file, or postgresql://user@host/name.",
        served=False,
    ),
    "invalid_key": Meaning(
        "Invalid key",
        "The key is none of this server.",
        "Check that it was copied whole, or have a new one made.",
    ),
    "invalid_link": Meaning(
        "Invalid link",
        "The link to a document was not made by this server, or was changed on its way.",
        "Copy the whole link, or ask for a new one: billing.invoices.get has it as download_url.",
    ),
    "invalid_logo": Meaning(
        "Invalid logo",
        "The file of the logo on invoices is no PNG or SVG that can be set, or has more in it than shapes.",
        "Save it as PNG, or as SVG with its texts turned into paths and nothing embedded, of at most 1 MB.",
        served=False,
    ),
    "invalid_signature": Meaning(
        "Invalid signature",
        "What arrived as a payment provider's webhook is not signed by it, or was so too long ago. It was not read.",
        "Check the signing secrets in the settings, and this server's clock. The provider sends it again by itself.",
    ),
    "invalid_token": Meaning(
        "Invalid token",
        "The token's signature, issuer, audience or form is not good here.",
        "Get another from the authorization server, for this server.",
    ),
    "invoice_not_correctable": Meaning(
        "Invoice not correctable",
        "It is a credit note itself, or everything on the invoice has been given back.",
        "Name the invoice that is to be corrected; its credit notes tell what has been given back.",
    ),
    "issuer_unavailable": Meaning(
        "Issuer unavailable",
        "The authorization server's keys cannot be fetched, so no token can be checked. Nothing was changed.",
        "Send the same again shortly.",
        retry="unchanged",
    ),
    "jail_unavailable": Meaning(
        "Jail unavailable",
        "Workers must be jailed by the settings, and this machine does not let them be.",
        "Run `billing-mcp doctor` to see what is missing.",
        served=False,
    ),
    "key_expired": Meaning(
        "Key expired",
        "The key was good until a moment that has passed.",
        "Have a new key made.",
    ),
    "key_missing": Meaning(
        "Key missing",
        "The request comes with no credential, or not in the way it must.",
        "Send the key once, as the header `Authorization: Bearer …`.",
    ),
    "key_revoked": Meaning(
        "Key revoked",
        "The key has been revoked, for good.",
        "Have a new key made.",
    ),
    "limit_exceeded": Meaning(
        "Limit exceeded",
        "The script uses more than one script may.",
        "Do less in one script.",
    ),
    "link_expired": Meaning(
        "Link expired",
        "The link to a document was good for a short time, which is over.",
        "Ask for a new one: billing.invoices.get has it as download_url.",
    ),
    "memory_limit": Meaning(
        "Too much memory",
        "The script uses more memory than one script may.",
        "Keep less: work page by page, and keep sums instead of rows.",
    ),
    "method_not_allowed": Meaning(
        "Method not allowed",
        "There is something under this path, but not for this method.",
        "Use one of the methods that the Allow header names.",
    ),
    "missing_argument": Meaning(
        "Missing argument",
        "The call lacks an argument that it needs.",
        "Give the argument that is named.",
    ),
    "no_account_granted": Meaning(
        "No account granted",
        "The token grants no account, or its default is none of those that it grants.",
        "Have the authorization server put the accounts into the token.",
    ),
    "no_payment_method": Meaning(
        "No payment method",
        "The account has no payment method that can be charged, or none that is the default.",
        "Add one with billing.payment_methods.add, or name one of billing.payment_methods.list.",
    ),
    "no_plan": Meaning(
        "No plan",
        "The account has no plan that could be canceled.",
        "Nothing needs to be done. billing.plan.change starts a plan.",
    ),
    "not_a_test_database": Meaning(
        "Not a test database",
        "The time of this database is the system's: only one for demos and tests has a clock that can be advanced.",
        "Start one in a database without accounts, billing-mcp clock start, or try the demo's: billing-mcp demo.",
        served=False,
    ),
    "not_found": Meaning(
        "Not found",
        "There is no such thing, or none that this credential may know of.",
        "Check the id, and that the credential is granted the account.",
    ),
    "not_json": Meaning(
        "Not JSON",
        "The body of the request cannot be read as JSON.",
        "Send one JSON object, in UTF-8.",
    ),
    "not_priced": Meaning(
        "Not priced",
        "The price catalog has no price for this unit of this channel in this market, or none for this day.",
        "Send where it is sold, or add the price to the catalog: billing-mcp catalog show lists all of them.",
    ),
    "not_refundable": Meaning(
        "Not refundable",
        "The payment provider will not refund this much: it has not succeeded, or less than that is left of it.",
        "Look the payment up, and refund at most what is left.",
    ),
    "not_sold_yearly": Meaning(
        "Not sold by the year",
        "The plan has no price for a year, so it cannot be paid by the year.",
        "Ask for billing_period monthly, or choose a plan with a yearly price: billing.plans.list tells them.",
    ),
    "nothing_pending": Meaning(
        "Nothing pending",
        "No change or cancel of the plan is pending that could be undone.",
        "Nothing needs to be done. billing.current_plan.get tells the plan as it is.",
    ),
    "origin_not_allowed": Meaning(
        "Origin not allowed",
        "A page of this origin may not call the server.",
        "Call it from elsewhere. Whoever runs the server adds origins with --allowed-origins.",
    ),
    "outcome_unknown": Meaning(
        "Outcome unknown",
        "The database went away at the commit. Nobody knows whether the change was made.",
        "Send the same again under the same idempotency key. Without a key, look first.",
        retry="unchanged",
    ),
    "output_limit": Meaning(
        "Too much output",
        "The script prints more than one script may.",
        "Print only what is needed, and return the result as the script's value.",
    ),
    "payment_method_not_active": Meaning(
        "Payment method not active",
        "Only an active payment method can be charged: this one is still being added, has failed, or was removed.",
        "Name another one of billing.payment_methods.list, or add one.",
    ),
    "payment_refused": Meaning(
        "Payment refused",
        "The payment provider will not take this payment at all: its method is gone, or the amount is not allowed.",
        "Add another payment method, or choose another amount.",
    ),
    "period_settled": Meaning(
        "Period settled",
        "The days that this would change have been charged already.",
        "Date it on the first day that is not settled, or later.",
    ),
    "permission_denied": Meaning(
        "Permission denied",
        "The credential is granted the account, but not this kind of call.",
        "Use a key with the permission that is named.",
    ),
    "plan_unchanged": Meaning(
        "Plan unchanged",
        "The account is on this plan already.",
        "Nothing needs to be done. billing.plan.resume undoes a change or cancel that is pending.",
    ),
    "platform_credential": Meaning(
        "Platform's credential",
        "A billing function was called with a credential of the platform, which calls none.",
        "Use an agent's key that is granted the account.",
    ),
    "positional_argument": Meaning(
        "Positional argument",
        "A billing function was given an argument without its name.",
        "Name every argument, as in account_id=….",
    ),
    "provider_refused_us": Meaning(
        "Provider refused us",
        "The payment provider does not accept this server's credentials, or what it asked. No money was moved by it.",
        "The operator checks the API key and what it is allowed to do; the log has the provider's own code.",
    ),
    "provider_unavailable": Meaning(
        "Provider unavailable",
        "The payment provider did not answer in time. Nobody knows yet whether it did what it was asked.",
        "Nothing needs to be done: it is looked up, and nothing is charged twice.",
        retry="unchanged",
    ),
    "queue_full": Meaning(
        "Queue full",
        "As many instructions wait already as may. Nothing was changed.",
        "Send the same again in a second.",
        retry="unchanged",
    ),
    "rate_limited": Meaning(
        "Rate limited",
        "The credential or address has made as many requests as it may in this time. Nothing was changed.",
        "Wait for as many seconds as the Retry-After header says, then send the same again.",
        retry="unchanged",
    ),
    "read_only": Meaning(
        "Read-only",
        "The function may change something, and the credential or the server is read-only.",
        "Use a key that is not read-only.",
    ),
    "refused": Meaning(
        "Refused",
        "The state of the account does not allow this now.",
        "Look at the account first; the message says what stands in the way.",
    ),
    "route_not_found": Meaning(
        "Route not found",
        "There is nothing under this path.",
        "Check the path against the documentation of the API.",
    ),
    "sandbox_crashed": Meaning(
        "Sandbox crashed",
        "The script broke its sandbox, and was stopped. Nothing was changed.",
        "Write the script in a simpler way.",
    ),
    "schema_outdated": Meaning(
        "Schema outdated",
        "The database was made by another version of this program.",
        "Whoever runs the server runs `billing-mcp db upgrade`, or installs the version that the database is of.",
    ),
    "script_error": Meaning(
        "Script error",
        "The script raised an exception of its own, or its value cannot be returned. Nothing was changed.",
        "Correct the line that is named.",
    ),
    "script_too_long": Meaning(
        "Script too long",
        "The script has more bytes than are taken.",
        "Leave out what is not needed, or split it into several scripts.",
    ),
    "server_busy": Meaning(
        "Server busy",
        "All workers that run scripts stayed busy for as long as a request may wait, or too many documents wait to be "
        "set.",
        "Send the same again shortly.",
        retry="unchanged",
    ),
    "server_exists": Meaning(
        "Server exists",
        "The client's file has another server of this name.",
        "Choose another --name, or take its place with --force.",
        served=False,
    ),
    "settings_lost": Meaning(
        "Settings lost",
        "The client did not pass on the settings of the bundle.",
        "Save its settings again, or update the client.",
        served=False,
    ),
    "syntax_error": Meaning(
        "Syntax error",
        "The script is not Python, or uses what the sandbox does not run.",
        "Correct the line that is named.",
    ),
    "time_limit": Meaning(
        "Too much time",
        "The script takes longer than one script may.",
        "Do less in one script.",
    ),
    "token_expired": Meaning(
        "Token expired",
        "The token was good until a moment that has passed.",
        "Get another from the authorization server.",
    ),
    "too_many_payment_methods": Meaning(
        "Too many payment methods",
        "The account has as many payment methods as an account may have.",
        "Use one of those that it has; the platform can remove others.",
    ),
    "too_many_webhooks": Meaning(
        "Too many webhooks",
        "The account has as many webhook endpoints as it may.",
        "Remove one first, or let one of them hear of more events.",
    ),
    "type_error": Meaning(
        "Type error",
        "The script cannot work: a type checker has found a mistake before it ran.",
        "Correct the line that is named.",
    ),
    "unavailable": Meaning(
        "Unavailable",
        "A part of the system is out of reach or not ready, or the server is shutting down. Nothing was changed.",
        "Send the same again shortly.",
        retry="unchanged",
    ),
    "unknown_argument": Meaning(
        "Unknown argument",
        "The call has no argument of this name.",
        "Correct the name; the hint says which there are.",
    ),
    "unknown_function": Meaning(
        "Unknown function",
        "There is no billing function of this name, or none that this credential may call.",
        "Correct the name; billing.help() lists the functions.",
    ),
    "unreadable_file": Meaning(
        "Unreadable file",
        "The file is not there, cannot be read, or does not hold what it should.",
        "Check its path.",
        served=False,
    ),
    "unsupported_media_type": Meaning(
        "Unsupported media type",
        "The body of the request is of a type that this route does not take.",
        "Send JSON, with the header `Content-Type: application/json`.",
    ),
    "webhook_disabled": Meaning(
        "Webhook disabled",
        "The webhook endpoint is disabled: it answered that it is gone, failed for days, or was switched off.",
        "Mend what it is disabled for, enable it, and ask again.",
    ),
    "webhook_url_refused": Meaning(
        "Webhook URL refused",
        "The URL cannot be told of events: it is not https, or it does not lead to a host of the public internet.",
        "Give an https URL whose host everybody can reach, without a user or a fragment.",
    ),
    "write_time_limit": Meaning(
        "Too much time after a change",
        "The script takes longer after its first change than one may: others wait for it.",
        "Read and compute first, and change last.",
    ),
}
"""Every code there is, in the order of the alphabet."""
