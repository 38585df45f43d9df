"""localstripe's own application as a process on loopback: `python -m tests.payments.localstripe_process`.

It prints its port, and ends with its standard input. It keeps nothing on disk. It is taught what Stripe does and
it does not, and no more than the tests need:
- confirming takes `off_session`, `return_url` and, after a failed attempt, `payment_method`; without the customer,
  a card that has to be authenticated fails with `authentication_required`, as with Stripe;
- payment intents can be listed by when they were created;
- a SEPA mandate comes from a set-up intent that is confirmed as it is created;
- Checkout sessions that set up a method, which a test completes under `_complete`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

from aiohttp import web
from localstripe import resources
from localstripe.errors import UserError
from localstripe.resources import PaymentIntent, PaymentMethod, SetupIntent, StripeObject

resources.Store.dump_to_disk = lambda _store: None

_last_error: Any = PaymentIntent.last_payment_error.fget
_list: Any = PaymentIntent._api_list_all.__func__
_make_setup: Any = SetupIntent._api_create.__func__


def confirm(
    id: str,  # noqa: A002
    off_session: str | None = None,
    return_url: str | None = None,
    payment_method: str | None = None,
) -> Any:
    intent = PaymentIntent._api_retrieve(id)
    if intent.status == "requires_payment_method" and payment_method is not None:
        intent.payment_method = payment_method
        intent._asks_for = None
    if intent.status != "requires_confirmation":
        raise UserError(400, "Bad request", {"code": "payment_intent_unexpected_state"})
    tried = intent.payment_method
    if off_session == "true" and PaymentMethod._api_retrieve(tried)._requires_authentication():
        intent.payment_method, intent._asks_for = None, tried
        raise UserError(402, "It needs authentication.", {"code": "authentication_required"})
    intent._confirm(on_failure_now=intent._report_failure)
    if intent.next_action and return_url:
        page = {"url": f"https://hooks.stripe.com/3d_secure/{intent.id}", "return_url": return_url}
        intent.next_action = {"type": "redirect_to_url", "redirect_to_url": page}
    return intent


def last_payment_error(intent: Any) -> Any:
    tried = getattr(intent, "_asks_for", None)
    if tried:
        return {"code": "authentication_required", "payment_method": PaymentMethod._api_retrieve(tried)._export()}
    return _last_error(intent)


def list_intents(cls: Any, /, url: str, created: Any = None, **data: Any) -> Any:
    found = _list(cls, url, **data)
    span = created or {}
    found._list = [i for i in found._list if int(span["gte"]) <= i.created < int(span["lt"])] if span else found._list
    return found


def make_setup(
    cls: Any, /, confirm: Any = None, mandate_data: Any = None, payment_method: Any = None, **data: Any
) -> Any:
    intent = _make_setup(cls, **data)
    if confirm == "true":
        SetupIntent._api_confirm(intent.id, payment_method=payment_method)
        intent.mandate = {"object": "mandate", "status": "active"} if mandate_data else None
    return intent


class CheckoutSession(StripeObject):  # type: ignore[misc]  # localstripe has no types
    object = "checkout.session"
    _id_prefix = "cs_"

    def __init__(
        self,
        mode: str = "",
        customer: str = "",
        payment_method_types: Any = (),
        success_url: str = "",
        cancel_url: str = "",
        metadata: Any = None,
        setup_intent_data: Any = None,
    ) -> None:
        assert mode == "setup"
        assert success_url
        assert cancel_url
        super().__init__()
        self.mode, self.customer, self.payment_method_types = mode, customer, payment_method_types
        self.metadata, self.status, self.url = metadata, "open", f"https://checkout.stripe.com/c/pay/{self.id}"
        intent = SetupIntent(customer=customer, payment_method_types=payment_method_types, **(setup_intent_data or {}))
        intent.mandate = None
        self.setup_intent = intent.id

    @classmethod
    def _api_complete(cls, id: str, payment_method: str) -> Any:  # noqa: A002
        session = cls._api_retrieve(id)
        SetupIntent._api_confirm(session.setup_intent, payment_method=payment_method)
        method = PaymentMethod._api_attach(payment_method, customer=session.customer)
        if method.type == "sepa_debit":
            SetupIntent._api_retrieve(session.setup_intent).mandate = {"object": "mandate", "status": "active"}
        session.status, session.url = "complete", None
        return session


PaymentIntent.last_payment_error = property(last_payment_error)
PaymentIntent._api_list_all = classmethod(list_intents)
SetupIntent._api_create = classmethod(make_setup)
resources.extra_apis[:] = [
    (method, url, confirm if url == "/v1/payment_intents/{id}/confirm" else function)
    for method, url, function in resources.extra_apis
]
resources.extra_apis += [
    ("POST", "/v1/checkout/sessions", CheckoutSession._api_create),
    ("GET", "/v1/checkout/sessions/{id}", CheckoutSession._api_retrieve),
    ("POST", "/v1/checkout/sessions/{id}/_complete", CheckoutSession._api_complete),
]

from localstripe.server import app  # noqa: E402 - it makes its routes of what is above


async def main() -> None:
    """Serve until standard input ends."""
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
