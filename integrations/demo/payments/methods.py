"""Which ways to pay are offered: what the account has switched on, narrowed by filters and by manual capture.

https://docs.stripe.com/api/payment_intents/create and https://docs.stripe.com/api/checkout/sessions/create:
`allowed_payment_method_types` filters the dynamically computed set; a method that cannot reserve is hidden where the
capture is manual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from integrations.demo.payments.errors import WireError

# What this account has switched on in its dashboard. Only some of it can reserve an amount
# (https://docs.stripe.com/payments/place-a-hold-on-a-payment-method).
SWITCHED_ON: Final = ("card", "link", "ideal", "bancontact", "sepa_debit")
_CAN_RESERVE: Final = frozenset({"card", "link"})


def offered(params: Mapping[str, Any], *, is_manual: bool, what: str) -> list[str]:
    """Raises WireError: the filters leave nothing."""
    allowed = params.get("allowed_payment_method_types", SWITCHED_ON)
    excluded = params.get("excluded_payment_method_types", ())
    found = [
        name
        for name in SWITCHED_ON
        if name in allowed and name not in excluded and (name in _CAN_RESERVE or not is_manual)
    ]
    if not found:
        raise WireError(400, f"No valid payment method types for this {what}.")
    return found
