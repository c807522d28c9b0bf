"""A stand-in for Stripe.js: the script, its frame with the card's fields, and the bank's question in another.

https://docs.stripe.com/js/including: the script comes from Stripe's own address, and the fields live in frames of that
origin, so that the page around them never sees a card. What is typed is matched against the test cards and forgotten.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integrations.demo.payments.amounts import shown
from integrations.demo.payments.cards import CHIP_CARDS, TEST_CARDS, UNKNOWN, is_well_formed
from integrations.demo.payments.elements import last_error
from integrations.demo.payments.engine import Engine
from integrations.demo.payments.errors import WireError
from integrations.demo.payments.keys import Keys, PublishableKey
from integrations.demo.payments.texts import LOCALES, TEXTS

_HERE: Final = Path(__file__).parent
_templates: Final = Environment(
    loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
)
_century: Final = 2000
_TAKEN: Final = frozenset({"key", "account", "client_secret", "locale", "number", "expiry", "cvc", "answer"})


def routes(engine: Engine, keys: Keys) -> list[Route]:
    def asked(do: Callable[[Engine, dict[str, str]], dict[str, Any]]) -> Callable[[Request], Any]:
        """A question of the stand-in's own frames: on behalf of the account that the publishable key names."""

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(_answer, engine, keys, do, await request.body())

        return endpoint

    async def script(_: Request) -> Response:
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return Response((_HERE / "stripe.js").read_bytes(), headers=headers, media_type="text/javascript")

    return [
        Route("/v3/", script, methods=["GET"]),
        Route("/v3/element", _frame("element.html"), methods=["GET"]),
        Route("/v3/challenge", _frame("element_challenge.html"), methods=["GET"]),
        Route("/v3/session", asked(_session), methods=["POST"]),
        Route("/v3/confirm", asked(_confirm), methods=["POST"]),
        Route("/v3/answer", asked(_finish), methods=["POST"]),
    ]


def _frame(template: str) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        wanted = request.query_params.get("locale", "")[:2]
        locale = wanted if wanted in LOCALES else "en"
        nonce = secrets.token_urlsafe(16)
        chips = [(card, TEXTS[locale][f"chip_{card.label}"]) for card in CHIP_CARDS]
        theme = "night" if request.query_params.get("theme") == "night" else "stripe"
        html = _templates.get_template(template).render(
            t=TEXTS[locale], locale=locale, nonce=nonce, chips=chips, theme=theme
        )
        headers = {
            # Anybody's page may show it, as Stripe's: what it does is done for whoever has the client secret.
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
                "form-action 'none'; base-uri 'none'; frame-ancestors *"
            ),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Content-Language": locale,
        }
        return Response(html, 200, headers, "text/html")

    return endpoint


def _answer(engine: Engine, keys: Keys, do: Callable[[Engine, dict[str, str]], dict[str, Any]], raw: bytes) -> Response:
    try:
        given = _given(raw)
        bearer = keys.find(given.get("key", ""))
        if not isinstance(bearer, PublishableKey):
            raise WireError(401, "Stripe.js takes a publishable key only (https://docs.stripe.com/keys).")
        account = given.get("account") or bearer.account
        if account != bearer.account:
            engine.connect.check_account(account, bearer)
        with engine.store.acting_for(account):
            return JSONResponse(do(engine, given))
    except WireError as error:
        body = {name: error.error[name] for name in ("type", "code", "message") if name in error.error}
        return JSONResponse({"error": body}, error.status)


def _given(raw: bytes) -> dict[str, str]:
    try:
        given = json.loads(raw)
    except ValueError:
        given = None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise WireError(400, "Invalid request")
    if unknown := sorted(given.keys() - _TAKEN):
        raise WireError(400, f"Received unknown parameter: {unknown[0]}", code="parameter_unknown", param=unknown[0])
    return given


def _session(engine: Engine, given: dict[str, str]) -> dict[str, Any]:
    """What the frame shows; an intent that is over cannot be shown (https://docs.stripe.com/js/elements_object)."""
    with engine.store.transaction():
        intent = engine.elements.open(given.get("client_secret", ""))
    if intent["status"] in ("succeeded", "canceled", "requires_capture"):
        raise WireError(
            400,
            f"The intent is in a terminal state ({intent['status']}) and cannot be used to initialize Elements.",
            code=f"{intent['object']}_unexpected_state",
        )
    return {"object": intent["object"], "payment_method_types": intent["payment_method_types"]}


def _confirm(engine: Engine, given: dict[str, str]) -> dict[str, Any]:
    number = re.sub(r"[\s-]", "", given.get("number", ""))
    expiry = re.fullmatch(r"\s*(\d{1,2})\s*/?\s*(?:20)?(\d{2})\s*", given.get("expiry", ""))
    texts = TEXTS[given.get("locale", "")[:2] if given.get("locale", "")[:2] in LOCALES else "en"]
    if not is_well_formed(number):
        return _incomplete("incorrect_number", texts)
    if expiry is None or not _is_ahead(int(expiry[1]), int(expiry[2])):
        return _incomplete("invalid_expiry", texts)
    if not re.fullmatch(r"\d{3,4}", given.get("cvc", "").strip()):
        return _incomplete("invalid_cvc", texts)
    card = TEST_CARDS.get(number, UNKNOWN)  # a number that is no test card is not stored, not even its last digits
    intent = engine.elements.confirm(
        given.get("client_secret", ""),
        card,
        last4=card.number[-4:] or "0000",
        exp_month=int(expiry[1]),
        exp_year=_century + int(expiry[2]),
    )
    return _outcome(intent, texts)


def _finish(engine: Engine, given: dict[str, str]) -> dict[str, Any]:
    texts = TEXTS[given.get("locale", "")[:2] if given.get("locale", "")[:2] in LOCALES else "en"]
    is_confirmed = given.get("answer") == "confirm"
    return _outcome(engine.elements.finish_challenge(given.get("client_secret", ""), is_confirmed=is_confirmed), texts)


def _outcome(intent: dict[str, Any], texts: dict[str, str]) -> dict[str, Any]:
    """https://docs.stripe.com/js/payment_intents/confirm_payment: `error`, or the intent; `error.message` is for people
    (https://docs.stripe.com/api/errors), in the language of the frame."""
    error = last_error(intent)
    if intent["status"] == "requires_payment_method" and error is not None:
        reason = error.get("decline_code") or error["code"]
        message = texts.get(f"error_{reason}", texts["error_generic_decline"])
        told = {name: error[name] for name in ("type", "code", "decline_code") if error.get(name)}
        return {"error": told | {"message": message}}
    found: dict[str, Any] = {"intent": {name: intent[name] for name in ("id", "object", "status")}}
    if intent["status"] == "requires_action":
        found["asks"] = texts["challenge_save"].format(last4=intent["_card"]["last4"])
        if intent["object"] == "payment_intent":
            amount = shown(intent["amount"], intent["currency"], "fr" if texts is TEXTS["fr"] else "en")
            kind = "manual" if intent["capture_method"] == "manual" else "automatic"
            found["asks"] = texts[f"challenge_{kind}"].format(amount=amount, last4=intent["_card"]["last4"])
    return found


def _incomplete(reason: str, texts: dict[str, str]) -> dict[str, Any]:
    return {"error": {"type": "validation_error", "code": reason, "message": texts[f"error_{reason}"]}}


def _is_ahead(month: int, year: int) -> bool:
    now = time.gmtime()
    return 1 <= month <= 12 and (_century + year, month) >= (now.tm_year, now.tm_mon)
