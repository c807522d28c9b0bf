"""For whom a portion was paid and what of that is still kept: a place's worth, and to whom it goes back. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from uuid import UUID

from groupbook.kit.ids import PortionId
from groupbook.kit.money import Money, divide, split
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


def shares_back(
    portions: Sequence[PortionView], paid: Mapping[PortionId, int], back: Money, then: Money
) -> tuple[dict[PortionId, int], int]:
    """How `back` goes back, by portion, in minor units, when the order costs `then`; and what nobody can be given.

    First what was `paid` for the place, to whoever paid it, in proportion. Where more than the order costs is kept
    after that, everybody who stays gets it back in proportion (P2: nobody pays for more than the order); where not, a
    part of the place had been given back before, and the rest is the merchant's. A portion that is disputed keeps its
    own share only: its payer's bank decides about the rest.
    """
    shares = dict.fromkeys((portion.id for portion in portions), 0)
    returned = min(back.minor, sum(paid.values()))
    if returned > 0:
        shares |= zip(paid, split(returned, list(paid.values())), strict=True)
    left = back.minor - max(0, returned)
    if left > 0:
        left = max(0, min(left, sum(kept_of(one) for one in portions) - max(0, returned) - then.minor))
    rest = {one.id: kept_of(one) - shares[one.id] for one in portions if not one.is_disputed}
    if 0 < left <= sum(rest.values()):
        for id, part in zip(rest, divide(Money(left, back.currency), list(rest.values())), strict=True):
            shares[id] += part.minor
        left = 0
    return shares, left
