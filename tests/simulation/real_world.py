"""One history of the real simulation: the plan, the people and the bad network of the simulator, in wall time.

The world's `people`, `bank` and `Wire`s are the simulator's own. What they ask of their world is answered here by
threads and a clock that runs `speed` times as fast as the wall's; the house is the production one on PostgreSQL.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import select

from groupbook import merchants, offers, people, trips
from groupbook.bookings.domain import Policy
from groupbook.bookings.models import BookingRow
from groupbook.house import House
from groupbook.kit.callers import Caller
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import MemberId
from groupbook.kit.models import FactRow, IntentRow
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities
from groupbook.offers.models import MerchantOrderRow
from groupbook.payments.models import PortionRow
from groupbook.trips import StartTrip
from groupbook.trips.service.plan import NewOption
from tests.simulation.agenda import Agenda
from tests.simulation.bank import Bank
from tests.simulation.beginning import OFFER, known, train
from tests.simulation.faults import Dice, Fault
from tests.simulation.outcome import Effect
from tests.simulation.outside import Books, Desk, MerchantWire, ProviderWire
from tests.simulation.people import People
from tests.simulation.plan import Plan
from tests.simulation.real_worker import second_look_seconds

late_landing_max: Final = 300.0  # virtual
# On the wall: what is older when its turn comes was lost on the way. A second look comes when nothing can land any
# more.
landing_seconds_max: Final = second_look_seconds / 2
wait_seconds_min: Final = 0.004
window_seconds: Final = 12.0
budget_seconds_min: Final = 6.0
# What takes days, or weeks, and is looked at again only after them.
NOT_HERE: Final = frozenset({"worker.crash", "worker.stall", "web.crash", "nudge", "merchant.standing"})
# What banks and dashboards do without being asked. It ends with the faults; payers go on.
BY_ITSELF: Final = frozenset({"lapse", "_capture_outside", "_dispute", "_decide", "_reopen", "_settle_refund"})
NOT_NOW: Final = frozenset({"pending", "pending_fails", "fails_late", "tickets_later"})
RESTING: Final = frozenset({"aborted", "refunded", "booked", "parked"})
OPEN: Final = ("due", "calling", "unknown")
glance_seconds: Final = 0.25  # on the wall: how often somebody looks whether they are asked to pay


class RealDice(Dice):
    """The simulator's dice. What lands late does so while a second look is still to come."""

    def between(self, site: str, low: float, high: float) -> float:
        return (
            super().between(site, low, min(high, late_landing_max))
            if site == "zombie.delay"
            else super().between(site, low, high)
        )


class RealWorld:
    """One history: its merchant, its party, its two twins, and what the simulator's people ask of their world.

    Args:
        house: the parent's own: the web server, which is never killed.
        slowness: of this machine now; a group has so many times `window_seconds` on the wall, and everything in the
            plan is scaled to that.
    """

    dice: Dice
    soon = timedelta(0)  # the end is judged when nothing is owed, be it for a little later

    def __init__(self, plan: Plan, house: House, agenda: Agenda, number: int, slowness: float = 1.0) -> None:
        self.plan, self.house, self.number, self.slowness = plan, house, number, slowness
        self.window_seconds = window_seconds * slowness
        self.speed = float(str(plan.policy["collection_window_seconds"])) / self.window_seconds
        self.faults: list[Fault] = []
        self.effects: list[Effect] = []
        self.violations: list[str] = []
        self.lock = threading.RLock()  # the books of this history's outside
        self.began = time.monotonic()
        self.faults_end = self.began + self.window_seconds
        self.dice = RealDice(plan.seed, {site: kinds for site, kinds in plan.rates.items() if site not in NOT_HERE})
        self.timeline = SimpleNamespace(seconds=0.0)
        self.provider = Books(clock=self._instant)
        self.merchant = Desk(now=self._instant)
        self.bank = Bank(self)
        self.work = house
        self.production: Any = house.database
        self.database: Any = house.database
        self._agenda = agenda
        self._is_over = False
        self._ended_at: datetime | None = None
        self._under_way = 0  # requests, and what is late in the network
        self._seen_state = ""
        self.left: set[Any] = set()
        self._settle_in()
        self.wires = {"provider": RealProviderWire(self), "merchant": RealMerchantWire(self)}

    # --- time ---

    def _instant(self) -> datetime:
        return self._ended_at or datetime.now(UTC)

    @property
    def now(self) -> datetime:
        return self._instant()

    def later(self, seconds: float, act: Callable[..., object], *given: Any) -> None:
        """In so many virtual seconds. What banks do by themselves ends when faults end."""
        wall = time.monotonic() + max(seconds, 0.0) / self.speed
        is_bank = getattr(act, "__self__", None) is self.bank
        if is_bank and act.__name__ in BY_ITSELF and wall > self.faults_end:
            return

        def do() -> None:
            if self._is_over:
                return
            if not is_bank:
                act(*given)
                return
            with self.lock:
                act(*given)

        self._agenda.at(wall, do)

    def plan_outside(self, seconds: float, act: Callable[[], object]) -> None:
        lost_at = time.monotonic() + landing_seconds_max

        def land() -> None:
            with self.lock:
                if time.monotonic() < lost_at:
                    act()

        self._promise(time.monotonic() + seconds / self.speed, land)

    def _promise(self, wall: float, act: Callable[[], object]) -> None:
        """It happens, and there is no rest before it has."""

        def do() -> None:
            try:
                act()
            finally:
                with self.lock:
                    self._under_way -= 1

        with self.lock:
            self._under_way += 1
        self._agenda.at(wall, do)

    def sleep(self, seconds: float) -> None:
        """Somebody waits for the outside; never so short that nobody can be killed meanwhile."""
        time.sleep(max(seconds / self.speed, wait_seconds_min))

    # --- what the wires and the people ask ---

    def fault(self, site: str, subject: Any = None) -> str | None:
        hit = self.dice.fault(site)
        if hit is None or hit[1] in NOT_NOW or time.monotonic() >= self.faults_end:
            return None
        self.faults.append(Fault(hit[0], hit[1], self.now, subject))
        return hit[1]

    def is_out(self, side: str) -> bool:
        at = (time.monotonic() - self.began) * self.speed
        return time.monotonic() < self.faults_end and any(
            one == side and start <= at < start + length for one, start, length in self.plan.outages
        )

    def crash_point(self) -> None:
        """Processes here are killed by a signal, whatever they are doing."""

    def called(self, site: str, subject: Any) -> None:
        """Calls are counted by the intents' own rows."""

    def told(self, who: str, what: str) -> None:
        """The story of a real history is its database."""

    def person(self, who: Any, what: str, ok: bool, code: str = "") -> None:
        if what == "leave" and ok:
            self.left.add(who)

    def effect(self, effect: Effect) -> None:
        """Something happened outside. What is captured by a call of ours is looked at before anybody hears of it."""
        self.effects.append(effect)
        if effect.side == "provider" and effect.what == "captured" and effect.key is not None:
            if not self.merchant.live_orders():
                self.violations.append("P1/I1: captured without the merchant's order")
            elif not any(row["state"] in ("confirmed", "amending") for row in self.values(MerchantOrderRow)):
                self.violations.append("P1/I1: captured before our row said confirmed")

    def noted(self, attempt_id: Any, payment: Any) -> None:
        self.bank.noted(attempt_id, payment)

    def pump(self) -> None:
        self.bank.pump()

    def came_to(self, state: str) -> None:
        """Nobody is out of reach just then: an outage here is one of the plan's hours."""

    def stall(self) -> None:
        """Here processes are killed, which holds a worker off no less."""

    def order_fell(self) -> None:
        """Here no merchant does: it takes days, and so does the look."""

    def bank_lapses(self, attempt_id: Any) -> None:
        self.bank.lapse(attempt_id)

    def bank_delays_refund(self, refund_id: Any, what: str, answer: Any) -> Any:
        return self.bank.delays_refund(refund_id, what, answer)

    def hold_ends(self, our_ref: str, end: datetime) -> None:
        self._agenda.at(time.monotonic() + (end - self.now).total_seconds() + 0.001, lambda: self._hold_ends(our_ref))

    def _hold_ends(self, our_ref: str) -> None:
        with self.lock:
            known = self.merchant.hold(our_ref)
            if known.state == "live" and known.placed.expires_at <= self.now:
                known.state = "expired"
                self.effect(Effect("merchant", "expired", our_ref, self.now))

    def web(self, name: str, act: Callable[[], object]) -> None:
        """A request to the web server, in a thread of its own."""
        self._promise(time.monotonic(), act)

    def values(self, kind: Any) -> list[dict[str, Any]]:
        """What is committed of a class for this merchant."""
        with self.house.database.begin(self.merchant_id) as session:
            return [dict(row.__dict__) for row in session.scalars(select(kind))]

    def rows(self, kind: Any) -> list[Any]:
        with self.house.database.begin(self.merchant_id) as session:
            return list(session.scalars(select(kind)))

    # --- the beginning and the end ---

    def glance(self) -> None:
        """What everybody sees by looking at their screens: am I asked to pay, is it booked, is it parked?"""
        if self._is_over:
            return
        self._agenda.at(time.monotonic() + glance_seconds, self.glance)
        portions = self.rows(PortionRow)
        if portions:
            self.people.heard(portions[:1])
        for row in self.rows(BookingRow):
            if row.state != self._seen_state:
                self._seen_state = row.state
                self.people.heard([row])

    def begin(self) -> None:
        self.began = time.monotonic()
        self.faults_end = self.began + 1.3 * self.window_seconds
        self.web("open", self.people.begin)
        self._agenda.at(time.monotonic() + glance_seconds, self.glance)

    def close(self) -> None:
        """Nobody begins anything any more; what is under way goes on."""
        self._is_over = True

    def end(self) -> None:
        """Time stops, at an instant at which everything has ended that was to end by itself before it."""
        self._ended_at = self.now
        for our_ref in self.merchant.hold_refs():
            self._hold_ends(our_ref)

    def is_at_rest(self) -> bool:
        """Every booking has ended or waits for a person, and nobody owes a call or a fact: not now, and not when the
        pause of a retry or of a second look is over.
        """
        if self._under_way or any(row["state"] not in RESTING for row in self.values(BookingRow)):
            return False
        soon = self.now + timedelta(seconds=1.5 * second_look_seconds)
        if any(row["state"] in OPEN and row["due_at"] <= soon for row in self.values(IntentRow)):
            return False
        return all(row["delivered_at"] is not None for row in self.values(FactRow))

    def progress(self) -> tuple[int, int, int]:
        """Rises whenever anything is done for this history."""
        intents, facts = self.values(IntentRow), self.values(FactRow)
        heard = sum(row["delivered_at"] is not None for row in facts)
        return sum(row["attempts"] for row in intents), len(intents) + len(facts), heard

    def _settle_in(self) -> None:
        """A merchant of its own, connected to the served twins; a party that has decided on its train."""
        plan, database = self.plan, self.house.database
        merchant = merchants.create_merchant(
            database,
            slug=f"history-{self.number}",
            name="Kestrel Rail",
            livemode=False,
            currency=plan.currency,
            capabilities=Capabilities(**known(Capabilities, plan.capabilities)),
        )
        self.merchant_id = merchant.id
        self.merchant.capability = merchant.capabilities
        with database.begin(merchant.id) as session:
            for kind in ("merchant_adapter", "payment_provider"):
                merchants.connect(
                    session, self.house.sealer, kind=kind, adapter="twin", configuration={"history": self.number}
                )
        offer = train(OFFER, Money(plan.fare, plan.currency), self.now)
        self.merchant.offers[OFFER] = offer
        offer_id = offers.create_offer(database, merchant.id, offer).id
        self.desk = Caller(kind="merchant", merchant_id=merchant.id, subject=merchant.id)
        asked = StartTrip(title="Lights", organizer_name="Friend 0", options=[NewOption(offer_id=offer_id)])
        started = trips.start_trip(database, self.house.sealer, self.desk, asked)
        self.trip_id = started.trip_id
        members: list[MemberId] = [started.member.id]
        tokens = [started.guest_token]

        def join(index: int) -> None:
            joined = trips.join_by_invite(database, None, started.invite_token, name=f"Friend {index}")
            members.append(joined.member.id)
            tokens.append(joined.guest_token)

        for index in range(1, plan.size):
            join(index)
        with database.begin(merchant.id) as session:
            (option,) = trips.options(session, started.trip_id)
        organizer = people.authenticate(database, tokens[0] or "")
        if organizer is None:
            raise InvariantBroken(what="the organizer's token is not known")
        trips.decide(database, organizer, started.trip_id, option.id)
        for index in range(plan.size, plan.size + plan.spares):
            join(index)  # after the decision: in the trip, and not going
        callers = [caller for token in tokens if (caller := people.authenticate(database, token or "")) is not None]
        self.policy = _scaled(plan, self.speed, self.slowness)
        self.people = People(self, members, callers)


class RealProviderWire(ProviderWire):
    """The provider behind the simulator's bad network, one call at a time in its books."""

    _world: RealWorld

    def __init__(self, world: RealWorld) -> None:
        super().__init__(world, "provider", world.provider)

    def _call(self, name: str, method: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return super()._call(name, method, given, _scaled_timeout(self._world, named))

    def _suffer(self, *given: Any) -> Any:
        with self._world.lock:
            return super()._suffer(*given)


class RealMerchantWire(MerchantWire):
    """The merchant behind the same."""

    _world: RealWorld

    def __init__(self, world: RealWorld) -> None:
        super().__init__(world, "merchant", world.merchant)

    def _call(self, name: str, method: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return super()._call(name, method, given, _scaled_timeout(self._world, named))

    def _suffer(self, *given: Any) -> Any:
        with self._world.lock:
            return super()._suffer(*given)


def _scaled_timeout(world: RealWorld, named: dict[str, Any]) -> dict[str, Any]:
    """The caller waits on the wall; the network between waits in the history's time."""
    seconds = named.get("timeout_seconds")
    return named if seconds is None else {**named, "timeout_seconds": 0.6 * seconds * world.speed}


def _scaled(plan: Plan, speed: float, slowness: float) -> Policy:
    """The plan's budgets on the wall: the window as scaled, the others long enough for a busy machine."""
    given = known(Policy, plan.policy)
    least = {"collection_window_seconds": 1.0, "hold_margin_seconds": 0.5, "extension_seconds": 1.0}
    default = {name: value for name, value in Policy().__dict__.items() if name.endswith("_seconds")}
    scaled = {
        name: max(float(given.get(name, value)) / speed, slowness * least.get(name, budget_seconds_min))
        for name, value in default.items()
        if float(given.get(name, value))
    }
    return Policy(**{**given, **scaled})
