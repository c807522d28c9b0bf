"""What notices need from the outside: somebody who carries a message."""

from __future__ import annotations

from typing import Protocol

from groupbook.notices.domain import Address


class Messenger(Protocol):
    """Carries a finished sentence to one person through one channel."""

    @property
    def channel(self) -> str:
        """The network's registry name, or `email`."""
        ...

    def reaches(self, to: Address) -> bool:
        """Whether this messenger can reach that address at all."""
        ...

    def send(self, to: Address, *, text: str, link: str, key: str) -> None:
        """Send `text` with `link`; asking again with the same `key` sends no second message where the channel can tell.

        Raises:
            Refused: this person cannot be reached there; asking again cannot help.
            Unavailable: nothing was sent; safe to ask later.
            OutcomeUnknown: it may have been sent; ask again with the same key.
        """
