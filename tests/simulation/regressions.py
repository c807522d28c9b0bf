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
)
