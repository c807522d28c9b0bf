"""What a checkout costs the database, counted at the wire (`benchmarks.settlement.wire`): goals C1 and C2.

The stretches of a checkout, webhooks aside as in the goals:
    open            the organizer's click, the hold asked for, answered, and everybody asked to pay
    pages           each payer sent to their page: the call owed and claimed, then its answer recorded
    authorizations  the provider's messages: each kept, its reading claimed, its answer recorded
    decision        what the last of them sets off: a last look at everybody, the merchant's order, every capture
    telling         what upper rooms hear of it afterwards; no part of the checkout waits for them

Where the reference's bare shape has one merchantless group of 2N+2 commits, ours also holds the places, looks a last
time and orders; those are the constants below. Round trips are an upper bound and miss their goal (3N+6): rooms ask for
one aggregate at a time, and a question that depends on an answer is a round trip; writes cost none. See
docs/decisions/0017.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.settlement.ours import Ours
from benchmarks.settlement.wire import Cost, Wire


class Till:
    """Counts by stretch."""

    def __init__(self) -> None:
        self.costs: dict[str, Cost] = {}
        self.wire: Wire | None = None

    def phase(self, name: str) -> None:
        if self.wire is not None:
            self.costs[name] = self.costs.get(name, Cost()) + self.wire.take()

    @contextmanager
    def open(self, ours: Ours) -> Iterator[None]:
        with Wire(ours.database.engine) as self.wire:
            yield
        self.wire = None


def checkout(url: str, n: int) -> dict[str, Cost]:
    """The second checkout of a process, so that what a connection does once is not counted."""
    till = Till()
    ours = Ours(url, name=f"party-of-{n}", phase=till.phase)
    try:
        first, second = ours.group(2), ours.group(n)
        with till.open(ours):
            ours.checkout(first)
            till.costs.clear()
            ours.checkout(second)
    finally:
        ours.close()
    return till.costs


def test_a_larger_party_costs_no_more_each(database_url: str) -> None:
    """C3, without a clock: what one more payer costs in rows and round trips is the same in a party of 8 and of 40."""
    small, middle, large = (checkout(database_url, n) for n in (2, 8, 40))
    for stretch in ("open", "pages", "authorizations", "decision", "telling"):
        for measure in ("commits", "round_trips", "rows"):
            few, some, many = (getattr(costs[stretch], measure) for costs in (small, middle, large))
            in_a_party_of_8, in_a_party_of_40 = (some - few) / 6, (many - some) / 32
            # A quarter, and a twentieth, for what a slow machine adds by itself.
            assert in_a_party_of_40 <= max(in_a_party_of_8 * 1.05, 0.25), (stretch, measure, few, some, many)


@pytest.mark.parametrize("n", [2, 8, 60])
def test_a_checkout_of_n(database_url: str, n: int) -> None:
    """C1: 2 per payer, and a constant; C2: the decision, finalizing included, costs the same whatever the party."""
    costs = checkout(database_url, n)
    commits = {name: cost.commits for name, cost in costs.items()}
    assert {name: commits[name] for name in ("open", "pages", "authorizations", "decision")} == {
        "open": 4,
        "pages": 2 * n,
        "authorizations": 3 * (n - 1) + 1,
        "decision": 6,
    }
    # Bounds, not goals: what deciding and finalizing costs does not grow with the party.
    assert costs["open"].round_trips <= 66
    assert costs["pages"].round_trips <= 13 * n + 6
    assert costs["authorizations"].round_trips <= 23 * (n - 1) + 6
    assert costs["decision"].round_trips <= 105
