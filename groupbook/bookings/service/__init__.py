"""The verbs of this room, one concern a file."""

from groupbook.bookings.service.opening import (
    cancel_booking,
    open_booking,
    parked_bookings,
    resume_booking,
    sweep,
)
from groupbook.bookings.service.paying import (
    ask_to_pay,
    may_pay,
    refresh_payment,
    start_payment,
    take_over,
    withdraw_ask,
)
from groupbook.bookings.service.progress import progress
from groupbook.bookings.service.reading import (
    booking_of_trip,
    list_bookings,
    read_booking,
    read_tickets,
    read_timeline,
    trip_of_booking,
)

__all__ = [
    "ask_to_pay",
    "booking_of_trip",
    "cancel_booking",
    "list_bookings",
    "may_pay",
    "open_booking",
    "parked_bookings",
    "progress",
    "read_booking",
    "read_tickets",
    "read_timeline",
    "refresh_payment",
    "resume_booking",
    "start_payment",
    "sweep",
    "take_over",
    "trip_of_booking",
    "withdraw_ask",
]
