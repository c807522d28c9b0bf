"""Virtual time and the actors who live in it: one thread, one heap, and a greenlet per actor.

An actor is a piece of production code under way: a worker's task, a web request, somebody with a phone. It runs until
it waits (for the provider's answer, for its next thought); then the others run. So calls overlap as they do among
processes, at every outside call, and the same seed gives the same order each time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # it publishes no types

EPOCH: Final = datetime(2027, 1, 4, 9, 0, tzinfo=UTC)

_idle: Final[list[greenlet]] = []  # stacks whose actor has finished


class Killed(BaseException):
    """The process this actor lived in is gone. Not an Exception: no handler may swallow it."""


class Actor:
    """Somebody or something under way.

    Args:
        home: the process it dies with; None for people.
    """

    __slots__ = ("_greenlet", "home", "intent", "name", "wait")

    def __init__(self, name: str, home: Any | None = None) -> None:
        self.name = name
        self.home = home
        self.intent: Any = None
        self.wait = 0
        self._greenlet: greenlet | None = None  # while it lives


class Timeline:
    """What happens when. Times are seconds since the world's beginning."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.now: datetime = EPOCH
        self.actor: Actor | None = None
        self.events = 0
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0
        self._hub = getcurrent()

    def instant(self) -> datetime:
        """Now, as the database and the outside say it."""
        return self.now

    def at(self, seconds: float, act: Callable[..., object], *given: Any) -> None:
        """Let `act` happen then. What is planned for one instant happens in the order of planning."""
        self._count += 1
        at = seconds if seconds > self.seconds else self.seconds
        heappush(self._heap, (at, self._count, act, given))

    def later(self, seconds: float, act: Callable[..., object], *given: Any) -> None:
        self._count += 1
        at = self.seconds + seconds if seconds > 0.0 else self.seconds
        heappush(self._heap, (at, self._count, act, given))

    def spawn(self, actor: Actor, act: Callable[[], object], *, after: float = 0.0) -> Actor:
        """Start an actor then; it ends when `act` returns, or is killed."""
        self.later(after, self._start, actor, act)
        return actor

    def sleep(self, seconds: float) -> None:
        """The actor under way waits; the others go on.

        Raises:
            Killed: its process died meanwhile.
        """
        actor = self.actor
        if actor is None:
            raise RuntimeError("only an actor can wait")
        actor.wait += 1
        self.later(seconds, self._resume, actor, actor.wait)
        self._hub.switch()

    def kill(self, actor: Actor) -> None:
        """Called from outside of actors: it never gets its answer."""
        known = actor._greenlet
        if known is not None:
            actor.wait += 1
            self.actor = actor
            known.throw(Killed)
            self.actor = None

    def run(self, until: float, *, events_max: int = sys.maxsize) -> bool:
        """One thing after the other happens, until nothing is left by then. False: there was no end to it."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            seconds, _, act, given = heappop(heap)
            if seconds > self.seconds:
                self.seconds = seconds
                self.now = EPOCH + timedelta(seconds=seconds)
            self.events += 1
            act(*given)
            if self.events > events_max:
                return False
        return True

    def _start(self, actor: Actor, act: Callable[[], object]) -> None:
        stage = _idle.pop() if _idle else None
        if stage is None or stage.parent is not self._hub:
            stage = greenlet(_live, parent=self._hub)
        actor._greenlet = stage
        self._switch(actor, actor, act)

    def _resume(self, actor: Actor, wait: int) -> None:
        if actor.wait == wait:
            self._switch(actor)

    def _switch(self, actor: Actor, *given: Any) -> None:
        if actor._greenlet is not None:
            self.actor = actor
            try:
                actor._greenlet.switch(*given)
            finally:
                self.actor = None


def _live(actor: Actor, act: Callable[[], object]) -> None:
    """One actor's life after another: a new stack for each would cost more than most of them do."""
    stage, next_life = getcurrent(), [(actor, act)]
    del actor, act  # an idle stack holds on to nobody's world
    while True:
        _live_once(*next_life.pop())
        _idle.append(stage)
        next_life.append(stage.parent.switch())


def _live_once(actor: Actor, act: Callable[[], object]) -> None:
    try:
        act()
    except Killed:
        pass
    finally:
        actor._greenlet = None
