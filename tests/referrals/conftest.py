"""Two merchants, people, a public trip, and browsers of several kinds."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import CursorResult, text

from groupbook import merchants, people, referrals, trips
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.ids import MerchantId, TripId, VisitId
from groupbook.kit.sealing import Sealer
from groupbook.people import begin_login, finish_login
from groupbook.referrals import Click, Recorded, Share
from groupbook.trips.domain import Privacy, Visibility
from integrations.social.twin import TwinNetwork

PHONE = (
    "Mozilla/5.0 (Linux; Android 6.0; CUBOT MAX) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/72.0.3626.121 Mobile Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


class Street:
    """The room on a real database, and the people who pass by."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.sealer = Sealer("a secret key of the tests")
        self.twin = TwinNetwork()
        self.kestrel = merchants.create_merchant(database, slug="kestrel", name="Kestrel Rail", livemode=False).id
        self.other = merchants.create_merchant(database, slug="other", name="Other Tours", livemode=False).id

    def person(self, name: str) -> Caller:
        start = begin_login(
            self.database, self.twin.network, merchant_id=self.kestrel, redirect_uri="http://localhost:8000/callback"
        )
        answer = self.twin.login.approve(start.url, name)
        done = finish_login(self.database, self.twin.network, answer, browser_secret=start.browser_secret)
        caller = people.authenticate(self.database, done.session.token)
        assert caller is not None
        return caller

    def trip(self, organizer: Caller, visibility: Visibility = Visibility.PUBLIC) -> trips.Started:
        plan = trips.StartTrip(
            title="Lyon", options=[trips.NewOption(place="Lyon")], privacy=Privacy(visibility=visibility)
        )
        return trips.start_trip(self.database, self.sealer, organizer, plan)

    def set_visibility(self, organizer: Caller, trip_id: TripId, visibility: Visibility) -> None:
        trips.change_privacy(self.database, organizer, trip_id, Privacy(visibility=visibility))

    def share(self, caller: Caller, trip_id: TripId, channel: str = "demo") -> Share:
        return referrals.mint_share(self.database, caller, trip_id, channel=channel, fields=["title"])

    def hit(self, share: Share, *, caller: Caller | None = None, click: Click | None = None) -> Recorded:
        return referrals.record_hit(
            self.database, share.merchant_id, click or self.click(), trip_id=share.trip_id, share=share, caller=caller
        )

    def click(self, method: str = "GET", agent: str = PHONE, address: str = "203.0.113.7", **headers: str) -> Click:
        sent = {"user-agent": agent} | {name.replace("_", "-"): value for name, value in headers.items()}
        return referrals.click_of(method, sent, address)

    def look(self, visit_id: VisitId | None) -> bool:
        """The page stays visible for more than a second."""
        assert visit_id is not None
        self.rows("UPDATE visit SET first_at = first_at - interval '2 seconds' WHERE id = :id", id=visit_id)
        return referrals.confirm_visit(self.database, visit_id)

    def visited(self, share: Share, **how: Any) -> Recorded:
        recorded = self.hit(share, **how)
        self.look(recorded.visit_id)
        return recorded

    def rows(self, sql: str, *, merchant_id: MerchantId | None = None, **values: Any) -> list[Any]:
        with self.database.begin(merchant_id or self.kestrel) as session:
            result = session.execute(text(sql), values)
            return list(result) if isinstance(result, CursorResult) and result.returns_rows else []

    def counted(self) -> int:
        return referrals.growth(self.database, self.kestrel).shared.visits

    def subject(self, caller: Caller) -> UUID:
        assert caller.subject is not None
        return caller.subject


@pytest.fixture
def street(database: Database) -> Street:
    return Street(database)
