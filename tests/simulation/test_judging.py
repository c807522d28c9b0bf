"""The judges themselves: the books of the outside, the shrinker, and the tables that say what is covered where."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from uuid import UUID

import pytest

from tests.simulation import coverage
from tests.simulation.books import Books
from tests.simulation.outcome import Effect, Violation
from tests.simulation.rows import ELSEWHERE, MATRIX
from tests.simulation.shrink import Outcome, shrink

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2027, 1, 4, 12, 0, tzinfo=UTC)
ADA, REFUND = UUID(int=1), UUID(int=2)


def test_the_books_add_up_what_happened_outside() -> None:
    """A page that shows 60.00, an authorization, a capture of 55.00, a refund of 15.00: 40.00 are kept."""
    books = Books()
    for what, minor in (("opened", 6_000), ("authorized", 6_000), ("captured", 5_500)):
        books.add(Effect("provider", what, ADA, NOON, minor, key=what))
    assert (books.attempt(ADA).consent, books.attempt(ADA).is_live, books.attempt(ADA).net) == (6_000, False, 5_500)
    books.add(Effect("provider", "refunded", REFUND, NOON, 1_500, key="refund", of=ADA))
    assert books.attempt(ADA).net == 4_000
    books.add(Effect("provider", "refund_failed", REFUND, NOON, 1_500, of=ADA))
    assert (books.attempt(ADA).net, books.twice) == (5_500, None)


def test_a_key_with_two_effects_is_noticed() -> None:
    books = Books()
    for _ in range(2):
        books.add(Effect("provider", "captured", ADA, NOON, 5_500, key="payment.capture:1"))
    assert books.twice == "captured payment.capture:1"


def test_an_authorization_that_lapses_by_itself_is_told_from_one_we_released() -> None:
    books = Books()
    books.add(Effect("provider", "authorized", ADA, NOON, 6_000))
    books.add(Effect("provider", "expired", ADA, NOON))
    books.add(Effect("provider", "authorized", REFUND, NOON, 6_000))
    books.add(Effect("provider", "voided", REFUND, NOON, key="void"))
    books.add(Effect("provider", "expired", REFUND, NOON))
    assert (books.attempt(ADA).has_expired_by_itself, books.attempt(REFUND).has_expired_by_itself) == (True, False)


@pytest.mark.parametrize("needed", [{"b#2"}, {"a#1", "c#3"}, set()])
def test_a_failure_shrinks_to_the_faults_it_needs(needed: set[str]) -> None:
    """Nine faults at three sites; the failure needs some of them, all of them present."""
    every = [f"{site}#{n}" for site in "abc" for n in (1, 2, 3)]

    def run(muted: frozenset[str]) -> Outcome:
        left = tuple(name for name in every if name not in muted and name[0] not in muted)
        return Outcome(Violation("I1", "broken") if needed <= set(left) else None, left)

    best, muted = shrink(run, run(frozenset()))
    assert set(best.faults) == needed
    assert run(muted).faults == best.faults


def test_a_history_that_keeps_its_promises_is_not_shrunk() -> None:
    whole = Outcome(None, ("a#1",))
    assert shrink(lambda muted: whole, whole) == (whole, frozenset())


@cache
def _tests_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", sorted(ELSEWHERE))
def test_a_row_that_does_not_reach_the_machines_has_a_test_elsewhere(row: str) -> None:
    why, where = ELSEWHERE[row]
    path, _, name = where.partition("::")
    assert why
    assert name in _tests_in(path), f"{where} does not exist"
    assert row not in MATRIX


def test_an_excuse_that_a_history_proves_wrong_is_told() -> None:
    excused = next(iter(coverage.IMPOSSIBLE))
    assert coverage.taken_though_impossible({excused: 1, "booking: open + all_settled": 9}) == [excused]
    assert coverage.taken_though_impossible({"booking: open + all_settled": 9}) == []


def test_what_is_excused_exists() -> None:
    """An excuse for a transition that is gone is an excuse nobody reads."""
    assert set(coverage.IMPOSSIBLE) <= set(coverage.transitions())
    assert all(coverage.IMPOSSIBLE.values())
