"""The verbs of this room, one concern a file."""

from groupbook.notices.service.deps import NUDGE, NoticeDeps
from groupbook.notices.service.entering import GuestSeat, ask_seat_link, enter, read_entry, read_seat
from groupbook.notices.service.noting import forget, mark_seen, note, notices_for
from groupbook.notices.service.reaching import (
    Reach,
    Stopped,
    Wishes,
    confirm,
    drop_address,
    forget_addresses,
    give_address,
    read_confirm,
    read_reach,
    read_stop,
    receive_bounce,
    stop,
    wish,
)
from groupbook.notices.service.reminding import change_reminders, read_reminders, remind
from groupbook.notices.service.sending import send, sweep

__all__ = [
    "NUDGE",
    "GuestSeat",
    "NoticeDeps",
    "Reach",
    "Stopped",
    "Wishes",
    "ask_seat_link",
    "change_reminders",
    "confirm",
    "drop_address",
    "enter",
    "forget",
    "forget_addresses",
    "give_address",
    "mark_seen",
    "note",
    "notices_for",
    "read_confirm",
    "read_entry",
    "read_reach",
    "read_reminders",
    "read_seat",
    "read_stop",
    "receive_bounce",
    "remind",
    "send",
    "stop",
    "sweep",
    "wish",
]
