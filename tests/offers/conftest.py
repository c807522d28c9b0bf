"""A merchant with a twin booking engine, on a real database, and the runner that owes it calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from groupbook import discounts, merchants, offers
from groupbook.discounts import Card
from groupbook.kit import clock
from groupbook.kit.database import Database
from groupbook.kit.ids import new_id
from groupbook.kit.intents import Intent, intent_of
from groupbook.kit.models import IntentRow
from groupbook.kit.money import Money
from groupbook.kit.runner import Runner, RunnerSettings
from groupbook.merchants.domain import Capabilities
from groupbook.offers.domain import AmendmentAnswer, Change, Hold, Leg, Offer, OfferDraft, Order, Place, Quote, Traveler
from groupbook.offers.ports import PricedTraveler
from groupbook.offers.service.holds import priced
from integrations.demo.rail.rules import rule_catalogue
from integrations.merchants.twin import TwinMerchant

PARIS = Place("Paris Gare de Lyon", "Europe/Paris", "Paris", "PLY")
LYON = Place("Lyon Part-Dieu", "Europe/Paris", "Lyon", "LPD")
EUR = "EUR"


def draft(ref: str = "kr-1", *, in_days: int = 7, **more: Any) -> OfferDraft:
    start = datetime.now(UTC).replace(hour=8, minute=4, second=0, microsecond=0) + timedelta(days=in_days)
    leg = Leg("highspeed", "6001", "kestrel", PARIS, LYON, start, start + timedelta(minutes=118), "2")
    given: dict[str, Any] = {
        "title": "Paris → Lyon",
        "currency": EUR,
        "legs": (leg,),
        "fares": {"saver": Money(4000, EUR), "flex": Money(9800, EUR)},
        "valid_until": start - timedelta(minutes=30),
        "seats_left": 40,
    }
    return OfferDraft(ref=ref, **(given | more))


class House:
    """Two merchants, the first with a twin; a party of members with subjects of their own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        can = Capabilities(holds=True)
        self.merchant = merchants.create_merchant(
            database, slug="kestrel", name="Kestrel Rail", livemode=False, capabilities=can
        ).id
        self.other = merchants.create_merchant(database, slug="other", name="Other", livemode=False).id
        self.twin = TwinMerchant(offers={"kr-1": draft()}, capability=can, now=lambda: datetime.now(UTC))
        self.adapter_of = offers.fixed_adapters({"http": self.twin})
        handlers = offers.intent_handlers(database, self.adapter_of, timeout_seconds=1)
        self.runner = Runner(database, handlers, RunnerSettings(retry_seconds_min=0, retry_seconds_max=0))
        self.reference = new_id()
        self.party: dict[UUID, UUID] = {new_id(): new_id() for _ in range(4)}
        with database.begin(self.merchant) as session:
            now = clock.now(session)
            discounts.put_catalogue(session, rule_catalogue(), starts_on=now.date(), now=now)

    @property
    def members(self) -> list[UUID]:
        return list(self.party)

    @property
    def travelers(self) -> list[Traveler]:
        return [Traveler(member, f"Ana {index}") for index, member in enumerate(self.members)]

    def entitle(self, member: int, *, age: int | None = None, card: str | None = None) -> None:
        with self.database.begin(self.merchant) as session:
            cards = [Card(card)] if card else []
            subject = self.party[self.members[member]]
            discounts.set_entitlements(session, subject, cards=cards, age=age, now=clock.now(session))

    def offer(self, ref: str = "kr-1") -> Offer:
        return offers.import_offer(self.database, self.merchant, ref, self.adapter_of)

    def quote(self) -> Quote:
        offer = self.offer()
        with self.database.begin(self.merchant) as session:
            return offers.record_quote(session, self.reference, offer.id, self.party, clock.now(session))

    def can(self, **capabilities: Any) -> None:
        """The merchant's engine, and its twin, can now do this."""
        self.twin.capability = replace(self.twin.capability, **capabilities)
        with self.database.begin(self.merchant) as session:
            merchants.change_capabilities(session, self.twin.capability)

    def hold(
        self,
        quote: Quote,
        travelers: Sequence[Traveler] | None = None,
        *,
        by: UUID | None = None,
        reference: UUID | None = None,
    ) -> Hold:
        with self.database.begin(self.merchant) as session:
            at = clock.now(session)
            party = travelers or self.travelers
            return offers.place_hold(session, reference or self.reference, quote.id, party, at, by=by)

    def earn(self, settled: int, of: int = 4, *, in_seconds: int = 0) -> Hold:
        """So many portions are authorized, `in_seconds` from now."""
        with self.database.begin(self.merchant) as session:
            at = clock.now(session) + timedelta(seconds=in_seconds)
            hold = offers.earn_time(session, self.reference, settled=settled, of=of, now=at)
        assert hold is not None
        return hold

    def amend(self, change: Change, amendment_id: UUID) -> AmendmentAnswer:
        with self.database.begin(self.merchant) as session:
            return offers.amend_order(session, self.reference, amendment_id, change, clock.now(session))

    def amended(self, amendment_id: UUID) -> AmendmentAnswer:
        with self.database.begin(self.merchant) as session:
            answer = offers.amendment_of(session, amendment_id)
        assert answer is not None
        return answer

    def ordered(self) -> Order:
        """A party with an order that stands."""
        quote = self.quote()
        self.hold(quote)
        self.run()
        self.confirm(quote)
        self.run()
        return self.current_order()

    def priced(self, quote: Quote) -> tuple[PricedTraveler, ...]:
        return priced(quote, self.travelers)

    def intent(self, kind: str) -> Intent:
        """The newest call of this kind, as a worker would hold it."""
        with self.database.begin(self.merchant) as session:
            query = select(IntentRow).where(IntentRow.kind == kind).order_by(IntentRow.id.desc()).limit(1)
            return intent_of(session.scalars(query).one())

    def pull_forward(self, kind: str) -> None:
        """As if the moment for which calls of this kind are owed had come."""
        with self.database.begin(self.merchant) as session:
            row = update(IntentRow).where(IntentRow.kind == kind, IntentRow.state == "due")
            session.execute(row.values(due_at=text("clock_timestamp()")))

    def due_times(self, kind: str) -> list[datetime]:
        with self.database.begin(self.merchant) as session:
            query = select(IntentRow.due_at).where(IntentRow.kind == kind, IntentRow.state == "due")
            return list(session.scalars(query.order_by(IntentRow.due_at)))

    def travel(self, seconds: int) -> None:
        merchants.travel_time(self.database, self.merchant, offset_seconds=seconds)

    def release(self) -> bool:
        with self.database.begin(self.merchant) as session:
            return offers.release_hold(session, self.reference, clock.now(session))

    def confirm(self, quote: Quote) -> Order:
        with self.database.begin(self.merchant) as session:
            needs_hold = merchants.read_merchant(session).capabilities.holds
            return offers.confirm_order(
                session, self.reference, quote.id, self.travelers, clock.now(session), needs_hold=needs_hold
            )

    def cancel(self) -> Order | None:
        with self.database.begin(self.merchant) as session:
            return offers.cancel_order(session, self.reference, clock.now(session))

    def run(self, *, rounds: int = 6) -> None:
        """Run what is owed until nothing is; unknown answers are read back on the way."""
        for _ in range(rounds):
            due = self.runner.due(self.merchant)
            if not due:
                return
            for intent in due:
                self.runner.run(self.merchant, intent)

    def run_once(self) -> None:
        for intent in self.runner.due(self.merchant):
            self.runner.run(self.merchant, intent)

    def interrupt(self, kind: str) -> None:
        """As if the worker had died in the middle of the call of this kind, and its lease had run out."""
        with self.database.begin(self.merchant) as session:
            row = update(IntentRow).where(IntentRow.kind == kind)
            session.execute(row.values(state="calling", lease_until=text("clock_timestamp() - interval '1 second'")))

    def current_hold(self) -> Hold:
        with self.database.begin(self.merchant) as session:
            hold = offers.hold_of(session, self.reference)
        assert hold is not None
        return hold

    def current_order(self) -> Order:
        with self.database.begin(self.merchant) as session:
            order = offers.order_of(session, self.reference)
        assert order is not None
        return order

    def facts(self) -> list[tuple[str, dict[str, Any]]]:
        with self.database.begin(self.merchant) as session:
            rows = session.execute(text("SELECT name, payload FROM fact ORDER BY recorded_at, id")).all()
        return [(name, payload) for name, payload in rows]

    def fact_names(self) -> list[str]:
        return [name for name, _ in self.facts()]


@pytest.fixture
def house(database: Database) -> House:
    return House(database)
