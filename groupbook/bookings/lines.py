"""For whom a portion was paid and what of that is still kept: a place's worth, and to whom it goes back. Pure."""

from __future__ import annotations

from collections.abc import Container
from uuid import UUID

from groupbook.kit.money import split
from groupbook.payments.domain import PortionState, PortionView


def lines_of(portion: PortionView) -> dict[UUID, int]:
    """How much of what was taken of a portion is for whom, in minor units; together exactly that.

    Where less was taken than agreed, in proportion. A portion that names no lines (a surcharge, who came in later) is
    for its own traveler. Of a portion that the merchant covers nothing was taken: the lines are those that were agreed.
    """
    lines: dict[UUID, int] = {}
    for part in portion.covers:
        lines[part.line] = lines.get(part.line, 0) + part.amount.minor
    whole = portion.captured.minor
    if portion.state is PortionState.COVERED:
        whole = sum(lines.values()) or portion.amount.minor
    if not whole:
        return {}
    if not sum(lines.values()):
        return {portion.traveler: whole}
    return dict(zip(lines, split(whole, list(lines.values())), strict=True))


def kept_of(portion: PortionView) -> int:
    """Taken and not given back; of a portion that the merchant covers, what it is owed."""
    if portion.state is PortionState.COVERED:
        return portion.amount.minor
    return portion.captured.minor - portion.refunded.minor


def kept_for(portion: PortionView, member_id: UUID, gone: Container[UUID]) -> int:
    """How much of what is kept of a portion is for this member, in minor units.

    What came back is counted first on the lines of those who are `gone` (given back or replaced since the portion was
    opened), then on everybody's in proportion. For who is gone nothing is kept: it is the merchant's.
    """
    lines = lines_of(portion)
    back = sum(lines.values()) - kept_of(portion)
    for some in ([one for one in lines if one in gone], [one for one in lines if one not in gone]):
        less = min(back, sum(lines[one] for one in some))
        if less:
            for one, part in zip(some, split(less, [lines[one] for one in some]), strict=True):
                lines[one] -= part
        back -= less
    return 0 if member_id in gone else lines.get(member_id, 0)
