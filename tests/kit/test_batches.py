"""What belongs together is claimed, called, recorded and told together; and what fails there holds up no other."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.settlement.wire import Wire
from groupbook.kit import facts, intents
from groupbook.kit.clock import system_now
from groupbook.kit.database import Database, forbid_in_transaction
from groupbook.kit.errors import InvariantBroken, OutcomeUnknown, Refused, Unavailable
from groupbook.kit.facts import Deliverer, Fact, Together
from groupbook.kit.ids import IntentId, MerchantId, new_id
from groupbook.kit.intents import Intent, Owed
from groupbook.kit.pace import Pace
from groupbook.kit.runner import Runner, RunnerSettings

MERCHANT = MerchantId(new_id())
SETTINGS = RunnerSettings(retry_seconds_min=0.0, retry_seconds_max=0.0)


@dataclass
class Nudges:
    """Who was woken, and for which row."""

    tasks: list[tuple[str, UUID]] = field(default_factory=list)

    def nudge(self, task: str, merchant_id: UUID, row_id: UUID) -> None:
        self.tasks.append((task, row_id))


@dataclass
class Outside:
    """Takes every call; `failing` are subjects whose answer cannot be recorded, `answers` what others answer."""

    answers: dict[UUID, Exception] = field(default_factory=dict)
    failing: set[UUID] = field(default_factory=set)
    failure: Exception = field(default_factory=lambda: InvariantBroken(what="this row"))
    calls: list[UUID] = field(default_factory=list)
    recorded: list[UUID] = field(default_factory=list)
    loads: list[int] = field(default_factory=list)
    prepared: list[int] = field(default_factory=list)
    owes: str | None = None

    def load(self, session: Session, intents: Sequence[Intent]) -> dict[IntentId, str]:
        self.loads.append(len(intents))
        return {intent.id: f"for {intent.subject}" for intent in intents}

    def prepare(self, session: Session, intents: Sequence[Intent]) -> None:
        self.prepared.append(len(intents))

    def call(self, intent: Intent) -> str:
        forbid_in_transaction("the other side")
        assert intent.loaded == f"for {intent.subject}"
        self.calls.append(intent.subject)
        if intent.subject in self.answers:
            raise self.answers[intent.subject]
        return "done"

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: Any) -> None:
        if intent.subject in self.failing:
            raise self.failure
        facts.record(session, "toy.done", subject=intent.subject)
        self.recorded.append(intent.subject)
        if self.owes is not None:
            kind, self.owes = self.owes, None
            intents.owe(session, kind, new_id(), reference=intent.reference)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        facts.record(session, "toy.refused", subject=intent.subject)


@pytest.fixture
def outside() -> Outside:
    return Outside()


def owe(database: Database, *references: UUID | None, kind: str = "toy.call") -> list[UUID]:
    """One call for each; their subjects."""
    subjects = [new_id() for _ in references]
    with database.begin(MERCHANT) as session:
        pairs = zip(subjects, references, strict=True)
        intents.owe_all(session, [Owed(kind, subject, reference=reference) for subject, reference in pairs])
    return subjects


def id_of(database: Database, subject: UUID) -> UUID:
    return UUID(str(ask(database, "SELECT id FROM intent WHERE subject = :subject", subject=subject)[0][0]))


def states(database: Database) -> Counter[str]:
    return Counter(row[0] for row in ask(database, "SELECT state FROM intent"))


def ask(database: Database, question: str, **values: Any) -> list[Any]:
    with database.begin(MERCHANT) as session:
        return list(session.execute(text(question), values))


def test_the_calls_of_one_reference_cost_one_claim_and_one_recording(database: Database, outside: Outside) -> None:
    runner, reference = Runner(database, {"toy.call": outside}, SETTINGS), new_id()
    subjects = owe(database, *[reference] * 12)
    owe(database, None, new_id())
    asked = id_of(database, subjects[5])
    with Wire(database.engine) as wire:
        assert runner.run(MERCHANT, asked)
        assert wire.take().commits == 2
    assert (set(outside.recorded), outside.loads, outside.prepared) == (set(subjects), [12], [12])
    assert states(database) == {"done": 12, "due": 2}


def test_one_row_that_cannot_be_recorded_holds_up_no_other(database: Database, outside: Outside) -> None:
    """The batch happened not at all, then each alone: two are done, and the third is asked again."""
    runner, reference = Runner(database, {"toy.call": outside}, SETTINGS), new_id()
    ada, bo, cy = owe(database, reference, reference, reference)
    outside.failing = {bo}
    assert runner.run(MERCHANT, id_of(database, ada))
    assert states(database) == {"done": 2, "unknown": 1}
    done = ask(database, "SELECT subject FROM fact ORDER BY recorded_at, id")
    assert {row[0] for row in done} == {ada, cy}
    outside.failing = set()
    assert runner.run(MERCHANT, id_of(database, bo))
    assert states(database) == {"done": 3}


def test_each_call_of_a_batch_has_an_answer_of_its_own(database: Database, outside: Outside) -> None:
    runner, reference = Runner(database, {"toy.call": outside}, SETTINGS), new_id()
    ada, bo, cy, di = owe(database, *[reference] * 4)
    outside.answers = {bo: Refused("no"), cy: Unavailable(), di: OutcomeUnknown()}
    assert runner.run(MERCHANT, id_of(database, ada))
    rows = dict(ask(database, "SELECT subject, state FROM intent"))
    assert rows == {ada: "done", bo: "refused", cy: "due", di: "unknown"}
    assert (outside.recorded, outside.prepared) == ([ada], [2])


def test_what_another_claimed_meanwhile_is_not_recorded(database: Database, outside: Outside) -> None:
    """Our lease ran out for one of them: the fence keeps our late answer out, and the others' in."""
    runner, reference = Runner(database, {"toy.call": outside}, SETTINGS), new_id()
    ada, bo = owe(database, reference, reference)
    with database.begin(MERCHANT) as session:
        claims = runner.claim(session, [id_of_in(session, ada), id_of_in(session, bo)])
    with database.begin(MERCHANT) as session:
        session.execute(text("UPDATE intent SET fence = fence + 1 WHERE subject = :bo"), {"bo": bo})
    runner.carry_out(claims)
    assert outside.recorded == [ada]
    assert dict(ask(database, "SELECT subject, state FROM intent")) == {ada: "done", bo: "calling"}


def id_of_in(session: Session, subject: UUID) -> UUID:
    asked = session.execute(text("SELECT id FROM intent WHERE subject = :subject"), {"subject": subject})
    return UUID(str(asked.scalar_one()))


def test_what_a_recording_owes_is_claimed_in_it_and_heard_in_it(database: Database, outside: Outside) -> None:
    """Two stages, three commits: the claim, the recording that hears, owes and claims, and the last recording."""
    heard: list[list[UUID]] = []
    mover = Together(lambda _session, news: heard.append([fact.subject for fact in news]))
    deliverer = Deliverer(database, {"toy.done": [("mover", mover)]}, at_once=["mover"])
    runner = Runner(database, {"toy.call": outside, "toy.next": outside}, SETTINGS, deliverer=deliverer)
    reference = new_id()
    subjects = owe(database, reference, reference)
    outside.owes = "toy.next"
    asked = id_of(database, subjects[0])
    with Wire(database.engine) as wire:
        runner.run(MERCHANT, asked)
        assert wire.take().commits == 3
    assert states(database) == {"done": 3}
    assert [len(news) for news in heard] == [2, 1]
    assert deliverer.due(MERCHANT) == []


def test_what_its_own_listener_has_caused_wakes_nobody_and_holds_up_no_other(database: Database) -> None:
    nudger = Nudges()
    database.nudger = nudger
    heard: list[str] = []
    ear = ("ear", lambda _session, fact: heard.append(fact.name))
    deliverer = Deliverer(database, {"toy.asked": [ear], "toy.done": [ear]})
    with database.begin(MERCHANT) as session:
        facts.record(session, "toy.asked", subject=new_id(), is_heard=True)
    assert nudger.tasks == []
    with database.begin(MERCHANT) as session:
        facts.record(session, "toy.asked", subject=new_id(), is_heard=True)
        done = facts.record(session, "toy.done", subject=new_id())
        facts.record(session, "toy.done", subject=new_id())
    assert nudger.tasks == [("deliver_fact", done)]
    assert deliverer.deliver(MERCHANT, done)
    assert (heard, deliverer.due(MERCHANT)) == (["toy.done", "toy.done"], [])


def test_a_listener_that_fails_at_once_undoes_no_recording(database: Database, outside: Outside) -> None:
    def fail(session: Session, fact: Fact) -> None:
        raise InvariantBroken(what="the saga")

    deliverer = Deliverer(database, {"toy.done": [("mover", fail)]}, at_once=["mover"])
    runner = Runner(database, {"toy.call": outside}, SETTINGS, deliverer=deliverer)
    reference = new_id()
    subjects = owe(database, reference, reference)
    assert runner.run(MERCHANT, id_of(database, subjects[0]))
    assert states(database) == {"done": 2}
    assert len(deliverer.due(MERCHANT)) == 2


def test_the_facts_of_one_transaction_are_told_in_one_and_apart_when_one_fails(database: Database) -> None:
    heard: list[str] = []

    def hear(session: Session, fact: Fact) -> None:
        heard.append(fact.payload["who"])
        if fact.payload["who"] == "bo":
            raise InvariantBroken(what="bo")

    deliverer = Deliverer(database, {"toy.done": [("ear", hear)]})
    with database.begin(MERCHANT) as session:
        first, *_ = (facts.record(session, "toy.done", subject=new_id(), payload={"who": who}) for who in ("ada", "cy"))
    with Wire(database.engine) as wire:
        assert deliverer.deliver(MERCHANT, first)
        assert wire.take().commits == 1
    with database.begin(MERCHANT) as session:
        first, *_ = (facts.record(session, "toy.done", subject=new_id(), payload={"who": who}) for who in ("bo", "di"))
    assert not deliverer.deliver(MERCHANT, first)
    assert heard == ["ada", "cy", "bo", "bo", "di"]
    undelivered = ask(database, "SELECT payload ->> 'who' FROM fact WHERE delivered_at IS NULL")
    assert [row[0] for row in undelivered] == ["bo"]


def test_turns_are_given_in_the_order_of_the_line_whoever_was_nudged(database: Database, outside: Outside) -> None:
    """Twenty-five a second, spaced; what nobody waits for comes last."""
    pace = Pace({"toy.call": ("toy",)}, per_second=25.0, used=1.0)
    runner = Runner(database, {"toy.call": outside}, SETTINGS, pace=pace, sleep=lambda _: None)
    with database.begin(MERCHANT) as session:
        swept = intents.owe(session, "toy.call", new_id(), rank=1)
    first, second = new_id(), new_id()
    one, other = owe(database, first, first), owe(database, second, second)
    assert runner.run(MERCHANT, swept)
    assert [set(outside.calls[:2]), set(outside.calls[2:4])] == [set(one), set(other)]
    assert (len(outside.calls), states(database)) == (5, {"done": 5})
    third = owe(database, *[new_id()] * 3)
    with database.begin(MERCHANT) as session:
        claims = runner.claim(session, [id_of_in(session, subject) for subject in third])
    assert [round(later.starts_at - before.starts_at, 3) for before, later in pairwise(claims)] == [0.04, 0.04]


def test_a_provider_that_says_too_much_is_left_alone_for_a_second(database: Database, outside: Outside) -> None:
    pace = Pace({"toy.call": ("toy",)})
    runner = Runner(database, {"toy.call": outside}, SETTINGS, pace=pace, sleep=lambda _: None)
    (subject,) = owe(database, None)
    outside.answers = {subject: Unavailable(what="capture", status=429)}
    assert not runner.run(MERCHANT, id_of(database, subject))
    with database.begin(MERCHANT) as session:
        (next_at,) = session.execute(text("SELECT next_at FROM provider_pace WHERE endpoint = 'toy'")).one()
        assert next_at > system_now(session) + timedelta(seconds=0.5)


class Strange(Exception):
    """What nobody foresaw."""


@pytest.mark.parametrize("at_once", [1, 3])
def test_what_nobody_foresaw_is_an_unknown_outcome_and_loses_no_other_answer(
    database: Database, outside: Outside, at_once: int
) -> None:
    """One call of three fails outside every named class: two are recorded, the third is read before it is asked."""
    settings = RunnerSettings(retry_seconds_min=0.0, retry_seconds_max=0.0, calls_at_once=at_once)
    runner, reference = Runner(database, {"toy.call": outside}, settings), new_id()
    ada, bo, cy = owe(database, *[reference] * 3)
    outside.answers = {bo: Strange("bo")}
    with structlog.testing.capture_logs() as lines:
        assert runner.run(MERCHANT, id_of(database, ada))
    rows = dict(ask(database, "SELECT subject, state FROM intent"))
    assert rows == {ada: "done", bo: "unknown", cy: "done"}
    assert [(line["event"], line["log_level"]) for line in lines] == [("intent_failed", "error")]
    assert ask(database, "SELECT last_error FROM intent WHERE subject = :bo", bo=bo) == [("unforeseen: Strange('bo')",)]
    ((figure,),) = ask(database, "SELECT count_pending_rows() -> 'rows' ->> 'intent_failed'")
    assert figure == "1"


def test_what_nobody_foresaw_while_recording_holds_up_no_other(database: Database, outside: Outside) -> None:
    runner, reference = Runner(database, {"toy.call": outside}, SETTINGS), new_id()
    ada, bo, cy = owe(database, *[reference] * 3)
    outside.failing, outside.failure = {bo}, Strange("bo")
    assert runner.run(MERCHANT, id_of(database, ada))
    assert dict(ask(database, "SELECT subject, state FROM intent")) == {ada: "done", bo: "unknown", cy: "done"}


class Woken:
    """Hears the nudges, as a broker would."""

    def __init__(self) -> None:
        self.intents: list[UUID] = []

    def nudge(self, task: str, merchant_id: UUID, row_id: UUID) -> None:
        if task == "run_intent":
            self.intents.append(row_id)


def test_whoever_waits_for_a_page_wakes_a_worker_for_those_turned_away_meanwhile(
    database: Database, outside: Outside
) -> None:
    """A web request takes all near turns; the worker nudged for the next in line finds none. No sweep is needed."""
    pace = Pace({"toy.call": ("toy",), "toy.other": ("toy",)}, per_second=25.0, used=1.0)
    handlers = {"toy.call": outside, "toy.other": outside}
    runner = Runner(database, handlers, SETTINGS, pace=pace, sleep=lambda _: None)
    pages = owe(database, *[new_id()] * 30)
    (waiting,) = owe(database, new_id())
    (other,) = owe(database, new_id(), kind="toy.other")
    with database.begin(MERCHANT) as session:
        claims = runner.claim(session, [id_of_in(session, subject) for subject in pages])
    for subject in (waiting, other):
        assert runner.run(MERCHANT, id_of(database, subject)) is False
    database.nudger = woken = Woken()
    runner.carry_out(claims)
    assert woken.intents == [id_of(database, waiting), id_of(database, other)]


def test_a_worker_goes_on_with_every_line_its_turns_kept_others_from(database: Database, outside: Outside) -> None:
    """Two kinds share one endpoint: whoever took its turns for one of them looks after the other, too."""
    pace = Pace({"toy.call": ("toy",), "toy.other": ("toy",)}, per_second=100.0, used=1.0, ahead_seconds=0.1)
    handlers = {"toy.call": outside, "toy.other": outside}
    turned_away: list[bool] = []
    reference = new_id()
    many = owe(database, *[reference] * 30)
    (other,) = owe(database, new_id(), kind="toy.other")

    def waiting_for_a_turn(seconds: float) -> None:
        if not turned_away:
            turned_away.append(True)
            turned_away.append(second.run(MERCHANT, id_of(database, other)))
        time.sleep(seconds)

    first = Runner(database, handlers, SETTINGS, pace=pace, sleep=waiting_for_a_turn)
    second = Runner(database, handlers, SETTINGS, pace=pace, sleep=lambda _: None)
    assert first.run(MERCHANT, id_of(database, many[0]))
    assert turned_away == [True, False]
    assert states(database) == {"done": 31}


def test_what_goes_wrong_after_the_commit_records_nothing_twice(database: Database, outside: Outside) -> None:
    class Deaf:
        def nudge(self, task: str, merchant_id: UUID, row_id: UUID) -> None:
            raise Strange("the broker's client")

    runner, reference = Runner(database, {"toy.call": outside}, SETTINGS), new_id()
    ada, bo = owe(database, reference, reference)
    database.nudger = Deaf()
    runner.run(MERCHANT, id_of(database, ada))
    assert sorted(outside.recorded) == sorted([ada, bo])
    assert dict(ask(database, "SELECT subject, state FROM intent")) == {ada: "done", bo: "done"}
