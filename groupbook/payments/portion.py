"""The portion's machine: what one payer owes towards one reference. Pure.

    open -> authorizing -> authorized -> capturing? -> captured -> part_refunded -> refunded
    open -> authorizing -> saved -> authorizing -> authorized      (cards kept early, authorized late)
    declined, expired (payable again), short -> capturing -> captured | covered, voiding? -> voided, waived

A pair that is not in the table is refused, and nothing is written. A dropped portion is one that left the sums; that is
a date beside its state, because what was authorized for it has still to be voided.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from groupbook.kit.machines import advance
from groupbook.payments.errors import IllegalStep


class PortionState(StrEnum):
    OPEN = "open"
    AUTHORIZING = "authorizing"
    SAVED = "saved"  # the card is kept, nothing is authorized yet
    DECLINED = "declined"
    EXPIRED = "expired"
    AUTHORIZED = "authorized"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    SHORT = "short"
    COVERED = "covered"
    PART_REFUNDED = "part_refunded"
    REFUNDED = "refunded"
    VOIDING = "voiding"
    VOIDED = "voided"
    WAIVED = "waived"


class PortionEvent(StrEnum):
    ATTEMPT_STARTED = "attempt_started"
    ATTEMPT_SAVED = "attempt_saved"
    ATTEMPT_AUTHORIZED = "attempt_authorized"
    ATTEMPT_DECLINED = "attempt_declined"
    ATTEMPT_ENDED = "attempt_ended"  # the page closed without an authorization
    AUTHORIZATION_LAPSED = "authorization_lapsed"
    PAYER_CHANGED = "payer_changed"
    REASKED = "reasked"  # the amount went above what was agreed, or the payer is another: nothing agreed is left
    NOTHING_LEFT = "nothing_left"  # the price fell to nothing for this one
    CAPTURE_ASKED = "capture_asked"
    ATTEMPT_CAPTURED = "attempt_captured"
    CAPTURE_REFUSED = "capture_refused"
    COVERED = "covered"
    UNCOVERED = "uncovered"  # the reference is unwound: the merchant's receivable goes with it
    VOID_ASKED = "void_asked"
    ALL_CLOSED = "all_closed"
    REFUNDED_NOTHING = "refunded_nothing"
    REFUNDED_PART = "refunded_part"
    REFUNDED_WHOLE = "refunded_whole"


def _portion_table() -> Mapping[tuple[PortionState, PortionEvent], PortionState]:
    s = PortionState
    table: dict[tuple[PortionState, PortionEvent], PortionState] = {}

    def row(state: PortionState, **answers: PortionState) -> None:
        for event, target in answers.items():
            table[state, PortionEvent(event)] = target

    for state in (s.OPEN, s.AUTHORIZING, s.SAVED, s.DECLINED, s.EXPIRED):
        row(
            state,
            attempt_started=s.AUTHORIZING,
            attempt_ended=s.OPEN if state in (s.AUTHORIZING, s.SAVED) else state,
            payer_changed=s.OPEN,
            reasked=s.OPEN,
            nothing_left=s.WAIVED,
            capture_asked=s.SHORT,  # the order is confirmed and this authorization went away meanwhile
            void_asked=s.VOIDING,
        )
    # Only what is being tried can come off; a page on which the bank said no may still be used.
    for state in (s.AUTHORIZING, s.DECLINED):
        row(state, attempt_saved=s.SAVED, attempt_authorized=s.AUTHORIZED, attempt_declined=s.DECLINED)
    row(s.SAVED, attempt_saved=s.SAVED)
    row(
        s.AUTHORIZED,
        authorization_lapsed=s.EXPIRED,
        reasked=s.OPEN,
        nothing_left=s.WAIVED,
        capture_asked=s.CAPTURING,
        void_asked=s.VOIDING,
    )
    # Before the freeze a lapsed authorization is asked for again; after it, it is a shortfall (the recovery ladder).
    row(s.CAPTURING, attempt_captured=s.CAPTURED, authorization_lapsed=s.SHORT, capture_refused=s.SHORT)
    # Short: asked again, of a saved card or on a page. Whatever is authorized for it now is taken at once.
    row(
        s.SHORT,
        attempt_started=s.SHORT,
        attempt_declined=s.SHORT,
        payer_changed=s.SHORT,
        attempt_authorized=s.CAPTURING,
        attempt_captured=s.CAPTURED,
        covered=s.COVERED,
        void_asked=s.VOIDING,
    )
    # What the merchant is owed for a place ends with the order, or with the place: handed over, or given back.
    row(s.COVERED, uncovered=s.VOIDING, nothing_left=s.WAIVED)
    for state in (s.CAPTURED, s.PART_REFUNDED, s.REFUNDED):
        row(state, refunded_nothing=s.CAPTURED, refunded_part=s.PART_REFUNDED, refunded_whole=s.REFUNDED)
    row(s.VOIDING, void_asked=s.VOIDING, all_closed=s.VOIDED)
    row(s.VOIDED, void_asked=s.VOIDED)
    row(s.WAIVED, void_asked=s.WAIVED, nothing_left=s.WAIVED, reasked=s.OPEN)
    return MappingProxyType(table)


PORTION_TABLE: Final = _portion_table()
# Its payer may be sent to a page. SAVED is among them: another card, or the authorization oneself, in person.
PAYABLE: Final = frozenset(
    {
        PortionState.OPEN,
        PortionState.AUTHORIZING,
        PortionState.SAVED,
        PortionState.DECLINED,
        PortionState.EXPIRED,
    }
)
SETTLED: Final = frozenset({PortionState.AUTHORIZED, PortionState.WAIVED})  # counts towards "everybody is in"
TAKEN: Final = frozenset({PortionState.CAPTURED, PortionState.WAIVED, PortionState.COVERED})
CLOSED: Final = frozenset({PortionState.VOIDED, PortionState.WAIVED})
# Nothing was taken and nothing is being taken: the party and the price may still change.
CHANGEABLE: Final = PAYABLE | SETTLED


def advance_portion(state: PortionState, event: PortionEvent) -> PortionState:
    """The portion's next state.

    Raises:
        IllegalStep: the table does not allow the event here; nothing may be written.
    """
    return advance(PORTION_TABLE, state, event, machine="portion", refusal=IllegalStep)
