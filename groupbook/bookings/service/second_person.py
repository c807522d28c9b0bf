"""Above a limit one operator does not give money back alone: the first proposes it, a second one does it.

Names are those of logins, or what the command line was told: this guards against a slip and a single pair of eyes, not
against somebody who holds the database.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from groupbook.bookings import repository
from groupbook.bookings.domain import BookingState, Operator
from groupbook.bookings.models import BookingRow
from groupbook.kit.money import Money

log = structlog.get_logger(__name__)
proposal_lasts: Final = timedelta(hours=24)


def is_agreed(
    session: Session,
    row: BookingRow,
    event: str,
    amount: Money,
    by: Operator,
    now: datetime,
    *,
    alone_max: int,
    about: UUID | None = None,
) -> bool:
    """Whether `amount` may be given back now; if not, `event` is written down as this operator's proposal. A step.

    Proposing twice is proposing once. A proposal lasts for a day, and only while the booking stands where it stood.

    Args:
        alone_max: what one person may give back, in minor units of the booking's currency.
        about: the row it is about, where a booking has several.
    """
    if amount.minor <= alone_max:
        return True
    proposed = {
        step.by
        for step in repository.timeline(session, row.id)
        if (step.event, step.about, step.to_state.value) == (event, about, row.state)
        and now - step.at <= proposal_lasts
    }
    if proposed - {by.name}:
        return True
    if by.name not in proposed:
        repository.add_step(session, row, event, BookingState(row.state), now, by=by, about=about)
        log.warning("second_person_needed", booking_id=str(row.id), proposal=event)
    return False
