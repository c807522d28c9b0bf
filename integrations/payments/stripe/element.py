"""A payment page of ours: what an intent is asked for, and what the payer's browser needs to show Stripe's fields.

The Payment Element on an intent's client secret (https://docs.stripe.com/payments/accept-a-payment-deferred knows the
other order of things; ours is https://docs.stripe.com/payments/quickstart). Not on a Checkout Session: that asks every
payer for an e-mail address (https://docs.stripe.com/js/custom_checkout/update_email), and ours need none. See decision
0027.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import stripe
from stripe.params import CustomerCreateParams, PaymentIntentCreateParams, SetupIntentCreateParams

from groupbook.kit.ids import to_wire
from groupbook.payments.ports import OwnPage, PaymentOrder
from integrations.payments.stripe.configuration import SCRIPT_URL, Configuration
from integrations.payments.stripe.methods import TYPES
from integrations.payments.stripe.reading import Intent
from integrations.payments.stripe.units import in_figures, to_stripe

# An intent without a session is ours to close; Stripe ends none by itself
# (https://docs.stripe.com/payments/paymentintents/lifecycle).
_SHOWN: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
# https://docs.stripe.com/security/guide#content-security-policy
_STRIPE_SCRIPTS: Final = ("https://js.stripe.com", "https://*.js.stripe.com")
_STRIPE_FRAMES: Final = (*_STRIPE_SCRIPTS, "https://hooks.stripe.com")
_STRIPE_CONNECTS: Final = ("https://api.stripe.com",)


def is_own(page_ref: str) -> bool:
    """Whether this page is an intent that a page of ours shows, and no session of Checkout."""
    return page_ref.startswith(("pi_", "seti_"))


def _metadata(order: PaymentOrder) -> dict[str, str]:
    # `page` tells it from the intents that Checkout and the payer's absence make
    return {"attempt_id": to_wire("att", order.attempt_id), "page": "own"}


def customer_of_page(order: PaymentOrder) -> CustomerCreateParams:
    """Somebody without a name, to whom the card that is kept can be attached: Checkout makes one by itself."""
    return {"metadata": _metadata(order)}


def intent_to_pay(order: PaymentOrder, *, customer: str | None, fee: int | None) -> PaymentIntentCreateParams:
    """https://docs.stripe.com/payments/place-a-hold-on-a-payment-method"""
    params: PaymentIntentCreateParams = {
        "amount": to_stripe(order.amount),
        "currency": order.amount.currency.lower(),
        "capture_method": "manual",
        "automatic_payment_methods": {"enabled": True},
        "allowed_payment_method_types": list(TYPES),
        "description": order.title[:250],
        "metadata": _metadata(order),
    }
    if customer is not None:
        # https://docs.stripe.com/payments/save-during-payment
        params["customer"] = customer
        params["setup_future_usage"] = "off_session"
    if fee is not None:
        params["application_fee_amount"] = fee
    return params


def intent_to_save(order: PaymentOrder, *, customer: str) -> SetupIntentCreateParams:
    """https://docs.stripe.com/payments/save-and-reuse: nothing is charged; our page says what may be, and when."""
    return {
        "customer": customer,
        "usage": "off_session",
        "automatic_payment_methods": {"enabled": True},
        "allowed_payment_method_types": list(TYPES),
        "description": f"{order.title[:250]} \N{MIDDLE DOT} \N{LESS-THAN OR EQUAL TO} {in_figures(order.amount)}",
        "metadata": _metadata(order),
    }


def is_of_page(intent: Any, attempt_name: str) -> bool:
    metadata = intent.metadata
    return getattr(metadata, "attempt_id", None) == attempt_name and getattr(metadata, "page", None) == "own"


def shown(intent: Intent, configuration: Configuration) -> OwnPage | None:
    """What the browser is told; None where Stripe's fields cannot be shown for this intent any more."""
    if intent.status not in _SHOWN or intent.client_secret is None or not configuration.publishable_key:
        return None
    scripts, frames, connects = _origins(configuration)
    return OwnPage(
        mode="save" if isinstance(intent, stripe.SetupIntent) else "authorize",
        client_secret=intent.client_secret,
        publishable_key=configuration.publishable_key,
        account=configuration.account,
        script_url=configuration.script_url,
        script_origins=scripts,
        frame_origins=frames,
        connect_origins=connects,
    )


def _origins(configuration: Configuration) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    if configuration.script_url == SCRIPT_URL:
        return _STRIPE_SCRIPTS, _STRIPE_FRAMES, _STRIPE_CONNECTS
    parts = urlsplit(configuration.script_url)
    here = (f"{parts.scheme}://{parts.netloc}",)
    return here, here, here
