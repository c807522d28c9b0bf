"""The HTTP edge of every room: typed operations, problem+json, idempotency, and the OpenAPI that follows.

    @operation("POST", "/v1/trips/{trip_id}/votes", status=201, auth="member", errors=(NotFound, Conflict))
    async def cast_vote(call: Call[TripDeps], trip_id: TripId, body: CastVote) -> VoteOut:
        return await call.run(service.cast_vote, call.deps.database, call.caller, trip_id, body.answer)

Path parameters are typed with the ids of `kit.ids`; `body` and `query` are `Wire` models. What the document says and
what the code does come from the same annotation.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar
from uuid import UUID

import structlog
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)
from pydantic.json_schema import models_json_schema
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from groupbook.kit import idempotency
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import (
    Forbidden,
    GroupbookError,
    Invalid,
    InvariantBroken,
    Kind,
    Malformed,
    NotFound,
    TooLarge,
    Unauthenticated,
)
from groupbook.kit.ids import PREFIXES, from_wire
from groupbook.kit.money import MINOR_MAX, Money

log = structlog.get_logger(__name__)
D = TypeVar("D")
R = TypeVar("R")
Auth = Literal["none", "optional", "member", "merchant", "either", "staff"]
PROBLEM = "application/problem+json"
JSON = "application/json"

STATUS: dict[Kind, int] = {
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.GONE: 410,
    Kind.TOO_LARGE: 413,
    Kind.INVALID: 422,
    Kind.TOO_MANY: 429,
    Kind.BROKEN: 500,
    Kind.UNAVAILABLE: 503,
}


# --- what goes over the wire -------------------------------------------------------------------------------------


class Wire(BaseModel):
    """A message of the API: strict types, no unknown fields, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _whole(value: object) -> object:
    # JSON Schema calls 2.0 an integer; strict pydantic does not. The schema is what we promise.
    return int(value) if isinstance(value, float) and value.is_integer() else value


WholeNumber = Annotated[int, BeforeValidator(_whole)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class MoneyWire(Wire):
    """Whole minor units of one currency: 33.34 euro is `{"amount": 3334, "currency": "EUR"}`."""

    amount: Annotated[WholeNumber, Field(ge=-MINOR_MAX, le=MINOR_MAX)]
    currency: Currency

    @classmethod
    def of(cls, money: Money) -> MoneyWire:
        return cls(amount=money.minor, currency=money.currency)

    def money(self) -> Money:
        return Money(self.amount, self.currency)


def _read_instant(value: object) -> object:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return value


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("needs a time zone, for example a final Z")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the calendar") from error


def _write_instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[
    datetime,
    BeforeValidator(_read_instant),
    AfterValidator(_in_utc),
    PlainSerializer(_write_instant, return_type=str),
    Field(json_schema_extra={"format": "date-time"}),
]
"""An aware instant; RFC 3339 with Z on the wire."""


def wire_id(prefix: str) -> Any:
    """The type of an id field: `TripRef = wire_id("trip")`."""
    return Annotated[str, StringConstraints(pattern=rf"^{prefix}_[0-9a-f]{{32}}$")]


T = TypeVar("T")


class Page(Wire, Generic[T]):
    """One page of a list; `next_cursor` is null at the end."""

    data: list[T]
    next_cursor: str | None


class PageQuery(Wire):
    """How lists are read: `limit` at a time, from `cursor` on."""

    limit: Annotated[int, Field(ge=1, le=100, strict=False)] = 20
    cursor: Annotated[str, StringConstraints(max_length=64)] | None = None


class FieldProblem(Wire):
    """One field that is wrong: where (RFC 6901) and why."""

    pointer: str
    code: str
    detail: str


class Problem(Wire):
    """An error (RFC 9457) with our stable `code`, the facts it is about, and the request to name when asking us."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    params: dict[str, Any]
    errors: list[FieldProblem]
    request_id: str


# --- operations --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call(Generic[D]):
    """One request, once it is known who asks."""

    deps: D
    caller: Caller
    request: Request

    async def run(self, function: Callable[..., R], *args: Any, **keywords: Any) -> R:
        """Run a synchronous use case in the thread pool."""
        return await run_in_threadpool(function, *args, **keywords)


@dataclass(frozen=True)
class Operation:
    """One method on one path, as its decorator and type hints describe it."""

    method: str
    path: str
    function: Callable[..., Awaitable[Any]]
    status: int
    auth: Auth
    tags: tuple[str, ...]
    errors: tuple[type[GroupbookError], ...]
    idempotent: bool
    scope: str | None
    media_type: str
    also_media_types: tuple[str, ...]
    body: type[Wire] | None
    query: type[Wire] | None
    result: Any
    path_ids: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.function) or self.name).split("\n")[0]


def operation(
    method: str,
    path: str,
    *,
    status: int = 200,
    auth: Auth = "member",
    tags: Sequence[str] = (),
    errors: Sequence[type[GroupbookError]] = (),
    idempotent: bool = False,
    scope: str | None = None,
    media_type: str = JSON,
    also_media_types: Sequence[str] = (),
) -> Callable[[Callable[..., Awaitable[Any]]], Operation]:
    """Turn an endpoint function into an `Operation`.

    Args:
        auth: who may ask; `either` is a member or the merchant, `optional` anybody, known or not.
        errors: what it may answer besides the errors every operation has.
        idempotent: money moves, so `Idempotency-Key` is required and the answer is kept.
        scope: what the API key must allow.
        also_media_types: texts that the function may answer instead, as a `Response` of its own.
    """

    def describe(function: Callable[..., Awaitable[Any]]) -> Operation:
        hints = typing.get_type_hints(function)
        names = re.findall(r"{(\w+)}", path)
        path_ids = {name: PREFIXES.get(hints[name]) for name in names}
        return Operation(
            method=method,
            path=path,
            function=function,
            status=status,
            auth=auth,
            tags=tuple(tags),
            errors=tuple(errors),
            idempotent=idempotent,
            scope=scope,
            media_type=media_type,
            also_media_types=tuple(also_media_types),
            body=hints.get("body"),
            query=hints.get("query"),
            result=hints.get("return"),
            path_ids=path_ids,
        )

    return describe


class Authenticate(Protocol):
    """Who asks? Synchronous: it may read the database.

    Raises:
        Unauthenticated: a credential was given and is not (or no longer) good.
    """

    def __call__(self, request: Request) -> Caller | None: ...


@dataclass(frozen=True)
class Edge:
    """What the edge itself needs, besides each room's own dependencies."""

    database: Database
    authenticate: Authenticate
    public_url: str
    idempotency_lock_seconds: float = 60.0


def routes(operations: Iterable[Operation], deps: Any, edge: Edge) -> list[Route]:
    """Starlette routes of a room's operations, with `deps` as every call's `deps`."""
    return [Route(item.path, _endpoint(item, deps, edge), methods=[item.method], name=item.name) for item in operations]


def _endpoint(item: Operation, deps: Any, edge: Edge) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            caller = await run_in_threadpool(edge.authenticate, request)
            allowed = _allow(item, caller)
            arguments = _path_arguments(item, request)
            raw = await request.body() if item.method in ("POST", "PUT", "PATCH", "DELETE") else b""
            if item.query is not None:
                arguments["query"] = _read_query(item.query, request)
            if item.body is not None:
                arguments["body"] = _read_body(item.body, raw, request)
            call = Call(deps=deps, caller=allowed, request=request)
            if item.idempotent:
                return await _once(item, edge, call, arguments, raw)
            return _answer(item, await item.function(call, **arguments))
        except GroupbookError as error:
            return problem(error, request)

    return endpoint


async def _once(item: Operation, edge: Edge, call: Call[Any], arguments: Mapping[str, Any], raw: bytes) -> Response:
    """Run an operation at most once per key; a refusal moves nothing and gives the key back."""
    key = idempotency.check_key(call.request.headers.get("idempotency-key"))
    actor, path = call.caller.actor, call.request.url.path
    merchant_id = call.caller.merchant_id

    def claim() -> idempotency.StoredAnswer | None:
        with edge.database.begin(merchant_id) as session:
            return idempotency.claim(
                session,
                actor=actor,
                key=key,
                method=item.method,
                path=path,
                body=raw,
                lock_seconds=edge.idempotency_lock_seconds,
            )

    def settle(answer: idempotency.StoredAnswer | None) -> None:
        with edge.database.begin(merchant_id) as session:
            if answer is None:
                idempotency.release(session, actor=actor, key=key)
            else:
                idempotency.finish(session, actor=actor, key=key, answer=answer)

    known = await run_in_threadpool(claim)
    if known is not None:
        replay = Response(known.body, status_code=known.status, media_type=item.media_type)
        replay.headers["Idempotent-Replayed"] = "true"
        return replay
    try:
        response = _answer(item, await item.function(call, **arguments))
    except GroupbookError as error:
        # An unknown outcome keeps the key locked: the first request may yet have moved something.
        if error.kind not in (Kind.UNAVAILABLE, Kind.BROKEN):
            await run_in_threadpool(settle, None)
        raise
    await run_in_threadpool(settle, idempotency.StoredAnswer(response.status_code, bytes(response.body)))
    return response


def _allow(item: Operation, caller: Caller | None) -> Caller:
    """Whether this kind of caller may use the operation at all; rooms decide about the object."""
    if caller is not None:
        require_scope(caller, item.scope)
    if item.auth in ("none", "optional"):
        return caller or NOBODY
    if caller is None:
        raise Unauthenticated()
    kinds = {
        "member": ("person", "guest"),
        "merchant": ("merchant",),
        "either": ("person", "guest", "merchant"),
        "staff": ("staff",),
    }[item.auth]
    if caller.kind not in kinds:
        raise Forbidden(needs=item.auth)
    return caller


def require_scope(caller: Caller, scope: str | None) -> None:
    """An API key does only what it was made for, also where nobody needs one; other callers have no scopes.

    Raises:
        Forbidden: the key lacks `scope`.
    """
    if caller.kind == "merchant" and scope and scope not in caller.scopes and "*" not in caller.scopes:
        raise Forbidden(scope=scope)


NOBODY = Caller(kind="nobody", merchant_id=typing.cast(Any, UUID(int=0)))
"""Somebody without a credential, at no merchant: row-level security shows this caller nothing."""


def _path_arguments(item: Operation, request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, prefix in item.path_ids.items():
        value = request.path_params[name]
        if prefix is not None:
            arguments[name] = from_wire(prefix, value)
        elif "\x00" in value or len(value) > 256:
            raise NotFound()
        else:
            arguments[name] = value
    return arguments


def _read_query(model: type[Wire], request: Request) -> Wire:
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) != len(pairs):
        raise Invalid(reason="a query parameter is given twice")
    if any("\x00" in name + value for name, value in pairs):
        raise Invalid(reason="NUL character")
    return _validated(lambda: model.model_validate(dict(pairs)), prefix="")


def needs_body(model: type[Wire]) -> bool:
    """Whether a request must send a body: some field of it has no default."""
    return any(field.is_required() for field in model.model_fields.values())


def _read_body(model: type[Wire], raw: bytes, request: Request) -> Wire:
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type not in (JSON, ""):
        raise Malformed(reason="content type", expected=JSON)
    if not raw and not needs_body(model):
        raw = b"{}"
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Malformed(reason="not JSON") from error
    if b"\\u0000" in raw or b"\x00" in raw:
        raise Invalid(reason="NUL character")
    if re.search(rb"\\u[dD][89a-fA-F]", raw) and _has_lone_surrogate(document):
        raise Invalid(reason="half of a surrogate pair")
    # Validated from the text again, because strict mode reads dates and enums from JSON but not from Python values.
    return _validated(lambda: model.model_validate_json(raw), prefix="/")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name is given twice")
    return document


def _has_lone_surrogate(document: Any) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


class InvalidRequest(Invalid):
    """Fields that are wrong, each with its pointer."""

    code = "invalid_request"

    def __init__(self, problems: list[FieldProblem]) -> None:
        super().__init__(fields=[item.pointer for item in problems])
        self.problems = problems


def _validated(validate: Callable[[], Wire], *, prefix: str) -> Wire:
    try:
        return validate()
    except ValidationError as error:
        raise InvalidRequest(
            [
                FieldProblem(
                    pointer=prefix + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in item["loc"]),
                    code=item["type"],
                    detail=item["msg"],
                )
                for item in error.errors(include_url=False, include_input=False, include_context=False)[:20]
            ]
        ) from error


def _answer(item: Operation, result: Any) -> Response:
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status_code=204 if item.status == 200 else item.status)
    return Response(result.model_dump_json(), status_code=item.status, media_type=item.media_type)


def problem(error: GroupbookError, request: Request) -> Response:
    """The answer for an error: RFC 9457 with our code. Nothing internal is shown for a broken invariant."""
    status = STATUS[error.kind]
    request_id = str(request.scope.get("request_id", ""))
    if isinstance(error, InvariantBroken):
        log.error("invariant_broken", params={name: str(value) for name, value in error.params.items()})
        error = InvariantBroken()
    errors = error.problems if isinstance(error, InvalidRequest) else []
    if error.pointer is not None:
        errors = [FieldProblem(pointer=error.pointer, code=error.code, detail=error.code.replace("_", " "))]
    document = Problem(
        type=f"/problems/{error.code}",
        title=error.code.replace("_", " ").capitalize(),
        status=status,
        code=error.code,
        detail=_detail(error),
        params={name: _plain(value) for name, value in error.params.items()},
        errors=errors,
        request_id=request_id,
    )
    response = Response(document.model_dump_json(), status_code=status, media_type=PROBLEM)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="groupbook"'
    if status in (429, 503):
        response.headers["Retry-After"] = str(error.params.get("retry_after_seconds", 5))
    return response


def _detail(error: GroupbookError) -> str:
    # A developer's sentence, made from the facts; people get theirs from the catalogue (`web`, `notices`).
    facts = ", ".join(f"{name}: {_plain(value)}" for name, value in error.params.items())
    return f"{error.code.replace('_', ' ')}" + (f" ({facts})" if facts else "")


def _plain(value: object) -> Any:
    if isinstance(value, Money):
        return {"amount": value.minor, "currency": value.currency}
    if isinstance(value, datetime):
        return _write_instant(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, bool)) or value is None else str(value)


def starlette_problem(request: Request, error: Exception) -> Response:
    """Exception handler for Starlette's own HTTPException under /v1."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    kinds = {404: NotFound, 413: TooLarge, 405: _WrongMethod}
    response = problem(kinds.get(status, Malformed)(), request)
    response.status_code = status
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


class _WrongMethod(GroupbookError):
    code = "method_not_allowed"
    kind = Kind.MALFORMED


# --- the document ------------------------------------------------------------------------------------------------


def openapi(operations: Sequence[Operation], *, title: str, version: str, server_url: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the operations. Component names are the models' own names."""
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [(Problem, "serialization")]
    for item in operations:
        models += [(model, "validation") for model in (item.body, item.query) if model is not None]
        if _is_model(item.result):
            models.append((item.result, "serialization"))
    references, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for item in operations:
        paths.setdefault(item.path, {})[item.method.lower()] = _describe(item, references, definitions)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": server_url}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "merchantKey": {"type": "http", "scheme": "bearer", "description": "A merchant's API key, gb_test_…"},
                "memberSession": {"type": "http", "scheme": "bearer", "description": "A traveler's session token."},
                "staffSession": {"type": "apiKey", "in": "cookie", "name": "gb_staff"},
            },
        },
    }


_SECURITY: dict[Auth, list[dict[str, list[str]]]] = {
    "none": [],
    "optional": [{}, {"memberSession": []}],
    "member": [{"memberSession": []}],
    "merchant": [{"merchantKey": []}],
    "either": [{"memberSession": []}, {"merchantKey": []}],
    "staff": [{"staffSession": []}],
}


def _describe(item: Operation, references: Mapping[Any, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"} | ({"pattern": f"^{prefix}_[0-9a-f]{{32}}$"} if prefix else {}),
        }
        for name, prefix in item.path_ids.items()
    ]
    if item.query is not None:
        parameters += _query_parameters(references[(item.query, "validation")], definitions)
    if item.idempotent:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            }
        )
    described: dict[str, Any] = {
        "operationId": item.name,
        "summary": item.summary,
        "description": inspect.getdoc(item.function) or "",
        "tags": list(item.tags),
        "security": _SECURITY[item.auth],
        "responses": _responses(item, references),
    }
    if parameters:
        described["parameters"] = parameters
    if item.body is not None:
        content = {JSON: {"schema": references[(item.body, "validation")]}}
        described["requestBody"] = {"required": needs_body(item.body), "content": content}
    return described


def _query_parameters(reference: Mapping[str, Any], definitions: Mapping[str, Any]) -> list[dict[str, Any]]:
    schema = definitions["$defs"][reference["$ref"].rsplit("/", 1)[1]]
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": part}
        for name, part in schema.get("properties", {}).items()
    ]


def _responses(item: Operation, references: Mapping[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done."}
    if _is_model(item.result):
        success["content"] = {item.media_type: {"schema": references[(item.result, "serialization")]}}
    elif item.media_type != JSON:
        success["content"] = {item.media_type: {"schema": {"type": "string"}}}
    for media_type in item.also_media_types:
        success.setdefault("content", {})[media_type] = {"schema": {"type": "string"}}
    status = 204 if item.result is type(None) and item.status == 200 else item.status
    responses = {str(status): success}
    for error_status, codes in sorted(_error_codes(item).items()):
        responses[str(error_status)] = {
            "description": ", ".join(sorted(codes)),
            "content": {PROBLEM: {"schema": references[(Problem, "serialization")]}},
        }
    return responses


def _error_codes(item: Operation) -> dict[int, set[str]]:
    """Every status the operation may answer, with its codes: declared ones and those the edge itself gives."""
    errors: list[type[GroupbookError]] = list(item.errors)
    if item.auth not in ("none",):
        errors += [Unauthenticated]
    if item.auth not in ("none", "optional") or item.scope:
        errors += [Forbidden]
    if item.path_ids:
        errors += [NotFound]
    if item.query is not None or item.body is not None:
        errors += [InvalidRequest]
    if item.body is not None:
        errors += [Malformed, TooLarge]
    if item.idempotent:
        errors += [
            idempotency.IdempotencyKeyMissing,
            idempotency.IdempotencyKeyInvalid,
            idempotency.IdempotencyKeyInUse,
            idempotency.IdempotencyKeyReused,
        ]
    codes: dict[int, set[str]] = {}
    for error in errors:
        codes.setdefault(STATUS[error.kind], set()).add(error.code)
    return codes


def _is_model(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel)
