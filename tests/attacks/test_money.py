"""Attacks on money and the saga, through the real HTTP surface: the catalogue's, by number, and their neighbors.

Each says what the attacker tries, what they are told, and that nothing moved.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from groupbook import merchants, payments, trips
from groupbook.bookings.domain import BookingState
from groupbook.discounts import CodeDraft, create_code, put_catalogue
from groupbook.kit import clock
from groupbook.kit.ids import from_wire, to_wire
from groupbook.kit.money import Money
from groupbook.payments.ports import Seen
from groupbook.trips.domain import invites_max, members_max
from groupbook.web import openapi
from groupbook.web.app import OPERATIONS
from tests.attacks.conftest import Lab
from tests.support.saga import OFFER
from tests.support.site import mint_key

MakeLab = Callable[..., Lab]
_PAYMENT = {"amount": 1, "currency": "EUR"}
CLOSED = (Seen.CANCELED, Seen.EXPIRED)


# --- 1: one's own price -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"locale": "en", "amount": _PAYMENT},
        {"locale": "en", "amount": 1},
        {"locale": "en", "price": 0, "state": "captured", "payer": "mem_x"},
        {"locale": "en", "currency": "JPY"},
        {"locale": {"amount": 1}},
    ],
)
def test_1_a_price_in_the_body_of_a_payment_is_refused(lab: MakeLab, body: dict[str, Any]) -> None:
    one = lab("ada", "bo")
    one.open()
    before = one.money()
    assert one.refused(one.pay("bo", json=body)) == (422, "invalid_request")
    assert one.money() == before


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST", "DELETE"])
def test_1_a_portion_cannot_be_written(lab: MakeLab, method: str) -> None:
    one = lab("ada", "bo")
    one.open()
    before = one.money()
    for path in (f"/v1/portions/{one.portion('bo')}", f"/v1/portions/{one.portion('bo')}/amount"):
        assert one.ask("bo", method, path, json={"amount": _PAYMENT}).status_code in (404, 405)
    assert one.money() == before


def test_2_a_total_in_the_body_of_a_booking_is_nobodys(lab: MakeLab) -> None:
    """A total or a policy is no field of the body: it is refused, and no booking opens. Without them: the quote's."""
    one = lab("ada", "bo")
    path = f"/v1/trips/{to_wire('trip', one.saga.trip_id)}/bookings"
    for wrong in ({"total": _PAYMENT}, {"policy": {"shortfall": "receivable"}}):
        assert one.refused(one.ask("ada", "POST", path, json=wrong)) == (422, "invalid_request")
    answer = one.ask("ada", "POST", path)
    assert (answer.status_code, answer.json()["total"]) == (201, {"amount": 10_000, "currency": "EUR"})


def test_2_no_member_may_send_an_amount_anywhere(lab: MakeLab) -> None:
    """Generated from the document: what a member can write about bookings, portions and payments holds no money.

    But for what they give or agree to pay themselves, which is theirs to say; it never lowers the whole.
    """
    own = {"give": {"amount"}, "answer_split": {"amount"}}
    document = json.dumps(openapi.document(OPERATIONS, "http://localhost:8000"))
    schemas = json.loads(document)["components"]["schemas"]
    writable = [
        item
        for item in OPERATIONS
        if item.body is not None and item.auth == "member" and {"bookings", "payments"} & set(item.tags)
    ]
    assert writable
    for item in writable:
        assert item.body is not None
        names = set(schemas[item.body.__name__]["properties"])
        forbidden = {"amount", "price", "total", "currency", "state", "payer", "merchant_id"}
        assert not names & (forbidden - own.get(item.name, set())), item.name


# --- 3: another currency ----------------------------------------------------------------------------------------------


def test_3_a_currency_that_changes_between_quote_and_pay_changes_nothing(lab: MakeLab) -> None:
    """The merchant's offer turns into yen after the prices were frozen: everybody still pays what they were quoted.

    Decision 0019 says why this is no 409.
    """
    one = lab("ada", "bo")
    one.open()
    offer = one.ask("merchant", "GET", f"/v1/offers/{to_wire('off', one.saga.offer_id)}").json()
    wanted = ("title", "legs", "valid_until")
    swapped = {"ref": OFFER, "currency": "JPY", "fares": {"flex": {"amount": 50, "currency": "JPY"}}}
    pushed = one.ask("merchant", "POST", "/v1/offers", json={name: offer[name] for name in wanted} | swapped)
    assert pushed.status_code in (200, 201), pushed.text
    assert one.pay("bo").status_code == 201
    assert one.saga.count("SELECT count(*) FROM attempt WHERE currency = 'EUR' AND amount = 5000") == 1
    assert one.saga.booking().total == Money(10_000, "EUR")


def test_4_money_that_no_currency_has_is_refused(lab: MakeLab) -> None:
    one = lab("ada")
    offer = one.ask("merchant", "GET", f"/v1/offers/{to_wire('off', one.saga.offer_id)}").json()
    base = {name: offer[name] for name in ("title", "legs", "valid_until")} | {"ref": "x-1", "currency": "EUR"}
    for fare in (
        {"amount": -1, "currency": "EUR"},
        {"amount": 33.34, "currency": "EUR"},
        {"amount": "5000", "currency": "EUR"},
        {"amount": 10**19, "currency": "EUR"},
        {"amount": 5000, "currency": "eur"},
        {"amount": 5000, "currency": "USD"},
        {"amount": 5000},
    ):
        answer = one.ask("merchant", "POST", "/v1/offers", json=base | {"fares": {"flex": fare}})
        assert answer.status_code == 422, (fare, answer.text)
    assert one.saga.count("SELECT count(*) FROM offer") == 1


# --- 5, 7: keys -------------------------------------------------------------------------------------------------------


def test_5_a_key_is_not_used_for_another_body(lab: MakeLab) -> None:
    one = lab("ada", "bo")
    one.open()
    assert one.pay("bo", key="mine").status_code == 201
    before = one.money()
    assert one.refused(one.pay("bo", key="mine", json={"locale": "fr"})) == (422, "idempotency_key_reused")
    assert one.money() == before


def test_6_somebody_elses_key_is_their_own(lab: MakeLab) -> None:
    """The same key by another member is another request; nobody gets the answer that was somebody else's."""
    one = lab("ada", "bo")
    one.open()
    first, second = one.pay("ada", key="shared"), one.pay("bo", key="shared")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["url"] != second.json()["url"]
    assert "idempotent-replayed" not in second.headers


@pytest.mark.parametrize(
    "key",
    ["k" * 300, "", " ", "a b", "a\r\nX-Admin: 1", "\N{GRINNING FACE}".encode(), "clé".encode(), b"\x00", b"\xff\xfe"],
)
def test_7_a_key_that_is_none_is_refused(lab: MakeLab, key: str | bytes) -> None:
    one = lab("ada", "bo")
    one.open()
    before = one.money()
    refused = one.pay("bo", key=None, headers={"Idempotency-Key": key})
    status, code = one.refused(refused)
    assert (status, code in ("idempotency_key_missing", "idempotency_key_invalid")) == (400, True)
    assert one.money() == before


def test_8_twenty_at_once_with_one_key_are_one(lab: MakeLab) -> None:
    one = lab("ada", "bo")
    one.open()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: one.pay("bo", key="at-once"), range(20)))
    pages = {answer.json()["url"] for answer in answers if answer.status_code == 201}
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(pages) == 1
    assert one.saga.count("SELECT count(*) FROM attempt") == 1


# --- 9: too late ------------------------------------------------------------------------------------------------------


def test_9_paying_after_the_deadline_is_refused_and_what_lands_is_given_back(lab: MakeLab) -> None:
    """Bo's page was open before; his clock is set back; his bank says yes after the end."""
    one = lab("ada", "bo")
    booking_id = from_wire("bkg", one.open())
    assert one.pay("bo").status_code == 201
    late = one.saga._attempt("bo")
    one.saga.travel(minutes=29)
    one.saga.run_until_quiet()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    status, code = one.refused(one.pay("bo", headers={"Date": yesterday}))
    assert (status, code) == (409, "booking_closed")
    one.saga.provider.authorize(late)
    with one.saga.database.begin(one.saga.merchant_id) as session:
        payments.observe_all(session, booking_id)
    one.saga.run_until_quiet()
    assert one.saga.provider.truth(late) in CLOSED
    assert (one.saga.booking().state, one.saga.provider.captures) == (BookingState.ABORTED, [])


def test_10_paying_twice_is_paying_once(lab: MakeLab) -> None:
    """Another tab, another key: the same page; after the bank's yes there is nothing to pay."""
    one = lab("ada", "bo")
    one.open()
    pages = {one.pay("bo").json()["url"] for _ in range(3)}
    assert (len(pages), one.saga.count("SELECT count(*) FROM attempt")) == (1, 1)
    one.saga.provider.authorize(one.saga._attempt("bo"))
    one.saga.refresh("bo")
    before = one.money()
    assert one.refused(one.pay("bo")) == (409, "not_payable_now")
    assert one.money() == before


# --- 11: leave, then pay ----------------------------------------------------------------------------------------------


def test_11_who_left_cannot_pay_by_the_old_link(lab: MakeLab) -> None:
    """The portion is over and the provider's page is closed; what lands on it all the same is given back."""
    one = lab("ada", "bo", "cy")
    id = one.open()
    portion = one.portion("bo")
    assert one.pay("bo").status_code == 201
    old = one.saga._attempt("bo")
    assert one.ask("bo", "POST", f"/v1/bookings/{id}/leave").status_code == 200
    answer = one.ask("bo", "POST", f"/v1/portions/{portion}/payments", json={"locale": "en"})
    assert one.refused(answer) == (410, "portion_gone")
    one.saga.run_until_quiet()
    assert one.saga.provider.truth(old) in CLOSED
    for name in ("ada", "cy"):
        one.saga.pay(name)
    assert one.saga.booking().state is BookingState.BOOKED
    assert sorted(amount for _, amount in one.saga.provider.captures) == [5_000, 5_000]


def test_12_nobody_leaves_a_booking_that_is_decided(lab: MakeLab) -> None:
    one = lab("ada", "bo")
    id = one.booked()
    before = one.money()
    assert one.refused(one.ask("bo", "POST", f"/v1/bookings/{id}/leave")) == (409, "booking_closed")
    assert one.money() == before


# --- 13: codes --------------------------------------------------------------------------------------------------------


def _codes(one: Lab) -> None:
    """OWN10 once, OLD over, and STOLEN at another merchant."""
    data = Path(__file__).parent.parent / "data" / "discount-catalogue.json"
    rules = [rule for rule in json.loads(data.read_text("utf-8"))["rules"] if rule["id"] == "shop.own10"]
    other = merchants.create_merchant(one.saga.database, slug="heron", name="Heron", livemode=False).id
    for merchant_id, names in ((one.saga.merchant_id, ("OWN10", "OLD")), (other, ("STOLEN",))):
        with one.saga.database.begin(merchant_id) as session:
            now = clock.now(session)
            put_catalogue(session, {"rules": rules}, starts_on=now.date(), now=now)
            for name in names:
                over = now + timedelta(seconds=1) if name == "OLD" else None
                create_code(session, CodeDraft(name, "shop.own10", uses_max=1, ends_at=over), now=now)
    one.saga.travel(minutes=1)


def test_13_a_code_counts_once_whoever_and_however_often(lab: MakeLab) -> None:
    one = lab("ada", "bo")
    _codes(one)
    with ThreadPoolExecutor(4) as pool:
        bring = lambda who: one.ask(who, "POST", "/v1/entitlements/codes", json={"code": "own10"})  # noqa: E731
        answers = list(pool.map(bring, ["ada", "bo", "ada", "bo"]))
    assert {answer.status_code for answer in answers} <= {200, 201, 409, 422}
    total = one.ask("merchant", "GET", f"/v1/bookings/{one.open()}").json()["total"]
    assert total == {"amount": 9_500, "currency": "EUR"}  # a tenth off one of two fares, once


@pytest.mark.parametrize("code", ["OLD", "STOLEN", "own10'; --", "\N{FULLWIDTH LATIN CAPITAL LETTER O}WN10", "x" * 500])
def test_13_a_code_that_is_over_or_somebody_elses_is_refused(lab: MakeLab, code: str) -> None:
    one = lab("ada", "bo")
    _codes(one)
    answer = one.ask("ada", "POST", "/v1/entitlements/codes", json={"code": code})
    assert answer.status_code in (404, 409, 422), answer.text
    total = one.ask("merchant", "GET", f"/v1/bookings/{one.open()}").json()["total"]
    assert total == {"amount": 10_000, "currency": "EUR"}


# --- 15: changing what others agreed to -------------------------------------------------------------------------------


def test_15_the_organizer_cannot_shift_amounts_to_others(lab: MakeLab) -> None:
    """There is no way to write an amount; and paying for oneself less is only paying for oneself."""
    one = lab("ada", "bo")
    id = one.open()
    before = one.money()
    for method, path in (
        ("PATCH", f"/v1/bookings/{id}"),
        ("PUT", f"/v1/bookings/{id}/portions"),
        ("POST", f"/v1/bookings/{id}/portions"),
        ("PATCH", f"/v1/bookings/{id}/portions/{one.portion('bo')}"),
    ):
        body = {"portions": [{"id": one.portion("ada"), "amount": _PAYMENT}]}
        assert one.ask("ada", method, path, json=body).status_code in (404, 405), path
    surcharge = {"kind": "surcharge", "member": to_wire("mem", one.saga.members["bo"]), "amount": _PAYMENT}
    assert one.ask("ada", "POST", f"/v1/bookings/{id}/amendments", json=surcharge).status_code in (403, 409, 422)
    assert one.money() == before


def test_16_nobody_pays_or_takes_over_what_they_were_not_asked_to(lab: MakeLab) -> None:
    one = lab("ada", "bo", "cy")
    one.open()
    before = one.money()
    assert one.refused(one.pay("cy", "bo")) == (404, "portion_not_found")
    taken = one.ask("cy", "POST", f"/v1/portions/{one.portion('bo')}/take_over")
    assert one.refused(taken) == (404, "portion_not_found")
    for who in ("nobody", "merchant"):
        assert one.pay(who, "bo").status_code in (401, 403)
    assert one.money() == before


# --- 17: around and around --------------------------------------------------------------------------------------------


def test_17_a_booking_that_was_taken_back_is_not_booked_again(lab: MakeLab) -> None:
    """Book, cancel for a full refund, book again: the trip is over, so the loop ends after one turn."""
    one = lab("ada", "bo")
    id = one.booked()
    assert one.ask("ada", "POST", f"/v1/bookings/{id}/cancel").status_code == 200
    one.saga.run_until_quiet()
    assert one.saga.booking().state is BookingState.REFUNDED
    before = one.money()
    again = one.ask("ada", "POST", f"/v1/trips/{to_wire('trip', one.saga.trip_id)}/bookings")
    assert one.refused(again) == (409, "trip_state_forbids")
    assert one.money() == before


def test_18_only_the_organizer_cancels_and_twice_is_once(lab: MakeLab) -> None:
    one = lab("ada", "bo")
    id = one.booked()
    before = one.money()
    assert one.refused(one.ask("bo", "POST", f"/v1/bookings/{id}/cancel")) == (403, "not_organizer")
    assert one.ask("nobody", "POST", f"/v1/bookings/{id}/cancel").status_code == 401
    assert one.money() == before
    for _ in range(3):
        one.ask("ada", "POST", f"/v1/bookings/{id}/cancel")
    one.saga.run_until_quiet()
    assert sorted(amount for _, amount in one.saga.provider.refunds) == [5_000, 5_000]


# --- 19: money back to somebody else ----------------------------------------------------------------------------------


def test_19_a_refund_goes_to_the_card_that_paid(lab: MakeLab) -> None:
    """Ada paid for Bo; Bo asks for a refund to his own account. No operation takes a destination, and Ada gets it."""
    one = lab("ada", "bo")
    id = one.open()
    assert one.ask("ada", "POST", f"/v1/portions/{one.portion('bo')}/take_over").status_code == 204
    one.saga.pay("ada")
    one.saga.pay("bo", payer="ada")
    assert one.saga.booking().state is BookingState.BOOKED
    paid = {attempt for attempt, _ in one.saga.provider.captures}
    body = {"destination": "FR7630006000011234567890189", "card": "4000056655665556"}
    for path in (f"/v1/portions/{one.portion('bo')}/refunds", f"/v1/bookings/{id}/refunds"):
        assert one.ask("bo", "POST", path, json=body).status_code in (404, 405)
    one.ask("ada", "POST", f"/v1/bookings/{id}/cancel", json=body)
    one.saga.run_until_quiet()
    assert {attempt for attempt, _ in one.saga.provider.refunds} == paid
    document = json.dumps(openapi.document(OPERATIONS, "http://localhost:8000"))
    assert all(word not in document for word in ("iban", "destination_account", "card_number"))


def test_20_coming_back_from_the_page_without_paying_pays_nothing(lab: MakeLab) -> None:
    """The return address says `outcome=done`; only the provider says what was done."""
    one = lab("ada", "bo")
    id = one.open()
    assert one.pay("bo").status_code == 201
    back = f"/pay/return?portion={one.portion('bo')}&booking={id}&outcome=done"
    for who in ("bo", "nobody"):
        assert one.ask(who, "GET", back, follow_redirects=False).status_code < 500
    one.saga.run_until_quiet()
    assert one.saga.states() == {"ada": "open", "bo": "authorizing"}


# --- 21: an old price -------------------------------------------------------------------------------------------------


def test_21_a_quote_is_not_replayed_after_its_time(lab: MakeLab) -> None:
    """The offer's time is over: the price that everybody saw is not asked for any more."""
    one = lab("ada", "bo")
    one.saga.travel(days=10)
    refused = one.ask("ada", "POST", f"/v1/trips/{to_wire('trip', one.saga.trip_id)}/bookings")
    assert one.refused(refused) == (409, "offer_not_bookable")
    assert one.saga.count("SELECT count(*) FROM booking") == 0


def test_22_a_booking_of_another_trip_or_merchant_does_not_exist(lab: MakeLab) -> None:
    one = lab("ada", "bo")
    id = one.booked()
    stranger = merchants.create_merchant(one.saga.database, slug="heron", name="Heron", livemode=False).id
    theirs = {"Authorization": f"Bearer {mint_key(one.saga, stranger)}"}
    before = one.money()
    for method, path in (
        ("GET", f"/v1/bookings/{id}"),
        ("GET", f"/v1/bookings/{id}/timeline"),
        ("GET", f"/v1/bookings/{id}/statement"),
        ("GET", f"/v1/bookings/{id}/tickets"),
        ("POST", f"/v1/bookings/{id}/cancel"),
    ):
        answer = one.ask("nobody", method, path, headers=theirs)
        assert one.refused(answer) in ((404, "booking_not_found"), (404, "statement_not_found")), path
    assert one.money() == before


# --- 23, 25: taking everything ----------------------------------------------------------------------------------------


def test_23_places_are_not_blocked_by_groups_that_never_pay(lab: MakeLab) -> None:
    """Open, give it up, open again: five times, then no more until that is an hour ago.

    The cap is three unpaid holds at once; one that came to nothing weighs half, and half as much again every hour.
    """
    one = lab("ada", "bo")
    path = f"/v1/trips/{to_wire('trip', one.saga.trip_id)}/bookings"
    for _ in range(5):
        id = one.open()
        assert one.ask("ada", "POST", f"/v1/bookings/{id}/cancel").status_code == 200
        one.saga.run_until_quiet()
    assert one.refused(one.ask("ada", "POST", path)) == (409, "too_many_holds")
    assert (one.saga.count("SELECT count(*) FROM hold"), one.saga.merchant_twin.live_holds()) == (5, [])
    one.saga.travel(hours=2)
    assert one.ask("ada", "POST", path).status_code == 201


def test_25_there_is_an_end_to_invitations_and_seats(lab: MakeLab) -> None:
    one = lab("ada", "bo")
    one.saga.execute("UPDATE trip SET state = 'open'")
    path = f"/v1/trips/{to_wire('trip', one.saga.trip_id)}/invites"
    answers = [one.ask("ada", "POST", path, json={"for_name": f"friend {n}"}) for n in range(invites_max + 3)]
    codes = [answer.status_code for answer in answers]
    assert one.refused(answers[-1]) == (409, "too_many_invites")
    assert codes.count(201) <= invites_max
    join = f"/v1/invites/{one.saga.invite_token}/join"
    joined = [one.ask("nobody", "POST", join, json={"name": f"friend {n}"}) for n in range(members_max)]
    assert one.refused(joined[-1]) == (409, "trip_full")
    assert one.saga.count("SELECT count(*) FROM member WHERE left_at IS NULL") == members_max


def test_24_tries_to_pay_are_counted(lab: MakeLab) -> None:
    """Card testing with one portion: five tries a day, then a friend must pay."""
    one = lab("ada", "bo")
    one.open()
    for _ in range(8):
        answer = one.pay("bo")
        if answer.status_code != 201:
            break
        attempt_id = one.saga._attempt("bo")
        one.saga.provider.decline(attempt_id)
        one.saga.refresh("bo")
        one.saga.execute("UPDATE attempt SET state = 'canceled', is_current = false")
    assert one.refused(answer) == (429, "too_many_attempts")
    assert one.saga.count("SELECT count(*) FROM attempt") == 5


# --- 27: text that is none --------------------------------------------------------------------------------------------

_DEEP = "[" * 1000 + "]" * 1000


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"locale": "en", "locale": "fr"}', id="a name twice"),
        pytest.param(b'{"locale": "en", "\\u006cocale": "fr"}', id="a name twice, escaped"),
        pytest.param(b'{"locale": ' + _DEEP.encode() + b"}", id="a thousand deep"),
        pytest.param(b'{"locale": ' + b"[" * 100_000, id="deep and open"),
        pytest.param(b'{"locale": "' + b"x" * (10 << 20) + b'"}', id="ten megabytes"),
        pytest.param(b'{"locale": "\\u0000"}', id="NUL"),
        pytest.param(b'{"locale": "\\ud800"}', id="half a surrogate pair"),
        pytest.param(b'{"locale": "\xff\xfe"}', id="no UTF-8"),
        pytest.param(b'{"locale": NaN}', id="NaN"),
        pytest.param(b'{"locale": 1e999}', id="infinite"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param(b"null", id="null"),
        pytest.param(b'[{"locale": "en"}]', id="a list"),
        pytest.param(b"locale=en", id="a form"),
    ],
)
def test_27_a_body_that_is_none_is_refused(lab: MakeLab, raw: bytes) -> None:
    one = lab("ada", "bo")
    one.open()
    before = one.money()
    answer = one.pay("bo", json=None, content=raw, headers={"Content-Type": "application/json"})
    assert one.refused(answer)[0] in (400, 413, 422)
    assert one.money() == before


@pytest.mark.parametrize(
    "name",
    [
        "\u202eevil\u202c",
        "A\u200dd\u200ba",
        "\u0410da",  # a Cyrillic A
        "\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}",
        "\u0301" * 60,
        "Ada\r\nBcc: x",
        "<svg onload=alert(1)>",
        "x" * 5_000,
        " ",
        "\ufeff",
    ],
)
def test_27_a_strange_name_is_refused_or_harmless(lab: MakeLab, name: str) -> None:
    """Whoever is let in is shown as text that turns no sentence around and is no markup."""
    one = lab("ada", "bo")
    one.saga.execute("UPDATE trip SET state = 'open'")
    answer = one.ask("nobody", "POST", f"/v1/invites/{one.saga.invite_token}/join", json={"name": name})
    assert answer.status_code in (200, 201, 422), answer.text
    if answer.status_code != 422:
        with one.saga.database.begin(one.saga.merchant_id) as session:
            stored = trips.members(session, one.saga.trip_id)[-1].name
        assert not set(stored) & set("\u202e\u202d\u202a\u202b\r\n\x00"), ascii(stored)
        assert len(stored) <= 80


def test_26_digits_of_other_scripts_are_no_ids_and_no_amounts(lab: MakeLab) -> None:
    one = lab("ada", "bo")
    id = one.booked()
    arabic = id.translate({ord("0") + n: chr(0x0660 + n) for n in range(10)})
    assert one.ask("merchant", "GET", f"/v1/bookings/{arabic}").status_code == 404
    assert one.ask("merchant", "GET", f"/v1/bookings/{id.upper()}").status_code == 404
    assert one.ask("merchant", "GET", "/v1/bookings?limit=\N{ARABIC-INDIC DIGIT FIVE}").status_code == 422


def test_28_only_a_test_merchant_moves_its_clock(lab: MakeLab) -> None:
    """A clock set back is a deadline that never comes: a live merchant has none to set."""
    one = lab("ada")
    live = merchants.create_merchant(one.saga.database, slug="kestrel", name="Kestrel", livemode=True).id
    headers = {"Authorization": f"Bearer {mint_key(one.saga, live)}"}
    answer = one.ask("nobody", "POST", "/v1/test_clock", json={"offset_seconds": -86_400}, headers=headers)
    assert answer.status_code in (403, 404, 405, 409)
    assert one.ask("ada", "POST", "/v1/test_clock", json={"offset_seconds": -86_400}).status_code in (401, 403, 405)
