"""The ways a group pays, in words: who gives, who shares, and who bears a lost discount when somebody leaves."""

from __future__ import annotations

from collections.abc import Sequence

from groupbook.bookings import LostDiscount
from groupbook.bookings.domain import PortionKind
from groupbook.kit.i18n import Words, format_money, format_names
from groupbook.kit.money import Money


def lost_discount_text(policy: LostDiscount, say: Words) -> str:
    """The policy chosen before anybody paid, in one sentence."""
    return {
        "group": say(
            "If somebody leaves and a group discount falls, those who stay bear it, and are asked again before they "
            "pay more than they agreed to."
        ),
        "leaver": say(
            "Whoever leaves after their bank said yes bears the group discount that the others lose by it, at most "
            "their own part."
        ),
        "sponsor": say(
            "If somebody leaves and a group discount falls, sponsors bear it as far as they said, and those who stay "
            "the rest; they are asked again before they pay more than they agreed to."
        ),
    }[policy]


def quorum_text(payers: int, say: Words) -> str:
    """So many are enough to go."""
    return say.many(
        "%(num)s of you is enough: then whoever is in goes at the end of the time, and nobody pays more than they "
        "agreed to.",
        "%(num)s of you are enough: then whoever is in goes at the end of the time, and nobody pays more than they "
        "agreed to.",
        payers,
    )


def lost_discount_choice(policy: LostDiscount, say: Words) -> str:
    """The same as a choice of the organizer."""
    return {
        "group": say("Those who stay"),
        "leaver": say("Whoever leaves, at most their own part"),
        "sponsor": say("Sponsors, as far as they say"),
    }[policy]


def extra_title(kind: PortionKind, payer: str, whom: str, say: Words) -> str:
    """What somebody gives or bears, as the others read it."""
    if kind == "sponsor":
        return say("%(name)s gives to everybody", name=payer)
    if kind == "part":
        return say("%(name)s pays a part for %(other)s", name=payer, other=whom)
    return say("%(name)s left and bears the lost discount", name=whom)


def your_extra_title(kind: PortionKind, whom: str, say: Words) -> str:
    if kind == "sponsor":
        return say("You give to everybody")
    if kind == "part":
        return say("You pay a part for %(name)s", name=whom)
    return say("You bear the discount that the others lost")


def own_price_text(price: Money, owed: Money, say: Words) -> str:
    """Why one owes something else than one's own price."""
    return say(
        "Your own price is %(price)s. With what is given, shared or paid together, your part is %(owed)s.",
        price=format_money(price, say.locale),
        owed=format_money(owed, say.locale),
    )


def split_text(names: Sequence[str], parts: Sequence[int], say: Words) -> str:
    """Who shares, and how."""
    if len(set(parts)) == 1:
        return say("%(names)s share the cost equally.", names=format_names(list(names), say.locale))
    shares = [say("%(name)s %(parts)s", name=name, parts=part) for name, part in zip(names, parts, strict=True)]
    return say("The cost is shared by parts: %(parts)s.", parts=format_names(shares, say.locale))


def bears_text(bears: Money, most: Money, say: Words) -> str:
    """What a leaver's own money is kept for."""
    return say(
        "The others would lose %(bears)s of the group discount by it. You bear that, as you agreed: %(bears)s is taken "
        "from your card if they go, never more than %(most)s, and the rest is released.",
        bears=format_money(bears, say.locale),
        most=format_money(most, say.locale),
    )
