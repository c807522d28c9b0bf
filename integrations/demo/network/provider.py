"""Plaza as an OpenID provider: code flow only, PKCE S256 required, nonce required, ES256 id tokens.

The clauses beside the checks are RFC 6749 (OAuth 2), RFC 7636 (PKCE), RFC 9207 (iss) and OpenID Connect Core 1.0.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_plus, urlencode

from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from integrations.demo.network.cast import BY_ID, Person
from integrations.demo.network.store import Store, now_seconds

ask_seconds: Final = 600
code_seconds: Final = 60
access_seconds: Final = 600
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class CannotRedirect(Exception):
    """The client or its address is unknown, so nobody may be sent there (RFC 6749, 4.1.2.1)."""


class AskRefused(Exception):
    """An error that goes back to the client by redirect."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error, description)
        self.error = error
        self.description = description


@dataclass(frozen=True)
class Client:
    id: str
    secret: str
    name: str
    redirect_uris: frozenset[str]


class Provider:
    """The protocol; the pages that ask the person are in app.py."""

    def __init__(self, *, issuer: str, client: Client, store: Store, folder: Path) -> None:
        self.issuer = issuer
        self.client = client
        self._store = store
        self._key = _stored_key(folder / "signing-key.json")

    # --- documents ------------------------------------------------------------------------------------------------

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/oauth/authorize",
            "token_endpoint": f"{self.issuer}/oauth/token",
            "userinfo_endpoint": f"{self.issuer}/oauth/userinfo",
            "jwks_uri": f"{self.issuer}/oauth/jwks.json",
            "scopes_supported": ["openid", "profile", "email"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": ["sub", "name", "picture", "locale", "email", "email_verified"],
            "authorization_response_iss_parameter_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
        }

    def jwks(self) -> dict[str, Any]:
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "kid": self._key.kid, "use": "sig", "alg": "ES256"}]}

    # --- authorization ----------------------------------------------------------------------------------------------

    def read_ask(self, pairs: list[tuple[str, str]]) -> dict[str, str]:
        """The checked parameters of an authorization request.

        Raises:
            CannotRedirect: say it on a page of ours.
            AskRefused: send it back to the client.
        """
        params = dict(pairs)
        if params.get("client_id") != self.client.id:
            raise CannotRedirect("Plaza does not know this app.")
        # Exact comparison, no prefix and no pattern (RFC 9700, 2.1).
        if params.get("redirect_uri") not in self.client.redirect_uris:
            raise CannotRedirect("This app asked to be answered at an address it has not registered.")
        if len(params) != len(pairs):
            raise AskRefused("invalid_request", "a parameter is given twice")
        if params.get("response_type") != "code":
            raise AskRefused("unsupported_response_type", "only code")
        if "openid" not in params.get("scope", "").split():
            raise AskRefused("invalid_scope", "scope must contain openid")
        if params.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(params.get("code_challenge", "")):
            raise AskRefused("invalid_request", "PKCE with S256 is required")
        if not params.get("nonce"):
            raise AskRefused("invalid_request", "nonce is required")
        if any(len(value) > 1000 for value in params.values()):
            raise AskRefused("invalid_request", "too long")
        return params

    def answer_url(self, params: Mapping[str, str], **answer: str) -> str:
        """Back to the client, with state and our name (RFC 9207)."""
        values = {**answer, "iss": self.issuer}
        if "state" in params:
            values["state"] = params["state"]
        address = params["redirect_uri"]
        return f"{address}{'&' if '?' in address else '?'}{urlencode(values)}"

    def approve(self, params: dict[str, str], person: Person) -> str:
        """The person said yes: where to send the browser now."""
        return self.answer_url(params, code=self._store.add_code(person.id, params, code_seconds))

    # --- tokens -----------------------------------------------------------------------------------------------------

    async def token(self, request: Request) -> Response:
        form = {key: str(value) for key, value in (await request.form(max_files=0)).multi_items()}
        if not self._knows_client(request, form):
            headers = {**_NO_STORE, "WWW-Authenticate": 'Basic realm="plaza"'}
            return JSONResponse({"error": "invalid_client"}, 401, headers=headers)
        if form.get("grant_type") != "authorization_code":
            return _refusal("unsupported_grant_type")
        code = form.get("code", "")
        grant = self._store.take_code(code)
        if grant is None or grant.params["redirect_uri"] != form.get("redirect_uri"):
            return _refusal("invalid_grant")
        if not _proves(form.get("code_verifier", ""), grant.params["code_challenge"]):
            return _refusal("invalid_grant")
        person, scope = BY_ID[grant.person], grant.params["scope"]
        answer = {
            "access_token": self._store.add_access(person.id, scope, code, access_seconds),
            "token_type": "Bearer",
            "expires_in": access_seconds,
            "scope": scope,
            "id_token": self._id_token(person, scope, nonce=grant.params["nonce"], at=grant.at),
        }
        return JSONResponse(answer, headers=_NO_STORE)

    async def userinfo(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found = self._store.access(token) if scheme.lower() == "bearer" else None
        if found is None:
            headers = {**_NO_STORE, "WWW-Authenticate": 'Bearer error="invalid_token"'}
            return JSONResponse({"error": "invalid_token"}, 401, headers=headers)
        person, scope = found
        return JSONResponse({"sub": person, **self._claims(BY_ID[person], scope)}, headers=_NO_STORE)

    def _knows_client(self, request: Request, form: Mapping[str, str]) -> bool:
        id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, password = base64.b64decode(given, validate=True).decode().partition(":")
            except ValueError:
                return False
            id, secret = unquote_plus(user), unquote_plus(password)
        return hmac.compare_digest(id.encode(), self.client.id.encode()) and hmac.compare_digest(
            secret.encode(), self.client.secret.encode()
        )

    def _id_token(self, person: Person, scope: str, *, nonce: str, at: int) -> str:
        now = now_seconds()
        claims = {
            "iss": self.issuer,
            "sub": person.id,
            "aud": self.client.id,
            "iat": now,
            "exp": now + 300,
            "auth_time": at,
            "nonce": nonce,
            **self._claims(person, scope),
        }
        return jwt.encode({"alg": "ES256", "kid": self._key.kid}, claims, self._key, algorithms=["ES256"])

    def _claims(self, person: Person, scope: str) -> dict[str, Any]:
        claims: dict[str, Any] = {}
        if "profile" in scope.split():
            claims |= {
                "name": person.name,
                "picture": f"{self.issuer}/pictures/{person.handle}.svg",
                "locale": person.locale,
            }
        if "email" in scope.split():
            claims |= {"email": person.email, "email_verified": True}
        return claims


def sign_launch(params: Mapping[str, str], secret: str) -> str:
    """The query string with which Plaza opens an app: HMAC-SHA256 over the sorted `key=value` lines, in `sig`."""
    lines = "\n".join(f"{key}={params[key]}" for key in sorted(params))
    signature = hmac.new(secret.encode(), lines.encode(), hashlib.sha256).hexdigest()
    return urlencode({**params, "sig": signature})


def _proves(verifier: str, challenge: str) -> bool:
    if not _VERIFIER.fullmatch(verifier):
        return False
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return hmac.compare_digest(made, challenge)


def _refusal(error: str) -> Response:
    return JSONResponse({"error": error}, 400, headers=_NO_STORE)


def _stored_key(path: Path) -> ECKey:
    """The signing key, made once and kept, so that tokens outlive a restart."""
    if not path.exists():
        key = ECKey.generate_key("P-256", private=True, auto_kid=True)
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({**key.as_dict(private=True), "kid": key.kid}, file)
        fresh.replace(path)
    return ECKey.import_key(json.loads(path.read_text()))
