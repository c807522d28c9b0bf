"""Two at once with somebody's money. Each race is run twice: with the locks it ends well, without them it goes wrong.

The first stops with everything written and nothing committed; what the second reads then is what the lock is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from groupbook import payments
from groupbook.house import House
from groupbook.kit.ids import AttemptId, PortionId
from groupbook.kit.money import Money
from groupbook.payments import DifferenceNotBookable, PortionDisputed
from groupbook.payments.ports import ProviderEvent
from tests.support.races import Race
from tests.support.saga import Saga

MakeRace = Callable[..., Race]
LOCKED, UNLOCKED = True, False
RECORDING = 2  # claim, then record: the runner's second transaction writes the answer


@pytest.fixture
def race(database_url: str) -> Iterator[MakeRace]:
    made: list[Race] = []

    def make(*names: str, locks: bool, **keywords: Any) -> Race:
        made.append(Race(Saga(database_url, *names, **keywords), locks))
        return made[-1]

    yield make
    for one in made:
        one.close()
        one.saga.close()


def paid(saga: Saga) -> tuple[PortionId, AttemptId]:
    """Everybody has paid; Ada's portion, and her attempt."""
    authorized(saga)
    saga.run_until_quiet()
    assert set(saga.states().values()) == {"captured"}
    portion_id = saga.portion("ada").portion_id
    assert portion_id is not None
    return portion_id, saga._attempt("ada")


def authorized(saga: Saga) -> AttemptId:
    saga.open()
    saga.run_until_quiet()
    for name in saga.friends:
        saga.pay(name)
    return AttemptId(saga._attempt("ada"))


def compare(house: House, saga: Saga) -> payments.Report | None:
    with house.database.begin(saga.merchant_id) as session:
        today = payments.today_of(session)
    return payments.reconcile_day(house.providers, saga.merchant_id, today)


def hear(saga: Saga, event: ProviderEvent) -> None:
    with saga.database.begin(saga.merchant_id) as session:
        payments.handle_event(session, "twin", event, b"{}")


def read(saga: Saga) -> Callable[[House], object]:
    """A worker reads the provider, as the message asks, and records what it sees."""
    (intent,) = saga.house.runner.due(saga.merchant_id)
    return lambda house: house.runner.run(saga.merchant_id, intent)


# --- refund against dispute -------------------------------------------------------------------------------------------


def refund_while_a_dispute_is_recorded(one: Race) -> tuple[object, object]:
    """Ada's bank takes the money back in the moment in which the merchant's desk pays it back."""
    saga = one.saga
    portion_id, attempt_id = paid(saga)
    saga.provider.dispute(attempt_id)
    hear(saga, ProviderEvent("evt_d", "charge.dispute.created", False, "du_1", attempt_id=attempt_id))

    def refund(house: House) -> object:
        with house.database.begin(saga.merchant_id) as session:
            return payments.refund_portion(session, portion_id, Money(5_000, "EUR"), reason="merchant_canceled")

    return one.run(read(saga), refund, at=RECORDING)


def test_a_disputed_payment_is_not_paid_back(race: MakeRace) -> None:
    one = race("ada", locks=LOCKED)
    _, refund = refund_while_a_dispute_is_recorded(one)
    assert isinstance(refund, PortionDisputed)
    assert one.saga.count("SELECT count(*) FROM refund") == 0


def test_without_the_lock_a_disputed_payment_is_paid_back(race: MakeRace) -> None:
    one = race("ada", locks=UNLOCKED)
    _, refund = refund_while_a_dispute_is_recorded(one)
    assert not isinstance(refund, Exception)
    assert one.saga.count("SELECT count(*) FROM refund WHERE state = 'asked'") == 1


# --- one refund made outside, two desks -------------------------------------------------------------------------------


def book_twice(one: Race) -> tuple[object, object]:
    saga = one.saga
    _, attempt_id = paid(saga)
    saga.provider.refund_outside(attempt_id, Money(1_000, "EUR"))
    report = compare(saga.house, saga)
    assert report is not None
    (stored,) = report.differences

    def book(house: House) -> object:
        with house.database.begin(saga.merchant_id) as session:
            return payments.book_refund_outside(session, stored.id)

    return one.run(book, book)


def refunded(saga: Saga) -> int:
    booking_id = saga.booking().id
    with saga.database.begin(saga.merchant_id) as session:
        return payments.statement(session, booking_id).refunded.minor


def test_a_refund_made_outside_is_booked_once(race: MakeRace) -> None:
    one = race("ada", locks=LOCKED)
    first, second = book_twice(one)
    assert (isinstance(first, Exception), isinstance(second, DifferenceNotBookable)) == (False, True)
    assert refunded(one.saga) == 1_000


def test_without_the_lock_it_is_booked_twice(race: MakeRace) -> None:
    one = race("ada", locks=UNLOCKED)
    assert not any(isinstance(outcome, Exception) for outcome in book_twice(one))
    assert refunded(one.saga) == 2_000


# --- comparison against a message -------------------------------------------------------------------------------------


def compare_while_a_capture_is_recorded(one: Race) -> payments.Report:
    """Money taken outside is being recorded (and given back) while the daily comparison looks at it."""
    saga = one.saga
    saga.open()
    saga.run_until_quiet()
    saga.page("ada")
    attempt_id = saga._attempt("ada")
    saga.provider.authorize(attempt_id)
    saga.refresh("ada")
    saga.provider.capture_outside(attempt_id)
    hear(saga, ProviderEvent("evt_c", "payment_intent.succeeded", False, "pi_1", attempt_id=attempt_id))
    _, report = one.run(read(saga), lambda house: compare(house, saga), at=RECORDING)
    assert isinstance(report, payments.Report)
    return report


def test_what_is_being_recorded_is_waited_for(race: MakeRace) -> None:
    assert compare_while_a_capture_is_recorded(race("ada", "bo", locks=LOCKED)).differences == ()


def test_without_the_lock_it_is_called_a_difference(race: MakeRace) -> None:
    report = compare_while_a_capture_is_recorded(race("ada", "bo", locks=UNLOCKED))
    assert [one.difference.kind for one in report.differences] == ["capture_outside"]
