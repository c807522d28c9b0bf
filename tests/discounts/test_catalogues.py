"""Versions of rules: uploaded, dated, compared, withdrawn, checked, and tried on people who do not exist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from groupbook import discounts, merchants
from groupbook.discounts import CatalogueInForce, CatalogueNotFound, VersionState
from groupbook.discounts.endpoints import DiscountDeps, routes
from groupbook.discounts.versions import VersionRow, changes_between, summaries
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.http import Edge
from groupbook.kit.ids import MerchantId, new_id
from groupbook.kit.sealing import Sealer

RULES = {
    rule["id"]: rule
    for rule in json.loads((Path(__file__).parent.parent / "data/discount-catalogue.json").read_text("utf-8"))["rules"]
}
CHILD, RAILCARD = {**RULES["uk.child"], "stacks_with": []}, {**RULES["uk.16-25"], "stacks_with": []}
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MERCHANT, OTHER = MerchantId(new_id()), MerchantId(new_id())
CALLERS = {
    "key": Caller("merchant", MERCHANT, subject=UUID(int=1), scopes=frozenset({"*"})),
    "other": Caller("merchant", OTHER, subject=UUID(int=2), scopes=frozenset({"*"})),
    "reader": Caller("merchant", MERCHANT, subject=UUID(int=1), scopes=frozenset({"offers:read"})),
    "ana": Caller("person", MERCHANT, subject=UUID(int=3)),
}


def who(request: Request) -> Caller | None:
    return CALLERS.get(request.headers.get("x-as", "key"))


@pytest.fixture
def http(database: Database) -> Iterator[TestClient]:
    for id, slug in ((MERCHANT, "kestrel"), (OTHER, "other")):
        merchants.create_merchant(database, slug=slug, name=slug, livemode=False, currency="GBP", merchant_id=id)
    edge = Edge(database=database, authenticate=who, public_url="http://localhost:8000")
    with TestClient(
        Starlette(routes=list(routes(DiscountDeps(database, Sealer("a key of the tests")), edge)))
    ) as client:
        yield client


def put(http: TestClient, starts_on: str, *rules: Any, caller: str = "key") -> Any:
    return http.put("/v1/rules", json={"starts_on": starts_on, "rules": list(rules)}, headers={"x-as": caller})


def states(http: TestClient) -> list[tuple[int, str, str | None]]:
    return [(one["version"], one["state"], one["ends_on"]) for one in http.get("/v1/rules/versions").json()["data"]]


# --- which is in force when -----------------------------------------------------------------------------------------


def row(version: int, starts_on: date, *, withdrawn: bool = False) -> VersionRow:
    return VersionRow(new_id(), version, starts_on, 1, NOW, NOW if withdrawn else None)


def test_a_version_lasts_until_the_day_before_the_next() -> None:
    january, march, december = date(2026, 1, 1), date(2026, 3, 1), date(2026, 12, 1)
    rows = [row(1, march), row(2, january), row(3, march), row(4, december), row(5, date(2026, 6, 1), withdrawn=True)]
    found = {one.version: (one.state, one.ends_on) for one in summaries(rows, NOW.date())}
    assert found == {
        1: (VersionState.REPLACED, None),
        2: (VersionState.ENDED, date(2026, 2, 28)),
        3: (VersionState.IN_FORCE, date(2026, 11, 30)),
        4: (VersionState.SCHEDULED, None),
        5: (VersionState.WITHDRAWN, None),
    }


def test_what_a_version_changed_is_told_rule_by_rule_and_field_by_field() -> None:
    before = {"rules": [CHILD, RAILCARD, RULES["uk.senior"]]}
    cheaper = {**CHILD, "effect": {"bp": 6000}, "no_promo": True}
    found = changes_between(before, {"rules": [RULES["uk.groupsave"], RAILCARD, cheaper]})
    assert [one.id for one in found.added] == ["uk.groupsave"]
    assert [(one.id, one.title) for one in found.removed] == [("uk.senior", "Senior Railcard")]
    [changed] = found.changed
    assert [(one.field, one.before, one.after) for one in changed.fields] == [
        ("effect", {"bp": 5000}, {"bp": 6000}),
        ("no_promo", None, True),
    ]


# --- stored versions ------------------------------------------------------------------------------------------------


def test_a_coming_version_is_withdrawn_and_one_that_has_begun_is_not(database: Database) -> None:
    with database.begin(MERCHANT) as session:
        for starts_on in (date(2026, 1, 1), date(2027, 1, 1)):
            discounts.put_catalogue(session, {"rules": [CHILD]}, starts_on=starts_on, now=NOW)
        with pytest.raises(CatalogueInForce):
            discounts.withdraw_version(session, 1, now=NOW)
        with pytest.raises(CatalogueNotFound):
            discounts.withdraw_version(session, 3, now=NOW)
        assert discounts.read_catalogue(session, date(2027, 6, 1)).version == 2
        for _ in range(2):
            discounts.withdraw_version(session, 2, now=NOW)
        assert discounts.read_catalogue(session, date(2027, 6, 1)).version == 1
        assert discounts.read_version(session, 2).rules == 1
        again = discounts.put_catalogue(session, {"rules": [CHILD]}, starts_on=date(2027, 1, 1), now=NOW)
        assert again.version == 3
        found = [(one.version, one.state.value) for one in discounts.list_versions(session, NOW.date())]
    assert found == [(3, "scheduled"), (2, "withdrawn"), (1, "in_force")]


def test_versions_over_http(http: TestClient) -> None:
    put(http, "2026-01-01", CHILD)
    put(http, "2999-01-01", CHILD, RAILCARD)
    assert states(http) == [(2, "scheduled", None), (1, "in_force", "2998-12-31")]
    assert len(http.get("/v1/rules/versions/2").json()["rules"]) == 2
    changes = http.get("/v1/rules/versions/2/changes").json()
    assert (changes["since"], [one["id"] for one in changes["added"]], changes["changed"]) == (1, ["uk.16-25"], [])
    first = http.get("/v1/rules/versions/1/changes").json()
    assert (first["since"], len(first["added"])) == (None, 1)
    assert [one["id"] for one in http.get("/v1/rules/versions/1/changes?since=2").json()["removed"]] == ["uk.16-25"]
    for gone in ("3", "0", "x", "-1", "9" * 12):
        assert http.get(f"/v1/rules/versions/{gone}").status_code == 404
        assert http.delete(f"/v1/rules/versions/{gone}").status_code == 404
    assert http.delete("/v1/rules/versions/2", headers={"x-as": "reader"}).status_code == 403
    kept = http.delete("/v1/rules/versions/1")
    assert (kept.status_code, kept.json()["code"]) == (409, "catalogue_in_force")
    assert http.delete("/v1/rules/versions/2").status_code == 204
    assert states(http) == [(2, "withdrawn", None), (1, "in_force", None)]


def test_merchants_do_not_see_each_others_versions(http: TestClient) -> None:
    put(http, "2999-01-01", CHILD)
    stranger = {"x-as": "other"}
    assert http.get("/v1/rules/versions", headers=stranger).json() == {"data": []}
    assert http.get("/v1/rules/versions/1", headers=stranger).status_code == 404
    assert http.delete("/v1/rules/versions/1", headers=stranger).status_code == 404
    assert http.get("/v1/rules/versions", headers={"x-as": "ana"}).status_code == 403
    assert states(http) == [(1, "scheduled", None)]


def test_an_upload_is_stored_with_its_warnings(http: TestClient) -> None:
    foreign = {**CHILD, "id": "child", "currency": "EUR"}
    stored = put(http, "2026-01-01", CHILD, foreign).json()
    assert [(one["pointer"], one["code"], one["rule"]) for one in stored["warnings"]] == [
        ("/rules/1/currency", "other_currency", "child")
    ]
    assert (stored["version"], len(stored["rules"])) == (1, 2)


def test_a_check_tells_everything_and_stores_nothing(http: TestClient) -> None:
    broken = [{**CHILD, "effect": {"bp": 50_000}}, {**RAILCARD, "layer": "first"}]
    told = http.post("/v1/rules/check", json={"rules": broken}, headers={"x-as": "reader"}).json()
    assert (told["is_valid"], told["warnings"]) == (False, [])
    assert [(one["pointer"], one["rule"]) for one in told["problems"]] == [
        ("/rules/0/effect/bp", "uk.child"),
        ("/rules/1/layer", "uk.16-25"),
    ]
    over = {**CHILD, "valid": {"to": "2026-01-31"}}
    told = http.post("/v1/rules/check", json={"rules": [over], "starts_on": "2026-05-01"}).json()
    assert (told["is_valid"], [one["code"] for one in told["warnings"]]) == (True, ["period_over"])
    assert http.post("/v1/rules/check", json={"rules": [None]}).status_code == 422
    assert states(http) == []


# --- a made-up party ------------------------------------------------------------------------------------------------

FAMILY: dict[str, Any] = {
    "currency": "GBP",
    "trip": {"date": "2026-11-28", "depart": "11:00"},
    "travelers": [
        {"id": "ana", "age": 20, "fares": {"anytime": 2000}, "cards": [{"type": "uk.16-25"}]},
        {"id": "kid", "age": 8, "fares": {"anytime": 2000}},
    ],
}


def test_a_made_up_party_is_priced_by_the_version_asked_for(http: TestClient) -> None:
    put(http, "2026-01-01", CHILD)
    put(http, "2999-01-01", CHILD, RAILCARD)
    now = http.post("/v1/rules/try", json=FAMILY, headers={"x-as": "reader"}).json()
    assert (now["version"], now["total"], now["people"]["kid"]["lines"]) == (
        1,
        3000,
        [["fare:anytime", 2000], ["uk.child", -1000]],
    )
    later = http.post("/v1/rules/try", json={**FAMILY, "version": 2}).json()
    assert (later["version"], later["people"]["ana"]["pay"], later["total"]) == (2, 1320, 2320)
    assert later["proof"] == {"optimal": True, "bound": 2320}
    draft = http.post("/v1/rules/try", json={**FAMILY, "rules": []}).json()
    assert (draft["version"], draft["total"]) == (None, 4000)
    assert states(http) == [(2, "scheduled", None), (1, "in_force", "2998-12-31")]


def test_a_broken_trial_is_told_where(http: TestClient) -> None:
    assert http.post("/v1/rules/try", json=FAMILY).json()["code"] == "catalogue_not_found"
    put(http, "2026-01-01", CHILD)

    def refused(**more: Any) -> tuple[int, str, list[str]]:
        answer = http.post("/v1/rules/try", json={**FAMILY, **more})
        return answer.status_code, answer.json()["code"], [one["pointer"] for one in answer.json()["errors"]]

    assert refused(version=7) == (404, "catalogue_not_found", [])
    assert refused(version=1, rules=[]) == (422, "trial_ambiguous", ["/rules"])
    assert refused(rules=[{**CHILD, "layer": -1}]) == (422, "catalogue_refused", ["/rules/0/layer"])
    assert refused(codes=[{"rule": "x", "owner": "ana"}]) == (422, "invalid_request", ["/codes/0/rule"])
    twins = [FAMILY["travelers"][0]] * 2
    assert refused(travelers=twins)[:2] == (422, "invalid_request")
    assert refused(travelers=[{"id": "ana", "fares": {}}]) == (422, "invalid_request", ["/travelers/0/fares"])
    assert refused(travelers=[{**twins[0], "id": f"p{at}"} for at in range(41)])[2] == ["/travelers"]
    assert http.post("/v1/rules/try", json=FAMILY, headers={"x-as": "ana"}).status_code == 403
