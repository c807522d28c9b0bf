"""A merchant connects its account on the dashboard, against the sandbox: pasted, checked one by one, tried, in use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from sqlalchemy import text
from starlette.testclient import TestClient

from groupbook import merchants, payments
from groupbook.kit.ids import to_wire
from groupbook.payments import SetupState
from groupbook.web.app import build_app
from integrations.demo.payments.books import public
from integrations.demo.payments.webhooks import sign
from integrations.payments.stripe.onboarding import EVENTS, PERMISSIONS
from tests.support.payments import API_KEY, RunningSandbox, running, signed_now
from tests.support.saga import Saga
from tests.support.site import free_port, served, staff_token, text_of

ORIGIN = "http://localhost:8000"
PAGE = "/dashboard/payments"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    with running(tmp_path, refund_delay_seconds=0.1) as server:
        yield server


@pytest.fixture
def saga(database_url: str, sandbox: RunningSandbox) -> Iterator[Saga]:
    saga = Saga(database_url, "ada", "bo", public_url=ORIGIN, stripe_api_base=sandbox.url)
    yield saga
    saga.close()


@pytest.fixture
def staff(saga: Saga) -> Iterator[TestClient]:
    token = staff_token(saga)
    with TestClient(build_app(saga.house), base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        client.cookies.set("gb_staff", token)
        yield client


def levels(*, without: str = "", **more: str) -> dict[str, str]:
    return {one.code: one.level for one in PERMISSIONS if one.code != without} | more


def restricted_key(sandbox: RunningSandbox, given: dict[str, str]) -> str:
    with httpx2.Client(base_url=sandbox.url, trust_env=False) as web:
        return str(web.post("/_keys", json=given).json()["key"])


def connect(saga: Saga, staff: TestClient, key: str) -> str:
    """Paste the key, let the worker work; what the page says then."""
    answer = staff.post(PAGE, data={"act": "connect", "key": key}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    saga.run_until_quiet()
    return text_of(staff.get(PAGE).text)


def configuration(saga: Saga) -> dict[str, Any]:
    with saga.database.begin(saga.merchant_id) as session:
        return dict(merchants.read_connection(session, saga.house.sealer, "payment_provider").configuration)


def state(saga: Saga) -> SetupState | None:
    with saga.database.begin(saga.merchant_id) as session:
        setup = payments.last_setup(session)
    return setup.state if setup else None


def deliver(staff: TestClient, saga: Saga, event: dict[str, Any]) -> int:
    """The sandbox's event, signed with the secret that was made for us."""
    body = json.dumps(public(event)).encode()
    signature = sign(body, configuration(saga)["webhook_secret"], signed_now())
    path = f"/in/stripe/{to_wire('mch', saga.merchant_id)}"
    return staff.post(path, content=body, headers={"Stripe-Signature": signature}).status_code


def test_a_restricted_key_is_checked_tried_and_in_use(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    key = restricted_key(sandbox, levels(accounts_kyc_basic="read"))
    page = connect(saga, staff, f"  {key}\n")
    assert state(saga) is SetupState.CONNECTED
    assert "Your account answers Good Sandbox shop · acct_sandbox" in page
    assert "All 10 permissions are there." in page
    assert "€1.00, which the bank would have kept until" in page
    # What the account saw: one endpoint of ours with our events, one amount reserved and let go.
    (endpoint,) = sandbox.api("GET", "/v1/webhook_endpoints").json()["data"]
    assert endpoint["url"] == f"{ORIGIN}/in/stripe/{to_wire('mch', saga.merchant_id)}"
    assert endpoint["enabled_events"] == list(EVENTS)
    (intent,) = sandbox.api("GET", "/v1/payment_intents").json()["data"]
    assert (intent["amount"], intent["status"], intent["amount_received"]) == (100, "canceled", 0)
    kept = configuration(saga)
    assert kept["secret_key"] == key
    assert kept["webhook_secret"].startswith("whsec_")
    assert kept["account_ref"] == "acct_sandbox"


def test_the_connected_account_takes_payments_and_hears_of_them(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    """The restricted key is enough for the whole way: page, reading, capture."""
    connect(saga, staff, restricted_key(sandbox, levels()))
    saga.open()
    saga.run_until_quiet()
    for name in ("ada", "bo"):
        saga.page(name)
        pages = sandbox.api("GET", "/v1/checkout/sessions").json()["data"]
        (page,) = [one for one in pages if one["status"] == "open"]
        sandbox.type_card(page["url"], "4242424242424242")
        told = sandbox.sandbox.store.all_of("event")
        assert deliver(staff, saga, next(one for one in told if one["type"] == "checkout.session.completed")) == 200
        saga.run_until_quiet()
    assert set(saga.states().values()) == {"captured"}
    taken = sandbox.api("GET", "/v1/payment_intents").json()["data"]
    assert [one["amount_received"] for one in taken] == [5000, 5000, 0]


@pytest.mark.parametrize("lacking", [one.code for one in PERMISSIONS])
def test_each_missing_permission_is_named_with_where_to_tick_it(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient, lacking: str
) -> None:
    before = configuration(saga)
    page = connect(saga, staff, restricted_key(sandbox, levels(without=lacking)))
    permission = next(one for one in PERMISSIONS if one.code == lacking)
    assert state(saga) is SetupState.FAILED
    assert "This key lacks 1 permission." in page
    level = {"read": "Read", "write": "Write"}[permission.level]
    assert f"{permission.section} › {permission.row} : {level} (" in page
    assert f"rak_{permission.code}_{permission.level}" in page
    # Nothing else was done, and the account in use is the old one.
    assert configuration(saga) == before
    assert sandbox.api("GET", "/v1/webhook_endpoints").json()["data"] == []
    assert sandbox.api("GET", "/v1/payment_intents").json()["data"] == []


def test_reading_is_not_writing_and_ticking_it_then_checking_again_is_enough(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    key = restricted_key(sandbox, levels(checkout_session="read", charge="none"))
    page = connect(saga, staff, key)
    assert "This key lacks 2 permissions." in page
    row = sandbox.sandbox.store.all_of("api_key")[0]
    sandbox.sandbox.store.put(row | {"levels": levels()})
    setup = re.search(r'name="setup" value="(stp_[0-9a-f]+)"', staff.get(PAGE).text)
    assert setup is not None
    staff.post(PAGE, data={"act": "again", "setup": setup[1]})
    saga.run_until_quiet()
    assert state(saga) is SetupState.CONNECTED
    answer = staff.post(PAGE, data={"act": "again", "setup": setup[1]})
    assert "Paste it once more" in text_of(answer.text)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("pk_test_51abcdefgh", "This is the publishable key"),
        ("sk_live_51abcdefgh", "This key is of the other mode"),
        ("rk_live_51abcdefgh", "This key is of the other mode"),
        ("whsec_51abcdefgh", "A key begins with"),
        ("", "A key begins with"),
        ("sk_test_51 abc def", "A key begins with"),
        ("sk_test_" + "a" * 400, "A key begins with"),
    ],
)
def test_what_is_no_key_is_refused_at_once_and_not_kept(saga: Saga, staff: TestClient, key: str, said: str) -> None:
    answer = staff.post(PAGE, data={"act": "connect", "key": key})
    assert answer.status_code == 422
    assert said in text_of(answer.text)
    assert not key or key not in answer.text
    assert saga.count("SELECT count(*) FROM payment_setup") == 0


def test_a_key_of_nobody_is_refused_and_lost_answers_are_asked_for_again(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    page = connect(saga, staff, "rk_test_of_somebody_else_entirely")
    assert "Stripe does not accept this key." in page
    assert state(saga) is SetupState.FAILED
    # The lost answer of a created endpoint comes again for the same key: one endpoint, and its secret is known.
    sandbox.fault("lost_answer", "webhook_endpoints.create")
    sandbox.fault("lost_answer", "payment_intents.create")
    sandbox.fault("rate_limit", "checkout.sessions.expire")
    connect(saga, staff, API_KEY)
    assert state(saga) is SetupState.CONNECTED
    assert len(sandbox.api("GET", "/v1/webhook_endpoints").json()["data"]) == 1
    assert [one["status"] for one in sandbox.api("GET", "/v1/payment_intents").json()["data"]] == ["canceled"]


def test_while_the_provider_is_away_the_page_says_so(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    sandbox.fault("rate_limit", "account.retrieve", times=10)
    staff.post(PAGE, data={"act": "connect", "key": API_KEY})
    for call in saga.house.runner.due(saga.merchant_id):
        saga.house.runner.run(saga.merchant_id, call)
    assert state(saga) is SetupState.RUNNING
    page = staff.get(PAGE).text
    assert "Stripe does not answer right now." in page
    assert 'data-again="2"' in page
    sandbox.sandbox.store.clear_faults()
    saga.run_until_quiet()
    assert state(saga) is SetupState.CONNECTED


def test_a_new_signing_secret_overlaps_with_the_old_one(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    connect(saga, staff, API_KEY)
    old = configuration(saga)
    assert "webhook_secret_previous" not in old
    staff.post(PAGE, data={"act": "new_secret"})
    saga.run_until_quiet()
    new = configuration(saga)
    assert new["webhook_secret"] != old["webhook_secret"]
    assert new["webhook_secret_previous"] == old["webhook_secret"]
    (endpoint,) = sandbox.api("GET", "/v1/webhook_endpoints").json()["data"]
    assert endpoint["id"] == new["endpoint_ref"] != old["endpoint_ref"]
    assert "The old signing secret counts until" in text_of(staff.get(PAGE).text)
    assert new["secret_key"] == API_KEY


def test_an_address_that_takes_no_messages_hinders_nothing(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    for _ in range(16):  # https://docs.stripe.com/webhooks: sixteen endpoints are the most
        sandbox.api("POST", "/v1/webhook_endpoints", {"url": "http://127.0.0.1:9/in", "enabled_events[0]": "*"})
    page = connect(saga, staff, API_KEY)
    assert state(saga) is SetupState.CONNECTED
    assert "None: we look every two minutes" in page


def test_another_account_is_not_connected_while_payments_are_under_way(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    connect(saga, staff, API_KEY)
    saga.open()
    saga.run_until_quiet()
    saga.page("ada")
    kept = configuration(saga) | {"account_ref": "acct_other"}
    with saga.database.begin(saga.merchant_id) as session:
        merchants.connect(session, saga.house.sealer, kind="payment_provider", adapter="stripe", configuration=kept)
    page = connect(saga, staff, API_KEY)
    assert state(saga) is SetupState.FAILED
    assert "payments are under way there" in page
    assert configuration(saga) == kept


def store(saga: Saga, kept: dict[str, Any]) -> None:
    with saga.database.begin(saga.merchant_id) as session:
        merchants.connect(session, saga.house.sealer, kind="payment_provider", adapter="stripe", configuration=kept)


def test_what_begins_while_another_account_is_looked_at_stays_where_it_is(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    connect(saga, staff, API_KEY)
    saga.open()
    saga.run_until_quiet()
    kept = configuration(saga) | {"account_ref": "acct_other"}
    store(saga, kept)
    staff.post(PAGE, data={"act": "connect", "key": API_KEY})
    (look,) = saga.house.runner.due(saga.merchant_id)
    saga.house.runner.run(saga.merchant_id, look)  # nothing was under way: the account may be another
    saga.page("ada")
    saga.run_until_quiet()
    assert state(saga) is SetupState.FAILED
    assert "payments are under way there" in text_of(staff.get(PAGE).text)
    assert configuration(saga) == kept


def test_an_account_nobody_noted_is_known_again_by_its_payments(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    """A key that leaked is replaced at once, also where somebody always has a payment under way."""
    store(saga, {"secret_key": API_KEY, "api_base": sandbox.url})
    saga.open()
    saga.run_until_quiet()
    saga.page("ada")
    key = restricted_key(sandbox, levels())
    connect(saga, staff, key)
    assert state(saga) is SetupState.CONNECTED
    kept = configuration(saga)
    assert (kept["secret_key"], kept["account_ref"]) == (key, "acct_sandbox")


def test_an_account_that_may_be_another_waits_until_payments_are_settled(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    saga.open()
    saga.run_until_quiet()
    saga.page("ada")  # at the twin: the sandbox knows nothing of it
    kept = {"secret_key": "sk_test_of_somebody", "api_base": sandbox.url}
    store(saga, kept)
    page = connect(saga, staff, API_KEY)
    assert state(saga) is SetupState.FAILED
    assert "payments are under way there" in page
    assert configuration(saga) == kept


def test_a_new_key_without_an_address_keeps_the_old_address_and_its_secret(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    connect(saga, staff, API_KEY)
    old = configuration(saga)
    for _ in range(15):
        sandbox.api("POST", "/v1/webhook_endpoints", {"url": "http://127.0.0.1:9/in", "enabled_events[0]": "*"})
    key = restricted_key(sandbox, levels())
    connect(saga, staff, key)
    new = configuration(saga)
    assert (state(saga), new["secret_key"]) == (SetupState.CONNECTED, key)
    assert (new["webhook_secret"], new["endpoint_ref"]) == (old["webhook_secret"], old["endpoint_ref"])
    there = sandbox.api("GET", "/v1/webhook_endpoints", {"limit": 100}).json()["data"]
    assert old["endpoint_ref"] in {one["id"] for one in there}


def test_no_secret_is_shown_or_stands_in_the_open(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    lacking, whole = restricted_key(sandbox, {}), restricted_key(sandbox, levels())
    for key in (lacking, whole):
        connect(saga, staff, key)
        kept = configuration(saga)
        shown = staff.get(PAGE).text + staff.get("/dashboard").text
        with saga.database.begin(saga.merchant_id) as session:
            rows = "".join(
                str(session.execute(text(f"SELECT array_agg(t::text) FROM {table} t")).scalar_one())
                for table in ("payment_setup", "merchant_connection", "intent", "fact")
            )
        for secret in (key, kept.get("webhook_secret")):
            assert secret is None or (secret not in shown and secret not in rows and secret.encode().hex() not in rows)
    assert f"…{whole[-4:]}" in unescape(staff.get(PAGE).text)
    assert saga.count("SELECT count(*) FROM payment_setup WHERE sealed_configuration IS NOT NULL") == 0


def test_it_speaks_french_and_needs_a_login(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    connect(saga, staff, restricted_key(sandbox, levels(without="dispute")))
    page = text_of(staff.get(PAGE, headers={"Accept-Language": "fr"}).text)
    assert "Il manque 1 autorisation à cette clé." in page
    staff.cookies.clear()
    assert staff.get(PAGE, follow_redirects=False).headers["location"] == "/dashboard/login"
    assert staff.post(PAGE, data={"act": "connect", "key": API_KEY}, follow_redirects=False).status_code == 303
    assert saga.count("SELECT count(*) FROM payment_setup") == 1


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme", "language"), [(390, "dark", "fr-FR"), (1280, "light", "en-US")])
def test_a_merchant_connects_in_the_browser(
    database_url: str, tmp_path: Path, browser: Any, width: int, scheme: Any, language: str
) -> None:
    """From the sandbox's own page for keys to an account in use, with nothing else in hand."""
    port = free_port()
    with running(tmp_path / "stripe") as sandbox:
        saga = Saga(database_url, "ada", public_url=f"http://localhost:{port}", stripe_api_base=sandbox.url)
        token = staff_token(saga)
        with served(saga, port=port):
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, locale=language
            )
            context.add_cookies([{"name": "gb_staff", "value": token, "url": f"http://localhost:{port}"}])
            page = context.new_page()
            axe = Axe()

            def look(name: str) -> None:
                told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in axe.run(page).response["violations"]]
                assert (name, told) == (name, [])
                page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert (name, wide) == (name, 0)

            page.goto(f"http://localhost:{port}{PAGE}")
            look("form")
            for given in (levels(without="review", charge="read"), levels()):
                page.goto(f"{sandbox.url}/_keys")
                for name, level in given.items():
                    page.locator(f'input[name="{name}"][value="{level}"]').check()
                page.locator("form button").first.click()
                key = page.locator("#key").inner_text()
                page.goto(f"http://localhost:{port}{PAGE}")
                page.locator("#f-key").fill(key)
                page.locator("form:has(#f-key) button").click()
                page.locator("progress").wait_for()
                look(f"under-way-{len(given)}")
                saga.run_until_quiet()
                page.locator("progress").wait_for(state="detached", timeout=10_000)  # it looks again by itself
                look(f"done-{len(given)}")
                assert key not in page.content()
            assert state(saga) is SetupState.CONNECTED
            context.close()
        saga.close()


# --- where travelers pay ---


def choose(saga: Saga, staff: TestClient, page: str, publishable_key: str = "") -> tuple[int, str]:
    """Choose on the page, let the worker work; the answer's status, and what the page says then."""
    form = {"act": "page", "page": page, "publishable_key": publishable_key}
    answer = staff.post(PAGE, data=form, follow_redirects=False)
    saga.run_until_quiet()
    return answer.status_code, text_of(answer.text if answer.status_code == 422 else staff.get(PAGE).text)


def test_payers_may_stay_on_our_page(saga: Saga, staff: TestClient, sandbox: RunningSandbox) -> None:
    """The key lacks two permissions, then has them; the choice is looked at, made, kept with a new key, taken back."""
    publishable = sandbox.sandbox.keys.publishable
    connect(saga, staff, restricted_key(sandbox, levels()))
    assert "page" not in configuration(saga)
    status, said = choose(saga, staff, "own", publishable)
    assert (status, "This key lacks 2 permissions." in said) == (303, True)
    assert "Core › SetupIntents : Write" in said.replace(":", " :").replace("  ", " ")
    assert ("page" in configuration(saga), state(saga)) == (False, SetupState.FAILED)

    more = {"setup_intent": "write", "customer": "write"}
    connect(saga, staff, restricted_key(sandbox, levels() | more))
    status, said = choose(saga, staff, "own", publishable)
    kept = configuration(saga)
    assert (status, kept["page"], kept["publishable_key"]) == (303, "own", publishable)
    assert "On our page, with Stripe's fields in it." in said
    assert kept["webhook_secret"]
    leftover = sandbox.api("GET", "/v1/setup_intents").json()["data"]
    assert {one["status"] for one in leftover} == {"canceled"}

    again = restricted_key(sandbox, levels() | more)
    connect(saga, staff, again)
    assert (configuration(saga)["secret_key"], configuration(saga)["page"]) == (again, "own")
    assert choose(saga, staff, "hosted")[0] == 303
    assert configuration(saga)["page"] == "hosted"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "The publishable key begins with pk_test_ or pk_live_."),
        ("sk_test_abcdefgh", "The publishable key begins with pk_test_ or pk_live_."),
        ("pk_live_abcdefgh", "This key is of the other mode"),
    ],
)
def test_what_is_no_key_for_browsers_is_refused_at_once(
    saga: Saga, staff: TestClient, sandbox: RunningSandbox, key: str, words: str
) -> None:
    connect(saga, staff, API_KEY)
    before = configuration(saga)
    status, said = choose(saga, staff, "own", key)
    assert (status, words in said) == (422, True)
    assert configuration(saga) == before


def test_a_key_for_browsers_of_another_account_changes_nothing(
    saga: Saga, staff: TestClient, sandbox: RunningSandbox
) -> None:
    connect(saga, staff, API_KEY)
    before = configuration(saga)
    status, said = choose(saga, staff, "own", "pk_test_of_somebody_else")
    assert (status, "Stripe does not know this publishable key, or it is another account's." in said) == (303, True)
    assert configuration(saga) == before
