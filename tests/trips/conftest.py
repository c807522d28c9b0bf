"""A merchant, another one, people, and a trip among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from groupbook import merchants, offers, people, trips
from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import MerchantId, OfferId, OptionId, TripId
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer
from groupbook.offers.domain import Leg, OfferDraft, Place
from groupbook.people import begin_login, finish_login
from groupbook.trips.domain import DecisionRule, Privacy
from integrations.social.twin import TwinNetwork

PARIS, LYON = Place("Paris Gare de Lyon", "Europe/Paris", "Paris"), Place("Lyon Part-Dieu", "Europe/Paris", "Lyon")


class House:
    """The room on a real database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.sealer = Sealer("a secret key of the tests")
        self.twin = TwinNetwork()
        self.kestrel = merchants.create_merchant(database, slug="kestrel", name="Kestrel Rail", livemode=False)
        self.other = merchants.create_merchant(database, slug="other", name="Other Tours", livemode=False)

    def person(self, subject: str, *, merchant_id: MerchantId | None = None) -> Caller:
        start = begin_login(
            self.database,
            self.twin.network,
            merchant_id=merchant_id or self.kestrel.id,
            redirect_uri="http://localhost:8000/login/twin/callback",
        )
        logged_in = finish_login(
            self.database,
            self.twin.network,
            self.twin.login.approve(start.url, subject),
            browser_secret=start.browser_secret,
        )
        return self.caller(logged_in.session.token)

    def caller(self, token: str | None) -> Caller:
        known = people.authenticate(self.database, token or "")
        assert known is not None
        return known

    def key(self, merchant_id: MerchantId | None = None) -> Caller:
        return Caller("merchant", merchant_id or self.kestrel.id, subject=UUID(int=7), scopes=frozenset({"*"}))

    def stranger(self) -> Caller:
        return Caller("nobody", self.kestrel.id)

    def start(self, caller: Caller, **plan: Any) -> trips.Started:
        plan.setdefault("options", [trips.NewOption(place="Lyon"), trips.NewOption(place="Nice")])
        return trips.start_trip(self.database, self.sealer, caller, trips.StartTrip(**plan))

    def join(self, started: trips.Started, name: str) -> tuple[Caller, trips.Joined]:
        joined = trips.join_by_invite(self.database, None, started.invite_token, name=name)
        return self.caller(joined.guest_token), joined

    def option_ids(self, trip_id: TripId) -> list[OptionId]:
        with self.database.begin(self.kestrel.id) as session:
            return [option.id for option in trips.options(session, trip_id)]

    def offer(self, ref: str, *, hours: int = 100, minor: int = 5000) -> OfferId:
        with self.database.begin(self.kestrel.id) as session:
            now = clock.now(session)
            leaves = now + timedelta(hours=hours)
            leg = Leg("TGV", ref, "SNCF", PARIS, LYON, leaves, leaves + timedelta(hours=2), "2")
            draft = OfferDraft(
                ref, f"Train {ref}", "EUR", (leg,), {"flex": Money(minor, "EUR")}, leaves - timedelta(hours=1)
            )
            return offers.upsert_offer(session, draft, now).id

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.database.begin(self.kestrel.id) as session:
            return [tuple(row) for row in session.execute(text(query), values)]

    def state(self, trip_id: TripId) -> tuple[Any, ...]:
        """Everything that a refusal must not move."""
        return (
            self.rows("SELECT * FROM trip WHERE id = :id", id=trip_id),
            self.rows("SELECT * FROM member WHERE trip_id = :id ORDER BY id", id=trip_id),
            self.rows("SELECT * FROM trip_option WHERE trip_id = :id ORDER BY id", id=trip_id),
            self.rows("SELECT * FROM vote WHERE trip_id = :id ORDER BY option_id, member_id", id=trip_id),
            self.rows("SELECT count(*) FROM trip_event WHERE trip_id = :id", id=trip_id),
            self.rows("SELECT count(*) FROM guest"),
            self.rows("SELECT count(*) FROM fact"),
        )

    def log(self, trip_id: TripId) -> list[tuple[int, str]]:
        found = self.rows("SELECT seq, type FROM trip_event WHERE trip_id = :id ORDER BY seq", id=trip_id)
        return [(seq, type) for seq, type in found]

    def shift(self, **delta: int) -> None:
        """Move this merchant's clock."""
        with self.database.begin(self.kestrel.id) as session:
            clock.set_offset(session, self.kestrel.id, timedelta(**delta))

    def set_privacy(self, caller: Caller, trip_id: TripId, **changes: Any) -> None:
        trips.change_privacy(self.database, caller, trip_id, replace(Privacy(), **changes))

    def rule_in(self, **delta: int) -> datetime:
        with self.database.begin(self.kestrel.id) as session:
            return (clock.now(session) + timedelta(**delta)).astimezone(UTC)


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


Refuses = Callable[..., None]


@pytest.fixture
def refuses(house: House) -> Refuses:
    """The call raises this error, and nothing of the trip has moved."""

    def check(error: type[Exception], trip_id: TripId, call: Callable[[], object]) -> None:
        before = house.state(trip_id)
        with pytest.raises(error):
            call()
        assert house.state(trip_id) == before

    return check


__all__ = ["DecisionRule", "House", "Refuses"]
