"""What the pages need from the rest of the house; main.py fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from groupbook.bookings import Policy
from groupbook.kit.database import Database
from groupbook.kit.runner import Runner
from groupbook.kit.sealing import Sealer
from groupbook.offers import AdapterOf
from groupbook.payments import Providers
from groupbook.people import SocialNetwork


@dataclass(frozen=True)
class WebDeps:
    """`home_merchant` is the slug behind `/` and `/start`; `payment_origins` are where hosted payment pages live."""

    database: Database
    sealer: Sealer
    runner: Runner
    providers: Providers
    adapter_of: AdapterOf
    networks: Mapping[str, SocialNetwork]
    public_url: str
    policy: Policy = field(default_factory=Policy)
    home_merchant: str = "kestrel"
    payment_origins: tuple[str, ...] = ()
    test_mode: bool = False
    sends_mail: bool = False

    @property
    def public_origin(self) -> str:
        """Scheme, host and port as a browser writes them in `Origin`."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def is_secure(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def form_targets(self) -> tuple[str, ...]:
        """Where a form of ours may end up: the payment pages and the networks' own pages."""
        return (*self.payment_origins, *(network.origin for network in self.networks.values()))
