"""The ways a group pays, on the trip's page, without a script."""

from __future__ import annotations

import re
from math import pi

import pytest

from groupbook.web.views import ProgressView
from tests.support.site import text_of
from tests.web.conftest import Browser, Site
from tests.web.test_story import _pay, _trip_of


def group(site: Site, *names: str, **choices: str) -> tuple[str, dict[str, Browser]]:
    """A decided trip that is being paid for; the first name organizes."""
    from groupbook.kit.ids import to_wire

    browsers = {name: site.browser() for name in names}
    organizer = browsers[names[0]]
    trip = organizer.start(names[0], to_wire("off", site.saga.offer_id))
    invite = organizer.invite_of(trip)
    for name in names[1:]:
        browsers[name].join(invite, name)
    organizer.act(trip, "decide", option=organizer.option_of(trip))
    organizer.act(trip, "book", **{"window_seconds": "1800", **choices})
    site.saga.trip_id = _trip_of(site, trip)
    site.saga.run_until_quiet()
    return trip, browsers


def portion_in(page: str) -> str:
    found = re.search(r'name="portion" value="(por_[0-9a-f]+)"', page)
    assert found is not None
    return found[1]


def test_the_page_says_what_happens_to_my_card_at_every_step(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo")
    page = text_of(at["Bo"].get(trip).text)
    assert "If you go on, your bank keeps €50.00 ready, and it is taken only when everybody is in." in page
    assert "Time left:" in page
    _pay(site, at["Bo"], trip, "Bo")
    assert "Your bank keeps €50.00 ready. It is taken only when everybody is in" in text_of(at["Bo"].get(trip).text)
    assert "your bank keeps" not in text_of(at["Ana"].get(trip).text).replace("If you go on, your bank keeps", "")
    _pay(site, at["Ana"], trip, "Ana")
    assert "€50.00 was taken from your card." in text_of(at["Bo"].get(trip).text)


def test_a_large_group_reads_its_ring_at_a_glance() -> None:
    """One arc for all that are alike, and together they go around once."""
    ring = ProgressView([*["waiting"] * 20, *["authorized"] * 39, "declined"])
    assert [arc.state for arc in ring.arcs] == ["authorized", "waiting", "declined"]
    assert sum(arc.length + 4 for arc in ring.arcs[:2]) == pytest.approx(100 * pi * 59 / 60, abs=0.02)
    assert (ring.done, ring.total) == (39, 60)
    assert len(ProgressView(["waiting"] * 15).arcs) == 15


def test_whoever_reloads_the_answer_to_an_act_is_shown_the_trip(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo")
    for act in ("pay", "book", "cover", "hand-over"):
        answer = at["Bo"].get(f"{trip}/{act}", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, trip)
    assert at["Bo"].get(f"{trip}/drop-out", follow_redirects=False).status_code == 200, "a page of its own"


def test_fewer_may_go_and_everybody_reads_at_most(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo", "Cy", payer_quorum="2")
    page = text_of(at["Cy"].get(trip).text)
    assert "2 of you are enough" in page
    assert "taken only when enough of you are in" in page
    refused = at["Ana"].act(trip, "book", payer_quorum="9")
    assert refused.status_code == 200, "a booking is open already: a second click finds it"


def test_a_choice_beyond_the_group_is_refused_in_words(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo", payer_quorum="9")
    assert "Ready to book?" in text_of(at["Ana"].get(trip).text)
    answer = at["Ana"].act(trip, "book", payer_quorum="9")
    assert answer.status_code == 422
    assert "This choice is not possible here." in text_of(answer.text)


def test_leaving_is_shown_first_and_then_the_others_go_on(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo", "Cy")
    page = at["Cy"].get(f"{trip}/drop-out")
    assert page.status_code == 200
    assert "Nothing changes for the others." in text_of(page.text)
    left = text_of(at["Cy"].act(trip, "drop-out").text)
    assert "You are not part of this booking" in left
    assert "Nothing is asked of you" in left
    assert "Everybody together €100.00" in text_of(at["Ana"].get(trip).text)
    again = at["Cy"].get(f"{trip}/drop-out")
    assert again.status_code == 409


def test_the_organizer_pays_for_who_is_short_after_seeing_the_amount(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo")
    portion = portion_in(at["Bo"].get(trip).text)
    page = text_of(at["Ana"].act(trip, "cover", portion=portion).text)
    assert "You pay for Bo" in page
    assert "Their part €50.00" in page
    assert "Ana said they pay for you." in text_of(at["Bo"].get(trip).text)
    assert "paid for by" not in text_of(at["Ana"].act(trip, "hand-back", portion=portion).text)
    at["Ana"].act(trip, "cover", portion=portion)
    back = text_of(at["Bo"].act(trip, "cover", portion=portion).text)
    assert "Authorize €50.00" in back, "one's own part may be taken back as long as no bank said yes"
    assert at["Bo"].act(trip, "cover", portion=portion_in(at["Ana"].get(trip).text)).status_code == 404


# --- giving, sharing, bearing -----------------------------------------------------------------------------------------


def test_a_sponsor_gives_to_everybody_on_the_page(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo", "Cy")
    page = text_of(at["Bo"].act(trip, "give", amount="30,00").text)
    assert "You give to everybody" in page
    assert "Your own price is €50.00. With what is given, shared or paid together, your part is €40.00." in page
    assert "Authorize €40.00" in page
    assert "Authorize €30.00" in page
    others = at["Cy"].get(trip).text
    assert "Bo gives to everybody €30.00" in text_of(others)
    assert "0/4 ready" in text_of(others), "the group waits for it, too"
    gift = re.search(r'name="contribution" value="(ctb_[0-9a-f]+)"', at["Ana"].get(trip).text)
    assert gift is not None
    assert "contribution" not in others, "neither the giver nor the organizer"
    page = text_of(at["Ana"].act(trip, "take-back", contribution=gift[1]).text)
    assert "gives to everybody" not in page
    assert "Authorize €50.00" in page
    refused = at["Bo"].act(trip, "give", amount="1e9")
    assert refused.status_code == 422
    assert "This amount cannot be given here." in text_of(refused.text)


def test_two_share_the_cost_when_both_said_yes(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo", "Cy")
    ids = dict(re.findall(r'name="member" value="(mem_[0-9a-f]+)"[^>]*><span><bdi>(\w+)', at["Ana"].get(trip).text))
    named = {name: id for id, name in ids.items()}
    both = {"member": [named["Ana"], named["Bo"]], f"parts_{named['Bo']}": "3"}
    page = text_of(at["Ana"].post(f"{trip}/split", data=both).text)
    assert "The cost is shared by parts: Ana 1 and Bo 3." in page
    assert "Waiting for Ana and Bo." in page
    assert "Yes, I pay" not in page, "the proposer says yes last"
    assert "shared by parts" not in text_of(at["Cy"].get(trip).text)
    for name, amount in (("Bo", "7500"), ("Ana", "2500")):
        shown = at[name].get(trip).text
        split = re.search(
            r'name="split" value="(spl_[0-9a-f]+)"><input type="hidden" name="amount" value="(\d+)"', shown
        )
        assert split is not None
        assert split[2] == amount
        page = text_of(at[name].act(trip, "answer-split", split=split[1], amount=amount, yes="yes").text)
    assert "Agreed" in page
    assert "Authorize €25.00" in page
    assert "Authorize €75.00" in text_of(at["Bo"].get(trip).text)


def test_who_bears_a_lost_discount_is_said_before_anybody_pays(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo", "Cy", lost_discount="leaver")
    sentence = "Whoever leaves after their bank said yes bears the group discount that the others lose by it"
    assert sentence in text_of(at["Bo"].get(trip).text)
    assert sentence in text_of(at["Bo"].get(f"{trip}/drop-out").text)


def test_a_place_is_handed_over_by_a_link(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo")
    page = at["Bo"].act(trip, "hand-over", name="Cy").text
    assert "This link is for Cy" in text_of(page)
    link = re.search(r'value="http://localhost:8000(/h/[^"]+)"', page)
    assert link is not None
    cy = site.browser()
    offered = text_of(cy.get(link[1]).text)
    assert "Bo cannot come" in offered
    assert "What the place costs today €50.00" in offered
    assert "Paris to Lyon, " in offered, "where it goes, and when, before anybody takes it"
    assert "Nothing happens to your card now." in offered
    refused = cy.post(link[1], data={"name": "x" * 90})
    assert refused.status_code == 422
    assert "This name is too long." in text_of(refused.text)
    nonce = re.search(r'name="nonce" value="([^"]+)"', cy.get(link[1]).text)
    assert nonce is not None
    form = {"name": "Cy", "nonce": nonce[1]}
    lost = site.browser().post(link[1], data=form, follow_redirects=False)
    taken = cy.post(link[1], data=form, follow_redirects=False)
    assert taken.headers["location"] == lost.headers["location"] == trip, "the first answer never came"
    assert cy.get(link[1], follow_redirects=False).headers["location"] == trip, "it is Cy's now"
    assert "Authorize €50.00" in text_of(cy.get(trip).text)
    assert "You are not part of this booking" in text_of(at["Bo"].get(trip).text)
    gone = site.browser().get(link[1])
    assert gone.status_code == 410
    assert "This place is not free any more" in text_of(gone.text)
    assert site.browser().get("/h/nothing").status_code == 404


def test_a_link_may_be_taken_back(site: Site) -> None:
    trip, at = group(site, "Ana", "Bo")
    page = at["Bo"].act(trip, "hand-over", name="Cy").text
    id = re.search(r'name="handover" value="(hdo_[0-9a-f]+)"', page)
    assert id is not None
    assert "Your part" in text_of(at["Bo"].act(trip, "keep-place", handover=id[1]).text)
    assert "Make a link for my friend" in text_of(at["Bo"].get(f"{trip}/drop-out").text)
