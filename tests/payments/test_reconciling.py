"""The daily comparison with the provider, both ways: what it finds, tells, resolves, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from groupbook import merchants, payments
from groupbook.kit import clock
from groupbook.kit.database import Database
from groupbook.kit.errors import Unavailable
from groupbook.kit.ids import AttemptId, RefundId, new_id
from groupbook.kit.money import Money
from groupbook.payments import Report
from groupbook.payments.domain import RefundState
from groupbook.payments.ports import Movement, Observed, PaymentRef, ProviderEvent, Seen
from groupbook.payments.reconciliation import DifferenceNotBookable, day_window, due_days
from integrations.payments.twin import Twin
from tests.payments.conftest import SEALER, House, build_house


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


@dataclass
class Books:
    """A house, and the comparison of its days."""

    house: House

    def today(self) -> date:
        with self.house.database.begin(self.house.merchant_id) as session:
            return payments.today_of(session)

    def compare(self, days_ago: int = 0) -> Report:
        report = payments.reconcile_day(
            self.house.providers, self.house.merchant_id, self.today() - timedelta(days=days_ago)
        )
        assert report is not None
        return report

    def found(self, report: Report | None = None) -> list[tuple[str, int, int]]:
        """Kind, what our books say, what the provider shows."""
        report = report or self.compare()
        return sorted(
            (one.difference.kind.value, one.difference.expected.minor, one.difference.observed.minor)
            for one in report.differences
        )

    def told(self) -> list[tuple[str, str]]:
        query = text("SELECT name, payload->>'reason' FROM fact WHERE name LIKE 'reconciliation.%' ORDER BY id")
        with self.house.database.begin(self.house.merchant_id) as session:
            return [(name.partition(".")[2], reason) for name, reason in session.execute(query)]

    def rows(self) -> list[tuple[Any, ...]]:
        query = text(
            "SELECT id, kind, provider_ref, expected, observed, first_seen_at, resolved_at "
            "FROM reconciliation_difference ORDER BY id"
        )
        with self.house.database.begin(self.house.merchant_id) as session:
            return [tuple(row) for row in session.execute(query)]

    def refund(self, name: str, minor: int) -> RefundId:
        with self.house.database.begin(self.house.merchant_id) as session:
            id = payments.refund_portion(session, self.house.portions[name], eur(minor), reason="member_canceled")
        self.house.quiet()
        return id

    def refund_that_comes_back(self, name: str, minor: int) -> RefundId:
        """The payer's card is gone; the provider says so."""
        id = self.refund(name, minor)
        self.house.twin.settle_refund(id, RefundState.FAILED)
        event = ProviderEvent(f"evt_{id.hex}", "refund.failed", False, "re_1", refund_id=id)
        with self.house.database.begin(self.house.merchant_id) as session:
            payments.handle_event(session, "twin", event, b"{}")
        self.house.quiet()
        return id


@pytest.fixture
def books(house: House) -> Books:
    """Ada and Bo have paid, and Ada got ten euro back."""
    house.open(ada=3334, bo=3333)
    house.authorize("ada", "bo")
    house.capture_all()
    return Books(house)


# --- nothing to say ---------------------------------------------------------------------------------------------------


def test_books_that_agree_say_nothing(books: Books) -> None:
    books.refund("ada", 1000)
    report = books.compare()
    assert (report.payments, report.refunds, report.foreign) == (2, 1, 0)
    assert (report.differences, report.fresh, report.resolved) == ((), 0, 0)
    assert (books.rows(), books.told()) == ([], [])
    with books.house.database.begin(books.house.merchant_id) as session:
        (run,) = payments.comparisons(session)
    assert (run.day, run.payments, run.refunds, run.differences, run.last_error) == (books.today(), 2, 1, 0, None)
    assert run.finished_at is not None


def test_what_is_still_on_its_way_is_no_difference(house: House) -> None:
    """A page that is open, an authorization, a refund that is pending: the same here and there."""
    house.open(ada=3334, bo=3333, cy=3333)
    house.authorize("ada")
    house.start("bo")
    house.twin.decline(house.attempt("bo"))
    assert Books(house).found() == []


# --- what the provider has and we do not know -------------------------------------------------------------------------


def test_a_payment_with_our_id_that_no_row_knows(books: Books) -> None:
    books.house.twin.plant_payment(eur(777), attempt_id=AttemptId(new_id()))
    assert books.found() == [("unknown_payment", 0, 777)]


def test_a_payment_of_somebody_else_on_the_account(books: Books) -> None:
    books.house.twin.plant_payment(eur(777))
    report = books.compare()
    assert (books.found(report), report.foreign) == ([("foreign_payment", 0, 777)], 1)
    assert not report.differences[0].difference.is_money


def test_a_shared_account_is_left_its_other_business(books: Books) -> None:
    with books.house.database.begin(books.house.merchant_id) as session:
        merchants.connect(
            session, SEALER, kind="payment_provider", adapter="twin", configuration={"account_is_shared": True}
        )
    books.house.twin.plant_payment(eur(777))
    books.house.twin.plant_payment(eur(888), attempt_id=AttemptId(new_id()))
    report = books.compare()
    assert (books.found(report), report.foreign) == ([("unknown_payment", 0, 888)], 1)


def test_a_second_payment_of_one_attempt_is_a_stray(books: Books) -> None:
    """The label says it is Ada's attempt, but her row names another payment: somebody was charged twice."""
    books.house.twin.plant_payment(eur(3334), attempt_id=books.house.attempt("ada"))
    assert books.found() == [("unknown_payment", 0, 3334)]


def test_a_refund_made_in_the_providers_dashboard(books: Books) -> None:
    refund_ref = books.house.twin.refund_outside(books.house.attempt("ada"), eur(1000))
    report = books.compare()
    assert books.found(report) == [("refund_outside", 0, 1000)]
    difference = report.differences[0].difference
    assert (difference.provider_ref, difference.reference) == (refund_ref, books.house.reference)
    assert (difference.portion_id, difference.is_money) == (books.house.portions["ada"], True)
    assert books.house.statement.refunded == eur(0)  # seen, told, and not booked by itself


def test_a_refund_made_outside_is_taken_into_the_books_by_hand(books: Books) -> None:
    refund_ref = books.house.twin.refund_outside(books.house.attempt("ada"), eur(1000))
    (stored,) = books.compare().differences
    with books.house.database.begin(books.house.merchant_id) as session:
        payments.book_refund_outside(session, stored.id)
    with books.house.database.begin(books.house.merchant_id) as session, pytest.raises(DifferenceNotBookable):
        payments.book_refund_outside(session, stored.id)
    money = books.house.statement
    assert (money.refunded, money.net, money.is_conserved) == (eur(1000), eur(5667), True)
    assert books.house.states == {"ada": "part_refunded", "bo": "captured"}
    report = books.compare()
    assert (report.differences, report.fresh, report.resolved) == ((), 0, 0)
    assert books.told() == [("difference", "refund_outside"), ("resolved", "refund_outside")]
    with books.house.database.begin(books.house.merchant_id) as session:
        assert [row.refund_ref for row in session.execute(text("SELECT refund_ref FROM refund"))] == [refund_ref]


def test_a_refund_that_failed_and_was_made_outside_is_made_good(books: Books) -> None:
    """Ada's 10.00 came back; the merchant gives them at the provider by hand. What is left is 23.34, and it moves."""
    house = books.house
    failed = books.refund_that_comes_back("ada", 1000)
    assert house.view("ada").refund_failed is True
    house.twin.refund_outside(house.attempt("ada"), eur(1000))
    (stored,) = books.compare().differences
    with house.database.begin(house.merchant_id) as session:
        made = payments.book_refund_outside(session, stored.id)
    assert (house.view("ada").refund_failed, house.view("ada").refunded) == (False, eur(1000))
    with house.database.begin(house.merchant_id) as session:
        assert payments.retry_refund(session, failed) == made, "it was asked for again, by hand"
        payments.unwind_all(session, house.reference, reason="booking_canceled", now=clock.now(session))
    house.quiet()
    assert sorted(minor for _, minor in house.twin.refunds) == [1000, 2334, 3333]
    assert house.states == {"ada": "refunded", "bo": "refunded"}
    assert (house.statement.refunded, house.statement.is_conserved) == (eur(6667), True)
    assert books.found() == []


def test_what_was_given_back_outside_is_not_given_back_again(books: Books) -> None:
    """Ada's 10.00 came back; the merchant gives her all of the 33.34 by hand. Nothing is left to give."""
    house = books.house
    books.refund_that_comes_back("ada", 1000)
    house.twin.refund_outside(house.attempt("ada"), eur(3334))
    (stored,) = books.compare().differences
    with house.database.begin(house.merchant_id) as session:
        payments.book_refund_outside(session, stored.id)
        payments.unwind_all(session, house.reference, reason="booking_canceled", now=clock.now(session))
    house.quiet()
    assert [minor for _, minor in house.twin.refunds] == [1000, 3333]
    assert (house.states, house.view("ada").refund_failed) == ({"ada": "refunded", "bo": "refunded"}, False)
    assert house.statement.is_conserved


def test_more_than_was_paid_is_not_booked(books: Books) -> None:
    books.house.twin.refund_outside(books.house.attempt("ada"), eur(1000))
    (stored,) = books.compare().differences
    books.refund("ada", 2334)
    with books.house.database.begin(books.house.merchant_id) as session:
        session.execute(text("UPDATE reconciliation_difference SET observed = 1001"))
    with (
        books.house.database.begin(books.house.merchant_id) as session,
        pytest.raises(DifferenceNotBookable),
    ):
        payments.book_refund_outside(session, stored.id)
    assert books.house.statement.refunded == eur(2334)


def test_a_capture_made_outside_is_told_and_then_put_right(house: House) -> None:
    """The reading it owes finds the money, gives it back in full, and the next run finds nothing."""
    house.open(ada=3334)
    house.authorize("ada")
    house.twin.capture_outside(house.attempt("ada"))
    books = Books(house)
    report = books.compare()
    assert (books.found(report), report.fresh) == ([("capture_outside", 0, 3334)], 1)
    assert house.twin.refunds == []
    house.quiet()
    assert [minor for _, minor in house.twin.refunds] == [3334]
    report = books.compare()
    assert (report.differences, report.fresh, report.resolved) == ((), 0, 1)
    assert books.told() == [("difference", "capture_outside"), ("resolved", "capture_outside")]


def test_a_dispute_that_nobody_told_us_of(books: Books) -> None:
    """Taken payments are no longer looked at by the sweep: a lost message of a dispute is found here."""
    books.house.twin.dispute(books.house.attempt("ada"))
    assert books.found() == [("dispute_unseen", 0, 3334)]
    books.house.quiet()
    with pytest.raises(payments.PortionDisputed):
        books.refund("ada", 1000)
    assert books.found() == []


# --- what we believe and the provider does not show -------------------------------------------------------------------


def test_a_refund_that_is_not_there(books: Books) -> None:
    refund_id = books.refund("ada", 1000)
    books.house.twin.lose_refund(refund_id)
    report = books.compare()
    assert books.found(report) == [("missing_refund", 1000, 0)]
    assert report.differences[0].difference.refund_id == refund_id


def test_one_cent_is_a_difference(books: Books) -> None:
    books.house.twin.miscount(books.house.attempt("bo"), by=-1)
    report = books.compare()
    assert books.found(report) == [("captured_amount", 3333, 3332)]
    assert report.differences[0].difference.portion_id == books.house.portions["bo"]


def test_an_authorization_that_is_gone(house: House) -> None:
    house.open(ada=3334, bo=3333)
    house.authorize("ada", "bo")
    house.twin.lapse(house.attempt("ada"))
    books = Books(house)
    report = books.compare()
    assert books.found(report) == [("authorization_gone", 3334, 0)]
    assert not report.differences[0].difference.is_money
    house.quiet()  # the reading it owes asks Ada again
    assert house.states == {"ada": "expired", "bo": "authorized"}
    assert books.compare().resolved == 1


def test_an_authorization_that_should_be_gone(house: House) -> None:
    house.open(ada=3334)
    house.authorize("ada")
    attempt = house.attempt("ada")
    house.void_all()
    house.twin._payments[attempt].seen = Seen.AUTHORIZED
    books = Books(house)
    assert books.found() == [("authorization_alive", 0, 3334)]
    house.quiet()
    assert (house.twin.truth(attempt), books.found()) == (Seen.CANCELED, [])


def test_a_payment_that_is_not_there(books: Books) -> None:
    del books.house.twin._payments[books.house.attempt("ada")]
    assert books.found() == [("missing_payment", 3334, 0)]


def test_a_refund_that_failed_there_and_succeeded_here(books: Books) -> None:
    books.house.twin.settle_refund(books.refund("ada", 1000), RefundState.FAILED)
    assert books.found() == [("missing_refund", 1000, 0)]


# --- again and again --------------------------------------------------------------------------------------------------


def test_looking_twice_changes_nothing(books: Books) -> None:
    books.house.twin.miscount(books.house.attempt("bo"), by=-1)
    books.house.twin.plant_payment(eur(777), attempt_id=AttemptId(new_id()))
    assert books.compare().fresh == 2
    rows, facts = books.rows(), books.told()
    for _ in range(2):
        report = books.compare()
        assert (len(report.differences), report.fresh, report.resolved) == (2, 0, 0)
    assert (books.rows(), books.told()) == (rows, facts)
    assert len(facts) == 2


def test_what_is_in_order_again_resolves_by_itself(books: Books) -> None:
    bo = books.house.attempt("bo")
    books.house.twin.miscount(bo, by=-1)
    books.compare()
    books.house.twin.miscount(bo, by=1)
    assert books.compare().resolved == 1
    assert [row[-1] is not None for row in books.rows()] == [True]
    books.house.twin.miscount(bo, by=2)
    assert books.found() == [("captured_amount", 3333, 3335)]  # another difference, with a beginning of its own
    assert len(books.rows()) == 2
    assert [name for name, _ in books.told()] == ["difference", "resolved", "difference"]


def test_a_difference_that_grows_stays_one(books: Books) -> None:
    bo = books.house.attempt("bo")
    books.house.twin.miscount(bo, by=-1)
    books.compare()
    books.house.twin.miscount(bo, by=-1)
    assert books.found() == [("captured_amount", 3333, 3331)]
    assert len(books.rows()) == len(books.told()) == 1


def test_a_later_day_resolves_what_it_can_see(books: Books) -> None:
    """Found yesterday, put right today: today's run lists eight days back and sees that it is in order."""
    bo = books.house.attempt("bo")
    books.house.twin.miscount(bo, by=-1)
    books.compare()
    books.house.execute("UPDATE reconciliation_difference SET day = day - 1")
    books.house.twin.miscount(bo, by=1)
    assert books.compare().resolved == 1


def test_a_day_that_saw_nothing_of_it_resolves_nothing(books: Books) -> None:
    books.house.twin.plant_payment(eur(777), attempt_id=AttemptId(new_id()))
    books.compare()
    books.house.execute("UPDATE reconciliation_difference SET day = day - 30, provider_ref = 'pi_long_ago'")
    books.house.twin._strangers.clear()
    assert books.compare().resolved == 0
    assert [row[-1] for row in books.rows()] == [None]


def test_an_unreadable_provider_changes_nothing(books: Books) -> None:
    books.house.twin.plant_payment(eur(777), attempt_id=AttemptId(new_id()))
    books.house.twin.plan("list_movements", "unavailable")
    with pytest.raises(Unavailable):
        books.compare()
    assert books.rows() == []
    with books.house.database.begin(books.house.merchant_id) as session:
        (run,) = payments.comparisons(session)
    assert (run.finished_at, run.last_error) == (None, "unavailable")
    assert len(books.compare().differences) == 1  # and the day can be taken up again at once


def test_what_cannot_be_read_again_is_neither_said_nor_resolved(books: Books) -> None:
    bo = books.house.attempt("bo")
    books.house.twin.miscount(bo, by=-1)
    books.house.twin.plan("observe", "unavailable")
    assert books.found() == []
    assert books.found() == [("captured_amount", 3333, 3332)]
    books.house.twin.miscount(bo, by=-1)
    books.house.twin.plan("observe", "unavailable")
    report = books.compare()
    assert (report.fresh, report.resolved) == (0, 0)
    assert [row[-1] for row in books.rows()] == [None]


# --- what moves while we look -----------------------------------------------------------------------------------------


class Slow(Twin):
    """A provider during whose answers the world goes on."""

    meanwhile: Callable[[], None] | None = None

    def observe(self, ref: PaymentRef, *, timeout_seconds: float) -> Observed:
        seen = super().observe(ref, timeout_seconds=timeout_seconds)
        self._go_on()
        return seen

    def list_movements(self, since: datetime, until: datetime, *, timeout_seconds: float) -> list[Movement]:
        listed = list(super().list_movements(since, until, timeout_seconds=timeout_seconds))
        self._go_on()
        return listed

    def _go_on(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


@pytest.fixture
def slow(database: Database) -> tuple[Books, Slow]:
    twin = Slow(clock=lambda: datetime.now(UTC))
    return Books(build_house(database, twin=twin)), twin


def test_a_capture_between_the_list_and_our_books_is_no_difference(slow: tuple[Books, Slow]) -> None:
    """Listed as authorized, captured and recorded meanwhile: the second reading agrees with the books."""
    books, twin = slow
    books.house.open(ada=3334)
    books.house.authorize("ada")
    twin.meanwhile = books.house.capture_all
    assert books.found() == []
    assert books.house.states == {"ada": "captured"}


def test_a_capture_between_the_second_look_and_our_books_is_no_difference(slow: tuple[Books, Slow]) -> None:
    """The books changed around the reading, so nothing is said this time; the next run finds them in order."""
    books, twin = slow
    books.house.open(ada=3334)
    books.house.authorize("ada")
    attempt = books.house.attempt("ada")
    twin.lapse(attempt)

    def come_back_and_be_taken() -> None:
        twin.meanwhile = put_right

    def put_right() -> None:
        twin._payments[attempt].seen = Seen.AUTHORIZED
        books.house.capture_all()

    twin.meanwhile = come_back_and_be_taken
    assert books.found() == []
    assert books.house.states == {"ada": "captured"}
    assert books.found() == []


def test_a_call_under_way_is_no_difference(books: Books) -> None:
    """The refund is at the provider, its answer was lost, and the runner still owes the second question."""
    with books.house.database.begin(books.house.merchant_id) as session:
        payments.refund_portion(session, books.house.portions["ada"], eur(1000), reason="member_canceled")
    books.house.twin.plan("refund", "lost_answer")
    (intent,) = books.house.runner.due(books.house.merchant_id)
    books.house.runner.run(books.house.merchant_id, intent)
    assert books.house.twin.refunds == [(books.house.attempt("ada"), 1000)]
    assert books.found() == []
    books.house.quiet()
    assert (books.found(), books.house.statement.refunded) == ([], eur(1000))


def test_two_workers_do_not_compare_the_same_day(slow: tuple[Books, Slow]) -> None:
    books, twin = slow
    books.house.open(ada=3334)
    books.house.authorize("ada")
    second: list[Report | None] = []

    def another_worker() -> None:
        second.append(payments.reconcile_day(books.house.providers, books.house.merchant_id, books.today()))

    twin.meanwhile = another_worker
    assert books.found() == []
    assert second == [None]


# --- day by day -------------------------------------------------------------------------------------------------------


def sweep(books: Books) -> list[date]:
    return [report.day for report in payments.reconcile_due(books.house.providers, books.house.merchant_id)]


def test_the_sweep_compares_yesterday_once_a_day(books: Books) -> None:
    yesterday = books.today() - timedelta(days=1)
    assert [sweep(books), sweep(books)] == [[yesterday], []]
    books.house.execute(
        "UPDATE reconciliation_run SET finished_at = finished_at - interval '1 day', "
        "started_at = started_at - interval '1 day'"
    )
    assert [sweep(books), sweep(books)] == [[yesterday], []]


def test_a_provider_that_is_away_is_not_asked_with_every_sweep(books: Books) -> None:
    yesterday = books.today() - timedelta(days=1)
    books.house.twin.plan("list_movements", "unavailable")
    assert [sweep(books), sweep(books)] == [[], []]
    books.house.execute("UPDATE reconciliation_run SET started_at = started_at - interval '10 minutes'")
    assert [sweep(books), sweep(books)] == [[yesterday], []]


def test_the_sweep_comes_back_to_days_with_open_differences(books: Books) -> None:
    books.house.twin.miscount(books.house.attempt("bo"), by=-1)
    books.compare()
    long_ago = books.today() - timedelta(days=20)
    books.house.execute("UPDATE reconciliation_difference SET day = :day", day=long_ago)
    yesterday = books.today() - timedelta(days=1)
    assert [sweep(books), sweep(books)] == [[long_ago, yesterday], []]


def test_a_test_merchant_that_travels_in_time_is_compared_by_plain_days(books: Books) -> None:
    """The provider does not travel: neither the days nor the window move with the merchant's own clock."""
    today = books.today()
    with books.house.database.begin(books.house.merchant_id) as session:
        clock.set_offset(session, books.house.merchant_id, timedelta(days=40))
    assert books.today() == today
    refund_id = books.refund("ada", 1000)
    assert books.found() == []
    books.house.twin.lose_refund(refund_id)
    assert books.found() == [("missing_refund", 1000, 0)]


def test_a_merchant_without_a_provider_has_nothing_to_compare(database: Database) -> None:
    house = build_house(database)
    with database.begin(house.merchant_id) as session:
        session.execute(text("DELETE FROM merchant_connection"))
    assert payments.reconcile_due(house.providers, house.merchant_id) == []


def test_a_day_is_as_long_as_it_is_where_the_merchant_lives() -> None:
    def hours(day: date) -> float:
        since, until = day_window(day, "Europe/Paris")
        return (until.astimezone(UTC) - since.astimezone(UTC)).total_seconds() / 3600

    assert [hours(date(2026, 3, 28)), hours(date(2026, 3, 29)), hours(date(2026, 10, 25))] == [24, 23, 25]


def test_which_days_are_due() -> None:
    today, midnight = date(2026, 11, 22), datetime(2026, 11, 22, tzinfo=UTC)
    before, after = midnight - timedelta(seconds=1), midnight
    yesterday, old = date(2026, 11, 21), date(2026, 11, 3)
    assert due_days(today, finished=[], open_days=[], midnight=midnight) == [yesterday]
    assert due_days(today, finished=[(yesterday, after)], open_days=[], midnight=midnight) == []
    assert due_days(today, finished=[(yesterday, before)], open_days=[old, today], midnight=midnight) == [
        old,
        yesterday,
    ]
