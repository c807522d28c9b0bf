"""The line, as a pure function: first in, first out, and never more than half of the time that is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from groupbook.bookings.line import Waiting, next_in_line, offer_seconds_min, offered_until, position_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ADA, BO, CY = (UUID(int=number) for number in (1, 2, 3))
LINE = [Waiting(UUID(int=10 + n), member) for n, member in enumerate((CY, ADA, BO))]


def test_the_first_who_is_there_and_free_is_next() -> None:
    everybody = {ADA, BO, CY}
    assert next_in_line(LINE, present=everybody, busy=()) == LINE[0]
    assert next_in_line(LINE, present=everybody, busy={CY}) == LINE[1]
    assert next_in_line(LINE, present={BO}, busy=()) == LINE[2]
    assert next_in_line(LINE, present=everybody, busy=everybody) is None
    assert next_in_line([], present=everybody, busy=()) is None


def test_a_position_counts_those_who_are_there() -> None:
    assert [position_of(LINE, one, present={ADA, BO, CY}) for one in (CY, ADA, BO)] == [1, 2, 3]
    assert [position_of(LINE, one, present={ADA, BO}) for one in (CY, ADA, BO)] == [None, 1, 2]


def test_an_offer_is_shortened_by_the_deadline() -> None:
    def until(**left: float) -> datetime | None:
        return offered_until(NOW, seconds=7200, deadline_at=NOW + timedelta(**left))

    assert until(days=1) == NOW + timedelta(hours=2)
    assert until(hours=3) == NOW + timedelta(minutes=90)
    assert until(minutes=2) == NOW + timedelta(seconds=60)
    assert until(seconds=119) is None
    assert until(seconds=-5) is None
    assert offered_until(NOW, seconds=7200, deadline_at=None) == NOW + timedelta(hours=2)


@given(st.floats(60, 86_400), st.floats(0, 60 * 86_400))
def test_whoever_takes_it_has_as_long_again(seconds: float, left: float) -> None:
    deadline_at = NOW + timedelta(seconds=left)
    at, offers = NOW, 0
    while (until := offered_until(at, seconds=seconds, deadline_at=deadline_at)) is not None:
        assert until - at <= deadline_at - until + timedelta(microseconds=1)
        assert (until - at).total_seconds() >= offer_seconds_min - 1e-6
        at, offers = until, offers + 1
        if offers > 100:
            break
    assert at <= deadline_at or offers == 0
