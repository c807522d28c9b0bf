"""What notices need from the outside: somebody who carries a message."""

from __future__ import annotations

from typing import Protocol

from groupbook.notices.domain import Address, Message


class Messenger(Protocol):
    """Carries a finished message to one person through one channel."""

    @property
    def channel(self) -> str:
        """The network's registry name, or `email`."""
        ...

    def reaches(self, to: Address) -> bool:
        """Whether this messenger can reach that address at all."""
        ...

    def send(self, to: Address, message: Message, *, key: str) -> None:
        """Send `message`; asking again with the same `key` sends no second one where the channel can tell.

        Raises:
            Refused: asking again cannot help. `not_reachable`: nobody is there, so write there no more; any other
                reason is about this message only.
            Unavailable: nothing was sent; safe to ask later.
            OutcomeUnknown: it may have been sent; ask again with the same key.
        """
