"""The story of a booking, as the merchant sees it: JSON for programs, a page for people, and nobody else's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from html import unescape
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from starlette.testclient import TestClient

from groupbook import bookings, merchants
from groupbook.bookings.domain import BookingState
from groupbook.kit.i18n import words
from groupbook.kit.ids import BookingId, to_wire
from groupbook.kit.intents import IntentHandler
from groupbook.web.app import build_app
from groupbook.web.operating_words import booking_words, call_words, event_words, resume_text
from integrations.payments.twin import Fault
from tests.support.saga import Saga
from tests.support.site import PASSWORD, mint_key, served, staff_token
from worker import LISTENERS

ORIGIN = "http://localhost:8000"
EMAIL = "ines@kestrel.example"
UNAVAILABLE: list[Fault] = ["unavailable"] * 400
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def saga(database_url: str) -> Iterator[Saga]:
    saga = Saga(database_url, "ada", HOSTILE, public_url=ORIGIN)
    yield saga
    saga.close()


@pytest.fixture
def client(saga: Saga) -> Iterator[TestClient]:
    with TestClient(build_app(saga.house), base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        yield client


@pytest.fixture
def desk(saga: Saga, client: TestClient) -> TestClient:
    """Somebody of the merchant's staff, logged in."""
    staff_token(saga, email=EMAIL)
    client.post("/dashboard/login", data={"email": EMAIL, "password": PASSWORD})
    return client


def booked(saga: Saga) -> BookingId:
    booking_id = saga.open()
    saga.run_until_quiet()
    for name in saga.friends:
        saga.pay(name)
    return booking_id


def stuck(saga: Saga) -> BookingId:
    booking_id = saga.open()
    saga.run_until_quiet()
    saga.pay("ada")
    saga.provider.plan("void", *UNAVAILABLE)
    bookings.cancel_booking(saga.database, saga.friends["ada"], booking_id)
    saga.run_until_quiet()
    saga.travel(hours=7)
    saga.run_until_quiet()
    assert saga.booking().state is BookingState.PARKED
    return booking_id


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_every_step_event_call_and_answer_in_the_order_in_which_they_happened(saga: Saga, client: TestClient) -> None:
    path = f"/v1/bookings/{to_wire('bkg', booked(saga))}/timeline"
    story = client.get(path, headers=bearer(mint_key(saga))).json()
    assert (story["state"], story["parked"], story["ledger"]["captured"]) == (
        "booked",
        None,
        {"amount": 10_000, "currency": "EUR"},
    )
    instants = [datetime.fromisoformat(entry["recorded_at"]) for entry in story["data"]]
    assert instants == sorted(instants)
    order = [(entry["kind"], entry["name"]) for entry in story["data"]]
    for cause, effect in (
        (("call", "offers.place_hold"), ("answer", "offers.place_hold")),
        (("answer", "offers.place_hold"), ("event", "hold.placed")),
        (("event", "hold.placed"), ("step", "hold_placed")),
        (("step", "looked_complete"), ("call", "offers.confirm_order")),
        (("event", "order.confirmed"), ("step", "order_confirmed")),
        (("step", "order_confirmed"), ("call", "payment.capture")),
        (("event", "portion.captured"), ("step", "all_captured")),
    ):
        assert order.index(cause) < order.index(effect), (cause, effect)
    calls = {call["id"]: call for call in story["calls"]}
    assert {entry["call"] for entry in story["data"] if entry["kind"] == "call"} == set(calls)
    assert {(call["state"], call["error"]) for call in calls.values() if call["attempts"]} == {("done", None)}
    assert [(one["attempts"][0]["card_brand"], one["attempts"][0]["card_last4"]) for one in story["portions"]] == [
        ("visa", "4242"),
        ("visa", "4242"),
    ]


def test_an_order_of_lines_survives_a_clock_that_travels(saga: Saga, client: TestClient) -> None:
    """A test merchant moves its clock; what comes later still stands later, dated by the clock it saw."""
    path = f"/v1/bookings/{to_wire('bkg', stuck(saga))}/timeline"
    story = client.get(path, headers=bearer(mint_key(saga))).json()
    names = [entry["name"] for entry in story["data"]]
    assert names.index("payment.close") < names.index("budget_out")
    assert story["data"][names.index("budget_out")]["at"] > story["data"][names.index("payment.close")]["at"]
    shown = [datetime.fromisoformat(entry["at"]) for entry in story["data"]]
    assert (shown[-1] - shown[0]).total_seconds() >= 7 * 3600
    assert story["parked"]["cause"] == "budget_out"
    assert (story["parked"]["was"], story["parked"]["acts"]) == ("voiding", ["resume", "cancel"])
    (owed,) = [call for call in story["calls"] if call["state"] in ("due", "calling", "unknown") and call["attempts"]]
    assert (owed["kind"], owed["error"], owed["attempts"] > 3, owed["next_at"] is not None) == (
        "payment.close",
        "unavailable",
        True,
        True,
    )


def test_the_text_of_an_error_stays_inside(saga: Saga, client: TestClient) -> None:
    """What the runner keeps of an exception may name tables and hosts: the merchant gets a code."""
    booking = to_wire("bkg", stuck(saga))
    saga.execute("UPDATE intent SET last_error = 'ProgrammingError(SELECT secret FROM host)' WHERE last_error <> ''")
    for answer in (client.get(f"/v1/bookings/{booking}/timeline", headers=bearer(mint_key(saga))),):
        assert (answer.status_code, "secret" in answer.text) == (200, False)
        assert "internal_error" in answer.text


def test_only_its_own_merchant_reads_it_and_only_with_the_scope(saga: Saga, client: TestClient) -> None:
    booking = to_wire("bkg", booked(saga))
    path = f"/v1/bookings/{booking}/timeline"
    stranger = merchants.create_merchant(saga.database, slug="heron", name="Heron", livemode=False).id
    theirs = client.get(path, headers=bearer(mint_key(saga, stranger)))
    unknown = client.get(f"/v1/bookings/bkg_{'0' * 32}/timeline", headers=bearer(mint_key(saga, stranger)))
    assert (theirs.status_code, theirs.json()["code"]) == (404, "booking_not_found")
    assert {k: v for k, v in theirs.json().items() if k not in ("request_id", "instance")} == {
        k: v for k, v in unknown.json().items() if k not in ("request_id", "instance")
    }
    assert client.get(path).status_code == 401
    assert client.get(path, headers=bearer(saga.tokens["ada"])).status_code in (401, 403)
    narrow = mint_key(saga, scopes=("trips:read",))
    assert client.get(path, headers=bearer(narrow)).status_code == 403
    for bad in ("bkg_x", f"trip_{'0' * 32}", f"bkg_{'g' * 32}"):
        assert client.get(f"/v1/bookings/{bad}/timeline", headers=bearer(mint_key(saga))).status_code == 404


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_tells_it_in_both_languages_and_escapes_what_people_type(saga: Saga, desk: TestClient) -> None:
    booking = to_wire("bkg", booked(saga))
    listed = desk.get("/dashboard/bookings").text
    assert f'href="/dashboard/bookings/{booking}"' in listed
    page = desk.get(f"/dashboard/bookings/{booking}").text
    assert HOSTILE not in page
    assert "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>" in page
    read = unescape(page)
    for sentence in ("Nothing: every call was answered.", "The order is confirmed", "Visa •••• 4242", "all_captured"):
        assert sentence in read, sentence
    assert 'name="act" value="resume"' not in page
    french = unescape(desk.get(f"/dashboard/bookings/{booking}?lang=fr").text)
    for sentence in ("Rien : chaque appel a reçu sa réponse.", "La commande est confirmée", "Réservé par les banques"):
        assert sentence in french, sentence


def test_nothing_asked_yet_is_told(saga: Saga, desk: TestClient) -> None:
    booking = to_wire("bkg", saga.open())
    page = unescape(desk.get(f"/dashboard/bookings/{booking}").text)
    assert "Nobody has been asked for money yet." in page
    assert "Ask your booking system to keep the places" in page
    assert "Waiting for its turn" in page


def test_a_parked_booking_is_resumed_from_its_page_once(saga: Saga, desk: TestClient) -> None:
    path = f"/dashboard/bookings/{to_wire('bkg', stuck(saga))}"
    page = unescape(desk.get(path).text)
    for sentence in (
        "This booking waits for a person",
        "An authorization or the places could not be released in time.",
        "It releases what is still kept; nobody is charged.",
    ):
        assert sentence in page, sentence
    foreign = desk.post(path, data={"act": "resume"}, headers={"Origin": "https://evil.example"})
    assert (foreign.status_code, saga.booking().state) == (403, BookingState.PARKED)
    assert desk.post(path, data={"act": "explode"}).status_code == 404
    saga.provider._plans.clear()
    silent = desk.post(path, data={"act": "resume", "why": " "})
    assert (silent.status_code, "Say why, in a few words." in silent.text) == (422, True)
    assert saga.booking().state is BookingState.PARKED
    for _ in range(2):
        pressed = desk.post(path, data={"act": "resume", "why": "the bank is back"}, follow_redirects=False)
        assert (pressed.status_code, pressed.headers["location"]) == (303, path)
    assert [step.why for step in saga.steps() if step.event == "resumed"] == ["the bank is back"]
    saga.run_until_quiet()
    assert (saga.booking().state, len(saga.provider.voids)) == (BookingState.ABORTED, 1)


def test_another_merchants_staff_neither_see_nor_resume_it(saga: Saga, client: TestClient) -> None:
    path = f"/dashboard/bookings/{to_wire('bkg', stuck(saga))}"
    stranger = merchants.create_merchant(saga.database, slug="heron", name="Heron", livemode=False).id
    staff_token(saga, stranger, email="eve@heron.example")
    client.post("/dashboard/login", data={"email": "eve@heron.example", "password": PASSWORD})
    assert client.get(path).status_code == 404
    assert client.post(path, data={"act": "resume", "why": "mine"}).status_code == 404
    assert saga.booking().state is BookingState.PARKED
    client.post("/dashboard/logout")
    assert client.get(path, follow_redirects=False).headers["location"] == "/dashboard/login"


# --- words ------------------------------------------------------------------------------------------------------------


def test_every_call_event_and_state_has_words(saga: Saga) -> None:
    say = words("fr")
    kinds: dict[str, IntentHandler] = dict(saga.house.runner._handlers)
    assert [kind for kind in kinds if call_words(kind, say) == kind] == []
    told = [name for name in LISTENERS if re.match(r"(booking|hold|order|offer|portion|payment|intent)\.", name)]
    assert [name for name in told if event_words(name, say) == name] == []
    for state in BookingState:
        assert booking_words(state, say)[0]
        assert resume_text(state, say)


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_axe_finds_nothing_on_a_story(saga: Saga, browser: Any, width: int, scheme: str) -> None:
    """A parked one: everything the page can show is there."""
    booking = to_wire("bkg", stuck(saga))
    token = staff_token(saga, email=EMAIL)
    with served(saga) as url:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.add_cookies([{"name": "gb_staff", "value": token, "url": url}])
        page = context.new_page()
        page.goto(f"{url}/dashboard/bookings/{booking}")
        found = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in Axe().run(page).response["violations"]]
        wide = page.evaluate("document.documentElement.scrollWidth")
        context.close()
    assert (found, wide) == ([], width)
