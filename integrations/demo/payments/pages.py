"""What people see: the hosted payment page, the bank's confirmation step, and the operator's switches.

Every page says that it is a sandbox. A typed number is matched against the test cards and forgotten; it is never
stored, logged or shown again.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.demo.payments.amounts import shown
from integrations.demo.payments.books import public
from integrations.demo.payments.cards import CHIP_CARDS, TEST_CARDS, UNKNOWN, is_well_formed
from integrations.demo.payments.engine import Engine
from integrations.demo.payments.errors import WireError
from integrations.demo.payments.limits import Limits
from integrations.demo.payments.texts import LOCALES, TEXTS

_templates: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
)
_century: Final = 2000
WALLETS: Final = {"apple_pay": "Apple Pay", "google_pay": "Google Pay", "link": "Link"}


def routes(engine: Engine) -> list[Route]:
    def acting(do: Callable[..., Response], request: Request, *more: Any) -> Response:
        """On behalf of the account whose page this is."""
        with engine.store.acting_for(engine.store.owner_of(request.path_params["id"])):
            return do(request, engine, *more)

    async def pay_page(request: Request) -> Response:
        return await run_in_threadpool(acting, _pay_page, request)

    async def pay(request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        return await run_in_threadpool(acting, _pay, request, form)

    async def challenge_page(request: Request) -> Response:
        return await run_in_threadpool(acting, _challenge_page, request)

    async def challenge(request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        return await run_in_threadpool(acting, _challenge, request, form)

    async def home(_: Request) -> Response:
        return Response(status_code=303, headers={"Location": "/_faults"})

    async def icon(_: Request) -> Response:
        return Response(status_code=204)

    return [
        Route("/", home),
        Route("/favicon.ico", icon),
        Route("/c/pay/{id}", pay_page, methods=["GET"]),
        Route("/c/pay/{id}", pay, methods=["POST"]),
        Route("/c/challenge/{id}", challenge_page, methods=["GET"]),
        Route("/c/challenge/{id}", challenge, methods=["POST"]),
    ]


# --- the hosted page ---


def _pay_page(request: Request, engine: Engine) -> Response:
    found = _open(request, engine)
    if isinstance(found, Response):
        return found
    error = request.query_params.get("problem")
    last = engine.checkout.last_error(found)
    if error is None and last is not None:
        error = last.get("decline_code") or last["code"]
    texts = _texts(request, found)
    return _page(
        request,
        "pay.html",
        found,
        error=texts.get(f"error_{error}", texts["error_generic_decline"]) if error else None,
        wallets=WALLETS.items(),
        chips=[(card, texts[f"chip_{card.label}"]) for card in CHIP_CARDS],
    )


def _pay(request: Request, engine: Engine, form: dict[str, str]) -> Response:
    found = _open(request, engine)
    if isinstance(found, Response):
        return found
    here = f"/c/pay/{found['id']}"
    if (wallet := form.get("wallet")) in WALLETS:
        # The wallet has shown its own sheet; what it hands over is a token for a card, never a number.
        card = TEST_CARDS["4242424242424242"]
        return _onwards(
            engine,
            engine.checkout.submit(
                found["id"], card, last4=card.number[-4:], exp_month=12, exp_year=2039, wallet=wallet
            ),
        )
    number = re.sub(r"[\s-]", "", form.get("chip") or form.get("number", ""))
    expiry = re.fullmatch(
        r"\s*(\d{1,2})\s*/?\s*(?:20)?(\d{2})\s*", "12/39" if form.get("chip") else form.get("expiry", "")
    )
    cvc = "123" if form.get("chip") else form.get("cvc", "").strip()
    if not is_well_formed(number):
        return to(f"{here}?problem=incorrect_number#card")
    if expiry is None or not _is_ahead(int(expiry[1]), int(expiry[2])):
        return to(f"{here}?problem=invalid_expiry#card")
    if not re.fullmatch(r"\d{3,4}", cvc):
        return to(f"{here}?problem=invalid_cvc#card")
    card = TEST_CARDS.get(number, UNKNOWN)  # a number that is no test card is not stored, not even its last digits
    session = engine.checkout.submit(
        found["id"],
        card,
        last4=card.number[-4:] or "0000",
        exp_month=int(expiry[1]),
        exp_year=_century + int(expiry[2]),
    )
    return _onwards(engine, session)


def _challenge_page(request: Request, engine: Engine) -> Response:
    found = _open(request, engine)
    if isinstance(found, Response):
        return found
    intent = engine.checkout.trying(found)
    if intent is None or intent["status"] != "requires_action":
        return to(f"/c/pay/{found['id']}")
    return _page(request, "challenge.html", found, last4=intent["_card"]["last4"])


def _challenge(request: Request, engine: Engine, form: dict[str, str]) -> Response:
    found = _open(request, engine)
    if isinstance(found, Response):
        return found
    return _onwards(engine, engine.checkout.finish_challenge(found["id"], is_confirmed=form.get("answer") == "confirm"))


def _open(request: Request, engine: Engine) -> dict[str, Any] | Response:
    """The session if it can still be paid; else the page that says what became of it."""
    try:
        session = engine.checkout.open(request.path_params["id"])
    except WireError:
        return _page(request, "closed.html", None, why="unknown", status=404)
    if session["status"] == "complete":
        return _page(request, "closed.html", session, why="complete")
    if session["status"] != "open":
        return _page(request, "closed.html", session, why="expired", status=410)
    return session


def _onwards(engine: Engine, session: dict[str, Any]) -> Response:
    """After the bank or the payer has spoken: back to the merchant, to the bank, or to the card again."""
    if session["status"] == "complete":
        return to(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]))
    intent = engine.checkout.trying(session)
    if intent is not None and intent["status"] == "requires_action":
        return to(f"/c/challenge/{session['id']}")
    return to(f"/c/pay/{session['id']}#card")


def _is_ahead(month: int, year: int) -> bool:
    now = time.gmtime()
    return 1 <= month <= 12 and (_century + year, month) >= (now.tm_year, now.tm_mon)


# --- the switches ---


def control(
    request: Request, engine: Engine, limits: Limits, faults: dict[str, str], operations: list[str]
) -> Response:
    """Recent payments and the fault switches; JSON for programs, a page for people."""
    payments = engine.store.all_of("payment_intent")[:20]
    if "text/html" not in request.headers.get("accept", ""):
        body = {"faults": engine.store.faults(), "payments": public(payments), "deliveries": engine.store.deliveries()}
        return Response(json.dumps(body), media_type="application/json")
    rows = [
        (row["id"], shown(row["amount"], row["currency"], "en"), row["status"], row.get("_card", {}).get("last4", ""))
        for row in payments
    ]
    return render(
        request,
        "control.html",
        "en",
        {
            "payments": rows,
            "active": engine.store.faults(),
            "faults": faults,
            "limits": limits,
            "operations": operations,
        },
        origins=(),
    )


def keys(request: Request, values: dict[str, Any]) -> Response:
    """The page on which restricted keys are made, as Stripe's dashboard has one."""
    return render(request, "keys.html", "en", values, origins=())


# --- rendering ---


def locale_of(request: Request, session: dict[str, Any] | None) -> str:
    wanted = [request.query_params.get("locale"), (session or {}).get("locale")]
    wanted += [part.split(";")[0].strip() for part in request.headers.get("accept-language", "").split(",")]
    for choice in wanted:
        if choice and choice[:2] in LOCALES:
            return choice[:2]
    return "en"


def _texts(request: Request, session: dict[str, Any] | None) -> dict[str, str]:
    return TEXTS[locale_of(request, session)]


def _page(
    request: Request, template: str, session: dict[str, Any] | None, *, status: int = 200, **values: Any
) -> Response:
    locale = locale_of(request, session)
    values |= {"session": session, "amount": "", "title": ""}
    origins: tuple[str, ...] = ()
    if session is not None:
        values |= {
            "kind": _kind(session),
            "amount": shown(session["amount_total"], session["currency"], locale)
            if session["mode"] == "payment"
            else "",
            "title": session["_title"],
            "merchant_url": session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]),
        }
        origins = tuple(
            f"{parts.scheme}://{parts.netloc}"
            for parts in (urlsplit(session["success_url"]), urlsplit(session["cancel_url"]))
        )
    return render(request, template, locale, values, origins=origins, status=status)


def render(
    _: Request, template: str, locale: str, values: dict[str, Any], *, origins: tuple[str, ...], status: int = 200
) -> Response:
    nonce = secrets.token_urlsafe(16)
    html = _templates.get_template(template).render(t=TEXTS[locale], locale=locale, nonce=nonce, **values)
    headers = {
        # A form's target also rules where its answer may redirect to, hence the merchant's own addresses.
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; "
            f"form-action 'self' {' '.join(dict.fromkeys(origins))}; base-uri 'none'; frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Content-Language": locale,
    }
    return Response(html, status, headers, "text/html")


def _kind(session: dict[str, Any]) -> str:
    """What the button does: keep a card, keep an amount ready, or take it."""
    if session["mode"] == "setup":
        return "save"
    return "manual" if session["_capture_method"] == "manual" else "automatic"


def to(url: str) -> Response:
    return Response(status_code=303, headers={"Location": url, "Cache-Control": "no-store"})
