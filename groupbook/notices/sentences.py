"""The sentences of notices, from the one catalogue, in the reader's language."""

from __future__ import annotations

from groupbook.kit.i18n import Words
from groupbook.notices.domain import NoticeCode


def sentence(words: Words, code: NoticeCode, *, trip: str) -> str:
    """What a member reads: in the page, in a message. `trip` is the trip's title.

    The question to an address that nobody has confirmed says nothing people typed: strangers would read it.
    """
    _ = words
    match code:
        case NoticeCode.TRIP_DECIDED:
            return _("%(trip)s: the group has decided. Have a look.", trip=trip)
        case NoticeCode.PLEASE_PAY:
            return _("%(trip)s: the places are held. Pay your part; nobody is charged until everyone is in.", trip=trip)
        case NoticeCode.PAY_REMINDER:
            return _("%(trip)s waits for you: your part is not paid yet.", trip=trip)
        case NoticeCode.PORTION_DECLINED:
            return _("%(trip)s: your bank declined. Try another card or ask a friend to pay for you.", trip=trip)
        case NoticeCode.TICKETS_READY:
            return _("%(trip)s is booked. Your ticket is here.", trip=trip)
        case NoticeCode.PART_TAKEN:
            return _("%(trip)s is booked, and what you pay for the others was taken.", trip=trip)
        case NoticeCode.NOBODY_CHARGED:
            return _("%(trip)s was not booked. Nobody was charged.", trip=trip)
        case NoticeCode.BOOKING_CANCELED:
            return _("%(trip)s was canceled. Your money goes back to you.", trip=trip)
        case NoticeCode.MONEY_BACK:
            return _("%(trip)s: money is on its way back to you.", trip=trip)
        case NoticeCode.PLACE_OFFERED:
            return _("%(trip)s: a place is free, and you are next.", trip=trip)
        case NoticeCode.PLACE_WITHDRAWN:
            return _("%(trip)s: the place is not free after all. You stay where you were in the line.", trip=trip)
        case NoticeCode.PLACE_MISSED:
            return _("%(trip)s: the time for your place is over, and the next one was asked.", trip=trip)
        case NoticeCode.PLACE_UNWANTED:
            return _("%(trip)s: nobody in the waiting list took your place.", trip=trip)
        case NoticeCode.PLACE_TAKEN:
            return _("%(trip)s: somebody took your place.", trip=trip)
        case NoticeCode.PLACE_ASKED:
            return _("%(trip)s: somebody offers you their place. It is yours once you have paid for it.", trip=trip)
        case NoticeCode.PLACE_CALLED_OFF:
            return _("%(trip)s: the place is not offered to you any more.", trip=trip)
        case NoticeCode.PLACE_KEPT:
            return _("%(trip)s: nobody took your place over. It stays yours.", trip=trip)
        case NoticeCode.ROOM_FREE:
            return _("%(trip)s has room again, and you are next: come in.", trip=trip)
        case NoticeCode.WAITING_OVER:
            return _("%(trip)s is booked, and no place came free for you.", trip=trip)
        case NoticeCode.WAITING_NEEDLESS:
            return _("%(trip)s was not booked. The group has room again: come in.", trip=trip)
        case NoticeCode.CONFIRM_ADDRESS:
            return _("Somebody, probably you, wants news of a trip sent here.")
        case NoticeCode.SEAT_LINK:
            return _("Somebody, probably you, wants to open your place in %(trip)s on another device.", trip=trip)
        case NoticeCode.SEAT_OPENED:
            return _("Your place in %(trip)s was opened on another device, with a link from your mailbox.", trip=trip)


def short(words: Words, code: NoticeCode) -> str:
    """A subject line."""
    _ = words
    match code:
        case NoticeCode.TRIP_DECIDED:
            return _("Your group has decided")
        case NoticeCode.PLEASE_PAY:
            return _("Pay your part")
        case NoticeCode.PAY_REMINDER:
            return _("Your group waits for you")
        case NoticeCode.PORTION_DECLINED:
            return _("Your bank declined")
        case NoticeCode.TICKETS_READY:
            return _("Your ticket is here")
        case NoticeCode.PART_TAKEN:
            return _("Your part was taken")
        case NoticeCode.NOBODY_CHARGED:
            return _("Nobody was charged")
        case NoticeCode.BOOKING_CANCELED:
            return _("Your trip was canceled")
        case NoticeCode.MONEY_BACK:
            return _("Money back")
        case NoticeCode.PLACE_OFFERED:
            return _("A place for you")
        case NoticeCode.PLACE_WITHDRAWN:
            return _("The place is not free after all")
        case NoticeCode.PLACE_MISSED:
            return _("The time for your place is over")
        case NoticeCode.PLACE_UNWANTED:
            return _("Nobody took your place")
        case NoticeCode.PLACE_TAKEN:
            return _("Your place was taken")
        case NoticeCode.PLACE_ASKED:
            return _("A place for you")
        case NoticeCode.PLACE_CALLED_OFF:
            return _("The place is not offered any more")
        case NoticeCode.PLACE_KEPT:
            return _("Your place stays yours")
        case NoticeCode.ROOM_FREE:
            return _("There is room for you")
        case NoticeCode.WAITING_OVER:
            return _("No place came free")
        case NoticeCode.WAITING_NEEDLESS:
            return _("The group has room again")
        case NoticeCode.CONFIRM_ADDRESS:
            return _("Is this your address?")
        case NoticeCode.SEAT_LINK:
            return _("Your link to the trip")
        case NoticeCode.SEAT_OPENED:
            return _("Opened on another device")
