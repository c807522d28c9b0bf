"""When somebody is reminded: steps before the deadline, never at night, never close together, never too many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupbook.notices.reminders import (
    Reminder,
    ReminderSettings,
    RemindersInvalid,
    awake,
    due_now,
    read_settings,
    reminder_key,
    schedule,
)

PARIS, TOKYO, NEW_YORK = "Europe/Paris", "Asia/Tokyo", "America/New_York"


def at(text: str, zone: str = PARIS) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def told(since: str, deadline: str, zone: str = PARIS, **settings: object) -> list[tuple[str, str]]:
    found = schedule(at(since), at(deadline), read_settings(settings), zone)
    return [(one.name, one.at.astimezone(ZoneInfo(zone)).strftime("%a %H:%M")) for one in found]


def test_three_days_are_reminded_halfway_a_day_and_two_hours_before() -> None:
    assert told("2026-06-01T10:00", "2026-06-05T18:00") == [
        ("halfway", "Wed 14:00"),
        ("before_86400", "Thu 18:00"),
        ("before_7200", "Fri 16:00"),
    ]


def test_half_an_hour_is_reminded_once() -> None:
    assert told("2026-06-01T10:00", "2026-06-01T10:30") == [("halfway", "Mon 10:15")]


def test_a_reminder_of_the_night_waits_for_the_morning() -> None:
    # Two hours before ten is eight: that is the morning itself.
    assert told("2026-06-01T20:00", "2026-06-02T10:00", halfway=False, seconds_before=[7_200]) == [
        ("before_7200", "Tue 08:00")
    ]
    # Halfway (03:30) moves to the morning as well.
    assert told("2026-06-01T20:00", "2026-06-02T11:00", seconds_before=[]) == [("halfway", "Tue 08:00")]


def test_where_the_morning_is_too_late_it_comes_before_the_night() -> None:
    assert told("2026-06-01T10:00", "2026-06-02T07:00", halfway=False, seconds_before=[7_200]) == [
        ("before_7200", "Mon 20:00")
    ]


def test_a_night_that_nobody_was_asked_before_is_left_alone() -> None:
    assert told("2026-06-01T22:00", "2026-06-02T05:00") == []


def test_the_night_is_where_the_member_is() -> None:
    since, deadline = at("2026-06-01T10:00"), at("2026-06-02T14:00")
    only = ReminderSettings(halfway=False, seconds_before=(18_000,))
    [paris] = schedule(since, deadline, only, PARIS)  # 09:00 there
    [new_york] = schedule(since, deadline, only, NEW_YORK)  # 03:00 there, and the deadline is at 08:00
    assert paris.at == at("2026-06-02T09:00")
    assert new_york.at == at("2026-06-01T20:00", NEW_YORK)


def test_the_night_in_which_clocks_change_is_as_long_as_it_is() -> None:
    kept = ReminderSettings()
    since, deadline = at("2026-10-24T12:00"), at("2026-10-26T12:00")
    assert awake(at("2026-10-25T01:00"), since=since, deadline_at=deadline, settings=kept, zone=PARIS) == at(
        "2026-10-25T08:00"
    )
    assert at("2026-10-25T08:00") - at("2026-10-24T21:00") == timedelta(hours=12)


def test_equal_hours_mean_no_quiet_hours_and_day_sleepers_are_served() -> None:
    assert told("2026-06-01T20:00", "2026-06-02T06:00", quiet_from_hour=0, quiet_until_hour=0, seconds_before=[]) == [
        ("halfway", "Tue 01:00")
    ]
    assert told("2026-06-01T02:00", "2026-06-02T02:00", quiet_from_hour=9, quiet_until_hour=17, seconds_before=[]) == [
        ("halfway", "Mon 17:00")
    ]


def test_at_most_so_many_and_those_nearest_to_the_deadline() -> None:
    names = [name for name, _ in told("2026-06-01T10:00", "2026-06-05T18:00", count_max=2)]
    assert names == ["before_86400", "before_7200"]
    assert told("2026-06-01T10:00", "2026-06-05T18:00", count_max=0) == []
    assert told("2026-06-01T10:00", "2026-06-05T18:00", is_on=False) == []


def test_what_was_missed_is_not_made_up() -> None:
    steps = [Reminder("halfway", at("2026-06-01T10:00")), Reminder("before_7200", at("2026-06-01T12:00"))]
    assert due_now(steps, at("2026-06-01T09:59")) is None
    assert due_now(steps, at("2026-06-01T10:00")) == steps[0]
    assert due_now(steps, at("2026-06-01T13:00")) == steps[1]


def test_a_step_is_one_row_per_booking_and_deadline() -> None:
    booking, other, deadline = UUID(int=1), UUID(int=2), at("2026-06-01T12:00")
    key = reminder_key(booking, deadline, "halfway")
    assert key == reminder_key(booking, deadline.astimezone(ZoneInfo(TOKYO)), "halfway")
    assert len({key, reminder_key(other, deadline, "halfway"), reminder_key(booking, deadline, "before_7200")}) == 3
    assert key != reminder_key(booking, deadline + timedelta(hours=1), "halfway")


@settings(deadline=None, max_examples=300)
@given(
    start=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - made aware below
    hours=st.floats(0.1, 24 * 40),
    zone=st.sampled_from([PARIS, TOKYO, NEW_YORK, "Australia/Lord_Howe", "UTC"]),
    quiet=st.tuples(st.integers(0, 23), st.integers(0, 23)),
    before=st.lists(st.integers(300, 30 * 86_400), max_size=6),
    halfway=st.booleans(),
    count_max=st.integers(0, 6),
)
def test_never_at_night_never_late_never_close_never_too_many(
    start: datetime,
    hours: float,
    zone: str,
    quiet: tuple[int, int],
    before: list[int],
    halfway: bool,
    count_max: int,
) -> None:
    since = start.replace(tzinfo=UTC)
    deadline = since + timedelta(hours=hours)
    kept = read_settings(
        {
            "seconds_before": before,
            "halfway": halfway,
            "count_max": count_max,
            "quiet_from_hour": quiet[0],
            "quiet_until_hour": quiet[1],
        }
    )
    found = schedule(since, deadline, kept, zone)
    gap = timedelta(seconds=max(60.0, min(3_600.0, hours * 360)))
    assert len(found) <= count_max
    assert len({one.name for one in found}) == len(found)
    assert all(since + gap <= one.at <= deadline - gap for one in found)
    assert all(later.at - earlier.at >= gap for earlier, later in pairwise(found))
    for one in found:
        hour = one.at.astimezone(ZoneInfo(zone)).hour
        is_quiet = quiet[0] <= hour < quiet[1] if quiet[0] < quiet[1] else hour >= quiet[0] or hour < quiet[1]
        assert quiet[0] == quiet[1] or not is_quiet


@pytest.mark.parametrize(
    ("stored", "pointer"),
    [
        ({"loud": True}, "/loud"),
        ({"is_on": 1}, "/is_on"),
        ({"halfway": "yes"}, "/halfway"),
        ({"seconds_before": 7_200}, "/seconds_before"),
        ({"seconds_before": [60]}, "/seconds_before"),
        ({"seconds_before": [True]}, "/seconds_before"),
        ({"seconds_before": list(range(300, 307))}, "/seconds_before"),
        ({"count_max": 7}, "/count_max"),
        ({"quiet_from_hour": 24}, "/quiet_from_hour"),
        ({"quiet_until_hour": -1}, "/quiet_until_hour"),
    ],
)
def test_wrong_settings_are_refused_by_name(stored: dict[str, object], pointer: str) -> None:
    with pytest.raises(RemindersInvalid) as caught:
        read_settings(stored)
    assert caught.value.pointer == pointer
