"""Every error of the SDK has a name, and no call that changes something at Stripe goes without a key of ours."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import stripe
import stripe.oauth_error

from groupbook.kit.errors import GroupbookError, OutcomeUnknown, Refused, Unavailable
from groupbook.payments.domain import STOPPED_BY_DISPUTE
from groupbook.payments.ports import REFUSALS
from integrations.payments.stripe import client as adapter
from integrations.payments.stripe.client import Line
from integrations.payments.stripe.configuration import Configuration
from integrations.payments.stripe.outcomes import CODES, OUTCOMES, NeverSent
from integrations.payments.stripe.reading import refund_answer

PACKAGE = Path(adapter.__file__).parent


def classes(base: type[Any]) -> Iterator[type[Any]]:
    yield base
    for below in base.__subclasses__():
        yield from classes(below)


def test_every_error_class_of_the_sdk_has_a_named_outcome() -> None:
    """A new version of the SDK with a new error fails here, until somebody has decided what it means."""
    walked = {one for one in classes(stripe.StripeError) if one.__module__.startswith("stripe")}
    assert len(walked) > 30
    assert sorted(one.__qualname__ for one in walked - set(OUTCOMES)) == []
    assert set(OUTCOMES) - walked == {NeverSent}
    named = {outcome.reason for outcome in (*OUTCOMES.values(), *CODES.values()) if outcome.kind == "refused"}
    assert named - REFUSALS == set()


def line(answer: Callable[[httpx2.Request], httpx2.Response]) -> Line:
    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return Line(Configuration("sk_test_x", api_base="https://stripe.invalid"), client)


def asked(answer: Callable[[httpx2.Request], httpx2.Response]) -> GroupbookError:
    """What became of asking for a capture that was answered like this."""
    made = line(answer)
    with pytest.raises(GroupbookError) as raised:
        made.act("capture", lambda: made.v1.payment_intents.capture("pi_1", {}, {"idempotency_key": "capture:1"}), 1.0)
    made.close()
    return raised.value


def error_answer(status: int, **error: str) -> Callable[[httpx2.Request], httpx2.Response]:
    return lambda _: httpx2.Response(status, json={"error": {"type": "invalid_request_error", "message": "no"} | error})


@pytest.mark.parametrize(
    ("status", "error", "kind", "said"),
    [
        # https://docs.stripe.com/error-low-level: the limiters and the locks come before the work
        (429, {"code": "rate_limit"}, Unavailable, None),
        (400, {"code": "rate_limit"}, Unavailable, None),
        (429, {"code": "lock_timeout"}, Unavailable, None),
        (409, {"code": "idempotency_key_in_use", "type": "idempotency_error"}, Unavailable, None),
        (409, {}, OutcomeUnknown, False),
        (500, {"type": "api_error"}, OutcomeUnknown, True),
        (502, {}, OutcomeUnknown, True),
        (500, {"code": "resource_missing"}, OutcomeUnknown, True),
        (400, {"type": "idempotency_error"}, Refused, "key_reused"),
        (401, {}, Refused, "credentials_rejected"),
        (403, {}, Refused, "credentials_rejected"),
        (403, {"code": "account_invalid"}, Refused, "credentials_rejected"),
        (402, {"type": "card_error", "code": "card_declined"}, Refused, "card_declined"),
        (402, {"type": "card_error", "code": "authentication_required"}, Refused, "card_declined"),
        (404, {"code": "resource_missing"}, Refused, "not_found"),
        (400, {"code": "charge_expired_for_capture"}, Refused, "authorization_gone"),
        (400, {"code": "payment_intent_unexpected_state"}, Refused, "wrong_state"),
        (400, {"code": "charge_disputed"}, Refused, "charge_disputed"),
        (400, {"code": "a_code_of_next_year"}, Refused, "request_rejected"),
        (418, {}, OutcomeUnknown, False),
    ],
)
def test_an_answer_is_named(status: int, error: dict[str, str], kind: type[GroupbookError], said: Any) -> None:
    raised = asked(error_answer(status, **error))
    assert type(raised) is kind
    if isinstance(raised, Refused):
        assert raised.reason == said
    if isinstance(raised, OutcomeUnknown):
        assert raised.params["is_answered"] is said


def broken(error: type[httpx2.HTTPError]) -> Callable[[httpx2.Request], httpx2.Response]:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise error("broken")

    return answer


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx2.ConnectError, Unavailable),
        (httpx2.ConnectTimeout, Unavailable),
        (httpx2.PoolTimeout, Unavailable),
        (httpx2.ReadTimeout, OutcomeUnknown),
        (httpx2.WriteError, OutcomeUnknown),
        (httpx2.ReadError, OutcomeUnknown),
        (httpx2.RemoteProtocolError, OutcomeUnknown),
    ],
)
def test_what_was_never_sent_is_not_unknown_and_what_was_is(error: type[Any], kind: type[GroupbookError]) -> None:
    assert type(asked(broken(error))) is kind


def test_an_answer_without_sense_is_unknown() -> None:
    assert type(asked(lambda _: httpx2.Response(200, text="<html>proxy</html>"))) is OutcomeUnknown


# --- keys -------------------------------------------------------------------------------------------------------------


def _chain(node: ast.expr) -> list[str]:
    """`self._v1.checkout.sessions.create` as ["self", "_v1", "checkout", "sessions", "create"]."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [*([node.id] if isinstance(node, ast.Name) else []), *reversed(parts)]


def _method(path: list[str]) -> Any:
    client = stripe.StripeClient("sk_test_x")
    found: Any = client if path[:1] == ["oauth"] else client.v1
    for name in path:
        found = getattr(found, name, None)
    return found


def sdk_calls() -> Iterator[tuple[str, str, bool, bool]]:
    """Every call of the SDK in our adapter: where, which, whether it changes something, whether it carries a key."""
    for path in sorted(PACKAGE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            chain = _chain(node.func)
            root = next((name for name in ("_v1", "v1", "oauth") if name in chain), None)
            if root is None:
                continue
            names = chain[chain.index(root) + (root != "oauth") :]
            method = _method(names)
            if method is None:
                continue
            source = inspect.getsource(method)
            changes = '"post"' in source or '"delete"' in source
            given = [key.value for key in ast.walk(node) if isinstance(key, ast.Constant)]
            yield f"{path.name}:{node.lineno}", ".".join(names), changes, "idempotency_key" in given


def test_no_call_that_changes_something_goes_without_a_key() -> None:
    calls = list(sdk_calls())
    changing = {name for _, name, changes, _ in calls if changes}
    assert {
        "checkout.sessions.create",
        "checkout.sessions.expire",
        "payment_intents.cancel",
        "payment_intents.capture",
        "oauth.token",
        "payment_intents.create",
        "payment_methods.detach",
        "refunds.create",
    } <= changing
    assert {name for _, name, changes, _ in calls if not changes} >= {"checkout.sessions.retrieve", "events.list"}
    assert [(where, name) for where, name, changes, has_key in calls if changes and not has_key] == []


def test_the_key_on_the_wire_is_ours_and_the_sdk_sends_once() -> None:
    """The SDK would make a key of its own per call, and repeat a 500 by itself: neither is ours."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(500, content=json.dumps({"error": {"type": "api_error"}}))

    assert type(asked(answer)) is OutcomeUnknown
    assert [(one.headers["idempotency-key"], one.headers["stripe-version"]) for one in seen] == [
        ("capture:1", adapter.API_VERSION)
    ]


def test_a_refund_that_a_dispute_stopped_says_so_in_the_ports_word() -> None:
    body = {"id": "re_1", "object": "refund", "amount": 3334, "currency": "eur", "status": "failed"}
    stopped = stripe.Refund.construct_from(body | {"failure_reason": "charge_for_pending_refund_disputed"}, "key")
    gone = stripe.Refund.construct_from(body | {"failure_reason": "expired_or_canceled_card"}, "key")
    assert refund_answer(stopped).failure_reason == STOPPED_BY_DISPUTE == "charge_disputed"
    assert refund_answer(gone).failure_reason == "expired_or_canceled_card"
