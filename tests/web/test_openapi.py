"""The document is valid, complete and true: what it promises is what the assembled application does."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import text
from starlette.testclient import TestClient

import groupbook
from groupbook.kit.errors import GroupbookError
from groupbook.kit.ids import to_wire
from groupbook.web import cookies, openapi
from groupbook.web.app import OPERATIONS, build_app
from groupbook.web.problems import PROBLEMS
from groupbook.webhooks import EVENT_TYPES
from tests.support.saga import Saga
from tests.support.site import mint_key, staff_token
from worker import LISTENERS

EXAMPLES = int(os.environ.get("GROUPBOOK_TEST_FUZZ_EXAMPLES", "4"))  # per operation, kind of caller, and right or wrong


def spec() -> dict[str, Any]:
    return openapi.document(OPERATIONS, "http://localhost:8000")


def test_the_document_is_valid_openapi_31_with_webhooks() -> None:
    document = spec()
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert set(document["webhooks"]) == set(EVENT_TYPES)
    names = [item.name for item in OPERATIONS]
    assert len(names) == len(set(names))
    assert all(item.tags and item.summary for item in OPERATIONS)
    assert {tag for item in OPERATIONS for tag in item.tags} == set(openapi.TAGS)


def test_every_event_type_is_told_when_its_fact_happens() -> None:
    told = {name for name, heard in LISTENERS.items() if any(listener == "webhooks" for listener, _ in heard)}
    assert told == set(EVENT_TYPES) - {"webhook.test"}


def test_every_error_code_has_a_page_with_cause_and_fix() -> None:
    """One list: the codes of the error tree and the pages of /problems are the same."""
    for module in walk_packages(groupbook.__path__, "groupbook."):
        if not module.name.startswith(("groupbook.migrations", "groupbook.main")):
            import_module(module.name)

    def below(kind: type[GroupbookError]) -> Iterator[str]:
        for one in kind.__subclasses__():
            if one.__module__.startswith("groupbook."):
                yield one.code
            yield from below(one)

    assert sorted(set(below(GroupbookError)) ^ set(PROBLEMS)) == []
    assert all(advice.cause and advice.fix for advice in PROBLEMS.values())


@pytest.fixture
def saga(database_url: str) -> Iterator[Saga]:
    saga = Saga(database_url, "ada", "bo", public_url="http://testserver")
    yield saga
    saga.close()


def test_the_pages_of_the_document_are_served(saga: Saga) -> None:
    with TestClient(build_app(saga.house)) as client:
        assert client.get("/openapi.json").json() == openapi.document(OPERATIONS, "http://testserver")
        page = client.get("/docs/api", headers={"Accept-Language": "fr"})
        assert page.status_code == 200
        assert 'lang="fr"' in page.text
        for item in OPERATIONS:
            assert f'id="{item.name}"' in page.text
        assert client.get("/problems/quote_expired").status_code == 200
        assert client.get("/problems/no_such_code").status_code == 404


@pytest.mark.slow
def test_fuzzing_finds_no_server_error_and_no_undocumented_answer(saga: Saga) -> None:
    """Generated requests, right and wrong, to every operation as every kind of caller, on objects that exist."""
    saga.open()
    saga.run_until_quiet()
    credentials = {
        "merchantKey": {"Authorization": f"Bearer {mint_key(saga)}"},
        "memberSession": {"Authorization": f"Bearer {saga.tokens['ada']}"},
        "staffSession": {"Cookie": f"{cookies.STAFF}={staff_token(saga)}", "Origin": "http://testserver"},
        "nobody": {},
    }
    known = _known_ids(saga)
    failures: dict[str, str] = {}
    answered: Counter[int] = Counter()
    with TestClient(build_app(saga.house), raise_server_exceptions=False, follow_redirects=False) as client:
        found = list(schemathesis.openapi.from_dict(spec()).get_all_operations())
        operations = [one.ok() for one in found if isinstance(one, Ok)]
        assert len(operations) == len(found) == len(OPERATIONS)
        for operation in sorted(operations, key=_destruction):
            if operation.definition.raw["operationId"] in _STREAMS:
                continue
            schemes = {name for choice in operation.definition.raw["security"] for name in choice} or {"nobody"}
            for scheme in sorted(schemes):
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    _fuzz(client, operation, mode, credentials[scheme], known, failures, answered)
    assert failures == {}, "\n\n".join(f"{where}\n{what}" for where, what in failures.items())
    assert answered.total() > 500, answered
    assert {200, 201, 204, 400, 404, 409, 422} <= set(answered), answered


def _destruction(operation: Any) -> int:
    """What ends a trip, a session or a booking comes last, so that the others meet something that lives."""
    if operation.path == "/v1/sessions/end":
        return 3
    if operation.method.upper() == "DELETE" or "cancel" in operation.path:
        return 2
    return 0 if operation.method.upper() == "GET" else 1


_STREAMS = {item.name for item in OPERATIONS if item.media_type == "text/event-stream"}
_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def _fuzz(
    client: TestClient,
    operation: Any,
    mode: GenerationMode,
    headers: dict[str, str],
    known: dict[str, str],
    failures: dict[str, str],
    answered: Counter[int],
) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        for name in case.path_parameters or {}:
            case.path_parameters[name] = known.get(name, case.path_parameters[name])
        request = case.as_transport_kwargs(base_url="http://testserver")
        offered = {name: value for name, value in request["headers"].items() if name.lower() != "authorization"}
        content = json.dumps(request["json"]).encode() if "json" in request else request.get("data")
        answer = client.request(
            request["method"],
            request["url"],
            params=request.get("params"),
            headers={"Content-Type": "application/json"} | offered | headers,
            content=content,
        )
        answered[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=_CHECKS)
        except FailureGroup as group:
            where = f"{operation.label} {mode.value} {answer.status_code}"
            failures.setdefault(where, "\n".join(str(one) for one in group.exceptions)[:1500])

    try:
        ask()
    except Unsatisfiable:
        pass  # nothing wrong can be said about an operation without input


def _known_ids(saga: Saga) -> dict[str, str]:
    found = {"trip_id": to_wire("trip", saga.trip_id), "booking_id": to_wire("bkg", saga.booking().id)}
    with saga.database.begin(saga.merchant_id) as session:
        for prefix, table, name in (
            ("mem", "member", "member_id"),
            ("opt", "trip_option", "option_id"),
            ("off", "offer", "offer_id"),
            ("por", "portion", "portion_id"),
        ):
            found[name] = to_wire(prefix, session.execute(text(f"SELECT id FROM {table} LIMIT 1")).scalar_one())
    return found
