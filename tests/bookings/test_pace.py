"""Two hundred bookings of ten reach their deadline in one minute, and the provider allows 25 requests a second.

Production services, runner, pace and listeners on the simulator's memory and its virtual time: nobody waits a real
second. Nothing sweeps here: that every call finds its turn is the doing of the line alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from groupbook import bookings, offers, payments
from groupbook.bookings.domain import BookingState, Policy
from groupbook.bookings.models import BookingRow
from groupbook.house import HEARD_AT_ONCE
from groupbook.kit.errors import Unavailable
from groupbook.kit.facts import Deliverer
from groupbook.kit.ids import AttemptId, BookingId, GuestId, MemberId, OptionId, PortionId, TripId, new_id
from groupbook.kit.intents import IntentHandler
from groupbook.kit.models import IntentRow
from groupbook.kit.money import Money
from groupbook.kit.pace import Pace, free
from groupbook.kit.runner import Runner, RunnerSettings
from groupbook.merchants.domain import Capabilities, Merchant
from groupbook.payments.models import PortionRow
from integrations.merchants.twin import TwinMerchant
from integrations.payments.twin import Twin
from tests.simulation.beginning import MERCHANT, callers_of, decide_on, train
from tests.simulation.clock import EPOCH, Actor, Timeline
from tests.simulation.memory import memory_database
from tests.simulation.workers import _SEALER, HEARD, SimProviders

LIMIT: Final = 25
ACCOUNT_LIMIT: Final = 100
ENDPOINT: Final = {
    "open_payment": "create",
    "observe": "read",
    "capture": "capture",
    "void": "cancel",
    "close_payment": "cancel",
}


class CountingProvider:
    """The twin behind a limiter: it counts every second of every endpoint, and refuses what is too much."""

    def __init__(self, twin: Twin, timeline: Timeline, latency_seconds: float) -> None:
        self._twin, self._timeline, self._latency_seconds = twin, timeline, latency_seconds
        self.asked: dict[str, list[float]] = {}
        self.subjects: list[tuple[str, AttemptId]] = []
        self.refused = 0
        self.is_counting = False

    def __getattr__(self, name: str) -> Any:
        act = getattr(self._twin, name)
        return act if name not in ENDPOINT else lambda *given, **named: self._ask(name, act, given, named)

    def _ask(self, name: str, act: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if not self.is_counting:
            return act(*given, **named)
        now = self._timeline.seconds
        every = self.asked.setdefault(ENDPOINT[name], [])
        self.subjects.append((name, given[0].attempt_id))
        every.append(now)
        total = sum(at > now - 1.0 for one in self.asked.values() for at in one[-ACCOUNT_LIMIT - 1 :])
        if sum(at > now - 1.0 for at in every[-LIMIT - 1 :]) > LIMIT or total > ACCOUNT_LIMIT:
            self.refused += 1
            raise Unavailable(what=name, status=429)
        self._timeline.sleep(self._latency_seconds)
        return act(*given, **named)


class Rush:
    """A house whose workers are actors on one timeline."""

    def __init__(self, *, workers: int, latency_seconds: float) -> None:
        self.timeline = Timeline()
        self.twin = Twin(clock=self.timeline.instant)
        self.provider = CountingProvider(self.twin, self.timeline, latency_seconds)
        self.merchant = TwinMerchant(capability=Capabilities(holds=True), now=self.timeline.instant)
        self.database = memory_database(now=self.timeline.instant, nudger=self)
        self.database.settings["merchant"] = Merchant(
            MERCHANT, "kestrel", "Kestrel Rail", False, "en", "UTC", "EUR", "wire", Capabilities(holds=True)
        )
        self.production = self.database.as_production()
        provider: Any = self.provider
        providers = SimProviders(self.production, _SEALER, {"wire": lambda _configuration, livemode: provider})
        handlers: dict[str, IntentHandler] = {
            **offers.intent_handlers(self.production, lambda _session: self.merchant),
            **payments.intent_handlers(providers),
        }
        self.deliverer = Deliverer(self.production, HEARD, at_once=HEARD_AT_ONCE)
        heard: dict[str, Any] = {"deliverer": self.deliverer, "guard": bookings.lock_first, "foresee": bookings.foresee}
        self.unhurried = Runner(self.production, handlers, **heard)
        self.runner = Runner(
            self.production,
            handlers,
            RunnerSettings(calls_at_once=10),
            **heard,
            pace=Pace(payments.ENDPOINTS, per_second=LIMIT, account_per_second=ACCOUNT_LIMIT),
            side_by_side=self._side_by_side,
            sleep=self.timeline.sleep,
            monotonic=lambda: self.timeline.seconds,
        )
        self._queue: deque[tuple[str, UUID]] = deque()
        self._idle = workers
        self._is_rushing = False

    # --- work ---

    def nudge(self, task: str, merchant_id: UUID, row_id: UUID) -> None:
        self._queue.append((task, row_id))
        if self._is_rushing and self._idle:
            self._idle -= 1
            self.timeline.spawn(Actor("worker"), self._live)

    def _live(self) -> None:
        self._work(self.runner)
        self._idle += 1

    def _work(self, runner: Runner) -> None:
        while self._queue:
            task, row_id = self._queue.popleft()
            if task == "run_intent":
                runner.run(MERCHANT, row_id)
            elif task == "deliver_fact":
                self.deliverer.deliver(MERCHANT, row_id)

    def _side_by_side(self, call: Callable[[Any], Any], claims: Sequence[Any]) -> Iterable[Any]:
        """Threads, as actors."""
        answers: dict[int, Any] = {}

        def make(index: int) -> None:
            answers[index] = call(claims[index])

        for index in range(len(claims)):
            self.timeline.spawn(Actor("call"), partial(make, index))
        while len(answers) < len(claims):
            self.timeline.sleep(0.01)
        return [answers[index] for index in range(len(claims))]

    def rush(self, seconds: float) -> None:
        self._is_rushing = self.provider.is_counting = True
        self.timeline.run(seconds)

    # --- groups ---

    def open(self, size: int, policy: Policy) -> tuple[BookingId, list[AttemptId]]:
        """A booking whose payers all stand before their page."""
        now, trip_id = self.timeline.now, TripId(new_id())
        members, guests = [MemberId(new_id()) for _ in range(size)], [GuestId(new_id()) for _ in range(size)]
        offer = train(new_id().hex, Money(5_000, "EUR"), now)
        self.merchant.offers[offer.ref] = offer
        with self.production.begin(MERCHANT) as session:
            decide_on(session, (trip_id, OptionId(new_id())), offer, members, guests, now, size=size)
        callers = callers_of(guests)
        booking_id = bookings.open_booking(self.production, callers[0], trip_id, policy=policy)
        self._work(self.unhurried)
        by_payer = dict(zip(members, callers, strict=True))
        for portion in [one for one in self.database.values(PortionRow) if one["reference"] == booking_id]:
            bookings.start_payment(
                self.production,
                self.unhurried,
                by_payer[MemberId(portion["payer"])],
                PortionId(portion["id"]),
                locale="en",
                public_url="https://groupbook.test",
            )
        with self.production.begin(MERCHANT) as session:
            views = payments.portions_of(session, booking_id)
        return booking_id, [view.attempt_id for view in views if view.attempt_id is not None]

    def authorize(self, attempt_id: AttemptId) -> None:
        """The bank says yes, and the provider's message arrives."""
        already = len(self.twin._events)
        self.twin.authorize(attempt_id)
        (event,) = self.twin._events[already:]
        with self.production.begin(MERCHANT) as session:
            payments.handle_event(session, "twin", event, b"{}")

    def quiet(self) -> None:
        self._work(self.unhurried)


def _instant(at: datetime | None) -> datetime:
    assert at is not None
    return at


def peak(times: Iterable[float]) -> int:
    """The most requests in any second, whichever way the seconds are cut."""
    ordered, most, first = sorted(times), 0, 0
    for last, at in enumerate(ordered):
        while ordered[first] <= at - 1.0 + 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_two_hundred_bookings_at_their_deadline() -> None:
    """Never above 25 a second per endpoint nor 100 in all; 95 % of it used; in the order they came; all in time."""
    count, size = 200, 10
    rush = Rush(workers=12, latency_seconds=0.25)
    policy = Policy()
    opened = [rush.open(size, policy) for _ in range(count)]
    for _, attempts in opened:
        for attempt_id in attempts[:-1]:
            rush.authorize(attempt_id)
    rush.quiet()
    last = {booking_id: attempts[-1] for booking_id, attempts in opened}
    deadlines = {_instant(row.deadline_at) for row in rush.database.rows(BookingRow)}
    assert len(deadlines) == 1
    begin = (deadlines.pop() - EPOCH).total_seconds() - 61.0
    for index, attempt_id in enumerate(last.values()):
        rush.timeline.at(begin + index * 60.0 / count, rush.authorize, attempt_id)
    rush.rush(begin + 3_600)

    asked = rush.provider.asked
    assert rush.provider.refused == 0
    assert {endpoint: peak(times) <= LIMIT for endpoint, times in asked.items()} == {"read": True, "capture": True}
    assert peak(at for times in asked.values() for at in times) <= ACCOUNT_LIMIT
    # Each last message and each last look is a reading, each portion a capture: readings are the narrow place.
    assert {endpoint: len(times) for endpoint, times in asked.items()} == {
        "read": count * (size + 1),
        "capture": count * size,
    }
    readings = asked["read"]
    backlog = [at for at in readings if at > readings[LIMIT]]
    assert len(backlog) / (backlog[-1] - backlog[0]) >= 0.95 * LIMIT

    rows = {row.id: row for row in rush.database.rows(BookingRow)}
    assert {row.state for row in rows.values()} == {BookingState.BOOKED.value}
    late = [_instant(row.finished_at) - _instant(row.deadline_at) for row in rows.values()]
    assert max(late) <= timedelta(seconds=count * (size + 1) / (0.95 * LIMIT))
    assert max(late) <= timedelta(seconds=policy.confirm_budget_seconds)
    finished = sorted(rows, key=lambda id: _instant(rows[id].finished_at))
    places = {booking_id: place for place, booking_id in enumerate(last)}
    assert [abs(places[BookingId(id)] - place) <= 2 for place, id in enumerate(finished)] == [True] * count


def test_captures_are_made_in_the_order_they_were_owed() -> None:
    """Forty parties, three seconds apart, and few workers: the line is not long, and still nobody overtakes."""
    rush = Rush(workers=6, latency_seconds=0.25)
    opened = [rush.open(10, Policy()) for _ in range(40)]
    for _, attempts in opened:
        for attempt_id in attempts[:-1]:
            rush.authorize(attempt_id)
    rush.quiet()
    for index, (_, attempts) in enumerate(opened):
        rush.timeline.at(100.0 + index * 3.0, rush.authorize, attempts[-1])
    rush.rush(3_600.0)
    captures = rush.provider.asked["capture"]
    assert (len(captures), rush.provider.refused, peak(captures) <= LIMIT) == (400, 0, True)
    owed = {row.subject: row.owed_at for row in rush.database.rows(IntentRow) if row.kind == "payment.capture"}
    order = [owed[subject] for name, subject in rush.provider.subjects if name == "capture"]
    assert all(one <= other for one, other in pairwise(order))


def test_no_second_holds_more_than_the_account_allows() -> None:
    taken = [0.0, 0.1, 0.2, 0.3]
    assert free(taken, 0.35, limit=5) == 0.35
    assert free(taken, 0.35, limit=4) == 1.0
    assert free(taken, 1.05, limit=4) == 1.05
    assert free([0.0, 0.5, 1.2, 1.3], 0.9, limit=3) == 1.5
