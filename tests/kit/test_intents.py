"""Intents and facts on a real PostgreSQL: one claimant, one fence, nothing lost, nothing doubled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from groupbook.kit import facts, intents
from groupbook.kit.database import Database, forbid_in_transaction
from groupbook.kit.errors import GroupbookError, InvariantBroken, OutcomeUnknown, Refused, Unavailable
from groupbook.kit.facts import Deliverer, Fact
from groupbook.kit.ids import IntentId, MerchantId, new_id
from groupbook.kit.intents import Intent
from groupbook.kit.runner import Runner, RunnerSettings

MERCHANT = MerchantId(new_id())
HASTY = RunnerSettings(lease_seconds=0.0, retry_seconds_min=0.0, retry_seconds_max=0.0, attempts_max=3)


@dataclass
class Outside:
    """A deterministic other side that deduplicates by key and can fail as told."""

    effects: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failures: list[GroupbookError] = field(default_factory=list)
    lose_answer: bool = False
    before_answer: Callable[[], None] = lambda: None

    def call(self, intent: Intent) -> str:
        forbid_in_transaction("the other side")
        self.calls.append(intent.key)
        if self.failures:
            raise self.failures.pop(0)
        self.effects.setdefault(intent.key, 1)
        self.before_answer()
        if self.lose_answer:
            self.lose_answer = False
            raise OutcomeUnknown()
        return "done"

    def observe(self, intent: Intent) -> str | None:
        return "done" if intent.key in self.effects else None

    def record(self, session: Session, intent: Intent, answer: Any) -> None:
        self.recorded.append(answer)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        self.refused.append(refusal.reason)


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def runner(database: Database, outside: Outside) -> Runner:
    return Runner(database, {"toy.call": outside}, HASTY)


def owe(database: Database, **keywords: Any) -> UUID:
    with database.begin(MERCHANT) as session:
        return intents.owe(session, "toy.call", new_id(), **keywords)


def state_of(database: Database, intent_id: UUID) -> str:
    with database.begin(MERCHANT) as session:
        row = session.execute(text("SELECT state FROM intent WHERE id = :id"), {"id": intent_id})
        return str(row.scalar_one())


def test_a_call_is_made_once_and_recorded_once(database: Database, runner: Runner, outside: Outside) -> None:
    intent_id = owe(database)
    assert [runner.run(MERCHANT, intent_id) for _ in range(3)] == [True, False, False]
    assert (len(outside.calls), outside.recorded, state_of(database, intent_id)) == (1, ["done"], "done")


def test_owing_once_twice_is_one_intent(database: Database) -> None:
    assert owe(database, once="a") == owe(database, once="a") != owe(database, once="b")


def test_a_rolled_back_intent_was_never_owed(database: Database, runner: Runner) -> None:
    def owe_and_fail() -> None:
        with database.begin(MERCHANT) as session:
            intents.owe(session, "toy.call", new_id())
            raise Unavailable()

    with pytest.raises(Unavailable):
        owe_and_fail()
    assert runner.due(MERCHANT) == []


def test_a_lost_answer_is_read_and_not_asked_again(database: Database, runner: Runner, outside: Outside) -> None:
    outside.lose_answer = True
    intent_id = owe(database)
    assert runner.run(MERCHANT, intent_id) is False
    assert state_of(database, intent_id) == "unknown"
    assert runner.run(MERCHANT, intent_id) is True
    assert (len(outside.calls), outside.effects, outside.recorded) == (1, {outside.calls[0]: 1}, ["done"])


def test_a_refusal_ends_the_intent_and_moves_nothing(database: Database, runner: Runner, outside: Outside) -> None:
    outside.failures = [Refused("no")]
    intent_id = owe(database)
    assert runner.run(MERCHANT, intent_id) is True
    assert (outside.refused, outside.effects, state_of(database, intent_id)) == (["no"], {}, "refused")


def test_an_unavailable_outside_is_asked_again_with_the_same_key(
    database: Database, runner: Runner, outside: Outside
) -> None:
    outside.failures = [Unavailable(), Unavailable()]
    intent_id = owe(database)
    assert [runner.run(MERCHANT, intent_id) for _ in range(3)] == [False, False, True]
    assert len(outside.calls) == 3
    assert len(set(outside.calls)) == 1


def test_too_many_failures_park_the_intent_loudly(database: Database, runner: Runner, outside: Outside) -> None:
    outside.failures = [Unavailable() for _ in range(5)]
    intent_id = owe(database)
    for _ in range(5):
        runner.run(MERCHANT, intent_id)
    assert state_of(database, intent_id) == "parked"
    assert (len(outside.calls), outside.effects) == (3, {})
    with database.begin(MERCHANT) as session:
        assert session.execute(text("SELECT count(*) FROM fact WHERE name = 'intent.parked'")).scalar_one() == 1


def test_the_last_try_is_counted_even_if_its_claimant_died(
    database: Database, runner: Runner, outside: Outside
) -> None:
    """The third of three tries dies with its worker; the next one parks it, and begins no other round."""
    outside.failures = [Unavailable() for _ in range(5)]
    intent_id = owe(database)
    for _ in range(2):
        runner.run(MERCHANT, intent_id)
    with database.begin(MERCHANT) as session:
        assert len(runner.claim(session, [intent_id])) == 1  # and nobody makes that call
    runner.run(MERCHANT, intent_id)
    assert (state_of(database, intent_id), len(outside.calls)) == ("parked", 3)


def test_a_claimant_whose_lease_ran_out_cannot_record(database: Database, runner: Runner, outside: Outside) -> None:
    """The slow first worker is overtaken by a second one: the fence lets only the second record."""
    intent_id = owe(database)

    def overtake() -> None:
        outside.before_answer = lambda: None
        second = threading.Thread(target=runner.run, args=(MERCHANT, intent_id))
        second.start()
        second.join()

    outside.before_answer = overtake
    runner.run(MERCHANT, intent_id)
    assert (outside.recorded, outside.effects) == (["done"], {outside.calls[0]: 1})


def test_two_workers_at_once_make_one_call(database: Database, outside: Outside) -> None:
    patient = Runner(database, {"toy.call": outside}, RunnerSettings())
    intent_id = owe(database)
    gate = threading.Barrier(4)

    def work() -> None:
        gate.wait()
        patient.run(MERCHANT, intent_id)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (len(outside.calls), outside.recorded) == (1, ["done"])


def test_without_the_claim_two_workers_would_call_twice(database: Database, outside: Outside) -> None:
    """The twin of the test above: the same workers with the claim left out do double the call."""
    gate = threading.Barrier(4)
    intent = Intent(IntentId(new_id()), MERCHANT, "toy.call", new_id(), {}, 1, _any_instant(database))

    def work() -> None:
        gate.wait()
        outside.call(intent)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(outside.calls) == 4


def _any_instant(database: Database) -> Any:
    with database.begin(MERCHANT) as session:
        return session.execute(text("SELECT clock_timestamp()")).scalar_one()


def test_no_call_to_the_outside_inside_a_transaction(database: Database) -> None:
    with pytest.raises(InvariantBroken), database.begin(MERCHANT):
        forbid_in_transaction("a charge")


def test_a_fact_is_heard_once_by_each_listener_and_again_only_by_the_one_that_failed(database: Database) -> None:
    heard: list[str] = []
    failures = [Unavailable(), Unavailable()]  # told together, then alone

    def shaky(session: Session, fact: Fact) -> None:
        if failures:
            raise failures.pop()
        heard.append(f"shaky {fact.payload['n']}")

    def steady(session: Session, fact: Fact) -> None:
        heard.append(f"steady {fact.payload['n']}")

    deliverer = Deliverer(database, {"toy.happened": [("shaky", shaky), ("steady", steady)]})
    with database.begin(MERCHANT) as session:
        fact_id = facts.record(session, "toy.happened", subject=new_id(), payload={"n": 1})
    assert [deliverer.deliver(MERCHANT, fact_id) for _ in range(3)] == [False, True, True]
    assert sorted(heard) == ["shaky 1", "steady 1"]


def test_a_listener_that_fails_leaves_nothing_behind(database: Database) -> None:
    def writes_then_fails(session: Session, fact: Fact) -> None:
        facts.record(session, "toy.followed", subject=fact.subject)
        raise Unavailable()

    deliverer = Deliverer(database, {"toy.happened": [("fails", writes_then_fails)]})
    with database.begin(MERCHANT) as session:
        fact_id = facts.record(session, "toy.happened", subject=new_id())
    assert deliverer.deliver(MERCHANT, fact_id) is False
    with database.begin(MERCHANT) as session:
        assert session.execute(text("SELECT name FROM fact")).scalars().all() == ["toy.happened"]


def test_somebody_who_needs_the_answer_waits_for_the_worker_that_was_quicker(
    database: Database, outside: Outside
) -> None:
    patient = Runner(database, {"toy.call": outside}, RunnerSettings())
    intent_id = owe(database)
    release, started = threading.Event(), threading.Event()

    def dawdle() -> None:
        started.set()
        release.wait(5)

    outside.before_answer = dawdle
    worker = threading.Thread(target=patient.run, args=(MERCHANT, intent_id))
    worker.start()
    started.wait(5)
    threading.Timer(0.2, release.set).start()
    assert patient.settle(MERCHANT, intent_id) is True
    worker.join()
    assert (len(outside.calls), outside.recorded) == (1, ["done"])


def test_nobody_waits_for_an_outside_that_does_not_answer(database: Database, outside: Outside) -> None:
    outside.failures = [Unavailable()]
    patient = Runner(database, {"toy.call": outside}, RunnerSettings())
    assert patient.settle(MERCHANT, owe(database)) is False
    assert len(outside.calls) == 1
