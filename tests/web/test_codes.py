"""A discount code on the trip's page: entered by one, seen by nobody else, and said so when it does not work."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from groupbook import discounts
from groupbook.discounts import CodeDraft
from groupbook.kit import clock
from groupbook.kit.ids import new_id, to_wire
from groupbook.kit.money import Money
from tests.support.site import text_of
from tests.web.conftest import Site

CATALOGUE = Path(__file__).parent.parent / "data/discount-catalogue.json"


@pytest.fixture
def own10(site: Site) -> Site:
    """10 % off the owner's line, once; and a code that has ended."""
    (rule,) = (one for one in json.loads(CATALOGUE.read_text("utf-8"))["rules"] if one["id"] == "shop.own10")
    with site.saga.database.begin(site.saga.merchant_id) as session:
        now = clock.now(session)
        discounts.put_catalogue(session, {"rules": [rule]}, starts_on=date(2026, 1, 1), now=now)
        discounts.create_code(session, CodeDraft("OWN10", rule["id"], uses_max=1), now=now)
        discounts.create_code(session, CodeDraft("PAST", rule["id"], ends_at=now - timedelta(days=1)), now=now)
    return site


def test_a_member_adds_a_code_and_pays_less_and_nobody_else_sees_it(own10: Site) -> None:
    ana, bo = own10.browser(), own10.browser()
    invite = ana.invite_of(trip := ana.start("Ana", to_wire("off", own10.saga.offer_id)))
    bo.join(invite, "Bo")
    page = ana.act(trip, "code", code=" own10 ").text
    assert "Your price counts: OWN10" in text_of(page)
    assert "45.00" in text_of(page)
    assert "own10" not in bo.get(trip).text.casefold()
    removed = ana.act(trip, "remove-code", code=_code_of(page)).text
    assert "OWN10" not in removed
    assert "Do you have a discount card?" in text_of(removed)


def _code_of(page: str) -> str:
    found = re.search(r'name="code" value="(cod_[0-9a-f]{32})"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("code", "status", "language", "sentence"),
    [
        ("NO-SUCH", 404, "en", "We do not know this discount code, or it is somebody else's."),
        ("PAST", 409, "en", "This discount code has expired."),
        ("PAST", 409, "fr", "Ce code de réduction a expiré."),
        ("", 404, "fr", "Nous ne connaissons pas ce code de réduction, ou il est à quelqu’un d’autre."),
    ],
)
def test_a_code_that_does_not_work_is_told_in_words(
    own10: Site, code: str, status: int, language: str, sentence: str
) -> None:
    ana = own10.browser(language)
    trip = ana.start("Ana", to_wire("off", own10.saga.offer_id))
    answer = ana.act(trip, "code", code=code)
    assert (answer.status_code, sentence in text_of(answer.text)) == (status, True)
    assert 'name="code" value="cod_' not in ana.get(trip).text, "nothing was kept"


def test_a_code_that_somebody_else_used_up_stays_on_the_list_and_says_so(own10: Site) -> None:
    ana = own10.browser()
    trip = ana.start("Ana", to_wire("off", own10.saga.offer_id))
    ana.act(trip, "code", code="OWN10")
    with own10.saga.database.begin(own10.saga.merchant_id) as session:
        (_, code) = discounts.list_codes(session, None, 10).rows
        use = discounts.CodeUse(code.id, code.draft.rule, Money(500, "EUR"))
        discounts.reserve_codes(session, new_id(), [(new_id(), use)], now=clock.now(session))
    page = text_of(ana.get(trip).text)
    assert "This discount code is used up." in page
    assert "50.00" in page
    assert "45.00" not in page
