"""What goes wrong, by dice of its own for every occasion.

A fault occurrence has a name, `site#n`: the n-th time that site was asked. Its outcome follows from the seed, the site
and n alone, so that switching one off leaves the dice of all others where they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

_MASK: Final = (1 << 64) - 1
_MIX: Final = 0x9E3779B97F4A7C15
_BITS_END: Final = 1 << 53
_BITS: Final = _BITS_END - 1

Rates = Mapping[str, Mapping[str, float]]  # site -> what happens -> how often


class _Sites(dict[str, int]):
    """A number for each site."""

    def __missing__(self, site: str) -> int:
        number = self[site] = zlib.crc32(site.encode())
        return number


_SITES: Final = _Sites()


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that went wrong."""

    name: str
    what: str
    at: datetime
    subject: UUID | str | None = None


class Dice:
    """Every random thing of one history.

    Args:
        muted: sites (`worker.crash`) and occurrences (`provider.capture#3`) at which nothing goes wrong.
    """

    def __init__(self, seed: int, rates: Rates, muted: frozenset[str] = frozenset()) -> None:
        self.seed = seed
        self._counts: dict[str, int] = {}
        self._rates = {site: tuple(chances.items()) for site, chances in rates.items() if site not in muted}
        self._muted = muted

    def chance(self, site: str, n: int) -> float:
        """A number in [0, 1) that belongs to this occasion alone."""
        mixed = (hash((self.seed, _SITES[site], n)) * _MIX) & _MASK
        return ((mixed ^ (mixed >> 29)) & _BITS) / _BITS_END

    def draw(self, site: str) -> float:
        """The next number of a site that is not a fault (a latency, a thinking time)."""
        n = self._counts[site] = self._counts.get(site, 0) + 1
        return self.chance(site, n)

    def between(self, site: str, low: float, high: float) -> float:
        return low + (high - low) * self.draw(site)

    def fault(self, site: str) -> tuple[str, str] | None:
        """Whether something goes wrong now: its name and what; None when all is well."""
        n = self._counts[site] = self._counts.get(site, 0) + 1
        chances = self._rates.get(site)
        if not chances:
            return None
        left = self.chance(site, n)
        for what, rate in chances:
            left -= rate
            if left < 0:
                name = f"{site}#{n}"
                return None if name in self._muted else (name, what)
        return None
