"""Owns the choice of the payment provider."""

from __future__ import annotations

from billing_mcp.domain.clock import Clock
from billing_mcp.payments.embedded import EmbeddedProvider
from billing_mcp.payments.port import Provider
from billing_mcp.settings import Settings
from billing_mcp.store.store import Store


async def open_provider(settings: Settings, store: Store, clock: Clock) -> Provider:
    """The provider of the settings; whoever opens it closes it. The embedded one keeps its books in this store."""
    if settings.payment_provider == "test" or settings.stripe_api_key is None:
        return await EmbeddedProvider.open(store, clock)
    from billing_mcp.payments.stripe_provider import StripeProvider  # half a second that only Stripe's users wait

    return StripeProvider(
        settings.stripe_api_key.get_secret_value(),
        settings.webhook_secrets(),
        return_url=settings.payment_return_url,
        api_base=settings.stripe_api_base,
    )
