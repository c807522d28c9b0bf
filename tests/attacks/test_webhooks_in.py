"""Attacks 29 to 42 of the catalogue, "Webhooks in": Stripe's messages over HTTP, with the sandbox for the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from groupbook import merchants, payments
from groupbook.bookings.domain import BookingState
from groupbook.config import Settings
from groupbook.kit.ids import to_wire
from groupbook.web.app import build_app
from integrations.demo.payments.webhooks import sign
from integrations.payments.stripe import messages
from tests.support.payments import API_KEY, OK, RunningSandbox, running, signed_now
from tests.support.saga import Saga

ORIGIN = "http://localhost:8000"
NEW, OLD, FORMER = "whsec_new", "whsec_old", "whsec_former"


class Wire:
    """A house whose merchant is at the sandbox, and somebody who posts to its inbound address."""

    def __init__(self, database_url: str, sandbox: RunningSandbox, **settings: Any) -> None:
        self.sandbox = sandbox
        self.saga = Saga(database_url, "ada", "bo", public_url=ORIGIN, stripe_api_base=sandbox.url)
        self.connect(**settings)
        self.client = TestClient(build_app(self.saga.house), base_url=ORIGIN)
        self.path = f"/in/stripe/{to_wire('mch', self.saga.merchant_id)}"

    def connect(self, **more: Any) -> None:
        configuration = {
            "secret_key": API_KEY,
            "api_base": self.sandbox.url,
            "webhook_secret": NEW,
            "webhook_secret_previous": OLD,
            "webhook_secret_previous_until": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        } | more
        with self.saga.database.begin(self.saga.merchant_id) as session:
            merchants.connect(
                session, self.saga.house.sealer, kind="payment_provider", adapter="stripe", configuration=configuration
            )

    def post(self, body: bytes, *, secret: str = NEW, at: int = 0, signature: str | None = None) -> int:
        header = sign(body, secret, signed_now() + at) if signature is None else signature
        answer = self.client.post(self.path, content=body, headers={"Stripe-Signature": header})
        assert answer.status_code < 500, answer.text
        return answer.status_code

    def pages(self) -> list[dict[str, Any]]:
        self.saga.open()
        self.saga.run_until_quiet()
        for name in self.saga.friends:
            self.saga.page(name)
        found: list[dict[str, Any]] = self.sandbox.api("GET", "/v1/checkout/sessions").json()["data"]
        return found

    def pay(self) -> list[str]:
        """Everybody pays on the hosted page, and no message says so; the payments."""
        for page in self.pages():
            self.sandbox.type_card(page["url"], OK)
        return [one["id"] for one in self.sandbox.api("GET", "/v1/payment_intents").json()["data"]]

    def booked(self) -> list[str]:
        payments_made = self.pay()
        self.saga.travel(minutes=3)  # what was not read for two minutes is read by the sweep
        self.saga.run_until_quiet()
        assert self.saga.booking().state is BookingState.BOOKED
        return payments_made

    def inbox(self) -> int:
        return self.saga.count("SELECT count(*) FROM inbox")

    def close(self) -> None:
        self.client.close()
        self.saga.close()


def event(id: str = "evt_1", type: str = "payment_intent.succeeded", **more: Any) -> bytes:
    body = {"id": "pi_1", "object": "payment_intent", "metadata": {}} | more.pop("about", {})
    made = {"id": id, "object": "event", "type": type, "livemode": False, "created": signed_now()} | more
    return json.dumps(made | {"data": {"object": body}}).encode()


@pytest.fixture
def wire(database_url: str, tmp_path: Path) -> Iterator[Wire]:
    with running(tmp_path, refund_delay_seconds=0.1) as sandbox:
        wire = Wire(database_url, sandbox)
        yield wire
        wire.close()


def test_29_to_34_only_what_was_signed_lately_for_us_is_kept_and_once(wire: Wire) -> None:
    body = event()
    refused = [
        wire.post(body, secret="whsec_wrong"),
        wire.post(body, secret=FORMER),
        wire.post(body, at=-600),  # 31: replayed ten minutes later
        wire.post(body, at=600),  # the SDK would take one from the future
        wire.post(body, signature=""),
        wire.post(body, signature="t=,v1="),
        wire.post(body, signature=f"t={'9' * 400},v1={'0' * 64}"),
        wire.post(body, signature=f"t={signed_now()},v0={'0' * 64}"),
        wire.post(body + b" ", signature=sign(body, NEW, signed_now())),
        wire.post(event(livemode=True)),
        wire.post(b"[]"),
        wire.post(b"{}"),
        wire.post(b"\xff\xfe"),
        wire.post(b"[" * 2000),
    ]
    assert (set(refused), wire.inbox()) == ({400}, 0)
    assert [wire.post(body), wire.post(body), wire.post(body, at=1), wire.inbox()] == [200, 200, 200, 1]
    with wire.saga.database.begin(wire.saga.merchant_id) as session:
        assert session.scalar(text("SELECT body FROM inbox")) == body  # raw, as it was signed


def test_30_two_secrets_count_while_one_is_being_rolled_and_the_old_one_ends(wire: Wire) -> None:
    assert [wire.post(event("evt_a"), secret=NEW), wire.post(event("evt_b"), secret=OLD)] == [200, 200]
    both = f"{sign(event('evt_c'), 'whsec_else', signed_now())},{sign(event('evt_c'), OLD, signed_now()).split(',')[1]}"
    assert wire.post(event("evt_c"), signature=both) == 200  # several signatures in one header
    wire.connect(webhook_secret_previous_until=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())
    assert [wire.post(event("evt_d"), secret=NEW), wire.post(event("evt_e"), secret=OLD)] == [200, 400]
    assert wire.inbox() == 4


def test_35_a_message_of_another_connected_account_is_nobodys(wire: Wire) -> None:
    wire.connect(account="acct_ours")
    answers = [
        wire.post(event("evt_a", account="acct_ours")),
        wire.post(event("evt_b", account="acct_theirs")),
        wire.post(event("evt_c")),
        wire.post(event("evt_d", account=None)),
    ]
    assert (answers, wire.inbox()) == ([200, 400, 400, 400], 1)


def test_36_a_message_for_another_merchants_address_is_refused(wire: Wire) -> None:
    merchants.create_merchant(wire.saga.database, slug="rival", name="Rival", livemode=False)
    for path in ("/in/stripe/rival", "/in/stripe/nobody", "/in/stripe/mch_zz", "/in/stripe/%00"):
        answer = wire.client.post(path, content=event(), headers={"Stripe-Signature": sign(event(), NEW, signed_now())})
        assert (path, answer.status_code) == (path, 404)
    assert wire.inbox() == 0


def test_37_no_setting_turns_the_age_check_off() -> None:
    """Stripe's own check is off at a tolerance of 0; ours has no switch."""
    assert messages.signature_age_seconds_max == 300
    assert [name for name in Settings.model_fields if "tolerance" in name or "signature" in name] == []


def test_38_what_a_message_claims_is_not_applied(wire: Wire) -> None:
    """Rightly signed and full of lies: the object is read, and it says that nobody paid."""
    page = wire.pages()[0]
    about = {"id": "pi_lie", "status": "succeeded", "amount_received": 5000, "metadata": page["metadata"]}
    assert wire.post(event(about=about)) == 200
    wire.saga.run_until_quiet()
    assert set(wire.saga.states().values()) == {"authorizing"}
    assert wire.saga.count("SELECT coalesce(sum(captured), 0) FROM portion") == 0


def tampered(wire: Wire, **truth: Any) -> dict[str, Any]:
    """Somebody pays, and the provider's truth is another than what was asked for; it is told of."""
    first = wire.pages()[0]
    wire.sandbox.type_card(first["url"], OK)
    store = wire.sandbox.sandbox.store
    intent = store.all_of("payment_intent")[0] | truth
    store.put(intent)
    assert wire.post(event(about={"id": intent["id"], "metadata": intent["metadata"]})) == 200
    wire.saga.run_until_quiet()
    return store.get("payment_intent", intent["id"])


def test_39_an_authorization_of_another_amount_is_released_and_told(wire: Wire) -> None:
    left = tampered(wire, amount=4000, amount_capturable=4000)
    assert (left["status"], left["amount_received"]) == ("canceled", 0)
    assert wire.saga.facts("payment.discrepant") == 1
    assert "authorized" not in wire.saga.states().values()
    assert wire.saga.count("SELECT coalesce(sum(captured), 0) FROM portion") == 0


def test_39_money_that_nobody_asked_for_is_told_and_given_back(wire: Wire) -> None:
    """Better than to stop and wait for a person: the booking goes on asking, and the payer has it all back."""
    tampered(wire, status="succeeded", amount=4000, amount_capturable=0, amount_received=4000)
    assert wire.saga.facts("payment.discrepant") >= 1
    refunds = wire.sandbox.api("GET", "/v1/refunds").json()["data"]
    assert [(one["amount"], one["status"]) for one in refunds] == [(4000, "succeeded")]
    assert wire.saga.booking().state is BookingState.OPEN
    assert not {"authorized", "captured"} & set(wire.saga.states().values())


def test_40_unknown_objects_and_types_of_the_future_are_taken_and_do_nothing(wire: Wire) -> None:
    wire.pages()
    before = wire.saga.count("SELECT count(*) FROM intent")
    answers = [
        wire.post(event("evt_a", "payment_intent.invented_next_year")),
        wire.post(event("evt_b", about={"object": "novelty", "id": "nov_1"})),
        wire.post(event("evt_c", about={"metadata": {"attempt_id": "att_" + "0" * 32}})),
        wire.post(event("evt_d", about={"metadata": {"attempt_id": "'; DROP TABLE portion; --"}})),
        wire.post(event("evt_e", about={"metadata": {"refund_id": "ref_" + "0" * 32}})),
    ]
    assert (answers, wire.saga.count("SELECT count(*) FROM intent")) == ([200] * 5, before)


def test_41_a_flood_is_queued_and_nothing_is_lost(wire: Wire) -> None:
    """Many messages at once, a third of them twice: each is kept once, and the outcome is what is true."""
    payments_made = wire.pay()
    intents = {one["id"]: one for one in wire.sandbox.sandbox.store.all_of("payment_intent")}
    bodies = [
        event(f"evt_{number}", about={"id": id, "metadata": intents[id]["metadata"]})
        for number in range(60)
        for id in [payments_made[number % 2]]
    ]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(wire.post, [*bodies, *bodies[:20]]))
    assert (set(answers), wire.inbox()) == ({200}, 60)
    wire.saga.run_until_quiet()
    assert set(wire.saga.states().values()) == {"captured"}
    assert [one["amount_received"] for one in wire.sandbox.sandbox.store.all_of("payment_intent")] == [5000, 5000]


def test_42_a_lost_week_is_repaired_by_the_sweeps_alone(wire: Wire) -> None:
    """Not one message arrives: payments are read, and what only a message tells is in the provider's own list."""
    first, second = wire.booked()
    assert wire.inbox() == 0
    wire.sandbox.dispute(first)
    store = wire.sandbox.sandbox.store
    week = 7 * 86_400
    wire.saga.execute(
        f"UPDATE payment_event_cursor SET read_until = read_until - interval '{week} seconds', "
        "tried_at = tried_at - interval '1 hour'"
    )
    for one in store.all_of("event"):
        if one["type"].startswith("charge.dispute"):
            store.put(one | {"created": one["created"] - week + 60})
    wire.saga.run_until_quiet()
    booking_id = wire.saga.id
    with wire.saga.database.begin(wire.saga.merchant_id) as session:
        disputes = {one.dispute.value for one in payments.portions_of(session, booking_id)}
    assert disputes == {"open", "none"}
    assert wire.saga.facts("portion.disputed") == 1
    assert wire.inbox() > 0
    before = wire.inbox()
    wire.saga.execute("UPDATE payment_event_cursor SET tried_at = tried_at - interval '1 hour'")
    wire.saga.run_until_quiet()
    assert wire.inbox() == before  # reading the list again finds nothing new
    assert second
