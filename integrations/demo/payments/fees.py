"""The platform's part of a direct charge (https://docs.stripe.com/connect/direct-charges#collect-fees)."""

from __future__ import annotations

import time
from typing import Any

from integrations.demo.payments.books import Books
from integrations.demo.payments.errors import WireError
from integrations.demo.payments.store import ACCOUNT, Store, new_id


def check(store: Store, params: dict[str, Any], amount: int) -> None:
    """Whether this request may ask for this fee of this amount, in the currency's smallest unit.

    Raises:
        WireError: the charge is the platform's own, or the fee is none or more than the charge.
    """
    fee = params.get("application_fee_amount")
    if fee is None:
        return
    if store.account == ACCOUNT:
        # The words are Stripe's (github.com/Sylius/PayumStripe/issues/14).
        raise WireError(
            400,
            "Can only apply an application_fee_amount when the PaymentIntent is attempting a direct payment (using an "
            "OAuth key or Stripe-Account header) or destination payment (using `transfer_data[destination]`).",
            param="application_fee_amount",
        )
    if not 0 < fee <= amount:
        raise WireError(
            400, "The application fee must be above 0 and at most the charge's amount.", param="application_fee_amount"
        )


def collect(books: Books, charge: dict[str, Any], amount: int | None) -> int:
    """Take the platform's part of a charge that is being captured; how much that is."""
    if amount is None:
        return 0
    fee = {
        "id": new_id("fee_"),
        "object": "application_fee",
        "account": books.store.account,
        "amount": amount,
        "amount_refunded": 0,
        "application": books.rules.client_id,
        "charge": charge["id"],
        "created": int(time.time()),
        "currency": charge["currency"],
        "livemode": False,
        "refunded": False,
    }
    charge |= {"application_fee": fee["id"], "application_fee_amount": amount}
    with books.store.acting_for(ACCOUNT):  # the fee is the platform's (docs.stripe.com/api/application_fees)
        books.store.put(fee)
    return amount


def give_back(books: Books, charge: dict[str, Any], amount: int) -> int:
    """What goes back of the fee with a refund of `amount`: the same part, and the last refund takes what is left.

    https://docs.stripe.com/changelog/2013-12-03/application-fee-refunds-proportional-charged-amount

    Raises:
        WireError: nothing was taken that could go back (the words: github.com/alfio-event/alf.io/issues/739).
    """
    if charge.get("application_fee") is None:
        raise WireError(
            400,
            f"Attempting to refund_application_fee on {charge['id']}, but it has no application fee",
            param="refund_application_fee",
            is_executed=True,
        )
    with books.store.acting_for(ACCOUNT):
        fee = books.store.get("application_fee", charge["application_fee"])
        is_last = amount == charge["amount"] - charge["amount_refunded"]
        left = fee["amount"] - fee["amount_refunded"]
        part: int = left if is_last else min(left, fee["amount"] * amount // charge["amount_captured"])
        fee["amount_refunded"] += part
        fee["refunded"] = fee["amount_refunded"] == fee["amount"]
        books.store.put(fee)
    return part
