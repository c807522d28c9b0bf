"""Merchants never see each other (P6): every tenant table by every operation, every path by every foreign id.

Both lists are generated, the tables from the database's catalogue, the paths from the OpenAPI document, so that a new
table or operation is covered the day it appears.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from groupbook import discounts, merchants, notices, people, referrals, trips, webhooks
from groupbook.kit import clock
from groupbook.kit.database import driver_url
from groupbook.kit.ids import MerchantId, new_id, to_wire
from groupbook.trips import StartTrip
from groupbook.web import cookies, openapi
from groupbook.web.app import OPERATIONS, build_app
from tests.support.saga import Saga
from tests.support.site import mint_key, staff_token


@pytest.fixture
def saga(database_url: str) -> Iterator[Saga]:
    """A merchant with a booked trip, a share, webhooks and staff: rows in as many tables as one story fills."""
    saga = Saga(database_url, "ada", "bo")
    with saga.database.begin(saga.merchant_id) as session:
        webhooks.create_endpoint(session, saga.house.webhooks, url="https://shop.example/hook")
        merchants.add_embed_origin(session, "https://shop.example")
    mint_key(saga)
    staff_token(saga)
    _bring_a_code(saga)
    saga.open()
    saga.run_until_quiet()
    for name in ("ada", "bo"):
        saga.pay(name)
    saga.run_until_quiet()
    referrals.mint_share(saga.database, saga.friends["ada"], saga.trip_id, channel="demo")
    merchants.travel_time(saga.database, saga.merchant_id, offset_seconds=1)
    yield saga
    saga.close()


def _bring_a_code(saga: Saga) -> None:
    """Ada has a discount code, and the booking will use it."""
    rules = json.loads((Path(__file__).parent.parent / "data/discount-catalogue.json").read_text("utf-8"))["rules"]
    ada = saga.friends["ada"].subject
    assert ada is not None
    with saga.database.begin(saga.merchant_id) as session:
        now = clock.now(session)
        document = {"rules": [rule for rule in rules if rule["id"] == "shop.own10"]}
        discounts.put_catalogue(session, document, starts_on=now.date(), now=now)
        discounts.create_code(session, discounts.CodeDraft("OWN10", "shop.own10", uses_max=1), now=now)
        discounts.add_code(session, ada, "OWN10", now=now)


@pytest.fixture
def stranger(saga: Saga) -> MerchantId:
    return merchants.create_merchant(saga.database, slug="heron", name="Heron Tours", livemode=False).id


def tenant_tables(session: Session) -> list[str]:
    query = (
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'merchant_id' "
        "ORDER BY c.relname"
    )
    return list(session.scalars(text(query)))


def test_every_table_with_a_merchant_is_protected_and_forced(saga: Saga) -> None:
    with saga.database.begin(saga.merchant_id) as session:
        tables = tenant_tables(session)
        query = text(
            "SELECT relname FROM pg_class WHERE relname = ANY(:names) AND relrowsecurity AND relforcerowsecurity "
            "AND EXISTS (SELECT 1 FROM pg_policies WHERE tablename = relname AND policyname = 'one_merchant')"
        )
        assert sorted(session.scalars(query, {"names": tables})) == tables
        assert len(tables) > 30
        role = session.execute(text("SELECT rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = current_user"))
        assert role.scalar_one() is False


def test_another_merchants_rows_are_neither_read_nor_written(saga: Saga, stranger: MerchantId) -> None:
    """Each tenant table × select, insert, update, delete, as the application's role bound to somebody else."""
    with saga.database.begin(saga.merchant_id) as session:
        tables = tenant_tables(session)
        filled = {name for name in tables if session.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()}
        samples = {
            name: session.execute(text(f"SELECT to_jsonb(t) FROM {name} t LIMIT 1")).scalar_one() for name in filled
        }
    assert len(filled) > 25, sorted(set(tables) - filled)
    before = _fingerprint(saga)
    for table in tables:
        for bound in (stranger, None):
            assert _tries(saga, bound, f"SELECT count(*) FROM {table}") == 0, table
            assert _tries(saga, bound, f"UPDATE {table} SET merchant_id = merchant_id") in (0, "denied"), table
            assert _tries(saga, bound, f"DELETE FROM {table}") in (0, "denied"), table
            if table in samples:
                forged = samples[table] | ({"id": str(new_id())} if "id" in samples[table] else {})
                insert = f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, :row)"
                assert _tries(saga, bound, insert, row=json.dumps(forged)) == "denied", table
    assert _fingerprint(saga) == before


def _tries(saga: Saga, bound: MerchantId | None, statement: str, **values: str) -> int | str:
    """How many rows the statement saw or touched, or that it was denied; rolled back."""

    class Undo(Exception):
        pass

    opened = saga.database.begin_unbound() if bound is None else saga.database.begin(bound)
    found: int | str = 0
    try:
        with opened as session:
            # Rows the stranger owns by right (its own merchant row) do not count.
            own = "" if "INSERT" in statement else f" WHERE merchant_id <> '{bound or new_id()}'"
            result = session.execute(text(statement + own), values)
            found = int(result.scalar_one()) if statement.startswith("SELECT") else int(result.rowcount)  # type: ignore[attr-defined] # a cursor result
            raise Undo
    except Undo:
        return found
    except DBAPIError as error:
        return "denied" if "row-level security" in str(error) or "permission denied" in str(error) else str(error)


def _fingerprint(saga: Saga) -> str:
    """Everything the first merchant has, as the owner of the tables sees it, in one figure."""
    engine = create_engine(driver_url(saga.house.settings.database_url))
    digest = hashlib.sha256()
    with engine.connect() as connection:
        tables = tenant_tables(Session(connection))
        for table in tables:
            if table in ("idempotency_key", "api_key"):  # a request by the stranger may write its own
                continue
            rows = connection.execute(
                text(f"SELECT t::text FROM {table} t WHERE merchant_id = :id ORDER BY 1"), {"id": saga.merchant_id}
            )
            digest.update(json.dumps([table, [row[0] for row in rows]]).encode())
    engine.dispose()
    return digest.hexdigest()


# --- each path × another merchant's ids -------------------------------------------------------------------------------

# What names no object of a merchant, or is itself the secret (an invite token is the way in, for whoever holds it).
_NOT_OBJECTS = {"token", "network", "code", "slug"}


def test_foreign_ids_are_not_found_on_any_path(saga: Saga, stranger: MerchantId) -> None:
    """Another merchant's key, member and staff ask for each object of the first: 404, and nothing moves."""
    spec = openapi.document(OPERATIONS, "http://testserver")
    ids = _ids_of(saga)
    with TestClient(build_app(saga.house), base_url=saga.house.settings.public_url) as client:
        credentials = _credentials(saga, stranger)
        before = _fingerprint(saga)
        asked = 0
        for path, methods in spec["paths"].items():
            names = set(re.findall(r"{(\w+)}", path))
            if not names or names & _NOT_OBJECTS:
                continue
            for method, item in methods.items():
                for scheme in {name for choice in item["security"] for name in choice}:
                    body = item.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
                    answer = client.request(
                        method,
                        path.format(**{name: ids[name] for name in names}),
                        json=_sample(spec, body) if body else None,
                        headers={"Idempotency-Key": f"idor-{asked}", **credentials[scheme]},
                    )
                    asked += 1
                    assert answer.status_code == 404, (scheme, method, path, answer.status_code, answer.text)
        assert asked > 40
        assert _fingerprint(saga) == before


def _credentials(saga: Saga, stranger: MerchantId) -> dict[str, dict[str, str]]:
    merchant_key = mint_key(saga, stranger)
    desk = merchants.authenticate_key(saga.database, f"Bearer {merchant_key}")
    started = trips.start_trip(saga.database, saga.house.sealer, desk, StartTrip(title="Mine", organizer_name="Eve"))
    origin = saga.house.settings.public_origin
    staff = staff_token(saga, stranger, email="eve@heron.example")
    return {
        "merchantKey": {"Authorization": f"Bearer {merchant_key}"},
        "memberSession": {"Authorization": f"Bearer {started.guest_token}"},
        "staffSession": {"Cookie": f"{cookies.STAFF}={staff}", "Origin": origin},
    }


def _ids_of(saga: Saga) -> dict[str, str]:
    """One object of the first merchant for each path parameter, by the parameter's name."""
    tables = {
        "trip": ("trip", "trip_id"),
        "mem": ("member", "member_id"),
        "opt": ("trip_option", "option_id"),
        "off": ("offer", "offer_id"),
        "cod": ("discount_code", "code_id"),
        "bkg": ("booking", "booking_id"),
        "por": ("portion", "portion_id"),
        "att": ("attempt", "attempt_id"),
        "whk": ("webhook_endpoint", "endpoint_id"),
        "evt": ("event", "event_id"),
        "shr": ("share", "share_id"),
        "key": ("api_key", "key_id"),
        "emo": ("embed_origin", "origin_id"),
        "inv": ("trip_invite", "invite_id"),
        "ntc": ("notice", "notice_id"),
    }
    found: dict[str, str] = _Ids()
    with saga.database.begin(saga.merchant_id) as session:
        known = set(tenant_tables(session))
        for prefix, (table, parameter) in tables.items():
            id = session.execute(text(f"SELECT id FROM {table} LIMIT 1")).scalar() if table in known else None
            if id is not None:
                found[parameter] = to_wire(prefix, UUID(str(id)))
    return found


class _Ids(dict[str, str]):
    """For what the story leaves no row of, an id of the right shape; the room must still answer 404."""

    def __missing__(self, parameter: str) -> str:
        item = next(one for one in OPERATIONS if parameter in one.path_ids)
        return to_wire(item.path_ids[parameter] or "x", new_id())


def _sample(spec: dict[str, Any], schema: dict[str, Any]) -> Any:
    """The smallest body the schema takes, so that the object is what is refused and not the body."""
    if "$ref" in schema:
        return _sample(spec, spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            return _sample(spec, schema[choices][0])
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object":
            required = schema.get("required", [])
            return {
                name: _sample(spec, part) for name, part in schema.get("properties", {}).items() if name in required
            }
        case "array":
            return [_sample(spec, schema["items"]) for _ in range(schema.get("minItems", 0))]
        case "integer" | "number":
            return max(schema.get("minimum", 1), 1)
        case "boolean":
            return True
        case "string":
            prefix = re.match(r"\^(\w+)_\[0-9a-f\]", schema.get("pattern", ""))
            if prefix:
                return to_wire(prefix[1], new_id())
            if schema.get("pattern") == "^[A-Z]{3}$":
                return "EUR"
            by_format = {"date-time": "2030-01-01T00:00:00Z", "date": "2030-01-01"}
            return by_format.get(schema.get("format", ""), "x" * max(schema.get("minLength", 0), 3))
    return None


def test_a_worker_with_a_forged_merchant_finds_nothing(saga: Saga, stranger: MerchantId) -> None:
    with saga.database.begin(saga.merchant_id) as session:
        delivery_id = session.execute(text("SELECT id FROM webhook_delivery LIMIT 1")).scalar_one()
        notice_id = session.execute(text("SELECT id FROM notice LIMIT 1")).scalar_one()
    assert webhooks.deliver(saga.house.webhooks, stranger, delivery_id) is False
    deps = notices.NoticeDeps(saga.database, [], saga.house.sealer, "https://gb.example")
    assert notices.send(deps, stranger, notice_id) is False
    assert people.authenticate(saga.database, "x" * 43) is None
