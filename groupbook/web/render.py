"""Templates to responses: one Jinja environment, every page in the reader's language, with the headers of headers.py.

    return render(request, "trip.html", {"trip": view}, merchant=merchant, viewer=viewer)

Templates see `_`, `ngettext`, `money`, `instant`, `day`, `clock_time`, `duration`, `asset`, `language_switch` and the
macros of macros.html; whatever a person typed is escaped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from groupbook.kit import i18n
from groupbook.kit.money import Money
from groupbook.web.headers import NO_GUESTS, Guests, page_headers

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
LANGUAGE_COOKIE: Final = "gb_lang"
_TINTS: Final = 8


@dataclass(frozen=True)
class Viewer:
    """Who looks at the page, as far as the page says it."""

    name: str
    is_guest: bool = False


@lru_cache
def environment(locale: str) -> Environment:
    """The templates in one language."""
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    translations = i18n.translations(locale)
    env.install_gettext_callables(translations.gettext, translations.ngettext, newstyle=True)  # type: ignore[attr-defined] # added by the extension
    env.filters["rfc3339"] = rfc3339
    env.filters["bdi"] = lambda name: Markup("<bdi>{}</bdi>").format(name)  # a name turns no sentence around
    env.globals.update(
        asset=asset,
        money=partial(i18n.format_money, locale=locale),
        instant=lambda at, zone="UTC", length="medium": i18n.format_instant(at, zone, locale, length),
        clock_time=lambda at, zone="UTC", seconds=False: i18n.format_clock(at, zone, locale, seconds=seconds),
        day=lambda on, length="long": i18n.format_day(_as_day(on), locale, length),
        duration=duration,
        percent=lambda value: i18n.format_number(round(value * 100, 1), locale) + "\N{NO-BREAK SPACE}%",
        number=lambda value: i18n.format_number(value, locale),
        locale=locale,
    )
    return env


def locale_of(request: Request) -> str:
    """The language to answer in: chosen in the address, else by cookie, else by the browser."""
    return i18n.negotiate(
        request.headers.get("accept-language"), request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)
    )


def words_of(request: Request) -> i18n.Words:
    return i18n.words(locale_of(request))


def render(
    request: Request,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    merchant: object | None = None,
    viewer: Viewer | None = None,
    ancestors: Iterable[str] = (),
    form_targets: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
    guests: Guests = NO_GUESTS,
) -> HTMLResponse:
    """A page. `ancestors` are the only origins that may frame it (framed pages have no header and footer)."""
    locale = locale_of(request)
    framed = bool(ancestors) or request.headers.get("gb-framed") == "1"
    values: dict[str, Any] = {
        "framed": framed,
        "merchant": merchant,
        "viewer": viewer,
        "wide": False,
        "theme": _theme(request),
        "language_switch": partial(language_switch, request, locale),
        **(context or {}),
    }
    body = environment(locale).get_template(template).render(values)
    response = HTMLResponse(
        body, status, headers=page_headers(ancestors=ancestors, form_targets=form_targets, guests=guests)
    )
    response.headers["Content-Language"] = locale
    response.headers["Vary"] = "Accept-Language, Cookie, Authorization"
    for name, value in (headers or {}).items():
        response.headers[name] = value
    if i18n.negotiate(None, request.query_params.get("lang")) == request.query_params.get("lang"):
        response.set_cookie(LANGUAGE_COOKIE, locale, max_age=365 * 86_400, samesite="lax", httponly=True)
    return response


def language_switch(request: Request, locale: str) -> Markup:
    """Links to this page in the other languages, each named in its own."""
    links = []
    for code, name in i18n.LOCALES.items():
        if code != locale:
            query = urlencode([*((k, v) for k, v in request.query_params.multi_items() if k != "lang"), ("lang", code)])
            path = "/" + quote(request.scope["path"].lstrip("/"))  # `//host` and `/\host` would lead away from us
            links.append(
                Markup('<a class="gb-language" href="{}?{}" lang="{}" hreflang="{}">{}</a>').format(
                    path, query, code, code, name
                )
            )
    return Markup(" ").join(links)


def asset(path: str, *, plain: bool = False) -> str:
    """The address of a static file, with its content's hash so that it may be cached for ever."""
    return f"/static/{path}" if plain else f"/static/{path}?v={_fingerprint(path)}"


@lru_cache
def _fingerprint(path: str) -> str:
    return hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:12]


def initials(name: str) -> str:
    """At most two letters; a single emoji or sign stands for itself."""
    parts = [part for part in name.split() if part[0].isalnum()] or name.split()
    return "".join(part[0] for part in (parts[:1] + parts[1:][-1:])).upper() or "?"


def tint(key: object) -> int:
    """A color of the avatar palette, the same for the same somebody everywhere."""
    return hashlib.sha256(str(key).encode()).digest()[0] % _TINTS + 1


def rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def duration(minutes: int) -> Markup:
    """`2 h 05`: the same signs in every language we speak."""
    hours, rest = divmod(int(minutes), 60)
    text = f"{hours} h {rest:02d}" if hours else f"{rest} min"
    return Markup(escape(text.replace(" ", "\N{NARROW NO-BREAK SPACE}")))


def money_or_none(minor: int | None, currency: str) -> Money | None:
    return None if minor is None else Money(minor, currency)


def _as_day(on: date | datetime) -> date:
    return on.date() if isinstance(on, datetime) else on


def _theme(request: Request) -> str:
    wanted = request.query_params.get("theme", "")
    return wanted if wanted in ("light", "dark") else ""
