"""Random histories of one settlement on the real database: people, banks and the network do what they like.

Whatever happens, in the end nothing is left alive at the provider, nobody paid without a decision to capture, nobody
paid twice, and the ledger says exactly what the provider says. A failure prints its seed; the same seed walks again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import get_args
from uuid import UUID

import pytest
from sqlalchemy import text

from groupbook import payments
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.database import Database
from groupbook.kit.errors import GroupbookError
from groupbook.kit.ids import AttemptId
from groupbook.payments.ports import Seen
from integrations.payments.twin import Fault
from tests.payments.conftest import House, build_house

FAULTS: tuple[Fault, ...] = get_args(Fault)


class Walk:
    """One history: what its seed does to one house."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.chance = random.Random(seed)
        self.decision: str | None = None
        self.house.open_party({name: self.chance.choice([3334, 500]) for name in "abc"[: self.chance.randint(1, 3)]})

    def attempts(self) -> list[AttemptId]:
        """What has reached the provider."""
        query = text("SELECT id FROM attempt WHERE state <> 'failed' ORDER BY id")
        with self.house.database.begin(self.house.merchant_id) as session:
            ids: list[UUID] = list(session.scalars(query))
        return [AttemptId(id) for id in ids if self.house.twin.truth(AttemptId(id)) is not Seen.ABSENT]

    def at_the_bank(self, act: Callable[[AttemptId], None]) -> None:
        if attempts := self.attempts():
            act(self.chance.choice(attempts))

    def pay(self, name: str = "") -> None:
        name = name or self.chance.choice(list(self.house.portions))
        payer = self.house.view(name).payer
        self.house.start(name, next(who for who, person in self.house.people.items() if person == payer))

    def hand_over(self) -> None:
        name = self.chance.choice(list(self.house.portions))
        payer = self.chance.choice(list(self.house.people.values()))
        with self.house.database.begin(self.house.merchant_id) as session:
            payments.assign_payer(session, self.house.portions[name], payer=payer, now=merchant_now(session))

    def look(self) -> None:
        with self.house.database.begin(self.house.merchant_id) as session:
            payments.observe_all(session, self.house.reference)

    def work(self) -> None:
        """A worker does some of what is owed, in any order."""
        due = self.house.runner.due(self.house.merchant_id)
        self.chance.shuffle(due)
        for intent_id in due[: self.chance.randint(1, 4)]:
            self.house.runner.run(self.house.merchant_id, intent_id)

    def decide(self) -> None:
        if self.decision is not None:
            return
        everybody_in = set(self.house.states.values()) == {"authorized"}
        act = payments.capture_all if everybody_in else payments.void_all
        with self.house.database.begin(self.house.merchant_id) as session:
            act(session, self.house.reference, now=merchant_now(session))
        self.decision = "capture" if everybody_in else "void"

    def everybody_pays(self) -> None:
        self.house.quiet()
        for name in [name for name, state in self.house.states.items() if state != "authorized"]:
            self.pay(name)
            self.house.twin.authorize(self.house.attempt(name))
            self.look()
            self.house.quiet()

    def plan(self, *methods: str) -> None:
        self.house.twin.plan(self.chance.choice(methods), self.chance.choice(FAULTS))

    def walk(self, count: int, steps: Sequence[Callable[[], None]]) -> None:
        for _ in range(count):
            try:
                self.chance.choice(steps)()
            except GroupbookError:
                continue  # refused, or unknown: both are part of life

    def go(self) -> None:
        """People come and go, then somebody decides, then the rest of the world catches up."""
        twin = self.house.twin
        bank = [lambda: self.at_the_bank(twin.authorize), lambda: self.at_the_bank(twin.decline)]
        world = [self.work, self.work, self.look, twin.land_late_effects, lambda: self.at_the_bank(twin.lapse)]
        self.walk(
            self.chance.randint(3, 14),
            [self.pay, self.pay, self.hand_over, *bank, *bank, *world, lambda: self.plan("open_payment", "observe")],
        )
        if self.chance.random() < 0.7:
            twin._plans.clear()
            self.walk(1, [self.everybody_pays])
        for _ in range(self.chance.randint(0, 3)):
            self.plan("capture", "void", "close_payment", "observe")
        self.walk(1, [self.decide])
        self.walk(self.chance.randint(2, 10), [*bank, *world])
        twin._plans.clear()
        self.decide()
        for _ in range(3):
            self.house.quiet(80)
            twin.land_late_effects()
            self.house.execute(
                "UPDATE attempt SET started_at = started_at - interval '3 hours', "
                "close_asked_at = close_asked_at - interval '3 hours'",
                "UPDATE intent SET due_at = clock_timestamp() WHERE state IN ('due', 'unknown')",
            )
        self.house.quiet(80)

    def check(self) -> None:
        twin, money, states = self.house.twin, self.house.statement, self.house.states
        over = {Seen.CANCELED, Seen.EXPIRED, Seen.CAPTURED}
        assert {twin.truth(attempt) for attempt in self.attempts()} <= over
        assert money.authorized.minor == 0
        assert money.is_conserved
        assert money.captured.minor == sum(minor for _, minor in twin.captures)
        assert money.refunded.minor == sum(minor for _, minor in twin.refunds) == 0
        assert len({attempt for attempt, _ in twin.captures}) == len(twin.captures)
        assert twin.doubled == []
        if self.decision == "void":
            assert (set(states.values()), twin.captures) == ({"voided"}, [])
        else:
            assert set(states.values()) <= {"captured", "short"}
            short = [name for name, state in states.items() if state == "short"]
            assert all(twin.truth(self.house.attempt(name)) is Seen.EXPIRED for name in short)
        with self.house.database.begin(self.house.merchant_id) as session:
            open_calls = session.scalars(text("SELECT kind FROM intent WHERE state NOT IN ('done', 'refused')"))
            assert list(open_calls) == []


@pytest.mark.slow
def test_any_history_ends_well(database: Database) -> None:
    decisions = set()
    for seed in range(32):
        walk = Walk(build_house(database, f"walk-{seed}"), seed)
        try:
            walk.go()
            walk.check()
        except AssertionError as error:
            error.add_note(f"seed {seed}, decision {walk.decision}, states {walk.house.states}")
            raise
        decisions.add(walk.decision)
    assert decisions == {"capture", "void"}
