"""The verbs of this room, one concern a file."""

from groupbook.bookings.service.awaiting import Awaited, awaited, awaited_of, is_standing
from groupbook.bookings.service.changing import Change, amend_booking, booking_limits, change_policy, read_policy
from groupbook.bookings.service.giving import give, take_back
from groupbook.bookings.service.handing import (
    Handover,
    OfferedPlace,
    PlaceAddress,
    find_place,
    hand_over,
    keep_place,
    open_handover,
    read_handover,
    take_place,
)
from groupbook.bookings.service.leaving import LeavePreview, leave_booking, preview_leave
from groupbook.bookings.service.opening import cancel_booking, open_booking, sweep
from groupbook.bookings.service.operating import force_cancel, list_parked, mend_refund, plan_cancel, resume_booking
from groupbook.bookings.service.paying import (
    ask_to_pay,
    hand_back,
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
    trip_of_booking,
)
from groupbook.bookings.service.receipting import has_receipt, read_receipt
from groupbook.bookings.service.splitting import answer_split, propose_split
from groupbook.bookings.service.story import read_story

__all__ = [
    "Awaited",
    "Change",
    "Handover",
    "LeavePreview",
    "OfferedPlace",
    "PlaceAddress",
    "amend_booking",
    "answer_split",
    "ask_to_pay",
    "awaited",
    "awaited_of",
    "booking_limits",
    "booking_of_trip",
    "cancel_booking",
    "change_policy",
    "find_place",
    "force_cancel",
    "give",
    "hand_back",
    "hand_over",
    "has_receipt",
    "is_standing",
    "keep_place",
    "leave_booking",
    "list_bookings",
    "list_parked",
    "may_pay",
    "mend_refund",
    "open_booking",
    "open_handover",
    "plan_cancel",
    "preview_leave",
    "progress",
    "propose_split",
    "read_booking",
    "read_handover",
    "read_policy",
    "read_receipt",
    "read_story",
    "read_tickets",
    "refresh_payment",
    "resume_booking",
    "start_payment",
    "sweep",
    "take_back",
    "take_over",
    "take_place",
    "trip_of_booking",
    "withdraw_ask",
]
