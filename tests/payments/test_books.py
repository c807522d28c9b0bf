"""Random histories of one settlement's money: whatever happens, the ledger says account by account what is true.

Captures, covered shortfalls; refunds that arrive, fail weeks later, are retried or paid elsewhere; refunds made
in the provider's dashboard, disputes won and lost. After every step the books are held against the provider's twin, and
in the end the daily comparison finds nothing. A failure prints its seed; the same seed walks again.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from sqlalchemy import text

from groupbook import payments
from groupbook.kit.clock import now as merchant_now
from groupbook.kit.database import Database
from groupbook.kit.errors import GroupbookError
from groupbook.kit.ids import AttemptId, DifferenceId, RefundId
from groupbook.kit.money import Money
from groupbook.payments import DifferenceKind
from groupbook.payments.domain import REFUND_MOVED, DisputeState, RefundState
from groupbook.payments.ports import ProviderEvent, Seen
from tests.payments.conftest import House, build_house

COVERAGE: dict[str, int] = {}


class History:
    """One history: what its seed does to one house, and the check after each step."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.chance = random.Random(seed)
        self.names = [*"abcd"[: self.chance.randint(1, 4)]]
        self.elsewhere = 0
        house.open_party({name: self.chance.choice([3334, 3333, 500, 50]) for name in self.names})
        house.authorize(*self.names)

    # --- what happens ---

    def capture(self) -> None:
        for name in self.names:
            if self.chance.random() < 0.25:
                self.house.twin.lapse(self.house.attempt(name))
        whole = sum(self.house.view(name).amount.minor for name in self.names)
        lower = self.chance.randint(whole * 8 // 10, whole) if self.chance.random() < 0.3 else None
        self.house.capture_all(lower)

    def refund(self) -> None:
        view = self.house.view(self.chance.choice(self.names))
        left = view.captured.minor - view.refunded.minor
        amount = Money(self.chance.choice([1, left, self.chance.randint(1, max(left, 1))]), "EUR")
        with self.house.database.begin(self.house.merchant_id) as session:
            payments.refund_portion(session, view.id, amount, reason="member_canceled")

    def fail_a_refund(self) -> None:
        id = RefundId(self.chance.choice([*self.house.twin._refunds]))
        self.house.twin.settle_refund(id, RefundState.FAILED)
        event = ProviderEvent(f"evt_{id.hex}", "refund.failed", False, "re", refund_id=id)
        with self.house.database.begin(self.house.merchant_id) as session:
            payments.handle_event(session, "twin", event, b"{}")

    def make_good(self) -> None:
        with self.house.database.begin(self.house.merchant_id) as session:
            failed = [one for one in payments.refunds_of(session, self.house.reference) if one.state == "failed"]
            refund = self.chance.choice(failed)
            if self.chance.random() < 0.5:
                payments.retry_refund(session, refund.id)
            else:
                payments.settle_refund_elsewhere(session, refund.id, "transfer 7")
                self.elsewhere += refund.amount.minor

    def refund_outside(self) -> None:
        attempt = self._captured_attempt()
        payment = self.house.twin._payments[attempt]
        amount = Money(self.chance.randint(1, payment.captured - payment.refunded), "EUR")
        self.house.twin.refund_outside(attempt, amount)
        self.house.quiet()
        for one in self._compare():
            if one.difference.kind is DifferenceKind.REFUND_OUTSIDE:
                with self.house.database.begin(self.house.merchant_id) as session:
                    payments.book_refund_outside(session, DifferenceId(one.id))

    def dispute(self) -> None:
        attempt = self._captured_attempt()
        if self.house.twin._payments[attempt].dispute is None:
            self.house.twin.dispute(attempt)
            self._look()

    def decide_dispute(self) -> None:
        self.house.twin.decide_dispute(
            self._captured_attempt(), self.chance.choice([DisputeState.WON, DisputeState.LOST])
        )
        self._look()

    def cover(self) -> None:
        with self.house.database.begin(self.house.merchant_id) as session:
            payments.cover_shortfall(session, self.house.reference, now=merchant_now(session))

    def _captured_attempt(self) -> AttemptId:
        taken = [id for id, one in self.house.twin._payments.items() if one.captured > one.refunded]
        return self.chance.choice(taken)

    def _look(self) -> None:
        """The provider's messages arrive."""
        for event in self.house.twin._events:
            with self.house.database.begin(self.house.merchant_id) as session:
                payments.handle_event(session, "twin", event, b"{}")

    def _compare(self) -> tuple[payments.StoredDifference, ...]:
        with self.house.database.begin(self.house.merchant_id) as session:
            today = payments.today_of(session)
        report = payments.reconcile_day(self.house.providers, self.house.merchant_id, today)
        assert report is not None
        return report.differences

    # --- what must be true ---

    def check(self) -> None:
        twin, money = self.house.twin, self.house.statement
        taken = {id: one for id, one in twin._payments.items() if one.seen is Seen.CAPTURED}
        captured = sum(one.captured for one in taken.values())
        refunded = sum(one.refunded for one in taken.values())
        lost = sum(
            one.dispute.amount.minor
            for one in taken.values()
            if one.dispute is not None and one.dispute.state is DisputeState.LOST
        )
        alive = sum(one.order.amount.minor for one in twin._payments.values() if one.seen is Seen.AUTHORIZED)
        views = [self.house.view(name) for name in self.names]
        said = {name: amount.minor for name, amount in money.balances.items()}
        assert said.get("provider_clearing", 0) == captured - refunded - lost
        assert said.get("refunds", 0) == refunded + self.elsewhere
        assert said.get("paid_elsewhere", 0) == -self.elsewhere
        assert said.get("disputes_lost", 0) == lost
        assert said.get("authorization_memo", 0) == -said.get("authorization_contra", 0) == alive
        assert said.get("unexpected", 0) == 0
        assert sum(said.values()) == 0
        assert money.captured.minor == captured == sum(view.captured.minor for view in views)
        assert money.refunded.minor == sum(view.refunded.minor for view in views)
        assert money.net + money.refunded + money.disputed == money.captured
        assert money.is_conserved
        covered = sum(view.amount.minor for view in views if view.state == "covered")
        assert said.get("guarantee_receivable", 0) == covered

    def go(self) -> None:
        self.capture()
        self.check()
        steps: list[Callable[[], None]] = [
            self.refund,
            self.refund,
            self.fail_a_refund,
            self.make_good,
            self.refund_outside,
            self.dispute,
            self.decide_dispute,
            self.cover,
        ]
        for _ in range(self.chance.randint(4, 12)):
            step = self.chance.choice(steps)
            try:
                step()
            except (GroupbookError, IndexError, ValueError):
                continue  # refused, or nothing there to do it with
            COVERAGE[step.__name__] = COVERAGE.get(step.__name__, 0) + 1
            self.house.quiet()
            self.check()
        assert self._compare() == ()


@pytest.mark.slow
def test_the_books_are_true_after_any_history(database: Database) -> None:
    COVERAGE.clear()
    for seed in range(24):
        history = History(build_house(database, f"books-{seed}"), seed)
        try:
            history.go()
        except AssertionError as error:
            error.add_note(f"seed {seed}, states {history.house.states}")
            raise
    wanted = {"refund", "fail_a_refund", "make_good", "refund_outside", "dispute", "decide_dispute", "cover"}
    assert set(COVERAGE) == wanted, COVERAGE
    with database.begin(history.house.merchant_id) as session:
        moved = {state.value for state in REFUND_MOVED}
        assert set(session.scalars(text("SELECT DISTINCT state FROM refund"))) <= moved | {"failed", "retried", "asked"}
