"""The operator's own platform: merchants let it act for their accounts (https://docs.stripe.com/connect/oauth-reference).

Standard accounts, direct charges: the platform's key and `Stripe-Account` on every call. What the exchange hands over
beside the account's name (an access and a refresh token) is a secret of theirs that nobody here needs: it is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import stripe

from groupbook.payments.ports import EventRejected, ProviderEvent
from integrations.payments.stripe import messages
from integrations.payments.stripe.configuration import API_BASE

CONNECT_BASE: Final = "https://connect.stripe.com"


@dataclass(frozen=True, slots=True)
class Platform:
    """What the operator's settings say of it.

    Args:
        client_id: `ca_…`; without it nobody is sent to Stripe to connect, and accounts are connected by command only.
        webhook_secrets: of its endpoint for connected accounts; two while one is rolled.
        fee_basis_points: the operator's part of what is taken, for accounts that are connected from now on.
        publishable_key: `pk_…`; with it connected accounts may have the payment page on our own pages.
    """

    secret_key: str = field(repr=False)
    client_id: str = ""
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    fee_basis_points: int = 0
    api_base: str = API_BASE
    connect_base: str = CONNECT_BASE
    publishable_key: str = ""

    @property
    def livemode(self) -> bool:
        return "_live_" in self.secret_key

    @property
    def can_ask(self) -> bool:
        return bool(self.client_id)

    @property
    def hears(self) -> bool:
        return bool(self.webhook_secrets)

    def authorize_url(self, *, state: str, redirect_uri: str) -> str:
        """https://docs.stripe.com/connect/oauth-reference#get-authorize"""
        client = stripe.StripeClient(
            self.secret_key, client_id=self.client_id, base_addresses={"connect": self.connect_base.rstrip("/")}
        )
        return client.oauth.authorize_url({"scope": "read_write", "redirect_uri": redirect_uri, "state": state})

    def read_event(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> ProviderEvent:
        """A message of any connected account: it names the account (https://docs.stripe.com/connect/webhooks).

        Test messages come to live endpoints, too (the same page), so the mode is the platform's or it is refused.
        """
        messages.verify(headers.get("stripe-signature", ""), body, self.webhook_secrets, now)
        event = messages.parse(body, livemode=self.livemode)
        if event.account is None:
            raise EventRejected(reason="wrong_account")
        return event
