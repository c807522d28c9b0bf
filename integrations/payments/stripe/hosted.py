"""What a hosted Checkout page is asked for (https://docs.stripe.com/api/checkout/sessions/create)."""

from __future__ import annotations

from typing import Any, Final, cast

import stripe
from stripe.params.checkout import SessionCreateParams

from groupbook.kit.ids import to_wire
from groupbook.payments.ports import PaymentOrder
from integrations.payments.stripe.methods import TYPES
from integrations.payments.stripe.units import in_figures, to_stripe

_LOCALES: Final = frozenset({"en", "fr", "de", "es"})


def _page(order: PaymentOrder) -> SessionCreateParams:
    name = to_wire("att", order.attempt_id)
    return {
        "client_reference_id": name,
        "metadata": {"attempt_id": name},
        "success_url": order.success_url,
        "cancel_url": order.cancel_url,
        "allowed_payment_method_types": list(TYPES),
        "locale": cast(Any, order.locale[:2] if order.locale[:2] in _LOCALES else "auto"),
    }


def page_to_pay(order: PaymentOrder, *, fee: int | None = None) -> SessionCreateParams:
    """https://docs.stripe.com/payments/place-a-hold-on-a-payment-method"""
    params = _page(order)
    data = stripe.params.checkout.SessionCreateParamsPaymentIntentData(
        capture_method="manual", metadata={"attempt_id": to_wire("att", order.attempt_id)}
    )
    if fee is not None:
        data["application_fee_amount"] = fee
    if order.keeps_card:
        # https://docs.stripe.com/payments/checkout/save-during-payment: a customer without a name, made for this page
        data["setup_future_usage"] = "off_session"
        params["customer_creation"] = "always"
    params["mode"] = "payment"
    params["payment_intent_data"] = data
    params["line_items"] = [
        {
            "quantity": 1,
            "price_data": {
                "currency": order.amount.currency.lower(),
                "unit_amount": to_stripe(order.amount),
                "product_data": {"name": order.title[:250]},
            },
        }
    ]
    return params


def page_to_save(order: PaymentOrder) -> SessionCreateParams:
    """https://docs.stripe.com/payments/checkout/save-and-reuse: the page shows what was agreed to, and charges nothing.

    What may be charged, when, and how to cancel stands on our own page before this one.
    """
    params = _page(order)
    params["mode"] = "setup"
    params["currency"] = order.amount.currency.lower()
    params["customer_creation"] = "always"
    params["setup_intent_data"] = {"metadata": {"attempt_id": to_wire("att", order.attempt_id)}}
    params["custom_text"] = {"submit": {"message": f"{order.title[:250]} · ≤ {in_figures(order.amount)}"}}
    return params
