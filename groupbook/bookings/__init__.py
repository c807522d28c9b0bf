"""Bookings: one merchant order for the party of a trip, with its all-or-nothing settlement.

Promise: nothing is captured unless the merchant confirmed; a booking that fails leaves no live authorization, no live
hold and no live order; whatever the order in which news arrives, it ends in the same place, by its deadline plus fixed
budgets, or is parked with an alert. Every piece of news leads to one function, `progress`, which reads the truth of the
rooms below under the booking's lock and takes the next step of a pure machine.

    open_booking(database, caller, trip_id, *, policy, now) -> BookingId            use case, organizer
    cancel_booking(database, caller, booking_id, *, now) -> None                    use case, organizer or merchant
    read_booking(database, caller, booking_id, *, now) -> BookingView               what this caller may see
    booking_of_trip(database, caller, trip_id, *, now) -> BookingView | None
    ask_to_pay, withdraw_ask, take_over(database, caller, …)                        paying for each other
    list_bookings(database, caller, …) -> Slice[BookingView]                        the merchant's own
    read_timeline(database, merchant_id, booking_id) -> list[Step]
    read_tickets(database, caller, booking_id, *, now) -> list[TicketView]
    trip_of_booking(session, booking_id) -> TripId                                  step
    progress(session, booking_id) -> None                                           step; level-triggered, idempotent
    sweep(database, merchant_id) -> int                                             deadlines and budgets
    parked_bookings, resume_booking(database, merchant_id, …)                       the operator
Facts: booking.started, booking.opened, booking.confirmed, booking.aborted, booking.canceled, booking.parked
"""

from groupbook.bookings.domain import (
    BookingNotFound,
    BookingState,
    BookingView,
    PayRequestView,
    Policy,
    PortionLine,
    Step,
    TicketView,
)
from groupbook.bookings.listeners import forget, on_hold, on_order, on_portion
from groupbook.bookings.service import (
    ask_to_pay,
    booking_of_trip,
    cancel_booking,
    list_bookings,
    may_pay,
    open_booking,
    parked_bookings,
    progress,
    read_booking,
    read_tickets,
    read_timeline,
    refresh_payment,
    resume_booking,
    start_payment,
    sweep,
    take_over,
    trip_of_booking,
    withdraw_ask,
)

__all__ = [
    "BookingNotFound",
    "BookingState",
    "BookingView",
    "PayRequestView",
    "Policy",
    "PortionLine",
    "Step",
    "TicketView",
    "ask_to_pay",
    "booking_of_trip",
    "cancel_booking",
    "forget",
    "list_bookings",
    "may_pay",
    "on_hold",
    "on_order",
    "on_portion",
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
