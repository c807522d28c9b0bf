"""What the operator and the merchant's staff read of a booking: its states, calls and news, and why it is stuck.

Codes in, sentences out; a code that nobody gave words is shown as it is. The command line says the same in English.
"""

from __future__ import annotations

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from groupbook.bookings import Cancellation, Stopped
from groupbook.bookings.domain import BookingState
from groupbook.kit.errors import GroupbookError
from groupbook.kit.i18n import DEFAULT_LOCALE, Words, words
from groupbook.payments.domain import RefundState


def booking_words(state: BookingState, say: Words) -> tuple[str, str]:
    """A booking's state for the merchant, and its tone."""
    return {
        "placing": (say("Asking for places"), "info"),
        "open": (say("Collecting"), "info"),
        "freezing": (say("Deciding"), "info"),
        "confirming": (say("Confirming"), "info"),
        "tombstoning": (say("Making sure"), "warn"),
        "capturing": (say("Taking the money"), "info"),
        "recovering": (say("Asking again for missing money"), "warn"),
        "booked": (say("Booked"), "ok"),
        "amending": (say("Being changed"), "info"),
        "voiding": (say("Being released"), "quiet"),
        "aborted": (say("Not booked, nobody charged"), "quiet"),
        "unwinding": (say("Canceling"), "warn"),
        "refunding": (say("Paying back"), "warn"),
        "refunded": (say("Canceled, paid back"), "quiet"),
        "parked": (say("Needs a person"), "bad"),
    }[state.value]


def call_words(kind: str, say: Words) -> str:
    """What a call asks the outside for."""
    return {
        "offers.place_hold": say("Ask your booking system to keep the places"),
        "offers.extend_hold": say("Ask your booking system to keep the places longer"),
        "offers.recheck": say("Ask your booking system for the price once more"),
        "offers.look_at_order": say("Read the order at your booking system"),
        "offers.amend_order": say("Ask your booking system to change the order"),
        "offers.release_hold": say("Ask your booking system to let the places go"),
        "offers.confirm_order": say("Ask your booking system for the order"),
        "offers.cancel_order": say("Ask your booking system to cancel the order for good"),
        "payment.open": say("Open a payment page"),
        "payment.authorize": say("Ask the bank to keep money on a saved card"),
        "payment.close": say("Close a payment page and let the money go"),
        "payment.let_go": say("End what we may do at the account that is in use no longer"),
        "payment.look_at_account": say("Read whether the account still lets us act for it"),
        "payment.observe": say("Read the payment at the provider"),
        "payment.capture": say("Take the authorized money"),
        "payment.refund": say("Pay money back"),
        "payment.observe_refund": say("Read the refund at the provider"),
        "payment.set_up": say("Look at your account at the payment provider"),
    }.get(kind, kind)


def planned_words(kind: str, say: Words) -> str:
    """What a call will ask for at its hour, should it still be called for then."""
    return {
        "offers.release_hold": say("Ask your booking system to let the places go, where they are still only kept"),
    }.get(kind, call_words(kind, say))


def event_words(name: str, say: Words) -> str:
    """News of a room below, or of the booking itself."""
    return {
        "booking.started": say("The booking was started"),
        "booking.opened": say("Everybody was asked for their portion"),
        "booking.confirmed": say("The booking was confirmed"),
        "booking.aborted": say("The booking ended; nobody was charged"),
        "booking.canceled": say("The booking was canceled and paid back"),
        "booking.amended": say("The booking was changed"),
        "booking.parked": say("The booking needs a person"),
        "intent.parked": say("A call was given up"),
        "hold.placed": say("The places are kept"),
        "hold.refused": say("The places were refused"),
        "hold.expired": say("The places were let go: their time was over"),
        "hold.released": say("The places were given back"),
        "hold.extended": say("The places are kept longer"),
        "hold.extend_refused": say("The places are not kept longer"),
        "offer.rechecked": say("The price was looked at once more"),
        "order.pending": say("Your booking system answers later"),
        "order.amended": say("The order was changed"),
        "order.amend_refused": say("The order was not changed"),
        "order.confirmed": say("The order is confirmed"),
        "order.rejected": say("The order was refused"),
        "order.canceled": say("The order is canceled for good"),
        "order.discrepant": say("Your booking system says something else than before"),
        "order.absent": say("Your booking system does not know this order any more"),
        "order.found": say("Your booking system knows the order again"),
        "portion.authorizing": say("Somebody opened their payment page"),
        "portion.observed": say("The provider was read before the decision"),
        "portion.authorized": say("The bank keeps the money"),
        "portion.declined": say("The bank declined"),
        "portion.saved": say("The card is saved; nothing is kept yet"),
        "portion.asked_again": say("The payer is asked again"),
        "portion.covered": say("The missing money is owed to the merchant"),
        "portion.disputed": say("The payer disputes the payment"),
        "portion.dispute_won": say("The dispute was won"),
        "portion.dispute_lost": say("The dispute was lost"),
        "portion.dropped": say("The portion is not needed any more"),
        "portion.waived": say("There is nothing to pay"),
        "portion.reopened": say("The portion can be paid again"),
        "portion.payer_changed": say("Somebody else pays this portion"),
        "portion.expired": say("The authorization ran out"),
        "portion.captured": say("The money was taken"),
        "portion.capture_failed": say("The money could not be taken"),
        "portion.voided": say("The money was let go"),
        "portion.refunded": say("Money was paid back"),
        "portion.refund_failed": say("A refund came back"),
        "reconciliation.difference": say("The provider's account and our books differ"),
        "reconciliation.resolved": say("The provider's account and our books agree again"),
        "payment.discrepant": say("The provider shows money that nobody asked for"),
        "account.withdrawn": say("The payment account no longer lets us act for it"),
    }.get(name, name)


def reason_words(code: str, say: Words) -> str:
    """Why somebody outside said no, or why it ended; empty where nobody gave the code words."""
    return {
        # the bank, about a card
        "card_declined": say("The bank said no and gave no reason."),
        "insufficient_funds": say("There is not enough money on the card."),
        "expired_card": say("The card has expired."),
        "incorrect_cvc": say("The security code is wrong."),
        "processing_error": say("The bank could not work on it just then."),
        "authentication_failed": say("The payer did not confirm it with their bank."),
        "authentication_required": say("The bank wants its customer to confirm, who was away."),
        "authorization_gone": say("The money is not reserved any more."),
        # the provider, about a request
        "amount_too_small": say("The amount is smaller than a card can pay."),
        "amount_not_representable": say("This amount cannot be asked for in this currency."),
        "charge_disputed": say("The payer disputes the payment."),
        "nothing_to_refund": say("Nothing is left to pay back."),
        "credentials_rejected": say("The payment account does not accept us."),
        "request_rejected": say("The other side did not accept the request."),
        "key_reused": say("The other side takes it for another request."),
        "wrong_state": say("It had moved on meanwhile."),
        "not_found": say("The other side does not know it."),
        "unavailable": say("The other side did not answer."),
        "outcome_unknown": say("No answer came, so it is read before anything else."),
        "internal_error": say("Something went wrong here; the log has it."),
        "superseded": say("It was not wanted any more."),
        "too_old": say("It was asked for too long ago to be asked once more."),
        # the booking system
        "sold_out": say("Not enough places are left."),
        "price_changed": say("The price has changed."),
        "offer_not_found": say("It is no longer sold."),
        "invalid_traveler": say("A traveler's details were not accepted."),
        "hold_expired": say("The places were kept no longer."),
        "not_allowed": say("The conditions do not allow it."),
        "not_cancelable": say("The conditions do not allow to cancel it."),
        "too_late": say("It is too late for that."),
        "canceled": say("It was canceled."),
        # the end of a booking
        "hold_refused": say("The places were refused."),
        "hold_lost": say("The places were not kept long enough."),
        "deadline_reached": say("The time ran out before everybody was in."),
        "looked_short": say("The time ran out before everybody was in."),
        "cancel_asked": say("The organizer or you stopped it."),
        "order_rejected": say("Your booking system refused the order."),
        "order_canceled": say("The order was canceled for good."),
        "confirm_budget_out": say("Your booking system did not answer in time."),
        "budget_out": say("Somebody did not answer in time."),
        "recovery_out": say("A payment failed at the last step, and no other came."),
        "capture_failed": say("A payment failed at the last step."),
        "member_canceled": say("A traveler gave their place back."),
        "member_replaced": say("Somebody else took the place."),
    }.get(code, "")


def refund_words(state: RefundState, say: Words) -> str:
    """Where money is that goes back."""
    s = RefundState
    return {
        s.ASKED: say("being asked for"),
        s.PENDING: say("on its way"),
        s.SUCCEEDED: say("arrived"),
        s.FAILED: say("came back"),
        s.RETRIED: say("came back, asked for again"),
        s.ELSEWHERE: say("came back, paid in another way"),
    }[state]


def refund_reason_words(code: str, say: Words) -> str:
    """Why a refund came back (https://docs.stripe.com/refunds#failed-refunds); empty where nobody gave it words."""
    return {
        "charge_for_pending_refund_disputed": say("The payer disputes the payment."),
        "declined": say("The payer's bank did not take it."),
        "expired_or_canceled_card": say("The payer's card is no longer good."),
        "insufficient_funds": say("There is not enough money on your account at the provider."),
        "lost_or_stolen_card": say("The payer's card was lost or stolen."),
    }.get(code, "")


def call_state_words(state: str, say: Words) -> tuple[str, str]:
    """Where a call stands, and its tone."""
    return {
        "due": (say("Waiting for its turn"), "info"),
        "calling": (say("Being made"), "info"),
        "unknown": (say("No answer yet: will be read first"), "warn"),
        "done": (say("Answered"), "ok"),
        "refused": (say("Refused"), "bad"),
        "parked": (say("Given up"), "bad"),
    }[state]


def stopped_text(stopped: Stopped, say: Words) -> str:
    """Why a booking waits for a person."""
    if stopped.cause == "budget_out":
        return {
            "tombstoning": say("Your booking system has not said whether the cancellation of the order stands."),
            "capturing": say("Taking the money took longer than allowed, or the tickets are missing."),
            "recovering": say("The order stands and somebody's money is still missing."),
            "amending": say("A change of the booking was not finished in time."),
            "voiding": say("An authorization or the places could not be released in time."),
            "unwinding": say("Your booking system has not said whether it took the order back."),
            "refunding": say("A refund has not arrived in time, or came back."),
        }.get(stopped.was.value, say("Somebody did not answer in time."))
    return {
        "broken": say("Something is true that must not be: money without an order, or an order behind a cancellation."),
        "order_stands": say("Your booking system will not take the order back."),
        "refund_failed": say("A refund came back from the bank; the payer needs another way to get it."),
        "reconciliation.difference": say("The provider's account and our books differ about this booking."),
    }.get(stopped.cause, say("A rule of the house stopped this booking: %(code)s.", code=stopped.cause))


def resume_text(was: BookingState, say: Words) -> str:
    """What resuming will do; nothing that was done is done again."""
    return {
        "placing": say("It waits for the places again."),
        "open": say("It collects again; a deadline that has passed decides at once."),
        "freezing": say("It reads the payments once more, then decides."),
        "confirming": say("It waits for your booking system's answer again; nobody is charged before."),
        "tombstoning": say("It asks again to cancel the order for good; nobody is charged meanwhile."),
        "capturing": say("It takes what is still to be taken; what was taken is found, never taken twice."),
        "recovering": say("It asks once more for what is missing; what was taken is never taken twice."),
        "booked": say("It stays booked."),
        "amending": say("It goes on with the change, or drops it; the booking stands either way."),
        "voiding": say("It releases what is still kept; nobody is charged."),
        "unwinding": say("It asks again to take the order back; refunds follow once that is certain."),
        "refunding": say("It pays back what has not been paid back; nobody gets it twice."),
    }.get(was.value, say("It goes on where it stopped."))


def cancellation_text(plan: Cancellation, say: Words) -> str:
    """What canceling by force does."""
    return {
        Cancellation.OVER: say("The booking has ended already. There is nothing to do."),
        Cancellation.UNDER_WAY: say("The booking is ending already. Nothing more is needed."),
        Cancellation.RELEASE: say("Every authorization and the places are released. Nobody is charged."),
        Cancellation.STOP_DECIDING: say(
            "Nobody waits any longer: an order that was asked for is canceled for good, then everybody is released. If "
            "the order stands and cannot be taken back, everybody is charged and it is booked."
        ),
        Cancellation.TAKE_BACK: say(
            "The order is taken back, then everybody gets their money back in full. If it cannot be taken back, the "
            "booking is parked again, or booked where nobody was charged yet."
        ),
        Cancellation.GIVE_BACK: say(
            "No order stands: what was taken is paid back in full, the rest is released, the places too."
        ),
    }[plan]


def unsafe_text(reason: str, say: Words) -> str:
    """Why canceling by force is refused now, and what to do instead."""
    return {
        "capture_unknown": say(
            "Somebody's money is being taken and the outcome is not known yet; that cannot be called back. Resume the "
            "booking, and cancel once it is booked."
        ),
        "amendment_open": say("A change of the booking is under way. Let it end first, then cancel."),
        "order_discrepant": say(
            "The merchant says something else than before about this order. Settle it with the merchant first."
        ),
    }.get(reason, say("That is not safe now: %(code)s.", code=reason))


def count(num: int, thing: str) -> str:
    """For the command line: "1 booking", "2 bookings"."""
    return f"{num} {thing}" if num == 1 else f"{num} {thing}s"


def operator_error(error: GroupbookError | SQLAlchemyError | ValidationError) -> tuple[str, str]:
    """What a command could not do: a code, and a sentence for the operator, in English."""
    say = words(DEFAULT_LOCALE)
    if isinstance(error, ValidationError):
        names = ", ".join(f"GROUPBOOK_{str(fault['loc'][0]).upper()}" for fault in error.errors() if fault["loc"])
        return "settings_invalid", f"These settings are missing or wrong: {names}."
    if isinstance(error, SQLAlchemyError):
        return "database_unavailable", "The database does not answer, or is not at our schema. Nothing was changed."
    sentences = {
        "not_found": "This is not the id of such a thing: one looks like bkg_ (or ref_) and 32 letters and digits.",
        "booking_not_found": "There is no such booking.",
        "refund_not_found": "There is no such refund.",
        "illegal_step": "Nothing was changed. This refund did not come back, or it was made good already.",
        "payments_under_way": "Nothing was changed. Payments are under way on the account in use, and can only be "
        "taken, released or refunded there: connect this one once they are settled.",
        "portion_disputed": "Nothing was changed. The payer disputes the payment: answer the dispute instead.",
        "merchant_not_found": "There is no merchant with this slug.",
        "statement_not_found": "There is no booking of this id at this merchant, or no money was asked for yet.",
        "statement_period_invalid": "These are not two days (YYYY-MM-DD), the earlier first, at most a year apart.",
        "statement_too_long": "There are too many movements for one statement. Ask for fewer days.",
        "refused": "This merchant has no payment provider, or one that does not know our key.",
        "unavailable": "The other side does not answer. Nothing was changed; try again later.",
        "cancel_unsafe": f"Nothing was changed. {unsafe_text(str(error.params.get('reason')), say)}",
    }
    return error.code, sentences.get(error.code, f"This was refused, and nothing was changed: {error.code}.")
