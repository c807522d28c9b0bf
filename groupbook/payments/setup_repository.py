"""The queries about connecting an account. No simulated history connects one."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.kit.database import merchant_of
from groupbook.kit.ids import MerchantId, SetupId, new_id
from groupbook.kit.models import IntentRow
from groupbook.payments.connecting import SetupNotFound
from groupbook.payments.domain import ATTEMPT_OVER, REFUND_OVER, RefundState
from groupbook.payments.models import AttemptRow, LinkedAccountRow, LinkRow, RefundRow, SetupRow


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


def insert_link(session: Session, *, state_sha256: bytes, staff_session_id: UUID, expires_at: datetime) -> None:
    session.add(
        LinkRow(
            merchant_id=merchant_of(session),
            id=new_id(),
            state_sha256=state_sha256,
            staff_session_id=staff_session_id,
            expires_at=expires_at,
        )
    )


def delete_links_before(session: Session, at: datetime) -> None:
    session.execute(delete(LinkRow).where(LinkRow.expires_at <= at))


def take_link(session: Session, state_sha256: bytes) -> tuple[UUID, datetime] | None:
    """Whose it was and until when it counts; it is gone with this, whatever they came back with."""
    query = delete(LinkRow).where(LinkRow.state_sha256 == state_sha256)
    row = session.execute(query.returning(LinkRow.staff_session_id, LinkRow.expires_at)).one_or_none()
    return None if row is None else (row[0], row[1])


def save_linked_account(session: Session, adapter: str, account: str | None) -> None:
    """From now on messages of this account are this merchant's; None: of no account of ours."""
    mine = LinkedAccountRow.merchant_id == merchant_of(session)
    if account is None:
        session.execute(delete(LinkedAccountRow).where(mine))
        return
    values = {"adapter": adapter, "account": account}
    query = insert(LinkedAccountRow).values(merchant_id=merchant_of(session), **values)
    session.execute(query.on_conflict_do_update(index_elements=["merchant_id"], set_=values))


def merchants_of_linked_account(session: Session, adapter: str, account: str) -> list[MerchantId]:
    """Before a merchant is known: through the one function that may look."""
    found = session.scalars(select(func.merchants_of_linked_account(adapter, account)))
    return [MerchantId(merchant_id) for merchant_id in found]
