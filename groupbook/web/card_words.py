"""What happens to my card, in one sentence: for every state of a portion, at every step of its booking.

Who pays reads what their own bank and card do; who is paid for reads that theirs does nothing. Each sentence is true
whatever came before: nothing is said to be released that may never have been kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from groupbook.bookings import BookingState
from groupbook.kit.i18n import Words, format_instant, format_money
from groupbook.kit.money import Money
from groupbook.payments.domain import PAYABLE, PortionState

# Everybody is in; the merchant is asked, and no card moves before its answer.
_DECIDING: Final = frozenset({BookingState.FREEZING, BookingState.CONFIRMING, BookingState.TOMBSTONING})
# It comes to nothing: nobody is asked for anything any more.
_OVER: Final = frozenset(
    {
        BookingState.VOIDING,
        BookingState.ABORTED,
        BookingState.UNWINDING,
        BookingState.REFUNDING,
        BookingState.REFUNDED,
    }
)
_NOT_TAKEN: Final = PAYABLE | {PortionState.SHORT}


@dataclass(frozen=True)
class CardFacts:
    """What the sentence is about. Amounts are the payer's own; None for anybody else.

    `cap` is the most they agree to and what their bank keeps; `authorizes_at` the time until which a card is only kept.
    """

    state: PortionState
    booking: BookingState
    amount: Money | None = None
    cap: Money | None = None
    captured: Money | None = None
    refunded: Money | None = None
    authorizes_at: datetime | None = None
    is_asked_again: bool = False
    has_quorum: bool = False  # enough payers may go without the rest
    must_confirm: bool = False  # the bank declined because it wants to ask its customer, who was away
    refund_failed: bool = False  # what was to go back did not arrive
    zone: str = "UTC"

    @property
    def is_capped(self) -> bool:
        return self.amount is not None and self.cap is not None and self.amount < self.cap


def card_text(facts: CardFacts, say: Words) -> str:
    """What happens to the payer's card now, and what will."""
    if facts.booking is BookingState.PARKED:
        return say("A person is checking this booking. Until they have, nothing more happens to your card.")
    if facts.booking is BookingState.PLACING:
        return say("Nothing happens to your card yet: first the seats are kept.")
    if facts.refund_failed:
        return say(
            "%(paid)s was taken from your card. What was to go back to it came back to us from your bank. A person is "
            "finding another way, and you need do nothing.",
            paid=_money(facts.captured or facts.amount, say),
        )
    if facts.booking in _OVER and facts.state in _NOT_TAKEN:
        return say("Nothing was taken from your card, and nothing will be.")
    if facts.booking in _DECIDING and facts.state is PortionState.AUTHORIZED:
        return say(
            "Your bank keeps %(most)s ready while the seats are being confirmed. It is taken only after that, "
            "or released.",
            most=_money(facts.cap or facts.amount, say),
        )
    return sentences(facts, say)[facts.state]


def sentences(facts: CardFacts, say: Words) -> dict[PortionState, str]:
    """The whole table: one sentence for every state of the machine."""
    s = PortionState
    amount, most = _money(facts.amount, say), _money(facts.cap or facts.amount, say)
    return {
        s.OPEN: _open(facts, say, amount, most),
        s.AUTHORIZING: say(
            "Your payment is under way. As long as your bank has not said yes, nothing is kept and nothing is taken."
        ),
        s.DECLINED: say("Your bank wants you to confirm this yourself. Nothing was taken, and nothing is kept.")
        if facts.must_confirm
        else say("Your bank said no. Nothing was taken, and nothing is kept."),
        s.EXPIRED: say(
            "Your bank does not keep the money any more, or not for as long as the group needs: banks do so for some "
            "days only. Nothing was taken. Please authorize it again; another card may be kept longer."
        ),
        s.SAVED: _saved(facts, say, most),
        s.AUTHORIZED: _authorized(facts, say, amount, most),
        s.CAPTURING: say("The seats are confirmed. %(amount)s is being taken from your card now.", amount=amount),
        s.CAPTURED: _captured(facts, say, amount),
        s.SHORT: _short(facts, say),
        s.COVERED: say(
            "Your card was not charged at the last step, and your seat stands. The seller settles %(amount)s with you.",
            amount=amount,
        ),
        s.PART_REFUNDED: say(
            "%(paid)s was taken from your card, and %(back)s of that goes back to it. Banks show this within ten days.",
            paid=_money(facts.captured or facts.amount, say),
            back=_money(facts.refunded or facts.amount, say),
        ),
        s.REFUNDED: say(
            "%(amount)s goes back to your card. Banks show this within ten days.",
            amount=_money(facts.refunded or facts.amount, say),
        ),
        s.VOIDING: say("Nothing was taken. If your bank kept money ready, it is being told to release it."),
        s.VOIDED: say("Nothing was taken. If your bank kept money ready, it is released; banks show this within days."),
        s.WAIVED: say("There is nothing to pay, so no card is asked."),
    }


def paid_for_text(state: PortionState, name: str, say: Words) -> str:
    """For somebody whose portion another person pays: their own card is left alone."""
    if state in (PortionState.AUTHORIZED, PortionState.SAVED):
        return say("%(name)s pays for you and is in. Nothing happens to your card.", name=name)
    if state in (PortionState.CAPTURING, PortionState.CAPTURED, PortionState.COVERED):
        return say("%(name)s paid for you. Nothing happened to your card.", name=name)
    if state in (PortionState.PART_REFUNDED, PortionState.REFUNDED):
        return say("%(name)s paid for you, so what goes back goes to their card.", name=name)
    if state in (PortionState.VOIDING, PortionState.VOIDED):
        return say("Nothing was taken, from your card or from %(name)s's.", name=name)
    if state is PortionState.WAIVED:
        return say("There is nothing to pay, so no card is asked.")
    return say("%(name)s said they pay for you. Their bank has not said yes so far.", name=name)


def _open(facts: CardFacts, say: Words, amount: str, most: str) -> str:
    if facts.booking is BookingState.AMENDING:
        return say(
            "Nothing happens to your card yet. If you go on, your bank keeps %(amount)s ready, and it is taken only "
            "when the railway has made the change.",
            amount=amount,
        )
    if facts.authorizes_at is not None:
        return say(
            "Nothing happens to your card yet. If you go on, it is only kept; your bank is asked on %(when)s, "
            "or as soon as everybody is in.",
            when=_when(facts, say),
        )
    if facts.is_capped:
        return say(
            "Nothing happens to your card yet. If you go on, your bank keeps %(most)s ready: you pay %(amount)s if all "
            "of you go, and in no case more than %(most)s.",
            most=most,
            amount=amount,
        )
    if facts.has_quorum:
        return say(
            "Nothing happens to your card yet. If you go on, your bank keeps %(amount)s ready, and it is taken only "
            "when enough of you are in.",
            amount=amount,
        )
    return say(
        "Nothing happens to your card yet. If you go on, your bank keeps %(amount)s ready, and it is taken only when "
        "everybody is in.",
        amount=amount,
    )


def _saved(facts: CardFacts, say: Words, most: str) -> str:
    if facts.authorizes_at is None:
        return say("Your card is kept, and your bank is being asked for %(most)s now.", most=most)
    return say(
        "Your card is kept with the payment provider, and no money is. Your bank is asked for %(most)s on %(when)s, "
        "or as soon as everybody is in.",
        most=most,
        when=_when(facts, say),
    )


def _authorized(facts: CardFacts, say: Words, amount: str, most: str) -> str:
    if facts.booking is BookingState.AMENDING:
        return say(
            "Your bank keeps %(amount)s ready. It is taken only when the railway has made the change; otherwise it is "
            "released.",
            amount=amount,
        )
    if facts.is_capped:
        return say(
            "Your bank keeps %(most)s ready. Nothing is taken until it is settled who goes: now that is %(amount)s, "
            "never more than %(most)s, and the rest is released.",
            most=most,
            amount=amount,
        )
    if facts.has_quorum:
        return say(
            "Your bank keeps %(amount)s ready. It is taken only when enough of you are in; otherwise it is released.",
            amount=amount,
        )
    return say(
        "Your bank keeps %(amount)s ready. It is taken only when everybody is in; otherwise it is released.",
        amount=amount,
    )


def _captured(facts: CardFacts, say: Words, amount: str) -> str:
    paid = _money(facts.captured or facts.amount, say)
    if facts.cap is not None and facts.captured is not None and facts.captured < facts.cap:
        return say(
            "%(paid)s was taken from your card. What your bank kept beyond that is released.",
            paid=paid,
        )
    return say("%(paid)s was taken from your card.", paid=paid)


def _short(facts: CardFacts, say: Words) -> str:
    if facts.is_asked_again:
        return say("Your bank did not pay at the last step. Nothing was taken. Pay again, so that everybody can go.")
    return say("Your bank did not pay at the last step. Nothing was taken, and we are trying to mend it.")


def _money(amount: Money | None, say: Words) -> str:
    return format_money(amount, say.locale) if amount is not None else "–"


def _when(facts: CardFacts, say: Words) -> str:
    return format_instant(facts.authorizes_at, facts.zone, say.locale) if facts.authorizes_at is not None else ""
