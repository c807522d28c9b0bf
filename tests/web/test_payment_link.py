"""A merchant connects its account on Stripe's own page instead of pasting a key, against the sandbox.

Who comes back is believed once, in the session that was sent there; what they bring is redeemed by the worker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from groupbook import merchants, payments
from groupbook.payments import ConnectedAccount, SetupState
from groupbook.web.app import build_app
from integrations.demo.payments.books import public
from integrations.demo.payments.webhooks import sign
from tests.support.payments import API_KEY, RunningSandbox, connected_account, running, signed_now
from tests.support.saga import Saga
from tests.support.site import free_port, served, staff_token, text_of

ORIGIN = "http://localhost:8000"
PAGE = "/dashboard/payments"
BACK = f"{ORIGIN}{PAGE}/connected"
SECRET = "whsec_of_the_platform"


def settings_of(sandbox: RunningSandbox) -> dict[str, Any]:
    return {
        "stripe_api_base": sandbox.url,
        "stripe_connect_base": sandbox.url,
        "stripe_secret_key": API_KEY,
        "stripe_connect_client_id": "ca_sandbox",
        "stripe_connect_webhook_secret": SECRET,
        "stripe_connect_fee_basis_points": 150,
    }


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    with running(tmp_path, refund_delay_seconds=0.1, redirect_uris=(BACK,)) as server:
        yield server


@pytest.fixture
def saga(database_url: str, sandbox: RunningSandbox) -> Iterator[Saga]:
    saga = Saga(database_url, "ada", "bo", public_url=ORIGIN, **settings_of(sandbox))
    yield saga
    saga.close()


@pytest.fixture
def staff(saga: Saga) -> Iterator[TestClient]:
    token = staff_token(saga)
    with TestClient(build_app(saga.house), base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        client.cookies.set("gb_staff", token)
        yield client


def sent(staff: TestClient) -> str:
    """The address at Stripe that the button leads to."""
    answer = staff.post(PAGE, data={"act": "link"}, follow_redirects=False)
    assert answer.status_code == 303
    return answer.headers["location"]


def said(url: str, answer: str = "connect", **form: str) -> str:
    """What the account's holder answers there, and where that leads."""
    with httpx2.Client(trust_env=False) as web:
        page = web.post(url, data={"answer": answer, "name": "Harbor Tours"} | form)
    assert page.status_code == 303
    return page.headers["location"].removeprefix(ORIGIN)


def link(saga: Saga, staff: TestClient, **form: str) -> str:
    """The whole way; what the page says then."""
    answer = staff.get(said(sent(staff), **form), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    saga.run_until_quiet()
    return text_of(staff.get(PAGE).text)


def account(saga: Saga) -> ConnectedAccount | None:
    with saga.database.begin(saga.merchant_id) as session:
        return payments.connected_account(session, saga.house.sealer)


def configuration_in(session: Session, saga: Saga) -> dict[str, Any]:
    return dict(merchants.read_connection(session, saga.house.sealer, "payment_provider").configuration)


def configuration(saga: Saga) -> dict[str, Any]:
    with saga.database.begin(saga.merchant_id) as session:
        return configuration_in(session, saga)


def state(saga: Saga) -> SetupState | None:
    with saga.database.begin(saga.merchant_id) as session:
        setup = payments.last_setup(session)
    return setup.state if setup else None


def unchanged(saga: Saga) -> bool:
    return configuration(saga) == {} and saga.count("SELECT count(*) FROM payment_setup") == 0


def post(staff: TestClient, event: dict[str, Any], *, secret: str = SECRET, path: str = "/in/stripe") -> Any:
    body = json.dumps(public(event)).encode()
    return staff.post(path, content=body, headers={"Stripe-Signature": sign(body, secret, signed_now())})


def events(sandbox: RunningSandbox, ref: str, type: str) -> list[dict[str, Any]]:
    with sandbox.sandbox.store.acting_for(ref):
        return [one for one in sandbox.sandbox.store.all_of("event") if one["type"] == type]


def ref_of(saga: Saga) -> str:
    found = account(saga)
    assert found is not None
    assert found.account_ref is not None
    return found.account_ref


def test_an_account_is_connected_by_its_holders_yes(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    """Sent with a state, back with a code, redeemed, tried with one amount, and in use: with no secret of theirs."""
    url = sent(staff)
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(f"{sandbox.url}/oauth/authorize?")
    assert query | {"state": ""} == {
        "client_id": "ca_sandbox",
        "redirect_uri": BACK,
        "response_type": "code",
        "scope": "read_write",
        "state": "",
    }
    assert len(query["state"]) >= 43
    answer = staff.get(said(url), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    saga.run_until_quiet()
    page = text_of(staff.get(PAGE).text)
    assert state(saga) is SetupState.CONNECTED
    ref = ref_of(saga)
    assert "Stripe confirms your yes Good" in page
    assert f"Your account answers Good Harbor Tours · {ref}" in page
    assert "1.5 % of what is taken" in page
    assert "Signed, and checked" in page
    kept = configuration(saga)
    assert kept == {
        "account": ref,
        "account_name": "Harbor Tours",
        "account_ref": ref,
        "connected_at": kept["connected_at"],
        "fee_basis_points": 150,
    }
    # The test authorization was theirs, and the platform's own account saw nothing.
    theirs = sandbox.api("GET", "/v1/payment_intents", Stripe_Account=ref).json()["data"]
    assert [(one["amount"], one["status"], one["amount_received"]) for one in theirs] == [(100, "canceled", 0)]
    assert sandbox.api("GET", "/v1/payment_intents").json()["data"] == []
    assert saga.count("SELECT count(*) FROM payment_setup WHERE sealed_configuration IS NOT NULL") == 0


def test_payments_are_the_connected_accounts_and_the_fee_is_ours(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    link(saga, staff)
    ref = ref_of(saga)
    saga.open()
    saga.run_until_quiet()
    for name in ("ada", "bo"):
        saga.page(name)
        pages = sandbox.api("GET", "/v1/checkout/sessions", Stripe_Account=ref).json()["data"]
        (page,) = [one for one in pages if one["status"] == "open"]
        sandbox.type_card(page["url"], "4242424242424242")
        (told,) = [
            one
            for one in events(sandbox, ref, "checkout.session.completed")
            if one["data"]["object"]["id"] == page["id"]
        ]
        assert post(staff, told).json() == {"received": True, "duplicate": False}
        assert post(staff, told).json() == {"received": True, "duplicate": True}
        saga.run_until_quiet()
    assert set(saga.states().values()) == {"captured"}
    taken = sandbox.api("GET", "/v1/payment_intents", Stripe_Account=ref).json()["data"]
    assert [one["amount_received"] for one in taken] == [5000, 5000, 0]
    fees = sandbox.api("GET", "/v1/application_fees").json()["data"]
    assert [(one["amount"], one["account"]) for one in fees] == [(75, ref), (75, ref)]


@pytest.mark.parametrize(("language", "words"), [("en", "You said no on Stripe's page."), ("fr", "Vous avez dit non")])
def test_a_no_is_told_and_changes_nothing(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient, language: str, words: str
) -> None:
    back = said(sent(staff), "deny")
    answer = staff.get(back, headers={"Accept-Language": language})
    assert (answer.status_code, words in unescape(text_of(answer.text))) == (200, True)
    again = staff.get(back)
    assert (again.status_code, "This try is over" in text_of(again.text)) == (410, True)
    assert unchanged(saga)


def test_a_state_counts_once(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    """A reload would redeem the code twice, and a code that comes twice costs the connection."""
    back = said(sent(staff))
    staff.get(back, follow_redirects=False)
    assert staff.get(back, follow_redirects=False).status_code == 410
    saga.run_until_quiet()
    assert staff.get(back, follow_redirects=False).status_code == 410
    assert state(saga) is SetupState.CONNECTED
    assert sandbox.api("GET", "/v1/charges", Stripe_Account=ref_of(saga)).status_code == 200
    assert saga.count("SELECT count(*) FROM payment_setup") == 1


def test_a_state_that_was_never_given_out_is_over(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    code = parse_qs(urlsplit(said(sent(staff))).query)["code"][0]
    for state_given in ("", "made-up", "x" * 5000, "\N{LATIN SMALL LETTER E WITH ACUTE}"):
        answer = staff.get(f"{PAGE}/connected", params={"state": state_given, "code": code})
        assert (answer.status_code, "This try is over" in text_of(answer.text)) == (410, True)
    assert unchanged(saga)


def test_a_state_of_another_session_connects_nothing(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    """Login CSRF the other way round: an attacker's own yes, carried out in the merchant's browser."""
    back = said(sent(staff))
    staff.cookies.set("gb_staff", staff_token(saga, email="second@kestrel.example"))
    answer = staff.get(back)
    assert (answer.status_code, "begun by somebody else" in text_of(answer.text)) == (403, True)
    assert unchanged(saga)
    staff.cookies.clear()
    assert staff.get(back, follow_redirects=False).headers["location"] == "/dashboard/login"


def test_a_state_of_another_merchant_is_not_even_seen(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    back = said(sent(staff))
    other = merchants.create_merchant(saga.database, slug="heron", name="Heron Boats", livemode=False)
    own, saga.merchant_id = saga.merchant_id, other.id
    staff.cookies.set("gb_staff", staff_token(saga, email="desk@heron.example"))
    answer = staff.get(back)
    assert answer.status_code == 410
    assert saga.count("SELECT count(*) FROM payment_setup") == 0
    saga.merchant_id = own
    assert unchanged(saga)


def test_a_state_is_over_after_an_hour(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    back = said(sent(staff))
    saga.execute("UPDATE payment_link SET expires_at = expires_at - interval '3601 seconds'")
    assert staff.get(back).status_code == 410
    assert unchanged(saga)
    sent(staff)
    assert saga.count("SELECT count(*) FROM payment_link") == 1


def test_a_code_that_is_too_old_or_whose_answer_was_lost_asks_for_a_fresh_try(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    """A lost answer is asked for again, which by Stripe's rule ends what the first one made: nothing is left behind."""
    sandbox.fault("lost_answer", "oauth.token")
    page = link(saga, staff)
    assert state(saga) is SetupState.FAILED
    assert "An answer of Stripe" in page
    assert "what it had confirmed, if anything, it has ended by its own rule. Nothing is connected here." in page
    assert "counts once and for five minutes only" not in page
    assert "Check again" not in page
    (left,) = sandbox.sandbox.engine.connect.accounts()
    assert sandbox.api("GET", "/v1/charges", Stripe_Account=left["id"]).json()["error"]["code"] == "account_invalid"
    assert configuration(saga) == {}
    assert saga.count("SELECT count(*) FROM payment_setup WHERE sealed_configuration IS NOT NULL") == 0
    sandbox.fault("rate_limit", "oauth.token")  # nothing was attempted: asked again, and the code still counts
    link(saga, staff, account=left["id"])
    assert (state(saga), ref_of(saga)) == (SetupState.CONNECTED, left["id"])


def test_an_account_that_may_not_charge_yet_is_checked_again_without_a_new_yes(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    page = link(saga, staff, unfinished="yes")
    assert state(saga) is SetupState.FAILED
    assert "Stripe does not let this account take payments yet." in page
    (made,) = sandbox.sandbox.engine.connect.accounts()
    with sandbox.sandbox.store.acting_for(made["id"]):
        sandbox.sandbox.store.put(made | {"charges_enabled": True})
    with saga.database.begin(saga.merchant_id) as session:
        setup = payments.last_setup(session)
        assert setup is not None
        payments.try_setup_again(session, setup.id)
    saga.run_until_quiet()
    assert (state(saga), ref_of(saga)) == (SetupState.CONNECTED, made["id"])


def test_another_account_waits_until_payments_are_settled(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    link(saga, staff)
    ref = ref_of(saga)
    saga.open()
    saga.run_until_quiet()
    saga.page("ada")
    page = link(saga, staff)
    assert state(saga) is SetupState.FAILED
    assert "payments are under way there" in page
    assert ref_of(saga) == ref
    link(saga, staff, account=ref)  # the same one again is no other
    assert (state(saga), ref_of(saga)) == (SetupState.CONNECTED, ref)


def test_an_account_that_the_operator_puts_on_the_platform_loses_its_own_key(saga: Saga) -> None:
    """A key of the merchant's cannot take the operator's fee, and the account's messages come to the platform now."""
    own = {"secret_key": "sk_test_of_the_merchant", "account_ref": "acct_1", "account_name": "Harbor Tours"}
    own |= {"api_base": "https://api.stripe.com", "webhook_secret": "whsec_own", "endpoint_ref": "we_1"}
    platform = {"account": "acct_1", "fee_basis_points": 150}
    for given in (own, platform, platform):
        with saga.database.begin(saga.merchant_id) as session:
            payments.connect_account(session, saga.house.sealer, adapter="stripe", configuration=given)
    kept = configuration(saga)
    assert kept.pop("connected_at")
    assert kept == platform | {"account_ref": "acct_1", "account_name": "Harbor Tours"}


def test_an_account_that_the_operator_connects_again_is_not_withdrawn_any_more(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    link(saga, staff)
    ref = ref_of(saga)
    with saga.database.begin(saga.merchant_id) as session:
        merchants.connect(
            session,
            saga.house.sealer,
            kind="payment_provider",
            adapter="stripe",
            configuration=configuration_in(session, saga) | {"withdrawn_at": "2026-11-01T00:00:00+00:00"},
        )
    assert (found := account(saga)) is not None
    assert found.withdrawn_at is not None
    with saga.database.begin(saga.merchant_id) as session:
        payments.connect_account(session, saga.house.sealer, adapter="stripe", configuration={"account": ref})
    assert (found := account(saga)) is not None
    assert (found.withdrawn_at, found.account_ref, found.fee_basis_points) == (None, ref, 150)


# --- an account that is let go ----------------------------------------------------------------------------------------


def disconnect(saga: Saga, staff: TestClient) -> str:
    page = text_of(staff.post(PAGE, data={"act": "disconnect"}).text)
    saga.run_until_quiet()
    return page


def is_ours(sandbox: RunningSandbox, ref: str) -> bool:
    return sandbox.api("GET", "/v1/charges", Stripe_Account=ref).status_code == 200


def test_an_account_is_let_go_at_the_provider_too(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    link(saga, staff)
    ref = ref_of(saga)
    for _ in range(2):
        assert "No account yet Until an account is connected nobody can pay." in disconnect(saga, staff)
    assert (account(saga), is_ours(sandbox, ref)) == (None, False)
    (told,) = events(sandbox, ref, "account.application.deauthorized")
    assert post(staff, told).status_code == 200, "the message of it comes, and is nobody's"
    saga.run_until_quiet()
    assert (account(saga), saga.facts("account.withdrawn")) == (None, 0)
    link(saga, staff, account=ref)
    assert ref_of(saga) == ref


def test_an_account_whose_holder_was_quicker_is_let_go(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    """`invalid_client`, says Stripe, as to who is no platform at all (RFC 6749, section 5.2)."""
    link(saga, staff)
    sandbox.sandbox.engine.connect.leave(ref_of(saga))
    disconnect(saga, staff)
    assert account(saga) is None
    assert saga.count("SELECT count(*) FROM intent WHERE kind = 'payment.let_go' AND state <> 'done'") == 0


def test_a_lost_answer_to_letting_go_is_asked_for_again(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    link(saga, staff)
    ref = ref_of(saga)
    sandbox.fault("lost_answer", "oauth.deauthorize")
    disconnect(saga, staff)
    assert (account(saga), is_ours(sandbox, ref)) == (None, False)
    assert saga.count("SELECT count(*) FROM intent WHERE kind = 'payment.let_go' AND state <> 'done'") == 0


def test_an_account_with_payments_under_way_is_kept(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    link(saga, staff)
    before = configuration(saga)
    saga.open()
    saga.run_until_quiet()
    saga.page("ada")
    answer = staff.post(PAGE, data={"act": "disconnect"})
    assert answer.status_code == 409
    assert "Nothing was changed: payments are under way on this account" in text_of(answer.text)
    saga.run_until_quiet()
    assert (configuration(saga), is_ours(sandbox, ref_of(saga))) == (before, True)


def test_from_a_key_to_the_platform_the_old_address_goes(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    staff.post(PAGE, data={"act": "connect", "key": API_KEY})
    saga.run_until_quiet()
    assert len(sandbox.api("GET", "/v1/webhook_endpoints").json()["data"]) == 1
    link(saga, staff)
    assert state(saga) is SetupState.CONNECTED
    assert sandbox.api("GET", "/v1/webhook_endpoints").json()["data"] == []
    staff.post(PAGE, data={"act": "connect", "key": API_KEY})
    saga.run_until_quiet()
    assert len(sandbox.api("GET", "/v1/webhook_endpoints").json()["data"]) == 1, "and back"
    disconnect(saga, staff)
    assert (account(saga), sandbox.api("GET", "/v1/webhook_endpoints").json()["data"]) == (None, [])


# --- messages of the platform's endpoint ------------------------------------------------------------------------------


def test_an_account_that_withdraws_is_heard_read_and_told(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    link(saga, staff)
    ref = ref_of(saga)
    sandbox.sandbox.engine.connect.leave(ref)
    (told,) = events(sandbox, ref, "account.application.deauthorized")
    assert post(staff, told).status_code == 200
    saga.run_until_quiet()
    found = account(saga)
    assert found is not None
    assert found.withdrawn_at is not None
    assert saga.facts("account.withdrawn") == 1
    page = text_of(staff.get(PAGE).text)
    assert "Withdrawn" in page
    assert "this account no longer lets us act for it" in page
    assert post(staff, told).json()["duplicate"] is True
    link(saga, staff, account=ref)
    found = account(saga)
    assert found is not None
    assert found.withdrawn_at is None


def test_a_message_of_withdrawal_alone_is_not_believed(saga: Saga, sandbox: RunningSandbox, staff: TestClient) -> None:
    """An account that was connected twice is still ours: what counts is whether it answers."""
    link(saga, staff)
    ref = ref_of(saga)
    sandbox.sandbox.engine.connect.leave(ref)
    (told,) = events(sandbox, ref, "account.application.deauthorized")
    link(saga, staff, account=ref)
    assert post(staff, told).status_code == 200
    saga.run_until_quiet()
    found = account(saga)
    assert found is not None
    assert (found.withdrawn_at, saga.facts("account.withdrawn")) == (None, 0)


def test_a_lost_message_of_withdrawal_is_found_by_the_sweep(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    link(saga, staff)
    sandbox.sandbox.engine.connect.leave(ref_of(saga))
    saga.execute("UPDATE payment_event_cursor SET tried_at = tried_at - interval '1 day'")
    saga.run_until_quiet()
    found = account(saga)
    assert found is not None
    assert found.withdrawn_at is not None


def test_what_is_not_the_platforms_is_refused_and_what_is_nobodys_is_no_error(
    saga: Saga, sandbox: RunningSandbox, staff: TestClient
) -> None:
    link(saga, staff)
    ref, other = ref_of(saga), connected_account(sandbox)
    (told,) = events(sandbox, ref, "account.application.authorized")
    own = {name: value for name, value in told.items() if name != "account"}
    for event, secret, reason in (
        (told, "whsec_of_somebody", "signature_wrong"),
        (told | {"livemode": True}, SECRET, "wrong_mode"),
        (own, SECRET, "wrong_account"),
    ):
        answer = post(staff, event, secret=secret)
        assert (answer.status_code, answer.json()["code"]) == (400, "event_rejected")
        assert reason in answer.text
    (foreign,) = events(sandbox, other, "account.application.authorized")
    assert post(staff, foreign).json() == {"received": True, "duplicate": True}
    assert saga.count("SELECT count(*) FROM inbox") == 0
    # The merchant's own address takes no message of the platform: it has no secret there.
    assert post(staff, told, path="/in/stripe/kestrel").status_code == 400


@pytest.mark.parametrize("lacking", ["stripe_secret_key", "stripe_connect_client_id"])
def test_without_a_platform_nobody_is_sent_anywhere(database_url: str, sandbox: RunningSandbox, lacking: str) -> None:
    given = settings_of(sandbox) | {lacking: "", "stripe_connect_webhook_secret": ""}
    saga = Saga(database_url, "ada", public_url=ORIGIN, **given)
    token = staff_token(saga)
    with TestClient(build_app(saga.house), base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        client.cookies.set("gb_staff", token)
        assert "Connect with Stripe" not in client.get(PAGE).text
        assert client.post(PAGE, data={"act": "link"}, follow_redirects=False).status_code == 404
        assert client.get(f"{PAGE}/connected", params={"state": "x", "code": "y"}).status_code == 404
        assert client.post("/in/stripe", content=b"{}").status_code == 404
    saga.close()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme", "language"), [(390, "dark", "fr-FR"), (1280, "light", "en-US")])
def test_a_merchant_connects_on_the_providers_page_in_the_browser(
    database_url: str, tmp_path: Path, browser: Any, width: int, scheme: Any, language: str
) -> None:
    port = free_port()
    origin = f"http://localhost:{port}"
    with running(tmp_path / "stripe", redirect_uris=(f"{origin}{PAGE}/connected",)) as sandbox:
        saga = Saga(database_url, "ada", public_url=origin, **settings_of(sandbox))
        token = staff_token(saga)
        with served(saga, port=port):
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, locale=language
            )
            context.add_cookies([{"name": "gb_staff", "value": token, "url": origin}])
            page = context.new_page()
            axe = Axe()

            def look(name: str) -> None:
                told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in axe.run(page).response["violations"]]
                assert (name, told) == (name, [])
                page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert (name, wide) == (name, 0)

            page.goto(f"{origin}{PAGE}")
            look("offer")
            button = page.locator('form:has(input[value="link"]) button')
            button.click()
            page.wait_for_url(f"{sandbox.url}/oauth/authorize?*")
            look("asked")
            page.locator('button[value="deny"]').click()
            page.wait_for_url(f"{origin}{PAGE}/connected?*")
            look("denied")
            button.click()
            page.locator('button[value="connect"]').click()
            page.wait_for_url(f"{origin}{PAGE}")
            page.locator("progress").wait_for()
            look("under-way")
            saga.run_until_quiet()
            page.locator("progress").wait_for(state="detached", timeout=10_000)  # it looks again by itself
            look("done")
            assert state(saga) is SetupState.CONNECTED
            sandbox.sandbox.engine.connect.leave(ref_of(saga))
            saga.execute("UPDATE payment_event_cursor SET tried_at = tried_at - interval '1 day'")
            saga.run_until_quiet()
            page.reload()
            look("withdrawn")
            context.close()
        saga.close()
