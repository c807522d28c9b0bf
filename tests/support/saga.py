"""A whole house on a real PostgreSQL, with twins for the merchant and the payment provider, driven step by step.

Nothing runs by itself: `run_until_quiet` delivers facts and makes due calls in order, as worker and beat would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from groupbook import bookings, house, merchants, offers, payments, people, trips
from groupbook.bookings import repository
from groupbook.bookings.domain import BookingView, PortionLine, Step
from groupbook.config import Settings
from groupbook.house import House, Outside
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import BookingId, GuestId, MemberId, MerchantId, PersonId, TripId
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities
from groupbook.notices.ports import Messenger
from groupbook.offers.domain import Leg, OfferDraft, Place
from groupbook.payments.ports import PaymentProvider
from groupbook.people.domain import ExternalIdentity
from groupbook.people.service.persons import person_for
from groupbook.trips import StartTrip
from groupbook.trips.service.plan import NewOption
from groupbook.webhooks.domain import Answer
from groupbook.webhooks.ports import Sender
from integrations import registry
from integrations.merchants.twin import TwinMerchant
from integrations.payments.twin import Twin
from tests.support.postgres import warm_engine
from worker import LISTENERS

OFFER = "train-6609"


@dataclass
class KeptSender:
    """Takes every webhook and keeps it."""

    posts: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes, loopback_allowed: bool) -> Answer:
        self.posts.append((url, body, headers))
        return Answer(status=200, excerpt="", error=None)


class Saga:
    """One trip of named friends, decided on one train; prices in EUR cents, everybody the same full fare."""

    def __init__(
        self,
        database_url: str,
        *names: str,
        fare: int = 5_000,
        sender: Sender | None = None,
        messengers: Sequence[Messenger] = (),
        **settings: Any,
    ) -> None:
        self.clock_offset = timedelta(0)
        self.merchant_twin = TwinMerchant(now=self.now)
        self.provider = Twin(clock=self.now)
        self.sender = KeptSender()
        given = Settings(
            database_url=database_url,
            secret_key="a secret of the tests, long enough",
            retry_seconds_min=0.0,
            retry_seconds_max=0.0,
            calls_at_once=1,
            provider_endpoint_requests_per_second=1_000_000,  # a twin counts nothing
            provider_account_requests_per_second=1_000_000,
            **settings,
        )
        connected = {name: make(given) for name, make in registry.PAYMENT_PROVIDERS.items()}
        self.house: House = house.build(
            given,
            Outside(
                networks={},
                providers={"twin": self._provider, **connected},
                merchants={"twin": lambda _configuration: self.merchant_twin},
                messengers=messengers,
                sender=sender or self.sender,
                setups={name: make(given) for name, make in registry.PAYMENT_SETUPS.items()},
            ),
            database=Database(database_url, engine=warm_engine(database_url)),
        )
        self.database = self.house.database
        self.deliverer = self.house.deliverer(LISTENERS)
        self.merchant_id: MerchantId = merchants.create_merchant(
            self.database,
            slug="kestrel",
            name="Kestrel Rail",
            livemode=False,
            capabilities=Capabilities(holds=True),
        ).id
        self.desk = Caller(kind="merchant", merchant_id=self.merchant_id, subject=self.merchant_id)
        with self.database.begin(self.merchant_id) as session:
            for kind in ("merchant_adapter", "payment_provider"):
                merchants.connect(session, self.house.sealer, kind=kind, adapter="twin", configuration={})
        self.merchant_twin.offers[OFFER] = self._train(fare)
        self.offer_id = offers.create_offer(self.database, self.merchant_id, self._train(fare)).id
        self.friends: dict[str, Caller] = {}
        self.members: dict[str, MemberId] = {}
        self.tokens: dict[str, str] = {}
        self.trip_id = self._plan(*names)

    def _provider(self, configuration: Mapping[str, Any], *, livemode: bool) -> PaymentProvider:
        return self.provider

    def _train(self, fare: int) -> OfferDraft:
        departs = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
        paris, lyon = Place("Paris Gare de Lyon", "Europe/Paris", "Paris"), Place("Lyon", "Europe/Paris", "Lyon")
        leg = Leg("tgv", "6609", "Kestrel", paris, lyon, departs, departs + timedelta(hours=2), "2")
        return OfferDraft(
            ref=OFFER,
            title="Paris to Lyon",
            currency="EUR",
            legs=(leg,),
            fares={"flex": Money(fare, "EUR")},
            valid_until=departs,
        )

    def _plan(self, organizer: str, *others: str) -> TripId:
        plan = StartTrip(title="Lights", organizer_name=organizer, options=[NewOption(offer_id=self.offer_id)])
        started = trips.start_trip(self.database, self.house.sealer, self.desk, plan)
        self.invite_token = started.invite_token
        self._seat(organizer, started.guest_token, started.member.id)
        for name in others:
            joined = trips.join_by_invite(self.database, None, started.invite_token, name=name)
            self._seat(name, joined.guest_token, joined.member.id)
        with self.database.begin(self.merchant_id) as session:
            (option,) = trips.options(session, started.trip_id)
        trips.decide(self.database, self.friends[organizer], started.trip_id, option.id)
        return started.trip_id

    def _seat(self, name: str, token: str | None, member_id: MemberId) -> None:
        caller = people.authenticate(self.database, token or "")
        assert caller is not None
        self.friends[name], self.members[name], self.tokens[name] = caller, member_id, token or ""

    def person(self, subject: str) -> Caller:
        """Somebody who logged in with a network."""
        with self.database.begin(self.merchant_id) as session:
            identity = ExternalIdentity("twin", "app", subject, display_name=subject.split("@")[0])
            person, _ = person_for(session, identity, now=clock.system_now(session))
        return Caller(kind="person", merchant_id=self.merchant_id, subject=person.id)

    def adopt(self, name: str, person: Caller) -> None:
        """The guest logs in as this person."""
        guest, subject = self.friends[name].subject, person.subject
        assert guest is not None
        assert subject is not None
        with self.database.begin(self.merchant_id) as session:
            trips.adopt_guest(session, GuestId(guest), PersonId(subject))

    # --- time and work ---

    def now(self) -> datetime:
        """The outside's clock: real time, whatever a test merchant's clock says."""
        return datetime.now(UTC)

    def travel(self, **length: float) -> None:
        """Move the test merchant's clock; bank and booking engine stay in real time, as in a sandbox."""
        self.clock_offset += timedelta(**length)
        merchants.travel_time(self.database, self.merchant_id, offset_seconds=int(self.clock_offset.total_seconds()))

    def run_until_quiet(self) -> None:
        """Deliver and call until nothing moves any more; an outside that stays away is left alone after three tries."""
        idle = 0
        for _ in range(80):
            idle = 0 if self._work() else idle + 1
            if idle == 1:
                for sweep in self.house.sweeps.values():
                    sweep(self.merchant_id)
            if idle == 3:
                return
        raise AssertionError("the house never comes to rest")

    def _work(self) -> bool:
        heard = [self.deliverer.deliver(self.merchant_id, fact) for fact in self.deliverer.due(self.merchant_id)]
        closed = [self.house.runner.run(self.merchant_id, call) for call in self.house.runner.due(self.merchant_id)]
        return any(heard) or any(closed)

    # --- what the merchant does ---

    def settle(self, **settings: Any) -> None:
        """The merchant's own settlement settings, over the house's."""
        bookings.change_policy(self.database, self.desk, self.house.policy, settings)

    def offer_capabilities(self, capabilities: Capabilities) -> None:
        with self.database.begin(self.merchant_id) as session:
            merchants.change_capabilities(session, capabilities)

    def raise_price(self, fare: int) -> None:
        """The merchant sells the train at another price from now on."""
        offer = self.merchant_twin.offers[OFFER]
        self.merchant_twin.offers[OFFER] = replace(offer, fares={"flex": Money(fare, "EUR")})

    # --- what friends do ---

    def join(self, name: str) -> None:
        """Somebody comes into the trip by the invite link."""
        joined = trips.join_by_invite(self.database, None, self.invite_token, name=name)
        self._seat(name, joined.guest_token, joined.member.id)

    def open(self, name: str | None = None) -> BookingId:
        organizer = name or next(iter(self.friends))
        return bookings.open_booking(self.database, self.friends[organizer], self.trip_id, policy=self.house.policy)

    def booking(self, name: str | None = None) -> BookingView:
        found = bookings.booking_of_trip(self.database, self.friends[name] if name else self.desk, self.trip_id)
        assert found is not None
        return found

    @property
    def id(self) -> BookingId:
        return self.booking().id

    def steps(self) -> list[Step]:
        """The booking's timeline."""
        booking_id = self.id
        with self.database.begin(self.merchant_id) as session:
            return repository.timeline(session, booking_id)

    def portion(self, name: str) -> PortionLine:
        return next(line for line in self.booking().portions if line.traveler == self.members[name])

    def page(self, name: str, payer: str | None = None) -> None:
        """Open the hosted page for this traveler's portion."""
        portion = self.portion(name)
        assert portion.portion_id is not None
        caller = self.friends[payer or name]
        public_url = self.house.settings.public_url
        bookings.start_payment(
            self.database, self.house.runner, caller, portion.portion_id, locale="en", public_url=public_url
        )

    def pay(self, name: str, payer: str | None = None) -> None:
        """Open the page and have the bank say yes; the provider's news is read at once."""
        self.page(name, payer)
        attempt_id = self.portion(name).attempt_id or self._attempt(name)
        self.provider.authorize(attempt_id)
        self.refresh(name)

    def pay_extra(self, name: str) -> None:
        """Pay what a booked traveler is asked for on top of their portion."""
        booking_id = self.id
        with self.database.begin(self.merchant_id) as session:
            extra = payments.portions_of(session, booking_id)[-1]
        public_url = self.house.settings.public_url
        bookings.start_payment(
            self.database, self.house.runner, self.friends[name], extra.id, locale="en", public_url=public_url
        )
        with self.database.begin(self.merchant_id) as session:
            attempt_id = payments.portion_view(session, extra.id).attempt_id
        assert attempt_id is not None
        self.provider.authorize(attempt_id)
        payments.refresh_portion(self.database, self.house.runner, self.merchant_id, extra.id)
        self.run_until_quiet()

    def decline(self, name: str) -> None:
        self.page(name)
        self.provider.decline(self._attempt(name))
        self.refresh(name)

    def refresh(self, name: str) -> None:
        portion = self.portion(name)
        assert portion.portion_id is not None
        payments.refresh_portion(self.database, self.house.runner, self.merchant_id, portion.portion_id)
        self.run_until_quiet()

    def _attempt(self, name: str) -> Any:
        portion_id = self.portion(name).portion_id
        assert portion_id is not None
        with self.database.begin(self.merchant_id) as session:
            return payments.portion_view(session, portion_id).attempt_id

    # --- what is true ---

    def states(self) -> dict[str, str]:
        names = {member: name for name, member in self.members.items()}
        return {names[line.traveler]: line.state.value for line in self.booking().portions}

    def facts(self, name: str) -> int:
        return self.count(f"SELECT count(*) FROM fact WHERE name = '{name}'")

    def count(self, query: str) -> int:
        with self.database.begin(self.merchant_id) as session:
            return int(session.execute(text(query)).scalar_one())

    def execute(self, statement: str) -> None:
        """Break a row by hand, to see whether the house notices."""
        with self.database.begin(self.merchant_id) as session:
            session.execute(text(statement))

    def trip_state(self) -> str:
        with self.database.begin(self.merchant_id) as session:
            return trips.trip_of(session, self.trip_id).state.value

    def events(self) -> list[str]:
        with self.database.begin(self.merchant_id) as session:
            rows = session.execute(
                text("SELECT type FROM trip_event WHERE trip_id = :trip ORDER BY seq"),
                {"trip": UUID(str(self.trip_id))},
            )
            return [row[0] for row in rows]

    def close(self) -> None:
        self.house.close()
