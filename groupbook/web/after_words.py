"""A booked place given back or handed over, in words: what it comes to, what is under way, what became of it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from groupbook.bookings import ChangePreview, MoneyBack
from groupbook.bookings.domain import AmendmentStage, ChangeView
from groupbook.kit.errors import GroupbookError
from groupbook.kit.i18n import Words, format_instant, format_money
from groupbook.web import phrases


def title(preview_kind: str, name: str, say: Words) -> str:
    """The head of the page; `name` is empty for one's own place."""
    if preview_kind == "cancel":
        return say("Cancel the place of %(name)s?", name=name) if name else say("Cancel your place?")
    if name:
        return say("Give the place of %(name)s to somebody else?", name=name)
    return say("Give your place to somebody else?")


def kept_text(found: ChangePreview, say: Words) -> str:
    """What the merchant keeps; empty where that is not the reader's."""
    if found.price is None or found.kept is None:
        return ""
    if not found.kept:
        return say("The railway keeps nothing.")
    kept, price = format_money(found.kept, say.locale), format_money(found.price, say.locale)
    if found.kind == "replace":
        return say("The railway keeps %(kept)s for the other name on the ticket.", kept=kept)
    if found.kept == found.price:
        return say("By its conditions the railway keeps all of the %(price)s.", price=price)
    return say("By its conditions the railway keeps %(kept)s of the %(price)s.", kept=kept, price=price)


def back_texts(found: ChangePreview, me: UUID | None, say: Words) -> list[str]:
    """What comes back, to whom and to which card: one sentence each."""
    if not found.back:
        return [say("Nothing comes back to any card.")]
    return [_back_text(one, me, say) for one in found.back]


def _back_text(one: MoneyBack, me: UUID | None, say: Words) -> str:
    name = one.payer_name or say("Somebody")
    if one.way == "disputed":
        return say("A bank is deciding about a payment of %(name)s, so nothing is sent to that card now.", name=name)
    if one.amount is None:
        return say("What comes back goes to the card of %(name)s, and only they read how much.", name=name)
    amount = format_money(one.amount, say.locale)
    if one.way == "owed":
        return say("The railway waits for this money and takes %(amount)s less. No card gets anything.", amount=amount)
    if one.payer != me:
        return say("%(amount)s goes back to the card of %(name)s, who paid.", amount=amount, name=name)
    if one.card:
        return say(
            "%(amount)s goes back to your card, %(card)s. Banks show this within ten days.",
            amount=amount,
            card=one.card.title(),
        )
    return say("%(amount)s goes back to your card. Banks show this within ten days.", amount=amount)


def pays_text(found: ChangePreview, say: Words) -> str:
    """What has to happen first when a place is handed over."""
    if found.kind != "replace":
        return ""
    name = found.by_name or say("Somebody")
    if found.pays is None:
        return say(
            "%(name)s pays for the place first. If they do not in time, everything stays as it is.",
            name=name,
        )
    if not found.pays:
        return say("%(name)s pays nothing.", name=name)
    return say(
        "%(name)s pays %(amount)s for the place first. If they do not in time, everything stays as it is.",
        name=name,
        amount=format_money(found.pays, say.locale),
    )


def private_text(name: str, say: Words) -> str:
    """Why whoever acts for somebody else reads no amounts (P6)."""
    return say(
        "What was paid for this place, what the railway keeps of it and what comes back, only %(name)s and whoever "
        "paid read: a price tells of cards and age. It is the same sum whoever presses the button.",
        name=name or say("Somebody"),
    )


def others_text(others: int, say: Words) -> str:
    return say.many(
        "Nothing changes for the %(num)s other: the same ticket, seat and charge.",
        "Nothing changes for the %(num)s others: the same tickets, seats and charges.",
        others,
    )


def valid_text(until: datetime, zone: str, say: Words) -> str:
    return say(
        "So it is until %(when)s. If it changes before you confirm, nothing is done and you are asked again.",
        when=format_instant(until, zone, say.locale),
    )


def refused_text(error: GroupbookError, say: Words) -> str:
    """Why a place cannot be given back or handed over, and the way on."""
    if error.code == "amendment_open":
        return say("Another change of this booking is being made. Wait until it is done, then look here again.")
    if error.code == "booking_closed":
        return say("This booking does not stand any more, so there is nothing to change.")
    if error.code == "not_traveling":
        return say("This place was given away already.")
    if error.code in ("order_pending", "order_final", "order_not_found"):
        return say("The railway is still busy with this booking. Look here again in a moment.")
    if error.code == "amendment_not_offered":
        return reason_text(str(error.params.get("reason")), say)
    return phrases.error_text(error, say)


def reason_text(reason: str, say: Words) -> str:
    return {
        "too_late": say("By the conditions of the railway it is too late for this."),
        "last_traveler": say("This is the last place of the booking. The organizer can cancel all of it."),
        "price_changed": say("The railway asks for another price now."),
        "unpaid": say("Nobody paid for it in time."),
        "withdrawn": say("It was taken back before anybody had paid."),
        "unwanted": say("Whom it was offered to said no."),
        "canceled": say("The railway does not know this booking any more. Ask it directly."),
    }.get(reason, say("The railway does not change single places of this booking. Ask it directly."))


def change_text(one: ChangeView, me: UUID | None, zone: str, say: Words) -> tuple[str, str]:
    """What becomes of a change, and its tone."""
    name, by = one.name or say("Somebody"), one.by_name or say("Somebody")
    is_mine = one.member_id == me
    if one.stage is AmendmentStage.DONE:
        return _done_text(one, name, by, me, say), "ok"
    if one.stage in (AmendmentStage.REFUSED, AmendmentStage.DROPPING):
        stays = say("Your place stays yours.") if is_mine else say("The place of %(name)s stays as it was.", name=name)
        nothing = say("Nothing was charged or paid back for it.")  # the catalogue does not see into an f-string
        return f"{stays} {reason_text(one.reason or '', say)} {nothing}", "warn"
    if one.kind == "cancel":
        text = (
            say("Your place is being canceled.")
            if is_mine
            else say("The place of %(name)s is being canceled.", name=name)
        )
        return text, "info"
    if one.stage in (AmendmentStage.ASKED, AmendmentStage.COLLECTING) and one.pay_by is not None:
        when = format_instant(one.pay_by, zone, say.locale)
        if one.by == me and not one.name:
            return say("You can have a place in this group by paying for it until %(when)s.", when=when), "info"
        if one.by == me:
            return say(
                "You can have the place of %(name)s by paying for it until %(when)s.", name=name, when=when
            ), "info"
        return say(
            "%(by)s can take the place of %(name)s by paying for it until %(when)s.", by=by, name=name, when=when
        ), "info"
    return say("The railway gives the place of %(name)s to %(by)s now.", name=name, by=by), "info"


def withdraw_label(one: ChangeView, me: UUID | None, say: Words) -> str:
    """The button that ends an offer nobody has paid for: of who made it, or of whom it was made to."""
    if one.by == me:
        return say("No, thank you")
    return say("Keep the place") if one.member_id == me else say("Take the offer back")


def _done_text(one: ChangeView, name: str, by: str, me: UUID | None, say: Words) -> str:
    if one.kind == "cancel":
        is_mine = one.member_id == me
        text = say("Your place is canceled.") if is_mine else say("The place of %(name)s is canceled.", name=name)
    elif one.by == me:
        text = say("You have the place of %(name)s.", name=name)
    elif one.member_id == me:
        text = say("%(by)s has your place.", by=by)
    else:
        text = say("%(by)s has the place of %(name)s.", by=by, name=name)
    if one.back is None:
        return text
    if not one.back:
        return f"{text} {say('Nothing comes back to any card.')}"
    back = say("%(amount)s goes back to the card that paid.", amount=format_money(one.back, say.locale))
    return f"{text} {back}"
