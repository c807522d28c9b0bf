"""Which transitions of the machines and which rows of the failure matrix the histories really took.

`install` replaces each machine's table by a dict that counts its look-ups, once per process; a look-up is a step taken.
The rows are counted by `rows.Rows`, which listens beside the watch. Pairs that no history can produce are in
`IMPOSSIBLE`, each with its reason.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from groupbook.bookings import machine
from groupbook.offers import machines
from groupbook.payments import attempt, portion, refund

hits_min: Final = 50
histories_min: Final = 100_000  # from here on, what was hit less often than `hits_min` is red

# machine -> (module, name of its table)
MACHINES: Final[Mapping[str, tuple[Any, str]]] = MappingProxyType(
    {
        "booking": (machine, "TABLE"),
        "attempt": (attempt, "ATTEMPT_TABLE"),
        "portion": (portion, "PORTION_TABLE"),
        "refund": (refund, "REFUND_TABLE"),
        "dispute": (refund, "DISPUTE_TABLE"),
        "hold": (machines, "HOLD_MACHINE"),
        "order": (machines, "ORDER_MACHINE"),
    }
)
HITS: Final[Counter[str]] = Counter()

# Why no history can take a transition, and which: entries that defend against what production never does. The pure
# tests of the tables walk them; a history that takes one is red, because then the reason is wrong.
_WHY: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        "money is taken of a confirmed order only, so no state before it, or after giving up, can see it taken",
        ("booking: open + broken", "booking: freezing + broken", "booking: voiding + broken"),
    ),
    (
        "a tombstone holds: where a merchant's may not, its order is looked at once more before it counts as canceled",
        ("order: canceled + contradicted",),
    ),
    (
        "nobody sees the page of an opening that was refused, and a kept card that may have been charged never fails",
        (
            "attempt: failed + seen_action",
            "attempt: failed + seen_declined",
            "attempt: failed + seen_saved",
            "attempt: failed + seen_authorized",
            "attempt: failed + seen_captured",
        ),
    ),
    (
        "a page that only keeps a card moves no money, and does not close once a card is kept",
        (
            "attempt: saved + seen_authorized",
            "attempt: saved + seen_captured",
            "attempt: saved + seen_expired",
            "attempt: expired + seen_saved",
        ),
    ),
    (
        "what has lapsed at the provider is at its end there: it is neither released nor taken",
        ("attempt: expired + seen_canceled", "attempt: expired + seen_captured"),
    ),
    (
        "an opening that was answered is there to be closed, and one answer closes the call: it has no second",
        ("attempt: canceled + page_opened", "attempt: failed + page_opened"),
    ),
    (
        "an order takes places that are kept, and those are let go only once there is no order",
        ("hold: releasing + consumed",),
    ),
    (
        "cards are authorized before the merchant is asked, and who comes in later authorizes at once",
        ("portion: saved + capture_asked",),
    ),
)
IMPOSSIBLE: Final[Mapping[str, str]] = MappingProxyType({pair: why for why, pairs in _WHY for pair in pairs})


class Counted(dict[Any, Any]):
    """A machine's table that remembers which of its pairs were looked up."""

    def __init__(self, label: str, table: Mapping[Any, Any]) -> None:
        super().__init__(table)
        self.names = {pair: name_of(label, *pair) for pair in table}

    def __getitem__(self, pair: Any) -> Any:
        target = super().__getitem__(pair)
        HITS[self.names[pair]] += 1
        return target


def name_of(label: str, state: Any, event: Any) -> str:
    """`booking: open + cancel_asked`."""
    return f"{label}: {state.value} + {event.value}"


def install() -> None:
    """Count from now on, in this process. Whoever imported a table by name gets the counted one, too."""
    for label, (module, name) in MACHINES.items():
        table = getattr(module, name)
        if isinstance(table, Counted):
            continue
        counted = Counted(label, table)
        for other in list(sys.modules.values()):
            if getattr(other, "__name__", "").startswith("groupbook.") and getattr(other, name, None) is table:
                setattr(other, name, counted)


def transitions() -> list[str]:
    """Every pair of every machine that leads to another state or has an effect; the others are news that changes
    nothing.
    """
    found = []
    for label, (module, name) in MACHINES.items():
        for (state, event), target in getattr(module, name).items():
            to, effects = target if isinstance(target, tuple) else (target, ())
            if to is not state or effects:
                found.append(name_of(label, state, event))
    return found


def taken_though_impossible(hits: Mapping[str, int]) -> list[str]:
    """The excuses that a history proved wrong."""
    return [name for name in IMPOSSIBLE if hits.get(name, 0)]


def uncovered(hits: Mapping[str, int], wanted: Iterable[str], *, least: int = hits_min) -> list[str]:
    """What was hit less than `least` times and has no excuse, with how often: `order: canceled + confirmed (3)`."""
    return [f"{name} ({hits.get(name, 0)})" for name in wanted if hits.get(name, 0) < least and name not in IMPOSSIBLE]
