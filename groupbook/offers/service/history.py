"""What the merchant was asked for one reference, all of it, for the operator's eyes."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.offers import repository
from groupbook.offers.domain import Hold, Order


def holds_of(session: Session, reference: UUID) -> list[Hold]:
    """Every hold of a reference, oldest first. A step; locks nothing."""
    return [repository.hold_of_row(row) for row in repository.holds_of(session, reference)]


def orders_of(session: Session, reference: UUID) -> list[Order]:
    """Every order of a reference, rejected ones too, oldest first. A step; locks nothing."""
    return [repository.order_of_row(row) for row in repository.orders_of(session, reference)]


def rows_about(session: Session, reference: UUID) -> dict[UUID, str]:
    """Every row of a reference that calls and facts may be about: its id and the prefix it has on the wire. A step."""
    holds = {row.id: "hld" for row in repository.holds_of(session, reference)}
    orders = {row.id: "ord" for row in repository.orders_of(session, reference)}
    return holds | orders | repository.asked_besides(session, reference)
