"""Sentences, money and dates in a reader's language. English is the message, `locale/<lang>.po` has the rest.

Rooms return codes and parameters; only `web` and `notices` make sentences, through `words(locale)`. Catalogues are
compiled in memory from the .po files, so there is no build step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date as babel_date
from babel.dates import format_datetime as babel_datetime
from babel.dates import format_skeleton as babel_skeleton
from babel.dates import format_time as babel_time
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal

from groupbook.kit.money import Money, exponent

DEFAULT_LOCALE: Final = "en"
LOCALES: Final = {"en": "English", "fr": "Français"}
LOCALE_FOLDER: Final = Path(__file__).resolve().parent.parent / "locale"

Length = Literal["short", "medium", "dated", "long", "full"]


@dataclass(frozen=True)
class Words:
    """One language: `words("You are in")`, `words.many("%(num)s friend", "%(num)s friends", 3)`."""

    locale: str
    _one: Callable[[str], str]
    _many: Callable[[str, str, int], str]

    def __call__(self, message: str, /, **params: object) -> str:
        text = self._one(message)
        return text % params if params else text

    def many(self, one: str, many: str, num: int, /, **params: object) -> str:
        return self._many(one, many, num) % {"num": num, **params}


@lru_cache
def translations(locale: str) -> NullTranslations:
    """The compiled catalogue; the message itself where there is none (English)."""
    source = LOCALE_FOLDER / f"{locale}.po"
    if locale not in LOCALES or not source.is_file():
        return NullTranslations()
    with source.open("rb") as file:
        catalog = read_po(file, locale=locale)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return GNUTranslations(compiled)


@lru_cache
def words(locale: str) -> Words:
    """The sentences of one of our locales; English for any other."""
    catalogue = translations(locale)
    return Words(locale if locale in LOCALES else DEFAULT_LOCALE, catalogue.gettext, catalogue.ngettext)


_TAG = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*)\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*")


def negotiate(accept_language: str | None, *preferred: str | None) -> str:
    """The locale to speak: the first of `preferred` that we have, else the best of an Accept-Language header."""
    for choice in preferred:
        if choice and choice.split("-")[0].split("_")[0].lower() in LOCALES:
            return choice.split("-")[0].split("_")[0].lower()
    offers: list[tuple[float, str]] = []
    for part in (accept_language or "")[:500].split(","):
        match = _TAG.fullmatch(part)
        if match:
            offers.append((float(match[2] or 1), match[1].split("-")[0].lower()))
    ranked = sorted(offers, key=lambda offer: -offer[0])
    return next((language for quality, language in ranked if quality > 0 and language in LOCALES), DEFAULT_LOCALE)


def format_money(amount: Money, locale: str) -> str:
    """With the digits of the currency's own minor unit: €33.34, 33,34 €, ¥3,334."""
    value = Decimal(amount.minor).scaleb(-exponent(amount.currency))
    return str(format_currency(value, amount.currency, locale=_region(locale)))


def format_names(names: Sequence[str], locale: str) -> str:
    """A list as one says it: "Ana, Bo and Chloé"."""
    return str(format_list(list(names), "standard", locale=_region(locale)))


def format_number(value: float, locale: str) -> str:
    return str(format_decimal(value, locale=_region(locale)))


def format_instant(at: datetime, zone: str | tzinfo, locale: str, length: Length = "medium") -> str:
    """Day and time as a clock in `zone` shows them, without seconds: "Fri 27 Nov, 14:05"; `dated` has the year."""
    local = at.astimezone(_zone(zone))
    if length in ("long", "full"):
        return str(babel_datetime(local, "long" if length == "long" else "full", locale=_region(locale)))
    skeleton = {"medium": "MMMEd", "dated": "yMMMEd"}.get(length, "Md")
    day = babel_skeleton(skeleton, local, locale=_region(locale))
    return f"{day}, {format_clock(at, zone, locale)}"


def format_clock(at: datetime, zone: str | tzinfo, locale: str, *, seconds: bool = False) -> str:
    """Hours and minutes as a clock in `zone` shows them, and the seconds where they matter."""
    return str(babel_time(at.astimezone(_zone(zone)), "medium" if seconds else "short", locale=_region(locale)))


def format_day(day: date, locale: str, length: Length = "long") -> str:
    """A calendar day: "Friday, 27 November" (long), "Fri, 27 Nov" (medium)."""
    if length == "full":
        return str(babel_date(day, "full", locale=_region(locale)))
    if length == "long":
        return str(babel_date(day, "EEEE d MMMM", locale=_region(locale)))
    skeleton = {"short": "Md", "medium": "MMMEd"}[length]
    return str(babel_skeleton(skeleton, datetime(day.year, day.month, day.day, tzinfo=UTC), locale=_region(locale)))


def _zone(zone: str | tzinfo) -> tzinfo:
    return ZoneInfo(zone) if isinstance(zone, str) else zone


@lru_cache
def _region(locale: str) -> Locale:
    # English as Europe writes it: a day before its month, 24 hours on a station clock.
    return Locale.parse("en_GB" if locale == "en" else locale)
