"""Histories that once broke a promise.

Each is pinned with the odds it was drawn with, so that it stays the same history whatever becomes of `profiles`, and
with its bug: brought back, the history breaks again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.bookings import repository as bookings_repository
from groupbook.bookings import rescue
from groupbook.bookings.domain import BookingState
from groupbook.bookings.service import opening
from groupbook.kit.ids import AttemptId
from groupbook.payments import recording
from groupbook.payments import repository as payments_repository
from groupbook.payments.moving import Moment
from tests.simulation.bank import Bank
from tests.simulation.invariants import Watch
from tests.simulation.mutants import mutant_of
from tests.simulation.outcome import Effect
from tests.simulation.people import People
from tests.simulation.plan import Profile
from tests.simulation.swapping import swapped


@dataclass(frozen=True)
class Regression:
    """A history, what was wrong, and the promise that it breaks when that is `brought_back`."""

    seed: int
    profile: Profile
    what: str
    promise: str
    brought_back: Callable[[], AbstractContextManager[None]]


def _a_traveler_who_left_never_pays() -> AbstractContextManager[None]:
    """The judge's: it knew who left by the traveler, not by the portion they left."""

    def made(was: Any) -> Any:
        def captured(watch: Watch, effect: Effect, attempt_id: UUID) -> None:
            travelers = {watch.portions[id].traveler for id in watch.left}
            before = watch.left
            watch.left = {id for id, row in watch.portions.items() if row.traveler in travelers}
            try:
                was(watch, effect, attempt_id)
            finally:
                watch.left = before

        return captured

    return swapped(Watch, "_captured", made)


def _a_pending_order_takes_no_places() -> AbstractContextManager[None]:
    """The judge's: only an order that was confirmed took the places."""

    def made(was: Any) -> Any:
        def effect(watch: Watch, world: Any, effect: Effect) -> None:
            held = dict(watch.books.held)
            was(watch, world, effect)
            if effect.what == "pending":
                watch.books.held = held

        return effect

    return swapped(Watch, "effect", made)


def _nobody_hears_of_a_call_that_was_given_up() -> AbstractContextManager[None]:
    """The simulated operator's: they put back parked bookings, and let calls be."""
    return swapped(People, "_revive", lambda was: lambda *given: None)


def _only_what_is_parked_is_given_back() -> AbstractContextManager[None]:
    """Put back by a person, a booking whose merchant stays silent lets what banks keep lapse."""

    def made(was: Any) -> Any:
        def release_in_time(session: Session, booking_id: UUID) -> None:
            if bookings_repository.lock(session, booking_id).state == BookingState.PARKED.value:
                was(session, booking_id)

        return release_in_time

    return swapped(opening, "_release_in_time", made)


def _a_refused_repeat_is_the_end_of_the_attempt() -> AbstractContextManager[None]:
    """What an earlier call of it may yet authorize is not looked at before the decision."""

    def made(was: Any) -> Any:
        def record(session: Session, attempt_id: AttemptId, reason: str, *, may_land: bool = False) -> None:
            was(session, attempt_id, reason)
            if may_land:
                portion, attempt = payments_repository.lock_attempt(session, attempt_id)
                recording._look_when_landed(session, portion, attempt, Moment.of(session))

        return record

    return swapped(recording, "record_page_refused", made)


def _only_who_paid_is_unwound() -> AbstractContextManager[None]:
    """A party whose price was nothing is called off as if it had never been booked."""

    def made(was: Any) -> Any:
        return lambda plan, portions, *, was_booked: was(plan, portions, was_booked=False)

    return swapped(rescue, "way_out", made)


def _what_nobody_took_never_comes_again() -> AbstractContextManager[None]:
    """The simulated provider's: real ones repeat a message that was not acknowledged."""
    return swapped(Bank, "_repeat", lambda was: lambda *given: None)


def _a_dispute_that_is_won_owes_nothing() -> AbstractContextManager[None]:
    """What the dispute stopped on its way back waits for a person, also once the money is the merchant's again."""
    return swapped(recording, "settle_dispute", lambda was: lambda *given: None)


_GOES: Final = {"people.silent": 0.0, "organizer.cancel": 0.0, "people.late": 0.0}

REGRESSIONS: Final = (
    Regression(
        20,
        Profile("who left comes back", {**_GOES, "people.leave": 0.4, "people.amend": 1.0, "people.spare": 1.0}, 0.1),
        "who left comes back as somebody's replacement, and pays a portion of their own",
        "P4/I7",
        _a_traveler_who_left_never_pays,
    ),
    Regression(
        779,
        Profile("refunds that fail late", {**_GOES, "organizer.regret": 1.0, "provider.refund:fails_late": 0.5}, 0.1),
        "a refund fails three weeks after the booking was refunded",
        "I14",
        mutant_of("refund taken for done").breaks,
    ),
    Regression(
        2,
        Profile("the merchant says later", {**_GOES, "merchant.holds": 1.0, "merchant.confirm:pending": 0.9}, 0.1),
        "an order that is pending has taken the places, whatever becomes of it",
        "H",
        _a_pending_order_takes_no_places,
    ),
    Regression(
        100468,
        Profile(
            "no, while a confirm is on its way",
            {**_GOES, "merchant.holds": 0.0, "merchant.confirm:zombie": 0.5, "merchant.confirm:sold_out": 0.5},
            0.1,
        ),
        "the merchant says no while an earlier confirm of ours is still on its way",
        "P1/I2",
        mutant_of("a no is a no").breaks,
    ),
    Regression(
        500246,
        Profile(
            "charged once more, and the provider away",
            {
                **_GOES,
                "people.leave": 0.0,
                "policy.keeps_cards": 1.0,
                "provider.capture:taken_by_hand": 0.5,
                "provider.capture:lapsed": 0.1,
                "provider.capture:busy": 0.2,
                "provider.void:busy": 0.9,
                "provider.observe:busy": 0.1,
                "bank.saved:declined": 0.2,
                "provider.authorize_saved:lost_answer": 0.2,
            },
            0.1,
        ),
        "a call that was given up in a long outage is tried again by the operator who hears of it",
        "I14",
        _nobody_hears_of_a_call_that_was_given_up,
    ),
    Regression(
        86748,
        Profile("the merchant stays silent", {}),
        "a parked booking is put back, and its merchant stays silent until the authorizations would lapse",
        "P1/I2",
        _only_what_is_parked_is_given_back,
    ),
    Regression(
        6873,
        Profile(
            "refused, and authorized before",
            {
                "outside.hasty": 1.0,
                "people.gone": 1.0,
                "webhook:lost": 0.5,
                "policy.saves": 1.0,
                "people.late": 0.3,
                "people.silent": 0.0,
                "organizer.cancel": 0.6,
                "provider.close_payment:busy": 0.97,
                "provider.authorize_saved:zombie": 0.6,
                "provider.authorize_saved:refused": 0.3,
                "provider.authorize_saved:slow_refused": 0.1,
                "bank.saved:declined": 0.12,
                "bank.saved:authentication_required": 0.12,
                "dashboard.capture:captured": 0.3,
                "dashboard.void:voided": 0.3,
                "bank.lapse:early": 0.3,
            },
            0.1,
        ),
        "the last call with a kept card is refused, an earlier one lands, and its message is lost",
        "I11",
        _a_refused_repeat_is_the_end_of_the_attempt,
    ),
    Regression(
        11466,
        Profile(
            "a party that pays nothing changes",
            {
                **_GOES,
                "people.leave": 0.0,
                "operator.resume": 1.0,
                "outside.hasty": 1.0,
                "people.amend": 1.0,
                "people.spare": 1.0,
                "merchant.away:amending": 1.0,
                "away.for_days": 0.6,
                "merchant.cancel:not_cancelable": 0.8,
                "merchant.amend:overcharged": 0.6,
                "operator.force": 0.9,
            },
            0.05,
        ),
        "a booked party whose price is nothing is called off while a change of it waits for the merchant",
        "P2/I3",
        _only_who_paid_is_unwound,
    ),
    Regression(
        92968,
        Profile("nobody takes the message", {}),
        "a refund fails days later, and the web server dies over the message",
        "I14",
        _what_nobody_took_never_comes_again,
    ),
    Regression(
        65566,
        Profile("won weeks later", {}),
        "taken by hand, disputed before we looked, paid anew, and the dispute is won: the first payment goes back",
        "I14",
        _a_dispute_that_is_won_owes_nothing,
    ),
)
