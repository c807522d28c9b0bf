"""Bookings: one merchant order for the party of a trip, with its all-or-nothing settlement.

Promise: nothing is captured unless the merchant confirmed; a booking that fails leaves no live authorization, no live
hold and no live order; whatever the order in which news arrives, it ends in the same place, by its deadline plus fixed
budgets, or is parked with an alert. Every piece of news leads to one function, `progress`, which reads the truth of the
rooms below under the booking's lock and takes the next step of a pure machine.

    open_booking(database, caller, trip_id, *, policy, choices) -> BookingId        use case, organizer
    cancel_booking(database, caller, booking_id, *, now) -> None                    use case, organizer or merchant
    read_booking(database, caller, booking_id, *, now) -> BookingView               what this caller may see
    booking_of_trip(database, caller, trip_id, *, now) -> BookingView | None
    leave_booking(database, caller, booking_id) -> None                             before the freeze
    preview_leave(database, caller, booking_id) -> LeavePreview                     what that would do, to the cent
    amend_booking(database, caller, booking_id, change) -> AmendmentId              one booked member, after it
    preview_change(database, …, change) -> ChangePreview                            what that would come to, to the cent
    confirm_change(database, …, change, terms) -> AmendmentId                       just that, or nothing
    candidates(database, caller, booking_id) -> list[MemberId]                      who could take a place
    read_policy, change_policy, booking_limits(database, caller, house_policy, …)   settings, and what they leave open
    ask_to_pay, withdraw_ask, take_over, hand_back(database, caller, …)             paying for each other
    hand_over, open_handover, take_place, keep_place(database, …)                   a place for a friend, by a link
    wait_in_line, wait_again, stop_waiting, come_in, read_line(database, …)         the waiting list
    release_place, read_release(database, …); pass_places_on(database, …)           a place for it; beat
    give, take_back(database, caller, …)                                            a part for a friend, a sponsor
    want_gifts, open_gift, give_without_a_place(database, …)                        sponsors who do not travel
    propose_split, answer_split(database, caller, …)                                a sum shared by parts
    list_bookings(database, caller, …) -> Slice[BookingView]                        the merchant's own
    read_story(database, merchant_id, booking_id) -> BookingStory                   steps, events, calls, answers, money
    read_tickets(database, caller, booking_id, *, now) -> list[TicketView]
    read_receipt(database, caller, booking_id) -> Receipt                           a payer's own
    trip_of_booking(session, booking_id) -> TripId                                  step
    awaited(session); awaited_of(session, booking_id)                               steps: who has not paid yet
    progress(session, booking_id) -> None                                           step; level-triggered, idempotent
    sweep(database, merchant_id) -> int                                             deadlines and budgets
    list_parked, resume_booking, plan_cancel, force_cancel, mend_refund(database, merchant_id, …) the operator
Facts: booking.started, booking.opened, booking.confirmed, booking.aborted, booking.amended, booking.canceled,
    booking.parked; and about one member: place.offered, place.withdrawn, place.missed, place.unwanted, place.taken,
    place.filled, waiting.over, waiting.needless
"""

from groupbook.bookings.domain import (
    BookingNotFound,
    BookingState,
    BookingView,
    Choices,
    Limits,
    PayRequestView,
    Policy,
    PortionLine,
    TicketView,
)
from groupbook.bookings.listeners import forget, lock_first, on_hold, on_order, on_portion, on_reconciliation
from groupbook.bookings.receipts import Movement, MovementKind, Receipt, ReceiptItem, ReceiptNotFound
from groupbook.bookings.rescue import Act, Cancellation
from groupbook.bookings.service import (
    Awaited,
    Change,
    ChangePreview,
    Given,
    Handover,
    LeavePreview,
    Line,
    MoneyBack,
    OfferedPlace,
    OfferedToMe,
    PlaceAddress,
    Release,
    SponsorLink,
    WantedGift,
    amend_booking,
    answer_split,
    ask_to_pay,
    awaited,
    awaited_of,
    booking_limits,
    booking_of_trip,
    cancel_booking,
    candidates,
    change_policy,
    come_in,
    confirm_change,
    find_gift,
    find_place,
    force_cancel,
    give,
    give_without_a_place,
    hand_back,
    hand_over,
    has_receipt,
    is_offered,
    is_standing,
    keep_place,
    leave_booking,
    list_bookings,
    list_parked,
    may_pay,
    mend_refund,
    on_booking_over,
    open_booking,
    open_gift,
    open_handover,
    pass_places_on,
    place_token,
    plan_cancel,
    preview_change,
    preview_leave,
    progress,
    propose_split,
    read_booking,
    read_handover,
    read_line,
    read_policy,
    read_receipt,
    read_release,
    read_sponsor_link,
    read_story,
    read_tickets,
    refresh_payment,
    release_place,
    resume_booking,
    start_payment,
    stop_waiting,
    sweep,
    take_back,
    take_over,
    take_place,
    trip_of_booking,
    wait_again,
    wait_in_line,
    want_gifts,
    want_no_gifts,
    withdraw_ask,
)
from groupbook.bookings.service.operating import Canceled, Mended, ParkedBooking, Resumed, WaitingForAPerson
from groupbook.bookings.service.story import BookingStory, Entry, EntryKind, PortionStory, Stopped, error_code
from groupbook.bookings.sharing import LOST_DISCOUNT, LostDiscount

__all__ = [
    "LOST_DISCOUNT",
    "Act",
    "Awaited",
    "BookingNotFound",
    "BookingState",
    "BookingStory",
    "BookingView",
    "Canceled",
    "Cancellation",
    "Change",
    "ChangePreview",
    "Choices",
    "Entry",
    "EntryKind",
    "Given",
    "Handover",
    "LeavePreview",
    "Limits",
    "Line",
    "LostDiscount",
    "Mended",
    "MoneyBack",
    "Movement",
    "MovementKind",
    "OfferedPlace",
    "OfferedToMe",
    "ParkedBooking",
    "PayRequestView",
    "PlaceAddress",
    "Policy",
    "PortionLine",
    "PortionStory",
    "Receipt",
    "ReceiptItem",
    "ReceiptNotFound",
    "Release",
    "Resumed",
    "SponsorLink",
    "Stopped",
    "TicketView",
    "WaitingForAPerson",
    "WantedGift",
    "amend_booking",
    "answer_split",
    "ask_to_pay",
    "awaited",
    "awaited_of",
    "booking_limits",
    "booking_of_trip",
    "cancel_booking",
    "candidates",
    "change_policy",
    "come_in",
    "confirm_change",
    "error_code",
    "find_gift",
    "find_place",
    "force_cancel",
    "forget",
    "give",
    "give_without_a_place",
    "hand_back",
    "hand_over",
    "has_receipt",
    "is_offered",
    "is_standing",
    "keep_place",
    "leave_booking",
    "list_bookings",
    "list_parked",
    "lock_first",
    "may_pay",
    "mend_refund",
    "on_booking_over",
    "on_hold",
    "on_order",
    "on_portion",
    "on_reconciliation",
    "open_booking",
    "open_gift",
    "open_handover",
    "pass_places_on",
    "place_token",
    "plan_cancel",
    "preview_change",
    "preview_leave",
    "progress",
    "propose_split",
    "read_booking",
    "read_handover",
    "read_line",
    "read_policy",
    "read_receipt",
    "read_release",
    "read_sponsor_link",
    "read_story",
    "read_tickets",
    "refresh_payment",
    "release_place",
    "resume_booking",
    "start_payment",
    "stop_waiting",
    "sweep",
    "take_back",
    "take_over",
    "take_place",
    "trip_of_booking",
    "wait_again",
    "wait_in_line",
    "want_gifts",
    "want_no_gifts",
    "withdraw_ask",
]
