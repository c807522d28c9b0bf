"""Reminders: written when their time has come, for whoever was asked to pay and has not; sent like any other notice.

Level-triggered: each look reads who is late now, so nothing has to be taken back when somebody pays. What is written is
one row per booking, deadline, step and member; a crash before it writes nothing, a second look finds it written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import bookings, merchants, trips
from groupbook.bookings import Awaited
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import MemberId, MerchantId
from groupbook.notices import reach_repository, reminders
from groupbook.notices.domain import NoticeCode
from groupbook.notices.reminders import Reminder, ReminderSettings
from groupbook.notices.service.noting import write_each


def remind(database: Database, merchant_id: MerchantId) -> int:
    """Write the reminders whose time has come; returns how many. A use case for the sweep.

    What it asks the database grows with the reminders it writes and not with the bookings that collect.
    """
    with database.begin(merchant_id) as session:
        settings = reminders.read_settings(reach_repository.read_settings(session))
        if not settings.is_on or settings.count_max == 0:
            return 0
        zone = merchants.read_merchant(session).timezone
        return sum(_remind(session, batch, settings, zone) for batch in bookings.awaited(session))


def _remind(session: Session, batch: Sequence[Awaited], settings: ReminderSettings, house_zone: str) -> int:
    now = clock.now(session)
    waiting = [one for one in batch if now < one.deadline_at]
    payers = {MemberId(payer) for one in waiting for payer in one.owed}
    if not payers:
        return 0
    written = reach_repository.causes_of(session, [one.trip_id for one in waiting], NoticeCode.PAY_REMINDER)
    zones = {id: reach.timezone or house_zone for id, reach in reach_repository.reaches_of(session, payers).items()}
    present = trips.present(session, payers)
    count = 0
    for one in waiting:
        told: dict[str, list[MemberId]] = {}
        for member_id in present.intersection(one.owed):
            step = _step(one, member_id, settings, zones.get(member_id, house_zone), now)
            before = {cause for cause, booking in written.get(member_id, ()) if booking == one.booking_id.hex}
            if step is not None and len(before) < settings.count_max and _key(one, step.name) not in before:
                told.setdefault(step.name, []).append(member_id)
        for name, members in told.items():
            params = {"booking_id": one.booking_id.hex, "step": name}
            key, told_at = _key(one, name), clock.system_now(session)
            new = write_each(session, key, members, one.trip_id, NoticeCode.PAY_REMINDER, params, told_at=told_at)
            count += len(new)
    return count


def _key(waiting: Awaited, step: str) -> UUID:
    return reminders.reminder_key(waiting.booking_id, waiting.deadline_at, step)


def _step(
    waiting: Awaited, member_id: MemberId, settings: ReminderSettings, zone: str, now: datetime
) -> Reminder | None:
    """What this member is to be told now, where they are awake."""
    window = {"since": waiting.since[member_id], "deadline_at": waiting.deadline_at}
    step = reminders.due_now(reminders.schedule(**window, settings=settings, zone=zone), now)
    is_awake = reminders.awake(now, **window, settings=settings, zone=zone) == now
    return step if is_awake else None


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
