"""Codes of the rooms as sentences for people. The only place, beside `notices`, where a code becomes words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from groupbook.bookings import BookingState
from groupbook.kit.errors import GroupbookError, Kind
from groupbook.kit.i18n import Words, format_instant
from groupbook.payments.domain import PortionState


@dataclass(frozen=True)
class StateWords:
    """One portion's state: the ring's color, the words, the badge's tone."""

    ring: str
    text: str
    tone: str


def portion_words(state: PortionState, say: Words) -> StateWords:
    s = PortionState
    table = {
        s.OPEN: StateWords("waiting", say("Waiting"), "quiet"),
        s.AUTHORIZING: StateWords("opening", say("Paying …"), "warn"),
        s.DECLINED: StateWords("declined", say("Declined"), "bad"),
        s.EXPIRED: StateWords("expired", say("Ran out"), "bad"),
        s.SAVED: StateWords("saved", say("Card kept"), "info"),
        s.AUTHORIZED: StateWords("authorized", say("In"), "ok"),
        s.CAPTURING: StateWords("authorized", say("In"), "ok"),
        s.CAPTURED: StateWords("captured", say("Paid"), "ok"),
        s.COVERED: StateWords("captured", say("Paid"), "ok"),
        s.WAIVED: StateWords("captured", say("Nothing to pay"), "ok"),
        s.SHORT: StateWords("declined", say("Being checked"), "warn"),
        s.PART_REFUNDED: StateWords("captured", say("Partly paid back"), "info"),
        s.REFUNDED: StateWords("voided", say("Paid back"), "info"),
        s.VOIDING: StateWords("waiting", say("Being released"), "quiet"),
        s.VOIDED: StateWords("waiting", say("Released"), "quiet"),
    }
    return table[state]


def length_text(seconds: int, say: Words) -> str:
    """A length of time in the largest unit that says it exactly; a day or less in hours."""
    if seconds >= 2 * 86_400 and seconds % 86_400 == 0:
        return say.many("%(num)s day", "%(num)s days", seconds // 86_400)
    if seconds >= 3_600 and seconds % 3_600 == 0:
        return say.many("%(num)s hour", "%(num)s hours", seconds // 3_600)
    if seconds % 60 == 0:
        return say.many("%(num)s minute", "%(num)s minutes", seconds // 60)
    return say.many("%(num)s second", "%(num)s seconds", seconds)


def rule_text(kind: str, quorum: int | None, organizer: str, say: Words) -> str:
    """The rule fixed at the start, in one sentence."""
    if kind == "quorum_at_deadline":
        return say.many(
            "The vote decides at the deadline, once %(num)s person can come.",
            "The vote decides at the deadline, once %(num)s people can come.",
            quorum or 1,
        )
    if kind == "unanimous":
        return say("It is decided when one train works for everybody.")
    return say("%(name)s decides, with your votes in view.", name=organizer)


def leading_text(label: str | None, reason: str, say: Words) -> str:
    """Which option leads and by what; empty while nobody has voted."""
    if reason == "quorum_not_reached":
        return say("Not enough people can come yet.")
    why = {
        "only_option": say("it is the only one"),
        "more_can_come": say("more of you can come"),
        "fewest_no": say("the fewest cannot come"),
        "most_yes": say("it has the most yes"),
        "most_if_need_be": say("it has the most “if needed”"),
        "lowest_price": say("it is the cheapest for the group"),
        "earliest_date": say("it is the earliest"),
        "first_listed": say("it was listed first"),
    }.get(reason)
    if label is None or why is None:
        return ""
    return say("Leading now: %(option)s, because %(why)s.", option=label, why=why)


def unbookable_text(reason: str | None, seats_left: int | None, say: Words) -> str:
    if seats_left == 0:
        return say("Sold out")
    return {
        "offer_not_bookable": say("Vote only"),
        "not_an_offer": say("Vote only"),
        "too_many_combinations": say("Too many for one booking"),
    }.get(reason or "", say("No price now"))


def waiting_text(state: BookingState, until: datetime | None, zone: str, say: Words) -> str:
    """What is waited for while nothing can be done, until when, and what happens then; empty where nothing is."""
    when = format_instant(until, zone, say.locale) if until is not None else "–"
    s = BookingState
    return {
        s.PLACING: say(
            "This usually takes a few seconds. If the railway does not answer by %(when)s, nobody is asked for "
            "anything.",
            when=when,
        ),
        s.FREEZING: say(
            "This usually takes a few seconds. If the banks or the railway do not answer by %(when)s, nobody is "
            "charged.",
            when=when,
        ),
        s.CONFIRMING: say(
            "This usually takes a few seconds. If the railway does not answer by %(when)s, we call the order off. "
            "Nobody pays before the seats are confirmed.",
            when=when,
        ),
        s.TOMBSTONING: say(
            "The railway did not answer in time, so we are calling the order off. Nobody pays for a seat they do not "
            "get."
        ),
        s.CAPTURING: say(
            "The seats are confirmed. A bank that does not answer at once is asked again until %(when)s, and nobody "
            "pays twice.",
            when=when,
        ),
    }.get(state, "")


def end_text(reason: str | None, say: Words) -> str:
    """Why a booking came to nothing."""
    return {
        "hold_refused": say("The railway has no seats for all of you on this train any more."),
        "hold_lost": say("The seats were not kept long enough."),
        "deadline": say("The time ran out before everybody was in."),
        "deadline_reached": say("The time ran out before everybody was in."),
        "looked_short": say("The time ran out before everybody was in."),
        "cancel_asked": say("The organizer stopped this booking."),
        "order_rejected": say("The railway could not confirm the seats."),
        "order_canceled": say("The railway did not confirm the seats in time."),
        "confirm_budget_out": say("The railway did not confirm the seats in time."),
        "budget_out": say("Somebody did not answer in time."),
        "recovery_out": say("One payment failed at the last step, so everybody got their money back."),
        "capture_failed": say("One payment failed at the last step, so everybody got their money back."),
        "sold_out": say("The railway has no seats for all of you on this train any more."),
        "price_changed": say("The railway has changed the price of this train. The new price is asked for next time."),
        "offer_not_found": say("The railway no longer sells this train."),
        "invalid_traveler": say("The railway did not accept the details of somebody in the group."),
    }.get(reason or "", say("This booking did not work out."))


@dataclass(frozen=True)
class Trouble:
    """A friendly page for an error. `way_out` says which action helps: start, home, trip, login."""

    sign: str
    title: str
    text: str
    way_out: str = "home"


def error_text(error: GroupbookError, say: Words) -> str:
    """One sentence for a form or a page that stays: what is wrong and how to go on."""
    texts = {
        "name_empty": say("Please tell us a name, so that your friends know who you are."),
        "name_too_long": say("This name is too long. 80 letters are enough."),
        "trip_text_invalid": say("This text is too long or holds signs that cannot be shown."),
        "deadline_required": say("A vote that decides needs a deadline."),
        "deadline_in_past": say("Choose a deadline that is still to come."),
        "invalid_quorum": say("Choose between 1 and 60 votes."),
        "trip_state_forbids": say("The trip has moved on, so this is not possible any more."),
        "trip_changed": say("Somebody changed the trip meanwhile. Look again, then decide."),
        "trip_full": say("This trip is full."),
        "too_many_options": say("There are enough trains to choose from."),
        "too_many_invites": say("There are enough invitation links. Use one of those."),
        "roster_frozen": say("The group is being booked right now, so nobody can come or go."),
        "booking_open": say("A booking is running. Stop it first."),
        "quorum_not_reached": say("Too few people can come with this one."),
        "not_unanimous": say("This one does not work for everybody yet."),
        "decision_not_due": say("The vote still runs. It can be decided when it ends, or when everybody has voted."),
        "undo_too_late": say("It is too late to undo. You can vote again instead."),
        "organizer_stays": say("You organize this trip. Cancel it instead."),
        "not_organizer": say("Only the organizer can do this."),
        "not_member": say("Only members of this trip can do this."),
        "foreign_origin": say("This came from another page, so we did not do it. Try it from here."),
        "offer_not_bookable": say("This train can no longer be booked. Choose another one together."),
        "offer_not_found": say("This train is no longer sold."),
        "nothing_decided": say("Decide on a train first."),
        "booking_closed": say("This booking is already being decided."),
        "policy_invalid": say("This choice is not possible here. Nothing was changed."),
        "contribution_invalid": say("This amount cannot be given here. Nothing was changed."),
        "contribution_not_found": say("This contribution is not there any more."),
        "split_invalid": say("This split cannot be asked for here. Nothing was changed."),
        "split_changed": say("The split has changed meanwhile. Look again, then decide."),
        "sponsor_link_over": say("Nothing more is wanted by this link."),
        "sponsor_link_not_found": say("This link is closed already."),
        "split_not_found": say("This split is not there any more."),
        "portion_too_small": say("That would leave somebody with less than a card can pay. Nothing was changed."),
        "already_traveling": say("You are in this group already. The place is for somebody else."),
        "handover_open": say("You hand this place over already. Take that back first."),
        "nobody_waits": say("Nobody in the waiting list can take your place in time. Nothing was changed."),
        "nothing_to_wait_for": say("There is nothing to wait for: look again."),
        "handover_over": say("This place is not free any more."),
        "amendment_accepted": say("It is paid for already, so it cannot be taken back."),
        "not_your_booking": say("This is not yours to do."),
        "not_traveling": say("They are not part of this booking any more."),
        "portion_gone": say("Whoever this was for has left the booking. There is nothing to pay any more."),
        "not_payable_now": say("There is nothing to pay now."),
        "portion_not_payable": say("This part is already taken care of."),
        "payment_refused": say(
            "The payment provider opens no page for this now. Nothing was taken. Try again later, or ask a friend to "
            "pay."
        ),
        "payment_page_gone": say("This payment page has closed"),
        "own_page_not_offered": say(
            "The operator's platform has no publishable key, so payers stay on the payment provider's page."
        ),
        "too_many_attempts": say("Too many tries. Ask a friend to pay for you."),
        "cards_invalid": say("We do not know this discount card."),
        "code_not_found": say("We do not know this discount code, or it is somebody else's."),
        "code_not_usable": _code_text(error, say),
        "code_invalid": say("You have entered as many codes as we keep. Remove one first."),
        "address_invalid": say("This is no e-mail address that we can write to."),
        "too_many_seat_links": say("That was tried too often today. Try again tomorrow."),
        "too_many_addresses": say("That was tried too often today. Try again tomorrow."),
        "age_invalid": say("Please give your age in years, between 0 and 120."),
        "share_not_allowed": say("The organizer does not allow sharing."),
        "outcome_unknown": say("We do not know yet whether it worked. Wait a moment and look again."),
    }
    if error.code in texts:
        return texts[error.code]
    if error.kind is Kind.UNAVAILABLE:
        return say("The other side does not answer. Nothing was changed; try again in a moment.")
    if error.kind is Kind.UNAUTHENTICATED:
        return say("Your session has ended. Log in again.")
    return say("That did not work. Nothing was changed.")


def _code_text(error: GroupbookError, say: Words) -> str:
    """A code that somebody enters, or one of a price that is just being booked: whose is not told."""
    if error.pointer is None:
        return say("A discount code in this price has just been used up. Nothing was changed; look at the price again.")
    return {
        "not_started": say("This discount code cannot be used yet."),
        "expired": say("This discount code has expired."),
    }.get(str(error.params.get("reason")), say("This discount code is used up."))


def trouble(error: GroupbookError, say: Words) -> Trouble:
    """A whole page for an error that leaves nothing else to show."""
    expired = Trouble("clock", say("This link has expired"), say("Ask your friend for a new one."), "start")
    incomplete = Trouble(
        "search",
        say("This link is not complete"),
        say("Copy the whole link from the message, or ask your friend to send it again."),
        "start",
    )
    private = Trouble(
        "lock",
        say("This trip is private"),
        say("If you are a member, log in. Otherwise ask the organizer for an invitation."),
        "login",
    )
    named = {
        "invite_expired": expired,
        "invite_revoked": expired,
        "invite_not_found": incomplete,
        "share_revoked": expired,
        "share_not_found": incomplete,
        "handover_not_found": incomplete,
        "sponsor_link_not_found": incomplete,
        "sponsor_link_over": Trouble(
            "clock",
            say("Nothing more is wanted"),
            say(
                "The organizer closed this link, others have given what was wanted, or the group does not collect any "
                "more: a link is for one booking. Nothing was taken from you by looking. Ask whoever sent it."
            ),
            "start",
        ),
        "handover_over": Trouble(
            "clock",
            say("This place is not free any more"),
            say("Somebody took it, it was taken back, or its time is over. Ask your friend."),
            "start",
        ),
        "seat_link_over": Trouble(
            "clock",
            say("This link is over"),
            say("It is good once and for half an hour. Open the newest mail of this trip and ask for another."),
        ),
        "mail_link_unknown": Trouble(
            "search", say("This link is not complete"), say("Open it once more from the newest mail.")
        ),
        "trip_canceled": Trouble("calendar", say("This trip was canceled"), say("Nobody is charged."), "start"),
        "trip_not_found": private,
        "not_member": private,
        "booking_not_found": private,
        "unauthenticated": Trouble(
            "lock",
            say("Please log in"),
            say(
                "This page is for those who are in it. Joined with just a name? Open it where you joined, or from "
                "our newest mail."
            ),
            "login",
        ),
        "launch_rejected": Trouble(
            "clock", say("This window is too old"), say("Close it and open the trip again from your network."), "none"
        ),
        "merchant_not_found": Trouble("search", say("There is nothing here"), say("The address may be mistyped.")),
        "trip_full": Trouble("people", say("This trip is full"), say("You can start your own."), "start"),
        "offer_not_found": Trouble("train", say("This train is no longer sold"), say("Choose another one."), "start"),
    }
    if error.code in named:
        return named[error.code]
    if error.kind in (Kind.NOT_FOUND, Kind.MALFORMED):
        return Trouble("search", say("There is nothing here"), say("The address may be mistyped or too old."))
    if error.kind is Kind.UNAVAILABLE:
        return Trouble("clock", say("We have to wait for somebody"), error_text(error, say), "again")
    if error.kind is Kind.BROKEN:
        return Trouble(
            "warn",
            say("Something went wrong here"),
            say("It is our fault, and we keep what was right before."),
            "again",
        )
    return Trouble("info", say("That is not possible"), error_text(error, say))
