"""Connect: accounts that let the platform act for them (https://docs.stripe.com/connect/oauth-reference).

An account's holder says yes on the authorize page, the platform redeems the code, and from then on its key may name the
account in `Stripe-Account`. The holder may end this in their own dashboard, the platform by `/oauth/deauthorize`.
"""

from __future__ import annotations

import time
from typing import Any, Final

from integrations.demo.payments.books import Books, account
from integrations.demo.payments.errors import WireError
from integrations.demo.payments.keys import Key, digest_of
from integrations.demo.payments.store import ACCOUNT, new_id

code_seconds: Final = 5 * 60
SCOPES: Final = ("read_only", "read_write")


class OAuthError(WireError):
    """As RFC 6749, section 5.2 has it: `error` is a word, not an object."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(status, description, is_executed=True)
        self._said = {"error": error, "error_description": description}

    @property
    def body(self) -> dict[str, Any]:
        return self._said


class Connect:
    def __init__(self, books: Books) -> None:
        self.books = books
        self.store = books.store

    def account(self) -> dict[str, Any]:
        """The account that is asked for: the platform's own, or one that lets it act."""
        if self.store.account == ACCOUNT:
            return account()
        return self.store.get("account", self.store.account)

    def accounts(self) -> list[dict[str, Any]]:
        """Every account but the platform's that was ever made here, newest first."""
        with self.store.acting_for(ACCOUNT):
            ids = [row["_account"] for row in self.store.all_of("account_name")]
        return [self._named(id) for id in ids]

    def _named(self, id: str) -> dict[str, Any]:
        with self.store.acting_for(id):
            return self.store.get("account", id)

    def open_account(self, name: str, *, may_charge: bool = True) -> dict[str, Any]:
        """Somebody signs up (on the authorize page they may, docs.stripe.com/connect/oauth-standard-accounts)."""
        made = account(new_id("acct_", 16), name[:80] or "Shop") | {"created": int(time.time())}
        made["charges_enabled"] = may_charge
        with self.store.transaction():
            with self.store.acting_for(made["id"]):
                self.store.put(made)
            with self.store.acting_for(ACCOUNT):
                name_row = {"id": f"name_{made['id']}", "object": "account_name", "created": made["created"]}
                self.store.put(name_row | {"_account": made["id"]})
        return made

    # --- the holder says yes or no ---

    def grant(self, account_id: str, *, scope: str, redirect_uri: str) -> str:
        """The holder's yes: a code that is worth one exchange, within five minutes."""
        code = new_id("ac_", 32)
        row = {
            "id": code,
            "object": "oauth_code",
            "created": int(time.time()),
            "_account": self._named(account_id)["id"],
            "_scope": scope,
            "_redirect_uri": redirect_uri,
            "_is_used": False,
        }
        with self.store.transaction(), self.store.acting_for(ACCOUNT):
            self.store.put(row)
        return code

    # --- the platform ---

    def token(self, given: dict[str, str]) -> dict[str, Any]:
        """https://docs.stripe.com/connect/oauth-reference#post-token

        A code that comes a second time costs the account its connection: "All tokens issued with this code have been
        revoked" (github.com/woocommerce/woocommerce-gateway-stripe/pull/4835 met it in the field).
        """
        if given.get("grant_type") != "authorization_code":
            raise OAuthError("unsupported_grant_type", "Unsupported grant type.")
        code = given.get("code", "")
        if not code:
            raise OAuthError("invalid_request", "No authorization code provided.")
        row = self.store.find(code, "oauth_code")
        if row is None:
            raise OAuthError("invalid_grant", f"Authorization code does not exist: {code[:80]}")
        if row["_is_used"]:
            if self.books.is_connected(row["_account"]):
                self._disconnect(row["_account"])
            raise OAuthError(
                "invalid_grant",
                "This authorization code has already been used. All tokens issued with this code have been revoked.",
            )
        if row["created"] + code_seconds < time.time():
            raise OAuthError("invalid_grant", f"Authorization code expired: {code}")
        self.store.put(row | {"_is_used": True})
        id: str = row["_account"]
        token = self._connect(id, row["_scope"])
        return {
            "access_token": token,
            "livemode": False,
            "refresh_token": new_id("rt_", 32),
            "scope": row["_scope"],
            "stripe_publishable_key": new_id("pk_test_", 32),
            "stripe_user_id": id,
            "token_type": "bearer",
        }

    def _connect(self, id: str, scope: str) -> str:
        now, token = int(time.time()), new_id("sk_test_", 32)
        key = {"id": digest_of(token), "object": "oauth_key", "created": now, "levels": None, "account": id}
        connection = {"id": f"connection_{id}", "object": "connection", "created": now, "scope": scope}
        with self.store.acting_for(ACCOUNT):
            self.store.put(key)
            self.store.put(connection | {"_key": key["id"]})
        with self.store.acting_for(id):
            self.books.emit("account.application.authorized", self._application())
        return token

    def deauthorize(self, given: dict[str, str]) -> dict[str, Any]:
        """https://docs.stripe.com/connect/oauth-reference#post-deauthorize"""
        id = given.get("stripe_user_id", "")
        if given.get("client_id") != self.books.rules.client_id:
            raise OAuthError("invalid_client", "No such application.", status=401)
        if not self.books.is_connected(id):
            raise OAuthError(
                "invalid_client",
                f"This application is not connected to stripe account {id[:80]}, or that account does not exist.",
                status=401,
            )
        self._disconnect(id)
        return {"stripe_user_id": id}

    def leave(self, id: str) -> None:
        """The account's holder removes the platform in their own dashboard; leaving twice changes nothing."""
        with self.store.transaction():
            if self.books.is_connected(id):
                self._disconnect(id)

    def _disconnect(self, id: str) -> None:
        # https://docs.stripe.com/connect/webhooks: the platform is told by a message of the account that it lost
        with self.store.acting_for(id):
            self.books.emit("account.application.deauthorized", self._application())
        with self.store.acting_for(ACCOUNT):
            self.store.delete(self.store.get("connection", f"connection_{id}")["_key"])
            self.store.delete(f"connection_{id}")

    def _application(self) -> dict[str, Any]:
        return {"id": self.books.rules.client_id, "object": "application", "name": "groupbook"}

    def check_account(self, id: str, bearer: Key) -> None:
        """Whether this key may name this account: only the platform's may name any but its own
        (https://docs.stripe.com/connect/authentication).

        Raises:
            WireError: 403 `account_invalid` (https://docs.stripe.com/error-codes#account-invalid).
        """
        if bearer.account != ACCOUNT or not self.books.is_connected(id):
            raise WireError(
                403,
                f"The provided key '{bearer.shown}' does not have access to account '{id[:80]}' (or that account does "
                "not exist). Application access may have been revoked.",
                code="account_invalid",
            )
