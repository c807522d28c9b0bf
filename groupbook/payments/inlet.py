"""Messages of the provider that come at once are kept together: one transaction for all that waited, not for each.

Whoever comes first writes. Who comes while that is under way waits, and the first of those then writes for all of them.
A message is answered only when it is kept; one that cannot be kept holds up no other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from groupbook.kit.database import Database
from groupbook.kit.errors import GroupbookError
from groupbook.kit.ids import MerchantId
from groupbook.payments.ports import ProviderEvent
from groupbook.payments.service.listening import handle_event, handle_events

log = structlog.get_logger(__name__)
batch_max: Final = 200
# Stripe's messages carry the whole object, this included (https://docs.stripe.com/api/events/object)
_CLIENT_SECRET: Final = re.compile(rb'("client_secret"\s*:\s*)"(?:[^"\\]|\\.)*"')


@dataclass
class _Waiting:
    """`turn` is set when it is kept (`is_new` is known), when it failed with its batch, or when it has to write."""

    event: ProviderEvent
    body: bytes
    turn: Event = field(default_factory=Event)
    is_new: bool | None = None
    has_failed: bool = False


class Inlet:
    """Where one process keeps its messages. `source` is the provider's name."""

    def __init__(self, database: Database, source: str) -> None:
        self._database, self._source = database, source
        self._lock = Lock()
        self._lines: dict[MerchantId, list[_Waiting]] = {}  # a merchant has a line while somebody writes for it

    def keep(self, merchant_id: MerchantId, event: ProviderEvent, body: bytes) -> bool:
        """Keep a verified message and owe the readings it asks for; False for a duplicate. A use case.

        It is kept as it came, but for the secrets by which a payer's browser agrees to a payment: those nobody keeps.
        """
        body = _CLIENT_SECRET.sub(rb"\1null", body)
        mine = _Waiting(event, body)
        with self._lock:
            is_first = merchant_id not in self._lines
            self._lines.setdefault(merchant_id, []).append(mine)
        if not is_first:
            mine.turn.wait()
        if mine.is_new is None and not mine.has_failed:
            self._write(merchant_id)
        if mine.is_new is None:
            with self._database.begin(merchant_id) as session:
                return handle_event(session, self._source, event, body)
        return mine.is_new

    def waiting(self, merchant_id: MerchantId) -> int:
        """How many messages of this merchant's provider nobody writes yet."""
        with self._lock:
            return len(self._lines.get(merchant_id, ()))

    def _write(self, merchant_id: MerchantId) -> None:
        """Keep what waits, the caller's own among it, and hand the line to the next."""
        with self._lock:
            batch = self._lines[merchant_id][:batch_max]
            del self._lines[merchant_id][:batch_max]
        try:
            with self._database.begin(merchant_id) as session:
                kept = handle_events(session, self._source, [(one.event, one.body) for one in batch])
            for one, is_new in zip(batch, kept, strict=True):
                one.is_new = is_new
        except (GroupbookError, SQLAlchemyError) as error:
            log.warning("messages_kept_one_by_one", messages=len(batch), error=repr(error))
        finally:
            for one in batch:
                one.has_failed = one.is_new is None
                one.turn.set()
            with self._lock:
                if self._lines[merchant_id]:
                    self._lines[merchant_id][0].turn.set()
                else:
                    del self._lines[merchant_id]
