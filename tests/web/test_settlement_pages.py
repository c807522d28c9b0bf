"""The merchant's page of how groups pay: every setting of the API, by the API's own service, with a preview."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import fields
from html import unescape
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from starlette.testclient import TestClient

from groupbook import bookings
from groupbook.bookings import Policy
from groupbook.web.settlement_pages import GROUPS
from tests.support.saga import Saga
from tests.support.site import free_port, mint_key, read, served, staff_token

EMAIL = "ines@kestrel.example"
PAGE = "/dashboard/settlement"
FORM = {
    "collection_window_seconds": "2",
    "collection_window_seconds_unit": "hours",
    "settle_budget_seconds": "90",
    "settle_budget_seconds_unit": "minutes",
    "payer_quorum": "3",
    "lost_discount": "leaver",
    "shortfall": "receivable",
    "keeps_cards": "yes",
}
STORED = {
    "collection_window_seconds": 7200.0,
    "settle_budget_seconds": 5400.0,
    "payer_quorum": 3,
    "lost_discount": "leaver",
    "shortfall": "receivable",
    "keeps_cards": True,
}


def own(saga: Saga) -> dict[str, Any]:
    return bookings.read_settings(saga.database, saga.desk)


def errors(answer: Any) -> dict[str, str]:
    """What stands at the fields."""
    return {
        name: unescape(text)
        for name, text in re.findall(r'<span class="gb-error" id="f-(\w+)-error">([^<]*)</span>', answer.text)
    }


def test_every_setting_of_the_api_is_on_the_page() -> None:
    shown = [name for names in GROUPS.values() for name in names]
    assert sorted(shown) == sorted(one.name for one in fields(Policy))


def test_settings_are_previewed_stored_and_let_go_of(saga: Saga, client: TestClient) -> None:
    before = read(client.get(PAGE))
    assert "Time for everybody to pay: 30 minutes." in before
    assert "Empty means the default: 6 hours." in before

    preview = client.post(PAGE, data={**FORM, "act": "preview"})
    for text in (
        "Nothing was stored yet.",
        "Time for everybody to pay: 2 hours.",
        "3 of you are enough: then whoever is in goes",
        "it is taken only when enough of you are in.",
        "Whoever leaves after their bank said yes bears the group discount",
    ):
        assert text in read(preview), text
    assert own(saga) == {}

    stored = client.post(PAGE, data={**FORM, "act": "store"})
    assert (stored.status_code, "Stored. The next booking opens with it." in read(stored)) == (200, True)
    assert own(saga) == STORED
    told = client.get("/v1/settlement", headers={"Authorization": f"Bearer {mint_key(saga)}"}).json()
    assert {name: told[name] for name in STORED} == STORED
    assert 'name="collection_window_seconds" value="2"' in stored.text
    assert 'name="settle_budget_seconds" value="90"' in stored.text

    again = {name: value for name, value in FORM.items() if not name.startswith("settle")}
    client.post(PAGE, data={**again, "act": "store"})  # what is emptied is the default's again
    assert own(saga) == {name: value for name, value in STORED.items() if not name.startswith("settle")}
    client.post(PAGE, data={"act": "reset"})
    assert own(saga) == {}


def test_a_deadline_far_away_is_told_to_keep_cards_first(client: TestClient) -> None:
    far = {"collection_window_seconds": "10", "collection_window_seconds_unit": "days", "act": "preview"}
    assert "If you go on, it is only kept; your bank is asked on" in read(client.post(PAGE, data=far))


def test_what_is_wrong_is_said_at_its_field_and_nothing_is_stored(saga: Saga, client: TestClient) -> None:
    client.post(PAGE, data={**FORM, "act": "store"})
    wrong = {
        "collection_window_seconds": "30",
        "collection_window_seconds_unit": "seconds",
        "confirm_budget_seconds": "soon",
        "settle_budget_seconds": "NaN",
        "hold_margin_seconds": "1e9",
        "payer_quorum": "0",
        "shortfall": "pray",
    }
    for act in ("store", "preview"):
        answer = client.post(PAGE, data={**wrong, "act": act})
        assert (answer.status_code, errors(answer)) == (
            422,
            {
                "collection_window_seconds": "Between 1 minute and 60 days.",
                "confirm_budget_seconds": "Give a number.",
                "settle_budget_seconds": "Give a number.",
                "hold_margin_seconds": "Between 0 minutes and 1 hour.",
                "payer_quorum": "Give a whole number, 1 or more, or nothing.",
                "shortfall": "This choice is not possible here. Nothing was changed.",
            },
        )
        assert 'value="soon"' in answer.text  # what was typed is still there
    french = client.post(f"{PAGE}?lang=fr", data={"payer_quorum": "x", "act": "store"})
    assert errors(french) == {"payer_quorum": "Indiquez un nombre entier, 1 ou plus, ou rien."}
    assert own(saga) == STORED


def test_settings_that_contradict_each_other_are_refused(saga: Saga, client: TestClient) -> None:
    """Each alone is fine: four days of waiting, and a day for the banks."""
    ahead = {"collection_window_seconds": "4", "collection_window_seconds_unit": "days"}
    slow = {"settle_budget_seconds": "1", "settle_budget_seconds_unit": "days"}
    answer = client.post(f"{PAGE}?lang=en", data={**ahead, **slow, "act": "store"})
    assert answer.status_code == 422
    assert errors(answer)["settle_budget_seconds"].startswith("Banks keep money for 114 hours at least.")
    assert own(saga) == {}
    assert client.post(PAGE, data={**slow, "act": "store"}).status_code == 200
    assert own(saga) == {"settle_budget_seconds": 86_400.0}


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_axe_finds_nothing_on_the_page(database_url: str, browser: Any, width: int, scheme: str) -> None:
    """As it is, previewed, and refused."""
    port = free_port()
    saga = Saga(database_url, "ada", "bo", public_url=f"http://127.0.0.1:{port}")
    token, axe, found = staff_token(saga, email=EMAIL), Axe(), {}
    with closing(saga), served(saga, port=port) as url:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.add_cookies([{"name": "gb_staff", "value": token, "url": url}])
        page = context.new_page()
        page.goto(url + PAGE)
        for name, quorum in (("as it is", ""), ("previewed", "3"), ("refused", "0")):
            if quorum:
                page.fill("#f-payer_quorum", quorum)
                page.click("button[value=preview]")
            told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in axe.run(page).response["violations"]]
            if page.evaluate("document.documentElement.scrollWidth") > width:
                told.append("wider than the window")
            if told:
                found[name] = told
        context.close()
    assert found == {}, found
