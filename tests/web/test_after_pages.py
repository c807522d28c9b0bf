"""A booked place given back or handed on, on the pages, without a script."""

from __future__ import annotations

import re
from datetime import timedelta

from groupbook.kit.ids import to_wire
from groupbook.merchants.domain import Capabilities
from tests.support.site import text_of
from tests.web.conftest import Browser, Site
from tests.web.test_story import _pay
from tests.web.test_waiting_pages import _invite
from tests.web.test_ways_pages import group


def booked(site: Site, *names: str) -> tuple[str, dict[str, Browser]]:
    """Everybody has paid; the first name organizes."""
    trip, at = group(site, *names)
    for name in names:
        _pay(site, at[name], trip, name)
    assert site.saga.booking().state.value == "booked"
    return trip, at


def place(site: Site, trip: str, name: str) -> str:
    line = next(line for line in site.saga.booking().portions if line.name == name)
    return f"{trip}/places/{to_wire('mem', line.traveler)}"


def terms_in(page: str) -> str:
    found = re.search(r'name="terms" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_one_cancels_after_reading_what_it_comes_to(site: Site) -> None:
    trip, at = booked(site, "Ana", "Bo", "Cy")
    site.saga.merchant_twin.kept_percent = 30
    own = place(site, trip, "Bo")
    page = at["Bo"].get(trip).text
    assert f'href="{own}/cancel"' in page
    assert f'href="{own}/give"' in page
    assert place(site, trip, "Cy") not in page, "somebody else's place is not Bo's to change"
    assert page.count("/cancel") - page.count("/cancel-booking") == 1
    shown = at["Bo"].get(f"{own}/cancel")
    assert shown.status_code == 200
    text = text_of(shown.text)
    assert "Cancel your place?" in text
    assert "Paid for the place €50.00 The railway keeps €15.00 Comes back €35.00" in text
    assert "By its conditions the railway keeps €15.00 of the €50.00." in text
    assert "€35.00 goes back to your card, Visa 4242. Banks show this within ten days." in text
    assert "Nothing changes for the 2 others: the same tickets, seats and charges." in text
    assert "So it is until" in text
    assert site.saga.provider.refunds == [], "looking changes nothing"
    others = {name: at[name].get(trip).text for name in ("Ana", "Cy")}
    for _ in range(2):
        done = at["Bo"].post(f"{own}/cancel", data={"terms": terms_in(shown.text)})
        assert done.status_code == 200
    site.saga.run_until_quiet()
    assert [amount for _, amount in site.saga.provider.refunds] == [3_500]
    after = text_of(at["Bo"].get(trip).text)
    assert "You are going!" not in after
    assert "Your place is canceled. €35.00 goes back to the card that paid." in after
    assert "€50.00 was taken from your card, and €35.00 of that goes back to it." in after
    assert f"{own}/cancel" not in after
    assert "What we told you" in after
    assert after.index("money is on its way back to you.") < after.index("is booked. Your ticket is here."), (
        "the newest first"
    )
    organizer = text_of(at["Ana"].get(trip).text)
    assert "The place of Bo is canceled." in organizer
    assert "35.00" not in organizer
    for name, before in others.items():
        ticket = re.search(r"(?s)<article class=\"gb-ticket\".*?</article>", before)
        assert ticket is not None
        assert ticket[0] in at[name].get(trip).text
    again = at["Bo"].get(f"{own}/cancel")
    assert again.status_code == 409
    assert "This place was given away already." in text_of(again.text)


def test_a_fee_that_changed_is_shown_anew_before_anything_is_done(site: Site) -> None:
    trip, at = booked(site, "Ana", "Bo")
    own = place(site, trip, "Bo")
    site.saga.merchant_twin.kept_percent = 10
    first = at["Bo"].get(f"{own}/cancel").text
    site.saga.merchant_twin.kept_percent = 20
    answer = at["Bo"].post(f"{own}/cancel", data={"terms": terms_in(first)})
    assert answer.status_code == 409
    text = text_of(answer.text)
    assert "It comes to something else now, and nothing was done. Look at the amounts again." in text
    assert "The railway keeps €10.00" in text
    assert (site.saga.provider.refunds, site.saga.count("SELECT count(*) FROM amendment")) == ([], 0)
    at["Bo"].post(f"{own}/cancel", data={"terms": terms_in(answer.text)})
    site.saga.run_until_quiet()
    assert [amount for _, amount in site.saga.provider.refunds] == [4_000]


def test_one_hands_on_to_a_friend_who_joined_for_it(site: Site) -> None:
    trip, at = booked(site, "Ana", "Bo")
    own = place(site, trip, "Bo")
    empty = text_of(at["Bo"].get(f"{own}/give").text)
    assert "Nobody in this trip is without a place." in empty
    assert "The organizer can invite them. When they have joined, choose them on this page." in empty
    refused = at["Bo"].post(f"{own}/give", data={"invite": "yes", "name": "Dee"})
    assert refused.status_code == 403
    page = at["Ana"].post(f"{own}/give", data={"invite": "yes", "name": "Dee"}).text
    assert "This link is for Dee . When they have joined, choose them on this page." in text_of(page)
    link = re.search(r'value="http://localhost:8000(/i/[^"]+)"', page)
    assert link is not None
    dee = site.browser()
    dee.join(link[1], "Dee")
    chooser = at["Bo"].get(f"{own}/give").text
    choice = re.search(rf'href="({own}/give\?by=mem_[0-9a-f]+)"', chooser)
    assert choice is not None
    shown = at["Bo"].get(choice[1]).text
    text = text_of(shown)
    assert "Give your place to somebody else?" in text
    assert "Dee pays €50.00 for the place first. If they do not in time, everything stays as it is." in text
    assert "€50.00 goes back to your card, Visa 4242." in text
    assert "The railway keeps nothing." in text
    form = {"terms": terms_in(shown), "by": choice[1].rpartition("=")[2]}
    assert at["Bo"].post(f"{own}/give", data=form).status_code == 200
    site.saga.run_until_quiet()
    asked = dee.get(trip).text
    (change,) = site.saga.booking().changes
    assert change.pay_by is not None
    assert f'data-until="{change.pay_by:%Y-%m-%dT%H:%M}' in asked, "their own time, not the one the group had"
    assert "it is taken only when the railway has made the change." in text_of(asked)
    assert "it is taken only when everybody is in" not in text_of(asked)
    waiting = text_of(at["Bo"].get(trip).text)
    assert "Dee can take the place of Bo by paying for it until" in waiting
    assert "If plans change" not in waiting, "one change at a time"
    busy = at["Ana"].get(f"{place(site, trip, 'Ana')}/cancel")
    assert busy.status_code == 409
    assert "Another change of this booking is being made." in text_of(busy.text)
    _pay(site, dee, trip, "Dee")
    came, left = text_of(dee.get(trip).text), text_of(at["Bo"].get(trip).text)
    assert "You have the place of Bo." in came
    assert "Dee has your place. €50.00 goes back to the card that paid." in left
    for words in ("You are going!", "Add to calendar", "Tell the others where you are going"):
        assert (words in came, words in left) == (True, False), words
    assert "This group is booked" in left
    assert "You are not traveling, so there is no ticket for you." in left
    assert "Paris to Lyon" in left.split("Who is going")[0], "still in the group, so they see which train it is"
    assert site.saga.booking().total.minor == 10_000


def test_who_acts_for_somebody_else_is_told_why_there_are_no_amounts(site: Site) -> None:
    """P6: another's price is theirs, also for the organizer who gives their place back."""
    trip, at = booked(site, "Ana", "Bo")
    own = place(site, trip, "Bo")
    why = "what comes back, only Bo and whoever paid read: a price tells of cards and age."
    assert "amounts only where you paid for it" in text_of(at["Ana"].get(trip).text)
    assert "amounts only where you paid for it" not in text_of(at["Bo"].get(trip).text)
    for page in ("cancel", "give"):
        shown = text_of(at["Ana"].get(f"{own}/{page}").text)
        assert why in shown, page
        assert "50.00" not in shown, page
        assert why not in text_of(at["Bo"].get(f"{own}/{page}").text), page
    assert "Paid for the place €50.00" in text_of(at["Bo"].get(f"{own}/cancel").text)


def test_what_the_railway_will_not_do_is_said_with_the_way_on(site: Site) -> None:
    trip, at = booked(site, "Ana", "Bo")
    own = place(site, trip, "Bo")
    saga = site.saga
    saga.merchant_twin.changes_until = saga.now() - timedelta(minutes=1)
    late = at["Bo"].get(f"{own}/cancel")
    assert late.status_code == 409
    assert "By the conditions of the railway it is too late for this." in text_of(late.text)
    assert "Nothing was changed." in text_of(late.text)
    saga.merchant_twin.changes_until = None
    saga.offer_capabilities(Capabilities(holds=True, partial_cancel=False))
    refused = text_of(at["Bo"].get(f"{own}/cancel").text)
    assert "The railway does not change single places of this booking. Ask it directly." in refused
    saga.offer_capabilities(Capabilities(holds=True))
    saga.merchant_twin.provoke("read", "unavailable")
    away = at["Bo"].get(f"{own}/cancel")
    assert away.status_code == 503
    assert "The other side does not answer." in text_of(away.text)
    assert at["Bo"].get(f"{place(site, trip, 'Ana')}/cancel").status_code == 403
    assert site.browser().get(f"{own}/cancel").status_code == 401
    assert at["Bo"].get(f"{trip}/places/mem_{'0' * 32}/cancel").status_code == 404
    fresh = at["Bo"].get(f"{own}/cancel").text
    at["Ana"].act(trip, "cancel-booking")
    saga.run_until_quiet()
    canceled = at["Bo"].post(f"{own}/cancel", data={"terms": terms_in(fresh)})
    assert canceled.status_code == 409
    assert "This booking does not stand any more, so there is nothing to change." in text_of(canceled.text)


def test_only_our_own_pages_may_confirm(site: Site) -> None:
    trip, at = booked(site, "Ana", "Bo")
    own = place(site, trip, "Bo")
    terms = terms_in(at["Bo"].get(f"{own}/cancel").text)
    foreign = at["Bo"].post(f"{own}/cancel", data={"terms": terms}, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert site.saga.count("SELECT count(*) FROM amendment") == 0


def test_the_page_in_french(site: Site) -> None:
    trip, at = booked(site, "Ana", "Bo")
    site.saga.merchant_twin.kept_percent = 30
    at["Bo"].headers["Accept-Language"] = "fr"
    text = text_of(at["Bo"].get(f"{place(site, trip, 'Bo')}/cancel").text)
    assert "Annuler votre place ?" in text
    assert "35,00" in text


def test_an_offer_is_taken_back_or_turned_down_on_the_page(site: Site) -> None:
    trip, at = booked(site, "Ana", "Bo")
    own = place(site, trip, "Bo")
    page = at["Ana"].post(f"{own}/give", data={"invite": "yes", "name": "Dee"}).text
    link = re.search(r'value="http://localhost:8000(/i/[^"]+)"', page)
    assert link is not None
    dee = site.browser()
    dee.join(link[1], "Dee")

    def offer() -> None:
        choice = re.search(rf'href="({own}/give\?by=mem_[0-9a-f]+)"', at["Bo"].get(f"{own}/give").text)
        assert choice is not None
        form = {"terms": terms_in(at["Bo"].get(choice[1]).text), "by": choice[1].rpartition("=")[2]}
        assert at["Bo"].post(f"{own}/give", data=form).status_code == 200
        site.saga.run_until_quiet()

    def button(browser: Browser) -> tuple[str, str]:
        """What it would take back, and its words."""
        shown = browser.get(trip).text
        found = re.search(r'name="change" value="(amd_[0-9a-f]+)"><button[^>]*>([^<]+)<', shown)
        assert found is not None
        return found[1], found[2]

    offer()
    words = {name: button(browser)[1] for name, browser in (*at.items(), ("Dee", dee))}
    assert words == {"Ana": "Take the offer back", "Bo": "Keep the place", "Dee": "No, thank you"}
    id = button(at["Bo"])[0]
    for _ in range(2):
        assert at["Bo"].act(trip, "keep-change", change=id).status_code == 200
    site.saga.run_until_quiet()
    after = text_of(at["Bo"].get(trip).text)
    assert "Your place stays yours. It was taken back before anybody had paid." in after
    assert "If plans change" in after
    offer()
    dee.act(trip, "keep-change", change=button(dee)[0])
    site.saga.run_until_quiet()
    assert "Your place stays yours. Whom it was offered to said no." in text_of(at["Bo"].get(trip).text)
    assert [amount for _, amount in site.saga.provider.captures] == [5_000, 5_000]


def test_who_waited_in_vain_is_offered_the_place_on_their_page(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo")
    dee = site.browser()
    dee.post(f"{_invite(site)}/wait", data={"name": "Dee"})
    for name in ("Ana", "Bo"):
        _pay(site, at[name], trip, name)
    assert "No place came free" in text_of(dee.get(trip).text)
    own = place(site, trip, "Bo")
    choice = re.search(rf'href="({own}/give\?by=mem_[0-9a-f]+)"', at["Bo"].get(f"{own}/give").text)
    assert choice is not None
    form = {"terms": terms_in(at["Bo"].get(choice[1]).text), "by": choice[1].rpartition("=")[2]}
    at["Bo"].post(f"{own}/give", data=form)
    site.saga.run_until_quiet()
    page = dee.get(trip)
    text = text_of(page.text)
    assert "A place is free for you What you pay for the place €50.00 You can have a place in this group by" in text
    assert "Bo" not in text.split(), "the others are not shown before the place is theirs"
    portion = re.search(r'name="portion" value="([^"]+)"', page.text)
    assert portion is not None
    assert dee.act(trip, "pay-place", portion=portion[1]).status_code in (200, 404), "on to the provider"
    change = re.search(r'name="change" value="([^"]+)"', page.text)
    assert change is not None
    refused = text_of(dee.act(trip, "no-place", change=change[1]).text)
    assert "No place came free" in refused
    site.saga.run_until_quiet()
    assert "Whom it was offered to said no." in text_of(at["Bo"].get(trip).text)
