"""When somebody is reminded: a schedule before the deadline, quiet hours, and what a merchant may set. Pure.

A reminder that falls into the night waits for the morning; where the deadline would be over by then, it comes before
the night; where that was before anybody was asked, it does not come at all. (peers.md 9; social-and-referral.md D.3)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from groupbook.kit.errors import Invalid

steps_max: Final = 6
seconds_before_max: Final = 30 * 86_400
seconds_before_min: Final = 300
count_max_max: Final = 6
_gap_seconds: Final = (60.0, 3600.0)


class RemindersInvalid(Invalid):
    """An unknown name, a wrong type, or outside its limits; `pointer` says which."""

    code = "reminders_invalid"


@dataclass(frozen=True, slots=True)
class ReminderSettings:
    """When a merchant's customers are reminded to pay.

    `seconds_before` the deadline, and `halfway` between being asked and the deadline; at most `count_max` in all, those
    nearest to the deadline. Nothing is sent from `quiet_from_hour` to `quiet_until_hour` where the member is; two equal
    hours mean no quiet hours.
    """

    is_on: bool = True
    halfway: bool = True
    seconds_before: tuple[int, ...] = (86_400, 7_200)
    count_max: int = 3
    quiet_from_hour: int = 21
    quiet_until_hour: int = 8

    def settings(self) -> dict[str, Any]:
        return {**asdict(self), "seconds_before": list(self.seconds_before)}


@dataclass(frozen=True, slots=True)
class Reminder:
    """One step of the schedule: its name, and the instant it is due."""

    name: str
    at: datetime


def read_settings(stored: Mapping[str, Any]) -> ReminderSettings:
    """A merchant's own settings over the house's.

    Raises:
        RemindersInvalid
    """
    known = {one.name for one in fields(ReminderSettings)}
    for name, value in stored.items():
        pointer = f"/{name}"
        if name not in known:
            raise RemindersInvalid(pointer=pointer, reason="unknown")
        if name in ("is_on", "halfway"):
            if not isinstance(value, bool):
                raise RemindersInvalid(pointer=pointer, reason="one_of", values=[True, False])
        elif name == "seconds_before":
            _check_steps(value)
        else:
            most = count_max_max if name == "count_max" else 23
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
                raise RemindersInvalid(pointer=pointer, reason="out_of_range", least=0, most=most)
    values = dict(stored)
    if "seconds_before" in values:
        values["seconds_before"] = tuple(sorted(set(values["seconds_before"]), reverse=True))
    return ReminderSettings(**values)


def _check_steps(value: object) -> None:
    pointer = "/seconds_before"
    if not isinstance(value, list | tuple) or len(value) > steps_max:
        raise RemindersInvalid(pointer=pointer, reason="too_long", most=steps_max)
    for one in value:
        is_number = isinstance(one, int) and not isinstance(one, bool)
        if not is_number or not seconds_before_min <= one <= seconds_before_max:
            raise RemindersInvalid(
                pointer=pointer, reason="out_of_range", least=seconds_before_min, most=seconds_before_max
            )


def schedule(since: datetime, deadline_at: datetime, settings: ReminderSettings, zone: str) -> list[Reminder]:
    """The reminders of somebody in `zone` who was asked `since`, in order; two never come close together."""
    if not settings.is_on or deadline_at <= since:
        return []
    gap = _gap(since, deadline_at)
    wanted = [(f"before_{seconds}", deadline_at - timedelta(seconds=seconds)) for seconds in settings.seconds_before]
    if settings.halfway:
        wanted.append(("halfway", since + (deadline_at - since) / 2))
    moved = []
    for name, at in wanted:
        instant = awake(at, since=since, deadline_at=deadline_at, settings=settings, zone=zone)
        if instant is not None and since + gap <= instant <= deadline_at - gap:
            moved.append(Reminder(name, instant))
    kept: list[Reminder] = []
    for reminder in sorted(moved, key=lambda one: (one.at, one.name), reverse=True):
        if not kept or reminder.at + gap <= kept[-1].at:
            kept.append(reminder)
    return kept[: settings.count_max][::-1]


def due_now(reminders: list[Reminder], now: datetime) -> Reminder | None:
    """The step whose time has come: the latest one, for what was missed before it is not made up."""
    return next((one for one in reversed(reminders) if one.at <= now), None)


def awake(
    at: datetime, *, since: datetime, deadline_at: datetime, settings: ReminderSettings, zone: str
) -> datetime | None:
    """`at`, or the instant it moves to because it falls into the quiet hours; None when there is none."""
    night = _night(at, settings, ZoneInfo(zone))
    if night is None:
        return at
    begins_at, ends_at = night
    gap = _gap(since, deadline_at)
    if ends_at + gap <= deadline_at:
        return ends_at
    before = begins_at - gap
    return before if before > since else None


def reminder_key(booking_id: UUID, deadline_at: datetime, name: str) -> UUID:
    """One per booking, deadline and step: written twice it is one row. A deadline that moved is a new one."""
    return uuid5(booking_id, f"{deadline_at.astimezone(UTC).isoformat()} {name}")


def _gap(since: datetime, deadline_at: datetime) -> timedelta:
    """How far apart two messages are, and how long somebody needs to act on one: a tenth of the time there is."""
    least, most = _gap_seconds
    return timedelta(seconds=max(least, min(most, (deadline_at - since).total_seconds() / 10)))


def _night(at: datetime, settings: ReminderSettings, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """The quiet hours around `at`, as instants: the clocks of a zone may change in the middle of them."""
    if settings.quiet_from_hour == settings.quiet_until_hour:
        return None
    here = at.astimezone(zone).date()
    for day in (here - timedelta(days=1), here):
        begins_at = _hour(day, settings.quiet_from_hour, zone)
        over_midnight = settings.quiet_until_hour < settings.quiet_from_hour
        ends_at = _hour(day + timedelta(days=over_midnight), settings.quiet_until_hour, zone)
        if begins_at <= at < ends_at:
            return begins_at, ends_at
    return None


def _hour(day: date, hour: int, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(hour), zone).astimezone(UTC)
