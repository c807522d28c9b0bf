"""A social network in memory: the same answers as a real one, the same in every run, without a socket.

A test plays the person: `approve(url, subject)` is what happens on the login page and gives the callback's
parameters; `launch_payload` is what the network signs when it opens us inside itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlencode, urlsplit

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import Unavailable
from groupbook.people.domain import ExternalIdentity, LoginRefused, LoginRequest, challenge_of
from groupbook.people.ports import SocialNetwork
from integrations.social.demo import ComposePage
from integrations.social.signed import SignedQueryVerifier, sign

ORIGIN = "https://twin.example"
PEOPLE = ("ana", "bo", "chloe", "dev", "emeka", "freya", "gil", "hana")


@dataclass(frozen=True, slots=True)
class _Code:
    subject: str
    redirect_uri: str
    challenge: str
    nonce: str


class TwinLogin:
    """`groupbook.people.ports.LoginProvider` that keeps its codes in a dict."""

    def __init__(self, network: str, app_id: str) -> None:
        self._network = network
        self._app_id = app_id
        self._codes: dict[str, _Code] = {}
        self._minted = 0
        self.is_down = False

    @property
    def app_id(self) -> str:
        return self._app_id

    def begin(self, request: LoginRequest, *, timeout_seconds: float) -> str:
        forbid_in_transaction("begin_login")
        self._answer()
        query = {
            "client_id": self._app_id,
            "redirect_uri": request.redirect_uri,
            "state": request.state,
            "nonce": request.nonce,
            "code_challenge": challenge_of(request.verifier),
        }
        return f"{ORIGIN}/authorize?{urlencode(query)}"

    def finish(
        self, params: Mapping[str, str], request: LoginRequest, *, now: datetime, timeout_seconds: float
    ) -> ExternalIdentity:
        forbid_in_transaction("finish_login")
        if params.get("state") != request.state:
            raise LoginRefused("wrong_state")
        self._answer()
        if params.get("iss") != ORIGIN:
            raise LoginRefused("wrong_issuer")
        if "error" in params:
            raise LoginRefused("canceled" if params["error"] == "access_denied" else "code_refused")
        if not params.get("code"):
            raise LoginRefused("malformed")
        code = self._codes.pop(params["code"], None)
        if code is None or code.redirect_uri != request.redirect_uri:
            raise LoginRefused("code_refused")
        if code.challenge != challenge_of(request.verifier):
            raise LoginRefused("code_refused")
        if code.nonce != request.nonce:
            raise LoginRefused("wrong_nonce")
        return ExternalIdentity(
            network=self._network,
            app_id=self._app_id,
            subject=code.subject,
            display_name=code.subject.title(),
            avatar_url=f"{ORIGIN}/avatars/{code.subject}.svg",
            email=f"{code.subject}@example.org",
            email_verified=True,
            locale="en",
        )

    def approve(self, url: str, subject: str) -> dict[str, str]:
        """The person says yes on the login page at `url`."""
        query = dict(parse_qsl(urlsplit(url).query))
        self._minted += 1
        code = f"code-{self._minted}"
        self._codes[code] = _Code(subject, query["redirect_uri"], query["code_challenge"], query["nonce"])
        return {"code": code, "state": query["state"], "iss": ORIGIN}

    def cancel(self, url: str) -> dict[str, str]:
        query = dict(parse_qsl(urlsplit(url).query))
        return {"error": "access_denied", "state": query["state"], "iss": ORIGIN}

    def _answer(self) -> None:
        if self.is_down:
            raise Unavailable(reason="network")


class TwinNetwork:
    """The whole network: hand `network` to the room, play the people through `login` and `launch_payload`."""

    def __init__(self, name: str = "twin", *, app_id: str = "twin-app", secret: str = "twin-launch-secret") -> None:
        self._app_id = app_id
        self._secret = secret
        self._launches = 0
        self.login = TwinLogin(name, app_id)
        self.network = SocialNetwork(
            name=name,
            title="Twin",
            origin=ORIGIN,
            login=self.login,
            launch=SignedQueryVerifier(network=name, app_id=app_id, secret=secret),
            share=ComposePage(ORIGIN),
        )

    def launch_payload(self, subject: str, *, merchant: str, at: datetime, start: str = "", **changes: str) -> str:
        """What the network signs when `subject` opens us at `at`; every launch has another signature."""
        self._launches += 1
        params = {
            "alg": "HMAC-SHA256",
            "app_id": self._app_id,
            "auth_date": str(int(at.timestamp())),
            "launch": str(self._launches),
            "merchant": merchant,
            "name": subject.title(),
            "start": start,
            "sub": subject,
        }
        return sign({**params, **changes}, self._secret)
