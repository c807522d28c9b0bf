"""What a checkout costs the database, counted at the wire (`benchmarks.settlement.wire`): goals C1 and C2.

The stretches of a checkout, webhooks aside as in the goals:
    open            the organizer's click, the hold asked for, answered, and everybody asked to pay
    pages           each payer sent to their page: the call owed and claimed, then its answer recorded
    authorizations  the provider's messages: each kept, its reading claimed, its answer recorded
    decision        what the last of them sets off: a last look at everybody, the merchant's order, every capture
    telling         what upper rooms hear of it afterwards; no part of the checkout waits for them. That the booking has
                    begun, is open and is confirmed: the news of each portion is heard where it is recorded

Where the reference's bare shape has one merchantless group of 2N+2 commits, ours also holds the places, looks a last
time and orders; those are the constants below. Round trips miss their goal (3N+6), at 7N+43: a question that depends
on an answer is a round trip; writes cost none. See docs/decisions/0017.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from benchmarks.settlement.ours import Group, Ours
from benchmarks.settlement.wire import PREPARED_AFTER, Cost, Wire
from tests.support.postgres import Cluster

STRETCHES: Final = ("open", "pages", "authorizations", "decision")
PARTIES: Final = (2, 8, 60)


class Till:
    """Counts by stretch."""

    def __init__(self) -> None:
        self.costs: dict[str, Cost] = {}
        self.wire: Wire | None = None

    def phase(self, name: str) -> None:
        if self.wire is not None:
            self.costs[name] = self.costs.get(name, Cost()) + self.wire.take()

    def count(self, ours: Ours, group: Group) -> dict[str, Cost]:
        self.costs = {}
        ours.checkout(group)
        return self.costs

    @contextmanager
    def open(self, ours: Ours) -> Iterator[None]:
        with Wire(ours.database.engine) as self.wire:
            yield
        self.wire = None


@pytest.fixture(scope="module")
def costs(cluster: Cluster, template: str) -> Iterator[dict[int, dict[str, Cost]]]:
    """Of a checkout of each party, in a process that has had some: what a connection does once is not counted."""
    till = Till()
    with cluster.clone(template) as url:
        ours = Ours(url, name="parties", phase=till.phase)
        try:
            before = [ours.group(2) for _ in range(PREPARED_AFTER)]
            groups = {n: ours.group(n) for n in PARTIES}
            with till.open(ours):
                for group in before:
                    ours.checkout(group)
                yield {n: till.count(ours, group) for n, group in groups.items()}
        finally:
            ours.close()


def test_a_larger_party_costs_no_more_each(costs: dict[int, dict[str, Cost]]) -> None:
    """C3, without a clock: what one more payer costs in rows and round trips is the same in a party of 8 and of 60."""
    for stretch in ("open", "pages", "authorizations", "decision", "telling"):
        for measure in ("commits", "round_trips", "rows"):
            few, some, many = (getattr(costs[n][stretch], measure) for n in PARTIES)
            in_a_party_of_8, in_a_party_of_60 = (some - few) / 6, (many - some) / 52
            assert in_a_party_of_60 <= in_a_party_of_8, (stretch, measure, few, some, many)


@pytest.mark.parametrize("n", PARTIES)
def test_a_checkout_of_n(costs: dict[int, dict[str, Cost]], n: int) -> None:
    """C1: 2 per payer, and a constant; C2: the decision, finalizing included, costs the same whatever the party."""
    assert {name: (costs[n][name].commits, costs[n][name].round_trips) for name in STRETCHES} == {
        "open": (3, 16),
        "pages": (2 * n, 7 * n),
        "authorizations": (3 * (n - 1) + 1, 9 * (n - 1) + 3),
        "decision": (5, 27),
    }
    told = costs[n]["telling"]
    assert (told.commits, told.round_trips <= 27) == (3, True)
