"""groupbook inside other pages: the loader, a merchant's frame, a network's frame.

A frame is a shell without anybody's data: `frame-ancestors` names exactly who may hold it, and its script asks for the
content with a bearer kept in memory. A frame never relies on cookies and never receives a card number.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode

from starlette.responses import FileResponse, Response

from groupbook import merchants
from groupbook.kit.errors import NotFound
from groupbook.web.asking import Ask
from groupbook.web.render import STATIC, render

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REF: Final = re.compile(r"[^\x00-\x1f]{1,200}")


def merchant_frame(ask: Ask) -> Response:
    """`/e/<merchant>`: the shell; `trip`, `invite`, `share`, `offer`, `occasion` say what to show."""
    merchant = merchants.merchant_by_slug(ask.deps.database, ask.request.path_params["merchant"])
    with ask.deps.database.begin(merchant.id) as session:
        origins = [one.origin for one in merchants.embed_origins(session)]
    page = {"merchant": merchant.slug, "parents": " ".join(origins), "first": _first(ask, merchant.slug)}
    # Without a registered origin nobody may frame it, and the shell says so by `frame-ancestors 'none'`.
    return render(ask.request, "shell.html", {"page": page, "framed": True}, ancestors=origins)


def _first(ask: Ask, slug: str) -> str:
    for name, prefix in (("trip", "/t/"), ("invite", "/i/"), ("share", "/s/")):
        value = ask.one(name)
        if value and _TOKEN.fullmatch(value):
            return prefix + value
    chosen = {name: ask.one(name) for name in ("offer", "occasion") if _REF.fullmatch(ask.one(name))}
    return "/start?" + urlencode({"merchant": slug, **chosen})


def network_frame(ask: Ask) -> Response:
    """`/n/<network>/launch`: the shell inside a network. The signed payload is posted by the script, then stripped."""
    network = ask.deps.networks.get(ask.request.path_params["network"])
    if network is None or network.launch is None:
        raise NotFound()
    merchant = merchants.merchant_by_slug(ask.deps.database, ask.one("merchant") or ask.deps.home_merchant)
    page = {
        "merchant": merchant.slug,
        "parents": network.origin,
        "launch": f"/v1/launches/{network.name}",
        "refused": "/launch-refused",
        "first": f"/start?merchant={merchant.slug}",
        "start-prefix": "/go/",
    }
    return render(ask.request, "shell.html", {"page": page, "framed": True}, ancestors=[network.origin])


def launch_refused(ask: Ask) -> Response:
    say = ask.say
    message = {
        "sign": "clock",
        "title": say("This window is too old"),
        "text": say("Close it and open the trip again from your network."),
        "actions": [],
    }
    return ask.show("message.html", {"message": message}, status=401)


def loader(ask: Ask) -> Response:
    """`/v1.js`: for anybody's page, so no cookie, any origin, an hour in caches."""
    return FileResponse(
        STATIC / "v1.js",
        media_type="text/javascript; charset=utf-8",
        headers={
            "Cache-Control": "public, max-age=3600",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
            "Access-Control-Allow-Origin": "*",
        },
    )
