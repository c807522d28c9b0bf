"""The use cases (they take `database`) and steps (they take the open `session`) of the merchants room."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy.orm import Session

from groupbook.kit import clock
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database, merchant_of
from groupbook.kit.ids import ApiKeyId, EmbedOriginId, MerchantId, StaffId, new_id
from groupbook.kit.sealing import Sealer
from groupbook.merchants import repository
from groupbook.merchants.domain import (
    SCOPES,
    ApiKey,
    ApiKeyNotFound,
    Capabilities,
    Connection,
    ConnectionKind,
    ConnectionNotFound,
    EmbedOrigin,
    EmbedOriginExists,
    EmbedOriginNotFound,
    InvalidApiKey,
    InvalidLogin,
    InvalidTravel,
    LiveModeRefused,
    Merchant,
    MerchantExists,
    MerchantNotFound,
    MintedKey,
    Staff,
    StaffExists,
    check_email,
    check_password,
    check_scopes,
    check_slug,
    digest,
    is_live_key,
    is_slug,
    is_well_formed_key,
    key_hint,
    mint_secret,
    parse_origin,
    staff_session_seconds,
    travel_seconds_max,
)
from groupbook.merchants.models import StaffRow

roll_overlap_seconds: Final = 24 * 3600
roll_overlap_seconds_max: Final = 30 * 86_400
failed_logins_max: Final = 10
lock_seconds: Final = 15 * 60
logins_per_email_max: Final = 4


# --- merchants --------------------------------------------------------------------------------------------------------


def create_merchant(
    database: Database,
    *,
    slug: str,
    name: str,
    livemode: bool,
    locale: str = "en",
    timezone: str = "Europe/Paris",
    currency: str = "EUR",
    adapter: str = "http",
    capabilities: Capabilities | None = None,
    merchant_id: MerchantId | None = None,
) -> Merchant:
    """Open a tenant.

    Raises:
        MerchantExists: this slug is taken in this mode.
    """
    merchant = Merchant(
        id=merchant_id or MerchantId(new_id()),
        slug=check_slug(slug),
        name=name,
        livemode=livemode,
        locale=locale,
        timezone=timezone,
        currency=currency,
        adapter=adapter,
        capabilities=capabilities or Capabilities(),
    )
    with database.begin(merchant.id) as session:
        if not repository.insert_merchant(session, merchant, clock.system_now(session)):
            raise MerchantExists(slug=slug, livemode=livemode)
    return merchant


def read_merchant(session: Session, merchant_id: MerchantId | None = None) -> Merchant:
    """The merchant this transaction is bound to. A step.

    Raises:
        MerchantNotFound: there is none, or `merchant_id` is another one.
    """
    merchant = repository.read_merchant(session)
    if merchant is None or merchant_id not in (None, merchant.id):
        raise MerchantNotFound()
    return merchant


def merchant_by_slug(database: Database, slug: str, *, livemode: bool = False) -> Merchant:
    """The merchant a page or an embed names, before the tenant is known.

    Raises:
        MerchantNotFound: no merchant of that slug in that mode.
    """
    if not is_slug(slug):  # whatever stands in an address: PostgreSQL takes no NUL, for one
        raise MerchantNotFound()
    with database.begin_unbound() as session:
        merchant = repository.find_merchant_by_slug(session, slug, livemode)
    if merchant is None:
        raise MerchantNotFound()
    return merchant


def all_merchants(database: Database) -> list[Merchant]:
    """Every tenant, oldest first: for sweeps, which then work merchant by merchant."""
    with database.begin_unbound() as session:
        return repository.all_merchants(session)


def change_capabilities(session: Session, capabilities: Capabilities) -> None:
    """Say anew what this merchant's engine can do. A step."""
    repository.update_capabilities(session, capabilities)


def travel_time(database: Database, merchant_id: MerchantId, *, offset_seconds: int) -> datetime:
    """Set a test merchant's clock `offset_seconds` ahead of real time (0 comes home); returns its new now.

    Raises:
        LiveModeRefused: the merchant is live; real time cannot be moved.
        InvalidTravel: negative, or more than 400 days.
    """
    if not 0 <= offset_seconds <= travel_seconds_max:
        raise InvalidTravel(pointer="/offset_seconds", seconds_max=travel_seconds_max)
    with database.begin(merchant_id) as session:
        if read_merchant(session).livemode:
            raise LiveModeRefused()
        clock.set_offset(session, merchant_id, timedelta(seconds=offset_seconds))
        return clock.now(session)


# --- API keys ---------------------------------------------------------------------------------------------------------


def create_api_key(
    session: Session,
    sealer: Sealer,
    *,
    name: str,
    scopes: Sequence[str] = SCOPES,
    secret: str | None = None,
) -> MintedKey:
    """Mint a key for this merchant's mode. A step. `secret` fixes a test key (demo seed); asking twice is harmless.

    Raises:
        InvalidScope: an unknown scope, or none.
        LiveModeRefused: a fixed secret in live mode.
        InvalidApiKey: a fixed secret of the wrong shape.
    """
    livemode = read_merchant(session).livemode
    if secret is not None:
        if livemode or is_live_key(secret):
            raise LiveModeRefused()
        if not is_well_formed_key(secret):
            raise InvalidApiKey()
    secret = secret or mint_secret(livemode=livemode)
    key = ApiKey(
        id=ApiKeyId(new_id()),
        name=name,
        livemode=livemode,
        hint=key_hint(secret),
        scopes=check_scopes(tuple(scopes)),
        created_at=clock.system_now(session),
        last_used_at=None,
        expires_at=None,
        revoked_at=None,
    )
    if repository.has_key(session, digest(secret)):
        existing = next(row for row in repository.list_keys(session) if row.secret_sha256 == digest(secret))
        return MintedKey(repository.key_value(existing), secret)
    sealed = None if livemode else sealer.seal(_key_place(key.id), secret.encode("ascii"))
    repository.insert_key(session, key, secret_sha256=digest(secret), sealed_secret=sealed)
    return MintedKey(key, secret)


def list_api_keys(session: Session) -> list[ApiKey]:
    """This merchant's keys, newest first, without their secrets. A step."""
    return [repository.key_value(row) for row in repository.list_keys(session)]


def show_test_key(session: Session, sealer: Sealer) -> str | None:
    """The newest active test key in full, for the dashboard; None in live mode. A step."""
    now = clock.system_now(session)
    for row in repository.list_keys(session):
        if row.sealed_secret is not None and repository.key_value(row).is_active(now):
            return sealer.open(_key_place(ApiKeyId(row.id)), row.sealed_secret).decode("ascii")
    return None


def revoke_api_key(session: Session, key_id: ApiKeyId) -> ApiKey:
    """Stop a key at once, for good. Twice equals once. A step.

    Raises:
        ApiKeyNotFound: not a key of this merchant.
    """
    row = repository.lock_key(session, key_id)
    if row is None:
        raise ApiKeyNotFound()
    if row.revoked_at is None:
        row.revoked_at = clock.system_now(session)
        row.sealed_secret = None
    return repository.key_value(row)


def roll_api_key(
    session: Session, sealer: Sealer, key_id: ApiKeyId, *, overlap_seconds: int = roll_overlap_seconds
) -> MintedKey:
    """Mint a successor with the same name and scopes; the old key works `overlap_seconds` more. A step.

    Raises:
        ApiKeyNotFound: not an active key of this merchant.
    """
    now = clock.system_now(session)
    row = repository.lock_key(session, key_id)
    if row is None or not repository.key_value(row).is_active(now):
        raise ApiKeyNotFound()
    until = now + timedelta(seconds=max(0, min(overlap_seconds, roll_overlap_seconds_max)))
    row.expires_at = until if row.expires_at is None else min(row.expires_at, until)
    return create_api_key(session, sealer, name=row.name, scopes=tuple(row.scopes))


def authenticate_key(database: Database, authorization: str) -> Caller:
    """Who shows this `Authorization: Bearer gb_…` header.

    Raises:
        InvalidApiKey: malformed, unknown, revoked or expired; which of these is not told.
    """
    scheme, _, secret = authorization.partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not is_well_formed_key(secret):
        raise InvalidApiKey()
    with database.begin_unbound() as session:
        found = repository.find_key(session, digest(secret))
    if found is None:
        raise InvalidApiKey()
    merchant_id, key_id = MerchantId(UUID(found["merchant_id"])), UUID(found["key_id"])
    if found["is_touch_due"]:
        with database.begin(merchant_id) as session:
            repository.touch_key(session, key_id, clock.system_now(session))
    return Caller(
        kind="merchant",
        merchant_id=merchant_id,
        livemode=found["livemode"],
        subject=key_id,
        scopes=frozenset(found["scopes"]),
    )


def _key_place(key_id: ApiKeyId) -> str:
    return f"api_key:{key_id}"


# --- embed origins ----------------------------------------------------------------------------------------------------


def embed_origins(session: Session) -> list[EmbedOrigin]:
    """The origins that may frame this merchant's pages. A step."""
    return repository.list_origins(session)


def add_embed_origin(session: Session, origin: str) -> EmbedOrigin:
    """Let pages of this exact origin frame us. A step.

    Raises:
        InvalidOrigin: a wildcard, `null`, a path, http beyond loopback, or no origin at all.
        EmbedOriginExists: already registered.
    """
    parsed = parse_origin(origin, livemode=read_merchant(session).livemode)
    added = repository.insert_origin(session, parsed, clock.system_now(session))
    if added is None:
        raise EmbedOriginExists(pointer="/origin", origin=parsed)
    return added


def remove_embed_origin(session: Session, origin_id: EmbedOriginId) -> None:
    """Stop an origin from framing us. A step.

    Raises:
        EmbedOriginNotFound: not an origin of this merchant.
    """
    if not repository.delete_origin(session, origin_id):
        raise EmbedOriginNotFound()


# --- staff ------------------------------------------------------------------------------------------------------------


@lru_cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@lru_cache
def _nobodys_hash() -> str:
    """Checked when the e-mail is unknown, so that an unknown one takes as long as a wrong password."""
    return _hasher().hash(secrets.token_urlsafe(16))


def create_staff(
    session: Session, *, email: str, name: str, password: str, role: Literal["owner", "staff"] = "owner"
) -> Staff:
    """Give somebody a login to the dashboard. A step.

    Raises:
        InvalidEmail, WeakPassword: the input is no good.
        StaffExists: this e-mail already has a login at this merchant.
    """
    merchant = read_merchant(session)
    staff = Staff(
        id=StaffId(new_id()),
        merchant_id=merchant.id,
        livemode=merchant.livemode,
        name=name,
        email=check_email(email),
        role=role,
    )
    password_hash = _hasher().hash(check_password(password))
    if not repository.insert_staff(session, staff, password_hash=password_hash, now=clock.system_now(session)):
        raise StaffExists()
    return staff


def log_in_staff(database: Database, *, email: str, password: str) -> tuple[Caller, str]:
    """Open a dashboard session; returns the caller and the session token (stored only as its digest).

    The same e-mail may have a login at several merchants (test and live): the first whose password fits is opened,
    test before live. Ten wrong passwords lock a login for a quarter of an hour.

    Raises:
        InvalidLogin: unknown e-mail, wrong password or locked; which of these is not told.
    """
    with database.begin_unbound() as session:
        logins = repository.find_staff_logins(session, email.lower()[:320])
    if not logins:
        _fits(_nobodys_hash(), password)
    for merchant_id, staff_id in logins[:logins_per_email_max]:
        with database.begin(merchant_id) as session:
            row = repository.lock_staff(session, staff_id)
            if row is None or _is_locked(row, clock.system_now(session)):
                continue
            known_hash = row.password_hash
        # Slow on purpose, so without a transaction: a row's lock and a connection are not held for it.
        fits = _fits(known_hash, password)
        new_hash = _hasher().hash(password) if fits and _hasher().check_needs_rehash(known_hash) else known_hash
        with database.begin(merchant_id) as session:
            row = repository.lock_staff(session, staff_id)
            now = clock.system_now(session)
            if row is None or _is_locked(row, now) or row.password_hash != known_hash:
                continue
            if not fits:
                row.failed_logins += 1
                if row.failed_logins >= failed_logins_max:
                    row.failed_logins, row.locked_until = 0, now + timedelta(seconds=lock_seconds)
                continue
            row.failed_logins, row.locked_until, row.password_hash = 0, None, new_hash
            token = secrets.token_urlsafe(32)
            repository.delete_expired_staff_sessions(session, now)
            repository.insert_staff_session(
                session, staff_id, token_sha256=digest(token), now=now, seconds=staff_session_seconds
            )
            livemode = read_merchant(session).livemode
        caller = authenticate_staff(database, token)
        if caller is not None and caller.livemode == livemode:
            return caller, token
    raise InvalidLogin()


def authenticate_staff(database: Database, token: str) -> Caller | None:
    """The staff member behind a session token; None when it is unknown or over."""
    if not 20 <= len(token) <= 100:
        return None
    with database.begin_unbound() as session:
        found = repository.find_staff_session(session, digest(token))
    if found is None:
        return None
    return Caller(
        kind="staff",
        merchant_id=MerchantId(UUID(found["merchant_id"])),
        livemode=found["livemode"],
        subject=UUID(found["staff_id"]),
        session_id=UUID(found["session_id"]),
        scopes=frozenset(SCOPES),
    )


def live_credentials(session: Session, ids: Collection[UUID]) -> set[UUID]:
    """Of these API keys and staff sessions, those that still work. A step."""
    return repository.live_credentials(session, ids, clock.system_now(session))


def read_staff(session: Session, staff_id: UUID) -> Staff | None:
    """A staff member of this merchant. A step."""
    return repository.read_staff(session, staff_id)


def log_out_staff(database: Database, caller: Caller, token: str) -> None:
    """End the session. Twice equals once."""
    with database.begin(caller.merchant_id) as session:
        repository.delete_staff_session(session, digest(token))


def _is_locked(row: StaffRow, now: datetime) -> bool:
    return row.locked_until is not None and now < row.locked_until


def _fits(password_hash: str, password: str) -> bool:
    if len(password) > 1000:
        return False
    try:
        return _hasher().verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


# --- connections to the outside ---------------------------------------------------------------------------------------


def connect(
    session: Session, sealer: Sealer, *, kind: ConnectionKind, adapter: str, configuration: Mapping[str, Any]
) -> None:
    """Store how this merchant reaches an outside system, sealed. The last one wins. A step."""
    place = _connection_place(merchant_of(session), kind)
    repository.save_connection(
        session,
        kind=kind,
        adapter=adapter,
        sealed_configuration=sealer.seal_document(place, configuration),
        now=clock.system_now(session),
    )


def disconnect(session: Session, kind: ConnectionKind) -> None:
    """Forget how this merchant reaches an outside system. Twice is once. A step."""
    repository.delete_connection(session, kind)


def read_connection(session: Session, sealer: Sealer, kind: ConnectionKind) -> Connection:
    """Read it back, opened. A step.

    Raises:
        ConnectionNotFound: this merchant has not connected one.
    """
    row = repository.find_connection(session, kind)
    if row is None:
        raise ConnectionNotFound(what=kind)
    place = _connection_place(merchant_of(session), kind)
    return Connection(kind, row.adapter, sealer.open_document(place, row.sealed_configuration))


def _connection_place(merchant_id: MerchantId, kind: ConnectionKind) -> str:
    return f"merchant_connection:{merchant_id}:{kind}"
