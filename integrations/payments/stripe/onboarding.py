"""A look at a merchant's account: what its key may do, where messages go, and one authorization that is released.

A permission to write is tried on an object that cannot exist: Stripe says 403 to who may not and 404 to who may
(https://docs.stripe.com/keys#limit-access, https://docs.stripe.com/api/errors), and nothing changes either way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar, cast

import httpx2
import stripe

from groupbook.kit import outbound
from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.kit.money import Money
from groupbook.payments.ports import (
    KeyRejected,
    MessageEndpoint,
    Observed,
    Onboarding,
    Permission,
    ProviderAccount,
    Seen,
)
from integrations.payments.stripe import reading
from integrations.payments.stripe.client import API_VERSION, Line
from integrations.payments.stripe.configuration import API_BASE, Configuration
from integrations.payments.stripe.methods import METHODS
from integrations.payments.stripe.outcomes import code_of
from integrations.payments.stripe.platform import Platform
from integrations.payments.stripe.units import to_stripe

# What our reading is nudged by; nothing else is sent (https://docs.stripe.com/api/events/types).
EVENTS: Final = (
    "charge.captured",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.expired",
    "charge.refund.updated",
    "charge.refunded",
    "checkout.session.completed",
    "checkout.session.expired",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "radar.early_fraud_warning.created",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "review.closed",
    "review.opened",
    "setup_intent.setup_failed",
    "setup_intent.succeeded",
)
# The names are those of the form on which Stripe's dashboard makes a restricted key; the codes are what Stripe's own
# refusals call them (rak_…).
PERMISSIONS: Final = (
    Permission("checkout_session", "Checkout", "Checkout Sessions", "write", "pages"),
    Permission("payment_intent", "Core", "PaymentIntents", "write", "authorizations"),
    Permission("charge", "Core", "Charges and Refunds", "write", "refunds"),
    Permission("payment_method", "Core", "PaymentMethods", "write", "kept_cards"),
    Permission("setup_intent", "Core", "SetupIntents", "read", "kept_cards"),
    Permission("customer", "Core", "Customers", "read", "kept_cards"),
    Permission("dispute", "Core", "Disputes", "read", "disputes"),
    Permission("review", "Radar", "Reviews", "read", "reviews"),
    Permission("event", "Core", "Events", "read", "messages"),
    Permission("webhook", "Webhook", "Webhook Endpoints", "write", "messages"),
)
# What a page of ours needs beyond that: it makes by itself what Checkout makes otherwise.
PAGE_PERMISSIONS: Final = (
    Permission("setup_intent_write", "Core", "SetupIntents", "write", "own_page"),
    Permission("customer_write", "Core", "Customers", "write", "own_page"),
)
_T = TypeVar("_T")
_NOBODY: Final = "groupbook_permission_check"  # no id of Stripe's looks like this
_KEY: Final = re.compile(r"(sk|rk)_(test|live)_[A-Za-z0-9_]{4,250}")
_PUBLISHABLE: Final = re.compile(r"pk_(test|live)_[A-Za-z0-9_]{4,250}")
_ACCOUNT: Final = re.compile(r"acct_\w+")


class StripeSetup:
    """One look at one account.

    Args:
        livemode: the merchant's; test cards work in test mode only.
        client_id: our platform's, to let an account go.
    """

    permissions: tuple[Permission, ...] = (*PERMISSIONS, *PAGE_PERMISSIONS)

    def __init__(
        self,
        configuration: Configuration,
        *,
        livemode: bool,
        client: httpx2.Client | None = None,
        client_id: str = "",
    ) -> None:
        self._livemode = livemode
        self._account = configuration.account
        self._client_id = client_id
        client = client or outbound.client()
        self._line = Line(configuration, client)
        self._own = Line(replace(configuration, account=None), client)  # in our platform's own name
        self._publishable_key = configuration.publishable_key
        self._v1 = self._line.v1

    def close(self) -> None:
        self._line.close()

    def exchange(self, code: str, *, key: str, timeout_seconds: float) -> str:
        # https://docs.stripe.com/connect/oauth-reference#post-token; the page documents no idempotency, and a code that
        # comes twice ends the connection it made: so a lost answer leaves nothing behind that nobody knows of.
        def ask() -> str:
            params = stripe.OAuth.OAuthTokenParams(grant_type="authorization_code", code=code)
            made = self._line.oauth.token(params, {"idempotency_key": key})
            if made.livemode is not self._livemode:
                raise Refused("credentials_rejected", what="wrong_mode")
            return str(made.stripe_user_id)

        return self._line.act("exchange", ask, timeout_seconds)

    def read_account(self, *, timeout_seconds: float) -> ProviderAccount:
        def look() -> ProviderAccount:
            try:
                account = self._v1.accounts.retrieve_current()
            except stripe.PermissionError as error:
                if code_of(error) == "account_invalid":
                    raise  # https://docs.stripe.com/error-codes#account-invalid: we may not act for it (any more)
                # A restricted key that may not read its account works all the same; the refusal names the account.
                named = _ACCOUNT.search(str(error))
                return ProviderAccount(ref=named[0] if named else self._account)
            profile, dashboard = account.business_profile, account.settings and account.settings.dashboard
            name = (profile and profile.name) or (dashboard and dashboard.display_name) or None
            return ProviderAccount(account.id, name, account.country, account.charges_enabled)

        return self._line.act("read_account", look, timeout_seconds)

    def may(self, permission: Permission, *, key: str, timeout_seconds: float) -> bool:
        def ask() -> bool:
            try:
                self._probe(permission, key)()
            except stripe.PermissionError:
                return False
            except stripe.InvalidRequestError as error:
                if error.http_status != 404 and error.code != "resource_missing":
                    raise
            return True

        return self._line.act("may", ask, timeout_seconds)

    def _probe(self, permission: Permission, key: str) -> Callable[[], object]:
        v1 = self._v1
        probes: dict[str, Callable[[], object]] = {
            "checkout_session": lambda: v1.checkout.sessions.expire(f"cs_{_NOBODY}", {}, {"idempotency_key": key}),
            "payment_intent": lambda: v1.payment_intents.cancel(f"pi_{_NOBODY}", {}, {"idempotency_key": key}),
            "charge": lambda: v1.refunds.create({"payment_intent": f"pi_{_NOBODY}"}, {"idempotency_key": key}),
            "payment_method": lambda: v1.payment_methods.detach(f"pm_{_NOBODY}", {}, {"idempotency_key": key}),
            "setup_intent": lambda: v1.setup_intents.list({"limit": 1}),
            "setup_intent_write": lambda: v1.setup_intents.cancel(f"seti_{_NOBODY}", {}, {"idempotency_key": key}),
            "customer": lambda: v1.customers.list({"limit": 1}),
            "customer_write": lambda: v1.customers.update(f"cus_{_NOBODY}", {}, {"idempotency_key": key}),
            "dispute": lambda: v1.disputes.list({"limit": 1}),
            "review": lambda: v1.reviews.list({"limit": 1}),
            "event": lambda: v1.events.list({"limit": 1}),
            "webhook": lambda: v1.webhook_endpoints.update(
                f"we_{_NOBODY}", {"disabled": True}, {"idempotency_key": key}
            ),
        }
        return probes[permission.code]

    def add_endpoint(self, url: str, *, key: str, timeout_seconds: float) -> MessageEndpoint:
        # https://docs.stripe.com/api/webhook_endpoints/create: the version is pinned, so that events keep their shape
        params = stripe.params.WebhookEndpointCreateParams(
            url=url, enabled_events=list(EVENTS), api_version=API_VERSION, description="groupbook"
        )
        made = self._line.act(
            "add_endpoint", lambda: self._v1.webhook_endpoints.create(params, {"idempotency_key": key}), timeout_seconds
        )
        if made.secret is None:
            raise Refused("request_rejected", what="an endpoint without its secret")
        return MessageEndpoint(made.id, made.secret)

    def remove_endpoints(self, url: str, *, but: str, key: str, timeout_seconds: float) -> int:
        listed = self._line.act(
            "remove_endpoints",
            lambda: list(self._v1.webhook_endpoints.list({"limit": 100}).auto_paging_iter()),
            timeout_seconds,
        )
        old = [one.id for one in listed if one.url == url and one.id != but]
        for id in old:
            try:
                self._line.act("remove_endpoints", partial(self._remove, id, key), timeout_seconds)
            except Refused as refusal:
                if refusal.reason != "not_found":  # somebody was quicker
                    raise
        return len(old)

    def _remove(self, id: str, key: str) -> None:
        self._v1.webhook_endpoints.delete(id, {}, {"idempotency_key": f"{key}:{id}"})

    def remove_endpoint(self, ref: str, *, key: str, timeout_seconds: float) -> None:
        try:
            self._line.act("remove_endpoint", partial(self._remove, ref, key), timeout_seconds)
        except Refused as refusal:
            if refusal.reason != "not_found":
                raise

    def let_go(self, account: str, *, key: str, timeout_seconds: float) -> None:
        # https://docs.stripe.com/connect/oauth-reference#post-deauthorize: `invalid_client` (RFC 6749, section 5.2) is
        # the answer both to who is no platform and for an account that is not connected; the account tells which.
        def ask() -> None:
            params = stripe.OAuth.OAuthDeauthorizeParams(client_id=self._client_id, stripe_user_id=account)
            try:
                self._own.oauth.deauthorize(params, {"idempotency_key": key})
            except stripe.oauth_error.InvalidClientError:
                if self._acts_for_account():
                    raise

        self._own.act("let_go", ask, timeout_seconds)

    def _acts_for_account(self) -> bool:
        try:
            self._v1.accounts.retrieve_current()
        except stripe.PermissionError as error:
            if code_of(error) == "account_invalid":
                return False
            raise
        return True

    def try_page(self, *, key: str, timeout_seconds: float) -> None:
        # https://docs.stripe.com/api/setup_intents/retrieve: with a publishable key an intent is shown to whoever has
        # its client secret, and only by the key of its own account. A SetupIntent asks for no amount. There is no other
        # way to show the secret than in the address, where logs keep it: so it is one of an intent that is canceled.
        def act(ask: Callable[[], _T]) -> _T:
            return self._line.act("try_page", ask, timeout_seconds)

        made = act(
            lambda: self._v1.setup_intents.create(
                {"description": "groupbook: test of the payment page, given back at once"},
                {"idempotency_key": f"{key}:create"},
            )
        )
        try:
            act(lambda: self._v1.setup_intents.cancel(made.id, {}, {"idempotency_key": f"{key}:cancel"}))
        except Refused as refusal:
            if refusal.reason != "wrong_state":  # canceled by an earlier try of this very call
                raise
        secret, as_browser = str(made.client_secret), {"api_key": self._publishable_key}
        try:
            act(lambda: self._v1.setup_intents.retrieve(made.id, {"client_secret": secret}, cast(Any, as_browser)))
        except Refused as refusal:
            raise Refused("credentials_rejected", what="publishable_key") from refusal

    def try_authorization(self, amount: Money, *, key: str, timeout_seconds: float) -> Observed:
        # https://docs.stripe.com/testing and https://docs.stripe.com/payments/place-a-hold-on-a-payment-method
        if self._livemode:
            raise Refused("request_rejected", what="no test card in live mode")
        params = stripe.params.PaymentIntentCreateParams(
            amount=to_stripe(amount),
            currency=amount.currency.lower(),
            payment_method="pm_card_visa",
            confirm=True,
            capture_method="manual",
            automatic_payment_methods={"enabled": True, "allow_redirects": "never"},
            description="groupbook: test of the connection, released at once",
            expand=["latest_charge"],
        )
        intent = self._line.act(
            "try_authorization",
            lambda: self._v1.payment_intents.create(params, {"idempotency_key": f"{key}:create"}),
            timeout_seconds,
        )
        seen = reading.of_intent(intent)
        try:
            self._line.act(
                "try_authorization",
                lambda: self._v1.payment_intents.cancel(intent.id, {}, {"idempotency_key": f"{key}:cancel"}),
                timeout_seconds,
            )
        except Refused as refusal:
            if refusal.reason != "wrong_state":  # canceled by an earlier try of this very call
                raise
        except Unavailable as error:
            raise OutcomeUnknown(what="try_authorization") from error  # it is reserved: ask again with the same keys
        if seen.seen is not Seen.AUTHORIZED:
            raise Refused("wrong_state", status=seen.seen.value)
        return seen


def set_up(configuration: Mapping[str, Any], *, livemode: bool, platform: Platform | None = None) -> StripeSetup:
    """The look, from a configuration as it would be stored; without a key, as the platform.

    Raises:
        KeyRejected: not a secret or restricted key, or one of the other mode (https://docs.stripe.com/keys).
    """
    if platform is not None and (configuration.get("account") or configuration.get("code")):
        parsed = Configuration.parse(configuration, livemode=livemode, platform=platform)
        return StripeSetup(parsed, livemode=livemode, client_id=platform.client_id)
    key = str(configuration.get("secret_key", ""))
    if key.startswith("pk_"):
        raise KeyRejected(reason="publishable")
    if _KEY.fullmatch(key) is None:
        raise KeyRejected(reason="not_a_key")
    if ("_live_" in key) is not livemode:
        raise KeyRejected(reason="wrong_mode")
    return StripeSetup(Configuration.parse(configuration, livemode=livemode), livemode=livemode)


def _check_publishable(key: str, livemode: bool) -> None:
    """https://docs.stripe.com/keys: `pk_test_…` and `pk_live_…`, the only ones that may be shown to browsers.

    Raises:
        KeyRejected: another kind of key, or of the other mode.
    """
    if _PUBLISHABLE.fullmatch(key) is None:
        raise KeyRejected(reason="not_publishable")
    if ("_live_" in key) is not livemode:
        raise KeyRejected(reason="wrong_mode")


def _keys_page(api_base: str, livemode: bool) -> str:
    """https://docs.stripe.com/keys#create-restricted-api-secret-key; the sandbox has a page of its own."""
    if api_base != API_BASE:
        return f"{api_base.rstrip('/')}/_keys"
    return f"https://dashboard.stripe.com/{'' if livemode else 'test/'}apikeys/create"


def onboarding(platform: Platform | None = None) -> Onboarding:
    """How accounts are connected; with a platform also by the merchant's word to Stripe instead of a key."""
    return Onboarding(
        look=partial(set_up, platform=platform),
        permissions=PERMISSIONS,
        keys_page=_keys_page,
        check_publishable=_check_publishable,
        page_permissions=PAGE_PERMISSIONS,
        methods=METHODS,
        platform=platform,
    )
