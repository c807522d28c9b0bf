"""Visits, as far as pages bring them: a hit is recorded when a page is shown, and counts once a person saw it.

The visit's id travels in the page (beacon, hidden field), not in a store of the browser. Nothing here may keep
somebody from their page: what goes wrong is logged, and then no visit is invented.
"""

from __future__ import annotations

import structlog
from starlette.responses import Response

from groupbook import referrals
from groupbook.kit.errors import GroupbookError, InvalidId
from groupbook.kit.ids import MerchantId, TripId, VisitId, from_wire, to_wire
from groupbook.referrals.domain import Share, VisitTooFresh
from groupbook.web.asking import Ask

log = structlog.get_logger(__name__)


def record(ask: Ask, merchant_id: MerchantId, trip_id: TripId, share: Share | None = None) -> str:
    """Record this hit; the visit's id on the wire, or nothing when it can never count (a bot, a prefetch)."""
    request = ask.request
    address = request.client.host if request.client else ""
    try:
        click = referrals.click_of(request.method, request.headers, address)
        recorded = referrals.record_hit(
            ask.deps.database, merchant_id, click, trip_id=trip_id, share=share, caller=ask.caller(trip_id)
        )
    except GroupbookError as error:
        log.warning("visit_not_recorded", code=error.code)
        return ""
    return to_wire("vis", recorded.visit_id) if recorded.visit_id else ""


def state_of(visit: str) -> dict[str, str]:
    """What the page's script needs to confirm the visit."""
    return {"beacon": f"/visits/{visit}"} if visit else {}


def visit_of(ask: Ask) -> VisitId | None:
    """The visit that led here, as the form or the address carries it."""
    text = ask.one("visit")
    try:
        return VisitId(from_wire("vis", text)) if text else None
    except InvalidId:
        return None


def confirm(ask: Ask) -> VisitId | None:
    """Somebody did something: that is evidence of a person."""
    visit_id = visit_of(ask)
    if visit_id is None:
        return None
    try:
        referrals.confirm_visit(ask.deps.database, visit_id)
    except VisitTooFresh:
        pass  # a quick hand; what they do now confirms it anyway
    except GroupbookError as error:
        log.warning("visit_not_confirmed", code=error.code)
        return None
    return visit_id


def seen(ask: Ask) -> Response:
    """The beacon: the page was before somebody's eyes for a second."""
    referrals.confirm_visit(ask.deps.database, VisitId(from_wire("vis", ask.request.path_params["visit"])))
    return Response(status_code=204, headers={"Cache-Control": "no-store"})
