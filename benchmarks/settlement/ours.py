"""Our own path, as a worker drives it: the production services, runner and listeners, and twins for the outside.

Nothing is swept and nothing polled: what happens next is what the commits nudge, in order, as a worker is woken.
Telling the merchant (webhooks) and the friends (notices) is left undone, and counted by nobody here.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from groupbook import bookings, house, merchants, offers, payments, people, trips
from groupbook.bookings.domain import BookingState
from groupbook.config import Settings
from groupbook.house import House, Outside
from groupbook.kit.callers import Caller
from groupbook.kit.ids import AttemptId, BookingId, PortionId, TripId
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities
from groupbook.offers.domain import Leg, OfferDraft, Place
from groupbook.offers.ports import MerchantAdapter
from groupbook.payments.ports import PaymentProvider
from groupbook.trips import NewOption, StartTrip
from groupbook.webhooks.domain import Answer
from integrations.merchants.twin import TwinMerchant
from integrations.payments.twin import Twin
from worker import LISTENERS

FARE_MINOR: Final = 5_000
_slugs = itertools.count(1)


@dataclass
class QueuedNudger:
    """Where a broker would be."""

    queue: deque[tuple[str, UUID, UUID]] = field(default_factory=deque)

    def nudge(self, task: str, merchant_id: UUID, row_id: UUID) -> None:
        self.queue.append((task, merchant_id, row_id))


class _NoSender:
    def post(self, url: str, *, headers: Mapping[str, str], body: bytes, loopback_allowed: bool) -> Answer:
        return Answer(status=200, excerpt="", error=None)


@dataclass(frozen=True)
class Group:
    """A decided trip, ready to be booked."""

    trip_id: TripId
    callers: Mapping[UUID, Caller]  # by member

    @property
    def organizer(self) -> Caller:
        return next(iter(self.callers.values()))


class Ours:
    """One process of ours on one database.

    Args:
        phase: told the name of each stretch of a checkout as it is over, for whoever counts.
    """

    def __init__(self, url: str, *, name: str, phase: Callable[[str], None] = lambda _: None) -> None:
        self.phase = phase
        self._stretch = "bench"
        self.provider = Twin(clock=lambda: datetime.now(UTC))
        self.adapter = TwinMerchant(capability=Capabilities(holds=True), now=lambda: datetime.now(UTC))
        self.nudger = QueuedNudger()
        settings = Settings(
            database_url=url,
            secret_key="the benchmarks' own secret key, kept nowhere",
            calls_at_once=1,
            provider_endpoint_requests_per_second=1_000_000,  # the database is measured, not the provider's patience
            provider_account_requests_per_second=1_000_000,
        )
        outside = Outside(
            networks={},
            providers={"twin": self._provider},
            merchants={"twin": self._adapter},
            messengers=[],
            sender=_NoSender(),
        )
        self.house: House = house.build(settings, outside, nudger=self.nudger, name="groupbook-bench")
        self.database = self.house.database
        self.deliverer = self.house.deliverer(LISTENERS)
        self.runner = self.house.worker_runner(self.deliverer)
        self.merchant_id = merchants.create_merchant(
            self.database, slug=name, name=name, livemode=False, capabilities=Capabilities(holds=True)
        ).id
        self.desk = Caller(kind="merchant", merchant_id=self.merchant_id, subject=self.merchant_id)
        with self.database.begin(self.merchant_id) as session:
            for kind in ("merchant_adapter", "payment_provider"):
                merchants.connect(session, self.house.sealer, kind=kind, adapter="twin", configuration={})

    def _provider(self, configuration: Mapping[str, Any], *, livemode: bool) -> PaymentProvider:
        return self.provider

    def _adapter(self, configuration: Mapping[str, Any]) -> MerchantAdapter:
        return self.adapter

    def close(self) -> None:
        self.house.close()

    # --- before anything is measured ---

    def group(self, n: int) -> Group:
        """Friends who have decided on a train of their own."""
        train = _train(f"train-{next(_slugs)}")
        self.adapter.offers[train.ref] = train
        offer = offers.create_offer(self.database, self.merchant_id, train)
        plan = StartTrip(title="Lights", organizer_name="Ada", options=[NewOption(offer_id=offer.id)])
        started = trips.start_trip(self.database, self.house.sealer, self.desk, plan)
        callers: dict[UUID, Caller] = {started.member.id: self._caller(started.guest_token)}
        for number in range(1, n):
            joined = trips.join_by_invite(self.database, None, started.invite_token, name=f"Guest {number}")
            callers[joined.member.id] = self._caller(joined.guest_token)
        with self.database.begin(self.merchant_id) as session:
            (option,) = trips.options(session, started.trip_id)
        trips.decide(self.database, callers[started.member.id], started.trip_id, option.id)
        self.work()
        return Group(started.trip_id, callers)

    def _caller(self, token: str | None) -> Caller:
        caller = people.authenticate(self.database, token or "")
        if caller is None:
            raise RuntimeError("a fresh session is unknown")
        return caller

    # --- what is measured ---

    def checkout(self, group: Group) -> BookingId:
        """From the organizer's click to everybody's ticket."""
        booking_id = self.ask_everybody(group)
        attempts = self.attempts(booking_id)
        for attempt_id in attempts[:-1]:
            with self._stretch_of("authorizations"):
                self._authorize(attempt_id)
                self.work()
        with self._stretch_of("authorizations"):
            self._authorize(attempts[-1])
        with self._stretch_of("decision"):
            self.work()
        with self._stretch_of("bench"):
            state = self.state(booking_id)
        if state is not BookingState.BOOKED:
            raise RuntimeError(f"a checkout that is {state}")
        return booking_id

    def ask_everybody(self, group: Group) -> BookingId:
        """From the organizer's click until everybody has been sent to their page."""
        with self._stretch_of("open"):
            booking_id = bookings.open_booking(self.database, group.organizer, group.trip_id, policy=self.house.policy)
            self.work()
        portions = self._portions(booking_id)
        with self._stretch_of("pages"):
            for payer, portion_id in portions.items():
                bookings.start_payment(
                    self.database,
                    self.house.runner,
                    group.callers[payer],
                    portion_id,
                    locale="en",
                    public_url="http://localhost",
                )
                self.work()
        return booking_id

    def work(self) -> None:
        """Do what the commits have woken a worker for, in order."""
        queue = self.nudger.queue
        while queue:
            task, merchant_id, row_id = queue.popleft()
            is_telling = task == "deliver_fact"
            if is_telling:
                self.phase(self._stretch)
            self.do(task, merchant_id, row_id)
            if is_telling:
                self.phase("telling")

    def do(self, task: str, merchant_id: UUID, row_id: UUID) -> None:
        if task == "deliver_fact":
            self.deliverer.deliver(merchant_id, row_id)
        elif task == "run_intent":
            self.runner.run(merchant_id, row_id)

    def state(self, booking_id: BookingId) -> BookingState:
        return bookings.read_booking(self.database, self.desk, booking_id).state

    def _authorize(self, attempt_id: AttemptId) -> None:
        """The payer's bank says yes, and the provider's message of it arrives."""
        at = datetime.now(UTC)
        self.provider.authorize(attempt_id)
        (event,) = self.provider.list_events(at, timeout_seconds=1)
        with self.database.begin(self.merchant_id) as session:
            payments.handle_event(session, "stripe", event, b"{}")

    def _portions(self, booking_id: BookingId) -> dict[UUID, PortionId]:
        with self._stretch_of("bench"), self.database.begin(self.merchant_id) as session:
            return {portion.payer: portion.id for portion in payments.portions_of(session, booking_id)}

    def attempts(self, booking_id: BookingId) -> list[AttemptId]:
        with self._stretch_of("bench"), self.database.begin(self.merchant_id) as session:
            portions = payments.portions_of(session, booking_id)
            return [portion.attempt_id for portion in portions if portion.attempt_id is not None]

    @contextmanager
    def _stretch_of(self, name: str) -> Iterator[None]:
        self._stretch = name
        yield
        self.phase(name)


def _train(ref: str) -> OfferDraft:
    departs = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
    paris, lyon = Place("Paris Gare de Lyon", "Europe/Paris", "Paris"), Place("Lyon", "Europe/Paris", "Lyon")
    leg = Leg("tgv", "6609", "Kestrel", paris, lyon, departs, departs + timedelta(hours=2), "2")
    return OfferDraft(
        ref=ref,
        title="Paris to Lyon",
        currency="EUR",
        legs=(leg,),
        fares={"flex": Money(FARE_MINOR, "EUR")},
        valid_until=departs,
    )
