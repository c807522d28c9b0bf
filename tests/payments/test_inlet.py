"""Goal C5: messages that come at once, twice and out of order cost one commit for all that waited, not one each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.settlement.wire import Wire
from groupbook.kit.database import Database
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import MerchantId
from groupbook.kit.models import InboxRow, IntentRow
from groupbook.payments.inlet import Inlet
from groupbook.payments.ports import ProviderEvent
from tests.payments.conftest import House

TYPES = ("payment_intent.amount_capturable_updated", "checkout.session.completed", "charge.updated")


class Gate(Database):
    """A database whose next transactions wait until they are let in; one message may not be kept."""

    def __init__(self, url: str) -> None:
        super().__init__(url, pool_size=20, name="gate")
        self.is_open = threading.Event()
        self.is_open.set()
        self.entered = threading.Semaphore(0)
        self.poison = ""

    @contextmanager
    def begin(self, merchant_id: UUID) -> Iterator[Session]:
        self.entered.release()
        assert self.is_open.wait(20)
        with super().begin(merchant_id) as session:
            yield session
            if session.scalar(select(InboxRow.id).where(InboxRow.external_id == self.poison)) is not None:
                raise InvariantBroken(what="the test's own fault")


@pytest.fixture
def gate(database_url: str) -> Iterator[Gate]:
    database = Gate(database_url)
    yield database
    database.close()


def messages(house: House) -> list[ProviderEvent]:
    """Three about each payment, each of them twice, the newest first."""
    once = [
        ProviderEvent(f"evt_{name}_{number}", type, False, f"pi_{name}", attempt_id=house.attempt(name))
        for name in house.portions
        for number, type in enumerate(TYPES)
    ]
    return [*reversed(once), *once]


def send_at_once(gate: Gate, inlet: Inlet, merchant_id: MerchantId, events: list[ProviderEvent]) -> list[bool]:
    """The first is being written while all the others come."""
    answers: dict[int, bool] = {}

    def send(index: int) -> Callable[[], None]:
        return lambda: answers.__setitem__(index, inlet.keep(merchant_id, events[index], b"{}"))

    gate.is_open.clear()
    threads = [threading.Thread(target=send(index)) for index in range(len(events))]
    threads[0].start()
    assert gate.entered.acquire(timeout=20)
    deadline = time.monotonic() + 20
    for thread in threads[1:]:
        thread.start()
    while inlet.waiting(merchant_id) < len(events) - 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    gate.is_open.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return [answers[index] for index in range(len(events))]


def owed_readings(house: House) -> list[UUID]:
    with house.database.begin(house.merchant_id) as session:
        asked = select(IntentRow.subject).where(IntentRow.kind == "payment.observe", IntentRow.state == "due")
        return sorted(session.scalars(asked))


def test_what_waits_is_kept_in_one_commit_and_read_once(house: House, gate: Gate) -> None:
    house.open(ada=3334, bo=3333, cy=3333)
    for name in house.portions:
        house.start(name)
        house.twin.authorize(house.attempt(name))
    inlet, events = Inlet(gate, "stripe"), messages(house)
    with gate.begin(house.merchant_id):
        pass
    with Wire(gate.engine) as wire:
        answers = send_at_once(gate, inlet, house.merchant_id, events)
        assert wire.take().written <= 2  # the first, and all the others
    assert (len(events), sum(answers)) == (18, 9)
    attempts = sorted(house.attempt(name) for name in house.portions)
    assert owed_readings(house) == attempts
    with Wire(house.database.engine) as wire:
        for intent_id in house.runner.due(house.merchant_id):
            house.runner.run(house.merchant_id, intent_id)
        assert wire.take().written == 2  # all are claimed, all are recorded
    assert set(house.states.values()) == {"authorized"}


def test_duplicates_that_come_later_write_nothing(house: House, gate: Gate) -> None:
    house.open(ada=3334)
    house.start("ada")
    inlet, events = Inlet(gate, "stripe"), messages(house)
    assert [inlet.keep(house.merchant_id, event, b"{}") for event in events] == [True] * 3 + [False] * 3
    with Wire(gate.engine) as wire:
        assert not any(inlet.keep(house.merchant_id, event, b"{}") for event in events)
        assert wire.take().written == 0
    assert owed_readings(house) == [house.attempt("ada")]


def test_a_batch_that_fails_is_kept_one_by_one(house: House, gate: Gate) -> None:
    house.open(ada=3334, bo=3333)
    for name in house.portions:
        house.start(name)
    events = messages(house)[:4]
    inlet = Inlet(gate, "stripe")
    sent: list[bool | None] = []
    gate.poison = events[2].id

    def send(event: ProviderEvent) -> None:
        try:
            sent.append(inlet.keep(house.merchant_id, event, b"{}"))
        except InvariantBroken:
            sent.append(None)

    gate.is_open.clear()
    threads = [threading.Thread(target=send, args=(event,)) for event in events]
    threads[0].start()
    assert gate.entered.acquire(timeout=20)
    for thread in threads[1:]:
        thread.start()
    while inlet.waiting(house.merchant_id) < 3:
        time.sleep(0.01)
    gate.is_open.set()
    for thread in threads:
        thread.join(20)
    assert sorted(sent, key=str) == [None, True, True, True]
