"""Notices: telling people what happened to their trip, in their page, by the network they came from, by e-mail.

Promise: each member is told of each fact, and reminded of each step of a deadline, at most once (a channel that times
out may repeat a message, under one key); who paid, left or said stop is not reminded, and nobody at night; what is no
longer true is neither shown nor sent; sentences come from the one catalogue in the reader's language; a guest, or a
person no channel reaches, still finds the notice in the page. An address is written to once its owner said yes.

    note(session, fact)                                  the listener, for every name in CODE_OF_FACT
    remind(database, merchant_id)                        beat: whoever was asked to pay and has not, by the schedule
    send(deps, merchant_id, notice_id); sweep(deps, merchant_id)     worker: nudge "send_notice", and beat
    notices_for(session, member_id); mark_seen(session, member_id); forget(session, member_ids)      steps
    read_reach, give_address, drop_address, wish(deps, caller, trip_id, …)      by the member
    read_stop, stop, read_confirm, confirm(database, sealer, token, …)          by a link in a message, without a login
    read_seat, ask_seat_link, read_entry, enter(database, sealer, token)        a guest on another device
    read_reminders, change_reminders(database, …)        the merchant's schedule
    receive_bounce(database, sealer, raw)                a letter that came back
    forget_addresses(session)                            beat: what nobody needs any more
    sentence(words, code, trip=title)                    what the page shows
"""

from groupbook.notices.domain import (
    CODE_OF_FACT,
    Address,
    AddressInvalid,
    MailLinkUnknown,
    Message,
    Notice,
    NoticeCode,
    NoticeState,
    Scope,
    SeatLinkOver,
    TooManyAddresses,
    TooManySeatLinks,
)
from groupbook.notices.reminders import ReminderSettings, RemindersInvalid
from groupbook.notices.sentences import sentence, short
from groupbook.notices.service import (
    NUDGE,
    GuestSeat,
    NoticeDeps,
    Reach,
    Stopped,
    Wishes,
    ask_seat_link,
    change_reminders,
    confirm,
    drop_address,
    enter,
    forget,
    forget_addresses,
    give_address,
    mark_seen,
    note,
    notices_for,
    read_confirm,
    read_entry,
    read_reach,
    read_reminders,
    read_seat,
    read_stop,
    receive_bounce,
    remind,
    send,
    stop,
    sweep,
    wish,
)

__all__ = [
    "CODE_OF_FACT",
    "NUDGE",
    "Address",
    "AddressInvalid",
    "GuestSeat",
    "MailLinkUnknown",
    "Message",
    "Notice",
    "NoticeCode",
    "NoticeDeps",
    "NoticeState",
    "Reach",
    "ReminderSettings",
    "RemindersInvalid",
    "Scope",
    "SeatLinkOver",
    "Stopped",
    "TooManyAddresses",
    "TooManySeatLinks",
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
    "sentence",
    "short",
    "stop",
    "sweep",
    "wish",
]
