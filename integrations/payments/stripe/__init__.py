"""Stripe: Checkout, or the Payment Element on our page; manual capture, direct charges on the merchant's own account.

The only package that imports the vendor's SDK. Pinned API version, our own idempotency keys, no retries by the SDK (the
runner's row decides), an explicit time-out for every call, and a transport of ours that can tell "never sent" from
"sent, no answer". Pages of Stripe's documentation are cited where a rule comes from one.

    client.py     the SDK on our HTTP
    outcomes.py   what became of a call, in the port's three answers: every error of the SDK by name
    configuration.py  which key, whose account, which secrets
    platform.py       the operator's own, which merchants let act for their accounts
    onboarding.py     what a key may do, where messages go, and one authorization that is released
    units.py      our minor units and Stripe's
    reading.py    what Stripe's objects mean to us
    hosted.py     what a hosted page is asked for
    element.py    what a page of ours is asked for, and what it shows: the Payment Element
    methods.py    which methods are offered, and why not the others
    messages.py   webhooks: whose they are and what they are about
    provider.py   the port
"""

from integrations.payments.stripe.client import API_VERSION
from integrations.payments.stripe.onboarding import onboarding
from integrations.payments.stripe.platform import Platform
from integrations.payments.stripe.provider import StripeProvider, connect

__all__ = ["API_VERSION", "Platform", "StripeProvider", "connect", "onboarding"]
