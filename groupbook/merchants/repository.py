"""Every query of the merchants room."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast
from uuid import UUID

from sqlalchemy import bindparam, delete, or_, select, union_all, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from groupbook.kit.database import lookup, merchant_of, query
from groupbook.kit.ids import ApiKeyId, EmbedOriginId, MerchantId, StaffId, new_id
from groupbook.merchants.domain import (
    ApiKey,
    Capabilities,
    ConnectionKind,
    EmbedOrigin,
    Merchant,
    Staff,
)
from groupbook.merchants.models import (
    ApiKeyRow,
    ConnectionRow,
    EmbedOriginRow,
    MerchantDetailsRow,
    MerchantRow,
    StaffRow,
    StaffSessionRow,
)

# --- look-ups before the tenant is known (one database function each) -------------------------------------------------


def find_merchant_by_slug(session: Session, slug: str, livemode: bool) -> Merchant | None:
    found = lookup(session, "lookup_merchant_by_slug", slug, livemode)
    return None if found is None else _merchant_of_document(found)


def all_merchants(session: Session) -> list[Merchant]:
    return [_merchant_of_document(one) for one in lookup(session, "lookup_all_merchants")]


def find_key(session: Session, secret_sha256: bytes) -> dict[str, Any] | None:
    """The active key with this digest: its merchant, id, scopes and whether its last use is worth writing down."""
    return cast("dict[str, Any] | None", lookup(session, "lookup_api_key", secret_sha256))


def find_staff_logins(session: Session, email: str) -> list[tuple[MerchantId, StaffId]]:
    found = lookup(session, "lookup_staff_logins", email)
    return [(MerchantId(UUID(one["merchant_id"])), StaffId(UUID(one["staff_id"]))) for one in found]


def find_staff_session(session: Session, token_sha256: bytes) -> dict[str, Any] | None:
    return cast("dict[str, Any] | None", lookup(session, "lookup_staff_session", token_sha256))


# --- merchant ---------------------------------------------------------------------------------------------------------


@query
def read_merchant(session: Session) -> Merchant | None:
    """Read once in a transaction: every room asks what this merchant can do."""
    if "merchant" not in session.info:
        row = session.scalar(select(MerchantRow).where(MerchantRow.merchant_id == merchant_of(session)))
        session.info["merchant"] = None if row is None else _merchant(row)
    known: Merchant | None = session.info["merchant"]
    return known


def insert_merchant(session: Session, merchant: Merchant, now: datetime) -> bool:
    """False when this slug already exists in this mode."""
    statement = (
        insert(MerchantRow)
        .values(
            merchant_id=merchant.id,
            id=merchant.id,
            slug=merchant.slug,
            livemode=merchant.livemode,
            name=merchant.name,
            locale=merchant.locale,
            timezone=merchant.timezone,
            currency=merchant.currency,
            adapter=merchant.adapter,
            capabilities=asdict(merchant.capabilities),
            created_at=now,
        )
        .on_conflict_do_nothing()
        .returning(MerchantRow.id)
    )
    session.info.pop("merchant", None)
    return session.scalar(statement) is not None


def update_capabilities(session: Session, capabilities: Capabilities) -> None:
    session.info.pop("merchant", None)
    session.execute(
        update(MerchantRow)
        .where(MerchantRow.merchant_id == merchant_of(session))
        .values(capabilities=asdict(capabilities))
    )


def read_details(session: Session) -> dict[str, Any]:
    """How the merchant signs receipts; empty where it said nothing."""
    found = session.scalar(
        select(MerchantDetailsRow.details).where(MerchantDetailsRow.merchant_id == merchant_of(session))
    )
    return dict(found or {})


def save_details(session: Session, details: dict[str, Any], now: datetime) -> None:
    row = insert(MerchantDetailsRow).values(merchant_id=merchant_of(session), details=details, changed_at=now)
    changed = {"details": row.excluded.details, "changed_at": row.excluded.changed_at}
    session.execute(row.on_conflict_do_update(index_elements=["merchant_id"], set_=changed))


# --- API keys ---------------------------------------------------------------------------------------------------------


def insert_key(session: Session, key: ApiKey, *, secret_sha256: bytes, sealed_secret: bytes | None) -> None:
    session.add(
        ApiKeyRow(
            merchant_id=merchant_of(session),
            id=key.id,
            name=key.name,
            livemode=key.livemode,
            secret_sha256=secret_sha256,
            sealed_secret=sealed_secret,
            hint=key.hint,
            scopes=list(key.scopes),
            created_at=key.created_at,
            last_used_at=None,
            expires_at=key.expires_at,
            revoked_at=None,
        )
    )
    session.flush()


def lock_key(session: Session, key_id: ApiKeyId) -> ApiKeyRow | None:
    return session.scalar(
        select(ApiKeyRow).where(ApiKeyRow.merchant_id == merchant_of(session), ApiKeyRow.id == key_id).with_for_update()
    )


def list_keys(session: Session) -> list[ApiKeyRow]:
    return list(
        session.scalars(
            select(ApiKeyRow).where(ApiKeyRow.merchant_id == merchant_of(session)).order_by(ApiKeyRow.id.desc())
        )
    )


def has_key(session: Session, secret_sha256: bytes) -> bool:
    return session.scalar(select(ApiKeyRow.id).where(ApiKeyRow.secret_sha256 == secret_sha256)) is not None


def touch_key(session: Session, key_id: UUID, at: datetime) -> None:
    session.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.merchant_id == merchant_of(session), ApiKeyRow.id == key_id)
        .values(last_used_at=at)
    )


def key_value(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=ApiKeyId(row.id),
        name=row.name,
        livemode=row.livemode,
        hint=row.hint,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


# --- embed origins ----------------------------------------------------------------------------------------------------


def list_origins(session: Session) -> list[EmbedOrigin]:
    rows = session.scalars(
        select(EmbedOriginRow).where(EmbedOriginRow.merchant_id == merchant_of(session)).order_by(EmbedOriginRow.origin)
    )
    return [EmbedOrigin(EmbedOriginId(row.id), row.origin, row.created_at) for row in rows]


def insert_origin(session: Session, origin: str, now: datetime) -> EmbedOrigin | None:
    """None when it is already registered."""
    statement = (
        insert(EmbedOriginRow)
        .values(merchant_id=merchant_of(session), id=new_id(), origin=origin, created_at=now)
        .on_conflict_do_nothing()
        .returning(EmbedOriginRow.id)
    )
    id = session.scalar(statement)
    return None if id is None else EmbedOrigin(EmbedOriginId(id), origin, now)


def delete_origin(session: Session, origin_id: EmbedOriginId) -> bool:
    statement = (
        delete(EmbedOriginRow)
        .where(EmbedOriginRow.merchant_id == merchant_of(session), EmbedOriginRow.id == origin_id)
        .returning(EmbedOriginRow.id)
    )
    return session.scalar(statement) is not None


# --- staff ------------------------------------------------------------------------------------------------------------


def insert_staff(session: Session, staff: Staff, *, password_hash: str, now: datetime) -> bool:
    """False when this e-mail already has a login at this merchant."""
    statement = (
        insert(StaffRow)
        .values(
            merchant_id=staff.merchant_id,
            id=staff.id,
            email=staff.email,
            name=staff.name,
            role=staff.role,
            password_hash=password_hash,
            failed_logins=0,
            created_at=now,
        )
        .on_conflict_do_nothing()
        .returning(StaffRow.id)
    )
    return session.scalar(statement) is not None


def lock_staff(session: Session, staff_id: UUID) -> StaffRow | None:
    return session.scalar(
        select(StaffRow).where(StaffRow.merchant_id == merchant_of(session), StaffRow.id == staff_id).with_for_update()
    )


def read_staff(session: Session, staff_id: UUID) -> Staff | None:
    row = session.scalar(select(StaffRow).where(StaffRow.merchant_id == merchant_of(session), StaffRow.id == staff_id))
    if row is None:
        return None
    merchant = read_merchant(session)
    return Staff(
        id=StaffId(row.id),
        merchant_id=merchant_of(session),
        livemode=merchant is not None and merchant.livemode,
        name=row.name,
        email=row.email,
        role=cast('Literal["owner", "staff"]', row.role),
    )


def insert_staff_session(session: Session, staff_id: UUID, *, token_sha256: bytes, now: datetime, seconds: int) -> None:
    session.add(
        StaffSessionRow(
            merchant_id=merchant_of(session),
            staff_id=staff_id,
            token_sha256=token_sha256,
            created_at=now,
            expires_at=now + timedelta(seconds=seconds),
        )
    )


def delete_staff_session(session: Session, token_sha256: bytes) -> None:
    session.execute(
        delete(StaffSessionRow).where(
            StaffSessionRow.merchant_id == merchant_of(session), StaffSessionRow.token_sha256 == token_sha256
        )
    )


def live_credentials(session: Session, ids: Collection[UUID], now: datetime) -> set[UUID]:
    keys = select(ApiKeyRow.id).where(
        ApiKeyRow.id.in_(ids),
        ApiKeyRow.revoked_at.is_(None),
        or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > now),
    )
    desk = select(StaffSessionRow.id).where(StaffSessionRow.id.in_(ids), StaffSessionRow.expires_at > now)
    return set(session.scalars(union_all(keys, desk)))


def delete_expired_staff_sessions(session: Session, now: datetime) -> None:
    session.execute(
        delete(StaffSessionRow).where(
            StaffSessionRow.merchant_id == merchant_of(session), StaffSessionRow.expires_at <= now
        )
    )


# --- connections ------------------------------------------------------------------------------------------------------


def save_connection(
    session: Session, *, kind: ConnectionKind, adapter: str, sealed_configuration: bytes, now: datetime
) -> None:
    values = {"adapter": adapter, "sealed_configuration": sealed_configuration, "updated_at": now}
    session.execute(
        insert(ConnectionRow)
        .values(merchant_id=merchant_of(session), id=new_id(), kind=kind, **values)
        .on_conflict_do_update(index_elements=["merchant_id", "kind"], set_=values)
    )


_CONNECTION: Final = select(ConnectionRow).where(
    ConnectionRow.merchant_id == bindparam("merchant_id"), ConnectionRow.kind == bindparam("kind")
)


@query
def find_connection(session: Session, kind: ConnectionKind) -> ConnectionRow | None:
    return session.scalar(_CONNECTION, {"merchant_id": merchant_of(session), "kind": kind})


def delete_connection(session: Session, kind: ConnectionKind) -> None:
    session.execute(
        delete(ConnectionRow).where(ConnectionRow.merchant_id == merchant_of(session), ConnectionRow.kind == kind)
    )


# --- rows to values ---------------------------------------------------------------------------------------------------


def _merchant(row: MerchantRow) -> Merchant:
    return Merchant(
        id=MerchantId(row.id),
        slug=row.slug,
        name=row.name,
        livemode=row.livemode,
        locale=row.locale,
        timezone=row.timezone,
        currency=row.currency,
        adapter=row.adapter,
        capabilities=Capabilities(**row.capabilities),
    )


def _merchant_of_document(document: dict[str, Any]) -> Merchant:
    return Merchant(
        id=MerchantId(UUID(document["id"])),
        slug=document["slug"],
        name=document["name"],
        livemode=document["livemode"],
        locale=document["locale"],
        timezone=document["timezone"],
        currency=document["currency"],
        adapter=document["adapter"],
        capabilities=Capabilities(**document["capabilities"]),
    )
