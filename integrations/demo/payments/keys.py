"""Restricted keys: what each may do, and the page on which they are made, as Stripe's dashboard has one.

https://docs.stripe.com/keys#limit-access: each resource is none, read or write, and write includes read. Only a digest
of a key is kept; the page shows it once.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any, Final

from integrations.demo.payments.errors import WireError
from integrations.demo.payments.store import Store, new_id

# The permission that an operation's noun asks for, as Stripe's answers name it (`rak_charge_read`).
RESOURCES: Final[Mapping[str, str]] = {
    "account": "accounts_kyc_basic",
    "application_fees": "application_fee",
    "balance_transactions": "balance_transaction_source",
    "charges": "charge",
    "checkout.sessions": "checkout_session",
    "customers": "customer",
    "customers.payment_methods": "payment_method",
    "disputes": "dispute",
    "events": "event",
    "payment_intents": "payment_intent",
    "payment_methods": "payment_method",
    "refunds": "charge",
    "reviews": "review",
    "setup_intents": "setup_intent",
    "webhook_endpoints": "webhook",
}
# What an expanded object needs (https://docs.stripe.com/stripe-apps/reference/permissions).
_KINDS: Final = {
    "charge": "charge",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "refund": "charge",
    "review": "review",
    "setup_intent": "setup_intent",
}
LEVELS: Final = ("none", "read", "write")
NAMES: Final = tuple(sorted(set(RESOURCES.values())))


class Key:
    """What the bearer of a request may do. Without `levels` it is the secret key, which may everything."""

    def __init__(self, shown: str, account: str, levels: Mapping[str, str] | None = None) -> None:
        self.shown, self.account, self._levels = shown, account, levels

    def check(self, operation: str, method: str) -> None:
        """Raises WireError: this key may not call the operation."""
        noun = operation.rpartition(".")[0]
        self._require(RESOURCES[noun], "read" if method == "GET" else "write")

    def check_expanded(self, kind: str) -> None:
        """Raises WireError: this key may not read what it asks to have expanded."""
        if kind in _KINDS:
            self._require(_KINDS[kind], "read")

    def check_secret(self, body: Mapping[str, Any], given: str | None) -> None:
        """Raises WireError: a client secret was given, or has to be, and it is not this object's."""
        if given is not None and given != body.get("client_secret"):
            raise WireError(
                400, "The client_secret provided does not match the client_secret associated with this object."
            )

    def _require(self, resource: str, level: str) -> None:
        if self._levels is None:
            return
        if LEVELS.index(self._levels.get(resource, "none")) < LEVELS.index(level):
            raise WireError(
                403,
                f"The provided key '{self.shown}' does not have the required permissions for this endpoint on account "
                f"'{self.account}'. Having the 'rak_{resource}_{level}' permission would allow this request to "
                "continue.",
            )


class PublishableKey(Key):
    """The key for browsers: it reads an intent whose client secret it brings along, and nothing else.

    https://docs.stripe.com/keys: publishable keys identify the account and cannot be used for anything sensitive.
    """

    def check(self, operation: str, method: str) -> None:
        if operation not in ("payment_intents.retrieve", "setup_intents.retrieve"):
            raise WireError(
                403, "This API call cannot be made with a publishable API key. Please use a secret API key."
            )

    def check_secret(self, body: Mapping[str, Any], given: str | None) -> None:
        if given is None:
            raise WireError(400, "Missing required param: client_secret.", code="parameter_missing")
        super().check_secret(body, given)


class Keys:
    def __init__(self, store: Store, secret_key: str, account: str) -> None:
        self._store, self._secret_key, self._account = store, secret_key, account

    @property
    def publishable(self) -> str:
        """The account's key for browsers; it says nothing about the secret one."""
        return publishable_key_of(self._secret_key)

    def make(self, levels: Mapping[str, str]) -> str:
        """A new restricted key, which is not kept."""
        key = new_id("rk_test_", 40)
        kept = {name: levels[name] for name in NAMES if levels.get(name) in ("read", "write")}
        row = {"id": digest_of(key), "object": "api_key", "created": int(time.time()), "levels": kept, "hint": key[-4:]}
        self._store.put(row)
        return key

    def find(self, key: str) -> Key:
        """Raises WireError: no such key."""
        shown = f"{key[:8]}{'*' * 8}{key[-4:]}"
        if key == self._secret_key:
            return Key(shown, self._account)
        if key == self.publishable:
            return PublishableKey(shown, self._account)
        row = self._store.find(digest_of(key), "api_key") or self._store.find(digest_of(key), "oauth_key")
        if row is None:
            raise WireError(401, f"Invalid API Key provided: {key[:8]}****")
        return Key(shown, row.get("account", self._account), row["levels"])

    def listed(self) -> list[dict[str, Any]]:
        return [{"hint": row["hint"], "levels": row["levels"]} for row in self._store.all_of("api_key")]


def digest_of(key: str) -> str:
    return "key_" + hashlib.sha256(key.encode()).hexdigest()


def publishable_key_of(secret_key: str) -> str:
    """The publishable key of the account that this secret key belongs to."""
    return "pk_test_" + hashlib.sha256(f"publishable:{secret_key}".encode()).hexdigest()[:32]
