"""Messages that never reached us, from the provider's own list: what only a message tells is not lost with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog

from groupbook.kit.clock import system_now
from groupbook.kit.errors import Refused, Unavailable
from groupbook.kit.ids import MerchantId
from groupbook.payments import books_repository
from groupbook.payments.handlers import Providers
from groupbook.payments.ports import ProviderEvent
from groupbook.payments.service.listening import SOURCE, handle_events, look_at_account
from groupbook.payments.service.setting_up import connection_in_use

log = structlog.get_logger(__name__)

# A provider keeps its list for 30 days (docs.stripe.com/api/events); who was away for longer has the daily comparison.
kept_seconds: Final = 29 * 86_400
overlap_seconds: Final = 600  # a message may enter the list a little later than its own date
FORBIDDEN: Final = 403
window_seconds: Final = 6 * 3600  # read and written at a time


def read_missed_events(providers: Providers, merchant_id: MerchantId, *, every_seconds: float) -> int:
    """Read the provider's list from where the last reading ended; how many messages were new. A use case.

    Each is handled as if it had come by itself, once. The first reading only says where the next begins. Where the
    provider does not answer, the next turn goes on from the last window that was read to its end.
    """
    with providers.database.begin(merchant_id) as session:
        try:
            provider = providers.provider(session)
        except Refused:
            return 0  # nothing is taken through us here
        now = system_now(session)
        cursor = books_repository.claim_cursor(session, SOURCE, at=now, every_seconds=every_seconds)
        if cursor is None:
            return 0
        if cursor.read_until is None:
            books_repository.move_cursor(session, SOURCE, now)
            return 0
        begun = cursor.read_until
    start = max(begun - timedelta(seconds=overlap_seconds), now - timedelta(seconds=kept_seconds))
    new = 0
    while start < now:
        end = min(start + timedelta(seconds=window_seconds), now)
        try:
            found = provider.list_events(start, end, timeout_seconds=providers.timeout_seconds)
        except Unavailable as error:
            log.info("payment_events_unread", error=error.code)
            if error.params.get("status") == FORBIDDEN:
                _doubt_access(providers, merchant_id)
            return new
        with providers.database.begin(merchant_id) as session:
            named = [(event, b"") for event in found if _names_something(event)]
            new += sum(handle_events(session, SOURCE, named))
            books_repository.move_cursor(session, SOURCE, end)
        start = end
    return new


def _doubt_access(providers: Providers, merchant_id: MerchantId) -> None:
    """We may not read there: perhaps the account's holder ended it, and the message of that was lost."""
    with providers.database.begin(merchant_id) as session:
        connection = connection_in_use(session, providers.sealer)
        account = connection.configuration.get("account") if connection is not None else None
        if account is not None:
            look_at_account(session, str(account))


def _names_something(event: ProviderEvent) -> bool:
    """Whether it is about something that could be ours; an account has other business, too."""
    return any((event.attempt_id, event.refund_id, event.page_ref, event.payment_ref))
