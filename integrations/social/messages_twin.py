"""A messenger in memory: what was sent lies in `sent`; `is_down` and `refuses` make it misbehave."""

from __future__ import annotations

from dataclasses import dataclass, field

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import Refused, Unavailable
from groupbook.notices.domain import Address, Message


@dataclass
class TwinMessenger:
    """`groupbook.notices.ports.Messenger`; the same key is one message, as at the demo network."""

    channel: str = "demo"
    sent: dict[str, tuple[str, Message]] = field(default_factory=dict)
    refuses: frozenset[str] = frozenset()
    is_down: bool = False

    def reaches(self, to: Address) -> bool:
        return bool(self._key(to)) and (self.channel == "email" or to.network == self.channel)

    def _key(self, to: Address) -> str:
        return (to.email or "") if self.channel == "email" else to.subject

    def send(self, to: Address, message: Message, *, key: str) -> None:
        forbid_in_transaction("sending a message")
        if self.is_down:
            raise Unavailable(channel=self.channel)
        if self._key(to) in self.refuses:
            raise Refused("not_reachable")
        self.sent[key] = (self._key(to), message)
