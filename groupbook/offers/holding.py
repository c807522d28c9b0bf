"""How long places may be kept, and by how many: pure decisions, in whole seconds.

A hold starts short. Each authorized portion earns it more time, up to the merchant's cap. When the group falls silent
it lapses, and the places are on sale again; the next portion that is authorized asks for them anew. So a group that
pays keeps its places and a group that talks does not block them.

Worked: 30 minutes to start with, 30 more per portion, at most three hours. Placed at 10:00 it ends at 10:30; two
portions authorized by 10:20 make it 11:30; nobody follows, so it lapses at 11:30. The third portion at 12:00 places it
again, until 12:30.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from groupbook.merchants.domain import Capabilities

# Loads are counted in thousandths of a hold, so that what is remembered can fade without fractions.
_HOLD: Final = 1_000
_faded_after_halvings: Final = 8


@dataclass(frozen=True, slots=True)
class HoldTerms:
    """What the merchant grants, in seconds since the hold was placed."""

    seconds_first: int
    seconds_per_portion: int
    seconds_max: int

    @classmethod
    def of(cls, capabilities: Capabilities) -> HoldTerms:
        longest = capabilities.hold_seconds_max
        first = longest if capabilities.hold_seconds_first is None else min(capabilities.hold_seconds_first, longest)
        return cls(first, capabilities.hold_seconds_per_portion, longest)

    @property
    def earns(self) -> bool:
        return self.seconds_per_portion > 0 and self.seconds_first < self.seconds_max

    def seconds(self, settled: int) -> int:
        """How long places may be kept once `settled` portions were authorized while they were."""
        return min(self.seconds_max, self.seconds_first + max(0, settled) * self.seconds_per_portion)


@dataclass(frozen=True, slots=True)
class Holding:
    """What the rule sees of a hold: how many portions were authorized when it was placed and when it was last looked
    at, and the latest end that was ever asked for.
    """

    placed_at: datetime
    expires_at: datetime
    settled_at_placing: int = 0
    settled_seen: int = 0
    asked_until: datetime | None = None
    is_lapsed: bool = False


class HoldMove(StrEnum):
    KEEP = "keep"
    EXTEND = "extend"
    PLACE_AGAIN = "place_again"


@dataclass(frozen=True, slots=True)
class Earned:
    """What to do, and until when the places are then wanted."""

    move: HoldMove
    until: datetime | None = None


def earn(terms: HoldTerms, holding: Holding, *, settled: int, of: int, now: datetime) -> Earned:
    """What `settled` of `of` authorized portions earn this hold now. The same input, the same answer.

    Time that was earned is not taken back; an end that was asked for once, granted or not, is not asked for again.
    """
    if not terms.earns:
        return Earned(HoldMove.KEEP)
    if holding.is_lapsed:
        if settled <= holding.settled_seen:
            return Earned(HoldMove.KEEP)
        return Earned(HoldMove.PLACE_AGAIN, now + timedelta(seconds=terms.seconds(0)))
    if settled >= of or now >= holding.expires_at or settled <= holding.settled_at_placing:
        # Complete: the order follows at once and takes the places. Over: the merchant has let them go. Nobody since: a
        # merchant's clock that differs from ours by a little is no reason to ask.
        return Earned(HoldMove.KEEP)
    until = holding.placed_at + timedelta(seconds=terms.seconds(settled - holding.settled_at_placing))
    if until <= max(holding.expires_at, holding.asked_until or holding.expires_at):
        return Earned(HoldMove.KEEP)
    return Earned(HoldMove.EXTEND, until)


def load(kept: int, barren_seconds: Iterable[int], *, memory_seconds: int) -> int:
    """How much of the merchant's patience is used up, in thousandths of a hold.

    Args:
        kept: holds that are open and for which nobody has paid anything yet.
        barren_seconds: for each hold that ended so, how long ago. It weighs half as much every `memory_seconds`.
    """
    halvings = (max(0, seconds) // max(1, memory_seconds) for seconds in barren_seconds)
    return kept * _HOLD + sum(_HOLD >> (1 + count) for count in halvings if count < _faded_after_halvings)


def has_room(used: int, holds_max: int | None) -> bool:
    """Whether one more hold fits below the cap; None: the merchant set none."""
    return holds_max is None or used + _HOLD <= holds_max * _HOLD


def remembered_seconds(memory_seconds: int) -> int:
    """How long ago a barren hold may have ended and still weigh something."""
    return max(1, memory_seconds) * _faded_after_halvings
