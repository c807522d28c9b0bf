"""Plaza, the demo network: OpenID Connect login, signed launches inside its app frame, a compose page for sharing."""

from __future__ import annotations

from urllib.parse import urlencode

from groupbook.people.ports import SocialNetwork
from integrations.social.oidc import OidcLogin
from integrations.social.signed import SignedQueryVerifier

NAME = "demo"
TITLE = "Plaza"


class ComposePage:
    """`groupbook.people.ports.ShareTarget`: Plaza's page that posts a link to the person's friends."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def share_url(self, *, text: str, url: str) -> str:
        return f"{self._base_url}/share?{urlencode({'url': url, 'text': text})}"


def demo_network(*, base_url: str, client_id: str, client_secret: str, launch_secret: str) -> SocialNetwork:
    """The demo network at `base_url` (an origin, without a final slash)."""
    base_url = base_url.rstrip("/")
    return SocialNetwork(
        name=NAME,
        title=TITLE,
        origin=base_url,
        login=OidcLogin(network=NAME, issuer=base_url, client_id=client_id, client_secret=client_secret),
        launch=SignedQueryVerifier(network=NAME, app_id=client_id, secret=launch_secret),
        share=ComposePage(base_url),
    )
