"""The one document of the API, its readable page, and the page behind every problem's `type`.

Nothing here is written twice: operations come from the endpoints' types, webhooks from the table of events, problems
from the list of advice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from groupbook import __version__
from groupbook.kit import http
from groupbook.kit.http import Operation
from groupbook.web.problems import PROBLEMS
from groupbook.web.render import render
from groupbook.webhooks.domain import EVENT_TYPES
from groupbook.webhooks.schemas import WebhookMessage

TAGS: Final[Mapping[str, str]] = {
    "merchant": "Your own account: who a key belongs to, keys, embed origins, the test clock.",
    "offers": "What you sell: offers, occasions, search and prices.",
    "entitlements": "Travelers' rights to discounts: cards, codes, age.",
    "rules": "Your rule catalogues, which price a group.",
    "codes": "Your discount codes: whose, how often, until when, and what used them.",
    "people": "Sessions of travelers: login, guests, hand-off into a frame.",
    "trips": "What a group plans: members, options, votes, the decision, privacy, comments.",
    "members": "Who is in a trip, and how they come in: invites, guests.",
    "votes": "What the group thinks of each option, and what it would cost everybody.",
    "decisions": "How voting becomes a decision.",
    "comments": "What members say.",
    "bookings": "All or nothing: one order for the group, one portion for every payer.",
    "payments": "A payer's own attempts, and the provider's messages to us.",
    "statements": "Your books: what moved, in which currency, and what stands.",
    "shares": "Shares, visits, and what they brought.",
    "inbound": "What providers tell us; for them, not for you.",
    "notices": "What a member is told about a trip, in their language.",
    "events": "What happened, for thirty days; redeliver what you missed.",
    "webhooks": "Where you are told, signed as Standard Webhooks says.",
}

DESCRIPTION: Final = """\
groupbook lets people plan a trip together inside a social network or your own site, prices it with each member's own
discounts, settles it all or nothing with everyone paying their own portion, and shares it by links whose referrals are
tracked.

**Keys.** `Authorization: Bearer gb_test_…` or `gb_live_…`; objects carry their mode as `livemode`; test and live data
never meet. **Money** is whole minor units with a currency: `{"amount": 3334, "currency": "EUR"}`. **Times** are RFC
3339 in UTC. **Ids** are opaque, with a prefix. **Lists** go newest first, `limit` at a time, from `next_cursor`.
**Errors** are `application/problem+json` (RFC 9457) with a stable `code`; the `type` leads to its cause and fix.
**Idempotency.** Where money moves, `Idempotency-Key` is required: missing 400, still at work 409, another body 422; a
replay answers the same with `Idempotent-Replayed: true`. **Compatible changes** (new fields, event types, enum values,
error codes) come without notice: ignore what you do not know.
"""


def document(operations: Sequence[Operation], public_url: str) -> dict[str, Any]:
    """OpenAPI 3.1: the operations, and what we post to you."""
    spec = http.openapi(operations, title="groupbook", version=__version__, server_url=public_url)
    spec["info"]["description"] = DESCRIPTION
    used = {tag for item in operations for tag in item.tags}
    spec["tags"] = [{"name": tag, "description": text} for tag, text in TAGS.items() if tag in used]
    spec["tags"] += [{"name": tag} for tag in sorted(used - set(TAGS))]
    references, definitions = models_json_schema(
        [(WebhookMessage, "serialization")], ref_template="#/components/schemas/{model}"
    )
    for name, schema in definitions.get("$defs", {}).items():
        spec["components"]["schemas"].setdefault(name, schema)
    message = references[WebhookMessage, "serialization"]
    spec["webhooks"] = {name: {"post": _webhook(name, kind.meaning, message)} for name, kind in EVENT_TYPES.items()}
    return spec


def _webhook(name: str, meaning: str, message: Mapping[str, Any]) -> dict[str, Any]:
    header = {"in": "header", "required": True, "schema": {"type": "string"}}
    return {
        "operationId": "on_" + name.replace(".", "_"),
        "summary": meaning,
        "description": "Posted to your endpoints at least once, in no promised order. Answer 2xx within 15 seconds; "
        "anything else, a redirect included, is tried again for three days, and 410 disables the endpoint.",
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            {"name": "webhook-id", "description": "The event's id; dedupe by it.", **header},
            {"name": "webhook-timestamp", "description": "Unix seconds of this attempt.", **header},
            {
                "name": "webhook-signature",
                "description": "`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`; several, separated by "
                "spaces, while a secret is rolled.",
                **header,
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"allOf": [message, {"properties": {"type": {"const": name}}}]}}
            },
        },
        "responses": {"2XX": {"description": "Taken."}, "410": {"description": "Never tell me again."}},
    }


# --- the readable page ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """One row of a schema's table: `depth` indents, `type` reads as a person would say it."""

    name: str
    depth: int
    type: str
    is_required: bool
    text: str


@dataclass(frozen=True)
class Described:
    """One operation or webhook, ready for the page."""

    id: str
    method: str
    path: str
    summary: str
    text: str
    who: str
    parameters: list[Field]
    body: list[Field]
    answer: list[Field]
    answer_status: str
    problems: list[tuple[str, list[str]]]


_WHO: Final = {
    "merchantKey": "API key",
    "memberSession": "member's session",
    "staffSession": "dashboard login",
}


def sections(spec: Mapping[str, Any]) -> list[tuple[str, str, list[Described]]]:
    """Tag, its text, and its operations, in the order of the document."""
    found: dict[str, list[Described]] = {tag["name"]: [] for tag in spec["tags"]}
    for path, methods in spec["paths"].items():
        for method, item in methods.items():
            for tag in item["tags"][:1]:
                found.setdefault(tag, []).append(_described(spec, method.upper(), path, item))
    texts = {tag["name"]: tag.get("description", "") for tag in spec["tags"]}
    return [(tag, texts.get(tag, ""), items) for tag, items in found.items() if items]


def webhook_section(spec: Mapping[str, Any]) -> list[Described]:
    return [_described(spec, "POST", name, methods["post"]) for name, methods in spec["webhooks"].items()]


def _described(spec: Mapping[str, Any], method: str, path: str, item: Mapping[str, Any]) -> Described:
    who = [_WHO[name] for choice in item["security"] for name in choice]
    body = item.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    status, answer = next(iter(item["responses"].items()))
    schema = next((part.get("schema") for part in answer.get("content", {}).values()), None)
    return Described(
        id=item["operationId"],
        method=method,
        path=path,
        summary=item["summary"],
        text=item["description"].partition("\n")[2].strip(),
        who=" or ".join(dict.fromkeys(who)) or "anybody",
        parameters=[_parameter(spec, part) for part in item.get("parameters", [])],
        body=_fields(spec, body) if body else [],
        answer=_fields(spec, schema) if schema else [],
        answer_status=status,
        problems=[
            (code, part["description"].split(", "))
            for code, part in item["responses"].items()
            if code.isdigit() and int(code) >= 400
        ],
    )


def _parameter(spec: Mapping[str, Any], part: Mapping[str, Any]) -> Field:
    text = part.get("description", part["schema"].get("description", ""))
    return Field(part["name"], 0, f"{_type(spec, part['schema'])} in {part['in']}", part.get("required", False), text)


def _fields(
    spec: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0, seen: frozenset[str] = frozenset()
) -> list[Field]:
    schema, seen, is_known = _resolve(spec, schema, seen)
    if is_known or depth > 3:
        return []
    rows: list[Field] = []
    for part in schema.get("allOf", []):
        rows += _fields(spec, part, depth, seen)
    if schema.get("type") == "array":
        return rows + _fields(spec, schema.get("items", {}), depth, seen)
    for choice in [*schema.get("anyOf", []), *schema.get("oneOf", [])]:
        rows += _fields(spec, choice, depth, seen)
    required = set(schema.get("required", ()))
    for name, part in schema.get("properties", {}).items():
        rows.append(Field(name, depth, _type(spec, part), name in required, _text(spec, part)))
        rows += _fields(spec, part, depth + 1, seen)
    return rows


def _resolve(
    spec: Mapping[str, Any], schema: Mapping[str, Any], seen: frozenset[str]
) -> tuple[Mapping[str, Any], frozenset[str], bool]:
    if "$ref" not in schema:
        return schema, seen, False
    name = schema["$ref"].rsplit("/", 1)[1]
    return spec["components"]["schemas"][name], seen | {name}, name in seen


def _text(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    return str(schema.get("description", "")).partition("\n")[0]


def _type(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The kind of value in words: `string (date-time)`, `list of integer`, `"yes" or "no"`, `integer or null`."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        target = spec["components"]["schemas"][name]
        return name if target.get("type") == "object" else _type(spec, target)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " or ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    choices = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
    if choices:
        return " or ".join(dict.fromkeys(_type(spec, choice) for choice in choices))
    if schema.get("type") == "array":
        return f"list of {_type(spec, schema.get('items', {}))}"
    kind = schema.get("type", "any")
    kind = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"{kind} ({schema['format']})" if "format" in schema else kind


# --- routes -----------------------------------------------------------------------------------------------------------


def routes(operations: Sequence[Operation], public_url: str) -> list[Route]:
    """`/openapi.json`, `/docs/api`, `/problems` and `/problems/<code>`."""
    spec = document(operations, public_url)
    body = json.dumps(spec, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return [
        Route("/openapi.json", partial(_spec, body)),
        Route("/docs/api", partial(_reference, {"spec": spec, "tags": sections(spec), "hooks": webhook_section(spec)})),
        Route("/problems", _problems),
        Route("/problems/{code}", _problem),
    ]


async def _spec(body: bytes, request: Request) -> Response:
    # Anybody may read it from anywhere: it is the same for all and holds nothing of anybody.
    headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "public, max-age=300"}
    return Response(body, media_type="application/json", headers=headers)


async def _reference(context: Mapping[str, Any], request: Request) -> Response:
    return render(request, "docs/api.html", {**context, "wide": True})


async def _problems(request: Request) -> Response:
    return render(request, "docs/problems.html", {"problems": PROBLEMS, "code": None})


async def _problem(request: Request) -> Response:
    code = request.path_params["code"]
    known = {code: PROBLEMS[code]} if code in PROBLEMS else {}
    return render(request, "docs/problems.html", {"problems": known, "code": code}, status=200 if known else 404)
