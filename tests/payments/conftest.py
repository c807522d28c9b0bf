"""A small house for payments: one merchant, the provider's twin, the real runner on a real database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import text

from groupbook import merchants, payments
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.clock import set_offset
from groupbook.kit.database import Database
from groupbook.kit.ids import AttemptId, MerchantId, PortionId, new_id
from groupbook.kit.money import Money
from groupbook.kit.runner import Runner, RunnerSettings
from groupbook.kit.sealing import Sealer
from groupbook.payments import PortionDraft, PortionState
from groupbook.payments.ports import PaymentPage
from integrations.payments.twin import Twin

SEALER = Sealer("a test's secret key")
T = TypeVar("T")


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
    currency: str = "EUR"

    def open(
        self,
        currency: str = "EUR",
        *,
        caps: Mapping[str, int] | None = None,
        authorizes_in: timedelta | None = None,
        keeps_card: bool = False,
        **amounts: int,
    ) -> None:
        self.open_party(amounts, currency, caps=caps, authorizes_in=authorizes_in, keeps_card=keeps_card)

    def open_party(
        self,
        amounts: Mapping[str, int],
        currency: str = "EUR",
        *,
        caps: Mapping[str, int] | None = None,
        authorizes_in: timedelta | None = None,
        keeps_card: bool = False,
    ) -> None:
        self.currency = currency
        with self.database.begin(self.merchant_id) as session:
            now = merchant_now(session)
            ids = payments.open_portions(
                session,
                self.reference,
                whole=Money(sum(amounts.values()), currency),
                drafts=self.drafts(amounts, caps),
                now=now,
                authorizes_at=None if authorizes_in is None else now + authorizes_in,
                keeps_card=keeps_card,
            )
        self.portions = dict(zip(amounts, ids, strict=True))

    def drafts(
        self, amounts: Mapping[str, int], caps: Mapping[str, int] | None = None, payers: Mapping[str, str] | None = None
    ) -> list[PortionDraft]:
        for name in amounts:
            self.people.setdefault(name, new_id())
        return [
            PortionDraft(
                self.people[name],
                self.people[(payers or {}).get(name, name)],
                Money(minor, self.currency),
                cap=Money(caps[name], self.currency) if caps and name in caps else None,
            )
            for name, minor in amounts.items()
        ]

    def reallocate(
        self,
        amounts: Mapping[str, int],
        caps: Mapping[str, int] | None = None,
        payers: Mapping[str, str] | None = None,
    ) -> None:
        whole = Money(sum(amounts.values()), self.currency)
        ids = self.do(payments.reallocate, self.reference, whole=whole, drafts=self.drafts(amounts, caps, payers))
        self.portions |= dict(zip(amounts, ids, strict=True))

    def do(self, step: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """One step of payments, in a transaction of its own, at the merchant's now."""
        with self.database.begin(self.merchant_id) as session:
            return step(session, *args, now=merchant_now(session), **kwargs)

    @property
    def views(self) -> list[payments.PortionView]:
        with self.database.begin(self.merchant_id) as session:
            return payments.portions_of(session, self.reference)

    def pass_time(self, wait: timedelta) -> None:
        """The merchant's clock goes on, as a test merchant's may."""
        with self.database.begin(self.merchant_id) as session:
            set_offset(session, self.merchant_id, wait)

    def start(self, name: str, payer: str | None = None) -> PaymentPage:
        with self.database.begin(self.merchant_id) as session:
            started = payments.start_attempt(
                session,
                self.runner,
                self.portions[name],
                payer=self.people[payer or name],
                success_url="http://localhost:8000/ok",
                cancel_url="http://localhost:8000/back",
                title="Lisbon",
                locale="en",
            )
        return payments.page_of(self.database, self.runner, self.merchant_id, started)

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

    def capture_all(self, whole: int | None = None) -> None:
        final = None if whole is None else Money(whole, self.currency)
        with self.database.begin(self.merchant_id) as session:
            payments.capture_all(session, self.reference, now=merchant_now(session), whole=final)
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


def build_house(database: Database, slug: str = "kestrel", twin: Twin | None = None) -> House:
    merchant = merchants.create_merchant(database, slug=slug, name="Kestrel Rail", livemode=False)
    with database.begin(merchant.id) as session:
        merchants.connect(session, SEALER, kind="payment_provider", adapter="twin", configuration={})
    twin = twin or Twin(clock=lambda: datetime.now(UTC))
    providers = payments.Providers(database, SEALER, {"twin": lambda _configuration, *, livemode: twin})
    runner = Runner(
        database, payments.intent_handlers(providers), RunnerSettings(retry_seconds_min=1, retry_seconds_max=60)
    )
    return House(database, merchant.id, twin, runner, providers)


@pytest.fixture
def house(database: Database) -> House:
    return build_house(database)
