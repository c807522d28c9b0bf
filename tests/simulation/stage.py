"""What the people, the bank and the bad network ask of the world they play in, and the judges of what is left of it.

Two worlds answer: `world.World` in virtual time and memory, `real_world.RealWorld` on the wall and PostgreSQL. Whoever
plays in both is typed against `Stage`, so that what one of them lacks is found by mypy and not by a history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from groupbook.bookings.domain import Policy
    from groupbook.kit.callers import Caller
    from groupbook.kit.ids import MerchantId, TripId
    from groupbook.kit.runner import Runner
    from tests.simulation.bank import Bank
    from tests.simulation.faults import Dice, Fault
    from tests.simulation.outcome import Effect
    from tests.simulation.outside import Books, Desk
    from tests.simulation.people import People
    from tests.simulation.plan import Plan


class House(Protocol):
    """The web server's side of the house."""

    @property
    def runner(self) -> Runner: ...


class Clock(Protocol):
    @property
    def seconds(self) -> float:
        """Since the world began; 0 where only the wall counts."""


class Judged(Protocol):
    """What is left of a history when its end is judged."""

    plan: Plan
    faults: list[Fault]

    @property
    def now(self) -> datetime: ...

    def values(self, kind: type) -> Iterable[Mapping[str, Any]]:
        """What is committed of a class, as plain values. To read only."""

    def rows(self, kind: type) -> Sequence[Any]:
        """The same as objects of that class, nobody else's."""


class Stage(Judged, Protocol):
    """A world in which a history is played."""

    dice: Dice
    provider: Books
    merchant: Desk
    bank: Bank
    people: People
    policy: Policy
    trip_id: TripId
    merchant_id: MerchantId
    desk: Caller  # the merchant's own staff, through its API
    database: Any
    production: Any  # the same, as the services are given it

    @property
    def work(self) -> House: ...

    @property
    def timeline(self) -> Clock: ...

    # --- what happens when ---

    def later(self, seconds: float, act: Callable[..., object], *given: Any) -> None: ...

    def plan_outside(self, seconds: float, act: Callable[[], object]) -> None:
        """What is under way in the network arrives then."""

    def sleep(self, seconds: float) -> None:
        """Whoever calls waits."""

    def web(self, name: str, act: Callable[[], object]) -> None:
        """A request to the web server."""

    # --- what goes wrong ---

    def fault(self, site: str, subject: UUID | str | None = None) -> str | None: ...

    def is_out(self, side: str) -> bool: ...

    def crash_point(self) -> None: ...

    def stall(self) -> None:
        """Here a process may stand still for longer than its claim lasts."""

    def came_to(self, state: str) -> None:
        """The booking is in this state now."""

    def bank_lapses(self, attempt_id: Any) -> None: ...

    def bank_delays_refund(self, refund_id: Any, what: str, answer: Any) -> Any: ...

    def hold_ends(self, our_ref: str, end: datetime) -> None:
        """The merchant's promise has an end; when it comes, the places are anybody's."""

    def order_fell(self) -> None:
        """The merchant canceled what it had sold: who looks at orders that stand will see it, within a day or so."""

    # --- what is seen ---

    def called(self, site: str, subject: Any) -> None: ...

    def effect(self, effect: Effect) -> None: ...

    def noted(self, attempt_id: Any, payment: Any) -> None: ...

    def pump(self) -> None: ...

    def person(self, who: UUID, what: str, ok: bool, code: str = "") -> None: ...

    def told(self, who: str, what: str) -> None: ...
