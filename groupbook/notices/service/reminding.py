"""Reminders: written when their time has come, for whoever was asked to pay and has not; sent like any other notice.

Level-triggered: each look reads who is late now, so nothing has to be taken back when somebody pays. What is written is
one row per booking, deadline, step and member; a crash before it writes nothing, a second look finds it written.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import bookings, merchants, trips
from groupbook.bookings import Awaited
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import MerchantId
from groupbook.notices import reach_repository, reminders
from groupbook.notices.domain import NoticeCode
from groupbook.notices.reminders import ReminderSettings
from groupbook.notices.service.noting import write


def remind(database: Database, merchant_id: MerchantId) -> int:
    """Write the reminders whose time has come; returns how many. A use case for the sweep."""
    with database.begin(merchant_id) as session:
        settings = reminders.read_settings(reach_repository.read_settings(session))
        if not settings.is_on or settings.count_max == 0:
            return 0
        zone = merchants.read_merchant(session).timezone
        return sum(_remind(session, waiting, settings, zone) for waiting in bookings.awaited(session))


def _remind(session: Session, waiting: Awaited, settings: ReminderSettings, house_zone: str) -> int:
    now = clock.now(session)
    if now >= waiting.deadline_at:
        return 0
    written = reach_repository.params_of(session, waiting.trip_id, NoticeCode.PAY_REMINDER)
    reaches = reach_repository.reaches_of(session, waiting.owed.keys())
    count = 0
    for member in trips.members(session, waiting.trip_id):
        if member.id not in waiting.owed:
            continue
        before = [one for one in written.get(member.id, ()) if one.get("booking_id") == waiting.booking_id.hex]
        if len(before) >= settings.count_max:
            continue
        reach = reaches.get(member.id)
        zone = (reach.timezone if reach else None) or house_zone
        window = {"since": waiting.since[member.id], "deadline_at": waiting.deadline_at}
        step = reminders.due_now(reminders.schedule(**window, settings=settings, zone=zone), now)
        if step is None or reminders.awake(now, **window, settings=settings, zone=zone) != now:
            continue
        key = reminders.reminder_key(waiting.booking_id, waiting.deadline_at, step.name)
        params = {"booking_id": waiting.booking_id.hex, "step": step.name}
        told_at = clock.system_now(session)
        if write(session, key, member.id, waiting.trip_id, NoticeCode.PAY_REMINDER, params, told_at=told_at):
            count += 1
    return count


def read_reminders(database: Database, merchant_id: UUID) -> ReminderSettings:
    """When this merchant's customers are reminded. A use case."""
    with database.begin(MerchantId(merchant_id)) as session:
        return reminders.read_settings(reach_repository.read_settings(session))


def change_reminders(database: Database, caller: Caller, settings: dict[str, object]) -> ReminderSettings:
    """Replace the merchant's own settings; what is not named stays with the house. Counts from the next look on.

    Raises:
        RemindersInvalid
    """
    checked = reminders.read_settings(settings)
    with database.begin(caller.merchant_id) as session:
        reach_repository.save_settings(session, settings, clock.system_now(session))
    return checked
