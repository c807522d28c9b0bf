"""What happens to my card: every state of the machine has its sentence, in every language, and none of them lies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from groupbook.bookings import BookingState
from groupbook.kit.i18n import LOCALES, words
from groupbook.kit.money import Money
from groupbook.payments.domain import PortionState
from groupbook.web.card_words import CardFacts, card_text, paid_for_text, sentences

WHOLE = Money(3334, "EUR")
FACTS = CardFacts(PortionState.OPEN, BookingState.OPEN, WHOLE, WHOLE, WHOLE, WHOLE)
CAPPED = replace(FACTS, cap=Money(5000, "EUR"), has_quorum=True)
KEPT = replace(FACTS, authorizes_at=datetime(2027, 6, 27, 18, tzinfo=UTC), zone="Europe/Paris")


@pytest.mark.parametrize("facts", [FACTS, CAPPED, KEPT, replace(FACTS, is_asked_again=True)])
def test_every_state_has_one_sentence_in_every_language(facts: CardFacts) -> None:
    told = {locale: sentences(facts, words(locale)) for locale in LOCALES}
    for locale, table in told.items():
        assert set(table) == set(PortionState), locale
        assert all(text and "%(" not in text for text in table.values()), locale
    for state in PortionState:
        assert len({table[state] for table in told.values()}) == len(told), "said in one language only"


@pytest.mark.parametrize("locale", list(LOCALES))
@pytest.mark.parametrize("booking", list(BookingState))
def test_every_step_of_the_booking_has_one(booking: BookingState, locale: str) -> None:
    for state in PortionState:
        facts = replace(FACTS, booking=booking, state=state)
        assert card_text(facts, words(locale)).endswith("."), (booking, state)
        assert paid_for_text(state, "Ana", words(locale)).endswith("."), state


def test_who_agrees_to_a_cap_reads_both_numbers() -> None:
    for state in (PortionState.OPEN, PortionState.AUTHORIZED):
        text = card_text(replace(CAPPED, state=state), words("en"))
        assert "€33.34" in text
        assert "€50.00" in text


def test_a_kept_card_says_when_the_bank_is_asked() -> None:
    text = card_text(replace(KEPT, state=PortionState.SAVED), words("en"))
    assert "no money is" in text
    assert "27" in text
    assert "20:00" in text, "in the zone of the trip"


def test_what_was_taken_and_what_went_back_are_told_apart() -> None:
    facts = replace(CAPPED, state=PortionState.PART_REFUNDED, captured=Money(3334, "EUR"), refunded=Money(1000, "EUR"))
    assert "€33.34 was taken from your card, and €10.00 of that goes back" in card_text(facts, words("en"))
    taken = card_text(replace(CAPPED, state=PortionState.CAPTURED, captured=Money(3334, "EUR")), words("en"))
    assert taken == "€33.34 was taken from your card. What your bank kept beyond that is released."


def test_nothing_moves_while_a_person_looks() -> None:
    texts = {card_text(replace(FACTS, booking=BookingState.PARKED, state=one), words("en")) for one in PortionState}
    assert texts == {"A person is checking this booking. Until they have, nothing more happens to your card."}


@pytest.mark.parametrize("booking", [BookingState.VOIDING, BookingState.ABORTED, BookingState.REFUNDED])
def test_nobody_is_asked_for_anything_when_it_is_over(booking: BookingState) -> None:
    for state in (PortionState.OPEN, PortionState.AUTHORIZING, PortionState.SHORT):
        text = card_text(replace(FACTS, booking=booking, state=state, is_asked_again=True), words("en"))
        assert text == "Nothing was taken from your card, and nothing will be."


def test_a_refund_that_came_back_is_told() -> None:
    facts = replace(FACTS, booking=BookingState.REFUNDED, state=PortionState.CAPTURED, refund_failed=True)
    assert card_text(facts, words("en")).startswith(
        "€33.34 was taken from your card. What was to go back to it came back"
    )


def test_a_bank_that_wants_its_customer_said_no_such_thing_as_no() -> None:
    text = card_text(replace(FACTS, state=PortionState.DECLINED, must_confirm=True), words("en"))
    assert text == "Your bank wants you to confirm this yourself. Nothing was taken, and nothing is kept."
