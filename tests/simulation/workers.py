"""The house at work: web requests, workers woken by nudges, and beat. All of it production code; only the processes,
their messages and their deaths are made here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from groupbook import bookings, house, offers, payments
from groupbook.bookings import repository as bookings_repository
from groupbook.kit import clock
from groupbook.kit.facts import Deliverer, Listeners
from groupbook.kit.intents import Intent, IntentHandler
from groupbook.kit.runner import Runner, RunnerSettings
from groupbook.kit.sealing import Sealer
from groupbook.offers import repository as offers_repository
from groupbook.offers.ports import MerchantAdapter
from groupbook.payments import Providers
from groupbook.payments.domain import NOT_READ
from groupbook.payments.models import AttemptRow
from groupbook.payments.ports import PaymentProvider
from tests.simulation.clock import Actor
from worker import LISTENERS

# Sweeps of rooms that a settlement does not touch, and what is compared once a day, long after it.
NOT_SWEPT: Final = frozenset(
    {
        "compare_with_provider",
        "decide_trips",
        "deliver_webhooks",
        "write_reminders",
        "send_notices",
        "forget_sessions",
        "forget_keys",
        "forget_addresses",
        "forget_visits",
        "read_standing_orders",
    }
)
HEARD: Final[Listeners] = {
    name: heard
    for name, listeners in LISTENERS.items()
    if (heard := [(room, step) for room, step in listeners if room == "bookings"])
}
_WANTED: Final = tuple(inspect.signature(house._sweeps).parameters)
_SEALER: Final = Sealer("a secret of the simulator, long enough")


def _finds_bookings(session: Any) -> bool:
    return bool(
        bookings_repository.due(session, after=None, limit=1)
        or bookings_repository.waiting_with_authorizations(session, after=None, limit=1)
    )


def _finds_holds(session: Any) -> bool:
    return bool(offers_repository.lock_overdue_holds(session, clock.now(session), 1))


def _finds_payments(session: Any) -> bool:
    """May find: it reads those that nobody has seen for a while."""
    return any(one["state"] not in NOT_READ for one in session.every(AttemptRow))


# Sweep -> the transactions of one that finds nothing, and whether it would find something.
SWEEPS: Final[Mapping[str, tuple[int, Callable[[Any], bool]]]] = MappingProxyType(
    {"move_bookings": (2, _finds_bookings), "expire_holds": (1, _finds_holds), "look_at_payments": (1, _finds_payments)}
)


class Process:
    """A worker or a web server. When it dies, all that is under way in it dies with it.

    Args:
        site: the dice that kill it.
    """

    def __init__(self, name: str, site: str) -> None:
        self.name = name
        self.site = site
        self.actors: set[Actor] = set()
        self.up_at = 0.0


class SimProviders(Providers):
    """The one provider of the one merchant, without looking up its sealed configuration for every call."""

    def provider(self, session: Any) -> PaymentProvider:
        return self.factories["wire"]({}, livemode=False)


class Noted:
    """A handler whose intent the world knows while its call is under way."""

    def __init__(self, world: Any, handler: IntentHandler) -> None:
        self._world = world
        self._handler = handler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    def call(self, intent: Intent) -> Any:
        self._world.timeline.actor.intent = intent
        try:
            return self._handler.call(intent)
        finally:
            self._world.timeline.actor.intent = None

    def observe(self, intent: Intent) -> Any:
        self._world.timeline.actor.intent = intent
        try:
            return self._handler.observe(intent)
        finally:
            self._world.timeline.actor.intent = None

    def record(self, session: Any, intent: Intent, answer: Any) -> None:
        self._handler.record(session, intent, answer)

    def record_refusal(self, session: Any, intent: Intent, refusal: Any) -> None:
        self._handler.record_refusal(session, intent, refusal)


class Work:
    """The production runner, deliverer and sweeps on the world's database and wires."""

    def __init__(self, world: Any, provider: PaymentProvider, adapter: MerchantAdapter) -> None:
        database = world.database.as_production()
        providers = SimProviders(database, _SEALER, {"wire": lambda _configuration, livemode: provider})
        handlers: dict[str, IntentHandler] = {
            **offers.intent_handlers(database, lambda _session: adapter),
            **payments.intent_handlers(providers),
        }
        noted = {kind: Noted(world, handler) for kind, handler in handlers.items()}
        waits: dict[str, Any] = {"sleep": world.sleep, "monotonic": lambda: world.timeline.seconds}
        self.deliverer = Deliverer(database, HEARD, at_once=house.HEARD_AT_ONCE)
        self.runner = Runner(database, noted, RunnerSettings(), **waits)  # the web's
        self.worker = Runner(
            database,
            noted,
            RunnerSettings(),
            deliverer=self.deliverer,
            guard=bookings.lock_first,
            foresee=bookings.foresee,
            **waits,
        )
        known: dict[str, Any] = {"database": database, "sealer": _SEALER, "providers": providers}
        # What the rooms above want for their own sweeps is not there, nor are those sweeps.
        make: Callable[..., Mapping[str, Callable[[UUID], object]]] = house._sweeps
        every = make(*(known.get(name) for name in _WANTED))
        self.read_standing_orders = every["read_standing_orders"]  # where there is something to find: `World`
        self.sweeps = {name: sweep for name, sweep in every.items() if name not in NOT_SWEPT}
