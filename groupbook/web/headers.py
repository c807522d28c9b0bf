"""The headers of every page. One function, so that no page can forget one.

Who may frame a page is decided by `frame-ancestors` alone: nobody by default, exactly one merchant's registered origins
on `/e/<merchant>/…`, exactly one network's origin on `/n/<network>/…`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src {connects}; {frames}manifest-src 'self'; object-src 'none'; base-uri 'none'; form-action {targets}; "
    "frame-ancestors {ancestors}"
)
_PERMISSIONS = "camera=(), geolocation=(), microphone=(), usb=(), browsing-topics=()"


@dataclass(frozen=True, slots=True)
class Guests:
    """Origins beside ours whose script, frames and answers one page lets in: a payment provider's."""

    scripts: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    connects: tuple[str, ...] = ()


NO_GUESTS: Final = Guests()


def page_headers(
    *,
    ancestors: Iterable[str] = (),
    form_targets: Iterable[str] = (),
    guests: Guests = NO_GUESTS,
    stores_nothing: bool = True,
) -> dict[str, str]:
    """Security headers of one page.

    Args:
        ancestors: exact origins that may frame it; none of them means nobody.
        form_targets: origins beside ours that a form may lead to (a redirect after a post counts, too).
        guests: whom the page lets in; a page that lets anybody in is framed by nobody.
        stores_nothing: the page is about somebody, so no cache may keep it.
    """
    allowed = sorted(set(ancestors))
    headers = {
        "Content-Security-Policy": _POLICY.format(
            ancestors=" ".join(allowed) or "'none'",
            targets=" ".join(["'self'", *sorted(set(form_targets))]),
            scripts=" ".join(["'self'", *guests.scripts]),
            connects=" ".join(["'self'", *guests.connects]),
            frames=f"frame-src {' '.join(guests.frames)}; " if guests.frames else "",
        ),
        "Referrer-Policy": "no-referrer" if allowed else "same-origin",
        "Permissions-Policy": _PERMISSIONS,
        "X-Content-Type-Options": "nosniff",
        # The window that opens our login must be able to hear from it; nothing else may hold on to us.
        "Cross-Origin-Opener-Policy": "unsafe-none" if allowed else "same-origin-allow-popups",
    }
    if not allowed:
        headers["X-Frame-Options"] = "DENY"  # it cannot express a list, so only where nobody may frame
    if stores_nothing:
        headers["Cache-Control"] = "no-store"
    return headers
