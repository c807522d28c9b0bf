"""The attempt's machine: one try to get one payer's authorization, or to keep their card for later. Pure.

    opening? -> open -> action -> authorized -> capturing? -> captured
    opening? -> open -> saved                    (a page that only keeps the card; it costs nobody anything)
    declined (the page is still open), closing?, canceled, expired, failed, orphan

A state marked `?` is unknown by nature: an outside call is owed or under way, and only reading the provider leaves it.
What the provider shows is the truth about *its* effects, so every `seen_…` event has an answer in every state that is
ever stored (an orphan is closed in the transaction that found it); what we asked for (`…_asked`) is legal only where
the table says so. A pair that is not in the table is refused, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from groupbook.kit.machines import advance
from groupbook.payments.errors import IllegalStep


class AttemptMode(StrEnum):
    """How the payer's yes is asked for."""

    AUTHORIZE = "authorize"  # on a hosted page, for the money
    SAVE = "save"  # on a hosted page, for the card only
    OFF_SESSION = "off_session"  # with the card they let us keep, in their absence


class AttemptState(StrEnum):
    OPENING = "opening"
    OPEN = "open"
    ACTION = "action"
    DECLINED = "declined"
    SAVED = "saved"
    AUTHORIZED = "authorized"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    CLOSING = "closing"
    CANCELED = "canceled"
    EXPIRED = "expired"
    FAILED = "failed"
    ORPHAN = "orphan"


class AttemptEvent(StrEnum):
    PAGE_OPENED = "page_opened"
    PAGE_REFUSED = "page_refused"
    CLOSE_ASKED = "close_asked"
    CAPTURE_ASKED = "capture_asked"
    CAPTURE_REFUSED = "capture_refused"
    NEVER_LANDED = "never_landed"  # the second look found nothing after the longest time a call can be under way
    SEEN_ABSENT = "seen_absent"
    SEEN_OPEN = "seen_open"
    SEEN_ACTION = "seen_action"
    SEEN_DECLINED = "seen_declined"
    SEEN_SAVED = "seen_saved"
    SEEN_AUTHORIZED = "seen_authorized"
    SEEN_CAPTURED = "seen_captured"
    SEEN_CANCELED = "seen_canceled"
    SEEN_EXPIRED = "seen_expired"


def _attempt_table() -> Mapping[tuple[AttemptState, AttemptEvent], AttemptState]:
    s, e = AttemptState, AttemptEvent
    table: dict[tuple[AttemptState, AttemptEvent], AttemptState] = {}

    def row(state: AttemptState, **answers: AttemptState) -> None:
        for event, target in answers.items():
            table[state, AttemptEvent(event)] = target

    looking: dict[str, AttemptState] = {
        "seen_action": s.ACTION,
        "seen_declined": s.DECLINED,
        "seen_saved": s.SAVED,
        "seen_authorized": s.AUTHORIZED,
        "seen_captured": s.CAPTURED,
        "seen_canceled": s.CANCELED,
        "seen_expired": s.EXPIRED,
        "close_asked": s.CLOSING,
    }
    row(s.OPENING, page_opened=s.OPEN, page_refused=s.FAILED, seen_absent=s.OPENING, seen_open=s.OPEN, **looking)
    for state in (s.OPEN, s.ACTION, s.DECLINED):
        # A page on which the bank said no is still a page: the same payer may type another card there.
        kept = s.DECLINED if state is s.DECLINED else s.OPEN
        row(state, page_opened=state, seen_absent=state, seen_open=kept, **looking)

    # Neither an authorization nor a saved card moves backwards because an older reading arrives late (I9).
    early = (e.PAGE_OPENED, e.SEEN_ABSENT, e.SEEN_OPEN, e.SEEN_ACTION, e.SEEN_DECLINED, e.SEEN_SAVED)
    for state in (s.SAVED, s.AUTHORIZED, s.CAPTURING, s.CAPTURED):
        for event in early:
            table[state, event] = state
    for state in (s.AUTHORIZED, s.CAPTURING, s.CAPTURED):
        table[state, e.SEEN_AUTHORIZED] = state
    # Nobody agreed to more than the saving on that page: whatever else it shows is released or given back.
    row(
        s.SAVED,
        seen_authorized=s.ORPHAN,
        seen_captured=s.CAPTURED,
        seen_canceled=s.CANCELED,
        seen_expired=s.EXPIRED,
        close_asked=s.CLOSING,
    )
    row(
        s.AUTHORIZED,
        seen_captured=s.CAPTURED,
        seen_canceled=s.CANCELED,
        seen_expired=s.EXPIRED,
        close_asked=s.CLOSING,
        capture_asked=s.CAPTURING,
    )
    # A refused capture may leave a live authorization behind: it is voided, never left to lapse (H12).
    row(
        s.CAPTURING,
        seen_captured=s.CAPTURED,
        seen_canceled=s.CANCELED,
        seen_expired=s.EXPIRED,
        capture_refused=s.CLOSING,
    )
    row(s.CAPTURED, seen_captured=s.CAPTURED, seen_canceled=s.CAPTURED, seen_expired=s.CAPTURED)

    for event in (e.PAGE_OPENED, e.SEEN_ABSENT, e.SEEN_OPEN, e.SEEN_ACTION):
        table[s.CLOSING, event] = s.CLOSING
    row(
        s.CLOSING,
        page_refused=s.CANCELED,
        never_landed=s.CANCELED,
        seen_declined=s.CLOSING,
        seen_saved=s.CLOSING,
        seen_authorized=s.CLOSING,
        seen_captured=s.CAPTURED,
        seen_canceled=s.CANCELED,
        seen_expired=s.EXPIRED,
    )
    # A zombie: what we had given up lands after all. It is an orphan, and is closed in the same transaction.
    for state in (s.CANCELED, s.EXPIRED, s.FAILED):
        for event in (e.PAGE_OPENED, e.SEEN_OPEN, e.SEEN_ACTION, e.SEEN_DECLINED, e.SEEN_SAVED, e.SEEN_AUTHORIZED):
            table[state, event] = s.ORPHAN
        row(state, seen_absent=state, seen_captured=s.CAPTURED, seen_canceled=s.CANCELED, seen_expired=s.EXPIRED)
    # A page that the provider would not open, and that opened late and closed by itself: nobody was ever there.
    row(s.FAILED, seen_canceled=s.FAILED, seen_expired=s.FAILED)
    # A page that was given up before anybody asked for it.
    table[s.CANCELED, e.PAGE_REFUSED] = s.CANCELED
    table[s.ORPHAN, e.CLOSE_ASKED] = s.CLOSING
    return MappingProxyType(table)


ATTEMPT_TABLE: Final = _attempt_table()
ATTEMPT_OVER: Final = frozenset(
    {AttemptState.CAPTURED, AttemptState.CANCELED, AttemptState.EXPIRED, AttemptState.FAILED}
)
# Nothing a decision needs to know can change about these.
NOT_READ: Final = ATTEMPT_OVER | {AttemptState.CLOSING, AttemptState.SAVED}
ATTEMPT_PAYABLE: Final = frozenset(
    {AttemptState.OPENING, AttemptState.OPEN, AttemptState.ACTION, AttemptState.DECLINED}
)


def advance_attempt(state: AttemptState, event: AttemptEvent) -> AttemptState:
    """The attempt's next state.

    Raises:
        IllegalStep: the table does not allow the event here; nothing may be written.
    """
    return advance(ATTEMPT_TABLE, state, event, machine="attempt", refusal=IllegalStep)
