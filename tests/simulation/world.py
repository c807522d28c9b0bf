"""One simulated history: the production machines, runner and listeners between people and a faulty outside.

    world = World(draw(seed), watch=watch)
    world.run()

Everything random comes from the plan's seed; the same plan gives the same history, event by event. `muted` switches
fault sites or single occurrences off and leaves every other die as it falls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy.exc import OperationalError

from groupbook.bookings.domain import ENDED, BookingState, Policy
from groupbook.bookings.models import BookingRow
from groupbook.kit.callers import Caller
from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.ids import ids_made_by, to_wire
from groupbook.kit.models import FactRow, IntentRow
from groupbook.kit.money import Money
from groupbook.offers import repository as offers
from groupbook.offers.models import HoldRow, MerchantOrderRow
from groupbook.payments.models import AttemptRow
from tests.simulation.bank import Bank
from tests.simulation.beginning import MERCHANT, OFFER, known, settle_in
from tests.simulation.clock import EPOCH, Actor, Killed, Timeline
from tests.simulation.faults import Dice, Fault
from tests.simulation.memory import MemoryDatabase, MemorySession, memory_database
from tests.simulation.memory.kit import is_runnable
from tests.simulation.memory.store import KINDS, Values, kind_of
from tests.simulation.outcome import Effect
from tests.simulation.outside import Books, Desk, MerchantWire, ProviderWire
from tests.simulation.people import People
from tests.simulation.plan import Plan, Profile, draw
from tests.simulation.workers import SWEEPS, Process, Work

__all__ = ["Fault", "Line", "Plan", "Profile", "World", "draw"]

_RESTING: Final = frozenset(state.value for state in (*ENDED, BookingState.PARKED, BookingState.BOOKED))
events_max: Final = 50_000
_pause_seconds_max: Final = 6 * 3600.0
_release_ahead: Final = timedelta(hours=6)  # of a lapse: what nobody will take is given back from then on
_look_seconds: Final = 6 * 3600.0  # how often it is asked whether an order was not read for a day
_OPEN: Final = ("due", "calling", "unknown")
_UNSEEN: Final = ("open", "action", "declined", "authorized")  # attempts that the sweep reads when nobody tells of them


class Restless(Exception):
    """A history that goes on and on: something answers itself for ever."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the story."""

    at: datetime
    who: str
    what: str


class World:
    """A merchant, a party, a provider, and the house between them.

    Args:
        muted: names of faults (`provider.capture#3`) and whole sites (`worker.crash`) that do not happen.
        watch: judges; see `tests.simulation.invariants.Watch`. A `Violation` it raises ends the history.
        telling: keep `log`, what happened in words.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        muted: frozenset[str] = frozenset(),
        watch: Any | None = None,
        telling: bool = False,
    ) -> None:
        self.plan = plan
        self.watch = watch
        self.telling = telling
        self.log: list[Line] = []
        self.faults: list[Fault] = []
        self.timeline = Timeline()
        self.dice = Dice(plan.seed, plan.rates, muted)
        self._outages = [one for one in plan.outages if f"{one[0]}.down" not in muted]
        self._away = [one for one in plan.away if f"{one.side}.down" not in muted]
        self._beats: set[datetime] = set()
        self._is_beating = False
        self._pause = plan.sweep_seconds
        self._ids = 0
        self.database = memory_database(now=self.timeline.instant, nudger=self)
        self.production = self.database.as_production()
        self.merchant_id = MERCHANT
        self.provider = Books(clock=self.timeline.instant)
        self.merchant = Desk(now=self.timeline.instant)
        self.bank = Bank(self)
        provider: Any = ProviderWire(self, "provider", self.provider)
        merchant: Any = MerchantWire(self, "merchant", self.merchant)
        self._wires = provider, merchant
        self.work = Work(self, *self._wires)
        self._web = Process("web", "web.crash")
        self._workers = [Process(f"worker {number}", "worker.crash") for number in range(1, plan.workers + 1)]
        self._crashes = "worker.crash" in plan.rates or "web.crash" in plan.rates
        self._commits_fail = "database.commit" in plan.rates
        self.policy = Policy(**known(Policy, plan.policy))
        with ids_made_by(self._make_id):
            self._settle_in()
        self.database.before_commit = self._before_commit
        self.database.after_commit = self._after_commit

    # --- what others read ---

    @property
    def now(self) -> datetime:
        return self.timeline.now

    def values(self, kind: type) -> Iterable[Values]:
        """What is committed of a class, as plain values. To read only."""
        return self.database.values(kind)

    def rows(self, kind: type) -> list[Any]:
        """The same as objects of that class, nobody else's."""
        return self.database.rows(kind)

    # --- running ---

    def run(self) -> None:
        """Live the history to its end: nothing left to happen, or the horizon.

        Raises:
            Violation: what the watch saw.
        """
        if self.watch is not None:
            self.watch.started(self)
        with ids_made_by(self._make_id):
            self.timeline.later(0.0, self.people.begin)
            if not self.timeline.run(self.plan.horizon, events_max=events_max):
                raise Restless(self.plan.seed)
        if self.watch is not None:
            self.watch.quiet(self)

    def _is_moving(self) -> bool:
        """Whether a sweep could find something, now or ever. (Facts have sweeps of their own.)"""
        return (
            any(values["state"] not in _RESTING for values in self.values(BookingRow))
            or any(values["state"] in _OPEN for values in self.values(IntentRow))
            or any(values["state"] in _UNSEEN for values in self.values(AttemptRow))
        )

    def replace_database(self, database: Any) -> None:
        """Let the house work on another database that holds what this one holds now."""
        self.database, self.production = database, database.as_production()
        self.work = Work(self, *self._wires)

    def later(self, seconds: float, act: Callable[..., object], *given: Any) -> None:
        self.timeline.later(seconds, act, *given)

    def plan_outside(self, seconds: float, act: Callable[[], object]) -> None:
        self.timeline.later(seconds, act)

    def sleep(self, seconds: float) -> None:
        """The actor under way waits. No transaction may be open."""
        forbid_in_transaction("waiting")
        self.timeline.sleep(seconds)

    # --- processes ---

    def web(self, name: str, act: Callable[[], object]) -> None:
        """A request to the web server; while it is down, nobody answers."""
        if self._web.up_at <= self.timeline.seconds:
            self._spawn(name, self._web, act)

    def _spawn(self, name: str, home: Process, act: Callable[[], object]) -> None:
        actor = Actor(name, home)
        home.actors.add(actor)

        def live() -> None:
            try:
                act()
            except OperationalError as error:
                self.told(actor.name, f"fails: {error.orig}")  # a task that failed, a request that answered 503
            finally:
                home.actors.discard(actor)

        self.timeline._start(actor, live)

    def nudge(self, task: str, merchant_id: UUID, row_id: UUID) -> None:
        """The broker: a message that is lost, doubled or late changes nothing but the hour."""
        if task not in ("run_intent", "deliver_fact"):
            return
        what = self.fault("nudge", row_id)
        if what == "lost":
            return
        delay = self.dice.between("nudge.delay", 0.01, 0.2)
        if what == "late":
            delay += self.dice.between("nudge.late", 5, 900)
        self.later(delay, self._receive, task, row_id)
        if what == "double":
            self.later(delay + self.dice.between("nudge.again", 0.0, 30), self._receive, task, row_id)

    def _receive(self, task: str, row_id: UUID) -> None:
        if task == "run_intent":
            self._work(task, lambda: self.work.worker.run(MERCHANT, row_id))
        else:
            self._work(task, lambda: self.work.deliverer.deliver(MERCHANT, row_id))

    def _work(self, name: str, act: Callable[[], object]) -> None:
        home = self._worker()
        if home is not None:
            self._spawn(name, home, act)

    def _worker(self) -> Process | None:
        """One that is up."""
        at = self.timeline.seconds
        up = [worker for worker in self._workers if worker.up_at <= at]
        return up[int(self.dice.draw("worker.pick") * len(up))] if up else None

    # --- beat ---
    #
    # Production sweeps every 15 seconds and mostly finds nothing. Here a sweep happens where it could find something:
    # within 15 seconds of each instant that a committed row names, and now and then for what no row names.

    def _beat(self) -> None:
        """What looks after everything, now and then, while there is something to look after."""
        self._is_beating = self._is_moving()
        if self._is_beating:
            # Where nothing moves, looking as often again would find as little.
            self.later(self._pause, self._beat)
            self._pause = min(self._pause * 1.6, _pause_seconds_max)
            for name in self.work.sweeps:
                self._sweep(name)

    def _sweep(self, name: str) -> None:
        """One sweep. Where nothing waits for it, all that can happen is what goes wrong where its transactions end."""
        home = self._worker()
        if home is None:
            return
        transactions, finds = SWEEPS[name]
        database: object = self.database
        if not isinstance(database, MemoryDatabase) or finds(MemorySession(database, MERCHANT)):
            self._spawn(name, home, partial(self.work.sweeps[name], MERCHANT))
            return
        self.timeline.actor = Actor(name, home)
        try:
            for _ in range(transactions):
                self._before_commit(None)
        except OperationalError as error:
            self.told(name, f"fails: {error.orig}")
        except Killed:
            pass
        finally:
            self.timeline.actor = None

    def _beat_for(self, rows: list[Any]) -> None:
        """The sweeps that will find these rows."""
        if not self._is_beating:
            self._is_beating = True
            self.later(self.plan.sweep_seconds, self._beat)
        for row in rows:
            values = row.__dict__
            kind = KINDS[type(row)]
            if kind is IntentRow:
                if values["state"] in _OPEN:
                    due_at = values["lease_until"] if values["state"] == "calling" else values["due_at"]
                    self._sweep_at(due_at, self._find_intent, values["id"])
            elif kind is FactRow:
                if values["delivered_at"] is None:
                    self._sweep_at(values["due_at"], self._find_fact, values["id"])
            elif kind is AttemptRow:
                if values["state"] == "authorized" and values["capture_before"] is not None:
                    self._sweep_at(values["capture_before"] - _release_ahead, self._find_lapsing, values["id"])
            elif kind is BookingRow or kind is HoldRow:
                now, self._pause = self.now, self.plan.sweep_seconds
                for value in values.values():
                    if type(value) is datetime and value > now and value not in self._beats:
                        self._beats.add(value)
                        self._sweep_at(value, self._look_after)

    def _sweep_at(self, due_at: datetime, act: Callable[..., object], *given: Any) -> None:
        seconds = (due_at - EPOCH).total_seconds()
        if seconds < self.timeline.seconds:
            seconds = self.timeline.seconds
        # By the row and the hour, not by turn: the order of rows within a commit is nobody's business.
        turn = int(seconds * 1000) + (given[0].int & 0xFFFFFF if given else 0)
        self.timeline.at(seconds + 0.1 + 14.9 * self.dice.chance("sweep", turn), act, *given)

    def _find_intent(self, id: UUID) -> None:
        values = self.database.value(IntentRow, id)
        if is_runnable(values, self.timeline.now):
            self._receive("run_intent", id)
            self._sweep_at(self.timeline.now + timedelta(seconds=self.plan.sweep_seconds), self._find_intent, id)

    def _find_fact(self, id: UUID) -> None:
        values = self.database.value(FactRow, id)
        if values["delivered_at"] is None and values["due_at"] <= self.now:
            self._receive("deliver_fact", id)
            self._sweep_at(self.now + timedelta(seconds=self.plan.sweep_seconds), self._find_fact, id)

    def _find_lapsing(self, id: UUID) -> None:
        values = self.database.value(AttemptRow, id)
        if values["state"] == "authorized" and values["capture_before"] > self.now:
            self._look_after()
            self._sweep_at(self.now + _release_ahead / 6, self._find_lapsing, id)

    def _look_after(self) -> None:
        for name in self.work.sweeps:
            if name != "look_at_payments":
                self._sweep(name)

    def order_fell(self) -> None:
        self.later(self.dice.between("merchant.looked_at", 0.0, _look_seconds), self._read_orders)

    def _read_orders(self) -> None:
        """The daily look at orders that stand, where it will find something; until it has."""
        for order in self.values(MerchantOrderRow):
            sold = self.merchant.order(to_wire("ord", order["id"]))
            if order["state"] in ("confirmed", "amending") and sold is not None and sold.state == "canceled":
                self._work("read_standing_orders", partial(self.work.read_standing_orders, MERCHANT))
                self.later(_look_seconds, self._read_orders)
                return

    # --- faults ---

    def fault(self, site: str, subject: UUID | str | None = None) -> str | None:
        """What goes wrong here and now, if anything; faults end when the plan says so."""
        hit = self.dice.fault(site)
        if hit is None or self.timeline.seconds >= self.plan.faults_end:
            return None
        name, what = hit
        fault = Fault(name, what, self.now, subject)
        self.faults.append(fault)
        self.told("fault", f"{name}: {what}")
        if self.watch is not None:
            self.watch.fault(self, fault)
        return what

    def is_out(self, side: str) -> bool:
        if not self._outages:
            return False
        at = self.timeline.seconds
        return any(one == side and start <= at < start + length for one, start, length in self._outages)

    def came_to(self, state: str) -> None:
        """The booking is in this state; whoever is to be out of reach just then, is."""
        for away in [one for one in self._away if one.state == state]:
            self._away.remove(away)
            self._outages.append((away.side, self.timeline.seconds + away.after, away.length))

    def stall(self) -> None:
        """Here a process may stand still, an answer in its hands, for longer than it may keep what it claimed."""
        actor = self.timeline.actor
        if actor is not None and actor.intent is not None and self.fault("worker.stall", actor.intent.id):
            self.sleep(self.dice.between("worker.stalls", 130, 900))

    def crash_point(self) -> None:
        """Here a process may die.

        Raises:
            Killed: it did, and this actor with it.
        """
        if self._crashes:
            self._may_die("before")

    def _may_die(self, moment: str) -> None:
        actor = self.timeline.actor
        if actor is None or actor.home is None:
            return
        home: Process = actor.home
        what = self.fault(home.site, home.name)
        if what is None:
            return
        home.up_at = self.timeline.seconds + self.plan.restart_seconds
        for other in list(home.actors):
            if other is not actor:
                self.later(0.0, self.timeline.kill, other)
        home.actors.clear()
        self.told(home.name, f"dies {moment} a commit" if moment != "before" else "dies")
        raise Killed

    def _before_commit(self, _: MemorySession | None) -> None:
        if self._commits_fail and self.timeline.actor is not None and self.fault("database.commit"):
            raise OperationalError("COMMIT", {}, ConnectionError("the connection is gone"))
        if self._crashes:
            self._may_die("before")

    def _after_commit(self, rows: list[Any]) -> None:
        if len(rows) > 1:
            rows.sort(key=_by_kind)  # as any database would tell them
        self._beat_for(rows)
        if self.watch is not None:
            self.watch.committed(self, rows)
        if self.telling:
            self._tell_rows(rows)
        self.people.heard(rows)
        if self._crashes:
            self._may_die("after")

    # --- what is seen ---

    def called(self, site: str, subject: Any) -> None:
        """A call is sent."""
        actor = self.timeline.actor
        intent = actor.intent if actor is not None else None
        if self.telling:
            self.told(actor.name if actor else "", f"calls {site} {_short(subject)}")
        if intent is not None and self.watch is not None:
            self.watch.called(self, intent)

    def effect(self, effect: Effect) -> None:
        """Something really happened outside."""
        if self.telling:
            self.told(effect.side, f"{effect.what} {_short(effect.subject)} {effect.minor or ''}".rstrip())
        if self.watch is not None:
            self.watch.effect(self, effect)

    def person(self, who: UUID, what: str, ok: bool, code: str = "") -> None:
        if self.telling:
            self.told(f"person {_short(who)}", what if ok else f"may not {what}: {code}")
        if self.watch is not None:
            self.watch.person(self, who, what, ok)

    def told(self, who: str, what: str) -> None:
        if self.telling:
            self.log.append(Line(self.now, who, what))

    def _tell_rows(self, rows: list[Any]) -> None:
        for row in rows:
            values = row.__dict__
            kind = kind_of(row)
            if kind is IntentRow:
                error = f" ({values['last_error']})" if values.get("last_error") else ""
                self.told("house", f"intent {values['kind']} {_short(values['subject'])}: {values['state']}{error}")
            elif kind is FactRow:
                if values["attempts"] == 0:
                    self.told("house", f"fact {values['name']} {_short(values['subject'])}")
            elif "state" in values:
                self.told("house", f"{kind.__tablename__} {_short(values['id'])}: {values['state']}")

    # --- the wires ask ---

    def bank_lapses(self, attempt_id: Any) -> None:
        self.bank.lapse(attempt_id)

    def bank_delays_refund(self, refund_id: Any, what: str, answer: Any) -> Any:
        return self.bank.delays_refund(refund_id, what, answer)

    def noted(self, attempt_id: Any, payment: Any) -> None:
        self.bank.noted(attempt_id, payment)

    def pump(self) -> None:
        self.bank.pump()

    def hold_ends(self, our_ref: str, end: datetime) -> None:
        """The merchant's promise has an end; when it comes, the places are anybody's."""

        def ends() -> None:
            known = self.merchant.hold(our_ref)
            if known.state == "live" and known.placed.expires_at <= self.now:
                known.state = "expired"
                self.effect(Effect("merchant", "expired", our_ref, self.now))

        self.later((end - self.now).total_seconds(), ends)

    # --- the beginning ---

    def _make_id(self) -> UUID:
        """Sorted by millisecond, in no order within one, as real ones are."""
        self._ids += 1
        milliseconds = int(self.timeline.seconds * 1000) + 1
        low = (hash((self.plan.seed, self._ids)) * 0x9E3779B97F4A7C15) & ((1 << 62) - 1)
        high = hash((self._ids, self.plan.seed)) & 0xFFF
        return UUID(int=(milliseconds << 80) | (7 << 76) | (high << 64) | (2 << 62) | low)

    def _settle_in(self) -> None:
        """A merchant, an offer, and a party that has decided on it."""
        self.trip_id, members, callers = settle_in(self)
        self.desk = Caller(kind="merchant", merchant_id=MERCHANT, subject=MERCHANT)
        self.people = People(self, members, callers)
        for at_seconds, percent in self.plan.price_moves:
            self.later(at_seconds, self._move_price, percent)
        if self.plan.sells_out_at is not None:
            self.later(self.plan.sells_out_at, self.merchant.offers.pop, OFFER)

    def _move_price(self, percent: int) -> None:
        """The merchant sells at another fare from now on."""
        offer = self.merchant.offers.get(OFFER)
        if offer is None:
            return
        minor = offer.fares["flex"].minor * (100 + percent) // 1000 * 10
        self.merchant.offers[OFFER] = replace(offer, fares={"flex": Money(minor, self.plan.currency)})
        self.told("merchant", f"sells at {minor} now")
        if self.dice.draw("offer.searched") < 0.7:
            self.web("search", self._search)

    def _search(self) -> None:
        """Somebody else looks for a journey; what the merchant says is kept."""
        offer = self.merchant.offers.get(OFFER)
        if offer is not None:
            with self.database.begin(MERCHANT) as memory:
                session: Any = memory
                offers.save_offer(session, offer, self.now)


def _by_kind(row: Any) -> tuple[str, int]:
    values = row.__dict__
    return type(row).__name__, values["id"].int if "id" in values else 0


def _short(subject: Any) -> str:
    return subject.hex[-6:] if isinstance(subject, UUID) else str(subject)[-6:]
