"""What reminding costs the database: as many questions for one booking that collects as for all of a merchant's."""

from __future__ import annotations

from datetime import timedelta

from benchmarks.settlement.ours import Ours
from benchmarks.settlement.wire import PREPARED_AFTER, Wire
from groupbook import bookings, notices
from groupbook.kit import clock


def test_a_look_at_whom_to_remind_costs_the_same_however_many_collect(database_url: str) -> None:
    """Settings and merchant; then for all bookings at once what they collect, who is in and how, who was told, where
    they live, and who is still there. Two more for each booking in which somebody is told.
    """
    ours = Ours(database_url, name="reminded")

    def remind() -> tuple[int, int]:
        """Waits for the database, and reminders written."""
        wire.take()
        written = notices.remind(ours.database, ours.merchant_id)
        return wire.take().round_trips, written

    def collect(count: int) -> None:
        for group in [ours.group(3) for _ in range(count)]:
            bookings.open_booking(ours.database, group.organizer, group.trip_id, policy=ours.house.policy)
            ours.work()

    try:
        notices.change_reminders(ours.database, ours.desk, {"quiet_from_hour": 0, "quiet_until_hour": 0})
        with Wire(ours.database.engine) as wire:
            for _ in range(PREPARED_AFTER):
                remind()
            collect(1)
            of_one = remind()
            collect(2)
            of_three = remind()
            with ours.database.begin(ours.merchant_id) as session:
                clock.set_offset(session, ours.merchant_id, timedelta(minutes=20))  # past half of the half hour
            due, again = remind(), remind()
    finally:
        ours.close()
    assert (of_one, of_three) == ((9, 0), (9, 0))
    assert (due, again) == ((9 + 2 * 3, 9), (9, 0))
