"""What the webhooks room needs from the outside: somebody who posts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from groupbook.webhooks.domain import Answer


class Sender(Protocol):
    """Posts one message to a merchant's endpoint, safely."""

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes, loopback_allowed: bool) -> Answer:
        """Post once, follow no redirect, read no more than a little of the answer, take bounded time.

        Never raises for what the other side does: no answer is an `Answer` with an `error` code (address_refused,
        unresolvable, unreachable, tls_failed, timeout, protocol_error).
        """
