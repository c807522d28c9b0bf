"""The merchant's dashboard: what sharing brought, messages, keys. Pages and forms; no script is needed.

A cookie (`gb_staff`, HttpOnly, SameSite=Lax) says who is logged in; every form is checked against our own origin. Staff
see their own merchant in its own mode, because every read is bound to the tenant of their session.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from groupbook import merchants, referrals, webhooks
from groupbook.house import House
from groupbook.kit import clock
from groupbook.kit.errors import GroupbookError, NotFound
from groupbook.kit.i18n import Words, format_instant
from groupbook.kit.ids import ApiKeyId, EmbedOriginId, EndpointId, EventId, from_wire, to_wire
from groupbook.merchants.domain import InvalidLogin, staff_session_seconds
from groupbook.referrals.domain import ChannelGrowth
from groupbook.web import cookies, quickstart
from groupbook.web.desk import HOME, LOGIN, Desk, DeskPages, Form, read_form
from groupbook.web.phrases import error_text
from groupbook.web.render import render, words_of
from groupbook.web.sessions import require_own_origin
from groupbook.webhooks.domain import EVENT_TYPES, Delivery, DeliveryState

SETTINGS: Final = "/dashboard/settings"


class Dashboard(DeskPages):
    """The pages, on one house."""

    def routes(self) -> list[Route]:
        return [
            Route(LOGIN, self.log_in, methods=["GET", "POST"]),
            Route("/dashboard/logout", self._page(self.log_out), methods=["POST"]),
            Route(HOME, self._page(self.home)),
            Route("/dashboard/webhooks", self._page(self.list_webhooks), methods=["GET", "POST"]),
            Route("/dashboard/webhooks/{endpoint_id}", self._page(self.show_webhook), methods=["GET", "POST"]),
            Route("/dashboard/webhooks/{endpoint_id}/delete", self._page(self.delete_webhook), methods=["GET", "POST"]),
            Route(SETTINGS, self._page(self.settings), methods=["GET", "POST"]),
            Route(SETTINGS + "/keys/{key_id}/revoke", self._page(self.revoke_key), methods=["GET", "POST"]),
        ]

    # --- coming and going ---------------------------------------------------------------------------------------------

    async def log_in(self, request: Request) -> Response:
        if request.method == "GET":
            return render(request, "dashboard/login.html", {"email": "", "error": ""})
        try:
            require_own_origin(request, self._house.settings.public_origin)
            form = await read_form(request)
            _, token = await run_in_threadpool(
                merchants.log_in_staff, self._house.database, email=form["email"], password=form["password"]
            )
        except InvalidLogin:
            say = words_of(request)
            wrong = say("Address and password do not fit. After ten tries the login rests for a quarter of an hour.")
            return render(request, "dashboard/login.html", {"email": form["email"], "error": wrong}, status=401)
        except GroupbookError as error:
            text = error_text(error, words_of(request))
            return render(request, "dashboard/login.html", {"email": "", "error": text}, status=403)
        response = RedirectResponse(HOME, 303)
        response.set_cookie(
            cookies.STAFF,
            token,
            max_age=staff_session_seconds,
            httponly=True,
            samesite="lax",
            secure=self._house.settings.public_url.startswith("https://"),
        )
        return response

    async def log_out(self, request: Request, desk: Desk) -> Response:
        token = request.cookies[cookies.STAFF]
        await run_in_threadpool(merchants.log_out_staff, self._house.database, desk.caller, token)
        response = RedirectResponse(LOGIN, 303)
        response.delete_cookie(cookies.STAFF)
        return response

    # --- pages --------------------------------------------------------------------------------------------------------

    async def home(self, request: Request, desk: Desk) -> Response:
        """The growth figures, the key, the commands."""

        def read(session: Session) -> str | None:
            return merchants.show_test_key(session, self._house.sealer)

        growth = await run_in_threadpool(referrals.growth, self._house.database, desk.merchant.id)
        key = await self._step(desk, read)
        commands = quickstart.commands(
            self._house.settings.public_url, key or "gb_live_…", currency=desk.merchant.currency
        )
        context = {
            "growth": growth,
            "rows": [_share_row(channel) for channel in (growth.shared, *growth.channels)],
            "bars": _bars(growth.shared, growth.direct),
            "key": key,
            "commands": commands,
        }
        return self._render(request, desk, "home", context)

    async def list_webhooks(self, request: Request, desk: Desk) -> Response:
        """The endpoints; a form adds one, and its secret is shown with the answer."""
        context: dict[str, Any] = {"secret": None, "error": "", "url": "", "types": sorted(EVENT_TYPES)}
        status = 200
        if request.method == "POST":
            form = await read_form(request)
            wanted = [name for name in form.getlist("event_type") if isinstance(name, str)] or ["*"]
            try:
                _, context["secret"] = await self._step(
                    desk,
                    lambda session: webhooks.create_endpoint(
                        session, self._house.webhooks, url=form["url"], event_types=wanted
                    ),
                )
            except GroupbookError as error:
                status = 422
                context |= {"error": form_text(error, words_of(request)), "url": form["url"]}
        context["endpoints"] = [
            {
                "url": one.url,
                "page": f"/dashboard/webhooks/{to_wire('whk', one.id)}",
                "types": ", ".join(one.event_types),
                "is_enabled": one.is_enabled,
            }
            for one in await self._step(desk, webhooks.list_endpoints)
        ]
        return self._render(request, desk, "webhooks", context, status=status)

    async def show_webhook(self, request: Request, desk: Desk) -> Response:
        """One endpoint: its deliveries, and what can be done about them."""
        endpoint_id = EndpointId(from_wire("whk", request.path_params["endpoint_id"]))
        secret = None
        if request.method == "POST":
            secret = await self._act_on_webhook(await read_form(request), desk, endpoint_id)
            if secret is None:
                return RedirectResponse(request.url.path, 303)
        cursor = request.query_params.get("cursor") or None

        def read(session: Session) -> dict[str, Any]:
            endpoint = webhooks.read_endpoint(session, endpoint_id)
            found = webhooks.list_deliveries(session, limit=20, cursor=cursor, endpoint_id=endpoint_id)
            tried = webhooks.attempts_of(session, found.rows)
            types = {one.event_id: webhooks.read_event(session, one.event_id).type for one in found.rows}
            say = words_of(request)
            rows = [
                {
                    "event": to_wire("evt", one.event_id),
                    "type": types[one.event_id],
                    "state": delivery_words(one, say),
                    "at": one.created_at,
                    "next_at": one.due_at if one.state is DeliveryState.PENDING else None,
                    "attempts": [
                        {"told": attempt, "why": no_answer_words(attempt.error, say) if attempt.error else ""}
                        for attempt in tried[one.id]
                    ],
                }
                for one in found.rows
            ]
            return {"endpoint": endpoint, "rows": rows, "next_cursor": found.next_cursor}

        context = {"secret": secret, "url": request.url.path, **await self._step(desk, read)}
        return self._render(request, desk, "webhook", context)

    async def _act_on_webhook(self, form: Form, desk: Desk, endpoint_id: EndpointId) -> str | None:
        """A new secret, or None."""

        def act(session: Session) -> str | None:
            match form["act"]:
                case "test":
                    webhooks.send_test_event(session, endpoint_id)
                case "enable":
                    webhooks.enable_endpoint(session, endpoint_id)
                case "roll":
                    return webhooks.roll_secret(session, self._house.webhooks, endpoint_id)
                case "redeliver":
                    event_id = EventId(from_wire("evt", form["event"]))
                    webhooks.redeliver(session, event_id, endpoint_id=endpoint_id)
                case _:
                    raise NotFound()
            return None

        return await self._step(desk, act)

    async def delete_webhook(self, request: Request, desk: Desk) -> Response:
        """Asked once more, because the deliveries go with it."""
        endpoint_id = EndpointId(from_wire("whk", request.path_params["endpoint_id"]))
        if request.method == "POST":
            await self._step(desk, lambda session: webhooks.delete_endpoint(session, endpoint_id))
            return RedirectResponse("/dashboard/webhooks", 303)
        endpoint = await self._step(desk, lambda session: webhooks.read_endpoint(session, endpoint_id))
        say = words_of(request)
        context = {
            "here": "webhooks",
            "title": say("Delete this endpoint?"),
            "facts": [(say("Address"), endpoint.url)],
            "effect": say(
                "We send it nothing more, also not what still waits, and the list of what was sent is deleted with it. "
                "This cannot be undone."
            ),
            "label": say("Delete"),
            "back": f"/dashboard/webhooks/{to_wire('whk', endpoint_id)}",
        }
        return self._render(request, desk, "sure", context)

    async def settings(self, request: Request, desk: Desk) -> Response:
        """Keys and embed origins."""
        snippet = quickstart.widget(self._house.settings.public_url, desk.merchant.slug)
        context: dict[str, Any] = {"secret": None, "error": "", "origin": "", "snippet": snippet}
        status = 200
        if request.method == "POST":
            form = await read_form(request)
            try:
                context["secret"] = await self._act_on_settings(form, desk)
            except GroupbookError as error:
                status = 422
                context |= {"error": form_text(error, words_of(request)), "origin": form["origin"]}
            if status == 200 and context["secret"] is None:
                return RedirectResponse(request.url.path, 303)

        def read(session: Session) -> dict[str, Any]:
            now = clock.system_now(session)
            return {
                "keys": [
                    {"id": to_wire("key", one.id), "key": one, "is_active": one.is_active(now)}
                    for one in merchants.list_api_keys(session)
                ],
                "origins": [
                    {"id": to_wire("emo", one.id), "origin": one.origin} for one in merchants.embed_origins(session)
                ],
            }

        return self._render(request, desk, "settings", context | await self._step(desk, read), status=status)

    async def _act_on_settings(self, form: Form, desk: Desk) -> str | None:
        """The secret of a fresh key, or None."""
        sealer = self._house.sealer

        def act(session: Session) -> str | None:
            match form["act"]:
                case "add_origin":
                    merchants.add_embed_origin(session, form["origin"].strip())
                case "remove_origin":
                    merchants.remove_embed_origin(session, EmbedOriginId(from_wire("emo", form["id"])))
                case "create_key":
                    name = form["name"].strip()[:80] or "API"
                    return merchants.create_api_key(session, sealer, name=name).secret
                case "roll_key":
                    return merchants.roll_api_key(session, sealer, ApiKeyId(from_wire("key", form["id"]))).secret
                case _:
                    raise NotFound()
            return None

        return await self._step(desk, act)

    async def revoke_key(self, request: Request, desk: Desk) -> Response:
        """Asked once more, because it is at once and for good."""
        key_id = ApiKeyId(from_wire("key", request.path_params["key_id"]))
        if request.method == "POST":
            await self._step(desk, lambda session: merchants.revoke_api_key(session, key_id))
            return RedirectResponse(SETTINGS, 303)
        keys = await self._step(desk, merchants.list_api_keys)
        key = next((one for one in keys if one.id == key_id), None)
        if key is None:
            raise NotFound()
        if key.revoked_at is not None:
            return RedirectResponse(SETTINGS, 303)
        say = words_of(request)
        used = key.last_used_at and format_instant(key.last_used_at, desk.merchant.timezone, say.locale)
        context = {
            "here": "settings",
            "title": say("Revoke this key?"),
            "facts": [
                (say("Key"), f"{key.name} {key.hint}"),
                (say("Last used"), used or say("Never used")),
            ],
            "effect": say(
                "Whatever still uses this key is refused from that moment on. This cannot be undone. To change keys "
                "without a break, replace it: then the old one works for another day."
            ),
            "label": say("Revoke"),
            "back": SETTINGS,
        }
        return self._render(request, desk, "sure", context)


# --- words ------------------------------------------------------------------------------------------------------------


def delivery_words(delivery: Delivery, say: Words) -> tuple[str, str]:
    return {
        DeliveryState.PENDING: (say("Waiting"), "info" if delivery.attempts == 0 else "warn"),
        DeliveryState.DELIVERED: (say("Delivered"), "ok"),
        DeliveryState.FAILED: (say("Failed"), "bad"),
        DeliveryState.DROPPED: (say("Dropped"), "quiet"),
    }[delivery.state]


def no_answer_words(code: str, say: Words) -> str:
    """Why there was no usable answer of an endpoint; empty where nobody gave the code words."""
    return {
        "address_refused": say("The address leads into a network that we do not post to."),
        "unresolvable": say("There is no such name in the internet."),
        "timeout": say("It did not answer in time."),
        "protocol_error": say("It does not speak HTTP as it should."),
        "tls_failed": say("Its certificate does not hold."),
        "unreachable": say("Nobody listens at this address."),
    }.get(code, "")


def form_text(error: GroupbookError, say: Words) -> str:
    """What is wrong with what the merchant typed."""
    texts = {
        "invalid_origin": say("Write an exact origin: https://shop.example, without a path."),
        "embed_origin_exists": say("This origin is registered already."),
        "invalid_webhook_url": say("We post to public https addresses only."),
        "too_many_webhook_endpoints": say("Twenty endpoints are the most. Delete one first."),
        "api_key_not_found": say("This key is not active any more."),
    }
    return texts.get(error.code) or error_text(error, say)


# --- figures ----------------------------------------------------------------------------------------------------------


def _share_row(channel: ChannelGrowth) -> dict[str, Any]:
    return {
        "channel": channel.channel,
        "shares": channel.shares,
        "visits": channel.visits,
        "per_share": channel.visits_per_share,
        "joins": channel.joins,
        "starts": channel.starts,
        "bookings": channel.bookings,
    }


def _bars(shared: ChannelGrowth, direct: ChannelGrowth) -> list[dict[str, Any]]:
    """Shared beside direct, per figure, as shares of the larger of the two: the widths of the picture's bars."""
    bars = []
    for figure in ("visits", "joins", "starts", "bookings"):
        values = (getattr(shared, figure), getattr(direct, figure))
        most = max(*values, 1)
        bars.append(
            {"figure": figure, "shared": values[0], "direct": values[1], "widths": [v * 100 / most for v in values]}
        )
    return bars


def routes(house: House) -> list[Route]:
    return Dashboard(house).routes()
