"""The booked ride as a calendar file (RFC 5545): one entry per leg, with the seat of the reader."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event

from groupbook.kit.i18n import Words
from groupbook.web.views import TripView


def ride_calendar(trip: TripView, public_url: str, say: Words) -> bytes:
    """Station times with their zones. The entry's id stays the same, so that a second download replaces the first."""
    calendar = Calendar()
    calendar.add("prodid", "-//groupbook//trip//EN")
    calendar.add("version", "2.0")
    legs = trip.decided.legs if trip.decided else ()
    tickets = trip.booking.tickets if trip.booking else ()
    for index, leg in enumerate(legs):
        seats = [seat for ticket in tickets for seat in ticket.seats if seat.leg == str(index)]
        place = "; ".join(say("Coach %(coach)s, seat %(seat)s", coach=s.coach, seat=s.place) for s in seats)
        event = Event()
        event.add("uid", f"{trip.id}-{index}@groupbook")
        event.add("dtstamp", leg.departs_at.astimezone(UTC))
        event.add("dtstart", leg.departs_at.astimezone(ZoneInfo(leg.zone)))
        event.add("dtend", leg.arrives_at.astimezone(ZoneInfo(leg.arrives_zone or leg.zone)))
        event.add("summary", f"{leg.origin} → {leg.destination}")
        event.add("location", leg.origin)
        event.add("description", "\n".join(part for part in (trip.title, leg.train, place) if part))
        event.add("url", f"{public_url}{trip.url}")
        calendar.add_component(event)
    return bytes(calendar.to_ical())
