"""Somebody who does not travel gives by the organizer's link, on the pages, without a script."""

from __future__ import annotations

import re

from groupbook import payments
from groupbook.kit.ids import PortionId, from_wire, to_wire
from tests.support.site import text_of
from tests.web.conftest import Browser, Site
from tests.web.test_story import _pay
from tests.web.test_ways_pages import group, portion_in


def link_of(site: Site, organizer: Browser, trip: str, wanted: str = "60") -> str:
    page = organizer.act(trip, "want-gifts", wanted=wanted).text
    found = re.search(r'value="http://localhost:8000(/g/[^"]+)"', page)
    assert found is not None
    return found[1]


def form_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def authorize(site: Site, browser: Browser, trip: str) -> None:
    portion = portion_in(browser.get(trip).text)
    opened = browser.post(f"{trip}/pay-gift", data={"portion": portion}, follow_redirects=False)
    assert opened.status_code == 303
    saga, portion_id = site.saga, PortionId(from_wire("por", portion))
    with saga.database.begin(saga.merchant_id) as session:
        attempt = payments.portion_view(session, portion_id).attempt_id
    assert attempt is not None
    saga.provider.authorize(attempt)
    payments.refresh_portion(saga.database, saga.house.runner, saga.merchant_id, portion_id)
    saga.run_until_quiet()


def test_a_sponsor_reads_gives_pays_and_sees_their_part_only(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo")
    link = link_of(site, at["Ana"], trip)
    gran = site.browser()
    page = gran.get(link)
    text = text_of(page.text)
    assert "Lights" in text
    assert "2 people travel together" in text
    assert "What is wanted €60.00" in text
    assert "What is not needed is never taken." in text
    assert "Bo" not in text

    refused = gran.post(link, data={**form_of(page.text), "amount": "70", "name": "Gran"})
    assert (refused.status_code, "This amount cannot be given here." in text_of(refused.text)) == (422, True)
    nobody = gran.post(link, data={**form_of(page.text), "amount": "20", "name": " "})
    assert nobody.status_code == 422
    given = gran.post(link, data={**form_of(page.text), "amount": "20", "name": "Gran"})
    text = text_of(given.text)
    assert "You give to everybody" in text
    assert "If you go on, your bank keeps €20.00 ready" in text
    assert "Put me on the waiting list" not in text
    assert not any(name in text for name in ("Ana", "Bo"))
    assert "Still wanted of €60.00 €40.00" in text_of(site.browser().get(link).text)

    authorize(site, gran, trip)
    assert "Your bank keeps €20.00 ready." in text_of(gran.get(trip).text)
    assert "Gran gives to everybody" in text_of(at["Ana"].get(trip).text)
    assert "Everybody together €100.00" in text_of(at["Bo"].get(trip).text)
    for name in ("Ana", "Bo"):
        opened = at[name].post(
            f"{trip}/pay", data={"portion": portion_in(at[name].get(trip).text)}, follow_redirects=False
        )
        assert opened.status_code == 303
        saga = site.saga
        line = next(one for one in saga.booking().portions if one.name == name)
        assert line.portion_id is not None
        with saga.database.begin(saga.merchant_id) as session:
            attempt = payments.portion_view(session, line.portion_id).attempt_id
        assert attempt is not None
        saga.provider.authorize(attempt)
        payments.refresh_portion(saga.database, saga.house.runner, saga.merchant_id, line.portion_id)
        saga.run_until_quiet()
    page = gran.get(trip)
    assert "€20.00 was taken from your card." in text_of(page.text)
    assert re.search(rf'href="{trip}/receipts/bkg_[0-9a-f]+"', page.text) is not None


def test_a_sponsor_takes_it_back_and_the_organizer_closes_the_link(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo")
    link = link_of(site, at["Ana"], trip)
    gran = site.browser("fr")
    page = gran.get(link).text
    given = gran.post(link, data={**form_of(page), "amount": "20", "name": "Mamie"}).text
    assert "Vous participez pour tous" in text_of(given)
    contribution = re.search(r'name="contribution" value="(ctb_[0-9a-f]+)"', given)
    assert contribution is not None
    back = gran.post(f"{trip}/end-gift", data={"contribution": contribution[1]})
    assert "Vous ne donnez rien pour l’instant" in text_of(back.text)
    at["Ana"].act(trip, "want-gifts", wanted="")
    assert site.browser().get(link).status_code == 410
    assert site.browser().get("/g/nothing").status_code == 404
    assert "Only the organizer" in text_of(at["Bo"].act(trip, "want-gifts", wanted="10").text)


def test_when_a_sponsor_may_give_is_said_before_while_and_after_the_group_collects(site: Site) -> None:
    ana = site.browser()
    trip = ana.start("Ana", to_wire("off", site.saga.offer_id))
    ana.act(trip, "decide", option=ana.option_of(trip))
    before = text_of(ana.get(trip).text)
    assert "Once you have started the booking you make a link for them here" in before
    trip, at = group(site, "Bea", "Bo")
    shown = at["Bea"].act(trip, "want-gifts", wanted="20").text
    link = re.search(r'value="http://localhost:8000(/g/[^"]+)"', shown)
    assert link is not None
    assert "It works until" in text_of(shown)
    assert "for this booking only" in text_of(shown)
    for name in ("Bea", "Bo"):
        _pay(site, at[name], trip, name)
    late = site.browser()
    for answer in (late.get(link[1]), late.post(link[1], data={"name": "Gran", "amount": "10", "currency": "EUR"})):
        assert answer.status_code == 410
        assert "the group does not collect any more: a link is for one booking. Nothing was taken" in text_of(
            answer.text
        )
    assert site.saga.count("SELECT count(*) FROM contribution") == 0
