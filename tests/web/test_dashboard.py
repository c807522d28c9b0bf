"""The merchant's dashboard: behind a login, its forms work, its figures are true, and axe finds nothing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from starlette.testclient import TestClient

from groupbook import bookings, referrals, webhooks
from groupbook.bookings import Change
from groupbook.kit.i18n import words
from groupbook.kit.ids import to_wire
from groupbook.web.app import build_app
from groupbook.web.dashboard import no_answer_words
from groupbook.web.operating_words import reason_words
from groupbook.webhooks import sender
from integrations.payments.stripe.outcomes import CODES, OUTCOMES
from integrations.payments.stripe.reading import _DECLINES
from tests.support.saga import Saga
from tests.support.site import PASSWORD, mint_key, served, staff_token

ORIGIN = "http://localhost:8000"
EMAIL = "ines@kestrel.example"


@pytest.fixture
def saga(database_url: str) -> Iterator[Saga]:
    saga = Saga(database_url, "ada", "bo", public_url=ORIGIN)
    yield saga
    saga.close()


@pytest.fixture
def browser_of_staff(saga: Saga) -> Iterator[TestClient]:
    staff_token(saga, email=EMAIL)
    with TestClient(build_app(saga.house), base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        yield client


def log_in(client: TestClient, password: str = PASSWORD) -> Any:
    return client.post("/dashboard/login", data={"email": EMAIL, "password": password}, follow_redirects=False)


def test_nobody_sees_it_without_a_login(browser_of_staff: TestClient) -> None:
    client = browser_of_staff
    for path in ("/dashboard", "/dashboard/bookings", "/dashboard/webhooks", "/dashboard/settings"):
        answer = client.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/login")
    refused = log_in(client, "not the password")
    assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
    cookie = log_in(client).headers["set-cookie"]
    assert cookie.startswith("gb_staff=")
    assert {"HttpOnly", "SameSite=lax"} <= set(cookie.split("; "))
    assert client.get("/dashboard").status_code == 200
    client.post("/dashboard/logout")
    assert client.get("/dashboard", follow_redirects=False).status_code == 303


def test_a_form_from_another_site_changes_nothing(saga: Saga, browser_of_staff: TestClient) -> None:
    client = browser_of_staff
    log_in(client)
    for origin in ("https://evil.example", "null", ""):
        answer = client.post(
            "/dashboard/settings", data={"act": "create_key", "name": "stolen"}, headers={"Origin": origin}
        )
        assert answer.status_code == 403
        assert client.post("/v1/api_keys", json={"name": "stolen"}, headers={"Origin": origin}).status_code == 403
    assert saga.count("SELECT count(*) FROM api_key") == 0
    assert client.post("/v1/api_keys", json={"name": "mine"}).status_code == 201


def test_the_key_is_shown_with_commands_and_the_growth_figures(saga: Saga, browser_of_staff: TestClient) -> None:
    key = mint_key(saga)
    referrals.mint_share(saga.database, saga.friends["ada"], saga.trip_id, channel="demo")
    client = browser_of_staff
    log_in(client)
    page = unescape(client.get("/dashboard").text)
    assert f"KEY={key}" in page
    assert 'curl -s "$GROUPBOOK/v1/offers"' in page
    shares = re.search(r"<dt>Shares</dt><dd>(\d+)</dd>", page)
    assert shares is not None
    assert shares[1] == "1"
    french = unescape(client.get("/dashboard?lang=fr").text)
    assert '<html lang="fr"' in french
    assert "What sharing brought" not in french


def test_bookings_and_their_timeline(saga: Saga, browser_of_staff: TestClient) -> None:
    client = browser_of_staff
    log_in(client)
    assert "No bookings yet" in client.get("/dashboard/bookings").text
    booking = to_wire("bkg", saga.open())
    saga.run_until_quiet()
    for name in ("ada", "bo"):
        saga.pay(name)
    listed = client.get("/dashboard/bookings").text
    assert f"/dashboard/bookings/{booking}" in listed
    page = unescape(client.get(f"/dashboard/bookings/{booking}").text)
    for word in ("Booked", "€100.00", "€50.00", "ada", "bo", "booking.confirmed", "all_captured"):
        assert word in page, word
    for unknown in (f"bkg_{'0' * 32}", "bkg_x", "x"):
        assert client.get(f"/dashboard/bookings/{unknown}").status_code == 404


def test_the_list_counts_who_travels(saga: Saga, browser_of_staff: TestClient) -> None:
    """Ada and Bo; then Cy comes in Bo's place: still two, though three paid and Cy's payment waits for Bo's."""
    client = browser_of_staff
    log_in(client)

    def people() -> str:
        row = re.search(r"<tbody>.*?</tr>", client.get("/dashboard/bookings").text, re.DOTALL)
        assert row is not None
        return str(re.findall(r'<td class="is-number">([^<]*)</td>', row[0])[0])

    def amend(change: Change) -> None:
        bookings.amend_booking(saga.database, saga.desk, saga.id, change)
        saga.run_until_quiet()

    saga.open()
    saga.run_until_quiet()
    assert people() == "2"
    for name in ("ada", "bo"):
        saga.pay(name)
    saga.join("cy")
    amend(Change("replace", saga.members["bo"], by=saga.members["cy"]))
    assert (len(saga.booking().portions), people()) == (3, "2")
    saga.pay("cy")
    assert (saga.booking().state.value, len(saga.booking().portions), people()) == ("booked", 3, "2")
    amend(Change("cancel", saga.members["cy"]))
    assert people() == "1"


def test_what_the_bank_said_is_told_in_words_with_its_code_beside(saga: Saga, browser_of_staff: TestClient) -> None:
    client = browser_of_staff
    log_in(client)
    booking = to_wire("bkg", saga.open())
    saga.run_until_quiet()
    saga.decline("ada")
    page = client.get(f"/dashboard/bookings/{booking}").text
    assert "Declined: There is not enough money on the card. <code>insufficient_funds</code>" in page
    french = unescape(client.get(f"/dashboard/bookings/{booking}?lang=fr").text)
    assert "Refusé : Il n’y a pas assez d’argent sur la carte. <code>insufficient_funds</code>" in french


def test_every_code_of_the_payment_provider_has_words() -> None:
    told = {*_DECLINES.values(), "card_declined"}
    told |= {one.reason for one in (*OUTCOMES.values(), *CODES.values()) if one.kind == "refused"}
    for code in told:
        english, french = reason_words(code, words("en")), reason_words(code, words("fr"))
        assert english, code
        assert english != french, code


def test_every_way_of_no_answer_has_words() -> None:
    """The codes as they stand in the sender."""
    codes = re.findall(r'error = (?:"(\w+)" if .* else )?"(\w+)"', inspect.getsource(sender))
    found = {code for pair in codes for code in pair if code}
    assert len(found) == 6
    for code in found:
        assert no_answer_words(code, words("en")), code
        assert no_answer_words(code, words("fr")) != no_answer_words(code, words("en")), code


def test_webhooks_are_added_tested_sent_again_and_deleted(saga: Saga, browser_of_staff: TestClient) -> None:
    client = browser_of_staff
    log_in(client)
    wrong = client.post("/dashboard/webhooks", data={"url": "http://10.0.0.1/"})
    assert (wrong.status_code, "public https" in wrong.text) == (422, True)
    added = client.post(
        "/dashboard/webhooks", data={"url": "https://shop.example/hook", "event_type": "booking.parked"}
    )
    assert "whsec_" in added.text
    [endpoint] = _endpoints(saga)
    path = f"/dashboard/webhooks/{to_wire('whk', endpoint.id)}"
    assert client.post(path, data={"act": "test"}).status_code == 200
    saga.run_until_quiet()
    page = client.get(path).text
    assert "webhook.test" in page
    assert "Delivered" in page
    event = re.search(r"evt_[0-9a-f]{32}", page)
    assert event is not None
    client.post(path, data={"act": "redeliver", "event": event[0]})
    saga.run_until_quiet()
    assert len(saga.sender.posts) == 2
    assert "whsec_" in client.post(path, data={"act": "roll"}).text
    assert client.post(path, data={"act": "explode"}).status_code == 404
    asked = client.get(f"{path}/delete")
    assert (asked.status_code, "https://shop.example/hook" in asked.text) == (200, True)
    assert len(_endpoints(saga)) == 1  # asking deletes nothing
    assert client.post(f"{path}/delete").url.path == "/dashboard/webhooks"
    assert _endpoints(saga) == []
    assert client.get(f"{path}/delete").status_code == 404


def _endpoints(saga: Saga) -> list[webhooks.Endpoint]:
    with saga.database.begin(saga.merchant_id) as session:
        return webhooks.list_endpoints(session)


def test_keys_and_origins(saga: Saga, browser_of_staff: TestClient) -> None:
    client = browser_of_staff
    log_in(client)
    made = client.post("/dashboard/settings", data={"act": "create_key", "name": "shop <b>"})
    secret = re.search(r"gb_test_[a-z2-7]{39}", made.text)
    assert secret is not None
    assert "<b>" not in made.text
    key_id = re.search(r"key_[0-9a-f]{32}", made.text)
    assert key_id is not None
    assert client.get("/v1/merchant", headers={"Authorization": f"Bearer {secret[0]}"}).status_code == 200
    assert client.post("/dashboard/settings", data={"act": "revoke_key", "id": key_id[0]}).status_code == 422
    revoke = f"/dashboard/settings/keys/{key_id[0]}/revoke"
    asked = client.get(revoke)
    assert (asked.status_code, "shop &lt;b&gt;" in asked.text) == (200, True)
    assert client.get("/v1/merchant", headers={"Authorization": f"Bearer {secret[0]}"}).status_code == 200
    for _ in range(2):
        assert client.post(revoke).url.path == "/dashboard/settings"
    assert client.get(revoke).url.path == "/dashboard/settings"  # nothing is left to ask
    assert client.get(revoke.replace(key_id[0], f"key_{'0' * 32}")).status_code == 404
    assert client.get("/v1/merchant", headers={"Authorization": f"Bearer {secret[0]}"}).status_code == 401
    for bad in ("*", "https://shop.example/path", "http://shop.example"):
        assert client.post("/dashboard/settings", data={"act": "add_origin", "origin": bad}).status_code == 422
    page = client.post("/dashboard/settings", data={"act": "add_origin", "origin": "https://shop.example"}).text
    assert "https://shop.example" in page
    origin_id = re.search(r"emo_[0-9a-f]{32}", page)
    assert origin_id is not None
    client.post("/dashboard/settings", data={"act": "remove_origin", "id": origin_id[0]})
    assert saga.count("SELECT count(*) FROM embed_origin") == 0


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_axe_finds_nothing_on_the_dashboard_and_the_documents(
    saga: Saga, browser: Any, width: int, scheme: str
) -> None:
    """On a phone in the light, on a desk in the dark, with every detail open."""
    mint_key(saga)
    token = staff_token(saga, email=EMAIL)
    with saga.database.begin(saga.merchant_id) as session:
        endpoint, _ = webhooks.create_endpoint(session, saga.house.webhooks, url="https://shop.example/hook")
        webhooks.send_test_event(session, endpoint.id)
    booking = to_wire("bkg", saga.open())
    saga.run_until_quiet()
    paths = [
        "/dashboard",
        "/dashboard/bookings",
        f"/dashboard/bookings/{booking}",
        "/dashboard/webhooks",
        f"/dashboard/webhooks/{to_wire('whk', endpoint.id)}",
        "/dashboard/settings",
        "/dashboard/bookings/x",
        "/problems/quote_expired",
        *(["/problems", "/docs/api"] if width < 1000 else []),  # long pages: axe needs its time for them
    ]
    axe, found = Axe(), {}
    with served(saga) as url:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        for path in ["/dashboard/login", *paths]:
            page.goto(url + path)
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in axe.run(page).response["violations"]]
            if page.evaluate("document.documentElement.scrollWidth") > width:
                told.append("wider than the window")
            if told:
                found[path] = told
            context.add_cookies([{"name": "gb_staff", "value": token, "url": url}])
        context.close()
    assert found == {}, found
