"""Finished messages: one sentence for a bot, a letter in plain text and HTML for a mailbox. Pure.

No picture, no script, nothing that is fetched: opening a letter tells nobody anything. What people typed is escaped.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from markupsafe import Markup

from groupbook.kit.i18n import Words, format_instant, format_money
from groupbook.kit.money import Money
from groupbook.notices.domain import Message, NoticeCode, Scope, scope_of
from groupbook.notices.sentences import sentence, short

subject_characters_max: Final = 120


@dataclass(frozen=True, slots=True)
class Told:
    """What a letter may say. Amounts are the reader's own (P6); `zone` is where the reader reads the clock.

    `amount` is what is asked, was taken or comes back, as the code has it; `done` of `count` people are in.
    """

    code: NoticeCode
    trip: str
    merchant: str
    link: str
    stop_url: str
    zone: str
    amount: Money | None = None
    deadline_at: datetime | None = None
    done: int = 0
    count: int = 0
    receipt_url: str = ""


def message_of(words: Words, told: Told) -> Message:
    """The message in the reader's language."""
    about = _line(told.trip if told.code is not NoticeCode.CONFIRM_ADDRESS else told.merchant)
    stop = _stop_words(words, told.code)
    text = sentence(words, told.code, trip=about)
    paragraphs, facts = [text, *_more(words, told)], _facts(words, told)
    if scope_of(told.code) is Scope.REMINDERS:
        text = f"{text}\n{stop}: {told.stop_url}"
    button, why = _button(words, told.code), _why(words, told)
    return Message(
        subject=f"{short(words, told.code)} – {about}"[:subject_characters_max],
        text=text,
        link=told.link,
        plain=_plain(words, told, paragraphs, facts, button, why, stop),
        html=str(_html(words, told, paragraphs, facts, button, why, stop)),
        stop_url=told.stop_url,
    )


def _line(text: str) -> str:
    """One line without controls: a title in a subject starts no new header, whoever typed it."""
    return " ".join("".join(" " if unicodedata.category(one) == "Cc" else one for one in text).split())


def _more(words: Words, told: Told) -> list[str]:
    _ = words
    match told.code:
        case NoticeCode.PLEASE_PAY | NoticeCode.PAY_REMINDER:
            more = [_("Your bank only keeps the money ready. It is taken when everybody is in, and not otherwise.")]
            if told.count > 1:
                more.insert(0, _("%(done)s of %(count)s are in.", done=told.done, count=told.count))
            return more
        case NoticeCode.PORTION_DECLINED:
            return [_("Nothing was charged.")]
        case NoticeCode.TICKETS_READY | NoticeCode.PART_TAKEN if told.amount:
            return [_("Everybody was in, so your card was charged now.")]
        case NoticeCode.NOBODY_CHARGED:
            return [_("Your card was not charged. If your bank kept money ready, it is released within a few days.")]
        case NoticeCode.BOOKING_CANCELED | NoticeCode.MONEY_BACK if told.amount:
            return [_("It goes back to the card that paid. Banks take up to ten days to show it.")]
        case NoticeCode.PLACE_OFFERED:
            return [_("It is yours until the time below; then the next one is asked. Nothing is charged by looking.")]
        case NoticeCode.PLACE_MISSED:
            return [_("You are out of the line, and can queue again on the trip’s page.")]
        case NoticeCode.PLACE_UNWANTED:
            return [_("You still have the place, and owe for it. You can keep it, or leave as the group agreed.")]
        case NoticeCode.PLACE_TAKEN:
            return [_("You owe nothing any more. If your bank kept money ready, it is released within a few days.")]
        case NoticeCode.PLACE_ASKED:
            return [_("If you do nothing, or say no on the trip’s page, nothing changes and nobody is charged.")]
        case NoticeCode.PLACE_CALLED_OFF:
            return [_("You owe nothing. If your bank kept money ready, it is released within a few days.")]
        case NoticeCode.ROOM_FREE:
            return [_("Nobody keeps it for you: whoever comes first has it. You pay nothing now.")]
        case NoticeCode.PLACE_KEPT:
            return [_("Nothing was charged or paid back for it.")]
        case NoticeCode.CONFIRM_ADDRESS:
            return [_("Until you do, nothing else is sent here. If it was not you, do nothing.")]
        case NoticeCode.SEAT_LINK:
            return [
                _("The link is good once, for half an hour, and for you alone: do not pass this mail on."),
                _("If it was not you, do nothing."),
            ]
        case NoticeCode.SEAT_OPENED:
            return [
                _(
                    "If it was not you, log that device out in the trip, under “Your devices”, and delete your "
                    "address: then no such link is sent any more."
                )
            ]
        case _:
            return []


def _facts(words: Words, told: Told) -> list[tuple[str, str]]:
    _ = words
    facts = []
    if told.amount:
        labels = {
            NoticeCode.TICKETS_READY: _("You paid"),
            NoticeCode.PART_TAKEN: _("You paid"),
            NoticeCode.MONEY_BACK: _("You get back"),
            NoticeCode.BOOKING_CANCELED: _("You get back"),
        }
        facts.append((labels.get(told.code) or _("Your part"), format_money(told.amount, words.locale)))
    if told.deadline_at is not None:
        when = format_instant(told.deadline_at, told.zone, words.locale)
        facts.append((_("Time until"), f"{when} ({told.zone.rpartition('/')[2].replace('_', ' ')})"))
    return facts


def _button(words: Words, code: NoticeCode) -> str:
    _ = words
    match code:
        case NoticeCode.PLEASE_PAY | NoticeCode.PAY_REMINDER:
            return _("Pay my part")
        case NoticeCode.PORTION_DECLINED:
            return _("Try another card")
        case NoticeCode.TICKETS_READY:
            return _("Open my ticket")
        case NoticeCode.PLACE_OFFERED | NoticeCode.PLACE_ASKED:
            return _("Look at the place")
        case NoticeCode.CONFIRM_ADDRESS:
            return _("Yes, this is my address")
        case NoticeCode.SEAT_LINK:
            return _("Open the trip here")
        case _:
            return _("Open the trip")


def _why(words: Words, told: Told) -> str:
    _ = words
    if told.code is NoticeCode.CONFIRM_ADDRESS:
        return _(
            "You get this because this address was given for a trip planned with groupbook and sold by %(merchant)s.",
            merchant=_line(told.merchant),
        )
    return _(
        "You get this because you are in a trip planned with groupbook and sold by %(merchant)s.",
        merchant=_line(told.merchant),
    )


def _stop_words(words: Words, code: NoticeCode) -> str:
    _ = words
    return _("Stop reminders") if scope_of(code) is Scope.REMINDERS else _("Stop these messages")


def _plain(
    words: Words, told: Told, paragraphs: list[str], facts: list[tuple[str, str]], button: str, why: str, stop: str
) -> str:
    _ = words
    parts = ["\n\n".join(paragraphs)]
    if facts:
        parts.append("\n".join(f"{label}: {value}" for label, value in facts))
    parts.append(f"{button}:\n{told.link}")
    if told.receipt_url:
        parts.append(f"{_('Receipt')}:\n{told.receipt_url}")
    parts.append(f"--\n{why}\n{stop}: {told.stop_url}")
    return "\n\n".join(parts) + "\n"


_PAGE: Final = Markup(
    '<!doctype html><html lang="{locale}"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width">'
    '<meta name="color-scheme" content="light dark"><title>{subject}</title></head>'
    '<body style="margin:0;padding:24px 12px;font:16px/1.5 system-ui,sans-serif">'
    '<div style="max-width:32em;margin:0 auto">'
    '<p style="font-weight:600">{merchant}</p><h1 style="font-size:22px;line-height:1.25"><bdi>{title}</bdi></h1>'
    "{body}"
    '<p style="margin:24px 0"><a href="{link}" style="display:inline-block;padding:12px 20px;border-radius:12px;'
    'background:#5b2a6e;color:#fff;text-decoration:none;font-weight:600">{button}</a></p>{receipt}'
    '<hr style="border:0;border-top:1px solid #8886"><p style="font-size:13px">{why} '
    '<a href="{stop_url}">{stop}</a></p>'
    "</div></body></html>"
)


def _html(
    words: Words,
    told: Told,
    paragraphs: list[str],
    facts: list[tuple[str, str]],
    button: str,
    why: str,
    stop: str,
) -> Markup:
    _ = words
    body = Markup("").join(Markup("<p>{}</p>").format(one) for one in paragraphs)
    if facts:
        rows = Markup("").join(
            Markup(
                '<tr><td style="padding:2px 16px 2px 0">{}</td><td style="padding:2px 0;font-weight:600">{}</td></tr>'
            ).format(label, value)
            for label, value in facts
        )
        body += Markup('<table role="presentation">{}</table>').format(rows)
    receipt = Markup('<p><a href="{}">{}</a></p>').format(told.receipt_url, _("Receipt")) if told.receipt_url else ""
    return _PAGE.format(
        locale=words.locale,
        subject=short(words, told.code),
        merchant=_line(told.merchant),
        title=short(words, told.code) if told.code is NoticeCode.CONFIRM_ADDRESS else _line(told.trip),
        body=body,
        link=told.link,
        button=button,
        receipt=receipt,
        why=why,
        stop_url=told.stop_url,
        stop=stop,
    )
