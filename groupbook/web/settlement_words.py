"""What each setting of the settlement is called and does, what is wrong with one, and what travelers read of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from groupbook.bookings import BookingState, Limits, LostDiscount, Policy
from groupbook.bookings.domain import PolicyInvalid, Shortfall
from groupbook.kit.i18n import Words
from groupbook.kit.money import Money, exponent
from groupbook.payments.domain import PortionState
from groupbook.web.card_words import CardFacts, card_text
from groupbook.web.phrases import length_text
from groupbook.web.ways_words import lost_discount_choice, lost_discount_text, quorum_text

UNITS: Final = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}
_shown_amount: Final = 40  # of the merchant's currency: the preview needs some


@dataclass(frozen=True)
class Explained:
    """One setting: its name as a label, and what it does."""

    label: str
    text: str


def unit_words(unit: str, say: Words) -> str:
    return {"seconds": say("seconds"), "minutes": say("minutes"), "hours": say("hours"), "days": say("days")}[unit]


def group_words(group: str, say: Words) -> str:
    return {
        "collecting": say("While the group pays"),
        "agreeing": say("Who has to be in, and who bears what"),
        "deciding": say("Once everybody is in"),
        "after": say("Places that change hands"),
    }[group]


def explained(name: str, say: Words) -> Explained:
    """Every field of the API, in plain words."""
    return {
        "collection_window_seconds": Explained(
            say("Time for everybody to pay"),
            say(
                "How long a group has from the moment it is asked, at most as long as you keep the places. What you "
                "set is also the longest that an organizer may choose."
            ),
        ),
        "extension_seconds": Explained(
            say("Extension"),
            say("By how much the deadline moves, once, when somebody is still missing. 0 means never."),
        ),
        "authorize_ahead_seconds": Explained(
            say("Ask the banks ahead of the deadline by"),
            say(
                "Banks keep money for days, not for weeks. A deadline further away than this only stores the cards "
                "first, and the banks are asked when it is this near, or as soon as everybody is in."
            ),
        ),
        "hold_margin_seconds": Explained(
            say("Margin before the places go"),
            say("So long before you let the places go the group has to be complete."),
        ),
        "payer_quorum": Explained(
            say("Payers that are enough"),
            say(
                "When so many are in at the deadline, they go without the rest. An organizer may ask for more, not for "
                "fewer. Empty means everybody, unless the organizer says otherwise."
            ),
        ),
        "lost_discount": Explained(
            say("A lost group discount is borne by"),
            say("What the others pay more because somebody left. At the default the organizer may choose."),
        ),
        "shortfall": Explained(
            say("If a payment fails for good after you confirmed"),
            say("Either your order is taken back and everybody gets their money, or you wait for the rest yourself."),
        ),
        "keeps_cards": Explained(
            say("Ask payers for one more try"),
            say(
                "Payers are asked to let their card be charged once more should taking the money fail. Banks then ask "
                "them to confirm more often."
            ),
        ),
        "confirm_budget_seconds": Explained(
            say("Wait for your booking system"),
            say("After that the order is canceled for good, and nobody is charged."),
        ),
        "settle_budget_seconds": Explained(
            say("Wait for the banks"),
            say("For taking, releasing and paying back money. After that a person is asked."),
        ),
        "recovery_budget_seconds": Explained(
            say("Mend a failed payment for"),
            say("So long who could not be charged, or somebody else, may pay again before the order is taken back."),
        ),
        "amendment_window_seconds": Explained(
            say("Time to pay for a place taken over"),
            say("For whoever comes in for somebody after the booking, never past the departure."),
        ),
        "waiting_offer_seconds": Explained(
            say("Time to take a free place"),
            say("How long the next in the waiting list may think about it, at most half of the time that is left."),
        ),
    }[name]


def choice_words(name: str, value: str, say: Words) -> str:
    """A value of a setting that is chosen from a few."""
    if name == "lost_discount":
        bears: dict[str, LostDiscount] = {"group": "group", "leaver": "leaver", "sponsor": "sponsor"}
        return lost_discount_choice(bears[value], say)
    if name == "shortfall":
        kinds: dict[Shortfall, str] = {
            "unwind": say("The order is taken back"),
            "receivable": say("You wait for the rest yourself"),
        }
        return kinds["receivable" if value == "receivable" else "unwind"]
    return say("Yes") if value == "yes" else say("No")


def problem_words(error: PolicyInvalid, say: Words) -> str:
    """What is wrong with one setting."""
    least, most = error.params.get("least"), error.params.get("most")
    match error.params.get("reason"):
        case "out_of_range" if most is None:
            return say("Give a whole number, 1 or more, or nothing.")
        case "out_of_range":
            return say("Between %(least)s and %(most)s.", least=_length(least, say), most=_length(most, say))
        case "authorizations_too_short":
            return say(
                "Banks keep money for %(most)s at least. The time to pay (or what the banks are asked ahead), the "
                "extension, the wait for your booking system and for the banks, and ten minutes more, have to fit in.",
                most=_length(most, say),
            )
    return say("This choice is not possible here. Nothing was changed.")


def _length(seconds: object, say: Words) -> str:
    return length_text(int(float(str(seconds))), say)


def traveler_texts(
    policy: Policy, limits: Limits, currency: str, now: datetime, zone: str, say: Words
) -> Sequence[str]:
    """What the members of a group read before they pay, in their own sentences."""
    authorize_at = policy.authorize_at(now)
    card = CardFacts(
        PortionState.OPEN,
        BookingState.OPEN,
        amount=Money(_shown_amount * 10 ** exponent(currency), currency),
        authorizes_at=authorize_at,
        has_quorum=policy.payer_quorum is not None,
        zone=zone,
    )
    texts = [say("Time for everybody to pay: %(length)s.", length=_length(policy.collection_window_seconds, say))]
    if policy.payer_quorum is not None:
        texts.append(quorum_text(policy.payer_quorum, say))
    texts.append(card_text(card, say))
    texts.append(lost_discount_text(limits.lost_discount[0], say))
    return texts
