"""The queries about connecting an account. No simulated history connects one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from groupbook.kit.database import merchant_of
from groupbook.kit.ids import SetupId, new_id
from groupbook.kit.models import IntentRow
from groupbook.payments.connecting import SetupNotFound
from groupbook.payments.domain import ATTEMPT_OVER, REFUND_OVER, RefundState
from groupbook.payments.models import AttemptRow, RefundRow, SetupRow


def insert_setup(session: Session, **values: Any) -> SetupRow:
    row = SetupRow(merchant_id=merchant_of(session), id=SetupId(new_id()), **values)
    session.add(row)
    return row


def read_setup(session: Session, setup_id: UUID) -> SetupRow:
    row = session.scalar(select(SetupRow).where(SetupRow.id == setup_id))
    if row is None:
        raise SetupNotFound()
    return row


def lock_setup(session: Session, setup_id: UUID) -> SetupRow:
    query = select(SetupRow).where(SetupRow.id == setup_id).with_for_update()
    row = session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise SetupNotFound()
    return row


def last_setup(session: Session) -> SetupRow | None:
    return session.scalar(select(SetupRow).order_by(SetupRow.started_at.desc(), SetupRow.id.desc()).limit(1))


def lock_setups_with_keys(session: Session) -> list[SetupRow]:
    query = select(SetupRow).where(SetupRow.sealed_configuration.is_not(None)).order_by(SetupRow.id)
    return list(session.scalars(query.with_for_update()))


def payment_under_way(session: Session) -> AttemptRow | None:
    """An attempt that may still be paid, captured or released, or is being refunded: the latest with a page, if any.

    None: nothing here needs the account in use any more.
    """
    over = [state.value for state in ATTEMPT_OVER]
    at_rest = [state.value for state in (*REFUND_OVER, RefundState.FAILED)]
    refunded = select(RefundRow.attempt_id).where(RefundRow.state.not_in(at_rest))
    query = select(AttemptRow).where(or_(AttemptRow.state.not_in(over), AttemptRow.id.in_(refunded)))
    return session.scalar(query.order_by(AttemptRow.page_ref.is_(None), AttemptRow.started_at.desc()).limit(1))


def is_asked_again(session: Session, setup_id: UUID) -> bool:
    """Whether the step under way was asked for before, without an answer."""
    tried = select(IntentRow.id).where(
        IntentRow.subject == setup_id, IntentRow.state.in_(("due", "unknown")), IntentRow.attempts > 0
    )
    return session.scalar(tried.limit(1)) is not None
