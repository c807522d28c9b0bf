"""Merchants: keys, origins, staff and sealed secrets, on a real database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from groupbook import merchants
from groupbook.kit import clock
from groupbook.kit.database import Database
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import ApiKeyId, MerchantId, new_id
from groupbook.kit.sealing import Sealer
from groupbook.merchants import domain
from groupbook.merchants.domain import (
    ApiKeyNotFound,
    EmbedOriginExists,
    EmbedOriginNotFound,
    InvalidApiKey,
    InvalidLogin,
    InvalidOrigin,
    InvalidScope,
    InvalidTravel,
    LiveModeRefused,
    Merchant,
    MerchantExists,
    MerchantNotFound,
    WeakPassword,
)

SEALER = Sealer("a test's secret key")
PASSWORD = "correct horse battery"


@pytest.fixture
def kestrel(database: Database) -> Merchant:
    return merchants.create_merchant(database, slug="kestrel", name="Kestrel Rail", livemode=False)


@pytest.fixture
def live(database: Database) -> Merchant:
    return merchants.create_merchant(database, slug="kestrel", name="Kestrel Rail", livemode=True)


def test_test_and_live_share_a_slug_and_nothing_else(database: Database, kestrel: Merchant, live: Merchant) -> None:
    assert kestrel.id != live.id
    assert merchants.merchant_by_slug(database, "kestrel") == kestrel
    assert merchants.merchant_by_slug(database, "kestrel", livemode=True) == live
    assert merchants.all_merchants(database) == [kestrel, live]
    with pytest.raises(MerchantExists):
        merchants.create_merchant(database, slug="kestrel", name="Impostor", livemode=False)
    for unknown in ("nobody", "", "Kestrel", "kestrel\x00", "ana@example.org", "é"):
        with pytest.raises(MerchantNotFound):
            merchants.merchant_by_slug(database, unknown)


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_has_160_bits_a_mode_and_a_checksum() -> None:
    secret = domain.mint_secret(livemode=True)
    assert secret.startswith("gb_live_")
    assert len(secret) == len("gb_live_") + 32 + 7
    assert domain.is_well_formed_key(secret)
    for at in (9, 20, 39, 46):
        typo = secret[:at] + ("a" if secret[at] != "a" else "b") + secret[at + 1 :]
        assert not domain.is_well_formed_key(typo)


def test_a_key_names_its_merchant_and_is_stored_as_a_digest_only(
    database: Database, kestrel: Merchant, live: Merchant
) -> None:
    with database.begin(live.id) as session:
        minted = merchants.create_api_key(session, SEALER, name="server", scopes=["bookings:read"])
    caller = merchants.authenticate_key(database, f"Bearer {minted.secret}")
    assert (caller.kind, caller.merchant_id, caller.livemode) == ("merchant", live.id, True)
    assert (caller.subject, caller.scopes) == (minted.key.id, frozenset({"bookings:read"}))
    with database.begin(live.id) as session:
        [row] = session.execute(text("SELECT secret_sha256, sealed_secret, last_used_at FROM api_key")).all()
        assert row.secret_sha256 == domain.digest(minted.secret)
        assert row.sealed_secret is None
        assert row.last_used_at is not None
        assert merchants.show_test_key(session, SEALER) is None
        assert minted.secret not in repr(merchants.list_api_keys(session))


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic abc", "Bearer gb_test_short", "Bearer sk_test_x", "Bearer \x00", "Bearer é"],
)
def test_a_malformed_key_is_refused_without_a_query(database: Database, header: str) -> None:
    with pytest.raises(InvalidApiKey):
        merchants.authenticate_key(database, header)


def test_unknown_revoked_and_expired_keys_get_the_same_answer(database: Database, kestrel: Merchant) -> None:
    with database.begin(kestrel.id) as session:
        revoked = merchants.create_api_key(session, SEALER, name="revoked")
        expired = merchants.create_api_key(session, SEALER, name="expired")
        merchants.revoke_api_key(session, revoked.key.id)
        first = merchants.revoke_api_key(session, revoked.key.id)
        merchants.roll_api_key(session, SEALER, expired.key.id, overlap_seconds=0)
        assert first.revoked_at is not None
    for secret in (domain.mint_secret(livemode=False), revoked.secret, expired.secret):
        with pytest.raises(InvalidApiKey):
            merchants.authenticate_key(database, f"Bearer {secret}")


def test_a_rolled_key_overlaps_with_its_successor(database: Database, kestrel: Merchant) -> None:
    with database.begin(kestrel.id) as session:
        old = merchants.create_api_key(session, SEALER, name="shop", scopes=["trips:read"])
        new = merchants.roll_api_key(session, SEALER, old.key.id)
    callers = [merchants.authenticate_key(database, f"Bearer {one.secret}") for one in (old, new)]
    assert [caller.subject for caller in callers] == [old.key.id, new.key.id]
    assert new.key.scopes == ("trips:read",)
    with database.begin(kestrel.id) as session:
        [successor, rolled] = merchants.list_api_keys(session)
        assert successor.expires_at is None
        assert rolled.expires_at is not None
        assert merchants.show_test_key(session, SEALER) == new.secret
        with pytest.raises(ApiKeyNotFound):
            merchants.roll_api_key(session, SEALER, ApiKeyId(new_id()))


def test_a_fixed_demo_key_is_seeded_once_and_never_live(database: Database, kestrel: Merchant, live: Merchant) -> None:
    secret = domain.mint_secret(livemode=False)
    with database.begin(kestrel.id) as session:
        first = merchants.create_api_key(session, SEALER, name="demo", secret=secret)
        again = merchants.create_api_key(session, SEALER, name="demo", secret=secret)
        assert again.key.id == first.key.id
        assert len(merchants.list_api_keys(session)) == 1
        with pytest.raises(InvalidScope):
            merchants.create_api_key(session, SEALER, name="bad", scopes=["everything"])
    with database.begin(live.id) as session, pytest.raises(LiveModeRefused):
        merchants.create_api_key(session, SEALER, name="demo", secret=secret)


# --- embed origins ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("https://shop.example", "https://shop.example"),
        ("https://Shop.Example:443", "https://shop.example"),
        ("https://shop.example:8443", "https://shop.example:8443"),
        ("http://localhost:8001", "http://localhost:8001"),
        ("http://127.0.0.1:8001", "http://127.0.0.1:8001"),
    ],
)
def test_an_exact_origin_is_taken(text: str, parsed: str) -> None:
    assert domain.parse_origin(text, livemode=False) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "",
        "https://*",
        "https://*.com",
        "https://*.shop.example",
        "https://shop.example/",
        "https://shop.example/path",
        "https://shop.example?x",
        "https://shop.example#x",
        "https://user@shop.example",
        "https://evil.example\\@shop.example",
        "http://shop.example",
        "http://localhost.evil.example",
        "ftp://shop.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "//shop.example",
        "shop.example",
        "https://",
        "https://com",
        "https://1.2.3.4",
        "https://shop.example:0",
        "https://shop.example:99999",
        "https://shop.example:",
        "https://shop.example ",
        "https://shop.example\r\nX: y",
        "https://shöp.example",
        "https://" + "a" * 300 + ".example",
        "https://[::ffff:1.2.3.4]",
        "https://-shop.example",
    ],
)
def test_anything_but_an_exact_origin_is_refused(text: str) -> None:
    with pytest.raises(InvalidOrigin):
        domain.parse_origin(text, livemode=False)


def test_loopback_is_for_test_mode_only() -> None:
    for origin in ("http://localhost:8001", "https://localhost", "http://127.0.0.1"):
        with pytest.raises(InvalidOrigin):
            domain.parse_origin(origin, livemode=True)


def test_an_origin_is_registered_once_and_removed_by_its_owner_only(
    database: Database, kestrel: Merchant, live: Merchant
) -> None:
    with database.begin(kestrel.id) as session:
        origin = merchants.add_embed_origin(session, "https://shop.example")
        with pytest.raises(EmbedOriginExists):
            merchants.add_embed_origin(session, "https://SHOP.example")
    with database.begin(live.id) as session, pytest.raises(EmbedOriginNotFound):
        merchants.remove_embed_origin(session, origin.id)
    with database.begin(kestrel.id) as session:
        assert [one.origin for one in merchants.embed_origins(session)] == ["https://shop.example"]
        merchants.remove_embed_origin(session, origin.id)
        assert merchants.embed_origins(session) == []


# --- staff ------------------------------------------------------------------------------------------------------------


def test_staff_log_in_and_out(database: Database, kestrel: Merchant) -> None:
    with database.begin(kestrel.id) as session:
        staff = merchants.create_staff(session, email="Ines@Kestrel.example", name="Inès", password=PASSWORD)
    caller, token = merchants.log_in_staff(database, email="ines@kestrel.example", password=PASSWORD)
    assert (caller.kind, caller.merchant_id, caller.subject) == ("staff", kestrel.id, staff.id)
    assert merchants.authenticate_staff(database, token) == caller
    with database.begin(kestrel.id) as session:
        stored = session.execute(text("SELECT token_sha256 FROM staff_session")).scalar_one()
        assert stored == domain.digest(token)
        assert session.execute(text("SELECT password_hash FROM staff")).scalar_one().startswith("$argon2id$")
    merchants.log_out_staff(database, caller, token)
    merchants.log_out_staff(database, caller, token)
    assert merchants.authenticate_staff(database, token) is None
    assert merchants.authenticate_staff(database, "x" * 43) is None


def test_ten_wrong_passwords_lock_a_login(database: Database, kestrel: Merchant) -> None:
    with database.begin(kestrel.id) as session:
        merchants.create_staff(session, email="ines@kestrel.example", name="Inès", password=PASSWORD)
        with pytest.raises(WeakPassword):
            merchants.create_staff(session, email="bo@kestrel.example", name="Bo", password="short")
        session.execute(text("UPDATE staff SET failed_logins = 8"))
    for wrong in ("", "x" * 5000):
        with pytest.raises(InvalidLogin):
            merchants.log_in_staff(database, email="ines@kestrel.example", password=wrong)
    for email in ("ines@kestrel.example", "nobody@kestrel.example"):
        with pytest.raises(InvalidLogin):
            merchants.log_in_staff(database, email=email, password=PASSWORD)
    with database.begin(kestrel.id) as session:
        session.execute(text("UPDATE staff SET locked_until = clock_timestamp()"))
    assert merchants.log_in_staff(database, email="ines@kestrel.example", password=PASSWORD)


# --- secrets and time -------------------------------------------------------------------------------------------------


def test_a_connection_is_sealed_at_rest_and_opens_in_its_own_place_only(
    database: Database, kestrel: Merchant, live: Merchant
) -> None:
    secret = {"secret_key": "sk_test_very_secret"}
    for merchant in (kestrel, live):
        with database.begin(merchant.id) as session:
            merchants.connect(session, SEALER, kind="payment_provider", adapter="stripe", configuration=secret)
            merchants.connect(session, SEALER, kind="payment_provider", adapter="stripe", configuration=secret)
    with database.begin(kestrel.id) as session:
        [sealed] = session.scalars(text("SELECT sealed_configuration FROM merchant_connection"))
        assert b"very_secret" not in sealed
        assert merchants.read_connection(session, SEALER, "payment_provider").configuration == secret
        rotated = Sealer("a newer key", "a test's secret key")
        assert merchants.read_connection(session, rotated, "payment_provider").configuration == secret
        with pytest.raises(InvariantBroken):
            merchants.read_connection(session, Sealer("another key"), "payment_provider")
    with database.begin(live.id) as session:
        session.execute(text("UPDATE merchant_connection SET sealed_configuration = :other"), {"other": sealed})
    with database.begin(live.id) as session, pytest.raises(InvariantBroken):
        merchants.read_connection(session, SEALER, "payment_provider")


def test_only_a_test_merchant_travels_in_time(database: Database, kestrel: Merchant, live: Merchant) -> None:
    merchants.travel_time(database, kestrel.id, offset_seconds=3600)
    with database.begin(kestrel.id) as session:
        ahead = clock.now(session) - clock.system_now(session)
        assert timedelta(minutes=59) < ahead <= timedelta(hours=1)
    with pytest.raises(LiveModeRefused):
        merchants.travel_time(database, live.id, offset_seconds=3600)
    for offset in (-1, 10**12):
        with pytest.raises(InvalidTravel):
            merchants.travel_time(database, kestrel.id, offset_seconds=offset)
    with database.begin(live.id) as session:
        assert clock.now(session) - clock.system_now(session) < timedelta(seconds=1)


def test_another_merchants_rows_are_out_of_reach(database: Database, kestrel: Merchant, live: Merchant) -> None:
    with database.begin(kestrel.id) as session:
        minted = merchants.create_api_key(session, SEALER, name="shop")
    with database.begin(live.id) as session:
        assert merchants.list_api_keys(session) == []
        with pytest.raises(ApiKeyNotFound):
            merchants.revoke_api_key(session, minted.key.id)
        with pytest.raises(MerchantNotFound):
            merchants.read_merchant(session, kestrel.id)
    with database.begin(MerchantId(new_id())) as session, pytest.raises(MerchantNotFound):
        merchants.read_merchant(session)
