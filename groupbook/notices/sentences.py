"""The sentences of notices, from the one catalogue, in the reader's language."""

from __future__ import annotations

from groupbook.kit.i18n import Words
from groupbook.notices.domain import NoticeCode


def sentence(words: Words, code: NoticeCode, *, trip: str) -> str:
    """What a member reads: in the page, in a message. `trip` is the trip's title."""
    _ = words
    match code:
        case NoticeCode.TRIP_DECIDED:
            return _("%(trip)s: the group has decided. Have a look.", trip=trip)
        case NoticeCode.PLEASE_PAY:
            return _("%(trip)s: the places are held. Pay your part; nobody is charged until everyone is in.", trip=trip)
        case NoticeCode.PORTION_DECLINED:
            return _("%(trip)s: your bank declined. Try another card or ask a friend to pay for you.", trip=trip)
        case NoticeCode.TICKETS_READY:
            return _("%(trip)s is booked. Your ticket is here.", trip=trip)
        case NoticeCode.NOBODY_CHARGED:
            return _("%(trip)s was not booked. Nobody was charged.", trip=trip)
        case NoticeCode.BOOKING_CANCELED:
            return _("%(trip)s was canceled. Your money goes back to you.", trip=trip)


def short(words: Words, code: NoticeCode) -> str:
    """A subject line."""
    _ = words
    match code:
        case NoticeCode.TRIP_DECIDED:
            return _("Your group has decided")
        case NoticeCode.PLEASE_PAY:
            return _("Pay your part")
        case NoticeCode.PORTION_DECLINED:
            return _("Your bank declined")
        case NoticeCode.TICKETS_READY:
            return _("Your ticket is here")
        case NoticeCode.NOBODY_CHARGED:
            return _("Nobody was charged")
        case NoticeCode.BOOKING_CANCELED:
            return _("Your trip was canceled")
