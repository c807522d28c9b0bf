"""The bare database: a group checkout without a product around it, in two shapes.

Both do the same work, as `reference` shape for shape: a group is opened with its parts; per participant an intention is
written before the provider would be called and its result after it; then everything is finalised once: every part
captured, the ledger written (two sides each), the group confirmed, one message per part and one for the group put out.

`set`: one statement per phase, so one round trip and one commit each: 2N+2 of both. It is the limit.
`orm`: rows loaded, changed and flushed one by one, with a commit per change of state, as services are usually written.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from sqlalchemy import Engine, ForeignKey, create_engine, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from groupbook.kit.database import driver_url, libpq_url
from groupbook.kit.ids import new_id

PORTION_MINOR: Final = 5_000
SHAPES: Final = ("set", "orm")


class Base(DeclarativeBase):
    type_annotation_map: Any = {dict[str, Any]: JSONB()}  # SQLAlchemy reads it on the class


class Checkout(Base):
    __tablename__ = "checkout"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[str]
    total: Mapped[int]
    version: Mapped[int]


class Part(Base):
    __tablename__ = "part"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    checkout_id: Mapped[UUID] = mapped_column(ForeignKey("checkout.id"), index=True)
    state: Mapped[str]
    amount: Mapped[int]
    payment_ref: Mapped[str | None]


class Call(Base):
    """The intention to call the provider, and its result."""

    __tablename__ = "call"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    part_id: Mapped[UUID] = mapped_column(ForeignKey("part.id"), index=True)
    state: Mapped[str]
    answered_at: Mapped[datetime | None]


class Posting(Base):
    __tablename__ = "posting"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    part_id: Mapped[UUID] = mapped_column(ForeignKey("part.id"), index=True)
    account: Mapped[str]
    amount: Mapped[int]


class Message(Base):
    __tablename__ = "message"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    body: Mapped[dict[str, Any]]


def create_tables(url: str) -> None:
    engine = create_engine(driver_url(url))
    Base.metadata.create_all(engine)
    engine.dispose()


def shape(name: str, url: str) -> tuple[Callable[[int], object], Any]:
    """One checkout of N as a function, and the connection or engine it works on."""
    if name == "set":
        connection = psycopg.connect(libpq_url(url), autocommit=True)
        return lambda n: checkout_set(connection, n), connection
    engine = create_engine(driver_url(url), pool_size=1)
    return lambda n: checkout_orm(engine, n), engine


# --- one statement per phase ------------------------------------------------------------------------------------------

_OPEN: Final = """
WITH opened AS (
    INSERT INTO checkout (id, state, total, version) VALUES (%(id)s, 'open', %(total)s, 1) RETURNING id
)
INSERT INTO part (id, checkout_id, state, amount)
SELECT part, opened.id, 'open', %(amount)s FROM opened, unnest(%(parts)s::uuid[]) AS part
"""
_INTEND: Final = """
WITH intended AS (INSERT INTO call (id, part_id, state) VALUES (%(call)s, %(part)s, 'calling') RETURNING part_id)
UPDATE part SET state = 'authorizing' FROM intended WHERE part.id = intended.part_id
"""
_ANSWER: Final = """
WITH answered AS (
    UPDATE call SET state = 'done', answered_at = clock_timestamp() WHERE id = %(call)s RETURNING part_id
)
UPDATE part SET state = 'authorized', payment_ref = %(ref)s FROM answered WHERE part.id = answered.part_id
"""
_FINALISE: Final = """
WITH taken AS (
    UPDATE part SET state = 'captured' WHERE checkout_id = %(id)s RETURNING id, amount
), written AS (
    INSERT INTO posting (id, part_id, account, amount)
    SELECT gen_random_uuid(), taken.id, side.account, side.sign * taken.amount
    FROM taken, (VALUES ('provider', 1), ('due', -1)) AS side (account, sign)
), confirmed AS (
    UPDATE checkout SET state = 'confirmed', version = version + 1 WHERE id = %(id)s RETURNING id
)
INSERT INTO message (id, name, body)
SELECT gen_random_uuid(), 'part.captured', jsonb_build_object('part', taken.id) FROM taken
UNION ALL
SELECT gen_random_uuid(), 'checkout.confirmed', jsonb_build_object('checkout', confirmed.id) FROM confirmed
"""


def checkout_set(connection: psycopg.Connection[Any], n: int) -> None:
    id, parts = new_id(), [new_id() for _ in range(n)]
    opening = {"id": id, "parts": parts, "amount": PORTION_MINOR, "total": n * PORTION_MINOR}
    connection.execute(_OPEN, opening, prepare=True)
    for part in parts:
        call = new_id()
        connection.execute(_INTEND, {"call": call, "part": part}, prepare=True)
        connection.execute(_ANSWER, {"call": call, "ref": call.hex}, prepare=True)
    connection.execute(_FINALISE, {"id": id}, prepare=True)


# --- row by row -------------------------------------------------------------------------------------------------------


def checkout_orm(engine: Engine, n: int) -> None:
    with Session(engine) as session:
        checkout = Checkout(id=new_id(), state="open", total=n * PORTION_MINOR, version=1)
        session.add(checkout)
        session.flush()
        parts = []
        for _ in range(n):
            part = Part(id=new_id(), checkout_id=checkout.id, state="open", amount=PORTION_MINOR)
            session.add(part)
            session.flush()
            parts.append(part.id)
        checkout_id = checkout.id
        session.commit()
        for part_id in parts:
            _authorize(session, part_id)
        for part_id in parts:
            _capture(session, part_id)
        confirmed = session.scalars(select(Checkout).where(Checkout.id == checkout_id).with_for_update()).one()
        confirmed.state, confirmed.version = "confirmed", confirmed.version + 1
        session.flush()
        session.add(Message(id=new_id(), name="checkout.confirmed", body={"checkout": checkout_id.hex}))
        session.commit()


def _authorize(session: Session, part_id: UUID) -> None:
    part = session.scalars(select(Part).where(Part.id == part_id).with_for_update()).one()
    part.state = "authorizing"
    session.flush()
    call = Call(id=new_id(), part_id=part_id, state="calling")
    session.add(call)
    call_id = call.id
    session.commit()
    answered = session.scalars(select(Call).where(Call.id == call_id).with_for_update()).one()
    answered.state, answered.answered_at = "done", datetime.now(UTC)
    session.flush()
    part = session.scalars(select(Part).where(Part.id == part_id).with_for_update()).one()
    part.state, part.payment_ref = "authorized", call_id.hex
    session.commit()


def _capture(session: Session, part_id: UUID) -> None:
    part = session.scalars(select(Part).where(Part.id == part_id).with_for_update()).one()
    part.state = "captured"
    session.flush()
    for account, sign in (("provider", 1), ("due", -1)):
        session.add(Posting(id=new_id(), part_id=part_id, account=account, amount=sign * part.amount))
        session.flush()
    session.add(Message(id=new_id(), name="part.captured", body={"part": part_id.hex}))
    session.commit()
