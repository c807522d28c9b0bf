"""Who asks. Made at the edge (a session, an API key), then passed down as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from groupbook.kit.errors import Forbidden, Unauthenticated
from groupbook.kit.ids import MerchantId

CallerKind = Literal["person", "guest", "merchant", "staff", "nobody"]


@dataclass(frozen=True)
class Caller:
    """Somebody asking something of one merchant.

    `subject` is the person, guest or staff member; for `merchant` the API key. `nobody` has none.
    """

    kind: CallerKind
    merchant_id: MerchantId
    livemode: bool = False
    subject: UUID | None = None
    session_id: UUID | None = None
    scopes: frozenset[str] = frozenset()

    @property
    def is_traveler(self) -> bool:
        return self.kind in ("person", "guest")

    @property
    def actor(self) -> str:
        """A name for logs and idempotency scopes; never personal data."""
        return f"{self.kind}:{self.subject.hex if self.subject else '-'}"

    def require_traveler(self) -> UUID:
        """The person's or guest's id.

        Raises:
            Unauthenticated: nobody we know asks.
            Forbidden: a merchant or its staff asks for what only a traveler may do.
        """
        if self.kind == "nobody" or self.subject is None:
            raise Unauthenticated()
        if not self.is_traveler:
            raise Forbidden(needs="traveler")
        return self.subject
