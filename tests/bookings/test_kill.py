"""kill -9 of the real worker in the middle of a booking: restarted, it ends as if nothing had happened.

Everything is real here but the place: the worker and beat are processes of their own, the agency and the payment
sandbox are the demo's servers, leases and sweeps run at a sixtieth of their usual length.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from groupbook import bookings, merchants, offers, payments, people, trips
from groupbook import house as houses
from groupbook.bookings import BookingState
from groupbook.config import Settings
from groupbook.house import House
from groupbook.kit import broker, outbound
from groupbook.kit.callers import Caller
from groupbook.kit.database import libpq_url
from groupbook.kit.ids import MerchantId, TripId
from groupbook.main import outside
from groupbook.offers.service import orders
from groupbook.payments import PortionState, recording
from groupbook.trips import StartTrip
from groupbook.trips.service.plan import NewOption
from integrations.payments import stripe
from tests.support import kestrel as agencies
from tests.support import payments as sandboxes

ROOT = Path(__file__).resolve().parents[2]
FRIENDS = ("ada", "bo", "cy")
OPTIONS = ("--concurrency=4", "--loglevel=warning", "--beat")
patience_seconds = 120


@dataclass
class Crash:
    """A booking of three friends, and the worker that carries it on."""

    house: House
    settings: dict[str, str]
    agency: agencies.Kestrel
    sandbox: sandboxes.RunningSandbox
    merchant_id: MerchantId
    trip_id: TripId
    friends: dict[str, Caller] = field(default_factory=dict)

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """The worker with beat inside, as `celery -A worker worker` starts it."""
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "celery", "-A", "worker", *broker.WORKER_ARGUMENTS, *OPTIONS],
            cwd=ROOT,
            env={**os.environ, **self.settings},
            start_new_session=True,
        )
        try:
            yield process
        finally:
            kill(process)

    def calling(self) -> set[str]:
        """The kinds of the outside calls that are being made right now."""
        with psycopg.connect(libpq_url(self.settings["GROUPBOOK_DATABASE_URL"])) as connection:
            return {row[0] for row in connection.execute("SELECT kind FROM intent WHERE state = 'calling'")}

    def confirmations(self) -> int:
        with psycopg.connect(libpq_url(self.settings["GROUPBOOK_DATABASE_URL"])) as connection:
            row = connection.execute("SELECT count(*) FROM fact WHERE name = 'booking.confirmed'").fetchone()
        return row[0] if row else 0

    def booking(self, name: str = "ada") -> bookings.BookingView:
        found = bookings.booking_of_trip(self.house.database, self.friends[name], self.trip_id)
        assert found is not None
        return found

    def pay(self, name: str) -> None:
        """Type a good card into the hosted page of one's own portion, and come back from it."""
        caller = self.friends[name]
        mine = next(line for line in self.booking(name).portions if line.is_mine)
        assert mine.portion_id is not None
        page = bookings.start_payment(
            self.house.database,
            self.house.runner,
            caller,
            mine.portion_id,
            locale="en",
            public_url="http://localhost:9",
        )
        self.sandbox.type_card(page.url, sandboxes.OK)
        payments.refresh_portion(self.house.database, self.house.runner, self.merchant_id, mine.portion_id)


def kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # the whole group has ended already
    process.wait(timeout=10)


def wait_until(condition: Callable[[], object], what: str) -> None:
    give_up_at = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"not in time: {what}"
        time.sleep(0.05)


@pytest.fixture
def crash(database_url: str, tmp_path: Path) -> Iterator[Crash]:
    settings = {
        "GROUPBOOK_DATABASE_URL": database_url,
        "GROUPBOOK_SECRET_KEY": "a secret of the tests, long enough",
        "GROUPBOOK_LEASE_SECONDS": "2",
        "GROUPBOOK_SWEEP_SECONDS": "0.25",
        "GROUPBOOK_RETRY_SECONDS_MIN": "0.05",
        "GROUPBOOK_RETRY_SECONDS_MAX": "1",
        "GROUPBOOK_SECOND_LOOK_SECONDS": "2",
        "GROUPBOOK_TEST_MODE": "true",
    }
    with (
        agencies.kestrel(tmp_path / "agency", lost_answer_seconds=8.0) as agency,
        sandboxes.running(tmp_path / "sandbox") as sandbox,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in settings.items():
            environment.setenv(name, value)
        broker.prepare_broker(database_url)
        made: list[stripe.StripeProvider] = []

        def connect(configuration: Mapping[str, Any], *, livemode: bool) -> stripe.StripeProvider:
            made.append(stripe.connect(configuration, livemode=livemode))
            return made[-1]

        asked = Settings()
        house = houses.build(asked, replace(outside(asked), providers={"stripe": connect}))
        yield plan(house, settings, agency, sandbox)
        house.close()
        for provider in made:
            provider.close()


def plan(house: House, settings: dict[str, str], agency: agencies.Kestrel, sandbox: sandboxes.RunningSandbox) -> Crash:
    """Three friends, decided on one train of the agency, each asked for their portion."""
    database = house.database
    merchant = merchants.create_merchant(database, slug="kestrel", name="Kestrel Rail", livemode=False)
    agency_account = {"base_url": f"{agency.url}/api/v1", "token": agencies.TOKEN}
    payment_account = {
        "secret_key": sandboxes.API_KEY,
        "webhook_secret": sandboxes.WEBHOOK_SECRET,
        "api_base": sandbox.url,
    }
    with database.begin(merchant.id) as session:
        merchants.connect(session, house.sealer, kind="merchant_adapter", adapter="http", configuration=agency_account)
        merchants.connect(
            session, house.sealer, kind="payment_provider", adapter="stripe", configuration=payment_account
        )
    with outbound.client(agency.url, headers={"Authorization": f"Bearer {agencies.TOKEN}"}) as client:
        found = client.get("/api/v1/offers", params={"origin": "Paris", "destination": "Lyon", "limit": 40}).json()
    ref = next(offer["ref"] for offer in found["data"] if offer["legs"][0]["number"] == "6001")
    offer = offers.import_offer(database, merchant.id, ref, house.adapter_of)
    desk = Caller(kind="merchant", merchant_id=merchant.id, subject=merchant.id)
    asked = StartTrip(title="Lights", organizer_name=FRIENDS[0], options=[NewOption(offer_id=offer.id)])
    started = trips.start_trip(database, house.sealer, desk, asked)
    crash = Crash(house, settings, agency, sandbox, merchant.id, started.trip_id)
    tokens = {FRIENDS[0]: started.guest_token}
    for name in FRIENDS[1:]:
        tokens[name] = trips.join_by_invite(database, None, started.invite_token, name=name).guest_token
    for name, token in tokens.items():
        caller = people.authenticate(database, token or "")
        assert caller is not None
        crash.friends[name] = caller
    with database.begin(merchant.id) as session:
        (option,) = trips.options(session, started.trip_id)
    trips.decide(database, crash.friends[FRIENDS[0]], started.trip_id, option.id)
    bookings.open_booking(database, crash.friends[FRIENDS[0]], started.trip_id, policy=house.policy)
    return crash


@pytest.mark.parametrize(
    ("moment", "trouble"),
    [
        (orders.CONFIRM, "lost_answer"),  # the agency has sold; nobody heard it
        (recording.CAPTURE, "lost_answer"),  # the money is taken; nobody heard it
        (
            recording.CAPTURE,
            "slow",
        ),  # it is taken after the worker's death, as the next one asks
    ],
)
def test_a_worker_killed_in_the_middle_neither_loses_nor_doubles_anything(
    crash: Crash, moment: str, trouble: str
) -> None:
    if moment == orders.CONFIRM:
        crash.agency.provoke("confirm", trouble)
    else:
        crash.sandbox.fault(trouble, "payment_intents.capture", seconds=8)
    with crash.worker() as victim:
        wait_until(lambda: crash.booking().state is BookingState.OPEN, "the places are held")
        for name in FRIENDS:
            crash.pay(name)
        wait_until(lambda: moment in crash.calling(), f"{moment} is being called")
        time.sleep(0.3)  # so that the request has left
        kill(victim)
    assert crash.booking().state is not BookingState.BOOKED
    with crash.worker():
        wait_until(lambda: crash.booking().state is BookingState.BOOKED, "the booking is booked after all")
        wait_until(lambda: not crash.calling(), "everything has been answered")

    taken = crash.sandbox.api("GET", "/v1/payment_intents").json()["data"]
    assert [intent["status"] for intent in taken] == ["succeeded"] * 3
    booking = crash.booking()
    assert sum(intent["amount_received"] for intent in taken) == booking.total.minor
    assert {line.state for line in booking.portions} == {PortionState.CAPTURED}
    with crash.agency.store.read() as books:
        assert books.execute("SELECT count(*) FROM sale").fetchone()[0] == 1
    assert crash.confirmations() == 1
