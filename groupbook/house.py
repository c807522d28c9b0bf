"""The assembled house: settings and adapters in, one runner and one set of listeners out.

Web, worker and command line build the same house; tests build it with twins instead of adapters. This file knows every
room and no integration: those come in as plain mappings, from `integrations.registry` or from a test.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import bookings, discounts, merchants, notices, offers, payments, people, referrals, trips, webhooks
from groupbook.bookings.domain import Policy, check_settings
from groupbook.config import Settings
from groupbook.kit import alarms, clock, idempotency
from groupbook.kit.database import Database, Nudger, together
from groupbook.kit.facts import Deliverer, Fact, Listeners
from groupbook.kit.ids import DeliveryId, MerchantId, NoticeId, PersonId
from groupbook.kit.intents import IntentHandler
from groupbook.kit.pace import Pace
from groupbook.kit.runner import Runner, RunnerSettings
from groupbook.kit.sealing import Sealer
from groupbook.notices.ports import Messenger
from groupbook.offers import AdapterOf
from groupbook.offers.ports import AdapterFactory
from groupbook.payments import Providers
from groupbook.payments.ports import Onboarding, ProviderFactory
from groupbook.people.ports import SocialNetwork
from groupbook.webhooks.ports import Sender

# They hear of a call's outcome in the transaction that records it: what moves a booking, and what only writes down
# that a merchant is to be told, which costs less there than a transaction of its own for every portion.
HEARD_AT_ONCE = ("bookings", "webhooks")


def _foresee(session: Session, reference: UUID) -> None:
    """What those who hear at once will want of a booking, in one go."""
    with together(session) as ask:
        ask(bookings.foresee, session, reference)
        ask(webhooks.foresee, session)


@dataclass(frozen=True)
class Outside:
    """Everything that speaks to the outside, by the names the rows use."""

    networks: Mapping[str, SocialNetwork]
    providers: Mapping[str, ProviderFactory]
    merchants: Mapping[str, AdapterFactory]
    messengers: Sequence[Messenger]
    sender: Sender
    setups: Mapping[str, Onboarding] = field(default_factory=dict)


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
    letters: notices.NoticeDeps
    policy: Policy
    handlers: Mapping[str, IntentHandler] = field(repr=False)
    runner_settings: RunnerSettings
    pace: Pace
    sweeps: Mapping[str, Callable[[UUID], object]] = field(repr=False)
    jobs: Mapping[str, Callable[[UUID, UUID], object]] = field(repr=False)

    def deliverer(self, listeners: Listeners) -> Deliverer:
        return Deliverer(self.database, listeners, at_once=HEARD_AT_ONCE)

    def worker_runner(self, deliverer: Deliverer) -> Runner:
        """A runner that goes on with what its recordings owe, for the saga hears of them in the same transaction."""
        return Runner(
            self.database,
            self.handlers,
            self.runner_settings,
            deliverer=deliverer,
            guard=bookings.lock_first,
            foresee=_foresee,
            pace=self.pace,
        )

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


def build(
    settings: Settings,
    outside: Outside,
    *,
    nudger: Nudger | None = None,
    name: str = "groupbook",
    database: Database | None = None,
) -> House:
    """Put the rooms together, on the settings' database or on one that is brought."""
    database = database or Database(settings.database_url, nudger=nudger, name=name)
    sealer = Sealer(settings.secret_key.get_secret_value())
    adapter_of = offers.connected_adapters(outside.merchants, sealer)
    providers = Providers(
        database=database,
        sealer=sealer,
        factories=outside.providers,
        timeout_seconds=settings.provider_timeout_seconds,
        inflight_seconds=settings.second_look_seconds,
        setups=outside.setups,
    )
    handlers: dict[str, IntentHandler] = {
        **offers.intent_handlers(
            database,
            adapter_of,
            timeout_seconds=settings.merchant_timeout_seconds,
            inflight_seconds=settings.second_look_seconds,
        ),
        **payments.intent_handlers(providers),
    }
    runner_settings = RunnerSettings(
        lease_seconds=settings.lease_seconds,
        retry_seconds_min=settings.retry_seconds_min,
        retry_seconds_max=settings.retry_seconds_max,
        attempts_max=settings.call_attempts_max,
        calls_at_once=settings.calls_at_once,
    )
    pace = Pace(
        payments.ENDPOINTS,
        per_second=settings.provider_endpoint_requests_per_second,
        account_per_second=settings.provider_account_requests_per_second,
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
        sealer=sealer,
        public_url=settings.public_url,
        lease_seconds=settings.lease_seconds,
        addresses_per_merchant_max=settings.addresses_per_merchant_max,
    )
    policy = Policy(
        collection_window_seconds=settings.collection_window_seconds,
        confirm_budget_seconds=settings.confirm_budget_seconds,
        settle_budget_seconds=settings.settle_budget_seconds,
    )
    check_settings({}, policy)  # a house that contradicts itself does not start
    return House(
        settings=settings,
        database=database,
        sealer=sealer,
        outside=outside,
        adapter_of=adapter_of,
        providers=providers,
        runner=Runner(database, handlers, runner_settings, pace=pace),
        handlers=handlers,
        runner_settings=runner_settings,
        pace=pace,
        webhooks=hooks,
        letters=letters,
        policy=policy,
        sweeps={
            **_sweeps(database, providers, hooks, letters),
            "pass_places_on": lambda merchant_id: bookings.pass_places_on(database, sealer, merchant_id),
            "read_missed_events": lambda merchant_id: payments.read_missed_events(
                providers, MerchantId(merchant_id), every_seconds=settings.missed_events_seconds
            ),
            "raise_alarms": alarms.Overdue(
                database, call_seconds=settings.call_alarm_seconds, fact_seconds=settings.fact_alarm_seconds
            ).look,
        },
        jobs={
            webhooks.NUDGE: lambda merchant_id, row_id: webhooks.deliver(
                hooks, MerchantId(merchant_id), DeliveryId(row_id)
            ),
            notices.NUDGE: lambda merchant_id, row_id: notices.send(letters, MerchantId(merchant_id), NoticeId(row_id)),
        },
    )


APART: Final = frozenset({"compare_with_provider", "deliver_webhooks", "read_missed_events", "send_notices"})
"""The sweeps that ask somebody outside."""


def _sweeps(
    database: Database, providers: Providers, hooks: webhooks.WebhookDeps, letters: notices.NoticeDeps
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
        "read_standing_orders": step(lambda session: offers.read_standing_orders(session, clock.now(session))),
        "look_at_payments": step(lambda session: payments.sweep(session, now=clock.now(session))),
        "compare_with_provider": lambda merchant_id: payments.reconcile_due(providers, MerchantId(merchant_id)),
        "move_bookings": lambda merchant_id: bookings.sweep(database, merchant_id),
        "deliver_webhooks": lambda merchant_id: webhooks.sweep(hooks, MerchantId(merchant_id)),
        "write_reminders": lambda merchant_id: notices.remind(database, MerchantId(merchant_id)),
        "send_notices": lambda merchant_id: notices.sweep(letters, MerchantId(merchant_id)),
        "forget_sessions": step(people.sweep),
        "forget_keys": step(idempotency.purge),
        "forget_addresses": step(notices.forget_addresses),
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
