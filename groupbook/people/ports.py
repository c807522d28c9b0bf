"""What this room asks of a social network. One file per network in `integrations/social` answers it.

A network offers what it can: a login page, signed launches of us inside it, a share page. Each part is its own
protocol, because WhatsApp can only share and a mini-app host may have no login page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from groupbook.people.domain import ExternalIdentity, Launch, LoginRequest


class LoginProvider(Protocol):
    """A network's login page: we send the browser there and learn who came back."""

    @property
    def app_id(self) -> str:
        """Our registration at the network."""
        ...

    def begin(self, request: LoginRequest, *, timeout_seconds: float) -> str:
        """The address of the login page for this request (code, PKCE S256, state, nonce).

        Raises:
            Unavailable: the network does not answer; ask later.
        """
        ...

    def finish(
        self, params: Mapping[str, str], request: LoginRequest, *, now: datetime, timeout_seconds: float
    ) -> ExternalIdentity:
        """Who came back, proven by the network: `params` are the callback's parameters, `request` what we asked.

        Raises:
            LoginRefused: `reason` canceled, wrong_state, wrong_issuer, wrong_nonce, wrong_audience, expired,
                bad_token, code_refused, malformed; asking again with the same code cannot help.
            Unavailable: the network does not answer; the person starts again.
        """
        ...


class LaunchVerifier(Protocol):
    """Reads the signed launch payload with which a network opens us inside itself. Pure: no IO, no clock."""

    @property
    def app_id(self) -> str: ...

    def verify(self, payload: str, *, now: datetime) -> Launch:
        """The launch behind `payload`, as the network signed it.

        Args:
            payload: the query string exactly as received, without a leading "?".
            now: the instant against which age is judged: 300 s old at most, 60 s ahead at most.
        Raises:
            LaunchRejected: with its `LaunchReason`; a key given twice is `malformed`. `replayed` is decided by the
                room, not here.
        """
        ...


class ShareTarget(Protocol):
    """A network's own page for posting a link."""

    def share_url(self, *, text: str, url: str) -> str:
        """The address that opens the network's compose page with this text and link."""
        ...


@dataclass(frozen=True, slots=True)
class SocialNetwork:
    """One network as we use it. `name` is the registry key and part of our addresses, `title` what people call it.

    `origin` is where the network's own pages live: the only place that may frame the network's launch page.
    """

    name: str
    title: str
    origin: str
    login: LoginProvider | None = None
    launch: LaunchVerifier | None = None
    share: ShareTarget | None = None
