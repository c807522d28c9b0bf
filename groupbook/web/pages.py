"""All pages for travelers, by address."""

from __future__ import annotations

from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from groupbook.web import (
    after_pages,
    device_pages,
    embed,
    pay_pages,
    place_pages,
    price_pages,
    share_pages,
    start_pages,
    trip_pages,
    visits,
)
from groupbook.web.asking import Page, page
from groupbook.web.deps import WebDeps
from groupbook.web.render import STATIC, render, words_of
from groupbook.web.styleguide import styleguide

_GET: Final[dict[str, Page]] = {
    "/": start_pages.home,
    "/start": start_pages.show_start,
    "/go/{start}": start_pages.go_somewhere,
    "/i/{token}": start_pages.show_invite,
    "/h/{token}": place_pages.show_place,
    "/t/{trip_id}": trip_pages.show_trip,
    "/t/{trip_id}/add": start_pages.show_add,
    "/t/{trip_id}/price": price_pages.show_price,
    "/t/{trip_id}/leave": price_pages.show_leave,
    "/t/{trip_id}/going": price_pages.show_going,
    "/t/{trip_id}/drop-out": trip_pages.show_drop_out,
    "/t/{trip_id}/devices": device_pages.show_devices,
    "/t/{trip_id}/places/{member}/cancel": after_pages.show("cancel"),
    "/t/{trip_id}/places/{member}/give": after_pages.show("replace"),
    "/t/{trip_id}/calendar.ics": trip_pages.calendar_file,
    "/s/{code}": share_pages.show_shared,
    "/pay/return": pay_pages.payment_return,
    "/pay/{page}": pay_pages.show_page,
    "/e/{merchant}": embed.merchant_frame,
    "/e/{merchant}/{rest:path}": embed.merchant_frame,
    "/n/{network}/launch": embed.network_frame,
    "/launch-refused": embed.launch_refused,
    "/v1.js": embed.loader,
}
_POST: Final[dict[str, Page]] = {
    "/start": start_pages.start,
    "/i/{token}": start_pages.join_invite,
    "/h/{token}": place_pages.take_place,
    "/s/{code}": share_pages.join_shared,
    "/t/{trip_id}/keep": trip_pages.keep,
    "/t/{trip_id}/devices": device_pages.end_device,
    "/t/{trip_id}/places/{member}/cancel": after_pages.confirm("cancel"),
    "/t/{trip_id}/places/{member}/give": after_pages.confirm("replace"),
    "/pay/{page}": pay_pages.use_hosted,
    "/visits/{visit}": visits.seen,
}


class Static(StaticFiles):
    """Our own files. Their addresses carry a hash of the content, so they may be kept for ever."""

    def file_response(self, *args: Any, **keywords: Any) -> Any:
        response = super().file_response(*args, **keywords)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def unknown(request: Request, error: Exception) -> Response:
    """The page for an address that leads nowhere."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    say = words_of(request)
    title, text = say("There is nothing here"), say("The address may be mistyped or too old.")
    actions = [(say("To the start"), "/")]
    message = {"sign": "search", "title": title, "text": text, "actions": actions}
    return render(request, "message.html", {"message": message}, status=status)


def broken(request: Request, *, status: int = 500) -> Response:
    """The page for a fault of ours."""
    say = words_of(request)
    title, text = say("Something went wrong here"), say("It is our fault, and we keep what was right before.")
    message = {"sign": "warn", "title": title, "text": text, "actions": [(say("To the start"), "/")]}
    return render(request, "message.html", {"message": message}, status=status)


def routes(deps: WebDeps) -> list[BaseRoute]:
    """The pages, the loader and the static files. Log-in and dashboard have their own `routes`."""
    acts = {**trip_pages.ACTS, "share": share_pages.share}
    found: list[BaseRoute] = [Route(path, page(shown, deps), methods=["GET"]) for path, shown in _GET.items()]
    found += [Route(path, page(done, deps), methods=["POST"]) for path, done in _POST.items()]
    found += [
        Route(f"/t/{{trip_id}}/{name}", page(trip_pages.do(act), deps), methods=["POST"]) for name, act in acts.items()
    ]
    # Whoever reloads the answer to an act, or comes back to it, is shown what it was about.
    pages = {route.path for route in found if isinstance(route, Route) and "GET" in (route.methods or ())}
    found += [
        Route(path, page(trip_pages.after_act, deps), methods=["GET"])
        for path in (f"/t/{{trip_id}}/{name}" for name in acts)
        if path not in pages
    ]
    if deps.test_mode:
        found += [Route("/styleguide", styleguide), Route("/styleguide/{name}", styleguide)]
    found.append(Mount("/static", Static(directory=STATIC), name="static"))
    return found
