"""One's own price in plain words, in both languages; what coming and going does; and what nobody else may read."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest

from groupbook import discounts
from groupbook.discounts.domain import Line, LineKind, Refusal, RuleName, Unused
from groupbook.kit import clock
from groupbook.kit.i18n import LOCALES, words
from groupbook.kit.ids import TripId, from_wire, to_wire
from groupbook.kit.money import Money
from groupbook.web import price_words
from groupbook.web.price_words import RuleNames
from tests.support.site import text_of
from tests.web.conftest import Browser, Site

DATA = Path(__file__).parent.parent / "data"
RULES = {rule["id"]: rule for rule in json.loads((DATA / "discount-catalogue.json").read_text("utf-8"))["rules"]}
# The reference, section 0: every code a refusal may have.
REASONS = (
    "time_window", "weekend_condition", "not_in_force", "advance_purchase", "area", "route", "operator",
    "product_excluded", "class_of_service", "card_class", "card_expired", "card_not_started", "holder_ineligible",
    "child_fare_not_discounted", "not_first_order", "missing_holder", "missing_anchor", "group_size", "fare_family",
    "no_saving", "not_travelling_together", "return_too_late", "min_basket", "composition", "currency",
)  # fmt: skip
NAMES = RuleNames(
    {
        "senior": RuleName("Senior Railcard", ("card.senior",)),
        "youth": RuleName("Youth card", ("card.youth",)),
        "group": RuleName("GroupSave"),
    },
    {"card.senior": "Senior Railcard", "card.youth": "Youth card"},
)


def euro(minor: int) -> Money:
    return Money(minor, "EUR")


def strings(value: object, key: str) -> set[str]:
    """Every text under this key, however deep."""
    if isinstance(value, dict):
        own = {value[key]} if isinstance(value.get(key), str) else set()
        return own.union(*(strings(one, key) for one in value.values()))
    return set().union(*(strings(one, key) for one in value)) if isinstance(value, list) else set()


def known_reasons() -> set[str]:
    """The reference's codes, those of the catalogue's clauses and roles, and those of the worked cases."""
    catalogue = list(RULES.values())
    roles = {role["name"] for rule in catalogue for role in rule.get("roles", ())}
    cases = (DATA / "discount-cases-public.jsonl").read_text("utf-8").splitlines()
    seen = {reason for case in cases for _, _, reason in json.loads(case)["expected"].get("rejected", ())}
    asked = strings(catalogue, "reason") | strings(catalogue, "who_reason")
    return {*REASONS, *asked, *(f"missing_{role}" for role in roles), *seen}


@pytest.mark.parametrize("locale", LOCALES)
def test_every_reason_has_a_sentence_of_its_own(locale: str) -> None:
    say = words(locale)
    general = price_words.reason_text("a_merchants_own", "X", say)
    for reason in sorted(known_reasons()):
        text = price_words.reason_text(reason, "X", say)
        assert text.startswith("X "), reason
        assert "_" not in text
        assert text != general, reason


def test_french_says_each_reason_in_french() -> None:
    for reason in known_reasons():
        english, french = (price_words.reason_text(reason, "X", words(locale)) for locale in ("en", "fr"))
        assert english != french


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("delta", [-410, 410])
@pytest.mark.parametrize("kind", get_args(LineKind))
def test_every_kind_of_line_is_a_name_and_a_sentence(kind: LineKind, delta: int, locale: str) -> None:
    what = {"fare": "fare:offpeak", "settle": "settle"}.get(kind, "no.such-rule")
    lines = (Line("fare:saver", euro(3000), "fare"), Line(what, euro(delta), kind, 2))
    say = words(locale)
    told = price_words.savings(lines, NAMES, say)
    assert len(told) == (0 if kind == "fare" else 1)
    for text in [*told, *(view.label for view in price_words.sum_lines(lines, euro(3000 + delta), NAMES, say))]:
        assert "no.such-rule" not in text
        assert "settle" not in text
    assert all("4" in text and "10" in text for text in told), "with its amount"


def test_a_price_reads_as_one_would_say_it() -> None:
    lines = (
        Line("fare:offpeak", euro(4800), "fare"),
        Line("senior", euro(-1230), "card"),
        Line("group", euro(-410), "group", 2),
        Line("settle", euro(240), "settle"),
    )
    assert price_words.savings(lines, NAMES, words("en")) == [
        "Your Senior Railcard saves €12.30.",
        "Traveling with 2 friends saves another €4.10 (GroupSave).",
        "You give €2.40 of your saving, so that nobody pays more than alone.",
    ]
    assert price_words.savings(lines, NAMES, words("fr"))[:2] == [
        "Votre Senior Railcard vous fait gagner 12,30\N{NO-BREAK SPACE}€.",
        "Voyager avec 2 amis vous fait gagner encore 4,10\N{NO-BREAK SPACE}€ (GroupSave).",
    ]


def test_what_did_not_count_says_why_and_what_it_would_cost() -> None:
    lines = (Line("fare:offpeak", euro(3000), "fare"), Line("senior", euro(-1000), "card"))
    unused = [Unused("youth", "card.youth", euro(1560), clashes_with="senior")]
    refusals = [
        Refusal("senior-companion", "card.senior", "missing_companion"),
        Refusal("code", "LYON10", "min_basket"),
    ]
    names = RuleNames({**NAMES.rules, "senior-companion": RuleName("Senior, two", ("card.senior",))}, NAMES.cards)
    assert price_words.not_used(lines, refusals, unused, names, words("en"), people=3) == [
        "Your Youth card cannot be combined with Senior Railcard; using it instead would cost the group €15.60 more.",
        "Your code LYON10 needs a larger order.",
    ], "the Senior Railcard helps already, so its other rule is not told"


@pytest.mark.parametrize(
    ("clash", "dearer", "people", "text"),
    [
        (None, 1560, 3, "Your Youth card: using it instead would cost the group €15.60 more."),
        (None, 1560, 1, "Your Youth card: using it instead would cost €15.60 more."),
        (None, 0, 3, "Your Youth card: using it instead makes no difference."),
        ("group", 0, 3, "Your Youth card cannot be combined with GroupSave; using it instead makes no difference."),
        ("group", 1, 1, "Your Youth card cannot be combined with GroupSave; using it instead would cost €0.01 more."),
    ],
)
def test_an_unused_card_says_what_using_it_would_do(clash: str | None, dearer: int, people: int, text: str) -> None:
    spare = Unused("youth", "card.youth", euro(dearer), clash)
    assert price_words.unused_text(spare, NAMES, words("en"), people=people) == text


def test_the_proof_is_one_sentence_and_never_claimed_for_a_guess() -> None:
    say = words("en")
    assert price_words.proof_text(is_proven=True, bound=euro(5940), say=say) == "No cheaper lawful combination exists."
    guess = price_words.proof_text(is_proven=False, bound=euro(5900), say=say)
    assert "not proven" in guess
    assert "€59.00" in guess
    assert price_words.proof_text(is_proven=False, bound=None, say=say) == "", "a supplier's price claims nothing"


# --- on the pages ---------------------------------------------------------------------------------------------------


def rule(id: str, **changes: Any) -> dict[str, Any]:
    return {**RULES[id], "currency": "EUR", "families": "*", "when": [], "floor": [], **changes}


GROUP = rule("uk.groupsave")
HALF = rule("uk.16-17", title="Half card", who={})
CARE = [rule("uk.dprc", title="Care card"), rule("uk.dprc-companion", title="Care card for two")]


def sell(site: Site, *rules: dict[str, Any]) -> None:
    with site.saga.database.begin(site.saga.merchant_id) as session:
        discounts.put_catalogue(session, {"rules": list(rules)}, starts_on=date(2020, 1, 1), now=clock.now(session))


def plan(site: Site, *rules: dict[str, Any]) -> tuple[Browser, str, str]:
    """Ana's trip on one train at 50.00."""
    sell(site, *rules)
    ana = site.browser()
    trip = ana.start("Ana", to_wire("off", site.saga.offer_id))
    return ana, trip, ana.invite_of(trip)


def own_page(browser: Browser, trip: str) -> str:
    return text_of(browser.get(f"{trip}/price?option={browser.option_of(trip)}").text)


def test_the_price_falls_as_friends_join_and_each_step_is_told(site: Site) -> None:
    """50.00 each for two; 33.00 from the third on."""
    ana, trip, invite = plan(site, GROUP)
    bo, cy = site.browser(), site.browser("fr")
    assert "2 more friends and you pay €33.00 instead of €50.00." in text_of(ana.get(trip).text)
    bo.join(invite, "Bo")
    assert "One more friend and you pay €33.00 instead of €50.00." in text_of(bo.get(trip).text)
    before = text_of(cy.get(invite).text)
    assert "33,00 € 50,00 € sans le groupe" in before
    assert "Avec vous, les autres paient ensemble 34,00 € de moins." in before
    assert "À vous tous, vous paieriez 99,00 €." in before
    cy.join(invite, "Cy")
    shown = text_of(ana.get(trip).text)
    assert "Bo and Cy joined: your price went from €50.00 to €33.00." in shown
    assert "You save €17.00 with the group" in shown
    assert "more friend" not in shown
    ana.act(trip, "privacy", members_shown="none")
    assert "Le groupe a changé" not in text_of(cy.get(trip).text), "Cy saw nobody come"
    assert "The group has changed: your price went from €50.00 to €33.00." in text_of(bo.get(trip).text)


def test_an_invitation_to_one_friend_does_not_tell_their_price(site: Site) -> None:
    _, _, invite = plan(site, GROUP)
    page = text_of(site.browser().get(invite).text)
    assert "For the others nothing changes." in page
    assert "All of you together" not in page
    assert "€100.00" not in page


def test_leaving_and_staying_behind_show_what_they_do_before_they_are_done(site: Site) -> None:
    ana, trip, invite = plan(site, GROUP)
    bo, cy = site.browser(), site.browser()
    bo.join(invite, "Bo")
    cy.join(invite, "Cy")
    for path in ("leave", "going?going=no"):
        page = text_of(cy.get(f"{trip}/{path}").text)
        assert "Without you the others pay €34.00 more together." in page
        assert "Everybody together, with you €99.00" in page
        assert "Everybody together, without you €100.00" in page
    assert "3 people" in text_of(ana.get(trip).text), "nothing was done by looking"
    cy.act(trip, "going", going="no")
    assert "With you the others pay €34.00 less together." in text_of(cy.get(f"{trip}/going?going=yes").text)
    assert "Cy is no longer coming" not in text_of(ana.get(trip).text), "he came and went: nothing moved since"
    cy.act(trip, "leave")
    assert cy.get(f"{trip}/leave").status_code in (401, 404)


def test_a_price_is_explained_to_its_owner_only(site: Site) -> None:
    """Cy holds a half card that the group's price pushes aside; nobody else reads of it."""
    ana, trip, invite = plan(site, GROUP, HALF)
    bo, cy = site.browser(), site.browser()
    bo.join(invite, "Bo")
    cy.join(invite, "Cy")
    cy.act(trip, "about-me", card="uk.16-17", age="30")
    mine = own_page(cy, trip)
    assert "Traveling with 2 friends saves €17.00 (GroupSave)." in mine
    assert "The group gives you €8.00 of its saving, so that you pay no more than alone." in mine
    assert "Your Half card cannot be combined with GroupSave" in mine
    assert "would cost the group €26.00 more." in mine
    assert "No cheaper lawful combination exists." in mine
    assert "3 people together €99.00" in mine
    for other in (ana, bo):
        seen = own_page(other, trip)
        assert "You give €4.00 of your saving, so that nobody pays more than alone." in seen
        assert "Half card" not in seen
    assert site.browser().get(f"{trip}/price?option={ana.option_of(trip)}").status_code == 401


def test_nobody_reads_whose_card_brings_their_own_discount(site: Site) -> None:
    """Bo rides as the companion of Ana's card: his page, his bill and his data say together, never her card."""
    ana, trip, invite = plan(site, *CARE)
    bo = site.browser()
    bo.join(invite, "Bo")
    ana.act(trip, "about-me", card="uk.dprc", age="40")
    assert "Your Care card saves €17.00." in own_page(ana, trip)
    seen = own_page(bo, trip)
    assert "Traveling with 1 friend saves €17.00." in seen
    assert "Care card" not in seen
    ana.act(trip, "decide", option=ana.option_of(trip))
    ana.act(trip, "book", window_seconds="1800")
    site.saga.run_until_quiet()
    bill = bo.get(trip).text
    main = bill[bill.index('id="mine-title"') : bill.index("</main>")]
    assert "Traveling with 1 friend saves €17.00." in text_of(f"<main>{main}</main>")
    assert "Care card" not in main
    site.saga.trip_id = TripId(from_wire("trip", trip.removeprefix("/t/")))
    merchants_own = [line.what for one in site.saga.booking().portions if one.price for line in one.price.lines]
    assert "uk.dprc-companion" in merchants_own, "the merchant knows which rule it was"


def test_the_organizer_sees_what_changed_since_the_decision_and_since_the_last_quote(site: Site) -> None:
    ana, trip, invite = plan(site, GROUP)
    bo, cy = site.browser(), site.browser()
    bo.join(invite, "Bo")
    ana.act(trip, "decide", option=ana.option_of(trip))
    assert "When it was decided" not in text_of(ana.get(trip).text)
    cy.join(invite, "Cy")
    told = "When it was decided it was €100.00 for 2 people. That is €1.00 less now."
    assert told in text_of(ana.get(trip).text)
    assert "When it was decided" not in text_of(bo.get(trip).text), "the organizer books, so the organizer is told"
    ana.act(trip, "book", window_seconds="1800")
    site.saga.run_until_quiet()
    ana.act(trip, "cancel-booking")
    site.saga.run_until_quiet()
    cy.act(trip, "going", going="no")
    told = "The last quote was €99.00 for 3 people. That is €1.00 more now."
    assert told in text_of(ana.get(trip).text)
