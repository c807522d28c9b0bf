"""OpenID Connect, authorization code with PKCE S256: the login half of every network that speaks the standard.

OAuth is authlib's, JWT is joserfc's; here is only what ties an answer to the question that was asked: state
(RFC 6749 10.12), issuer (RFC 9207), audience, nonce and time (OpenID Connect Core 3.1.3.7).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import InvariantBroken, Unavailable
from groupbook.people.domain import ExternalIdentity, LoginRefused, LoginRequest

# The algorithms that a public key can verify. Never chosen by the token alone: `none` and HS256 stay outside.
_ALGORITHMS: Final = ("RS256", "ES256")
_skew_seconds: Final = 60
_text_characters_max: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Discovery:
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    names_issuer: bool
    token_auth: str


class OidcLogin:
    """`groupbook.people.ports.LoginProvider` for one client registration at one issuer.

    Discovery is read once and keys again when a token names an unknown one, so that the issuer can rotate them.

    Raises:
        InvariantBroken: no client secret.
    """

    def __init__(
        self, *, network: str, issuer: str, client_id: str, client_secret: str, scope: str = "openid profile email"
    ) -> None:
        if not client_secret:
            raise InvariantBroken(what="no client secret", network=network)
        self._network = network
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._discovered: _Discovery | None = None
        self._keys: KeySet | None = None

    @property
    def app_id(self) -> str:
        return self._client_id

    def begin(self, request: LoginRequest, *, timeout_seconds: float) -> str:
        forbid_in_transaction("begin_login")
        with self._client(request, timeout_seconds) as client:
            discovery = self._discover(client)
            url, _ = client.create_authorization_url(
                discovery.authorization_endpoint,
                state=request.state,
                code_verifier=request.verifier,
                nonce=request.nonce,
            )
            return str(url)

    def finish(
        self, params: Mapping[str, str], request: LoginRequest, *, now: datetime, timeout_seconds: float
    ) -> ExternalIdentity:
        forbid_in_transaction("finish_login")
        if not hmac.compare_digest(params.get("state", "").encode(), request.state.encode()):
            raise LoginRefused("wrong_state")
        with self._client(request, timeout_seconds) as client:
            discovery = self._discover(client)
            if discovery.names_issuer and params.get("iss") != discovery.issuer:
                raise LoginRefused("wrong_issuer")
            if "error" in params:
                raise LoginRefused("canceled" if params["error"] == "access_denied" else "code_refused")
            if not params.get("code"):
                raise LoginRefused("malformed")
            token = self._trade(client, discovery, params["code"], request)
            claims = self._read_id_token(client, discovery, token, request, now)
        return self._identity(claims)

    # --- the three calls ----------------------------------------------------------------------------------------

    def _client(self, request: LoginRequest, timeout_seconds: float) -> OAuth2Client:
        return OAuth2Client(
            client_id=self._client_id,
            client_secret=self._client_secret,
            token_endpoint_auth_method="client_secret_basic",
            scope=self._scope,
            redirect_uri=request.redirect_uri,
            code_challenge_method="S256",
            timeout=httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds, 5.0)),
            follow_redirects=False,
            trust_env=False,
        )

    def _discover(self, client: OAuth2Client) -> _Discovery:
        if self._discovered is None:
            document = self._read(client, f"{self._issuer}/.well-known/openid-configuration")
            if document.get("issuer") != self._issuer:
                raise Unavailable(reason="wrong_issuer")
            try:
                self._discovered = _Discovery(
                    issuer=self._issuer,
                    authorization_endpoint=document["authorization_endpoint"],
                    token_endpoint=document["token_endpoint"],
                    jwks_uri=document["jwks_uri"],
                    names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
                    token_auth=_token_auth(document),
                )
            except KeyError as error:
                raise Unavailable(reason="bad_discovery") from error
        return self._discovered

    def _trade(
        self, client: OAuth2Client, discovery: _Discovery, code: str, request: LoginRequest
    ) -> Mapping[str, Any]:
        client.token_endpoint_auth_method = discovery.token_auth
        try:
            token: Mapping[str, Any] = client.fetch_token(
                discovery.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=request.verifier,
                redirect_uri=request.redirect_uri,
            )
        except OAuthError as error:
            if error.error in ("invalid_client", "unauthorized_client"):
                raise Unavailable(reason="client_refused") from error  # our registration, not the person's doing
            raise LoginRefused("code_refused") from error
        except (httpx2.HTTPError, ValueError) as error:
            raise Unavailable(reason="network") from error
        return token

    def _read_id_token(
        self,
        client: OAuth2Client,
        discovery: _Discovery,
        token: Mapping[str, Any],
        request: LoginRequest,
        now: datetime,
    ) -> Mapping[str, Any]:
        raw = token.get("id_token")
        if not isinstance(raw, str):
            raise LoginRefused("bad_token")
        try:
            claims = self._verify_signature(client, discovery, raw)
            registry = jwt.JWTClaimsRegistry(
                now=int(now.timestamp()),
                leeway=_skew_seconds,
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
            )
            registry.validate(dict(claims))
        except ExpiredTokenError as error:
            raise LoginRefused("expired") from error
        except (JoseError, ValueError, TypeError) as error:
            raise LoginRefused("bad_token") from error
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != discovery.issuer:
            raise LoginRefused("wrong_issuer")
        if self._client_id not in audiences or (len(audiences) > 1 and claims.get("azp") != self._client_id):
            raise LoginRefused("wrong_audience")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), request.nonce.encode()):
            raise LoginRefused("wrong_nonce")
        return claims

    def _verify_signature(self, client: OAuth2Client, discovery: _Discovery, raw: str) -> Mapping[str, Any]:
        known = self._keys
        if known is not None:
            try:
                return jwt.decode(raw, known, algorithms=list(_ALGORITHMS)).claims
            except InvalidKeyIdError:
                pass  # the issuer has a new key: read the set again, once
        fresh = KeySet.import_key_set(self._read(client, discovery.jwks_uri))  # type: ignore[arg-type]  # JSON
        claims = jwt.decode(raw, fresh, algorithms=list(_ALGORITHMS)).claims
        self._keys = fresh
        return claims

    def _read(self, client: OAuth2Client, url: str) -> dict[str, Any]:
        try:
            answer = client.request("GET", url, withhold_token=True)
            answer.raise_for_status()
            document = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise Unavailable(reason="network") from error
        if not isinstance(document, dict):
            raise Unavailable(reason="network")
        return document

    def _identity(self, claims: Mapping[str, Any]) -> ExternalIdentity:
        subject = _text(claims, "sub")
        if not subject:
            raise LoginRefused("malformed")
        return ExternalIdentity(
            network=self._network,
            app_id=self._client_id,
            subject=subject,
            display_name=_text(claims, "name") or "",
            avatar_url=_text(claims, "picture"),
            email=_text(claims, "email"),
            # Some issuers send the string "true" (social-and-referral.md A.6).
            email_verified=claims.get("email_verified") in (True, "true"),
            locale=_text(claims, "locale"),
        )


def _token_auth(document: Mapping[str, Any]) -> str:
    # A secret with signs in it is written in several ways into Basic and in one way into a form, so we prefer the form.
    # An issuer that lists nothing takes Basic (OpenID Connect Discovery 1.0, section 3).
    offered = document.get("token_endpoint_auth_methods_supported")
    return (
        "client_secret_post" if isinstance(offered, list) and "client_secret_post" in offered else "client_secret_basic"
    )


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= _text_characters_max else None
