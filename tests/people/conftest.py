"""A merchant, another one, and a network whose people a test can play."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import text

from groupbook import merchants
from groupbook.kit import clock
from groupbook.kit.database import Database
from groupbook.merchants import Merchant
from groupbook.people import LoggedIn, begin_login, finish_login
from integrations.social.twin import TwinNetwork

SHOP = "http://127.0.0.1:8001"


class House:
    """The room on a real database, with the twin network."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.twin = TwinNetwork()
        self.kestrel: Merchant = merchants.create_merchant(
            database, slug="kestrel", name="Kestrel Rail", livemode=False
        )
        self.other: Merchant = merchants.create_merchant(database, slug="other", name="Other Tours", livemode=False)

    def log_in(self, subject: str, *, merchant: Merchant | None = None, guest_tokens: tuple[str, ...] = ()) -> LoggedIn:
        start = begin_login(
            self.database,
            self.twin.network,
            merchant_id=(merchant or self.kestrel).id,
            redirect_uri="http://localhost:8000/login/twin/callback",
            return_to="/t/x",
        )
        return finish_login(
            self.database,
            self.twin.network,
            self.twin.login.approve(start.url, subject),
            browser_secret=start.browser_secret,
            guest_tokens=guest_tokens,
        )

    def count(self, table: str) -> int:
        with self.database.begin(self.kestrel.id) as session:
            return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())

    def age(self, table: str, seconds: int) -> None:
        """As if everything in `table` had been made that much earlier."""
        columns = {"handoff": ("expires_at", "code_expires_at")}.get(table, ("expires_at",))
        changes = ", ".join(f"{column} = {column} - make_interval(secs => :seconds)" for column in columns)
        with self.database.begin(self.kestrel.id) as session:
            session.execute(text(f"UPDATE {table} SET {changes}"), {"seconds": seconds})

    def facts(self) -> list[tuple[str, dict[str, object]]]:
        with self.database.begin(self.kestrel.id) as session:
            rows = session.execute(text("SELECT name, payload FROM fact ORDER BY recorded_at, id")).all()
            return [(row.name, row.payload) for row in rows]

    def now(self) -> datetime:
        with self.database.begin(self.kestrel.id) as session:
            return clock.system_now(session)


@pytest.fixture
def house(database: Database) -> House:
    return House(database)
