"""No sentence of ours is left untranslated, and a translation speaks of the same things."""

from __future__ import annotations

import re

import pytest

from groupbook.kit.i18n import LOCALES, format_money, negotiate, words
from groupbook.kit.money import Money
from groupbook.web import catalogue

OTHERS = [locale for locale in LOCALES if locale != "en"]


@pytest.mark.parametrize("locale", OTHERS)
def test_every_sentence_has_words(locale: str) -> None:
    assert list(catalogue.missing(locale)) == [], "run python -m groupbook.web.catalogue and translate what is empty"


@pytest.mark.parametrize("locale", OTHERS)
def test_translations_keep_the_parameters(locale: str) -> None:
    def names(text: str) -> set[str]:
        return set(re.findall(r"%\((\w+)\)s", text))

    for message in catalogue.read(locale):
        if message.id:
            ids = message.id if isinstance(message.id, (list, tuple)) else (message.id,)
            strings = message.string if isinstance(message.string, (list, tuple)) else (message.string or "",)
            wanted = set().union(*map(names, ids))
            assert all(names(text) == wanted for text in strings), message.id


@pytest.mark.parametrize("locale", OTHERS)
def test_the_catalogue_holds_nothing_that_the_code_lost(locale: str) -> None:
    known = {_first(message.id) for message in catalogue.messages()}
    assert {_first(message.id) for message in catalogue.read(locale)} <= known


@pytest.mark.parametrize("locale", OTHERS)
def test_translations_write_one_apostrophe(locale: str) -> None:
    """’ as books print it, never the typewriter's."""
    strings = [message.string for message in catalogue.read(locale)]
    texts = [text for one in strings for text in (one if isinstance(one, (list, tuple)) else (one,))]
    assert [text for text in texts if text and "'" in text] == []


def _first(id: object) -> str:
    return str(id[0] if isinstance(id, (list, tuple)) and id else id)


def test_plurals_follow_the_language() -> None:
    say = words("fr")
    assert say.many("%(num)s person", "%(num)s people", 0) == "0 personne"
    assert say.many("%(num)s person", "%(num)s people", 2) == "2 personnes"
    assert words("en").many("%(num)s person", "%(num)s people", 0) == "0 people"


def test_money_has_its_own_digits() -> None:
    assert format_money(Money(3334, "EUR"), "en") == "€33.34"
    assert format_money(Money(3334, "EUR"), "fr") == "33,34\N{NO-BREAK SPACE}€"
    assert format_money(Money(3334, "JPY"), "en") == "JP¥3,334"


@pytest.mark.parametrize(
    ("header", "preferred", "locale"),
    [
        ("fr-CA,en;q=0.5", None, "fr"),
        ("de,fr;q=0.3", None, "fr"),
        ("en;q=0,fr;q=0.1", None, "fr"),
        ("fr", "en-US", "en"),
        ("x" * 10_000, None, "en"),
        (None, "klingon", "en"),
    ],
)
def test_negotiation(header: str | None, preferred: str | None, locale: str) -> None:
    assert negotiate(header, preferred) == locale
