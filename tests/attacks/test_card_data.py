"""PCI: cards are typed on the provider's page only. No page of ours asks for one, and none is in log, database or page.

https://docs.stripe.com/security/guide and payments.md 6: hosted pages keep a merchant at the shortest questionnaire.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from groupbook import merchants
from groupbook.bookings.domain import BookingState
from groupbook.kit import logs
from groupbook.kit.ids import to_wire
from groupbook.web.app import build_app
from tests.support.payments import API_KEY, RunningSandbox, running
from tests.support.saga import Saga
from tests.support.site import mint_key, staff_token

ORIGIN = "http://localhost:8000"
HOUSE = Path(__file__).parents[2] / "groupbook"
DECLINED, ASKED, GOOD = "4000000000009995", "4000002500003155", "5555555555554444"
EXPIRY, CVC = "11/38", "747"
# How a number may be written: together, in groups, or in groups of another card.
_SPACED = tuple(" ".join(number[at : at + 4] for at in range(0, 16, 4)) for number in (DECLINED, ASKED, GOOD))
NUMBERS = (DECLINED, ASKED, GOOD, *_SPACED, *(one.replace(" ", "-") for one in _SPACED))


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    with running(tmp_path, refund_delay_seconds=0.1) as server:
        yield server


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that any logger of this process says, the chatty ones included."""
    root, stream = logging.getLogger(), io.StringIO()
    before, level = root.handlers[:], root.level
    logs.configure(level="DEBUG", stream=stream)
    for chatty in ("httpx2", "httpcore2", "stripe"):
        logging.getLogger(chatty).setLevel(logging.DEBUG)
    yield stream
    root.handlers[:], root.level = before, level


def type_card(page: str, number: str, answer: str | None = None, *, sandbox: RunningSandbox) -> None:
    import httpx2

    with httpx2.Client(trust_env=False) as payer:
        answered = payer.post(page, data={"number": number, "expiry": EXPIRY, "cvc": CVC})
        if answer is not None:
            payer.post(sandbox.url + answered.headers["location"], data={"answer": answer})


def dump(saga: Saga) -> str:
    """Every row of every table of the merchant, as text; bytes as they are, not as hex."""
    with saga.database.begin(saga.merchant_id) as session:
        tables = session.scalars(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'")
        ).all()
        found = []
        for table in tables:
            for row in session.execute(text(f'SELECT * FROM "{table}"')).all():
                found.append("|".join(v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in row))
    assert len(tables) > 40
    return "\n".join(found)


def test_no_card_number_stays_anywhere(database_url: str, sandbox: RunningSandbox, log: io.StringIO) -> None:
    """Declined, confirmed with the bank, paid, captured, refunded: then everything that was written is searched."""
    saga = Saga(database_url, "ada", "bo", public_url=ORIGIN, stripe_api_base=sandbox.url)
    configuration = {"secret_key": API_KEY, "webhook_secret": "whsec_x", "api_base": sandbox.url}
    with saga.database.begin(saga.merchant_id) as session:
        merchants.connect(
            session, saga.house.sealer, kind="payment_provider", adapter="stripe", configuration=configuration
        )
    saga.open()
    saga.run_until_quiet()
    for name, number in (("ada", ASKED), ("bo", GOOD)):
        saga.page(name)
        pages = sandbox.api("GET", "/v1/checkout/sessions").json()["data"]
        page = next(one["url"] for one in pages if one["status"] == "open")
        type_card(page, DECLINED, sandbox=sandbox)
        saga.refresh(name)
        type_card(page, number, "confirm" if number == ASKED else None, sandbox=sandbox)
        saga.refresh(name)
    assert saga.booking().state is BookingState.BOOKED
    booking, trip = to_wire("bkg", saga.booking().id), to_wire("trip", saga.trip_id)
    key, staff = mint_key(saga), staff_token(saga)
    shown = []
    with TestClient(build_app(saga.house), base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        asked = [(f"/v1/bookings/{booking}", key), (f"/v1/bookings/{booking}/timeline", key), ("/v1/statements", key)]
        asked += [(f"/v1/bookings/{booking}", saga.tokens["ada"]), (f"/v1/trips/{trip}", saga.tokens["bo"])]
        for path, token in asked:
            answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
            assert (path, answer.status_code) == (path, 200)
            shown.append(answer.text)
        client.cookies.set("gb_staff", staff)
        for path in ("/dashboard", "/dashboard/payments", f"/dashboard/bookings/{booking}", "/dashboard/money"):
            answer = client.get(path)
            assert (path, answer.status_code) == (path, 200)
            shown.append(answer.text)
    rows, lines = dump(saga), log.getvalue()
    saga.close()
    stored = "\n".join(
        str(row) for row in sandbox.sandbox.store._run("SELECT body FROM object UNION ALL SELECT body FROM idempotency")
    )
    assert "4444" in rows  # the last four digits are what a payer recognizes a card by
    assert len(lines) > 1000
    for place, said in {"rows": rows, "log": lines, "pages": "\n".join(shown), "sandbox": stored}.items():
        assert [number for number in NUMBERS if number in said] == [], place
        assert EXPIRY not in said, place
        assert not re.search(rf'cvc\W+{CVC}|"cvc":\s*"?\d', said), place
        assert re.findall(r"(?<![0-9a-f.])[45]\d{15}(?![0-9a-f])", said) == [], place


def test_no_page_of_ours_asks_for_a_card() -> None:
    """No field that a browser would fill a card into, no script that reads one, and no endpoint that takes one."""
    words = re.compile(r"cc-(number|csc|exp|name)|card[_-]?number|\bcvc\b|\bcvv\b|name=\"(number|pan)\"", re.I)
    ours = [*HOUSE.rglob("*.html"), *(HOUSE / "web" / "static").glob("*.js")]
    assert len(ours) > 20
    assert [path.name for path in ours if words.search(path.read_text())] == []
    document: Any = "\n".join(path.read_text() for path in HOUSE.rglob("*schemas.py"))
    assert words.search(document) is None
