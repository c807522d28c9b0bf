"""The assembled house: settings and adapters in, one runner and one set of listeners out.

Web, worker and command line build the same house; tests build it with twins instead of adapters. This file knows every
room and no integration: those come in as plain mappings, from `integrations.registry` or from a test.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import bookings, discounts, merchants, notices, offers, payments, people, referrals, trips, webhooks
from groupbook.bookings.domain import Policy
from groupbook.config import Settings
from groupbook.kit import clock, idempotency
from groupbook.kit.database import Database, Nudger
from groupbook.kit.facts import Deliverer, Fact, Listeners
from groupbook.kit.ids import DeliveryId, MerchantId, NoticeId, PersonId, to_wire
from groupbook.kit.intents import IntentHandler, Runner, RunnerSettings
from groupbook.kit.sealing import Sealer
from groupbook.notices.ports import Messenger
from groupbook.offers import AdapterOf
from groupbook.offers.ports import AdapterFactory
from groupbook.payments import Providers
from groupbook.payments.ports import ProviderFactory
from groupbook.people.ports import SocialNetwork
from groupbook.webhooks.ports import Sender


@dataclass(frozen=True)
class Outside:
    """Everything that speaks to the outside, by the names the rows use."""

    networks: Mapping[str, SocialNetwork]
    providers: Mapping[str, ProviderFactory]
    merchants: Mapping[str, AdapterFactory]
    messengers: Sequence[Messenger]
    sender: Sender


@dataclass(frozen=True)
class House:
    """What every surface works with. Made once per process by `build`."""

    settings: Settings
    database: Database
    sealer: Sealer
    outside: Outside
    adapter_of: AdapterOf
    providers: Providers
    runner: Runner
    webhooks: webhooks.WebhookDeps
    policy: Policy
    sweeps: Mapping[str, Callable[[UUID], object]] = field(repr=False)
    jobs: Mapping[str, Callable[[UUID, UUID], object]] = field(repr=False)

    def deliverer(self, listeners: Listeners) -> Deliverer:
        return Deliverer(self.database, listeners)

    def merchant_ids(self) -> list[UUID]:
        return [merchant.id for merchant in merchants.all_merchants(self.database)]

    def find_merchant(self, slug: str) -> MerchantId:
        """Raises MerchantNotFound."""
        return merchants.merchant_by_slug(self.database, slug).id

    def embed_origins(self, merchant_id: MerchantId) -> Collection[str]:
        with self.database.begin(merchant_id) as session:
            return [origin.origin for origin in merchants.embed_origins(session)]

    def close(self) -> None:
        self.database.close()


def build(settings: Settings, outside: Outside, *, nudger: Nudger | None = None, name: str = "groupbook") -> House:
    """Put the rooms together."""
    database = Database(settings.database_url, nudger=nudger, name=name)
    sealer = Sealer(settings.secret_key.get_secret_value())
    adapter_of = offers.connected_adapters(outside.merchants, sealer)
    providers = Providers(
        database=database,
        sealer=sealer,
        factories=outside.providers,
        timeout_seconds=settings.provider_timeout_seconds,
        inflight_seconds=settings.second_look_seconds,
    )
    handlers: dict[str, IntentHandler] = {
        **offers.intent_handlers(database, adapter_of, timeout_seconds=settings.merchant_timeout_seconds),
        **payments.intent_handlers(providers),
    }
    runner = Runner(
        database,
        handlers,
        RunnerSettings(
            lease_seconds=settings.lease_seconds,
            retry_seconds_min=settings.retry_seconds_min,
            retry_seconds_max=settings.retry_seconds_max,
        ),
    )
    hooks = webhooks.WebhookDeps(
        database=database,
        sealer=sealer,
        sender=outside.sender,
        loopback_allowed=settings.test_mode,
        lease_seconds=settings.lease_seconds,
    )
    letters = notices.NoticeDeps(
        database=database,
        messengers=outside.messengers,
        trip_link=lambda trip_id: f"{settings.public_url}/t/{to_wire('trip', trip_id)}",
        lease_seconds=settings.lease_seconds,
    )
    return House(
        settings=settings,
        database=database,
        sealer=sealer,
        outside=outside,
        adapter_of=adapter_of,
        providers=providers,
        runner=runner,
        webhooks=hooks,
        policy=Policy(
            collection_window_seconds=settings.collection_window_seconds,
            confirm_budget_seconds=settings.confirm_budget_seconds,
            settle_budget_seconds=settings.settle_budget_seconds,
        ),
        sweeps=_sweeps(database, sealer, hooks, letters),
        jobs={
            webhooks.NUDGE: lambda merchant_id, row_id: webhooks.deliver(
                hooks, MerchantId(merchant_id), DeliveryId(row_id)
            ),
            notices.NUDGE: lambda merchant_id, row_id: notices.send(letters, MerchantId(merchant_id), NoticeId(row_id)),
        },
    )


def _sweeps(
    database: Database, sealer: Sealer, hooks: webhooks.WebhookDeps, letters: notices.NoticeDeps
) -> Mapping[str, Callable[[UUID], object]]:
    """What each room looks after by itself, merchant by merchant: deadlines, expiries, retries, old rows."""

    def step(function: Callable[[Session], object]) -> Callable[[UUID], object]:
        def sweep(merchant_id: UUID) -> object:
            with database.begin(merchant_id) as session:
                return function(session)

        return sweep

    return {
        "decide_trips": lambda merchant_id: trips.decide_due(database, MerchantId(merchant_id)),
        "expire_holds": step(lambda session: offers.expire_holds(session, clock.now(session))),
        "look_at_payments": step(lambda session: payments.sweep(session, now=clock.now(session))),
        "move_bookings": lambda merchant_id: bookings.sweep(database, merchant_id),
        "deliver_webhooks": lambda merchant_id: webhooks.sweep(hooks, MerchantId(merchant_id)),
        "send_notices": lambda merchant_id: notices.sweep(letters, MerchantId(merchant_id)),
        "seal_card_numbers": step(lambda session: discounts.seal_card_numbers(session, sealer)),
        "forget_sessions": step(people.sweep),
        "forget_keys": step(idempotency.purge),
        "forget_visits": step(lambda session: referrals.sweep(session, clock.now(session))),
    }


def forget_person(session: Session, fact: Fact) -> None:
    """Somebody asked to be forgotten: every room that holds personal data lets go of it, in one transaction."""
    person_id = PersonId(fact.subject)
    members = [member.id for member in trips.members_of_person(session, person_id)]
    discounts.forget(session, person_id)
    for member_id in members:
        offers.forget(session, member_id)
    bookings.forget(session, members)
    referrals.forget(session, person_id)
    notices.forget(session, members)
    trips.forget(session, person_id)
