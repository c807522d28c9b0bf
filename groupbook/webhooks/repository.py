"""Every query and lock of the webhooks room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from groupbook.kit import paging
from groupbook.kit.conversation import NO_ANSWER
from groupbook.kit.database import merchant_of, new_rows
from groupbook.kit.ids import DeliveryId, EndpointId, EventId, new_id
from groupbook.kit.paging import Slice
from groupbook.webhooks.domain import Answer, Attempt, Delivery, DeliveryState, Detail, Endpoint, Event
from groupbook.webhooks.models import DeliveryAttemptRow, DeliveryRow, EndpointRow, EventRow

# --- endpoints --------------------------------------------------------------------------------------------------------


def insert_endpoint(session: Session, endpoint: Endpoint, *, sealed_secret: bytes) -> None:
    session.add(
        EndpointRow(
            merchant_id=merchant_of(session),
            id=endpoint.id,
            url=endpoint.url,
            event_types=list(endpoint.event_types),
            detail=endpoint.detail,
            sealed_secret=sealed_secret,
            created_at=endpoint.created_at,
        )
    )
    session.flush()


def list_endpoints(session: Session) -> list[Endpoint]:
    rows = session.scalars(
        select(EndpointRow).where(EndpointRow.merchant_id == merchant_of(session)).order_by(EndpointRow.id.desc())
    )
    return [endpoint_value(row) for row in rows]


def endpoints_told(session: Session) -> list[Endpoint]:
    """`list_endpoints`, read once in a transaction that tells them something."""
    if "webhook_endpoints" not in session.info:
        session.info["webhook_endpoints"] = list_endpoints(session)
    known: list[Endpoint] = session.info["webhook_endpoints"]
    return known


def find_endpoint(session: Session, endpoint_id: UUID, *, lock: bool = False) -> EndpointRow | None:
    query = select(EndpointRow).where(EndpointRow.merchant_id == merchant_of(session), EndpointRow.id == endpoint_id)
    return session.scalar(query.with_for_update() if lock else query)


def delete_endpoint(session: Session, endpoint_id: EndpointId) -> bool:
    statement = (
        delete(EndpointRow)
        .where(EndpointRow.merchant_id == merchant_of(session), EndpointRow.id == endpoint_id)
        .returning(EndpointRow.id)
    )
    return session.scalar(statement) is not None


def endpoint_value(row: EndpointRow) -> Endpoint:
    return Endpoint(
        id=EndpointId(row.id),
        url=row.url,
        event_types=tuple(row.event_types),
        detail=cast(Detail, row.detail),
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
        created_at=row.created_at,
    )


# --- events -----------------------------------------------------------------------------------------------------------


def add_events(session: Session, events: Mapping[UUID, Event]) -> None:
    """Keep these events, by the fact that each comes from, unless that fact is an event already. Nobody waits."""
    rows = [
        {
            "merchant_id": merchant_of(session),
            "id": event.id,
            "type": event.type,
            "object_id": event.object_id,
            "livemode": event.livemode,
            "data": dict(event.data),
            "fact_id": fact_id,
            "created_at": event.created_at,
        }
        for fact_id, event in sorted(events.items())
    ]
    session.execute(new_rows(EventRow).on_conflict_do_nothing(), rows)


def find_event(session: Session, event_id: UUID) -> Event | None:
    row = session.scalar(select(EventRow).where(EventRow.merchant_id == merchant_of(session), EventRow.id == event_id))
    return None if row is None else _event(row)


def list_events(
    session: Session,
    *,
    limit: int,
    cursor: UUID | None,
    type: str | None = None,
    object_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Slice[Event]:
    query = select(EventRow).where(EventRow.merchant_id == merchant_of(session))
    if cursor is not None:
        query = query.where(EventRow.id < cursor)
    if type is not None:
        query = query.where(EventRow.type == type)
    if object_id is not None:
        query = query.where(EventRow.object_id == object_id)
    if since is not None:
        query = query.where(EventRow.created_at >= since)
    if until is not None:
        query = query.where(EventRow.created_at < until)
    rows = [_event(row) for row in session.scalars(query.order_by(EventRow.id.desc()).limit(limit + 1))]
    return paging.page(rows, [row.id for row in rows], limit)


def purge_events(session: Session, before: datetime) -> None:
    session.execute(delete(EventRow).where(EventRow.merchant_id == merchant_of(session), EventRow.created_at < before))


def _event(row: EventRow) -> Event:
    return Event(EventId(row.id), row.type, row.object_id, row.livemode, row.data, row.created_at)


# --- deliveries -------------------------------------------------------------------------------------------------------


_ADD_DELIVERY: Final = text(
    "INSERT INTO webhook_delivery (merchant_id, id, event_id, endpoint_id, round, state, attempts, due_at, created_at) "
    "SELECT merchant_id, :id, id, :endpoint_id, 1, :state, 0, :at, :at FROM event "
    "WHERE merchant_id = :merchant_id AND id = :event_id"
)


def add_deliveries(session: Session, owed: Sequence[tuple[UUID, UUID]], *, now: datetime) -> list[UUID]:
    """The first round of each delivery of an event to an endpoint, where there is such an event; ids, in order."""
    ids = [new_id() for _ in owed]
    rows = [
        {
            "merchant_id": merchant_of(session),
            "id": id,
            "event_id": event_id,
            "endpoint_id": endpoint_id,
            "state": DeliveryState.PENDING.value,
            "at": now,
        }
        for id, (event_id, endpoint_id) in zip(ids, owed, strict=True)
    ]
    if rows:
        session.execute(_ADD_DELIVERY, rows, execution_options=NO_ANSWER)
    return ids


def insert_delivery(session: Session, event_id: UUID, endpoint_id: UUID, *, now: datetime) -> Delivery:
    """A new round of delivery; while the last one is still pending that one is brought forward instead."""
    last = session.scalar(
        select(DeliveryRow)
        .where(
            DeliveryRow.merchant_id == merchant_of(session),
            DeliveryRow.event_id == event_id,
            DeliveryRow.endpoint_id == endpoint_id,
        )
        .order_by(DeliveryRow.round.desc())
        .limit(1)
        .with_for_update()
    )
    if last is not None and last.state == DeliveryState.PENDING:
        last.due_at = now
        session.flush()
        return delivery_value(last)
    row = DeliveryRow(
        merchant_id=merchant_of(session),
        id=new_id(),
        event_id=event_id,
        endpoint_id=endpoint_id,
        round=1 if last is None else last.round + 1,
        state=DeliveryState.PENDING,
        attempts=0,
        due_at=now,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return delivery_value(row)


def drop_pending(session: Session, endpoint_id: UUID) -> None:
    session.execute(
        update(DeliveryRow)
        .where(
            DeliveryRow.merchant_id == merchant_of(session),
            DeliveryRow.endpoint_id == endpoint_id,
            DeliveryRow.state == DeliveryState.PENDING,
        )
        .values(state=DeliveryState.DROPPED, due_at=None, lease_until=None)
    )


def insert_attempt(session: Session, delivery_id: UUID, number: int, answer: Answer, now: datetime) -> None:
    session.add(
        DeliveryAttemptRow(
            merchant_id=merchant_of(session),
            delivery_id=delivery_id,
            number=number,
            at=now,
            status=answer.status,
            error=answer.error,
            duration_milliseconds=answer.duration_milliseconds,
            excerpt=answer.excerpt.replace("\x00", ""),
        )
    )


def list_deliveries(
    session: Session,
    *,
    limit: int,
    cursor: UUID | None = None,
    endpoint_id: UUID | None = None,
    event_id: UUID | None = None,
) -> Slice[Delivery]:
    query = select(DeliveryRow).where(DeliveryRow.merchant_id == merchant_of(session))
    if cursor is not None:
        query = query.where(DeliveryRow.id < cursor)
    if endpoint_id is not None:
        query = query.where(DeliveryRow.endpoint_id == endpoint_id)
    if event_id is not None:
        query = query.where(DeliveryRow.event_id == event_id)
    rows = [delivery_value(row) for row in session.scalars(query.order_by(DeliveryRow.id.desc()).limit(limit + 1))]
    return paging.page(rows, [row.id for row in rows], limit)


def attempts_of(session: Session, delivery_ids: Sequence[UUID]) -> dict[UUID, list[Attempt]]:
    rows = session.scalars(
        select(DeliveryAttemptRow)
        .where(DeliveryAttemptRow.merchant_id == merchant_of(session), DeliveryAttemptRow.delivery_id.in_(delivery_ids))
        .order_by(DeliveryAttemptRow.delivery_id, DeliveryAttemptRow.number)
    )
    found: dict[UUID, list[Attempt]] = {id: [] for id in delivery_ids}
    for row in rows:
        found[row.delivery_id].append(
            Attempt(row.number, row.at, row.status, row.error, row.duration_milliseconds, row.excerpt)
        )
    return found


def count_pending(session: Session) -> int:
    query: Any = (
        select(func.count())
        .select_from(DeliveryRow)
        .where(DeliveryRow.merchant_id == merchant_of(session), DeliveryRow.state == DeliveryState.PENDING)
    )
    return int(session.execute(query).scalar_one())


def delivery_value(row: DeliveryRow) -> Delivery:
    return Delivery(
        id=DeliveryId(row.id),
        event_id=EventId(row.event_id),
        endpoint_id=EndpointId(row.endpoint_id),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        due_at=row.due_at,
        last_status=row.last_status,
        last_error=row.last_error,
        created_at=row.created_at,
        delivered_at=row.delivered_at,
    )
