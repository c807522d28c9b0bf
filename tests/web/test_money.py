"""Statements and differences as the merchant meets them: the API, the dashboard in two languages, the command line."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from groupbook import merchants, payments, webhooks
from groupbook.bookings.domain import BookingState
from groupbook.cli import app
from groupbook.kit.ids import AttemptId, new_id, to_wire
from groupbook.kit.money import Money
from groupbook.web.app import build_app
from tests.support.payments import API_KEY, WEBHOOK_SECRET, running
from tests.support.saga import Saga
from tests.support.site import mint_key, served, staff_token

ORIGIN = "http://localhost:8000"


@pytest.fixture
def saga(database_url: str) -> Iterator[Saga]:
    """Ada and Bo have booked for 50 euro each."""
    saga = Saga(database_url, "ada", "bo", public_url=ORIGIN)
    saga.open()
    saga.run_until_quiet()
    for name in ("ada", "bo"):
        saga.pay(name)
    yield saga
    saga.close()


@pytest.fixture
def client(saga: Saga) -> Iterator[TestClient]:
    with TestClient(build_app(saga.house), base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        yield client


@pytest.fixture
def run(database_url: str) -> Callable[..., Result]:
    environment = {
        "GROUPBOOK_DATABASE_URL": database_url,
        "GROUPBOOK_SECRET_KEY": "a secret of the tests, long enough",
    }
    return lambda *words: CliRunner().invoke(app, [*words], env=environment)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def compare(saga: Saga) -> payments.Report:
    with saga.database.begin(saga.merchant_id) as session:
        today = payments.today_of(session)
    report = payments.reconcile_day(saga.house.providers, saga.merchant_id, today)
    assert report is not None
    return report


# --- the API ----------------------------------------------------------------------------------------------------------


def test_a_bookings_statement_as_json_and_as_csv(saga: Saga, client: TestClient) -> None:
    headers = {"Authorization": f"Bearer {mint_key(saga)}"}
    booking = to_wire("bkg", saga.booking().id)
    told = client.get(f"/v1/bookings/{booking}/statement", headers=headers).json()
    assert (told["booking"], told["since"], told["livemode"]) == (booking, None, False)
    euros = {name: money["amount"] for name, money in told["summary"].items()}
    assert euros == {
        "total": 10_000,
        "authorized": 0,
        "captured": 10_000,
        "refunded": 0,
        "disputed": 0,
        "receivable": 0,
        "kept": 10_000,
    }
    (part,) = told["currencies"]
    assert (part["currency"], part["opening"]) == ("EUR", [])
    assert part["closing"] == [
        {"account": "provider_clearing", "amount": 10_000, "decimal": "100.00"},
        {"account": "merchant_sales", "amount": -10_000, "decimal": "-100.00"},
    ]
    kinds = sorted(one["kind"] for one in part["movements"])
    assert kinds == sorted(["authorized", "authorization_ended", "billed", "captured"] * 2)
    assert [one["balance"] for one in part["movements"] if one["kind"] == "captured"] == [5_000, 10_000]
    answer = client.get(f"/v1/bookings/{booking}/statement?format=csv", headers=headers)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="statement-{booking}.csv"'
    rows = table(answer.text)
    assert [row["kind"] for row in rows if row["record"] == "movement"] == [one["kind"] for one in part["movements"]]
    assert client.get(f"/v1/bookings/{to_wire('bkg', new_id())}/statement", headers=headers).status_code == 404


def test_a_merchants_statement_of_days(saga: Saga, client: TestClient) -> None:
    headers = {"Authorization": f"Bearer {mint_key(saga)}"}
    with saga.database.begin(saga.merchant_id) as session:
        today = payments.today_of(session)
    told = client.get("/v1/statements", headers=headers).json()
    (part,) = told["currencies"]
    assert sorted(one["kind"] for one in part["movements"]) == ["billed", "billed", "captured", "captured"]
    later = client.get(
        f"/v1/statements?from={today + timedelta(days=1)}&to={today + timedelta(days=2)}", headers=headers
    )
    (part,) = later.json()["currencies"]
    assert (part["movements"], part["opening"]) == ([], part["closing"])
    assert part["opening"][0] == {"account": "provider_clearing", "amount": 10_000, "decimal": "100.00"}
    for wrong in (
        "from=2026-11-02&to=2026-11-01",
        "from=2025-01-01&to=2026-11-01",
        "from=0001-01-01&to=0001-01-02",
        "to=9999-12-31",
    ):
        answer = client.get(f"/v1/statements?{wrong}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "statement_period_invalid"), wrong
    for wrong in ("from=yesterday", "format=xml", "from=20261101", "to=2026-W01-1", "to=2026-02-30"):
        assert client.get(f"/v1/statements?{wrong}", headers=headers).json()["code"] == "invalid_request", wrong


def test_statements_are_the_merchants_own(saga: Saga, client: TestClient) -> None:
    other = merchants.create_merchant(saga.database, slug="other", name="Other", livemode=False).id
    booking = to_wire("bkg", saga.booking().id)
    for path in (f"/v1/bookings/{booking}/statement", "/v1/statements"):
        stranger = client.get(path, headers={"Authorization": f"Bearer {mint_key(saga, other)}"})
        assert stranger.status_code == 404 if "bookings" in path else stranger.json()["currencies"] == []
        assert client.get(path, headers={"Authorization": f"Bearer {saga.tokens['ada']}"}).status_code == 403
        assert client.get(path).status_code == 401
        narrow = mint_key(saga, scopes=("trips:read",))
        assert client.get(path, headers={"Authorization": f"Bearer {narrow}"}).status_code == 403


# --- the dashboard ----------------------------------------------------------------------------------------------------


def test_money_is_shown_and_kept(saga: Saga, client: TestClient) -> None:
    for path in ("/dashboard/money", "/dashboard/money/statement.csv", "/dashboard/money/differences"):
        assert client.get(path, follow_redirects=False).status_code == 303
    client.cookies.set("gb_staff", staff_token(saga))
    page = unescape(client.get("/dashboard/money").text)
    for word in ("Your account at the provider", "€100.00", "Sold", "Paid", "4 movements", ">Lights</a>"):
        assert word in page, word
    assert "-€100.00" not in page, "the books have sales as a credit; people read what was sold"
    french = unescape(client.get("/dashboard/money?lang=fr").text)
    assert "Votre compte chez le prestataire" in french
    assert "100,00\N{NO-BREAK SPACE}€" in french
    link = re.search(r'href="(/dashboard/money/statement\.csv\?[^"]+)"', client.get("/dashboard/money?lang=en").text)
    assert link is not None
    kept = client.get(unescape(link[1]))
    assert kept.headers["content-disposition"] == 'attachment; filename="statement-kestrel.csv"'
    assert [row["balance"] for row in table(kept.text) if row["record"] == "closing"] == ["100.00", "-100.00"]
    booking = to_wire("bkg", saga.booking().id)
    document = client.get(f"/dashboard/money/bookings/{booking}.json").json()
    assert document["summary"]["kept"] == {"amount": 10_000, "currency": "EUR"}
    assert client.get("/dashboard/money?from=2026-11-02&to=2026-11-01").status_code == 422
    assert client.get("/dashboard/money?from=x").status_code == 422
    assert client.get(f"/dashboard/money/bookings/{to_wire('bkg', new_id())}.csv").status_code == 404


def test_a_difference_is_shown_told_and_taken_into_the_books(saga: Saga, client: TestClient) -> None:
    with saga.database.begin(saga.merchant_id) as session:
        webhooks.create_endpoint(session, saga.house.webhooks, url="https://shop.example/hook")
    attempt_id = saga._attempt("ada")
    refund_ref = saga.provider.refund_outside(attempt_id, Money(1_000, "EUR"))
    assert compare(saga).fresh == 1
    saga.run_until_quiet()
    posts = [json.loads(body) for _, body, _ in saga.sender.posts]
    (told,) = [post for post in posts if post["type"] == "reconciliation.difference"]
    assert saga.booking().state is BookingState.PARKED  # money is at stake: nothing more moves until somebody looked
    assert told["data"] | {"id": "", "reconciliation_id": ""} == {
        "object": "reconciliation",
        "id": "",
        "reconciliation_id": "",
        "booking_id": to_wire("bkg", saga.booking().id),
        "portion_id": to_wire("por", saga.portion("ada").portion_id),  # type: ignore[arg-type]
        "reason": "refund_outside",
        "provider_ref": refund_ref,
        "expected": {"amount": 0, "currency": "EUR"},
        "observed": {"amount": 1_000, "currency": "EUR"},
    }
    client.cookies.set("gb_staff", staff_token(saga))
    assert "1 difference between" in client.get("/dashboard/money").text
    page = unescape(client.get("/dashboard/money/differences").text)
    for word in ("past our books", "Our books: €0.00. The provider: €10.00.", refund_ref, "Money at stake"):
        assert word in page, word
    assert "Quelqu’un a remboursé" in unescape(client.get("/dashboard/money/differences?lang=fr").text)
    id = re.search(r"dif_[0-9a-f]{32}", page)
    assert id is not None
    evil = client.post("/dashboard/money/differences", data={"difference": id[0]}, headers={"Origin": "https://e.test"})
    assert (evil.status_code, saga.count("SELECT count(*) FROM refund")) == (403, 0)
    client.post("/dashboard/money/differences?lang=en", data={"difference": id[0]})
    assert saga.count("SELECT count(*) FROM refund") == 1
    page = client.get("/dashboard/money/differences?lang=en").text
    assert "Resolved" in page
    assert "No difference" in page
    again = client.post("/dashboard/money/differences", data={"difference": id[0]})
    assert (again.status_code, saga.count("SELECT count(*) FROM refund")) == (422, 1)
    for unknown in (to_wire("dif", new_id()), "dif_x", ""):
        assert client.post("/dashboard/money/differences", data={"difference": unknown}).status_code == 404


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_axe_finds_nothing_on_the_money_pages(saga: Saga, browser: Any, width: int, scheme: str) -> None:
    saga.provider.refund_outside(saga._attempt("ada"), Money(1_000, "EUR"))
    saga.provider.plant_payment(Money(777, "EUR"), attempt_id=AttemptId(new_id()))
    compare(saga)
    axe, found = Axe(), {}
    with served(saga) as url:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.add_cookies([{"name": "gb_staff", "value": staff_token(saga), "url": url}])
        page = context.new_page()
        for path in ("/dashboard/money", "/dashboard/money/differences", "/dashboard/money?lang=fr"):
            page.goto(url + path)
            told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in axe.run(page).response["violations"]]
            if page.evaluate("document.documentElement.scrollWidth") > width:
                told.append("wider than the window")
            if told:
                found[path] = told
        context.close()
    assert found == {}, found


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_command_line_states(saga: Saga, run: Callable[..., Result]) -> None:
    booking = to_wire("bkg", saga.booking().id)
    told = run("statement", "kestrel")
    assert told.exit_code == 0, told.output
    assert "EUR" in told.output
    assert "100.00" in told.output
    assert "captured" in told.output
    document = json.loads(run("statement", "kestrel", "--booking", booking, "--json").output)
    assert document["summary"]["kept"] == {"amount": 10_000, "currency": "EUR"}
    text = run("statement", "kestrel", "--csv").stdout_bytes.decode()
    assert text.count("\r\n") == text.count("\n") == 8  # the head, one balance before, four movements, two balances
    assert run("statement", "kestrel", "--from", "2026-11-02", "--to", "2026-11-01").exit_code == 1
    assert run("statement", "kestrel", "--booking", "bkg_x").exit_code == 1
    assert run("statement", "nobody").exit_code == 1


def test_the_command_line_reconciles_with_the_sandbox(saga: Saga, run: Callable[..., Result], tmp_path: Path) -> None:
    """A payment that carries our mark is planted at the provider itself: found, told with exit code 2, found again."""
    with running(tmp_path) as sandbox:
        with saga.database.begin(saga.merchant_id) as session:
            merchants.connect(
                session,
                saga.house.sealer,
                kind="payment_provider",
                adapter="stripe",
                configuration={"secret_key": API_KEY, "webhook_secret": WEBHOOK_SECRET, "api_base": sandbox.url},
            )
        for _ in range(2):
            told = run("reconcile", "kestrel", "--json")
            document = json.loads(told.output.splitlines()[-1])  # a test's log goes to the same screen
            assert "days" in document, document
            kinds = sorted(one["kind"] for day in document["days"] for one in day["differences"])
            assert (told.exit_code, kinds) == (2, ["missing_payment", "missing_payment"])
        assert "missing_payment" in run("reconcile", "kestrel").output
    assert saga.count("SELECT count(*) FROM reconciliation_difference") == 2
    told = run("reconcile", "kestrel")
    assert told.exit_code == 1  # the provider is gone: a sentence, not a traceback
    assert "Traceback" not in told.output
