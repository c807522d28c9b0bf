"""A small house for payments: one merchant, the provider's twin, the real runner on a real database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text

from groupbook import merchants, payments
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.database import Database
from groupbook.kit.ids import AttemptId, MerchantId, PortionId, new_id
from groupbook.kit.intents import Runner, RunnerSettings
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer
from groupbook.payments import PortionDraft, PortionState
from groupbook.payments.ports import PaymentPage
from integrations.payments.twin import Twin

SEALER = Sealer("a test's secret key")


@dataclass
class House:
    """What a test says about money: who owes, who pays, what the bank and the network do, what became of it."""

    database: Database
    merchant_id: MerchantId
    twin: Twin
    runner: Runner
    providers: payments.Providers
    reference: UUID = field(default_factory=new_id)
    people: dict[str, UUID] = field(default_factory=dict)
    portions: dict[str, PortionId] = field(default_factory=dict)

    def open(self, currency: str = "EUR", **amounts: int) -> None:
        self.people = {name: new_id() for name in amounts}
        drafts = [
            PortionDraft(self.people[name], self.people[name], Money(minor, currency))
            for name, minor in amounts.items()
        ]
        whole = Money(sum(amounts.values()), currency)
        with self.database.begin(self.merchant_id) as session:
            now = merchant_now(session)
            ids = payments.open_portions(session, self.reference, whole=whole, drafts=drafts, now=now)
        self.portions = dict(zip(amounts, ids, strict=True))

    def start(self, name: str, payer: str | None = None) -> PaymentPage:
        return payments.start_attempt(
            self.database,
            self.runner,
            self.merchant_id,
            self.portions[name],
            payer=self.people[payer or name],
            success_url="http://localhost:8000/ok",
            cancel_url="http://localhost:8000/back",
            title="Lisbon",
            locale="en",
        )

    def attempt(self, name: str) -> AttemptId:
        view = self.view(name)
        assert view.attempt_id is not None
        return view.attempt_id

    def authorize(self, *names: str) -> None:
        for name in names:
            self.start(name)
            self.twin.authorize(self.attempt(name))
            payments.refresh_portion(self.database, self.runner, self.merchant_id, self.portions[name])

    def quiet(self, rounds: int = 30) -> None:
        """Run what is owed until nothing is due; back-offs are skipped, they are the runner's business."""
        for _ in range(rounds):
            with self.database.begin(self.merchant_id) as session:
                session.execute(
                    text(
                        "UPDATE intent SET due_at = least(due_at, clock_timestamp()) "
                        "WHERE state IN ('due', 'unknown') AND due_at < clock_timestamp() + interval '5 minutes'"
                    )
                )
            due = self.runner.due(self.merchant_id)
            if not due:
                return
            for intent_id in due:
                self.runner.run(self.merchant_id, intent_id)
        raise AssertionError("never quiet")

    def capture_all(self, lower: Mapping[PortionId, Money] | None = None) -> None:
        with self.database.begin(self.merchant_id) as session:
            payments.capture_all(session, self.reference, now=merchant_now(session), lower=lower)
        self.quiet()

    def void_all(self) -> None:
        with self.database.begin(self.merchant_id) as session:
            payments.void_all(session, self.reference, now=merchant_now(session))
        self.quiet()

    def view(self, name: str) -> payments.PortionView:
        with self.database.begin(self.merchant_id) as session:
            return payments.portion_view(session, self.portions[name])

    @property
    def states(self) -> dict[str, PortionState]:
        return {name: self.view(name).state for name in self.portions}

    @property
    def statement(self) -> payments.Statement:
        with self.database.begin(self.merchant_id) as session:
            return payments.statement(session, self.reference)

    def facts(self) -> list[str]:
        query = text("SELECT name FROM fact WHERE name LIKE 'p%' ORDER BY recorded_at, id")
        with self.database.begin(self.merchant_id) as session:
            return list(session.scalars(query))

    def execute(self, *statements: str, **values: object) -> None:
        """Run SQL as the application, in one transaction."""
        with self.database.begin(self.merchant_id) as session:
            for statement in statements:
                session.execute(text(statement), values)

    def counts(self, *tables: str) -> Sequence[int]:
        with self.database.begin(self.merchant_id) as session:
            return [session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables]


def build_house(database: Database, slug: str = "kestrel") -> House:
    merchant = merchants.create_merchant(database, slug=slug, name="Kestrel Rail", livemode=False)
    with database.begin(merchant.id) as session:
        merchants.connect(session, SEALER, kind="payment_provider", adapter="twin", configuration={})
    twin = Twin(clock=lambda: datetime.now(UTC))
    providers = payments.Providers(database, SEALER, {"twin": lambda _configuration, *, livemode: twin})
    runner = Runner(
        database, payments.intent_handlers(providers), RunnerSettings(retry_seconds_min=1, retry_seconds_max=60)
    )
    return House(database, merchant.id, twin, runner, providers)


@pytest.fixture
def house(database: Database) -> House:
    return build_house(database)
