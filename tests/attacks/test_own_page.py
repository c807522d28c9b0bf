"""A payment page of ours: who gets its secret, what it lets in, and what is left when it has ended.

The page's address is the right to pay one attempt, as the hosted page's is. Whoever has none gets nothing of it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from groupbook import bookings
from groupbook.bookings.domain import BookingState
from groupbook.kit.ids import to_wire
from groupbook.merchants.domain import Capabilities
from groupbook.payments.domain import PortionState
from groupbook.web.app import build_app
from integrations.demo.payments.books import public
from integrations.demo.payments.webhooks import sign
from tests.attacks.test_card_data import dump, log
from tests.support.own_page import OnPage, on_page, own_page_saga, seat_cookie, trip_path
from tests.support.payments import WEBHOOK_SECRET, RunningSandbox, running, signed_now
from tests.support.saga import Saga

__all__ = ["log"]  # a fixture

ORIGIN = "http://localhost:8000"
GOOD, ASKED, POOR = "4242424242424242", "4000002500003155", "4000000000009995"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with running(tmp_path_factory.mktemp("sandbox"), refund_delay_seconds=0.1) as server:
        yield server


@pytest.fixture
def saga(database_url: str, sandbox: RunningSandbox) -> Iterator[Saga]:
    saga = own_page_saga(database_url, sandbox, "ada", "bo", public_url=ORIGIN)
    saga.open()
    saga.run_until_quiet()
    yield saga
    saga.close()


def browser(saga: Saga, name: str = "") -> TestClient:
    client = TestClient(build_app(saga.house), base_url=ORIGIN, headers={"Origin": ORIGIN, "Accept-Language": "en"})
    if name:
        client.cookies.set(*seat_cookie(saga, name))
    return client


def address(saga: Saga, client: TestClient, name: str) -> str:
    """Press the button on the trip; where it leads."""
    portion = saga.portion(name).portion_id
    assert portion is not None
    form = {"portion": to_wire("por", portion)}
    answer = client.post(f"{trip_path(saga)}/pay", data=form, follow_redirects=False)
    assert answer.status_code == 303
    return str(answer.headers["location"]).removeprefix(ORIGIN)


def opened(saga: Saga, name: str = "ada") -> tuple[TestClient, str, OnPage]:
    client = browser(saga, name)
    path = address(saga, client, name)
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return client, path, on_page(answer.text)


def intent_of(sandbox: RunningSandbox, page: OnPage) -> dict[str, object]:
    intent: dict[str, object] = sandbox.api("GET", f"/v1/payment_intents/{page.secret.partition('_secret_')[0]}").json()
    return intent


def test_only_this_page_lets_the_provider_in(saga: Saga, sandbox: RunningSandbox) -> None:
    """Its script and its frames, by their origin, framed by nobody and kept by no cache; no other page does."""
    client = browser(saga, "ada")
    path = address(saga, client, "ada")
    page = client.get(path)
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert (policy["script-src"], policy["frame-src"], policy["connect-src"]) == (
        f"'self' {sandbox.url}",
        sandbox.url,
        f"'self' {sandbox.url}",
    )
    assert (policy["default-src"], policy["frame-ancestors"]) == ("'none'", "'none'")
    assert (page.headers["x-frame-options"], page.headers["cache-control"]) == ("DENY", "no-store")
    assert re.findall(r"<(?:input|select|textarea)\b", page.text) == []
    for other in (trip_path(saga), "/", "/start?merchant=kestrel", f"{path}x"):
        policy_there = client.get(other).headers["content-security-policy"]
        assert "script-src 'self';" in policy_there, other
        assert "frame-src" not in policy_there, other


def test_nobody_without_the_address_gets_the_secret(saga: Saga, sandbox: RunningSandbox) -> None:
    """Not the others in the trip, not by a guess, not by somebody else's part; and the address of one is no other's."""
    _, path, page = opened(saga, "ada")
    bo = browser(saga, "bo")
    assert page.secret not in bo.get(trip_path(saga)).text
    assert path not in bo.get(trip_path(saga)).text
    portion = saga.portion("ada").portion_id
    assert portion is not None
    refused = bo.post(f"{trip_path(saga)}/pay", data={"portion": to_wire("por", portion)}, follow_redirects=False)
    assert refused.status_code == 404
    _, bos_path, bos = opened(saga, "bo")
    assert (bos_path != path, bos.secret != page.secret) == (True, True)
    stranger = browser(saga)
    for guess in ("x", path.removeprefix("/pay/")[:-1], path.removeprefix("/pay/")[:-4] + "AAAA", "%00", "a" * 400):
        answer = stranger.get(f"/pay/{guess}", follow_redirects=False)
        assert (guess, answer.status_code) == (guess, 404)
        assert "_secret_" not in answer.text


def test_the_secret_is_written_nowhere(saga: Saga, sandbox: RunningSandbox, log: io.StringIO) -> None:
    """Declined, asked, confirmed, told by signed messages that carry it, back with it in the address."""
    client, _, page = opened(saga)
    page.pay(sandbox, POOR)
    page.pay(sandbox, ASKED, answer="confirm")
    back = client.get(page.returned.removeprefix(ORIGIN), follow_redirects=False)
    assert (back.status_code, "secret" in back.headers["location"]) == (303, False)
    told = [row for row in sandbox.sandbox.store.all_of("event") if page.secret in json.dumps(public(row))]
    assert len(told) >= 3
    for event in told:
        body = json.dumps(public(event)).encode()
        signature = sign(body, WEBHOOK_SECRET, signed_now())
        kept = client.post("/in/stripe/kestrel", content=body, headers={"stripe-signature": signature})
        assert kept.status_code == 200
    saga.run_until_quiet()
    assert saga.portion("ada").state is PortionState.AUTHORIZED
    rows = dump(saga)
    lines = "\n".join(
        line for line in log.getvalue().splitlines() if f"HTTP Request: GET {ORIGIN}" not in line
    )  # theirs
    assert len(lines) > 1000
    assert page.secret.partition("_secret_")[0] in rows
    for place, said in {"rows": rows, "log": lines}.items():
        assert "_secret_" not in said, place


def test_what_the_bank_said_is_read_and_not_believed(saga: Saga, sandbox: RunningSandbox) -> None:
    """An address that claims a yes changes nothing; a refusal leaves the page open; two tabs are one payment."""
    client, path, page = opened(saga)
    assert client.get(page.returned.removeprefix(ORIGIN)).status_code == 200
    assert saga.portion("ada").state is PortionState.AUTHORIZING
    assert page.pay(sandbox, POOR)["error"]["decline_code"] == "insufficient_funds"
    saga.refresh("ada")
    assert saga.portion("ada").state is PortionState.DECLINED
    again = client.get(path)
    assert "Your bank said no." in again.text
    other_tab = on_page(again.text)
    assert other_tab.secret == page.secret
    assert other_tab.pay(sandbox, GOOD)["intent"]["status"] == "requires_capture"
    assert page.pay(sandbox, GOOD)["error"]["code"] == "payment_intent_unexpected_state"
    there = client.get(path, follow_redirects=False)
    assert (there.status_code, there.headers["location"]) == (303, page.back)
    assert client.get(page.back.removeprefix(ORIGIN), follow_redirects=False).headers["location"] == trip_path(saga)
    assert saga.portion("ada").state is PortionState.AUTHORIZED
    id = intent_of(sandbox, page)["id"]
    charges = [one["status"] for one in sandbox.sandbox.store.all_of("charge") if one["payment_intent"] == id]
    assert sorted(charges) == ["failed", "succeeded"]


def test_what_is_confirmed_after_the_end_takes_nothing(saga: Saga, sandbox: RunningSandbox) -> None:
    """The booking is called off: the intent is given back, the page has closed, and a late card moves nothing."""
    client, path, page = opened(saga)
    bookings.cancel_booking(saga.database, saga.friends["ada"], saga.id)
    saga.run_until_quiet()
    assert (intent_of(sandbox, page)["status"], saga.booking().state) == ("canceled", BookingState.ABORTED)
    answer = client.get(path)
    assert (answer.status_code, "This payment page has closed" in answer.text) == (410, True)
    assert page.pay(sandbox, GOOD)["error"]["code"] == "payment_intent_unexpected_state"
    assert client.post(path, follow_redirects=False).status_code == 410
    assert intent_of(sandbox, page)["latest_charge"] is None


def test_a_yes_that_the_closing_did_not_stop_is_released(saga: Saga, sandbox: RunningSandbox) -> None:
    """Ada's bank says yes in the moment in which the booking ends: nothing of it stays."""
    _, _, page = opened(saga)
    bookings.cancel_booking(saga.database, saga.friends["ada"], saga.id)
    assert page.pay(sandbox, GOOD)["intent"]["status"] == "requires_capture"
    saga.run_until_quiet()
    intent = intent_of(sandbox, page)
    assert (intent["status"], intent["amount_received"]) == ("canceled", 0)
    assert saga.booking().state is BookingState.ABORTED


def test_the_providers_page_can_be_had_instead(saga: Saga, sandbox: RunningSandbox) -> None:
    """Our page is given back for it; only our own page may ask; going to pay again leads to the page there is."""
    client, path, page = opened(saga)
    foreign = client.post(path, headers={"Origin": "https://evil.example"}, follow_redirects=False)
    assert (foreign.status_code, intent_of(sandbox, page)["status"]) == (403, "requires_payment_method")
    answer = client.post(path, follow_redirects=False)
    hosted = str(answer.headers["location"])
    assert (answer.status_code, hosted.startswith(f"{sandbox.url}/c/pay/cs_test_")) == (303, True)
    saga.run_until_quiet()
    assert intent_of(sandbox, page)["status"] == "canceled"
    assert client.get(path).status_code == 410
    assert address(saga, client, "ada") == hosted
    sandbox.type_card(hosted, GOOD)
    saga.refresh("ada")
    assert saga.portion("ada").state is PortionState.AUTHORIZED


def test_a_provider_that_is_away_shows_no_page_and_loses_nothing(saga: Saga, sandbox: RunningSandbox) -> None:
    client, path, page = opened(saga)
    sandbox.fault("rate_limit", "payment_intents.retrieve")
    assert client.get(path).status_code == 503
    assert on_page(client.get(path).text).secret == page.secret


def test_a_card_can_be_kept_on_our_page_and_an_old_page_is_closed_by_us(
    database_url: str, sandbox: RunningSandbox
) -> None:
    """Days to pay: the page only keeps cards. Bo's stays open for a day, then it is given back, and he may pay anew."""
    saga = own_page_saga(database_url, sandbox, "ada", "bo", public_url=ORIGIN, collection_window_seconds=7 * 86_400.0)
    saga.offer_capabilities(Capabilities(holds=False))
    saga.open()
    saga.run_until_quiet()
    _, _, page = opened(saga, "ada")
    client, path, bos = opened(saga, "bo")
    assert (page.kind, bos.kind) == ("save", "save")
    assert "it is only kept" in client.get(path).text
    assert page.pay(sandbox, GOOD)["intent"]["status"] == "succeeded"
    saga.refresh("ada")
    assert saga.portion("ada").state is PortionState.SAVED
    waiting, over = ("requires_payment_method", PortionState.AUTHORIZING), ("canceled", PortionState.OPEN)
    for hours, (status, state) in ((23, waiting), (2, over)):
        let_pass(sandbox, bos, hours * 3600)
        saga.travel(minutes=5)
        saga.run_until_quiet()
        setup = sandbox.api("GET", f"/v1/setup_intents/{bos.secret.partition('_secret_')[0]}").json()
        assert (setup["status"], saga.portion("bo").state) == (status, state)
    assert client.get(path).status_code == 410
    assert saga.portion("ada").state is PortionState.SAVED
    saga.close()


def let_pass(sandbox: RunningSandbox, page: OnPage, seconds: int) -> None:
    """The intent was made so much earlier: a bank's clock does not travel with a test merchant's."""
    store = sandbox.sandbox.store
    with store.transaction():
        made = store.find(page.secret.partition("_secret_")[0])
        assert made is not None
        store.put(made | {"created": made["created"] - seconds})
